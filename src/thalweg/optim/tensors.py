"""Parameters that step tensor by tensor: their rule looks at a tensor or at the whole model, or no batch takes them.

Of rules that look beyond one weight, those in float32 and float64 on a CPU go through compiled loops,
`kernels/numba_tensors.py`, where a formula needs no more than these have. All others take a step together, by the torch
operations of `kernels/staged.py`, computed in float32 (float64 where the weight is) and rounded once into the formats
that weights and states have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..formulas import Formula, shapes
from ..kernels import numba_tensors, staged, storage
from ..kernels.lower import lower
from ..kernels.numba_tensors import TensorStep
from ..kernels.torch_ref import scalars
from . import sharded, states
from .parameter import Parameter, StepOptions


def refuse_sharded(formula: Formula, p: Tensor) -> None:
    """Refuse weights that lie in parts: what looks beyond one of them needs all."""
    if sharded.is_sharded(p):
        raise UsageError(
            f"{formula.name} looks at whole tensors, and a parameter of shape {tuple(p.shape)} is a DTensor, of which "
            "a part lies here; use a rule that updates every weight by itself, such as adamw."
        )


def share(
    parameters: Sequence[Parameter], state: Any, params: Sequence[Tensor], key: Callable[[str], str]
) -> list[Parameter]:
    """The parameters with one tensor for all of each state that is one number per model: the first one present."""
    one: dict[str, Tensor] = {}
    held = list(state.values())
    shared = []
    for h in parameters:
        equations, own = h.formula.equations, list(h.states)
        for k, (name, _) in enumerate(lower(equations).states):
            if equations.shape(name) == shapes.MODEL:
                first = next(s[key(name)] for s in held if key(name) in s)
                own[k] = state[params[h.index]][key(name)] = one.setdefault(name, first)
        shared.append(replace(h, states=tuple(own)))
    return shared


class Place(NamedTuple):
    """Where a parameter lies, which a step need not look up: as long as a plan holds, it stays there.

    Attributes:
        tensors: the weight and its states.
        plain: whether compiled loops read and write these as they are.
    """

    tensors: tuple[Tensor, ...]
    plain: bool


def update(
    parameters: Sequence[Parameter],
    places: Sequence[Place],
    kept: dict[Any, numba_tensors.Sweep],
    gradients: Sequence[Tensor],
    counts: Sequence[float],
    numbers: np.ndarray,
    hyperparameters: Sequence[Mapping[str, float]],
    loss: float,
    options: StepOptions,
) -> None:
    """One step of these parameters, in place.

    Args:
        kept: what was laid out for these places, from step to step.
        gradients: times the step's factor, in the dtype of the computation.
        counts: the steps of each, this one included.
        numbers: (parameters, numbers) the states of one number; advanced in place.
        hyperparameters: one mapping for all that share them.
    """
    steps: list[TensorStep] = []
    scalars_of: dict[Any, tuple[tuple[float, ...], list[float]]] = {}  # most tensors share them
    each = zip(parameters, places, gradients, counts, numbers, hyperparameters, strict=True)
    for h, place, g, t, row, values in each:
        equations, single = h.formula.equations, h.formula.equations.single
        alike = (id(equations), id(values), t, *(row if single else ()))
        if alike not in scalars_of:
            named = {name: torch.tensor(value, dtype=torch.float64) for name, value in zip(single, row, strict=False)}
            passed = tuple(scalars(equations, values, named, int(t), loss))
            scalars_of[alike] = passed, [*map(float, named.values())]
        passed, advanced = scalars_of[alike]
        if single:
            row[: len(single)] = advanced
        g = g if options.clip_value is None else g.clamp(-options.clip_value, options.clip_value)
        steps.append(TensorStep((g, *place.tensors), passed))
    updates, others = [], []
    compiled: dict[numba_tensors.Compiled, dict[int, TensorStep]] = {}
    programs = _compiled(parameters, places, steps)
    for k, (h, t, step, program) in enumerate(zip(parameters, counts, steps, programs, strict=True)):
        equations, (g, w, *_) = h.formula.equations, step.tensors
        if program is not None:
            compiled.setdefault(program, {})[k] = step
        else:
            others.append((h, t))
            own = _readable(h, g.dtype)
            updates.append(staged.TensorUpdate(equations, w.to(g.dtype), g, own, step.numbers))
    for program, alike in compiled.items():
        numba_tensors.advance(program, alike, torch.get_num_threads(), kept)
    ends = [*zip(others, staged.advance_apart(updates), strict=True)]
    for (h, t), (w, after) in reversed(ends):  # a number of the whole model is that of the first parameter
        _store(h, int(t), w, after, options)


def _compiled(
    parameters: Sequence[Parameter], places: Sequence[Place], steps: Sequence[TensorStep]
) -> list[numba_tensors.Compiled | None]:
    """The compiled loops that each goes through: of those that look at the whole model all through the same or none."""
    programs, known = list[numba_tensors.Compiled | None](), dict[Any, numba_tensors.Compiled | None]()
    for h, place, step in zip(parameters, places, steps, strict=True):
        equations, g, w = h.formula.equations, step.tensors[0], step.tensors[1]
        if (key := (id(equations), id(step.numbers), w.dtype)) not in known:
            by_torch = equations.elementwise or equations.single
            known[key] = None if by_torch else numba_tensors.covering(equations, w.dtype, step.numbers)
        found = known[key]
        reached = place.plain and g.dtype is w.dtype and g.is_contiguous()
        programs.append(found if found is not None and reached and found.takes(w) else None)
    whole = [h.formula.equations.whole for h in parameters]
    together = None not in programs and len(set(programs)) == 1
    return [program if together or not of else None for program, of in zip(programs, whole, strict=True)]


def place_of(h: Parameter) -> Place:
    equations = h.formula.equations
    names = [name for name, _ in lower(equations).states]
    own = [s for s, name in zip(h.states, names, strict=True) if equations.shape(name) != shapes.MODEL]
    plain = h.average is None and all(scale is None for scale in h.scales)
    plain = plain and all(x.dtype is h.weight.dtype and x.is_contiguous() for x in (h.weight, *own))
    return Place((h.weight.detach(), *h.states), plain)


def _readable(h: Parameter, wide: torch.dtype) -> list[Tensor]:
    """The parameter's states as values of the computation; numbers of the whole model stay as they are kept."""
    pairs = zip(h.states, h.scales, strict=True)
    values = (state if scale is None else states.unpacked(state, scale) for state, scale in pairs)
    return [value if value.dtype == torch.float64 and value.dim() == 0 else value.to(wide) for value in values]


def _store(h: Parameter, t: int, w: Tensor, each: Sequence[Tensor], options: StepOptions) -> None:
    """Put new weights and states into their formats, rounded as kernels do; then the average of weights."""
    weight, stream, form = h.weight.detach(), 0, states.format_of(options.state_dtype)
    if options.stochastic_rounding and weight.dtype == torch.bfloat16:
        weight.copy_(storage.to_bfloat16(w, storage.noise(h.index, t, stream, w.numel())))
        stream += 1
    else:
        weight.copy_(w)
    for k, (state, scale, new) in enumerate(zip(h.states, h.scales, each, strict=True)):
        drawn = form is not None and storage.stochastic(form) and state.shape == weight.shape
        bits = storage.noise(h.index, t, stream + k, new.numel()) if drawn else None
        if scale is not None:
            codes, new_scale = states.packed(states.laid_out(new, state, new.dtype), bits)
            state.copy_(codes)
            scale.copy_(new_scale)
        else:
            state.copy_(new if bits is None or state.dtype != torch.bfloat16 else storage.to_bfloat16(new, bits))
    if h.average is not None:
        h.average.lerp_(w.to(h.average.dtype), 1 - (options.ema_decay or 0.0))
