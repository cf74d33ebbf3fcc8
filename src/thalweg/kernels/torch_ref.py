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
from torch import Tensor

from ..formulas import shapes
from ..formulas.base import Equations, Formula
from ..formulas.equations import WEIGHT_ITSELF
from . import staged
from .lower import Printer, lower
from .staged import TensorPrinter, TensorUpdate, condition, tensor


class _ScalarPrinter(Printer):
    """Float64 Python numbers or NumPy arrays, one value per member."""

    def root(self, argument: str) -> str:
        return f"_np.sqrt({argument})"

    def call(self, function: str, *arguments: str) -> str:
        return f"_np.{function}({', '.join(arguments)})"

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"_np.where({condition}, {yes}, {no})"


@functools.cache
def scalar_function(equations: Equations, of_tensors: bool = False) -> Callable[..., tuple]:
    """f(t, loss, hyperparameters…, states of one number…) → (what the body needs, those states' new values).

    Arguments may be numbers or NumPy arrays with one value per member, or float64 tensors if `of_tensors`.
    """
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
    equations: Equations, t: torch.Tensor, loss: torch.Tensor, table: torch.Tensor, row_states: Sequence[torch.Tensor]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """`scalar_function` in float64 where its arguments lie: (rows,) each, the table with a column for each."""
    computed = scalar_function(equations, True)(t, loss, *table.unbind(1), *row_states)
    passed, advanced = ([_constant_as(v, t) for v in part] for part in computed)
    return passed, advanced


