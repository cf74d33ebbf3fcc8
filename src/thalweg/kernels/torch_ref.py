"""The reference: a formula as plain torch operations, in whatever dtype and on whatever device.

It is what the other kernels are measured against, and what runs where no compiled kernel exists. Scalars are float64;
`exact` states and weights in float64 give the trajectory that a float32 kernel approximates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..formulas.base import Equations, Formula
from .lower import Printer, lower


class _ScalarPrinter(Printer):
    """Float64 Python numbers or NumPy arrays, one value per member."""

    def root(self, argument: str) -> str:
        return f"_np.sqrt({argument})"

    def call(self, function: str, *arguments: str) -> str:
        return f"_np.{function}({', '.join(arguments)})"

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"_np.where({condition}, {yes}, {no})"


class _TensorPrinter(Printer):
    def call(self, function: str, *arguments: str) -> str:
        if function in ("maximum", "minimum"):
            arguments = tuple(f"_tensor({a}, w)" for a in arguments)
        return f"_torch.{function}({', '.join(arguments)})"

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"_torch.where(_condition({condition}, w), {yes}, _tensor({no}, w))"


Reference = Callable[..., "list[torch.Tensor]"]


@functools.cache
def scalar_function(equations: Equations) -> Callable[..., tuple]:
    """f(t, loss, hyperparameters…, states of one number…) → (what the body needs, those states' new values).

    Arguments may be numbers or NumPy arrays with one value per member.
    """
    return _scalars(equations, False)


@functools.cache
def _scalars(equations: Equations, of_tensors: bool) -> Callable[..., tuple]:
    """`scalar_function` by the functions of NumPy, or of torch."""
    program, printer = lower(equations), _ScalarPrinter()
    lines = [f"    {name} = {printer.doprint(value)}" for name, value in program.scalars]
    arguments = ", ".join(("t", "loss", *equations.hyperparameters, *(name for name, _ in program.row_states)))
    passed = "".join(f"{name}, " for name in program.passed)
    advanced = "".join(f"{name}, " for _, name in program.row_states)
    source = "\n".join([f"def scalars({arguments}):", *lines, f"    return ({passed}), ({advanced})"])
    namespace: dict = {"_np": _OfTensors() if of_tensors else np}
    exec(compile(source, f"<{equations.name} scalars>", "exec"), namespace)
    return namespace["scalars"]


class _OfTensors:
    """Torch's functions under NumPy's names, for numbers beside float64 tensors."""

    def __getattr__(self, name: str) -> Callable[..., torch.Tensor]:
        function = getattr(torch, name)

        def call(*arguments: Any) -> torch.Tensor:
            device = next((a.device for a in arguments if isinstance(a, torch.Tensor)), None)
            dtypes = [torch.bool if isinstance(a, bool) else torch.float64 for a in arguments]
            pairs = zip(arguments, dtypes, strict=True)
            return function(*(a if isinstance(a, torch.Tensor) else _constant(a, d, device) for a, d in pairs))

        return call


@functools.cache
def _constant(value: float | bool, dtype: torch.dtype, device: torch.device | None) -> torch.Tensor:
    """A number where tensors are; made once, so that nothing is sent to a GPU while its steps are captured."""
    return torch.tensor(value, dtype=dtype, device=device)


def scalars_on_device(
    equations: Equations, t: torch.Tensor, loss: torch.Tensor, table: torch.Tensor, row_states: torch.Tensor
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """`scalar_function` in float64 where its arguments lie: (rows,) each, table and states with a column for each."""
    computed = _scalars(equations, True)(t, loss, *table.unbind(1), *row_states.unbind(1))
    passed, advanced = ([_constant_as(v, t) for v in part] for part in computed)
    return passed, advanced


def _constant_as(value: float | torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    tensor = value if isinstance(value, torch.Tensor) else _constant(float(value), t.dtype, t.device)
    return tensor.expand_as(t)


@functools.cache
def body(equations: Equations) -> Callable[..., tuple]:
    """f(gradient, weight, states…, what `scalar_function` passes…) → (step, states…) as torch operations."""
    program, printer = lower(equations), _TensorPrinter()
    names = (name for name, _ in program.states)
    arguments = ", ".join(("g", "w", *names, *map(str, program.passed)))
    lines = [f"    {name} = {printer.doprint(value)}" for name, value in program.shared]
    returned = ", ".join(printer.doprint(value) for value in (program.step, *(v for _, v in program.states)))
    source = "\n".join([f"def body({arguments}):", *lines, f"    return ({returned},)"])
    namespace: dict = {"_torch": torch, "_tensor": _tensor, "_condition": _condition}
    exec(compile(source, f"<{equations.name} body>", "exec"), namespace)
    return namespace["body"]


def update(
    formula: Formula,
    w: torch.Tensor,
    g: torch.Tensor,
    states: Sequence[torch.Tensor],
    t: int,
    hyperparameters: Mapping[str, float] | None = None,
    loss: float = float("nan"),
) -> None:
    """One step of the formula, in place, by plain torch operations.

    Args:
        w, g: weights and their gradient, any shape.
        states: for each of ``formula.states`` a tensor like `w`, or of one number (see `initial_states`).
        t: the step, counted from 1.
        hyperparameters: values that differ from the formula's defaults.
        loss: of this batch, for rules that read it.

    >>> import torch, thalweg as tw
    >>> w = torch.tensor([1.0, -2.0]); a = torch.zeros(2)
    >>> update(tw.formulas.get("momentum"), w, torch.tensor([0.5, 0.5]), [a], 1, {"lr": 0.1})
    >>> w, a
    (tensor([ 0.9500, -2.0500]), tensor([0.5000, 0.5000]))
    """
    equations = formula.equations
    values = {**formula.hyperparameters, **(hyperparameters or {})}
    single = [s for name, s in zip(formula.states, states, strict=True) if name in equations.single]
    each = [s for name, s in zip(formula.states, states, strict=True) if name not in equations.single]
    numbers = [values[name] for name in equations.hyperparameters] + [float(s.reshape(-1)[0]) for s in single]
    with np.errstate(all="ignore"):  # 1/0 is inf here as in every kernel
        passed, advanced = scalar_function(equations)(*map(np.float64, (t, loss, *numbers)))
    step, *new = body(equations)(g, w, *each, *map(float, passed))
    after = [_tensor(value, w).expand_as(w).clone() for value in new]  # a new value may be an old state
    w.add_(step)
    for state, value in zip((*each, *single), (*after, *advanced), strict=True):
        state.copy_(value) if isinstance(value, torch.Tensor) else state.fill_(float(value))


def lookahead(
    formula: Formula,
    w: torch.Tensor,
    states: Sequence[torch.Tensor],
    t: int,
    hyperparameters: Mapping[str, float] | None = None,
) -> None:
    """Move w, in place, to the point where the formula wants its gradient; for most rules that is w itself."""
    equations = formula.equations.lookahead
    if equations is not None:
        update(replace(formula, equations=equations), w, w, states, t, hyperparameters)


def initial_states(formula: Formula, w: torch.Tensor, hyperparameters: Mapping[str, float]) -> list[torch.Tensor]:
    """The states before the first step: each shaped like `w`, or a float64 number where it is one for all."""
    values = {**formula.hyperparameters, **hyperparameters}
    states = []
    for name, first in formula.equations.initial:
        value = values[first] if isinstance(first, str) else float(first)
        number = torch.tensor(value, dtype=torch.float64, device=w.device)
        states.append(number if name in formula.equations.single else torch.full_like(w, value))
    return states


def _tensor(value: torch.Tensor | float, w: torch.Tensor) -> torch.Tensor:
    """A number beside tensors would be taken in torch's default dtype, and rounded to it."""
    return value if isinstance(value, torch.Tensor) else w.new_tensor(value)


def _condition(value: torch.Tensor | bool, w: torch.Tensor) -> torch.Tensor:
    return value if isinstance(value, torch.Tensor) else torch.tensor(bool(value), device=w.device)
