"""The ranking, along any factor, and how sure it is.

The search chooses, for each level of each factor that is ranked, the setting with the best mean over its seeds among
all that have this level, whatever their other factors. These run again with fresh seeds, and all numbers are of these
runs. Each level (each optimizer by default) is then represented by the best of all settings with this level that were
run again, for whichever factor they were chosen: so the first of every ranking of a study is the same setting. What is
said allows for the pick (`picked.py`). Until the study is complete the search's choice stands. The mean is of what the
study judges by (`plan.criterion`): the validation loss at the end unless it says otherwise. A run that diverged, whose
loss stopped being finite or ended above ten times that of its untrained weights, counts as infinitely bad.
Validation is always judged by the problem's own loss or metrics, so that settings trained with different losses can be
compared.

Read next: `fresh.py`, the runs that numbers come from; `comparisons.py`, which settings are better than which;
`intervals.py`, how sure a mean is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..errors import PlanError
from ..language import say
from ..numbers import Range
from ..plan.criterion import Criterion, check_metric
from ..plan.factors import Factor, Level, Setting, shown
from ..plan.looks import SEARCH
from ..plan.plan import Plan
from ..unknown import unknown
from .advice import longer
from .comparisons import Ranking, badness, rank
from .entries import Default, Entry, Judged, Verdict
from .fresh import Fresh, Picks
from .intervals import Interval, quantile, spread
from .losses import Losses, search_losses, searched
from .sentences import notes, sentence, turned

Chosen = dict[Level, tuple[Setting, float]]


def chosen_settings(plan: Plan, members: pd.DataFrame, by: str = "optimizer") -> Chosen:
    """level → (setting, its mean) with the best mean over the search's seeds; the mean is the lower the better.

    Seeds whose search is not complete are left out, so that every setting is judged on the same seeds.
    Where every setting diverged on some seed, the one that did on the fewest. Ties go to the smaller rate.
    """
    return _best(plan[by], search_losses(plan, members, by))


def to_confirm(plan: Plan, members: pd.DataFrame) -> list[Setting]:
    """The settings to run again with fresh seeds: the best of each level of each factor that is ranked, and
    each optimizer's defaults."""
    chosen = {factor.name: chosen_settings(plan, members, factor.name) for factor in plan.ranked}
    best = {name: [setting for setting, _ in levels.values()] for name, levels in chosen.items()}
    defaults = [plan.default(setting) for setting in best["optimizer"]]
    return list(dict.fromkeys(filter(None, [*itertools.chain(*best.values()), *defaults])))


def _best(factor: Factor, losses: Losses) -> Chosen:
    means = [
        (*badness(row), s.lr, s.schedule, k)
        for k, (s, row) in enumerate(zip(losses.settings, losses.values, strict=True))
    ]
    best: Chosen = {}
    for *_, k in sorted(means):
        setting = losses.settings[k]
        best.setdefault(setting[factor.name], (setting, float(losses.values[k].mean())))
    return {level: best[level] for level in factor.levels if level in best}


