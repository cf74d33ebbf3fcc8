"""A parameter that has a gradient: where its weight, states and average lie, and which kernel formats they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from ..errors import UsageError
from ..formulas import Formula, shapes
from ..formulas.equations import WEIGHT_ITSELF
from ..formulas.shapes import WEIGHT
from ..kernels.backends import backend_of
from ..kernels.formats import Formats
from . import sharded, states
from .rules import Rule


@dataclass(frozen=True)
class StepOptions:
    """What surrounds the update in one step, and how the results are kept; see `FormulaOptimizer`."""

    max_norm: float | None
    clip_value: float | None
    ema_decay: float | None
    zero_grad: bool
    state_dtype: states.StateDtype = None
    stochastic_rounding: bool = False


class Optimizer(Protocol):
    """What a plan reads of an optimizer, and the states that it puts there.

    Attributes:
        scaled: whether the gradients still have the scale of the loss.
    """

    rule: ClassVar[Rule]
    options: StepOptions
    scaled: bool
    state: Any
    param_groups: list[dict[str, Any]]


@dataclass(frozen=True)
class Parameter:
    """What a step needs of a parameter that has a gradient."""

    index: int  # among all parameters
    group: int
    formula: Formula
    steps: float  # before this plan
    weight: Tensor
    states: tuple[Tensor, ...]  # values, or codes of those that are int8; numbers known before the step aside
    scales: tuple[Tensor | None, ...]  # of each state: of its codes
    row_states: tuple[float, ...]  # one number each
    average: Tensor | None
    formats: Formats | None  # None: no compiled kernel

    @property
    def streams(self) -> list[Tensor]:
        """Everything beside weight and gradient, in the order of the kernel."""
        scales = [scale for scale in self.scales if scale is not None]
        return [*self.states, *(() if self.average is None else (self.average,)), *scales]


def parameter_of(
    optimizer: Optimizer, p: Tensor, index: int, group: int, formula: Formula, numbers: Mapping[str, float]
) -> Parameter:
    """The parameter, whose states are created in the optimizer where they are missing.

    Args:
        numbers: the group's hyperparameters.
    """
    options, rule = optimizer.options, optimizer.rule
    form, steps = states.format_of(options.state_dtype), _steps_taken(rule, optimizer.state.get(p, {}))
    each, scales, row_states, equations = [], [], [], formula.equations
    for name, first in equations.initial:
        state, key = optimizer.state[p], rule.state(name)
        value = p.detach() if first == WEIGHT_ITSELF else numbers[first] if isinstance(first, str) else first
        if name in equations.single:
            row_states.append(float(state.get(key, value)))
        elif (shape := equations.shape(name)) != WEIGHT:
            extent = shapes.extent(shape, p.shape, equations.batched)
            each.append(states.take_up_shaped(state, key, p, float(value), extent))
            scales.append(None)
        else:
            values, scale = states.take_up(state, key, p, value, form)
            each.append(sharded.local(values))
            scales.append(scale)
    average = None if options.ema_decay is None else _average(optimizer.state[p], p)
    w = sharded.local(p)
    fit = equations.elementwise
    formats = _formats(w, each, average, form, options.stochastic_rounding) if fit else None
    return Parameter(index, group, formula, steps, w, tuple(each), tuple(scales), tuple(row_states), average, formats)


def _steps_taken(rule: Rule, state: Mapping[str, Any]) -> float:
    if rule.keeps_step:
        return float(state.get("step", 0))
    return float(any(name != "ema" for name in state))  # SGD asks only whether a step is the first


def _average(state: dict[str, Any], p: Tensor) -> Tensor:
    """The moving average of the weights; it starts at the weights, half precision in float32."""
    half = p.dtype in (torch.float16, torch.bfloat16)
    first = p.detach().to(torch.float32) if half else p.detach().clone()
    present = sharded.placed(state.get("ema", first), p)
    state["ema"] = states.laid_out(present, p, present.dtype)
    return sharded.local(state["ema"])


def _formats(w: Tensor, each: list[Tensor], average: Tensor | None, form: str | None, noisy: bool) -> Formats | None:
    """The formats a kernel is compiled for, or None where no compiled kernel has them."""
    dense = torch.empty_like(w, device="meta").stride() == w.stride()
    tensors = each if average is None else [*each, average]
    alike = all(s.stride() == w.stride() and s.device == w.device for s in tensors)
    backend, weight = backend_of(w.device), states.name_of(w.dtype)
    if backend is None or not (dense and alike):
        return None
    forms = tuple(form or states.name_of(s.dtype) for s in each)
    of_average = weight if average is None else states.name_of(average.dtype)
    if not {weight, of_average, *forms}.issubset(backend.FORMATS):
        return None
    rounded = weight == "bfloat16" and noisy
    return Formats(f"{weight} stochastic" if rounded else weight, weight, forms, of_average)


def computed_in(w: Tensor) -> torch.dtype:
    """The dtype that a step of this weight by torch operations is computed in."""
    return torch.float64 if w.dtype == torch.float64 else torch.float32


def refuse(p: Tensor, g: Tensor) -> None:
    """Refuse weights and gradients that no formula updates."""
    if g.layout != torch.strided:
        raise UsageError(
            "the gradient of a parameter of shape {shape} is sparse; thalweg's optimizers take dense "
            "gradients only: make the layer with sparse=False, or use torch.optim.SparseAdam for it.",
            shape=tuple(p.shape),
        )
    if p.is_complex() or g.is_complex():
        raise UsageError(
            "a parameter of shape {shape} is complex; thalweg's optimizers take real weights only: hold "
            "its real and imaginary parts, torch.view_as_real(w), as the parameter.",
            shape=tuple(p.shape),
        )
    if g.shape != p.shape:
        raise UsageError(
            "a parameter of shape {shape} has a gradient of shape {shape2}; compute the gradient after "
            "the parameter is replaced.",
            shape=tuple(p.shape),
            shape2=tuple(g.shape),
        )
