"""Parameters whose rule looks beyond one weight: at its tensor, or at the whole model.

On a CPU those in float32 and float64 go through compiled loops, `kernels/numba_tensors.py`, where a formula needs no
more than these have. All others take a step together, by the torch operations of `kernels/staged.py`, computed in
float32 (float64 where the weight is) and rounded once into the formats that weights and states have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..formulas import Formula, shapes
from ..kernels import numba_tensors, staged
from ..kernels.lower import lower
from ..kernels.numba_tensors import TensorStep
from ..kernels.torch_ref import scalars
from . import reference, sharded
from .parameter import Parameter, StepOptions


def refuse(parameters: Sequence[Parameter], params: Sequence[Tensor]) -> None:
    """Refuse weights that lie in parts: what looks beyond one of them needs all."""
    for h in parameters:
        refuse_sharded(h.formula, params[h.index])


def refuse_sharded(formula: Formula, p: Tensor) -> None:
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
        for k, (name, _) in enumerate(equations.states):
            if equations.shape(name) == shapes.MODEL:
                first = next(s[key(name)] for s in held if key(name) in s)
                own[k] = state[params[h.index]][key(name)] = one.setdefault(name, first)
        shared.append(h.with_states(own))
    return shared


def update(
    parameters: Sequence[Parameter],
    plain: Sequence[bool],
    gradients: Sequence[Tensor],
    counts: Sequence[float],
    numbers: np.ndarray,
    hyperparameters: Sequence[Mapping[str, float]],
    loss: float,
    options: StepOptions,
) -> None:
    """One step of these parameters, in place.

    Args:
        plain: see the function of that name.
        gradients: times the step's factor, in the dtype of the computation.
        counts: the steps of each, this one included.
        numbers: (parameters, numbers) the states of one number; advanced in place.
    """
    steps: list[TensorStep] = []
    scalars_of: dict[Any, tuple[list[float], list[float]]] = {}  # most tensors share them
    for h, g, t, row, values in zip(parameters, gradients, counts, numbers, hyperparameters, strict=True):
        equations, single = h.formula.equations, h.formula.equations.single
        alike = (equations, t, *values.values(), *row)
        if alike not in scalars_of:
            named = {name: torch.tensor(value, dtype=torch.float64) for name, value in zip(single, row, strict=False)}
            scalars_of[alike] = scalars(equations, values, named, int(t), loss), [*map(float, named.values())]
        passed, row[: len(single)] = scalars_of[alike]
        g = g if options.clip_value is None else g.clamp(-options.clip_value, options.clip_value)
        steps.append(TensorStep((g, h.weight.detach(), *h.states), tuple(passed)))
    updates, others = [], []
    compiled: dict[numba_tensors.Compiled, list[TensorStep]] = {}
    for h, t, step, program in zip(parameters, counts, steps, _compiled(parameters, plain, steps), strict=True):
        equations, (g, w, *_) = h.formula.equations, step.tensors
        if program is not None:
            compiled.setdefault(program, []).append(step)
        else:
            others.append((h, t))
            each = reference.readable(h, options, g.dtype)
            updates.append(staged.TensorUpdate(equations, w.to(g.dtype), g, each, step.numbers))
    for program, alike in compiled.items():
        numba_tensors.advance(program, alike, torch.get_num_threads())
    ends = [*zip(others, staged.advance(updates), strict=True)]
    for (h, t), (w, after) in reversed(ends):  # a number of the whole model is that of the first parameter
        reference.store(h, int(t), w, after, options)


def _compiled(
    parameters: Sequence[Parameter], plain: Sequence[bool], steps: Sequence[TensorStep]
) -> list[numba_tensors.Compiled | None]:
    """The compiled loops that each goes through: of those that look at the whole model all through the same or none."""
    programs, known = list[numba_tensors.Compiled | None](), dict[Any, numba_tensors.Compiled | None]()
    for h, lies, step in zip(parameters, plain, steps, strict=True):
        equations, (g, w, *_) = h.formula.equations, step.tensors
        if (key := (equations, w.dtype, step.numbers)) not in known:
            known[key] = None if equations.single else numba_tensors.covering(*key)
        found = known[key]
        reached = lies and g.dtype is w.dtype and g.is_contiguous()
        programs.append(found if found is not None and reached and found.takes(w) else None)
    whole = [h.formula.equations.whole for h in parameters]
    together = None not in programs and len(set(programs)) == 1
    return [program if together or not of else None for program, of in zip(programs, whole, strict=True)]


def plain(h: Parameter) -> bool:
    """Whether compiled loops read and write the weight and the states where they lie."""
    equations = h.formula.equations
    names = [name for name, _ in lower(equations).states]
    own = [s for s, name in zip(h.states, names, strict=True) if equations.shape(name) != shapes.MODEL]
    return (
        h.average is None
        and all(scale is None for scale in h.scales)
        and all(x.dtype is h.weight.dtype and x.is_contiguous() for x in (h.weight, *own))
    )
