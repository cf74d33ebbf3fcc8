"""What papers say of rules, looked for on problems of seconds: five claims, each with intervals over seeds.

A pair of rule and schedule is a candidate. Each is tuned in a study of its own: five rates half a decade apart and two
finer ones around the best, 3 seeds; the chosen rate runs again with fresh seeds, which are the same for all candidates,
so differences are paired by seed. Three claims are about those runs:

1. schedule-free needs no schedule: its mean lies within the interval of the tuned cosine, or below;
2. Muon's loss is below AdamW's after equally many steps;
5. ranks turn over between the middle of a run and the end of the decay.

The other two are about rates, octaves or half octaves apart, on networks for `digits` that train in milliseconds:

3. from width 16 to 256 the best rates of Muon and LAMB move less than Adam's;
4. the cliff, the lowest rate above the best one at which a run learns nothing, is 2 to 4 times the best rate.

    python benchmarks/behaviour.py
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
import pandas as pd
from torch import nn

import thalweg as tw
from thalweg.verdict.intervals import Interval, interval

EPOCHS = 20
FRESH = {"digits": 10, "text": 5}  # a step of text costs a hundred times as much
RATES = {
    "adamw": tw.log_range(1e-3, 0.1, 5),
    "schedule_free_adamw": tw.log_range(1e-3, 0.1, 5),
    "muon": tw.log_range(1e-3, 0.1, 5),
    "lamb": tw.log_range(1e-3, 0.1, 5),
    "lion": tw.log_range(1e-4, 1e-2, 5),
    "momentum": tw.log_range(1e-2, 1, 5),
    "schedule_free_sgd": tw.log_range(0.1, 10, 5),
}
# The schedule-free rule, and the one whose cosine it is to do without.
PAIRS = {"schedule_free_adamw": "adamw", "schedule_free_sgd": "momentum"}
DECAYED = ("adamw", "momentum", "lion", "lamb", "muon")

WIDTHS, OCTAVES, TRANSFERRED = (16, 64, 256), range(-10, 0), ("adam", "muon", "lamb")
CHOOSING, SEEDS = 4, 10  # seeds that choose a rate, of all; the others judge it
HALF_OCTAVES, CLIFFS = range(-20, 9), ("sgd", "momentum", "adam", "muon", "lamb", "lion")
NOTHING = 0.9 * math.log(10)  # a training loss this near to that of equal chances for ten classes


class Runs(NamedTuple):
    """A candidate's fresh runs at its chosen rate.

    Attributes:
        losses: on the validation part, (seeds, epochs).
        shown: the last loss as the study's verdict has it, over seeds and validation samples.
    """

    losses: np.ndarray
    shown: Interval

    @property
    def middle(self) -> np.ndarray:
        return self.losses[:, self.losses.shape[1] // 2 - 1]

    @property
    def end(self) -> np.ndarray:
        return self.losses[:, -1]


Candidates = Mapping[tuple[str, str], Runs]


@contextmanager
def study_of(
    problem: str, rules: Sequence[str], rates: Sequence[float], schedule: str, **how: Any
) -> Iterator[tw.Study]:
    """A study for as long as its store is there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        yield tw.compare(problem, rules, rates, [schedule], tune=False, store=path, progress=False, **how)


def tuned(problem: str, rule: str, schedule: str, fresh: int, epochs: int = EPOCHS, refine: int = 1) -> Runs:
    how = {"seeds": 3, "epochs": epochs, "confirmation": fresh, "refine": refine}
    with study_of(problem, [rule], RATES[rule], schedule, **how) as study:
        best, members, curves = study.verdict.best, study.table(), study.curves("confirmation")
    chosen = members[(members.stage == "confirmation") & (members.lr == best.lr) & (members.schedule == schedule)]
    points = curves[curves.metric == "validation_loss"].merge(chosen[["member", "seed"]], on="member")
    print(problem, rule, schedule, f"{best.lr:.3g}", best.value, flush=True)
    return Runs(points.pivot(index="seed", columns="step", values="value").to_numpy(), best.value)


