"""The ranking, along any factor, and how sure it is.

Each level of the factor that is ranked (each optimizer by default) is represented by its best setting: the one with the
best mean over the search's seeds among all that have this level, whatever their other factors. What is reported about
that setting comes, once the study is complete, from fresh seeds that had no part in the choice. The mean is of what
the study judges by (`plan.criterion`): the validation loss at the end unless it says otherwise. A run that diverged,
whose loss stopped being finite or ended above ten times that of its untrained weights, counts as infinitely bad.
Validation is always judged by the problem's own loss or metrics, so that settings trained with different losses can be
compared.

Read next: `comparisons.py`, which settings are better than which; `intervals.py`, how sure a mean is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..errors import PlanError, unknown
from ..numbers import Range
from ..plan.criterion import Criterion
from ..plan.factors import Factor, Level, Setting, shown
from ..plan.folds import FOLD, averaged
from ..plan.plan import Plan
from .comparisons import MARGIN, badness, paired, rank
from .entries import Default, Entry, Judged, Verdict
from .intervals import Interval, interval, quantile, spread
from .sentences import notes, passed_over, sentence

_ENDED = ("finished", "diverged", "stopped")


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


@dataclass(frozen=True)
class Losses:
    """What runs are judged by (settings, seeds, folds), the lower the better, and how far they came.

    Infinite where a run diverged; a metric of which higher is better is negated. There is one fold without
    cross-validation.
    """

    settings: list[Setting]
    values: np.ndarray
    steps: list[int]

    def rows(self, settings: Sequence[Setting]) -> np.ndarray | None:
        """(seeds, folds, settings), or None if one of them is missing."""
        place = {setting: k for k, setting in enumerate(self.settings)}
        if any(setting not in place for setting in settings):
            return None
        rows = self.values[[place[setting] for setting in settings]]
        return None if np.isnan(rows).any() or not rows.size else np.moveaxis(rows, 0, -1)


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


def search_losses(
    plan: Plan,
    members: pd.DataFrame,
    by: str = "optimizer",
    criterion: Criterion | None = None,
    stopped: bool = False,
    grid: bool = False,
) -> Losses:
    """The losses of the search behind a ranking by that factor, for each seed that every setting has finished.

    Args:
        criterion: another than the plan's.
        stopped: whether settings that halving stopped count too, with the losses they had then.
        grid: whether to leave out those by which the search was refined.
    """
    search = searched(plan, members, by)
    search = search[~_of(plan, search, {*plan.refinement})] if grid else search
    # While the grid grows, or is refined, what it had before stands.
    growing = set(plan.grown) & set(search.loc[~search["status"].isin(_ENDED), "lr"])
    search = search[~search["lr"].isin(growing)]
    search = search[~_unfinished_round(plan, search, by)]
    unfinished = search.loc[~search["status"].isin(_ENDED), "seed"]
    whole = search[~search["seed"].isin(unfinished)]
    if stopped:
        return _losses(plan, whole, criterion or plan.criterion)
    # A setting that was stopped is stopped on every seed, those on which it had diverged before among them.
    names = _names(plan)
    halted = whole.loc[whole["status"] == "stopped", names].drop_duplicates()
    return _losses(plan, whole[~_among(whole[names], halted)], criterion or plan.criterion)


def searched(plan: Plan, members: pd.DataFrame, by: str = "optimizer") -> pd.DataFrame:
    """The runs of the search behind a ranking by that factor: without those by which it was refined for others."""
    search = members[members["stage"] == "search"]
    others = set(plan.refinement) - set(plan.finer(by))
    return search[~_of(plan, search, others)]


def _unfinished_round(plan: Plan, search: pd.DataFrame, by: str) -> pd.Series:
    """Which runs belong to a round of the refinement that is not complete."""
    rows = pd.Series(False, index=search.index)
    for one in plan.refined:
        of_round = _of(plan, search, set(one.get(by, ())))
        if not search.loc[of_round, "status"].isin(_ENDED).all():
            rows |= of_round
    return rows


def _of(plan: Plan, search: pd.DataFrame, settings: Container[Setting]) -> pd.Series:
    """Which runs have one of these settings, whose rates are not of the grid."""
    rows = ~search["lr"].isin(plan.rates)
    finer = search.loc[rows, _names(plan)].to_dict("records")
    rows[rows] = np.array([_setting(row) in settings for row in finer], dtype=bool)
    return rows


def _names(plan: Plan) -> list[str]:
    return ["optimizer", "lr", "schedule", *(f.name for f in plan.further)]


def _among(rows: pd.DataFrame, others: pd.DataFrame) -> pd.Series:
    """Which rows are among the others."""
    if others.empty:
        return pd.Series(False, index=rows.index)
    both = pd.concat([others, rows])
    codes = both.groupby(list(rows), sort=False, dropna=False).ngroup().to_numpy()
    return pd.Series(np.isin(codes[len(others) :], codes[: len(others)]), index=rows.index)


def _losses(plan: Plan, members: pd.DataFrame, criterion: Criterion) -> Losses:
    if plan.folds is not None:
        members = members[members[FOLD].notna()]
    if members.empty or criterion.column not in members:
        return Losses([], np.zeros((0, 0, 0)), [])
    names = _names(plan)
    code = members.groupby(names, sort=False, dropna=False).ngroup().to_numpy()
    _, first = np.unique(code, return_index=True)
    settings = [_setting(row) for row in members.iloc[first][names].to_dict("records")]
    seeds, column = np.unique(members["seed"], return_inverse=True)
    loss = (criterion.sign * members[criterion.column]).where(members["status"] != "diverged").fillna(math.inf)
    values = np.full((len(settings), len(seeds), len(plan.search_folds)), math.nan)
    fold = members[FOLD].to_numpy(int) if plan.folds is not None else 0
    values[code, column, fold] = loss.to_numpy(float)
    steps = members["step"].where(members["status"] == "finished", 0).to_numpy()
    longest = np.zeros(len(settings), dtype=np.int64)
    np.maximum.at(longest, code, steps.astype(np.int64))
    return Losses(settings, values, longest.tolist())


def _setting(row: Mapping[str, Any]) -> Setting:
    """The setting of a row of the table, whose numbers are NumPy's and whose missing levels are NaN."""
    levels = tuple(
        (name, None if isinstance(value, float) and math.isnan(value) else value)
        for name, value in row.items()
        if name not in ("optimizer", "lr", "schedule")
    )
    return Setting(str(row["optimizer"]), float(row["lr"]), str(row["schedule"]), levels)


