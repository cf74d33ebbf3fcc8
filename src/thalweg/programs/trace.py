"""One member's step as a graph of ATen operations, for batches of any size.

The step is traced twice, with batches of two sizes. Where both graphs have the same operations, every size in them is a
polynomial in the number of samples, and one compiled function serves every batch: the last one of a pass, the
chunks of an evaluation, and the parts on which a verdict rests. Where they differ, each size has a graph of its own.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions, decomposition_table
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg
from torch.nn.attention import SDPBackend, sdpa_kernel

from .dims import Dim


class Unlike(Exception):
    """Two traces differ in more than their sizes."""


class Uncovered(Exception):
    """A step has an operation that cannot be compiled; the message names it."""


@dataclass(frozen=True)
class Share:
    """A number that depends on the samples n in a batch: (a + bn) / (c + n), such as 1/n and n/(n − 1)."""

    a: float
    b: float
    c: float


@dataclass(frozen=True)
class Node:
    """One operation, or an input: what it is, its arguments with nodes by number, and each result's shape and dtype."""

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shapes: tuple[tuple[Dim, ...], ...]
    dtypes: tuple[torch.dtype, ...]


@dataclass(frozen=True)
class Ref:
    """The result of the node of this number."""

    node: int


@dataclass(frozen=True)
class Graph:
    """Operations in order.

    Attributes:
        inputs: how many of the nodes, the first ones, are inputs.
        outputs: the results, in their order.
        sizes: the batch sizes it holds for; None: any above 1.
    """

    nodes: tuple[Node, ...]
    inputs: int
    outputs: tuple[Any, ...]
    size: int | None


Call = Callable[..., Sequence[Tensor]]
ATEN = torch.ops.aten
ROUNDS = 3  # of a trace: PyTorch's rules for some operations write in place, which the next round takes out


def graph(call: Call, examples: Sequence[tuple[int, Sequence[Tensor]]], kept: Container[Any]) -> Graph:
    """The graph of a call.

    Args:
        call: tensors → tensors.
        examples: a batch size and the call's arguments at it; two of them for a graph that holds for all sizes.
        kept: operations that stay; what else PyTorch can express in others is.

    Raises:
        Uncovered: the call cannot be traced, as when a tensor's value decides what it does next.
    """
    traced = [(size, _traced(call, arguments, kept)) for size, arguments in examples]
    if len(traced) > 1:
        try:
            return _merged(traced)
        except Unlike:
            pass
    return _merged(traced[:1])


def _traced(call: Call, arguments: Sequence[Tensor], kept: Container[Any]) -> fx.GraphModule:
    decompositions = {op: rule for op, rule in _table().items() if op not in kept}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH), noting():
            try:
                # What replays a model's draws does not survive functionalization: that comes after.
                module = make_fx(call, decomposition_table=decompositions)(*arguments)
                module = out_of_place(module, arguments, decompositions)
            except Exception as error:
                raise Uncovered(f"the step cannot be traced: {_reason(error)}") from error
    module.graph.eliminate_dead_code()
    return module


def noting() -> AbstractContextManager[Any]:
    """Inside, one mode for what the tracer notes of each result; else it makes a new one for each.

    With tracing mode "fake" it follows all tensors, those that the model has as plain attributes too.
    """
    return tracing(TracingContext(FakeTensorMode(allow_fallback_kernels=True, allow_non_fake_inputs=True)))


def out_of_place(
    module: fx.GraphModule,
    arguments: Sequence[Tensor],
    decompositions: Any = None,
    mode: Literal["real", "fake"] = "real",
) -> fx.GraphModule:
    """The same without operations in place, as far as a few rounds take them out.

    Args:
        mode: "fake" traces without computing.
    """
    _take_out(module)
    for _ in range(ROUNDS):
        if not any(in_place(node) for node in module.graph.nodes):
            break
        module.recompile()
        module = make_fx(functionalize(module), decompositions, tracing_mode=mode)(*arguments)
    return module


def _take_out(module: fx.GraphModule) -> None:
    """Replace what writes to a tensor that has no view and is written once, as batch norm to its statistics.

    A further trace, which takes out all the rest, has a third of the time of a model with batch norm.
    """
    place = {node: k for k, node in enumerate(module.graph.nodes)}
    for node in filter(in_place, place):
        target, *more = node.args
        if len(more) != 1 or node.kwargs or not _alone(target, node) or any(map(in_place, node.users)):
            continue
        (given,) = more
        if node.target is ATEN.copy_.default and _alone(given, node) and _kind(given) == _kind(target):
            value = given
        elif node.target is ATEN.add_.Tensor and type(given) is int:
            with module.graph.inserting_before(node):
                value = module.graph.call_function(ATEN.add.Tensor, (target, given))
            value.meta["val"] = node.meta["val"]
        else:
            continue
        for written in (target, node):
            written.replace_all_uses_with(value, lambda reader, node=node: place.get(reader, -1) > place[node])
        module.graph.erase_node(node)


def _alone(value: Any, writer: fx.Node) -> bool:
    """Whether it is a result of its own of which nothing makes a view and to which nobody but the writer writes."""
    return isinstance(value, fx.Node) and all(map(_fresh, {value, *value.users} - {writer}))


