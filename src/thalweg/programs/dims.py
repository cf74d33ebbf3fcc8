"""Whole numbers that depend on the number of samples in a batch, and places in memory that depend on loops.

A model is traced once and compiled once for batches of any size, so that sizes, strides and places are polynomials in
the number of samples n. What a loop reads is at an affine function of its counters.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any


@dataclass(frozen=True)
class Dim:
    """c₀ + c₁n + c₂n² + …, n being the samples in a batch.

    >>> rows = Dim((0, 1))
    >>> rows * 64 + 10
    Dim(coefficients=(10, 64))
    >>> (rows * 64 + 10).at(3)
    202
    """

    coefficients: tuple[int, ...] = ()

    @staticmethod
    def of(value: int | Dim) -> Dim:
        return value if isinstance(value, Dim) else Dim((value,) if value else ())

    def __add__(self, other: int | Dim) -> Dim:
        pairs = itertools.zip_longest(self.coefficients, Dim.of(other).coefficients, fillvalue=0)
        return _trimmed([a + b for a, b in pairs])

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return Dim(tuple(-c for c in self.coefficients))

    def __sub__(self, other: int | Dim) -> Dim:
        return self + -Dim.of(other)

    def __mul__(self, other: int | Dim) -> Dim:
        theirs = Dim.of(other).coefficients
        product = [0] * (len(self.coefficients) + len(theirs))
        for i, a in enumerate(self.coefficients):
            for j, b in enumerate(theirs):
                product[i + j] += a * b
        return _trimmed(product)

    __rmul__ = __mul__

    def at(self, n: int) -> int:
        return sum(c * n**k for k, c in enumerate(self.coefficients))

    @property
    def fixed(self) -> int | None:
        """Its value where it does not depend on n, else None."""
        return None if len(self.coefficients) > 1 else sum(self.coefficients)

    def bytes(self, each: int) -> Dim:
        """Room for so many values, each coefficient a multiple of a cache line."""
        return Dim(tuple(-(-c * each // 64) * 64 for c in self.coefficients))

    def covers(self, other: Dim) -> bool:
        """Whether it is at least `other` for every n."""
        return all(a >= b for a, b in itertools.zip_longest(self.coefficients, other.coefficients, fillvalue=0))


def _trimmed(coefficients: Sequence[int]) -> Dim:
    *kept, last = [*coefficients] or [0]
    while kept and not last:
        last = kept.pop()
    return Dim((*kept, last) if kept or last else ())


ONE, ZERO = Dim((1,)), Dim()


def product(dims: Sequence[Dim]) -> Dim:
    return reduce(lambda a, b: a * b, dims, ONE)


def contiguous(shape: Sequence[Dim]) -> tuple[Dim, ...]:
    """The strides of a tensor whose values lie side by side."""
    return tuple(product(shape[k + 1 :]) for k in range(len(shape)))


@dataclass(frozen=True)
class Affine:
    """A place: Σ coefficient · counter + constant; a counter is a loop's, or a number read from memory."""

    terms: tuple[tuple[Any, Dim], ...] = ()
    constant: Dim = ZERO

    @staticmethod
    def of(value: int | Dim | Affine) -> Affine:
        return value if isinstance(value, Affine) else Affine((), Dim.of(value))

    def __add__(self, other: int | Dim | Affine) -> Affine:
        more = Affine.of(other)
        terms = dict(self.terms)
        for counter, factor in more.terms:
            terms[counter] = terms.get(counter, ZERO) + factor
        return Affine(tuple((c, f) for c, f in terms.items() if f != ZERO), self.constant + more.constant)

    def __mul__(self, by: int | Dim) -> Affine:
        if Dim.of(by) == ZERO:
            return Affine()
        return Affine(tuple((c, f * by) for c, f in self.terms), self.constant * by)

    def factor(self, counter: object) -> Dim:
        return dict(self.terms).get(counter, ZERO)