def judge(
    plan: Plan,
    name: str,
    members: pd.DataFrame,
    costs: Mapping[str, Any],
    by: str = "optimizer",
    parts: Mapping[str, pd.DataFrame] | None = None,
    samples: int = 0,
    margin: float = MARGIN,
    by_metric: str | None = None,
) -> Verdict:
    """The verdict on whatever the study has finished so far.

    Args:
        members: `Store.members()`.
        costs: as the store has them.
        by: the factor whose levels are ranked.
        parts: `Store.parts()`; without them the evidence is over seeds alone.
        samples: of the validation part.
        margin: differences up to that share of the best value do not matter.
        by_metric: ranks the chosen settings by it; by what the study judges by unless given.

    Raises:
        PlanError: the study does not vary that factor, the margin is not a number of at least 0, or the metric is not
            known.
    """
    margin = Range(0).check("margin", margin, PlanError)
    factor = rankable(plan, by)
    criterion = plan.criterion if by_metric is None else _ranked_by(plan, members, by_metric)
    search = search_losses(plan, members, factor.name)
    chosen = _best(factor, search)
    if not chosen:
        nothing = f"Nothing can be said about {name} yet: no seed is complete."
        return Verdict((), (), nothing, (), 0, False, factor.name, criterion=criterion)
    settings = [setting for setting, _ in chosen.values()]
    fresh, looks = _ended(plan, members[members["stage"] == "confirmation"])
    again = _losses(plan, fresh, criterion)
    confirmed = again.rows(settings)
    before = search_losses(plan, members, factor.name, criterion).rows(settings)
    losses = before if confirmed is None else confirmed
    assert losses is not None  # the search is complete on its seeds
    assert before is not None
    each_run, parts = losses, {} if parts is None or plan.folds else parts
    by_part = None if confirmed is None else _by_part(fresh, parts, settings, criterion)
    losses, samples = (losses, 0) if by_part is None else (by_part, samples)
    order, ranked = rank(losses, overlap=plan.overlap, margin=margin, looks=looks)
    runs_and_parts = None if confirmed is None else (fresh, parts)
    metrics = _by_metrics(plan, members, factor.name, runs_and_parts, settings, looks, criterion)
    behind = searched(plan, members, factor.name)
    runs = behind.groupby(factor.name, sort=False)["status"]
    tried = behind[_names(plan)].drop_duplicates()[factor.name].value_counts()
    if plan.folds is not None:
        fresh = averaged(fresh)
    steps = dict(zip(search.settings, search.steps, strict=True))
    tuned = confirmed is not None and factor.name == "optimizer"
    entries = []
    for k in order:
        setting, value = settings[k], ranked.mean[k].times(criterion.sign)
        default = _default(plan, fresh, again, setting, parts, criterion) if tuned else None
        lost, mean_of_rest = badness(each_run[..., k])
        status = runs.get_group(setting[factor.name])
        entries.append(
            Entry(
                optimizer=setting.optimizer,
                letters=ranked.letters[k],
                lr=setting.lr,
                schedule=setting.schedule,
                value=value,
                validation_loss=value if criterion.metric == "loss" else metrics["loss"][k].value,
                difference=ranked.difference[k].times(criterion.sign),
                standing=ranked.standing[k],
                may_be_best=ranked.may_be_best[k],
                regret=ranked.regret[k],
                probability_best=ranked.probability[k],
                search_value=criterion.sign * float(before[..., k].mean()),
                edge=_edge([*plan.rates, *plan.rates_of(setting, factor.name)], setting.lr),
                runs=int(status.size),
                settings=int(tried[setting[factor.name]]),
                diverged=int((status == "diverged").sum()),
                test={} if confirmed is None else _test(fresh, setting, parts),
                seconds_per_step=seconds_per_step(plan, costs, setting),
                state_bytes_per_weight=4.0 * plan.states_of(setting),
                further=dict(setting.further),
                steps=steps[setting],
                places=ranked.places[k],
                more_seeds=ranked.more_seeds[k],
                more_samples=ranked.more_parts[k] * (samples or 1),
                spread=spread(losses[..., k], plan.overlap),
                metrics={name: judged[k] for name, judged in metrics.items()} if confirmed is not None else {},
                default=default,
                tunability=_tunability(default, value, criterion),
                stopped=int((status == "stopped").sum()),
                lost=lost,
                mean_of_rest=criterion.sign * mean_of_rest,
                percentile_90=criterion.sign * quantile(each_run[..., k].mean(axis=1), 0.9),
            )
        )
    levels = [shown(setting[factor.name]) for setting in settings]
    groups = tuple(tuple(levels[k] for k in group) for group in ranked.groups)
    count, final = len(losses), confirmed is not None
    folds = plan.folds.count if plan.folds is not None else 0
    evidence = (factor.name, folds, samples, margin, looks, criterion)
    verdict = Verdict(tuple(entries), groups, "", (), count, final, *evidence)
    words = notes(plan, factor, verdict, ranked.comparisons)
    if final:
        words += passed_over(plan, factor, criterion, entries[0].setting, again.settings, again.values)
    return replace(verdict, sentence=sentence(plan, factor, name, verdict), notes=tuple(words))


