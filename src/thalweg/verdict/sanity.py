"""Signs that a result means little, said on top: nothing beats guessing, inputs without a scale, too few samples, ….

Each is a sentence on what is seen, what it means and what to do; the facts are those of `problem/observed.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from ..language import say
from ..plan.plan import Plan
from .entries import Verdict

BEATEN = 0.99  # times the loss of guessing, below which something was learned
LARGE = 100.0  # root mean square of a column of inputs
FEWEST = 30  # validation samples
SUM = 1e-3  # by which the sum of shares may differ from 1


def notes(problem: Mapping[str, Any], plan: Plan, verdict: Verdict, members: pd.DataFrame) -> list[str]:
    """The signs that are there.

    Args:
        problem: as the store has it.
        members: `Store.members()`.
    """
    of_data = [*_inputs(problem), *_targets(problem), *_step(problem), *_few(problem, plan)]
    return [*_guessing(problem, verdict), *of_data, *_metrics(problem, members)]


def _guessing(problem: Mapping[str, Any], verdict: Verdict) -> Iterator[str]:
    guess = problem.get("guess")
    if guess is None or guess <= 0 or not verdict.entries or verdict.criterion.column != "validation_loss":
        return
    if (best := verdict.entries[0].value.mean) >= BEATEN * guess:
        yield say(
            "Nothing beats guessing: the best validation loss is {best:.3g}, and the same answer for "
            "every sample gives {guess:.3g}; check that inputs and targets belong together, then try "
            "other rates, more epochs or another model.",
            best=best,
            guess=guess,
        )


def _inputs(problem: Mapping[str, Any]) -> Iterator[str]:
    low, high = _ends(problem.get("input_sizes"), 0.0)
    if high > LARGE:
        yield say(
            "Inputs are not scaled: columns have root mean squares from {low:.2g} to {high:.2g}, so "
            "that a rate that suits one is far off for another; scale them, e.g. with "
            "preprocess=StandardScaler().",
            low=low,
            high=high,
        )


def _targets(problem: Mapping[str, Any]) -> Iterator[str]:
    low, high = _ends(problem.get("target_sums"), 1.0)
    if low < 1 - SUM or high > 1 + SUM:
        yield say(
            "Rows of the targets sum to {low:.3g} to {high:.3g}, and cross-entropy takes them for "
            "shares of one whole; did you mean loss='bce', where any number of classes may be true?",
            low=low,
            high=high,
        )


def _metrics(problem: Mapping[str, Any], members: pd.DataFrame) -> Iterator[str]:
    ended = members[members["status"] == "finished"]
    if "fold" in ended:  # the last runs, on all samples, are judged on test samples alone
        ended = ended[ended["fold"].notna()]
    for name in problem.get("metrics", ()):
        lacking = int(ended[f"validation_{name}"].isna().sum()) if f"validation_{name}" in ended else 0
        if lacking:
            yield say(
                "The metric {name} has no value for {lacking:,} of {ended:,} finished runs: on what their models give, "
                "it fails or is not a number.",
                name=name,
                lacking=lacking,
                ended=len(ended),
            )


def _step(problem: Mapping[str, Any]) -> Iterator[str]:
    if problem.get("ignored_step"):
        yield say(
            "The model's training_step was not called: its forward and the loss {loss} were; give "
            "loss=lambda model, batch: model.training_step(batch, 0) to train with it.",
            loss=problem.get("loss"),
        )


def _few(problem: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    count = problem.get("validation_samples", 0)
    if 0 < count < FEWEST and plan.folds is None and plan.swaps is None:
        yield say(
            "Only {count} validation sample{judge}, so few that other samples could turn the order "
            "over; give more validation data, or folds=5 (--folds 5).",
            count=count,
            judge="s judge" if count > 1 else " judges",
        )


def _ends(values: Sequence[float] | None, usual: float) -> tuple[float, float]:
    return (min(values), max(values)) if values else (usual, usual)
