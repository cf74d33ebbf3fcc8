"""Do optimizers differ over problems? Average ranks, Friedman's test, Nemenyi's critical difference.

Problems are the replicates: on each one the optimizers are ranked by their loss, 1 for the lowest, equal losses at the
mean of their ranks. Losses of different problems have different scales; ranks have the same. Friedman (1937) asks
whether the average ranks differ by more than chance, with his correction for ties; two optimizers, for which that test
is not defined, get the exact sign test. Where it finds a difference, two optimizers differ if their average ranks are
at least q √(k(k + 1) / 6N) apart, for k optimizers on N problems, with q from the studentized range at 5% (Nemenyi
1963; Demšar 2006, "Statistical comparisons of classifiers over multiple data sets").
For few problems that is on the safe side: of alike optimizers it tells some apart in 0.3% to 4% of suites of three to
eight problems, and never with two.

Read next: `profiles.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Ranks:
    """Average ranks over problems, and which of them differ.

    Attributes:
        mean: optimizer → average rank, the best first.
        p: of the test that all optimizers rank alike.
        critical_difference: two average ranks differ by so much before the optimizers are told apart.
        groups: of optimizers that cannot be told apart, as large as possible; they may overlap.
    """

    mean: pd.Series
    p: float
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]

    @property
    def differ(self) -> bool:
        """Whether the test finds any difference."""
        return self.p < SIGNIFICANCE

    def apart(self, one: str, other: str) -> bool:
        """Whether the two are told apart."""
        return not any(one in group and other in group for group in self.groups)


def ranks(losses: pd.DataFrame) -> Ranks:
    """The ranks of losses, one row per problem and one column for each of two or more optimizers.

    >>> losses = pd.DataFrame({"adam": [1, 2, 1, 3, 2, 1], "sgd": [3, 3, 4, 5, 4, 2], "adagrad": [2, 4, 3, 6, 3, 3]})
    >>> result = ranks(losses)
    >>> result.mean.round(2).to_dict(), round(result.p, 4), round(result.critical_difference, 2), result.groups
    ({'adam': 1.0, 'sgd': 2.5, 'adagrad': 2.5}, 0.0111, 1.35, (('adam',), ('sgd', 'adagrad')))
    """
    table = losses.rank(axis=1)
    mean, (problems, optimizers) = table.mean().sort_values(kind="stable"), table.shape
    quantile = stats.studentized_range.ppf(1 - SIGNIFICANCE, optimizers, math.inf) / math.sqrt(2)
    difference = float(quantile * math.sqrt(optimizers * (optimizers + 1) / (6 * problems)))
    p = _p(table.to_numpy())
    return Ranks(mean, p, difference, _groups(mean, difference if p < SIGNIFICANCE else math.inf))


def _p(table: np.ndarray) -> float:
    """That ranks (problems, optimizers) are drawn alike for all optimizers."""
    if (table == table[:, :1]).all():
        return 1.0  # ties throughout, of which the tests make 0/0
    if table.shape[1] == 2:
        wins, losses = (table[:, 0] < table[:, 1]).sum(), (table[:, 0] > table[:, 1]).sum()
        return float(stats.binomtest(wins, wins + losses).pvalue)
    return float(stats.friedmanchisquare(*table.T).pvalue)


def _groups(mean: pd.Series, difference: float) -> tuple[tuple[str, ...], ...]:
    """The longest stretches of average ranks, in ascending order, whose ends are less than the difference apart."""
    values = mean.to_numpy()
    ends = np.searchsorted(values, values + difference - 1e-9)
    starts = [start for start, end in enumerate(ends) if start == 0 or end > ends[start - 1]]
    return tuple(tuple(mean.index[start : ends[start]]) for start in starts)