def rankable(plan: Plan, by: str) -> Factor:
    """The factor of that name, if it has levels to rank; words as in sentences are taken too."""
    factors = {f.name: f for f in plan.factors if f.name == "optimizer" or (f.varied and f.name not in plan.drawn)}
    names = {f.kind.words: f for f in factors.values()} | factors
    if by not in names:
        raise PlanError(unknown("factor that this study varies", str(by), factors))
    return names[by]


def _ended(plan: Plan, members: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The runs of the confirmation, and how often it had been looked at before; none while one of them still runs, but
    for those that had ended before it was extended."""
    for looks, count in reversed([*enumerate(plan.looks), (len(plan.looks), math.inf)]):
        runs = members[members["seed"] < plan.seeds + count]
        if len(runs) and runs["status"].isin(_ENDED).all():
            return runs, looks
    return members[:0], 0


def _ranked_by(plan: Plan, members: pd.DataFrame, by_metric: str) -> Criterion:
    """Another metric at the epochs that the study judges by."""
    criterion = replace(Criterion.of(by_metric), epochs=plan.criterion.epochs)
    if criterion.column not in members:
        names = [name.removeprefix("validation_") for name in members if name.startswith("validation_")]
        raise PlanError(unknown("metric of this study", criterion.metric, names))
    return criterion


def _by_metrics(
    plan: Plan,
    members: pd.DataFrame,
    by: str,
    fresh: tuple[pd.DataFrame, Mapping[str, pd.DataFrame]] | None,
    settings: Sequence[Setting],
    looks: int,
    criterion: Criterion,
) -> dict[str, list[Judged]]:
    """Metric → where each setting stands by it, for the metrics of which it is known whether higher is better.

    Args:
        fresh: the runs of the confirmation and their values on parts of the samples; None judges by the search.
    """
    result = {}
    names = [name.removeprefix("validation_") for name in members if name.startswith("validation_")]
    for name, sign in criterion.directions(names).items():
        other = Criterion(name, sign, criterion.epochs)
        values = None if fresh is None else _by_part(*fresh, settings, other)
        if values is None:
            runs = search_losses(plan, members, by, other) if fresh is None else _losses(plan, fresh[0], other)
            values = runs.rows(settings)
        if values is None:
            continue
        _, ranked = rank(values, overlap=plan.overlap, looks=looks)
        result[name] = [
            Judged(one.times(sign), letters, may)
            for one, letters, may in zip(ranked.mean, ranked.letters, ranked.may_be_best, strict=True)
        ]
    return result


def seconds_per_step(plan: Plan, costs: Mapping[str, Any], setting: Setting) -> float:
    """What a step of one run costs: its share of the batched program, and its optimizer's update."""
    for program in costs.get("programs", ()):
        names = ("batch_size", "loss", "regularizer")
        if all(plan.level(setting, name) == program.get(name, "none") for name in names):
            return program["seconds"] + costs.get("update_seconds", {}).get(setting.optimizer, math.nan)
    return costs.get("seconds_per_step", {}).get(setting.optimizer, math.nan)


def _default(
    plan: Plan,
    fresh: pd.DataFrame,
    again: Losses,
    setting: Setting,
    parts: Mapping[str, pd.DataFrame],
    criterion: Criterion,
) -> Default | None:
    default = plan.default(setting)
    if default is None or (rows := again.rows([default, setting])) is None:
        return None
    if (by_part := _by_part(fresh, parts, [default, setting], criterion)) is not None:
        rows = by_part
    chosen, untuned, tuned = default == setting, rows[..., 0], rows[..., 1]
    difference = Interval(0.0, 0.0, 0.0) if chosen else paired(untuned, tuned, plan.overlap)
    value, sign = interval(untuned, overlap=plan.overlap), criterion.sign
    rest = value.times(sign), difference.times(sign), _test(fresh, default, parts)
    return Default(default.lr, default.schedule, dict(default.further), chosen, *rest)


def _tunability(default: Default | None, tuned: Interval, criterion: Criterion) -> float:
    if default is None or not math.isfinite(tuned.mean) or not tuned.mean:
        return math.nan
    return criterion.sign * default.difference.mean / abs(tuned.mean)


def _test(fresh: pd.DataFrame, setting: Setting, parts: Mapping[str, pd.DataFrame]) -> dict[str, Interval]:
    """metric → interval over the fresh seeds (and samples) of a setting, on the test part."""
    runs = fresh[matching(fresh, setting)]
    # A diverged run has an infinite loss; its other metrics count where they are numbers.
    loss = runs.get("test_loss", pd.Series(dtype=float)).where(runs["status"] != "diverged").fillna(math.inf)
    names = [name for name in runs.columns if name.startswith("test_")]
    values = {m: (loss if m == "test_loss" else runs[m].dropna()).to_numpy(float) for m in names}
    for m in names:
        by_part = _cells(fresh, parts.get(m), [setting])
        if by_part is not None and np.isfinite(by_part).all():
            values[m] = by_part[..., 0]
    return {m.removeprefix("test_"): interval(v) for m, v in values.items() if len(v)}


def _by_part(
    runs: pd.DataFrame, parts: Mapping[str, pd.DataFrame], settings: Sequence[Setting], criterion: Criterion
) -> np.ndarray | None:
    """What `Losses.rows` gives, by parts of the samples in the place of folds; None where these are not known."""
    values = _cells(runs, parts.get(criterion.column), settings)
    return None if values is None else np.where(np.isfinite(values), criterion.sign * values, np.inf)


def _cells(fresh: pd.DataFrame, parts: pd.DataFrame | None, settings: Sequence[Setting]) -> np.ndarray | None:
    """Values (seeds, parts of the samples, settings), infinite where a run diverged; None where they are not known.

    One seed alone tells nothing of others, on however many samples.
    """
    each = [fresh[matching(fresh, setting)].sort_values("seed") for setting in settings]
    members = np.array([runs["member"] for runs in each])
    if parts is None or members.shape[1] < 2 or not np.isin(members, parts.index).all():
        return None
    values = parts.loc[members.ravel()].to_numpy(float).reshape(*members.shape, -1)
    lost = np.array([runs["status"] == "diverged" for runs in each])[..., None] | ~np.isfinite(values)
    return np.moveaxis(np.where(lost, np.inf, values), 0, -1)


def matching(members: pd.DataFrame, setting: Setting) -> pd.Series:
    """Which rows of the table of members have that setting."""
    first = {"optimizer": setting.optimizer, "lr": setting.lr, "schedule": setting.schedule}
    return having(members, {**first, **dict(setting.further)})


def having(members: pd.DataFrame, levels: Mapping[str, Level]) -> pd.Series:
    """Which rows have these levels; None stands for a factor that does not apply."""
    rows = pd.Series(True, index=members.index)
    for name, level in levels.items():
        rows &= members[name].isna() if level is None else members[name] == level
    return rows


def points(curves: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """The points of these members, beside each its member's row; infinite from where a run diverged on."""
    rows = curves.merge(members.rename(columns={"step": "last"}), on="member")
    lost = (rows["status"] == "diverged") & (rows["step"] >= rows["last"])
    return rows.assign(value=rows["value"].mask(lost, math.inf))


def _edge(rates: Sequence[float], lr: float) -> str | None:
    return {min(rates): "lowest", max(rates): "highest"}.get(lr) if len(set(rates)) > 1 else None
