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
    wide = torch.float64 if h.weight.dtype == torch.float64 else torch.float32
    form, single = states.format_of(options.state_dtype), h.formula.equations.single
    each = [states.unpacked(s, h.scales[k]).to(wide) if form == "int8" else s.to(wide) for k, s in enumerate(h.states)]
    numbers = [torch.tensor(value, dtype=torch.float64) for value in row_states[: len(single)].tolist()]
    rest, ones = iter(each), iter(numbers)
    named = [next(ones if name in single else rest) for name in h.formula.states]
    w = h.weight.detach().to(wide, copy=True)
    g = g if options.clip_value is None else g.clamp(-options.clip_value, options.clip_value)
    torch_ref.update(h.formula, w, g, named, t, hyperparameters, loss)
    _store(h, t, w, each, form, options.stochastic_rounding)
    row_states[: len(single)] = [float(value) for value in numbers]
    if h.average is not None:
        h.average.lerp_(w.to(h.average.dtype), 1 - (options.ema_decay or 0.0))


def _store(h: Parameter, t: int, w: Tensor, each: Sequence[Tensor], form: str | None, noisy: bool) -> None:
    """Put new weights and states into their formats, rounded as the compiled kernels do."""
    weight, stream = h.weight.detach(), 0
    if noisy and weight.dtype == torch.bfloat16:
        weight.copy_(storage.to_bfloat16(w, storage.noise(h.index, t, stream, w.numel())))
        stream += 1
    else:
        weight.copy_(w)
    for k, (state, new) in enumerate(zip(h.states, each, strict=True)):
        drawn = form is not None and storage.stochastic(form)
        bits = storage.noise(h.index, t, stream + k, new.numel()) if drawn else None
        if form == "int8":
            codes, scale = states.packed(states.laid_out(new, state, new.dtype), bits)
            state.copy_(codes)
            h.scales[k].copy_(scale)
        else:
            state.copy_(new if bits is None else storage.to_bfloat16(new, bits))
