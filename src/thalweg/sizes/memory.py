"""The bytes that weights, gradients and each optimizer's states take, in each format they can be kept in.

How many values an optimizer keeps per weight is read from its formula. A format is that of `kernels/storage.py`: int8
is a byte per value and a float32 scale for each block of 256 values of a tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..formulas import Formula
from ..kernels import storage
from ..kernels.lower import lower

FORMATS = ("float32", "bfloat16", "int8")
_PER_TENSOR = 8  # bytes of a number that is the same for a whole tensor


@dataclass(frozen=True)
class Bytes:
    """What one thing takes.

    Attributes:
        what: weights, gradients, or an optimizer's label.
        per_weight: values kept for each weight.
        per_tensor: numbers of 8 bytes kept for each tensor, whatever the format.
        sizes: format → bytes.
    """

    what: str
    per_weight: int
    per_tensor: int
    sizes: dict[str, int]


def tensor_bytes(counts: Sequence[int], form: str) -> int:
    """Bytes of tensors with so many values each, in a format.

    >>> tensor_bytes([1000], "float32"), tensor_bytes([1000], "bfloat16"), tensor_bytes([1000], "int8")
    (4000, 2000, 1016)
    """
    scales = sum(map(storage.scales, counts)) if form == "int8" else 0
    return sum(counts) * storage.dtype_of(form).itemsize + 4 * scales


def plain(what: str, counts: Sequence[int]) -> Bytes:
    """One value per weight."""
    return Bytes(what, 1, 0, {form: tensor_bytes(counts, form) for form in FORMATS})


def states(formula: Formula, counts: Sequence[int]) -> Bytes:
    """An optimizer's states over tensors with so many weights each, step counts apart.

    >>> import thalweg as tw
    >>> states(tw.formulas.get("adam"), [1000]).sizes
    {'float32': 8000, 'bfloat16': 4000, 'int8': 2032}
    """
    program = lower(formula.equations)
    per_weight, per_tensor = len(program.states), len(program.row_states)
    further = _PER_TENSOR * per_tensor * len(counts)
    sizes = {form: per_weight * tensor_bytes(counts, form) + further for form in FORMATS}
    return Bytes(formula.label, per_weight, per_tensor, sizes)