def _fresh(node: fx.Node) -> bool:
    """Whether the operation's result shares no memory with what it is given."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and all(result.alias_info is None for result in schema.returns)


def _kind(node: fx.Node) -> tuple[torch.Size, torch.dtype]:
    return node.meta["val"].shape, node.meta["val"].dtype


def _reason(error: Exception) -> str:
    if "_local_scalar_dense" in str(error):
        return "a number read from a tensor (aten._local_scalar_dense) decides what it does"
    return str(error).strip().partition("\n")[0] or type(error).__name__


def in_place(node: fx.Node) -> bool:
    """Whether the operation changes what it is given."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


@functools.cache
def _table() -> dict[Any, Any]:
    """PyTorch's rules for its core set, and those beyond it that are written in ATen operations."""
    more = {op: rule for op, rule in decomposition_table.items() if rule.__module__ == "torch._decomp.decompositions"}
    return {**more, **core_aten_decompositions()}


def _merged(traced: Sequence[tuple[int, fx.GraphModule]]) -> Graph:
    sizes = [size for size, _ in traced]
    each = [list(module.graph.nodes) for _, module in traced]
    if len({len(nodes) for nodes in each}) > 1:
        raise Unlike
    numbers = [{node: k for k, node in enumerate(nodes)} for nodes in each]
    merge = _Merge(sizes)
    nodes: list[Node] = []
    outputs: tuple[Any, ...] = ()
    for column in zip(*each, strict=True):
        if len({(n.op, str(n.target)) for n in column}) > 1:
            raise Unlike
        first = column[0]
        args = merge([_referred(n.args, numbers[k]) for k, n in enumerate(column)])
        kwargs = merge([_referred(n.kwargs, numbers[k]) for k, n in enumerate(column)])
        if first.op == "output":
            outputs = tuple(args[0])
            continue
        target = first.target
        if first.op == "get_attr":
            constants = [getattr(module, str(n.target)) for n, (_, module) in zip(column, traced, strict=True)]
            if any(c.shape != constants[0].shape or not torch.equal(c, constants[0]) for c in constants):
                raise Unlike
            target = constants[0]
        shapes, dtypes = _results(column, merge, target)
        nodes.append(Node(target, tuple(args), dict(kwargs), shapes, dtypes))
    inputs = sum(n.op == "placeholder" for n in each[0])
    return Graph(tuple(nodes), inputs, outputs, None if len(traced) > 1 else sizes[0])


def _referred(arguments: Any, numbers: Mapping[fx.Node, int]) -> Any:
    return map_arg(arguments, cast(Any, lambda node: Ref(numbers[node])))


def _results(column: Sequence[fx.Node], merge: _Merge, target: Any) -> tuple[tuple, tuple]:
    if isinstance(target, Tensor):
        return (tuple(Dim.of(s) for s in target.shape),), (target.dtype,)
    values = [n.meta["val"] for n in column]
    each = [v if isinstance(v, list | tuple) else [v] for v in values]
    shapes = tuple(
        () if tensors[0] is None else tuple(Dim.of(d) for d in merge([tuple(t.shape) for t in tensors]))
        for tensors in zip(*each, strict=True)
    )
    return shapes, tuple(torch.float32 if t is None else t.dtype for t in each[0])


class _Merge:
    """What stands in both traces, with what differs by the batch size as a function of it."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = sizes

    def __call__(self, values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, list | tuple):
            if len({len(v) for v in values}) > 1:
                raise Unlike
            return [self(each) for each in zip(*values, strict=True)]
        if isinstance(first, dict):
            if len({tuple(v) for v in values}) > 1:
                raise Unlike
            return {key: self([v[key] for v in values]) for key in first}
        if all(type(v) is type(first) and v == first for v in values):
            return first
        if all(type(v) is int for v in values):
            return self._polynomial(values)
        if all(type(v) is float for v in values):
            if all(math.isnan(v) for v in values):
                return first
            return self._share(values)
        raise Unlike

    def _polynomial(self, values: Sequence[int]) -> Dim:
        (small, large), (a, b) = self.sizes, values
        slope, rest = divmod(b - a, large - small)
        if not rest:
            return Dim((a - slope * small, slope))
        slope, rest = divmod(b - a, large**2 - small**2)  # of all pairs of samples
        if rest or a != slope * small**2:
            raise Unlike
        return Dim((0, 0, slope))

    def _share(self, values: Sequence[float]) -> Share:
        (small, large), (a, b) = self.sizes, values
        if math.isclose(a * small, b * large, rel_tol=1e-12):
            return Share(a * small, 0.0, 0.0)
        # unbiased variances over k values of each sample: c kn / (kn − 1), whose inverse is linear in 1/n
        slope = (1 / a - 1 / b) / (1 / small - 1 / large)
        end = 1 / a - slope / small
        k = -end / slope
        if not (1 <= round(k) < 2**31 and math.isclose(k, round(k), rel_tol=1e-6)):
            raise Unlike
        k = round(k)
        factor = a * (k * small - 1) / (k * small)
        if not math.isclose(factor, b * (k * large - 1) / (k * large), rel_tol=1e-12):
            raise Unlike
        return Share(0.0, factor, -1 / k)
