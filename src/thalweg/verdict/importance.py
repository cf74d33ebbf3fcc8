"""How much each factor matters: an exact analysis of variance of the grid.

Every optimizer was run at every combination of its rates, schedules and whatever else varies, so the variance of the
results splits exactly into what each factor explains alone (main effects), what two of them explain together beyond
that (their interaction), the rest of the interactions, and what seeds do within a setting. Hutter, Hoos & Leyton-Brown
(2014) do the same on a model of the grid (functional ANOVA); here the grid is complete and a model is not needed. All
shares of a grid sum to 1.

What is analysed are ranks: of all runs of a grid the lowest loss has the lowest, runs that diverged share the highest,
and equal losses share their mean. Losses themselves will not do: one infinite loss would make everything infinite,
one of 10⁶ would make all others look alike, and the logarithm needs losses above 0. Ranks are the same for a loss and
for any rising function of it.

A part of the differences between means over seeds is noise, so interactions of many factors look a little larger than
they are, the more so the fewer the seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ..language import say
from ..plan.factors import words_of
from ..plan.plan import Plan
from .losses import Losses, search_losses
from .words import listed, percent

ALL = "all"  # the grid of all optimizers together
SEEDS, REST, SPECIFIC = "seeds", "rest", "specific"
TIMES = " × "


@dataclass(frozen=True)
class Shares:
    """How the variance of one grid splits.

    Attributes:
        grid: the optimizer, or `ALL` of them together.
        effects: the factors → the share that they explain together, beyond those of each part of them.
        rest: of interactions of three factors and more.
        specific: of hyperparameters that some optimizers have and others lack, where all are taken together.
        seeds: within settings; NaN where there is one seed, which shows nothing of what another would change.
        runs: of the grid.
    """

    grid: str
    effects: Mapping[tuple[str, ...], float]
    rest: float
    specific: float
    seeds: float
    runs: int

    @property
    def main(self) -> dict[str, float]:
        """factor → what it explains alone."""
        return {names[0]: share for names, share in self.effects.items() if len(names) == 1}

    @property
    def pairs(self) -> dict[tuple[str, ...], float]:
        return {names: share for names, share in self.effects.items() if len(names) == 2}


def effects(values: np.ndarray, order: int = 2) -> dict[tuple[int, ...], float]:
    """The variance that each set of at most so many axes explains beyond its subsets, each cell counted alike.

    >>> values = np.array([[0.0, 1.0], [2.0, 3.0]])  # the axes add up
    >>> effects(values)
    {(0,): 1.0, (1,): 0.25, (0, 1): 0.0}
    """
    axes = range(values.ndim)
    parts: dict[tuple[int, ...], np.ndarray] = {(): values.mean(keepdims=True)}
    result: dict[tuple[int, ...], float] = {}
    for count in range(1, min(order, values.ndim) + 1):
        for chosen in itertools.combinations(axes, count):
            means = values.mean(axis=tuple(axis for axis in axes if axis not in chosen), keepdims=True)
            below = itertools.chain.from_iterable(itertools.combinations(chosen, less) for less in range(count))
            parts[chosen] = means - sum(parts[less] for less in below)
            result[chosen] = float((parts[chosen] ** 2).mean())
    return result


def importance(plan: Plan, members: pd.DataFrame) -> list[Shares]:
    """The split of all optimizers' grid together, if there are several, then of each; none where runs are missing."""
    if plan.points:  # which are not a grid
        return []
    grids = _grids(plan, search_losses(plan, members, stopped=True, grid=True))
    factors = [plan["lr"], plan["schedule"], *plan.further]
    names = ["optimizer", *(factor.name for factor in factors)]
    partial = tuple(k for k, factor in enumerate(factors) if not {*grids} <= {*(factor.only or grids)})
    shares = [_shares(name, _ranked_together([grid]), (), names) for name, grid in grids.items()]
    if len(grids) > 1:
        shares.insert(0, _shares(ALL, _ranked_together([*grids.values()]), partial, names))
    return [one for one in shares if one is not None]


