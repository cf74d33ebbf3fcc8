"""The bytes that weights, gradients and each optimizer's states take, in each format they can be kept in.

How many values an optimizer keeps per weight is read from its formula. A format is that of `kernels/storage.py`: int8
is a byte per value and a float32 scale for each block of 256 values of a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..formulas import Formula
from ..formulas.shapes import MODEL, NUMBER, TENSOR, WEIGHT, extent
from ..kernels import storage
from ..kernels.lower import lower

FORMATS = ("float32", "bfloat16", "int8")
_NUMBER = 8  # bytes of a number that is the same for a whole tensor, or the model


@dataclass(frozen=True)
class Bytes:
    """What one thing takes.

    Attributes:
        what: weights, gradients, or an optimizer's label.
        per_weight: values kept for each weight, in the mean over them.
        per_tensor: numbers of 8 bytes kept for each tensor, whatever the format.
        sizes: format → bytes.
    """

    what: str
    per_weight: float
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


def states(formula: Formula, tensors: Sequence[Sequence[int]]) -> Bytes:
    """An optimizer's states over tensors of these shapes, step counts apart.

    What a rule keeps of rows, columns or a whole matrix it keeps in float32, whatever the format of other states.

    >>> import thalweg as tw
    >>> states(tw.formulas.get("adam"), [(10, 100)]).sizes
    {'float32': 8000, 'bfloat16': 4000, 'int8': 2032}
    """
    further = per_weight = per_tensor = 0
    sizes, models = dict.fromkeys(FORMATS, 0), set()
    for shape in tensors:
        equations, count = formula.of_shape(shape).equations, math.prod(shape)
        shapes = {name: equations.shape(name) for name, _ in equations.states}
        per_tensor = max(per_tensor, sum(kept in (NUMBER, TENSOR) for kept in shapes.values()))
        for name, kept in shapes.items():
            if kept == WEIGHT:
                per_weight += count
                sizes = {form: size + tensor_bytes([count], form) for form, size in sizes.items()}
            elif kept == MODEL:
                models.add(name)
            elif (numbers := math.prod(extent(kept, shape, equations.batched))) > 1:
                per_weight, further = per_weight + numbers, further + 4 * numbers
            else:
                further += _NUMBER
    further += _NUMBER * len(models)
    weights = sum(map(math.prod, tensors))
    each = per_weight / weights if weights else len(lower(formula.equations).states)
    sizes = {form: size + further for form, size in sizes.items()}
    return Bytes(formula.label, round(each, 2), per_tensor, sizes)