def candidates(problem: str, fresh: int) -> Candidates:
    decayed = [(rule, "cosine") for rule in DECAYED]
    steady = [(rule, "constant") for pair in PAIRS.items() for rule in pair]
    return {(rule, schedule): tuned(problem, rule, schedule, fresh) for rule, schedule in decayed + steady}


def difference(one: np.ndarray, other: np.ndarray) -> Interval:
    """Of means over seeds, paired by seed."""
    return interval(one - other, skewed=False)


def beyond(difference: Interval) -> bool:
    """Whether 0 lies outside."""
    return difference.low > 0 or difference.high < 0


def signed(value: Interval, form: str = ".3f") -> str:
    numbers = (f"{x:+{form}}".replace("-", "−") for x in (value.mean, value.low, value.high))
    return "{} [{}, {}]".format(*numbers)


def plain(value: Interval, form: str = ".3f") -> str:
    return f"{value.mean:{form}} [{value.low:{form}}, {value.high:{form}}]"


def without_schedule(runs: Candidates) -> list[list[str]]:
    """A row for each schedule-free rule."""
    rows = []
    for free, rule in PAIRS.items():
        keys = ((rule, "cosine"), (rule, "constant"), (free, "constant"))
        cosine, constant, averaged = (runs[key].end for key in keys)
        over_seeds, shown = interval(cosine), runs[rule, "cosine"].shown
        within = ["yes" if averaged.mean() <= one.high else "no" for one in (over_seeds, shown)]
        differences = (signed(difference(one, cosine)) for one in (averaged, constant))
        rows.append([free, rule, plain(over_seeds), plain(shown), plain(interval(averaged)), *differences, *within])
    return rows


def turned_over(runs: Candidates) -> tuple[list[tuple[str, Interval, Interval]], int, int]:
    """Pairs of candidates whose order at the end is not that of mid-run and both differences are beyond their
    intervals; how many turn over at all; how many pairs there are."""
    reliable, turned = [], 0
    pairs = [*itertools.combinations(runs.items(), 2)]
    for (name, one), (rival, other) in pairs:
        middle, end = difference(one.middle, other.middle), difference(one.end, other.end)
        if middle.mean * end.mean < 0:
            turned += 1
            if beyond(middle) and beyond(end):
                reliable.append((f"{' '.join(name)} − {' '.join(rival)}", middle, end))
    return reliable, turned, len(pairs)


def network(width: int) -> nn.Module:
    """Two hidden layers, so that one matrix grows in both directions."""
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def gridded(rules: Sequence[str], rates: Sequence[float], **how: Any) -> pd.DataFrame:
    """A row for each run of a grid on `digits`; what diverged has infinite losses."""
    with study_of("digits", rules, rates, "cosine", confirmation=0, grow=0, refine=0, **how) as study:
        runs = study.table()
    runs.loc[runs.status == "diverged", ["train_loss", "validation_loss"]] = math.inf
    return runs


def by_rate(runs: pd.DataFrame, column: str = "validation_loss") -> pd.DataFrame:
    """(seeds, rates)."""
    return runs.pivot(index="seed", columns="lr", values=column)


class Transfer(NamedTuple):
    """Of a rule: each seed's best rate by width, in octaves, (seeds,) each; by what share the loss at the last width
    is higher at the rate of the first one, of each seed that judges."""

    best: dict[int, np.ndarray]
    cost: np.ndarray

    @property
    def shift(self) -> np.ndarray:
        first, *_, last = self.best.values()
        return last - first


def transfers(
    rules: Sequence[str] = TRANSFERRED, widths: Sequence[int] = WIDTHS, seeds: int = SEEDS, epochs: int = 10
) -> dict[str, Transfer]:
    models = {str(width): partial(network, width) for width in widths}
    every = gridded(rules, [2.0**k for k in OCTAVES], seeds=seeds, epochs=epochs, models=models)
    found = {}
    for rule in rules:
        tables = {w: by_rate(every[(every.optimizer == rule) & (every.model == str(w))]) for w in widths}
        best = {width: np.log2(table.idxmin(axis=1).to_numpy()) for width, table in tables.items()}
        narrow, wide = (tables[w].head(CHOOSING).mean().idxmin() for w in (widths[0], widths[-1]))
        judging = tables[widths[-1]].iloc[CHOOSING:]
        found[rule] = Transfer(best, (judging[narrow] / judging[wide] - 1).to_numpy())
    return found


