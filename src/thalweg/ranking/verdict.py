"""The verdict on runs made elsewhere: the same statistics, and the same words, as on a study's own.

Read next: `choice.py`, which runs are compared; `verdict/comparisons.py`, how.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..language import say
from ..plan.factors import OPTIMIZER, RATE, SCHEDULE, Factor, Kind, Level, hyperparameter
from ..verdict.comparisons import Ranking, badness, rank
from ..verdict.entries import Entry, Verdict
from ..verdict.intervals import quantile, spread
from ..verdict.losses import tried
from ..verdict.verdict import edge_of
from .choice import Choice, choose
from .runs import Runs, plain
from .sentences import notes, sentence

_KINDS = {kind.name: kind for kind in (OPTIMIZER, RATE, SCHEDULE)}


def factor_of(runs: Runs) -> Factor:
    """What is ranked, as the factor of a study."""
    name = runs.columns.ranked
    kind: Kind = _KINDS.get(name) or hyperparameter(name)
    if len(runs.columns.by) > 1:
        kind = replace(kind, words="combination", many="combinations")
    levels = tuple(plain(level) for level in runs.frame["candidate"].unique())
    if kind is RATE and not all(isinstance(level, int | float) for level in levels):
        kind = hyperparameter(name)
    return Factor(kind, name, levels, {})


def judge(runs: Runs, name: str, margin: float) -> tuple[Verdict, Choice]:
    """The verdict, and the settings and runs it is about.

    Args:
        name: of the table, for the sentence.
        margin: differences up to that share of the best value do not matter.
    """
    factor, choice, criterion = factor_of(runs), choose(runs), runs.columns.criterion
    if not choice.candidates:
        nothing = say("Nothing can be said about {name}: every setting was pruned on some run.", name=name)
        return Verdict((), (), nothing, (), 0, False, factor.name, criterion=criterion), choice
    order, ranked = rank(
        choice.cells, margin=margin, independent=not choice.paired, rivals=choice.rivals, floor=criterion.floor
    )
    entries = _Entries(runs, choice, ranked, factor)
    verdict = Verdict(
        entries=tuple(entries.of(k) for k in order),
        groups=tuple(tuple(str(choice.candidates[k]) for k in group) for group in ranked.groups),
        sentence="",
        notes=(),
        seeds=int((~np.isnan(choice.cells)).sum(axis=0).min()),
        confirmed=choice.confirmed,
        factor=factor.name,
        margin=margin,
        criterion=criterion,
        replicate="seed" if choice.paired and runs.seeded else "run",
    )
    said = notes(factor, verdict, runs, choice, ranked.comparisons)
    return replace(verdict, sentence=sentence(factor, name, verdict), notes=tuple(said)), choice


class _Entries:
    """What the entries of a verdict are made of."""

    def __init__(self, runs: Runs, choice: Choice, ranked: Ranking, factor: Factor) -> None:
        self.runs, self.choice, self.ranked, self.factor = runs, choice, ranked, factor
        counts = tried(runs.frame["candidate"], runs.frame["setting"], runs.frame["status"])
        self.counts = {plain(level): row for level, row in counts.items()}
        self.rates = _rates(runs)
        self.scatters = bool(((~np.isnan(choice.cells)).sum(axis=0) > 1).any())

    def of(self, k: int) -> Entry:
        ranked, sign = self.ranked, self.runs.columns.sign
        column = self.choice.cells[:, k]
        column = column[~np.isnan(column)]
        lost, mean_of_rest = badness(column)
        level, value = self.choice.candidates[k], ranked.mean[k].by(self.runs.columns.criterion)
        setting = {self.factor.name: level} | self.runs.setting(self.choice.rows[k])
        lr = _rate(setting.get("lr"))
        further = {name: v for name, v in setting.items() if name not in ("optimizer", "schedule")}
        if lr == lr:
            further.pop("lr")
        schedule = setting.get("schedule")
        return Entry(
            optimizer="" if setting.get("optimizer") is None else str(setting["optimizer"]),
            letters=ranked.letters[k],
            lr=lr,
            schedule="" if schedule is None else str(schedule),
            value=value,
            validation_loss=value,
            difference=ranked.difference[k].times(sign),
            standing=ranked.standing[k],
            may_be_best=ranked.may_be_best[k],
            regret=ranked.regret[k],
            # One run shows no scatter, so it gives no chance.
            probability_best=ranked.probability[k] if self.scatters else math.nan,
            search_value=sign * self.choice.search[k],
            edge=edge_of(self.rates.get(level, []), lr),
            test={},
            seconds_per_step=math.nan,
            state_bytes_per_weight=math.nan,
            further=further,
            places=ranked.places[k],
            more_seeds=ranked.more_seeds[k],
            lost=lost,
            mean_of_rest=sign * mean_of_rest,
            percentile_90=sign * quantile(column, 0.9) if len(column) > 1 else math.nan,
            spread=spread(column[:, None]),
            repeats=0 if self.choice.paired else len(column),
            **self.counts[level],
        )


def _rates(runs: Runs) -> dict[Level, list[float]]:
    """candidate → the rates that it was tried at; none where these are not known or are what is ranked."""
    column = next((c for c in runs.columns.settings if runs.columns.title(c) == "lr"), None)
    if column is None or runs.levels[column].dtype != float:
        return {}
    tried = runs.levels[column].groupby(runs.frame["candidate"].to_numpy(), sort=False).unique()
    return {plain(level): [rate for rate in rates.tolist() if rate == rate] for level, rates in tried.items()}


def _rate(level: Level) -> float:
    return float(level) if isinstance(level, int | float) and not isinstance(level, bool) else math.nan
