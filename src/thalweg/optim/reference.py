"""A parameter that no compiled kernel takes: the reference updates it, and the results go into its formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..kernels import storage, torch_ref
from . import states
from .parameter import Parameter, StepOptions


def update(
    h: Parameter,
    g: Tensor,
    t: int,
    row_states: np.ndarray,
    hyperparameters: Mapping[str, float],
    loss: float,
    options: StepOptions,
) -> None:
    """One step in place, computed in float32, or in float64 where the weight is.

    Args:
        g: the gradient times the step's factor.
        row_states: advanced in place.
    """
    wide, single = computed_in(h.weight), h.formula.equations.single
    each = readable(h, options, wide)
    numbers = [torch.tensor(value, dtype=torch.float64) for value in row_states[: len(single)].tolist()]
    rest, ones = iter(each), iter(numbers)
    named = [next(ones if name in single else rest) for name in h.formula.states]
    w = h.weight.detach().to(wide, copy=True)
    g = g if options.clip_value is None else g.clamp(-options.clip_value, options.clip_value)
    torch_ref.update(h.formula, w, g, named, t, hyperparameters, loss)
    row_states[: len(single)] = [float(value) for value in numbers]
    store(h, t, w, each, options)


def computed_in(w: Tensor) -> torch.dtype:
    """The dtype that a step of this weight is computed in."""
    return torch.float64 if w.dtype == torch.float64 else torch.float32


def readable(h: Parameter, options: StepOptions, wide: torch.dtype) -> list[Tensor]:
    """The parameter's states as values of the computation; numbers of the whole model stay as they are kept."""
    pairs = zip(h.states, h.scales, strict=True)
    values = (state if scale is None else states.unpacked(state, scale) for state, scale in pairs)
    return [value if value.dtype == torch.float64 and value.dim() == 0 else value.to(wide) for value in values]


def store(h: Parameter, t: int, w: Tensor, each: Sequence[Tensor], options: StepOptions) -> None:
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
