"""A graph as one compiled function."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from . import elementwise, gathers, pooling, sums, windows  # noqa: F401  register their rules
from .assembly import Assembly
from .dims import Dim, product
from .native import Code
from .operations import DEAR, RULES, VIEWS, Context, Uncovered
from .trace import Graph, Node, Ref
from .values import Buffer, Value, stored

NAME = "step"


@dataclass
class Step:
    """A compiled step.

    `function` is the address of f(addresses, samples, arena): `addresses` has one for each input, then for each output,
    then of a whole number that is not 0 once an index has named no place, then for each constant; all are contiguous.

    Attributes:
        room: bytes of the arena, by the number of samples.
        shapes: of the outputs.
    """

    code: Code
    graph: Graph
    room: Dim
    constants: list[Tensor]
    shapes: list[tuple[Dim, ...]]
    dtypes: list[torch.dtype]

    @cached_property
    def function(self) -> int:
        return self.code.address(NAME)


def compile_graph(graph: Graph) -> Step:
    """The graph's code.

    Raises:
        Uncovered: it has an operation without a rule, or one in a use that its rule does not foresee.
    """
    code = Code(_content(graph), lambda: _lowered(graph))
    return Step(
        code,
        graph,
        Dim(tuple(code.known["room"])),
        [node.target.detach().contiguous().clone() for node in graph.nodes if _in_memory(node)],
        [tuple(Dim(tuple(size)) for size in shape) for shape in code.known["shapes"]],
        [getattr(torch, dtype) for dtype in code.known["dtypes"]],
    )


def _lowered(graph: Graph) -> tuple[str, dict[str, Any]]:
    """The graph as LLVM text, and its room and the shapes and dtypes of its outputs."""
    try:
        lowering = _Lowering(graph)
        text = lowering.text()
    except Uncovered:
        raise
    except Exception as error:  # a use of an operation that its rule does not foresee
        raise Uncovered(f"the step cannot be compiled: {type(error).__name__}: {error}") from error
    outputs = [lowering.results[ref.node][0] for ref in graph.outputs]
    return text, {
        "room": lowering.assembly.room.coefficients,
        "shapes": [[size.coefficients for size in o.shape] for o in outputs],
        "dtypes": [str(o.dtype).removeprefix("torch.") for o in outputs],
    }


def _content(graph: Graph) -> bytes:
    """All that the text of the graph is made from; the names of its inputs are not."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            digest.update(f"tensor {value.dtype} {tuple(value.shape)} ".encode())
            digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, list | tuple):
            digest.update(b"(")
            for each in value:
                add(each)
            digest.update(b")")
        elif isinstance(value, dict):
            add([*value.items()])
        else:
            digest.update(f"{value!r},".encode())

    add((graph.inputs, graph.outputs))
    for k, node in enumerate(graph.nodes):
        target = node.target
        add(None if k < graph.inputs else target if isinstance(target, Tensor) else str(target))
        add((node.args, node.kwargs, node.shapes, node.dtypes))
    return digest.digest()


def _in_memory(node: Node) -> bool:
    """Whether it is a constant that the code reads; a single number stands in the code itself."""
    return isinstance(node.target, Tensor) and node.target.dim() > 0


class _Lowering:
    def __init__(self, graph: Graph) -> None:
        self.graph, self.assembly = graph, Assembly()
        self.assembly.status.argument = graph.inputs + len(graph.outputs)
        self.constants = 0
        self.results: list[tuple[Value, ...]] = []
        self.uses = _uses(graph)
        for k, node in enumerate(graph.nodes):
            self.results.append(self._result(k, node))

    def _result(self, k: int, node: Node) -> tuple[Any, ...]:
        if k < self.graph.inputs:
            return (stored(Buffer(node.dtypes[0], product(node.shapes[0]), k), node.shapes[0]),)
        if isinstance(node.target, Tensor):
            return (self._constant(node.target),)
        if getattr(node.target, "__name__", "") == "getitem":
            ref, place = node.args
            return (self.results[ref.node][place],)
        rule = RULES.get(node.target)
        if rule is None:
            raise Uncovered(f"no rule for {str(node.target).removesuffix('.default')}")
        context = Context(self.assembly, node.shapes, node.dtypes, node.target)
        name = str(node.target).removesuffix(".default")
        try:
            args, kwargs = pytree.tree_map(self._given, (node.args, node.kwargs))
            result = rule(context, *args, **kwargs)
        except Uncovered:
            raise
        except Exception as error:  # a use that the rule does not foresee
            raise Uncovered(f"no rule for such a use of {name}: {type(error).__name__}: {error}") from error
        values = result if isinstance(result, tuple) else (result,)
        if node.target in VIEWS:
            return values
        return tuple(
            self.assembly.store(v) if v is not None and v.cost > DEAR and self.uses[k] > 1 else v for v in values
        )

    def _constant(self, tensor: Tensor) -> Value:
        if not tensor.dim():
            return Context(self.assembly, [()], [tensor.dtype]).constant((), tensor.dtype, tensor.item())
        place = self.graph.inputs + len(self.graph.outputs) + 1 + self.constants
        self.constants += 1
        shape = tuple(Dim.of(s) for s in tensor.shape)
        return stored(Buffer(tensor.dtype, product(shape), place), shape)

    def _given(self, value: Any) -> Any:
        if not isinstance(value, Ref):
            return value
        results = self.results[value.node]
        return results[0] if len(results) == 1 else results

    def text(self) -> str:
        """The module; each output is written where its argument says."""
        bound: set[Buffer] = set()
        for k, ref in enumerate(self.graph.outputs):
            (value,) = self.results[ref.node]
            argument = self.graph.inputs + k
            dense = self.assembly.dense(self.assembly.memory(value))
            buffer = dense.stored_at.buffer
            whole = buffer.size == product(dense.shape) and not dense.stored_at.offset.coefficients
            if buffer.argument is None and buffer not in bound and whole:
                buffer.argument = argument
                bound.add(buffer)
            else:
                self.assembly.store(dense, stored(Buffer(dense.dtype, product(dense.shape), argument), dense.shape))
        return self.assembly.text(NAME)


def _uses(graph: Graph) -> list[int]:
    """How often each result is read, views of it counted as it."""
    direct: list[list[int]] = [[] for _ in graph.nodes]
    each = [(node.args, node.kwargs) for node in graph.nodes]
    for reader, given in (*enumerate(each), (-1, graph.outputs)):
        for value in pytree.tree_leaves(given):
            if isinstance(value, Ref):
                direct[value.node].append(reader)
    uses = [0] * len(graph.nodes)
    for k in range(len(graph.nodes) - 1, -1, -1):
        uses[k] = sum(
            uses[reader] if reader >= 0 and graph.nodes[reader].target in VIEWS else 1 for reader in direct[k]
        )
    return uses
