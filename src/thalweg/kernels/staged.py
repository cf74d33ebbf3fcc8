"""Formulas that look beyond one weight, as plain torch operations: the reference for them, and what programs trace.

A formula's loop body becomes a generator, one for each tensor of a model. It runs to its next sum over the model, gives
its tensor's share, and is sent what all tensors gave together. A tensor is seen as (…, rows, columns), see
`formulas/shapes.py`; numbers known before the step are floats or tensors without axes. What a guard chooses is not
computed where it is not chosen: an eigenbasis that is renewed every ten steps costs nothing at the other nine.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..formulas import operations, shapes
from ..formulas.equations import Equations
from . import tensor_ops
from .lower import Printer, lower

Body = Callable[..., Generator[Tensor, Tensor, tuple[Any, ...]]]


class TensorPrinter(Printer):
    """Torch operations on tensors, where a number may stand in place of one."""

    def call(self, function: str, *arguments: str) -> str:
        if function in ("maximum", "minimum"):
            arguments = tuple(f"_tensor({a}, w)" for a in arguments)
        place = "_ops" if function in operations.WORDS else "_torch"
        return f"{place}.{function}({', '.join(arguments)})"

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"_torch.where(_condition({condition}, w), {yes}, _tensor({no}, w))"


class _Lazy(TensorPrinter):
    """Computes only the branch that a guard chooses; what several places need is computed where the first needs it."""

    def __init__(self, guards: Sequence[Any]) -> None:
        super().__init__()
        self.guards = set(guards)
        self.waiting: set[Any] = set()

    def _print_Symbol(self, expr: Any) -> str:
        return f"{expr}()" if expr in self.waiting else str(expr)

    def _print_Piecewise(self, expr: Any) -> str:
        *branches, (last, _) = expr.args
        text = self._print(last)
        for value, condition in reversed(branches):
            yes, asked = self._print(value), self._print(condition)
            if condition.free_symbols <= self.guards:
                text = f"_tensor({yes} if {asked} else {text}, w)"
            else:
                text = self.choose(asked, yes, text)
        return text


@functools.cache
def body(equations: Equations) -> Body:
    """f(g, w, states…, passed…) → the step and the new states; a generator, see above."""
    program = lower(equations)
    printer = _Lazy(program.guards)
    names = (name for name, _ in program.states)
    arguments = ", ".join(("g", "w", *names, *map(str, program.passed)))
    lines = [_line(name, value, printer) for name, value in program.shared]
    returned = ", ".join(printer.doprint(value) for value in (program.step, *(v for _, v in program.states)))
    source = "\n".join([f"def body({arguments}):", *lines, f"    return ({returned},)", "    yield"])
    namespace: dict = {
        "_torch": torch,
        "_ops": tensor_ops,
        "_tensor": tensor,
        "_condition": condition,
        "_cache": functools.cache,
    }
    exec(compile(source, f"<{equations.name} of tensors>", "exec"), namespace)
    return namespace["body"]


def _line(name: Any, value: Any, printer: _Lazy) -> str:
    if isinstance(value, operations.total):
        return f"    {name} = yield _tensor({printer.doprint(value.args[0])}, w).sum()"
    text = printer.doprint(value)
    if value.is_Relational and value.free_symbols <= printer.guards:
        printer.guards.add(name)  # a condition of several places has a name
    elif printer.guards and value.has(operations.OperationBase):
        printer.waiting.add(name)
        return f"    {name} = _cache(lambda: {text})"
    return f"    {name} = {text}"


@functools.cache
def _as_weight(equations: Equations) -> tuple[bool, ...]:
    """Of each state whether it has the weight's shape. A weight without axes has that of a number of the model by
    chance, and such a number stays one: seen as a matrix, in float64, it would make float64 of all beside it."""
    return tuple(equations.shape(name) == shapes.WEIGHT for name, _ in lower(equations).states)


@dataclass(frozen=True)
class TensorUpdate:
    """What one tensor of a model needs for a step.

    Attributes:
        states: those of `lower(equations).states`, in their order, each as `shapes.extent` says.
        passed: of the row that the tensor goes by, see `Program.passed`.
    """

    equations: Equations
    w: Tensor
    g: Tensor
    states: Sequence[Tensor]
    passed: Sequence[Any]

    def begun(self) -> Generator[Tensor, Tensor, tuple[Any, ...]]:
        views = [self._seen(x) for x in (self.g, self.w)]
        states = [self._seen(s) if own else s for s, own in zip(self.states, _as_weight(self.equations), strict=True)]
        return body(self.equations)(*views, *states, *self.passed)

    def _seen(self, x: Tensor) -> Tensor:
        return x.reshape(shapes.matrix(x.shape, self.equations.batched))

    def ended(self, values: Sequence[Any]) -> tuple[Tensor, list[Tensor]]:
        """The new weight and states, in the shapes and dtypes that the old ones have."""
        step, *new = values
        w = self._seen(self.w)
        states = [
            tensor(v, w).expand_as(w if own else s).reshape(s.shape).to(s.dtype)
            for v, s, own in zip(new, self.states, _as_weight(self.equations), strict=True)
        ]
        return (w + step).reshape(self.w.shape).to(w.dtype), states


def advance(updates: Sequence[TensorUpdate]) -> list[tuple[Tensor, list[Tensor]]]:
    """One step of all tensors of a model: the new weight and states of each; nothing is changed in place."""
    ends: list[Any] = [None] * len(updates)
    running = {k: update.begun() for k, update in enumerate(updates)}
    sent: Tensor | None = None
    while running:
        shares = []
        for k, one in list(running.items()):
            try:
                shares.append(one.send(sent))  # type: ignore[arg-type]
            except StopIteration as end:
                ends[k] = end.value
                del running[k]
        sent = functools.reduce(torch.add, shares) if shares else None
    return [update.ended(end) for update, end in zip(updates, ends, strict=True)]


def advance_apart(updates: Sequence[TensorUpdate]) -> list[tuple[Tensor, list[Tensor]]]:
    """`advance` for results that are written over the old values: a state that takes an old value is a copy of it."""
    old = {x.data_ptr() for update in updates for x in (update.w, *update.states)}
    ends = advance(updates)
    return [(w, [s.clone() if s.data_ptr() in old else s for s in states]) for w, states in ends]


def tensor(value: Tensor | float, w: Tensor) -> Tensor:
    """A number beside tensors would be taken in torch's default dtype, and rounded to it."""
    return value if isinstance(value, Tensor) else w.new_full((), value)


def condition(value: Tensor | bool, w: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else w.new_full((), bool(value), dtype=torch.bool)