def _constant_as(value: float | torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    tensor = value if isinstance(value, torch.Tensor) else _constant(float(value), t.dtype, t.device)
    return tensor.expand_as(t)


@functools.cache
def body(equations: Equations) -> Callable[..., tuple]:
    """f(gradient, weight, states…, what `scalar_function` passes…) → (step, states…) as torch operations."""
    program, printer = lower(equations), TensorPrinter()
    names = (name for name, _ in program.states)
    arguments = ", ".join(("g", "w", *names, *map(str, program.passed)))
    lines = [f"    {name} = {printer.doprint(value)}" for name, value in program.shared]
    returned = ", ".join(printer.doprint(value) for value in (program.step, *(v for _, v in program.states)))
    source = "\n".join([f"def body({arguments}):", *lines, f"    return ({returned},)"])
    namespace: dict = {"_torch": torch, "_tensor": tensor, "_condition": condition}
    exec(compile(source, f"<{equations.name} body>", "exec"), namespace)
    return namespace["body"]


def update(
    formula: Formula,
    w: Tensor,
    g: Tensor,
    states: Sequence[Tensor],
    t: int,
    hyperparameters: Mapping[str, float] | None = None,
    loss: float = float("nan"),
) -> None:
    """One step of the formula, in place, by plain torch operations; of a model of one tensor, where it sums over one.

    Args:
        w, g: weights and their gradient, any shape.
        states: for each of the states of the formula's form for that shape a tensor (see `initial_states`).
        t: the step, counted from 1.
        hyperparameters: values that differ from the formula's defaults.
        loss: of this batch, for rules that read it.

    >>> import torch, thalweg as tw
    >>> w = torch.tensor([1.0, -2.0]); a = torch.zeros(2)
    >>> update(tw.formulas.get("momentum"), w, torch.tensor([0.5, 0.5]), [a], 1, {"lr": 0.1})
    >>> w, a
    (tensor([ 0.9500, -2.0500]), tensor([0.5000, 0.5000]))
    """
    update_model(formula, [w], [g], [states], t, hyperparameters, loss)


def update_model(
    formula: Formula,
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    states: Sequence[Sequence[Tensor]],
    t: int,
    hyperparameters: Mapping[str, float] | None = None,
    loss: float = float("nan"),
) -> None:
    """One step of all tensors of a model; arguments as of `update`, for each of them."""
    values, updates = {**formula.hyperparameters, **(hyperparameters or {})}, []
    for w, g, own in zip(weights, gradients, states, strict=True):
        form = formula.of_shape(w.shape)
        equations, named = form.equations, dict(zip(form.states, own, strict=True))
        passed = scalars(equations, values, named, t, loss)
        updates.append(TensorUpdate(equations, w, g, [named[n] for n, _ in lower(equations).states], passed))
    for update, (new, after) in zip(updates, staged.advance_apart(updates), strict=True):
        update.w.copy_(new)
        for state, value in zip(update.states, after, strict=True):
            state.copy_(value)


def scalars(
    equations: Equations, values: Mapping[str, float], states: Mapping[str, Tensor], t: int, loss: float
) -> list[float]:
    """What the body needs, computed in float64; states of one number are advanced."""
    single = [states[name] for name, _ in lower(equations).row_states]
    numbers = [values[name] for name in equations.hyperparameters] + [float(s.reshape(-1)[0]) for s in single]
    with np.errstate(all="ignore"):  # 1/0 is inf here as in every kernel
        passed, advanced = scalar_function(equations)(*map(np.float64, (t, loss, *numbers)))
    for state, value in zip(single, advanced, strict=True):
        state.fill_(float(value))
    return [float(p) for p in passed]


def lookahead(
    formula: Formula, w: Tensor, states: Sequence[Tensor], t: int, hyperparameters: Mapping[str, float] | None = None
) -> None:
    """Move w, in place, to the point where the formula wants its gradient; for most rules that is w itself."""
    _move(formula.of_shape(w.shape), "lookahead", w, states, t, hyperparameters)


def shown(
    formula: Formula, w: Tensor, states: Sequence[Tensor], t: int, hyperparameters: Mapping[str, float] | None = None
) -> None:
    """Move w, in place, to the weights that are evaluated after step t; for most rules that is w itself."""
    _move(formula.of_shape(w.shape), "showing", w, states, t, hyperparameters)


def _move(
    form: Formula, which: str, w: Tensor, states: Sequence[Tensor], t: int, hyperparameters: Mapping[str, float] | None
) -> None:
    equations = getattr(form.equations, which)
    if equations is not None:
        alone = replace(form, equations=equations, by_shape={})
        update(alone, w, w, [s.clone() for s in states], t, hyperparameters)


def uphill(equations: Equations, w: Tensor, g: Tensor, values: Mapping[str, float]) -> TensorUpdate:
    """What a tensor needs to go, by a formula's `second`, from where its first gradient was taken to where it wants a
    second one."""
    return TensorUpdate(equations, w, g, (), scalars(equations, values, {}, 0, float("nan")))


def estimated(
    equations: Equations, w: Tensor, g: Tensor, states: Mapping[str, Tensor], t: int, values: Mapping[str, float]
) -> dict[str, Tensor]:
    """The states that the gradient g on sampled targets gives before step t, of a rule's `Equations.estimate`.

    Args:
        states: those of the rule, or those of them that the new ones go by.
    """
    names = equations.state_names
    _, *new = body(equations)(g, w, *(states[name] for name in names), *scalars(equations, values, {}, t, float("nan")))
    return dict(zip(names, new, strict=True))


def initial_states(formula: Formula, w: Tensor, hyperparameters: Mapping[str, float]) -> list[Tensor]:
    """The states before the first step: each of the shape it has for such a weight, or a float64 number where it is one
    number, known before the step."""
    values, form = {**formula.hyperparameters, **hyperparameters}, formula.of_shape(w.shape)
    states = []
    for name, first in form.equations.initial:
        if first == WEIGHT_ITSELF:
            states.append(w.detach().clone())
            continue
        value = values[first] if isinstance(first, str) else float(first)
        if name in form.equations.single:
            states.append(torch.tensor(value, dtype=torch.float64, device=w.device))
        else:
            extent = shapes.extent(form.equations.shape(name), w.shape, form.equations.batched)
            states.append(torch.full_like(w, value) if extent == w.shape else w.new_full(extent, value))
    return states
