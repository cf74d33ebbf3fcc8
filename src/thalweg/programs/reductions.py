"""Sums, largest values and the like over some axes, in the order in which memory is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .dims import ONE, Affine, product
from .emit import I64, Body
from .loops import Nest, folded, loops
from .values import Buffer, Index

BLOCK = 64  # rows that are summed before their sum is added to that of the others: rounding errors stay small


@dataclass
class Reduction:
    """The loops over the result's elements, `outer`, and over what each is made of, `inner`.

    Attributes:
        part: the result of a block, as large as the result.
        start, step: step(body, so far, element) goes from start(body), which leaves every element as it is.
        at: (body, index) → an element.
    """

    nest: Nest
    outer: list[Any]
    inner: list[Any]
    buffer: Buffer
    part: Buffer
    start: Callable[[Any], Any]
    step: Callable[[Any, Any, Any], Any]
    at: Callable[[Any, Index], Any]

    def __post_init__(self) -> None:
        near, counters = self.nest.side_by_side, self.nest.counters
        self.best = max(counters, key=lambda c: (near(c), counters.index(c)), default=None)
        # Neighbours in memory belong to neighbours of the result, which is gone through once for each inner round.
        self.by_rows = bool(self.outer and self.inner and self.best in self.outer)
        rows = product([c.size for c in self.inner]).fixed
        self.by_blocks = self.by_rows and (rows is None or rows > 2 * BLOCK)
        self.target, size = Affine(), ONE
        for counter in reversed(self.outer):  # they go through the result in order
            self.target, size = self.target + Affine(((counter, size),)), size * counter.size

    def write(self, e: Body) -> None:
        if self.by_blocks:
            self._blocks(e)
        elif self.by_rows:
            self._fill(e, self.buffer)
            self._add_rows(e, self.buffer, self.inner)
        else:
            self.inner.sort(key=self.nest.side_by_side)
            loops(e, self.outer, lambda: self._one(e))

    def _blocks(self, e: Body) -> None:
        b, (first, *rest) = e.builder, self.inner
        each = max(1, BLOCK // (product([c.size for c in rest]).fixed or BLOCK))
        self._fill(e, self.buffer)
        with e.parts(e.dim(first.size), each) as (start, left):
            self._fill(e, self.part)
            with e.rounds(b.select(b.icmp_signed("<", left, I64(each)), left, I64(each))) as row:
                first.value = b.add(start, row)
                self._add_rows(e, self.part, rest)

            def join() -> None:
                total = self.step(e, e.load(self.buffer, self.target), e.load(self.part, self.target))
                e.store(self.buffer, self.target, total)

            loops(e, self.outer, join)

    def _fill(self, e: Body, buffer: Buffer) -> None:
        loops(e, self.outer, lambda: e.store(buffer, self.target, self.start(e)))

    def _add_rows(self, e: Body, buffer: Buffer, inner: list[Any]) -> None:
        def more() -> None:
            e.store(buffer, self.target, self.step(e, e.load(buffer, self.target), self.at(e, self.nest.index)))

        loops(e, [*inner, *sorted(self.outer, key=lambda c: c is self.best)], more)

    def _one(self, e: Body) -> None:
        def one(so_far: Any, counts: Any) -> Any:
            element = self.at(e, self.nest.index)
            return self.step(e, so_far, element if counts is None else e.choose(counts, element, self.start(e)))

        e.store(self.buffer, self.target, folded(e, self.inner, self.start(e), one))
