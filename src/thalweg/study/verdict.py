"""The ranking, and how sure it is.

Each optimizer is represented by the setting (rate, schedule) with the lowest mean validation loss over
the search's seeds. What is reported about that setting comes, once the study is complete, from fresh
seeds that had no part in the choice. A run that diverged counts as an infinite loss.

Intervals resample seeds: all optimizers share a seed's initial weights and batches, so differences are
taken seed by seed. The plain percentile interval is too narrow for few seeds; its ends are moved away from
the mean by the factor that makes it right for normal data (after Hesterberg 2015, section 5.3, who moves
the quantiles instead, which cannot help where the resamples of three or five values end). One optimizer is
reliably better than another if their paired difference's interval lies on one side of zero; those that
nobody is reliably better than are tied for the first place, and so on down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from .plan import Plan

LEVEL = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class Entry:
    """One optimizer at its chosen setting.

    Attributes:
        rank: 1 for the group of the best, 2 for the next group, …
        validation_loss: over fresh seeds once confirmed, else over the search's seeds.
        difference: to the best optimizer, paired by seed.
        search_loss: mean over the search's seeds, by which the setting was chosen.
        edge: "lowest" or "highest" if the chosen rate is the grid's last in that direction.
        runs, diverged: of this optimizer in the search.
        test: metric → interval over fresh seeds; empty before confirmation.
        seconds_per_step: per member, its share of the batched program.
        state_bytes_per_weight: of float32 states.
    """

    optimizer: str
    rank: int
    lr: float
    schedule: str
    validation_loss: Interval
    difference: Interval
    probability_best: float
    search_loss: float
    edge: str | None
    runs: int
    diverged: int
    test: Mapping[str, Interval]
    seconds_per_step: float
    state_bytes_per_weight: float


@dataclass(frozen=True)
class Verdict:
    """Which optimizer is best here, which cannot be told apart from it, and what to beware of."""

    entries: tuple[Entry, ...]
    groups: tuple[tuple[str, ...], ...]
    sentence: str
    notes: tuple[str, ...]
    seeds: int
    confirmed: bool

    @property
    def best(self) -> Entry:
        return self.entries[0]

    def to_json(self) -> dict[str, Any]:
        """Plain values; infinite and missing numbers are None."""
        return _plain(asdict(self))

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"  {note}" for note in self.notes)])


def chosen_settings(plan: Plan, members: pd.DataFrame) -> dict[str, tuple[float, str, float]]:
    """optimizer → (lr, schedule, mean validation loss) with the lowest mean over the search's seeds.

    Seeds whose search is not complete are left out, so that every setting is judged on the same seeds.
    Where every setting diverged on some seed, the one that did on the fewest. Ties go to the smaller rate.
    """
    losses = _search_losses(plan, members)
    if losses.empty:
        return {}
    chosen = {}
    for label in plan.optimizers:
        own = losses.loc[label].sort_index()
        (lr, schedule), values = min(own.iterrows(), key=lambda row: _badness(row[1].to_numpy(float)))
        chosen[label] = (float(lr), str(schedule), float(values.mean()))
    return chosen


def _badness(losses: np.ndarray) -> tuple[int, float]:
    """On how many seeds it diverged, then the mean loss over the others."""
    finite = losses[np.isfinite(losses)]
    return len(losses) - len(finite), float(finite.mean()) if len(finite) else math.inf


def _search_losses(plan: Plan, members: pd.DataFrame) -> pd.DataFrame:
    """Rows (optimizer, lr, schedule), one column per seed that every setting has finished."""
    search = members[members["stage"] == "search"]
    if "validation_loss" not in search:
        return pd.DataFrame()
    unfinished = search.loc[search["status"].isin(["waiting", "started"]), "seed"]
    kept = search[~search["seed"].isin(unfinished)]
    return _pivot(kept)


def _pivot(members: pd.DataFrame) -> pd.DataFrame:
    if members.empty:
        return pd.DataFrame()
    loss = members["validation_loss"].where(members["status"] != "diverged").fillna(math.inf)
    table = members.assign(validation_loss=loss)
    return table.pivot(index=["optimizer", "lr", "schedule"], columns="seed", values="validation_loss")


def judge(plan: Plan, name: str, members: pd.DataFrame, costs: Mapping[str, Any]) -> Verdict:
    """The verdict on whatever the study has finished so far.

    Args:
        members: `Store.members()`.
        costs: {"seconds_per_step": {optimizer: seconds}}.
    """
    chosen = chosen_settings(plan, members)
    if not chosen:
        return Verdict((), (), f"Nothing can be said about {name} yet: no seed is complete.", (), 0, False)
    search = _search_losses(plan, members)
    fresh = members[members["stage"] == "confirmation"]
    confirmed = len(fresh) > 0 and bool(fresh["status"].isin(["finished", "diverged"]).all())
    source = _pivot(fresh) if confirmed else search
    labels = [label for label in plan.optimizers if label in chosen]
    losses = np.stack([source.loc[(label, *chosen[label][:2])].to_numpy(float) for label in labels], axis=1)
    order, ranked = rank(losses)
    runs = members[members["stage"] == "search"].groupby("optimizer")["status"]
    test = _test(fresh) if confirmed else {}
    entries = []
    for k in order:
        label = labels[k]
        lr, schedule, found = chosen[label]
        entries.append(Entry(
            optimizer=label, rank=ranked.rank[k], lr=lr, schedule=schedule, validation_loss=ranked.mean[k],
            difference=ranked.difference[k], probability_best=ranked.probability[k], search_loss=found,
            edge=_edge(plan, lr), runs=int(runs.get_group(label).size),
            diverged=int((runs.get_group(label) == "diverged").sum()), test=test.get(label, {}),
            seconds_per_step=costs.get("seconds_per_step", {}).get(label, math.nan),
            state_bytes_per_weight=4.0 * plan.states[label],
        ))  # fmt: skip
    groups = tuple(
        tuple(e.optimizer for e in entries if e.rank == r) for r in sorted({e.rank for e in entries})
    )
    notes = _notes(plan, entries, members, confirmed, losses.shape[0])
    sentence = _sentence(name, entries, groups, losses.shape[0], confirmed)
    return Verdict(tuple(entries), groups, sentence, notes, losses.shape[0], confirmed)


@dataclass(frozen=True)
class Ranking:
    """For each column of a table of losses: its group, mean, paired difference and chance to be best."""

    rank: list[int]
    mean: list[Interval]
    difference: list[Interval]
    probability: list[float]


def rank(losses: np.ndarray, seed: int = 0) -> tuple[list[int], Ranking]:
    """Order columns from best to worst, with intervals and tie groups.

    A candidate's group is the one after the last group that holds somebody reliably better. So within a
    group nobody can be told from anybody, and the first group holds all that nobody is reliably better than.

    Args:
        losses: (seeds, candidates); inf for a run that diverged.

    Returns:
        The order (best first), and the ranking by column.
    """
    count, width = losses.shape
    drawn = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    resampled = losses[drawn].mean(axis=1)  # (resamples, candidates)
    # Widened like the intervals, so that the chance of being best never contradicts them.
    centre = losses.mean(axis=0)
    finite = np.isfinite(losses).all(axis=0)
    spread = resampled.copy()
    spread[:, finite] = centre[finite] + _wider(count) * (resampled[:, finite] - centre[finite])
    lowest = spread == spread.min(axis=1, keepdims=True)
    probability = (lowest / lowest.sum(axis=1, keepdims=True)).mean(axis=0)

    def difference(k: int, leader: int) -> Interval:
        if k == leader:
            return Interval(0.0, 0.0, 0.0)
        # Both infinite is no difference that could be told.
        with np.errstate(invalid="ignore"):
            gap = np.nan_to_num(losses[:, k] - losses[:, leader], nan=0.0, posinf=np.inf, neginf=-np.inf)
        if np.isposinf(gap).any() and np.isneginf(gap).any():
            return Interval(math.inf, -math.inf, math.inf)  # each diverged where the other did not
        return interval(gap, gap[drawn].mean(axis=1))

    by_mean = sorted(range(width), key=lambda k: (*_badness(losses[:, k]), k))
    groups = [1] * width
    for place, k in enumerate(by_mean):
        better = [groups[j] for j in by_mean[:place] if difference(k, j).low > 0]
        groups[k] = 1 + max(better, default=0)
    order = sorted(by_mean, key=lambda k: groups[k])
    return order, Ranking(
        rank=groups,
        mean=[interval(losses[:, k], resampled[:, k]) for k in range(width)],
        difference=[difference(k, order[0]) for k in range(width)],
        probability=[float(p) for p in probability],
    )


def interval(values: np.ndarray, resampled: np.ndarray) -> Interval:
    """The mean of `values` with the percentile interval of its bootstrap means, widened for few values.

    One value alone gives an interval without ends: a single seed says nothing about others.
    """
    count = len(values)
    mean = float(values.mean())
    if count < 2:
        return Interval(mean, -math.inf, math.inf)
    if not np.isfinite(mean):
        return Interval(mean, mean, mean)
    above = (1 + LEVEL) / 2
    low, high = np.quantile(resampled, [1 - above, above])
    wider = _wider(count)
    return Interval(mean, float(mean + wider * (low - mean)), float(mean + wider * (high - mean)))


def _wider(count: int) -> float:
    """The factor by which the bootstrap of `count` values is too narrow.

    It divides by n where n − 1 is right, and has the normal's tails where Student's are right.
    """
    if count < 2:
        return 1.0
    above = (1 + LEVEL) / 2
    return math.sqrt(count / (count - 1)) * stats.t.ppf(above, count - 1) / stats.norm.ppf(above)


def _test(fresh: pd.DataFrame) -> dict[str, dict[str, Interval]]:
    """optimizer → metric → interval over the fresh seeds, on the test part."""
    metrics = [c for c in fresh.columns if c.startswith("test_")]
    results: dict[str, dict[str, Interval]] = {}
    for label, own in fresh.groupby("optimizer"):
        # A diverged run has an infinite loss; of its other metrics nothing is known.
        values = {
            m: (own[m].fillna(math.inf) if m == "test_loss" else own[m].dropna()).to_numpy(float)
            for m in metrics
        }
        results[str(label)] = {m.removeprefix("test_"): _alone(v) for m, v in values.items() if len(v)}
    return results


def _alone(values: np.ndarray) -> Interval:
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    return interval(values, values[drawn].mean(axis=1))


def _edge(plan: Plan, lr: float) -> str | None:
    if len(plan.rates) < 2:
        return None
    return "lowest" if lr == plan.rates[0] else "highest" if lr == plan.rates[-1] else None


def _sentence(
    name: str, entries: Sequence[Entry], groups: Sequence[tuple[str, ...]], seeds: int, confirmed: bool
) -> str:
    best = entries[0]
    if not math.isfinite(best.validation_loss.mean):
        return f"No optimizer trained {name} without diverging; try lower rates."
    kind = "fresh seeds" if confirmed else "seeds"
    over = f"over {seeds} {kind}" if seeds > 1 else f"over one {kind.rstrip('s')}"
    at = f"rate {best.lr:.3g}, {best.schedule}"
    loss = (
        f"validation loss {best.validation_loss}"
        if seeds > 1
        else f"validation loss {best.validation_loss.mean:.4g}"
    )
    ties = groups[0][1:]
    if seeds < 2 and len(entries) > 1:
        return f"{best.optimizer} ({at}) has the lowest {loss} on {name}, but one seed cannot tell optimizers apart."
    if not ties:
        alone = " and no other comes level" if len(entries) > 1 else ""
        return f"{best.optimizer} ({at}) is best on {name}: {loss} {over}{alone}."
    return (
        f"{_list([best.optimizer, *ties])} cannot be told apart on {name}: a tie. "
        f"{best.optimizer} ({at}) has the lowest {loss} {over}, "
        f"and a {best.probability_best:.0%} chance of being the best."
    )


def _notes(
    plan: Plan, entries: Sequence[Entry], members: pd.DataFrame, confirmed: bool, seeds: int
) -> tuple[str, ...]:
    notes = []
    for entry in entries:
        if entry.edge:
            side = "higher" if entry.edge == "highest" else "lower"
            notes.append(
                f"{entry.optimizer}: its best rate {entry.lr:.3g} is the {entry.edge} tried; a {side} one may be better."
            )
    lost = sum(e.diverged for e in entries)
    if lost:
        notes.append(f"{lost} of {sum(e.runs for e in entries)} runs diverged and count as infinitely bad.")
    if not confirmed:
        complete = (
            f"{seeds} of {plan.seeds} seeds are complete" if seeds < plan.seeds else "the search is complete"
        )
        notes.append(
            f"Not confirmed: {complete}, and the settings were not run again with fresh seeds, "
            "so the losses shown are a little too good and the test part is untouched."
        )
    return tuple(notes)


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