def cliffs(rules: Sequence[str] = CLIFFS, seeds: int = SEEDS, epochs: int = EPOCHS) -> dict[str, np.ndarray]:
    """rule → each seed's best rate and its cliff, in octaves: (2, seeds)."""
    every = gridded(rules, [2.0 ** (k / 2) for k in HALF_OCTAVES], seeds=seeds, epochs=epochs)
    found = {}
    for rule in rules:
        runs = every[every.optimizer == rule]
        losses, training = by_rate(runs), by_rate(runs, "train_loss")
        best = losses.idxmin(axis=1)
        failed = [row[(row.index > best[seed]) & (row >= NOTHING)].index[0] for seed, row in training.iterrows()]
        found[rule] = np.log2([best, failed])
    return found


def times(octaves: Interval) -> str:
    """A ratio, of the logarithms that were averaged."""
    return plain(Interval(*(2.0**x for x in (octaves.mean, octaves.low, octaves.high))), ".1f")


SECTIONS = {
    "Schedule-free at a constant rate beside a tuned cosine": [
        "problem, rule",
        "of",
        "cosine",
        "over seeds and samples",
        "schedule-free",
        "schedule-free − cosine",
        "constant − cosine",
        "within, over seeds",
        "within, over both",
    ],
    "Muon and AdamW after equally many steps": ["problem", "adamw", "muon", "muon − adamw", "margin"],
    "The best rate by width": [
        "rule",
        *(f"at {width}" for width in WIDTHS),
        "move in octaves",
        "less than adam",
        "cost",
        "less than adam's",
    ],
    "The cliff above the best rate": ["rule", "best rate", "cliff", "cliff / best rate", "2 to 4"],
    "Pairs whose order turns over": ["problem, pair", "after half of the epochs", "at the end"],
}
NOTES = (
    (
        "Constant: the rule itself, tuned, without a schedule. Within: the mean of schedule-free is within the "
        "interval of the cosine, or below it; over seeds and validation samples, as a verdict has it, an interval "
        "is wider."
    ),
    "Both along a cosine, each at its own tuned rate.",
    (
        "A network 64-w-w-10 on digits, 10 epochs along a cosine; rates an octave apart; each seed's best by "
        f"validation loss, as a power of 2, means over {SEEDS} seeds. Move: from the first width to the last. Less "
        "than adam: by how many octaves the best rate moves less, either way, paired by seed. Cost: by what share "
        f"the loss at width {WIDTHS[-1]} is higher at the rate that {CHOOSING} seeds choose at width {WIDTHS[0]} "
        f"than at the one that they choose at width {WIDTHS[-1]}, over the other {SEEDS - CHOOSING} seeds; in "
        "points less than adam's, paired by seed."
    ),
    (
        f"digits, {EPOCHS} epochs along a cosine; rates half an octave apart; geometric means over {SEEDS} seeds. "
        "Cliff: the lowest rate above the best one at which a run diverges or ends with a training loss of at "
        "least 0.9 log 10, that of equal chances being log 10. 2 to 4: the whole interval is; in brackets where "
        "the mean alone is."
    ),
    "Differences of validation losses; all pairs whose order turns over with 0 outside of both intervals.",
)


def muon_row(problem: str, runs: Candidates) -> list[str]:
    muon, adamw = runs["muon", "cosine"].end, runs["adamw", "cosine"].end
    gap = difference(muon, adamw)
    margin = "inside the interval" if not beyond(gap) else "muon lower" if gap.mean < 0 else "muon higher"
    return [problem, plain(interval(adamw)), plain(interval(muon)), signed(gap), margin]


