"""The runs of a confirmation: what each setting is judged by over fresh seeds, and over the samples it is judged on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..plan.criterion import Criterion
from ..plan.factors import Factor, Setting
from ..plan.folds import averaged
from ..plan.looks import Look
from ..plan.plan import Plan
from .comparisons import badness, paired
from .entries import Default
from .intervals import Interval, interval
from .losses import ENDED, Losses, by_setting, fold_codes, losses_of, matching


@dataclass(frozen=True)
class Picks:
    """Which setting represents each level, and the others with this level that were run with fresh seeds."""

    settings: list[Setting]
    others: list[list[Setting]]

    def rivals(self, fresh: Fresh, criterion: Criterion) -> list[np.ndarray]:
        """For each level what the others are judged by, (seeds, folds or parts, others)."""
        cells = fresh.cells([*self.settings, *(s for some in self.others for s in some)], criterion)
        assert cells is not None  # all were run
        ends = len(self.settings) + np.cumsum([0, *map(len, self.others)])
        return [cells[..., start:end] for start, end in itertools.pairwise(ends)]


@dataclass(frozen=True, eq=False)
class Fresh:
    """The fresh runs that all have ended; none while one of them still runs.

    Attributes:
        runs: their rows of the table of members.
        parts: metric → their values on parts of the samples; none with folds, and in older stores.
        looks: how often the confirmation had been looked at before.
        look: what the runs are; None without any.
    """

    plan: Plan
    runs: pd.DataFrame
    parts: Mapping[str, pd.DataFrame]
    looks: int
    look: Look | None

    @classmethod
    def of(
        cls, plan: Plan, members: pd.DataFrame, parts: Mapping[str, pd.DataFrame] | None, epochs: int | None = None
    ) -> Fresh:
        """Of a study that is being extended, the runs that had ended before.

        Args:
            epochs: looks at runs of so many alone; at all unless given.
        """
        parts = {} if parts is None or plan.folds is not None else parts
        codes = fold_codes(members)
        for looks, look in reversed([*enumerate(plan.confirmations)]):
            rows = (members["stage"] == plan.stage(look)) & (members["seed"] < plan.seeds + look.seeds)
            runs = members[rows & (plan.folds is not None or codes < look.swaps)]
            if epochs in (None, look.epochs) and len(runs) and runs["status"].isin(ENDED).all():
                return cls(plan, runs, parts, looks, look)
        return cls(plan, members[:0], parts, 0, None)

    def losses(self, criterion: Criterion) -> Losses:
        """What all settings are judged by, each run on all samples."""
        if criterion not in self._losses:
            self._losses[criterion] = losses_of(self.plan, self.runs, criterion)
        return self._losses[criterion]

    @cached_property
    def _losses(self) -> dict[Criterion, Losses]:
        return {}

    def by_part(self, settings: Sequence[Setting], criterion: Criterion) -> np.ndarray | None:
        """What `Losses.rows` gives, by parts of the samples in the place of folds; None where these are not known.

        One seed alone tells nothing of others, on however many samples.
        """
        each = [self._by_setting.get(setting, self.runs[:0]) for setting in settings]
        folds = np.unique(fold_codes(self.runs))
        tables = [self._of_fold(criterion.column, [runs[fold_codes(runs) == fold] for runs in each]) for fold in folds]
        present = [table for table in tables if table is not None]
        if not present or len(present) < len(tables):
            return None
        values = np.concatenate(present, axis=1)
        return np.where(np.isfinite(values), criterion.sign * values, np.inf)

    def cells(self, settings: Sequence[Setting], criterion: Criterion) -> np.ndarray | None:
        """What `Losses.rows` gives: (seeds, parts of the samples or folds, settings); None if a setting is missing."""
        values = self.by_part(settings, criterion)
        return self.losses(criterion).rows(settings) if values is None else values

    @cached_property
    def _by_setting(self) -> dict[Setting, pd.DataFrame]:
        """The runs of each setting, in the order of their seeds."""
        return by_setting(self.plan, self.runs.sort_values("seed", kind="stable"))

    def _of_fold(self, metric: str, each: Sequence[pd.DataFrame]) -> np.ndarray | None:
        """Values (seeds, parts, settings) on the samples of one fold, infinite where a run diverged; None as `by_part`.

        Args:
            each: the runs of each setting on that fold, in the order of their seeds.
        """
        members, parts = np.array([runs["member"] for runs in each]), self.parts.get(metric)
        if parts is None or members.shape[1] < 2 or not np.isin(members, parts.index).all():
            return None
        table = parts.loc[members.ravel()].to_numpy(float)
        known = np.flatnonzero((~np.isnan(table)).any(axis=0))  # a smaller fold may have fewer parts
        values = table[:, : known[-1] + 1 if known.size else 1].reshape(*members.shape, -1)
        lost = np.array([runs["status"] == "diverged" for runs in each])[..., None] | ~np.isfinite(values)
        return np.moveaxis(np.where(lost, np.inf, values), 0, -1)

    def picks(self, factor: Factor, chosen: Sequence[Setting], criterion: Criterion) -> Picks | None:
        """For each level the best of its settings; None where the search's choice of a level was not run again.

        Args:
            chosen: the setting of each level that the search has chosen; of equal means it stays.
        """
        if self.losses(criterion).rows(chosen) is None:
            return None
        levels = [setting[factor.name] for setting in chosen]
        settings = [s for s in self.losses(criterion).settings if s[factor.name] in levels]
        cells = self.cells(settings, criterion)
        if cells is None:
            return Picks(list(chosen), [[] for _ in chosen])
        keys = {s: (*badness(cells[..., k]), s not in chosen, s.lr, s.schedule) for k, s in enumerate(settings)}
        of_level = [[s for s in settings if s[factor.name] == level] for level in levels]
        best = [min(some, key=keys.__getitem__) for some in of_level]
        others = [[s for s in some if s != first] for some, first in zip(of_level, best, strict=True)]
        return Picks(best, others)

    def test(self, setting: Setting) -> dict[str, Interval]:
        """metric → interval over the fresh seeds (and samples) of a setting, on the test part."""
        runs = self._tested[matching(self._tested, setting)]
        # A diverged run has an infinite loss; its other metrics count where they are numbers.
        loss = runs.get("test_loss", pd.Series(dtype=float)).where(runs["status"] != "diverged").fillna(math.inf)
        names = [name for name in runs.columns if name.startswith("test_")]
        values = {m: (loss if m == "test_loss" else runs[m].dropna()).to_numpy(float) for m in names}
        for m in names:
            by_part = self._of_fold(m, [runs]) if self.plan.folds is None else None
            if by_part is not None and np.isfinite(by_part).all():
                values[m] = by_part[..., 0]
        found = {m.removeprefix("test_"): interval(v) for m, v in values.items() if len(v)}
        return {metric: one.within(self.plan.scale(metric)) for metric, one in found.items()}

    @cached_property
    def _tested(self) -> pd.DataFrame:
        """The runs that met the test part, of a cross-validation beside the means over its folds."""
        return self.runs[fold_codes(self.runs) < 0] if self.plan.folds is None else averaged(self.runs)

    def default(self, setting: Setting, chosen: Setting, criterion: Criterion) -> Default | None:
        """The optimizer of that setting at its own defaults; None where that was not run.

        Args:
            chosen: by the search, with whose batch size, loss and regularizer it was run, if not with the setting's.
        """
        sign, there = criterion.sign, self.losses(criterion).settings
        default = next((one for one in map(self.plan.default, (setting, chosen)) if one in there), None)
        if default is None or self.losses(criterion).rows([default, setting]) is None:
            return None
        rows = self.cells([default, setting], criterion)
        assert rows is not None  # both settings are there
        same, untuned, tuned = default == setting, rows[..., 0], rows[..., 1]
        difference = Interval(0.0, 0.0, 0.0) if same else paired(untuned, tuned, self.plan.overlap)
        value = interval(untuned, overlap=self.plan.overlap).by(criterion)
        further = dict(default.further)
        return Default(default.lr, default.schedule, further, same, value, difference.times(sign), self.test(default))
