"""What an optimizer keeps of one parameter, and in which format; see `kernels/storage.py` for the formats.

In a state_dict a state has one tensor under its name, or, as int8, two: ``exp_avg_int8`` with the codes and
``exp_avg_scale`` with the scale of each block of 256, in order of memory. The names differ on purpose: what does not
know the format finds nothing, and no wrong numbers. What was saved in another format is converted when it is taken up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from ..kernels import storage
from . import sharded

CODES, SCALE = "_int8", "_scale"
_NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16", torch.float16: "float16"}
StateDtype = torch.dtype | str | None


def format_of(state_dtype: StateDtype) -> str | None:
    """The format that ``state_dtype=`` asks for; None: as the weights are."""
    forms = {None: None, torch.float32: "float32", torch.bfloat16: "bfloat16 stochastic", torch.int8: "int8"}
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
    dtype = named.get(state_dtype, state_dtype) if isinstance(state_dtype, str) else state_dtype
    if dtype not in forms:
        raise UsageError(
            'Invalid state_dtype: {state_dtype}; it must be torch.float32, torch.bfloat16 or "int8", or '
            "None for that of the weights.",
            state_dtype=repr(state_dtype),
        )
    return forms[dtype]


def take_up(
    state: dict[str, Any], key: str, p: Tensor, first: float | Tensor, form: str | None
) -> tuple[Tensor, Tensor | None]:
    """The values or codes, and the scales, of the state of that name, created or converted where it is missing.

    Args:
        state: all states of the parameter; this one is left in it.
        first: its value before the first step, or that of each weight.
        form: a format, or None to leave the present one.
    """
    if form != "int8":
        present = state.get(key)
        if present is None and key + CODES in state:
            present = unpacked(state.pop(key + CODES), state.pop(key + SCALE))
        dtype = None if form is None else storage.dtype_of(form)
        if present is None:
            present = _begun(p, first, dtype)
        state[key] = laid_out(sharded.placed(present, p), p, dtype or present.dtype)
        return state[key], None
    codes, scale = state.get(key + CODES), state.get(key + SCALE)
    if codes is None or scale is None or (codes.shape, codes.stride()) != (p.shape, p.stride()):
        wide = state.pop(key, None)
        if codes is not None and scale is not None:
            wide = unpacked(codes, scale)
        if wide is None:
            wide = _begun(p, first, torch.float32)
        codes, scale = packed(laid_out(wide, p, torch.float32))
    state[key + CODES], state[key + SCALE] = codes, scale
    return codes, scale


def _begun(p: Tensor, first: float | Tensor, dtype: torch.dtype | None) -> Tensor:
    if isinstance(first, Tensor):
        return torch.empty_like(p, dtype=dtype, requires_grad=False).copy_(first)
    return torch.full_like(p, first, dtype=dtype, requires_grad=False)


def take_up_shaped(state: dict[str, Any], key: str, p: Tensor, first: float, shape: tuple[int, ...]) -> Tensor:
    """The state of that name, of another shape than the weight's, created where it is missing; one without axes, a
    number, in float64."""
    present = state.get(key)
    if present is None:
        wide = torch.float64 if p.dtype == torch.float64 or not shape else torch.float32
        present = state[key] = torch.full(shape, first, dtype=wide, device=p.device)
    if tuple(present.shape) != shape:
        raise UsageError(
            "the state {key} of shape {shape} was loaded for a parameter of shape {shape2}; load the "
            "state_dict of an optimizer of the same model, with its parameters in the same order.",
            key=key,
            shape=tuple(present.shape),
            shape2=tuple(p.shape),
        )
    return present


def readable(state: Mapping[str, Any], key: str) -> Tensor | None:
    """The state of that name as values, whatever its format."""
    if key + CODES in state:
        return unpacked(state[key + CODES], state[key + SCALE])
    return state.get(key)


def rewrite(state: Mapping[str, Any], key: str, value: Tensor) -> None:
    """Other values for the state of that name, in place and in its format."""
    if key + CODES in state:
        for present, new in zip((state[key + CODES], state[key + SCALE]), packed(value), strict=True):
            present.copy_(new)
    else:
        sharded.local(state[key]).copy_(value)


def name_of(dtype: torch.dtype) -> str:
    """The format of a tensor of that dtype; the name of a dtype that no compiled kernel has is not a format."""
    return _NAMES.get(dtype, str(dtype))


def laid_out(value: Tensor, p: Tensor, dtype: torch.dtype) -> Tensor:
    """The state in that dtype, with the strides of the weight."""
    if value.shape != p.shape:
        raise UsageError(
            "a state of shape {shape} was loaded for a parameter of shape {shape2}; load the state_dict "
            "of an optimizer of the same model, with its parameters in the same order.",
            shape=tuple(value.shape),
            shape2=tuple(p.shape),
        )
    if value.dtype == dtype and value.stride() == p.stride():
        return value
    return torch.empty_like(p, dtype=dtype, requires_grad=False).copy_(value)


def packed(value: Tensor, bits: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Codes with the strides of the value, and scales."""
    codes, scale = storage.to_int8(_in_memory(value), bits)
    return codes.as_strided(value.shape, value.stride()), scale


def unpacked(codes: Tensor, scale: Tensor) -> Tensor:
    """The values, with the strides of the codes."""
    return storage.from_int8(_in_memory(codes), scale).as_strided(codes.shape, codes.stride())


def _in_memory(dense: Tensor) -> Tensor:
    """All elements of a tensor without gaps, in the order of memory."""
    return dense.as_strided((dense.numel(),), (1,))