def judge(
    plan: Plan,
    name: str,
    members: pd.DataFrame,
    costs: Mapping[str, Any],
    by: str = "optimizer",
    parts: Mapping[str, pd.DataFrame] | None = None,
    samples: tuple[int, int] = (0, 0),
    margin: float | None = None,
    by_metric: str | None = None,
    store: str = "",
    objects: tuple[str, ...] = (),
) -> Verdict:
    """The verdict on whatever the study has finished so far.

    Args:
        members: `Store.members()`.
        costs: as the store has them.
        by: the factor whose levels are ranked.
        parts: `Store.parts()`; without them the evidence is over seeds alone.
        samples: of the validation part, and of it and the training samples together; 0 where that is not known.
        margin: differences up to that share of the best value do not matter; the study's unless given.
        by_metric: ranks the chosen settings by it; by what the study judges by unless given.
        store, objects: the path of the study's, and the arguments that no command can name, for what notes advise.

    Raises:
        PlanError: the study does not vary that factor, the margin is not a number of at least 0, or the metric is not
            known.
    """
    margin = plan.margin if margin is None else float(Range(0).check("margin", margin, PlanError))
    factor = rankable(plan, by)
    criterion = plan.criterion
    if by_metric is not None:
        check_metric(by_metric, _measured(members), "metric of this study")
        criterion = _criterion(plan, by_metric)
    judged = _judged(plan, members, costs, factor, criterion, parts)
    if judged is None:
        nothing = say("Nothing can be said about {name} yet: no seed is complete.", name=name)
        return Verdict((), (), nothing, (), 0, False, factor.name, criterion=criterion)
    fresh, settings, by_part = judged.fresh, judged.settings, judged.by_part
    swaps = 0 if fresh.look is None else fresh.look.swaps
    judging = 0 if by_part is None else samples[0] + (plan.swaps.samples(swaps) if plan.swaps else 0)
    cells, order, ranked = judged.cells, *judged.ranked(margin)
    levels = [shown(setting[factor.name]) for setting in settings]
    verdict = Verdict(
        entries=tuple(judged.entry(k, ranked, cells[..., k], judging) for k in order),
        groups=tuple(tuple(levels[k] for k in group) for group in ranked.groups),
        sentence="",
        notes=(),
        seeds=len(cells),
        confirmed=judged.confirmed is not None,
        factor=factor.name,
        folds=0 if plan.folds is None else plan.folds.count,
        samples=judging,
        margin=margin,
        looks=fresh.looks,
        criterion=criterion,
        swaps=swaps,
        epochs=judged.epochs,
        stage=judged.stage,
        most_samples=0 if plan.folds is not None else samples[1],
        store=store,
        objects=objects,
        usual=tuple(f.name for f in plan.tuned if not any(f.name in plan.told(setting) for setting in settings)),
    )
    words = [*notes(plan, factor, verdict, ranked.comparisons), *longer(plan, verdict, _before(judged, parts))]
    words += turned(plan, factor, judged.chosen, verdict)
    return replace(verdict, sentence=sentence(plan, factor, name, verdict), notes=tuple(words))


def winner(
    plan: Plan, members: pd.DataFrame, parts: Mapping[str, pd.DataFrame] | None = None
) -> tuple[Setting, int, str] | None:
    """The best entry's setting, and the epochs and the stage of the runs by which it is; arguments as of `judge`."""
    judged = _judged(plan, members, {}, rankable(plan, "optimizer"), plan.criterion, parts)
    if judged is None:
        return None
    (best, *_), _ = judged.ranked(plan.margin)
    return judged.settings[best], judged.epochs, judged.stage


def _judged(
    plan: Plan,
    members: pd.DataFrame,
    costs: Mapping[str, Any],
    factor: Factor,
    criterion: Criterion,
    parts: Mapping[str, pd.DataFrame] | None,
) -> _Judged | None:
    """What a verdict is read from; None where the search has chosen nothing yet."""
    search = search_losses(plan, members, factor.name)
    chosen = [setting for setting, _ in _best(factor, search).values()]
    if not chosen:
        return None
    fresh = Fresh.of(plan, members, parts)
    if criterion != plan.criterion:
        search = search_losses(plan, members, factor.name, criterion)
    picks = fresh.picks(factor, chosen, criterion)
    if picks is None:  # a level has no fresh runs, so the search judges all
        fresh = replace(fresh, runs=fresh.runs[:0], looks=0, look=None)
    settings = chosen if picks is None else picks.settings
    confirmed = None if picks is None else fresh.losses(criterion).rows(settings)
    return _Judged(plan, factor, criterion, members, costs, search, chosen, settings, confirmed, fresh, picks)