def width_rows(found: Mapping[str, Transfer]) -> list[list[str]]:
    rows, adam = [], found["adam"]
    for rule, one in found.items():
        best = (f"{values.mean():.1f}".replace("-", "−") for values in one.best.values())
        move = signed(interval(one.shift, skewed=False), ".1f")
        less = difference(abs(adam.shift), abs(one.shift)), difference(adam.cost, one.cost)
        beside = ("–", "–") if one is adam else (signed(less[0], ".1f"), signed(less[1], ".0%"))
        rows.append([rule, *best, move, beside[0], signed(interval(one.cost), ".0%"), beside[1]])
    return rows


def cliff_rows(found: Mapping[str, np.ndarray]) -> list[list[str]]:
    rows = []
    for rule, (best, cliff) in found.items():
        ratio = interval(cliff - best, skewed=False)
        word = "yes" if ratio.low >= 1 and ratio.high <= 2 else "(yes)" if 1 <= ratio.mean <= 2 else "no"
        rows.append([rule, *(f"{2 ** octaves.mean():.2g}" for octaves in (best, cliff)), times(ratio), word])
    return rows


def turned_rows(problem: str, runs: Candidates) -> tuple[list[list[str]], str]:
    reliable, turned, pairs = turned_over(runs)
    rows = [[f"{problem}, {pair}", signed(middle), signed(end)] for pair, middle, end in reliable]
    return rows, f"{problem}: of {pairs} pairs {turned} turn over, {len(rows)} of them beyond both intervals"


def summary(
    free: list[list[str]], muon: list[list[str]], widths: list[list[str]], edges: list[list[str]], turned: Sequence[str]
) -> list[list[str]]:
    """What came of each claim, from the rows of its table."""
    within, also = ([row[0] for row in free if row[k] == "yes"] for k in (-2, -1))
    words = f"over seeds {'; '.join(within) or 'none'}; over seeds and samples {len(also)} of {len(free)}"
    text = next(row for row in muon if row[0] == "text")
    less = [row[0] for row in widths[1:] if row[5].split("[")[1].startswith("+")]
    between = [row[0] for row in edges if row[-1] == "yes"]
    return [
        ["schedule-free needs no schedule", f"{len(within)} of {len(free)}", words],
        ["Muon beats AdamW at equal steps on text", "yes" if text[-1] == "muon lower" else "no", text[-2]],
        [
            "best rates of Muon and LAMB move less over widths than Adam's",
            f"{len(less)} of {len(widths) - 1}",
            "; ".join(f"{row[0]} {row[4]}" for row in widths),
        ],
        [
            "a rule's cliff lies 2–4× above its best rate",
            f"{len(between)} of {len(edges)} rules",
            "; ".join(f"{row[0]} {row[3]}" for row in edges),
        ],
        [
            "ranks turn over between mid-run and the end of the decay",
            "yes" if all(not words.endswith(" 0 of them beyond both intervals") for words in turned) else "no",
            "; ".join(turned),
        ],
    ]


def main() -> None:
    runs = {problem: candidates(problem, fresh) for problem, fresh in FRESH.items()}
    free = [[f"{problem}, {row[0]}", *row[1:]] for problem, found in runs.items() for row in without_schedule(found)]
    muon = [muon_row(problem, found) for problem, found in runs.items()]
    widths, edges = width_rows(transfers()), cliff_rows(cliffs())
    turned, counts = zip(*(turned_rows(problem, found) for problem, found in runs.items()), strict=True)
    parts = (free, muon, widths, edges, [row for rows in turned for row in rows])
    text = machine.heading("What is published of rules, and what these problems show") + "\n"
    text += machine.table(["claim", "held here", "in numbers"], summary(free, muon, widths, edges, counts))
    fresh = ", ".join(f"{count} on {problem}" for problem, count in FRESH.items())
    text += (
        f"\nIntervals are 95% ones over seeds. Candidates of the first, second and fifth claim have {EPOCHS} epochs, 7 "
        f"rates or more, 3 seeds for the choice and fresh ones for the numbers ({fresh}).\n"
    )
    for (title, head), rows, note in zip(SECTIONS.items(), parts, NOTES, strict=True):
        text += f"\n## {title}\n\n{machine.table(head, rows)}\n{note}\n"
    machine.write("behaviour", text)


if __name__ == "__main__":
    main()