def _grids(plan: Plan, search: Losses) -> dict[str, np.ndarray]:
    """optimizer → losses (rates, schedules, levels of each further factor, seeds), where all of them are known."""
    place = {setting: k for k, setting in enumerate(search.settings)}
    # Those by which the grid still grows are not among them, nor those of a finer search.
    common = {one: plan.on_common_grid.get((one.optimizer, one.lr)) for one in (*search.settings, *plan.settings)}
    rates = {common[setting] for setting in search.settings} - {None}
    grids, finer = {}, {*plan.refinement}
    for optimizer in plan.optimizers:
        mine = (one for one in plan.settings if one.optimizer == optimizer and one not in finer)
        settings = [one for one in mine if common[one] in rates]
        at = [place[setting] for setting in settings if setting in place]
        losses = search.values[at].mean(axis=2) if at else np.full((1, 1), np.nan)
        if len(at) == len(settings) and not np.isnan(losses).any():
            sizes = [len(factor.of(optimizer)) for factor in (plan["schedule"], *plan.further)]
            grids[optimizer] = losses.reshape(len(rates), *sizes, -1)
    return grids


def _ranked_together(grids: Sequence[np.ndarray]) -> list[np.ndarray]:
    ranks = stats.rankdata(np.concatenate([grid.ravel() for grid in grids]))
    parts = np.split(ranks, np.cumsum([grid.size for grid in grids])[:-1])
    return [part.reshape(grid.shape) for part, grid in zip(parts, grids, strict=True)]


def _shares(grid: str, ranks: Sequence[np.ndarray], partial: tuple[int, ...], names: Sequence[str]) -> Shares | None:
    """The split of the ranks of some optimizers, each counted alike; None where nothing differs.

    Args:
        ranks: for each optimizer (rates, …, seeds).
        partial: the axes that not every optimizer has.
        names: of the factors, the optimizer first.
    """
    means = [one.mean(axis=-1) for one in ranks]
    cells = np.stack([one.mean(axis=partial, keepdims=True) for one in means])  # (optimizers, rates, …)
    specific = np.mean([one.var(axis=partial).mean() for one in means]) if partial else 0.0
    seeds = np.mean([one.var(axis=-1).mean() for one in ranks])
    total = cells.var() + specific + seeds
    if not total:
        return None
    varied = [name for name, size in zip(names, cells.shape, strict=True) if size > 1]
    split = {tuple(varied[k] for k in axes): part / total for axes, part in effects(cells.squeeze()).items()}
    rest = max(0.0, float(cells.var() / total) - sum(split.values()))
    by_seeds = float(seeds / total) if ranks[0].shape[-1] > 1 else math.nan
    return Shares(grid, split, rest, float(specific / total), by_seeds, sum(one.size for one in ranks))


def importance_table(shares: Sequence[Shares]) -> pd.DataFrame:
    """optimizer, factor, share; see `Results.importance`."""
    rows = [
        {"optimizer": one.grid, "factor": factor, "share": share}
        for one in shares
        for factor, share in [
            *((TIMES.join(names), share) for names, share in one.effects.items()),
            *([(REST, one.rest)] if len(one.main) > 2 else []),
            *([(SPECIFIC, one.specific)] if one.specific else []),
            (SEEDS, one.seeds),
        ]
    ]
    return pd.DataFrame(rows, columns=["optimizer", "factor", "share"])


def sentence(shares: Sequence[Shares]) -> str:
    """What matters most, of the first grid."""
    if not shares:
        return say("Nothing differs between the runs, or not all of them have ended.")
    one = shares[0]
    first, *others = sorted(one.main.items(), key=lambda effect: -effect[1])
    whose = say("all runs") if one.grid == ALL else say("the runs of {grid}", grid=one.grid)
    words = say(
        "The {factor} explains {share} of the variance of ranks among {whose}",
        factor=words_of(first[0]),
        share=percent(first[1]),
        whose=whose,
    )
    if others:
        each = [say("the {name} {share}", name=words_of(name), share=percent(share)) for name, share in others]
        words += f", {listed(each)}"
    if one.pairs:
        pair, share = max(one.pairs.items(), key=lambda effect: effect[1])
        words += say(
            "; {names} together explain {share} beyond that",
            names=listed([say(words_of(name)) for name in pair]),
            share=percent(share),
        )
    if math.isnan(one.seeds):
        return say("{words}, of one seed: how much of that is chance is not known.", words=words)
    return say("{words}, and seeds {seeds}.", words=words, seeds=percent(one.seeds))