def _before(judged: _Judged, parts: Mapping[str, pd.DataFrame] | None) -> dict[Setting, float]:
    """What the chosen settings had with the fewer epochs for which they were chosen, the lower the better; nothing
    where the runs have no more than these."""
    plan, look = judged.plan, judged.fresh.look
    if look is None or look.epochs == plan.epochs:
        return {}
    fewer = Fresh.of(plan, judged.members, parts, plan.epochs)
    values = fewer.cells(judged.settings, judged.criterion) if fewer.look is not None else None
    return {} if values is None else dict(zip(judged.settings, values.mean(axis=(0, 1)).tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class _Judged:
    """What the entries of a verdict are made of.

    Attributes:
        search: what the search's settings were judged by.
        chosen: the setting of each level that the search has chosen.
        settings: the one that represents the level.
        confirmed: what these were judged by over fresh seeds, (seeds, folds, settings); None before the confirmation.
        picks: how they were picked; None before.
    """

    plan: Plan
    factor: Factor
    criterion: Criterion
    members: pd.DataFrame
    costs: Mapping[str, Any]
    search: Losses
    chosen: Sequence[Setting]
    settings: Sequence[Setting]
    confirmed: np.ndarray | None
    fresh: Fresh
    picks: Picks | None

    @property
    def epochs(self) -> int:
        """Of the runs that judge."""
        return self.plan.epochs if self.fresh.look is None else self.fresh.look.epochs

    @property
    def stage(self) -> str:
        """Of the runs that judge."""
        return SEARCH if self.fresh.look is None else self.plan.stage(self.fresh.look)

    @cached_property
    def by_part(self) -> np.ndarray | None:
        """(seeds, parts of the samples, settings); None where they are not known."""
        return None if self.confirmed is None else self.fresh.by_part(self.settings, self.criterion)

    @property
    def cells(self) -> np.ndarray:
        """What is ranked: (seeds, folds or parts, settings)."""
        return self.each_run if self.by_part is None else self.by_part

    def ranked(self, margin: float) -> tuple[list[int], Ranking]:
        """The settings' places, best first, and how they stand."""
        plan, fresh, criterion = self.plan, self.fresh, self.criterion
        rivals = None if self.picks is None else self.picks.rivals(fresh, criterion)
        return rank(
            self.cells, overlap=plan.overlap, margin=margin, looks=fresh.looks, rivals=rivals, floor=criterion.floor
        )

    @property
    def each_run(self) -> np.ndarray:
        """(seeds, folds, settings), each run on all samples."""
        rows = self.search.rows(self.settings) if self.confirmed is None else self.confirmed
        assert rows is not None  # the search is complete on its seeds
        return rows

    def before(self, setting: Setting) -> float:
        """Its mean in the search; NaN for defaults that were not tried there."""
        rows = self.search.rows([setting])
        return math.nan if rows is None else self.criterion.sign * float(rows.mean())

    def entry(self, k: int, ranked: Ranking, cells: np.ndarray, samples: int) -> Entry:
        """That of a level.

        Args:
            cells: (seeds, folds or parts) of what was ranked.
            samples: that judge, where they are evidence.
        """
        plan, setting, sign = self.plan, self.settings[k], self.criterion.sign
        value, final = ranked.mean[k].by(self.criterion), self.confirmed is not None
        metrics = {name: judged[k] for name, judged in self._metrics.items()}
        loss = metrics["loss"].value if "loss" in metrics else Interval(math.nan, math.nan, math.nan)
        tuned = final and self.factor.name == "optimizer"
        default = self.fresh.default(setting, self.chosen[k], self.criterion) if tuned else None
        lost, mean_of_rest = badness(self.each_run[..., k])
        return Entry(
            optimizer=setting.optimizer,
            letters=ranked.letters[k],
            lr=setting.lr,
            schedule=setting.schedule,
            value=value,
            validation_loss=value if self.criterion.metric == "loss" else loss,
            difference=ranked.difference[k].times(sign),
            standing=ranked.standing[k],
            may_be_best=ranked.may_be_best[k],
            regret=ranked.regret[k],
            search_value=self.before(setting),
            edge=edge_of([*plan["lr"].of(setting.optimizer), *plan.rates_of(setting, self.factor.name)], setting.lr),
            test=self.fresh.test(setting) if final else {},
            seconds_per_step=seconds_per_step(plan, self.costs, setting),
            state_bytes_per_weight=4.0 * plan.states_of(setting),
            further=dict(setting.further),
            places=ranked.places[k],
            more_seeds=ranked.more_seeds[k],
            metrics=metrics if final else {},
            default=default,
            tunability=_tunability(default, value, self.criterion),
            lost=lost,
            mean_of_rest=sign * mean_of_rest,
            percentile_90=sign * quantile(self.each_run[..., k].mean(axis=1), 0.9)
            if len(self.each_run) > 1
            else math.nan,
            more_samples=ranked.more_parts[k] * (samples or 1),
            probability_best=ranked.probability[k] if cells.size > 1 else math.nan,  # one run says none
            spread=spread(cells, plan.overlap),
            steps=self._steps[setting],
            **self._tried[setting[self.factor.name]],
        )

    @cached_property
    def _steps(self) -> dict[Setting, int]:
        """Setting → the steps of a whole run."""
        longer = 1 if self.fresh.look is None else self.fresh.look.epochs / self.plan.epochs
        again = self.fresh.losses(self.criterion)  # with defaults that were not in the search
        in_search = {s: round(longer * n) for s, n in zip(self.search.settings, self.search.steps, strict=True)}
        return dict(zip(again.settings, again.steps, strict=True)) | in_search

    @cached_property
    def _tried(self) -> dict[Level, dict[str, Any]]:
        return searched(self.plan, self.members, self.factor.name)

    @cached_property
    def _metrics(self) -> dict[str, list[Judged]]:
        """Metric → where each setting stands by it, for the metrics of which it is known whether higher is better."""
        result = {}
        for name in self.criterion.directions(_measured(self.members), self.plan.directions):
            other = _criterion(self.plan, name)
            if self.confirmed is None:
                values = search_losses(self.plan, self.members, self.factor.name, other).rows(self.settings)
            else:
                values = self.fresh.cells(self.settings, other)
            if values is None:
                continue
            rivals = None if self.picks is None else self.picks.rivals(self.fresh, other)
            _, ranked = rank(values, overlap=self.plan.overlap, looks=self.fresh.looks, rivals=rivals)
            result[name] = [
                Judged(one.by(other), letters, may)
                for one, letters, may in zip(ranked.mean, ranked.letters, ranked.may_be_best, strict=True)
            ]
        return result


def rankable(plan: Plan, by: str) -> Factor:
    """The factor of that name, if it has levels to rank; words as in sentences are taken too."""
    factors = {f.name: f for f in plan.factors if f.name == "optimizer" or (f.varied and f.name not in plan.drawn)}
    names = {f.kind.words: f for f in factors.values()} | factors
    if by not in names:
        raise PlanError(unknown("factor that this study varies", str(by), factors))
    return names[by]


def _criterion(plan: Plan, by_metric: str) -> Criterion:
    """That metric, at the epochs that the study judges by."""
    criterion = Criterion.of(by_metric, directions=plan.directions, loss_scale=plan.loss_scale)
    return replace(criterion, epochs=plan.criterion.epochs)


def _measured(members: pd.DataFrame) -> list[str]:
    """The metrics that runs have on the validation part."""
    return [name.removeprefix("validation_") for name in members if name.startswith("validation_")]


def seconds_per_step(plan: Plan, costs: Mapping[str, Any], setting: Setting) -> float:
    """What a step of one run costs: its share of the batched program, and its optimizer's update."""
    for program in costs.get("programs", ()):
        usual = {"batch_size": None, "loss": None, "regularizer": "none", "model": None}  # of older stores
        if all(plan.level(setting, name) == program.get(name, level) for name, level in usual.items()):
            return program["seconds"] + costs.get("update_seconds", {}).get(setting.optimizer, math.nan)
    return costs.get("seconds_per_step", {}).get(setting.optimizer, math.nan)


def _tunability(default: Default | None, tuned: Interval, criterion: Criterion) -> float:
    if default is None or not math.isfinite(tuned.mean) or not tuned.mean:
        return math.nan
    return criterion.sign * default.difference.mean / abs(tuned.mean)


def edge_of(rates: Sequence[float], lr: float) -> str | None:
    """Whether a rate is the "lowest" or the "highest" of several."""
    return {min(rates): "lowest", max(rates): "highest"}.get(lr) if len(set(rates)) > 1 else None
