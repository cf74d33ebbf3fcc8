"""The luck of candidates that were themselves picked, each for the lowest mean among rivals.

The lowest of several means is lower by luck the more there are; so whoever was picked among more has to be better by
more. A rival that is reliably worse than the pick gave it no luck and is not counted: it is dropped by a one-sided test
at a fifth of the level, shared among all rivals. Those that diverged are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import reach
from .pairs import above

SHARE = 5  # of the level, one in so many


@dataclass(frozen=True)
class Picked:
    """Candidates beside what they were picked among.

    Attributes:
        counts: (candidates,) of how many each is the one with the lowest mean, itself among them.
        gaps: of each candidate, the differences to its rivals, their errors and freedoms; None without any that counts.
    """

    counts: np.ndarray
    gaps: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray] | None]

    @classmethod
    def of(cls, cells: np.ndarray, rivals: Sequence[np.ndarray] | None, overlap: float, level: float) -> Picked:
        """
        Args:
            cells: (seeds, folds or parts, candidates).
            rivals: of each (seeds, folds or parts, rivals); None without any.
        """
        width = cells.shape[-1]
        counts: np.ndarray = np.ones(width, dtype=int)
        gaps: list[tuple[np.ndarray, np.ndarray, np.ndarray] | None] = [None] * width
        tail = level / SHARE / max(1, sum(some.shape[-1] for some in rivals or ()))
        for k, some in enumerate(rivals or ()):
            lost = np.isposinf(some).any(axis=(0, 1))
            counts[k] += some.shape[-1]
            if lost.all() or not np.isfinite(cells[..., k]).all():
                continue
            gap, errors, freedoms = above(cells[..., k], some[..., ~lost], overlap)
            near = gap + reach(errors, freedoms, tail) >= 0
            counts[k] -= int((~near).sum())
            gaps[k] = gap, errors, freedoms
        return cls(counts, gaps)

    def most(self, level: float) -> np.ndarray:
        """(candidates,) how much higher than the lowest of its rivals each is at the most, at that level."""
        ends = [0.0 if gap is None else float((gap[0] + reach(gap[1], gap[2], level)).max()) for gap in self.gaps]
        return np.array(ends)
