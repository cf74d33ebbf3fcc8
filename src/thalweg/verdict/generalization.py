"""How a setting does on data that it was not trained on: the gap, over- and underfitting, and where to stop.

Everything is read off the learning curves of the runs that the verdict rests on, with intervals over seeds (and
folds), paired within each run. A setting is said to

- **overfit** where its mean validation loss has turned up: at the end it lies above its lowest value, by more than
  the interval of that rise;
- **underfit** where it does not overfit, and either its validation loss still fell over the last fifth of the run, by
  more than the interval of that fall and by at least 1% of the loss, so that more epochs would help; or it is
  reliably worse than the best, and its training loss stays above the lowest of all settings beside it by more than
  half of that one and more than the interval, so that it fits even its training data less than another would;
- **fit** otherwise; of one epoch nothing can be said but the second part of what underfits.

A rise from the lowest of many epochs is a little too large, as every lowest of many is; the interval asks for more than
that luck where there are a few seeds or more. The gap compares the loss that was trained with the one that is
judged by, so it is missing where a regularizer or another loss makes these two different. The training
loss of an epoch is the mean over its steps, of a model that was learning meanwhile: the gap leaves out what
was learned in the second half of that epoch.

Overfitting as a validation loss that turns up, and stopping where it is lowest: Prechelt 1998, "Early stopping — but
when?", sections 1 and 2; both words: Goodfellow, Bengio & Courville 2016, section 5.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..language import mark, say
from ..losses.base import ANY
from ..numbers import plain
from ..plan.factors import shown
from ..plan.folds import FOLD
from ..plan.plan import Plan
from .entries import Entry, Verdict
from .intervals import Interval, interval
from .losses import matching, points, recorded
from .words import called

LAST = 0.2  # the part of the run over which a loss may still fall
LEAST = 0.01  # of the loss: a smaller fall is not worth more epochs
MORE = 1.5  # times the lowest training loss
OVERFITS, UNDERFITS, FITS, UNKNOWN, DIVERGED = map(
    mark, ("overfits", "underfits", "fits", "cannot be judged", "diverged")
)


@dataclass(frozen=True)
class Generalization:
    """How one chosen setting generalizes.

    Attributes:
        level: of the factor that is ranked: an optimizer, a batch size, …
        word: "overfits", "underfits", "fits", "cannot be judged" after one epoch, or "diverged" where a run did.
        sentence: the word with its reason and numbers.
        train_loss, validation_loss: at the end.
        gap: validation minus training loss; None where these are different losses.
        stop: the step of the lowest mean validation loss, and `steps` of the whole run.
        rise: the validation loss at the end minus the one at `stop`: what stopping there gains.
    """

    level: str
    word: str
    sentence: str
    train_loss: Interval
    validation_loss: Interval
    gap: Interval | None
    stop: int
    steps: int
    rise: Interval

    def to_json(self) -> dict[str, Any]:
        """Plain values; infinite and missing numbers are None."""
        return plain(self)


@dataclass(frozen=True)
class _Curves:
    """Losses (epochs, seeds, folds) of one setting, and the step of each epoch."""

    steps: np.ndarray
    train: np.ndarray
    validation: np.ndarray


def generalization(plan: Plan, verdict: Verdict, members: pd.DataFrame, curves: pd.DataFrame) -> list[Generalization]:
    """For each entry of a verdict, best first.

    Args:
        members, curves: `Study.table()` and `Study.curves()`.
    """
    stage = recorded(members, verdict)
    rows = points(curves, stage, "train_loss", "validation_loss")
    measured = [_curves(stage[matching(stage, entry.setting)], rows) for entry in verdict.entries]
    finite = [one.train[-1] for one in measured if one is not None and np.isfinite(one.train[-1]).all()]
    lowest = min(finite, key=np.mean, default=None)
    return [
        _judged(plan, verdict, entry, one, lowest)
        for entry, one in zip(verdict.entries, measured, strict=True)
        if one is not None
    ]


def _curves(runs: pd.DataFrame, rows: pd.DataFrame) -> _Curves | None:
    """Of the seeds that have ended, None while there are none, or where runs lack one of the losses; a run that
    diverged has infinite ones."""
    unfinished = runs.loc[~runs["status"].isin(["finished", "diverged"]), "seed"]
    runs = runs[~runs["seed"].isin(unfinished)]
    rows = rows[rows["member"].isin(runs["member"])]
    if rows.empty or rows.groupby("member")["metric"].nunique().reindex(runs["member"]).ne(2).any():
        return None
    tables, seeds = [], runs["seed"].nunique()
    for metric in ("train_loss", "validation_loss"):
        wide = rows[rows["metric"] == metric].pivot(index="epoch", columns=["seed", FOLD], values="value")
        values = wide.sort_index(axis=1).to_numpy(float)
        tables.append(np.where(np.isfinite(values), values, np.inf).reshape(len(values), seeds, -1))
    if len(tables[0]) != len(tables[1]):
        return None
    steps = rows.groupby("epoch")["step"].max().to_numpy()
    return _Curves(steps, *tables)


def _judged(plan: Plan, verdict: Verdict, entry: Entry, curves: _Curves, lowest: np.ndarray | None) -> Generalization:
    train, validation = curves.train, curves.validation
    comparable = plan.level(entry.setting, "loss") is None and plan.level(entry.setting, "regularizer") == "none"
    level, name = verdict.level(entry), called(plan[verdict.factor], entry.setting[verdict.factor])
    if not (np.isfinite(validation).all() and np.isfinite(train).all()):
        end, infinite = int(curves.steps[-1]), Interval(math.inf, math.inf, math.inf)
        return Generalization(
            level, DIVERGED, say("{level} diverged.", level=name), infinite, infinite, None, end, end, infinite
        )

    def difference(values: np.ndarray) -> Interval:
        return interval(values, skewed=False, overlap=plan.overlap)

    at = int(validation.mean(axis=(1, 2)).argmin())
    rise = difference(validation[-1] - validation[at])
    gap = difference(validation[-1] - train[-1]) if comparable else None
    longer, rival = verdict.extend("epochs", 2 * len(validation)), None if entry.may_be_best else lowest
    word, why = _word(curves, at, rise, rival if comparable else None, difference, longer)
    return Generalization(
        level,
        word,
        say("{level} {word}: {why}{gap}.", level=name, word=word, why=why, gap=_gap(gap)),
        interval(train[-1], overlap=plan.overlap).within(plan.loss_scale if comparable else ANY),
        interval(validation[-1], overlap=plan.overlap).within(plan.loss_scale),
        gap,
        int(curves.steps[at]),
        int(curves.steps[-1]),
        rise,
    )


def _word(
    curves: _Curves, at: int, rise: Interval, lowest: np.ndarray | None, difference: Any, longer: str
) -> tuple[str, str]:
    """The word and its reason, by the rules above; `longer` is the command for more epochs."""
    train, validation, steps = curves.train, curves.validation, curves.steps
    if rise.low > 0:
        return OVERFITS, say(
            "its validation loss is lowest at step {stop:,} of {end:,}, where stopping gains {rise}",
            stop=steps[at],
            end=steps[-1],
            rise=rise,
        )
    since = len(steps) - 1 - max(1, round(LAST * len(steps)))
    if since >= 0:
        fall = difference(validation[since] - validation[-1])
        if fall.low > 0 and fall.mean >= LEAST * abs(validation[-1].mean()):
            share = say("the last {some} of {epochs} epochs", some=len(steps) - 1 - since, epochs=len(steps))
            help_of = say("so more epochs would help (`{command}`)", command=longer)
            return (
                UNDERFITS,
                say(
                    "its validation loss still fell by {fall} over {share}, {help_of}",
                    fall=fall,
                    share=share,
                    help_of=help_of,
                ),
            )
    if lowest is not None and lowest.shape == train[-1].shape:
        above = difference(train[-1] - lowest)
        if above.low > 0 and train[-1].mean() > MORE * lowest.mean():
            return UNDERFITS, say(
                "its training loss {loss:.3g} stays above the {lowest:.3g} that another reaches",
                loss=train[-1].mean(),
                lowest=lowest.mean(),
            )
    if since < 0:
        return UNKNOWN, say("one epoch shows no course")
    settled = difference(validation[0] - validation[-1]).low > 0
    return FITS, say("its validation loss has settled") if settled else say(
        "its validation loss is as after the first epoch"
    )


def _gap(gap: Interval | None) -> str:
    if gap is None:
        return ""
    if gap.mean < 0:
        return say("; validation lies {gap} below training", gap=gap.times(-1))
    return say("; validation lies {gap} above training", gap=gap)


def remarks(judged: Sequence[Generalization]) -> list[str]:
    """A sentence for the best setting, and one that names all others by their word."""
    if not judged:
        return []
    first, *rest = judged
    words = [
        f"{', '.join(shown(one.level) for one in rest if one.word == word)}: {say(word)}"
        for word in (OVERFITS, UNDERFITS, FITS, UNKNOWN, DIVERGED)
        if any(one.word == word for one in rest)
    ]
    return [
        say("Generalization: {sentence}", sentence=first.sentence)
        + (say(" Others: {others}.", others="; ".join(words)) if words else "")
    ]
