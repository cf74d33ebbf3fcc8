"""Loops over the elements of a value: as few and as long as what they read allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .dims import ONE, Affine, Dim, contiguous
from .emit import I64, Body, Counter
from .values import Buffer, Index


class Probe:
    """Has the operations of `emit.Body` and writes nothing: it notes what a loop's inside reads, and where."""

    def __init__(self) -> None:
        self.reads: list[tuple[Buffer, Affine]] = []
        self.raw: set[Any] = set()  # counters that are used as numbers

    def load(self, buffer: Buffer, at: Affine) -> None:
        self.reads.append((buffer, at))

    def index(self, at: Affine) -> None:
        self.raw |= {counter for counter, _ in at.terms}

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **options: None


def read_order(shape: Sequence[Dim], at: Callable[[Any, Index], Any]) -> list[int]:
    """The axes of a value, widest strides first, as the first read that goes through all of them has them."""
    counters = [Counter(s) for s in shape]
    probe = Probe()
    at(probe, [Affine(((c, ONE),)) for c in counters])
    each = [[place.factor(c) for c in counters] for _, place in probe.reads]
    full = [s for s in each if all(f.coefficients or n == ONE for f, n in zip(s, shape, strict=True))]
    if not full or full[0] == list(contiguous(shape)):
        return list(range(len(shape)))
    return widest_first(full[0])


class Nest:
    """Loops over a shape, neighbours joined where one counter can stand for both.

    Attributes:
        counters: of the loops that are left, from outermost to innermost.
        index: of an element, in terms of those counters.
        buffers: what is read.
    """

    def __init__(self, shape: Sequence[Dim], at: Callable[[Any, Index], Any], apart: Sequence[int] = ()) -> None:
        """`apart`: axes that may not be joined with the one before them."""
        each = [Counter(s) for s in shape]
        self.index = [Affine() if c.size == ONE else Affine(((c, ONE),)) for c in each]
        probe = Probe()
        at(probe, self.index)
        self.places = [place for _, place in probe.reads]
        self.buffers = list(dict.fromkeys(buffer for buffer, _ in probe.reads))
        self.axes: list[tuple[int, Counter]] = []
        for k, counter in enumerate(each):
            if counter.size == ONE:
                continue
            if self.axes and not any(a in apart for a in range(self.axes[-1][0] + 1, k + 1)):
                _, outer = self.axes[-1]
                alike = all(p.factor(outer) == p.factor(counter) * counter.size for p in self.places)
                if alike and not probe.raw & {outer, counter}:
                    counter.size = counter.size * outer.size
                    self.index[self.axes[-1][0]] = Affine()
                    self.axes.pop()
            self.axes.append((k, counter))
        self.counters = [counter for _, counter in self.axes]

    def side_by_side(self, counter: Counter) -> int:
        """How many of the reads follow each other in memory as this counter goes on."""
        return sum(place.factor(counter) == ONE for place in self.places)


def widest_first(strides: Sequence[Dim]) -> list[int]:
    """The axes of memory, those whose neighbours are farthest apart first."""
    wide = [(len(s.coefficients), s.coefficients[::-1]) for s in strides]
    return sorted(range(len(strides)), key=lambda k: wide[k], reverse=True)


def loops(e: Body, counters: Sequence[Any], inside: Callable[[], None], twice: bool = False) -> None:
    """Nested loops. `twice`: an element may be computed again, so that a row ends with a whole vector too."""
    if not counters:
        inside()
        return
    first, *rest = counters
    width = _width(first.size) if twice and not rest else None
    if width is None:
        with e.loop(first.size) as (counter, _):
            first.value = counter.value
            loops(e, rest, inside, twice)
        return
    size = first.size.fixed or 0
    for start, count in ((0, size // width * width), (size - width, width)):
        with e.loop(count) as (counter, _):
            first.value = e.builder.add(counter.value, I64(start))
            inside()


def _width(size: Dim) -> int | None:
    """How many lanes the end of a loop of this size takes; None where it ends with a whole vector, or is too short."""
    return next((w for w in (16, 8, 4) if (size.fixed or 0) > w and (size.fixed or 0) % w), None)


def folded(e: Body, counters: Sequence[Any], start: Any, step: Callable[[Any, Any], Any]) -> Any:
    """step(so far, whether the element counts; None: it does) from `start` over all rounds of the loops."""
    if not counters:
        return step(start, None)
    first, *rest = counters
    width = None if rest else _width(first.size)
    if width is None:
        with e.loop(first.size, start) as (counter, handed):
            first.value = counter.value
            handed[0] = folded(e, rest, handed[0], step)
        return handed[0]
    size = first.size.fixed or 0
    with e.loop(size // width * width, start) as (counter, handed):
        first.value = counter.value
        handed[0] = step(handed[0], None)
    with e.loop(width, handed[0]) as (counter, handed):  # a whole vector, of which the last ones are new
        first.value = e.builder.add(counter.value, I64(size - width))
        handed[0] = step(handed[0], e.compare(">=", counter.value, width - size % width))
    return handed[0]
