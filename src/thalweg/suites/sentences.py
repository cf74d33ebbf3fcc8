"""What a verdict over several problems says in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ..language import say
from ..plan.stored import as_now
from ..results import Results
from ..verdict.words import listed
from .measure import Measure
from .ranks import Ranks
from .standings import Standing

FEW = 5  # problems, below which no number of seeds helps
# What studies may differ in, and what sentences call it.
_PLANNED = {name: name for name in ("rates", "schedules", "regularizers", "losses", "hyperparameters")}
_PLANNED |= {"batch_sizes": "batch sizes", "seeds": "seeds", "epochs": "epochs", "confirmation": "fresh seeds"}
_PLANNED |= {"budget": "budget", "folds": "folds"}


def sentence(standings: Sequence[Standing], ranked: Ranks, problems: int, cost: str) -> str:
    """The answer: which optimizer ranks best, and whether these problems tell that from chance.

    Args:
        cost: what is compared, in words.
    """
    first = standings[0]
    level = [one.optimizer for one in standings if math.isclose(one.average_rank, first.average_rank)]
    verb, subject = (
        (say("rank alike as the best"), say("They are")) if len(level) > 1 else (say("ranks best"), say("It is"))
    )
    lead = say(
        "{level} {verb} over {problems} problems: average rank {average_rank:.3g} of {standings}",
        level=listed(level),
        verb=verb,
        problems=problems,
        average_rank=first.average_rank,
        standings=len(standings),
    )
    if len(level) == 1 and first.ratio and math.isfinite(first.ratio.mean):
        lead += say(", and {mean:.3g} times the lowest {cost} of each problem", mean=first.ratio.mean, cost=cost)
        near = min((one for one in standings if one.ratio), key=lambda one: one.ratio.mean if one.ratio else math.inf)
        if near.ratio and near.ratio.mean < first.ratio.mean:
            lead += say(
                " ({optimizer} is closer to it: {mean:.3g} times)", optimizer=near.optimizer, mean=near.ratio.mean
            )
    test = say("Friedman’s test") if len(standings) > 2 else say("sign test")
    chance = f"{test}, p = {ranked.p:.2g}"
    behind = [one.optimizer for one in standings if one.apart]
    if not ranked.differ:
        return say("{lead}. But these problems do not tell the optimizers apart ({chance}).", lead=lead, chance=chance)
    if not behind:
        return say(
            "{lead}. The optimizers differ ({chance}), but none can be told apart from {optimizer}.",
            lead=lead,
            chance=chance,
            optimizer=first.optimizer,
        )
    return say(
        "{lead}. {subject} reliably ahead of {behind} ({chance}).",
        lead=lead,
        subject=subject,
        behind=listed(behind),
        chance=chance,
    )


def notes(
    studies: Mapping[str, Results], measure: Measure, losses: pd.DataFrame, ratios: pd.DataFrame
) -> Iterator[str]:
    """What to beware of, and what would help; first whether problems are missing."""
    count = len(studies)
    if count < FEW:
        yield say(
            "Problems, not seeds, are what is missing: {count} are too few to say which optimizer is "
            "best on others like them, however many seeds each has; give {few} or more.",
            count=count,
            few=FEW,
        )
    if without := [name for name in studies if name not in ratios.index]:
        yield say(
            "Not every {cost} on {without} is above 0, as a ratio needs: no "
            "ratios and no shared setting are computed there; ranks and times to the target are.",
            cost=measure.words,
            without=listed(without),
        )
    for name, row in losses.iterrows():
        if lost := [str(optimizer) for optimizer in row.index[np.isinf(row)]]:
            yield say(
                "{lost} diverged on {name} even at the best setting, which counts as infinitely bad.",
                lost=listed(lost),
                name=name,
            )
    if unconfirmed := [name for name, study in studies.items() if not study.verdict.confirmed]:
        yield say(
            "Not confirmed on fresh seeds: {unconfirmed}. The seeds that chose the settings gave the "
            "numbers, which makes them look a little better than they are.",
            unconfirmed=listed(unconfirmed),
        )
    if other := _differing(studies):
        yield say(
            "The studies differ in {other}, so that their problems do too in how hard optimizers were tuned.",
            other=listed(other),
        )


def _differing(studies: Mapping[str, Results]) -> list[str]:
    """What is not the same in all plans, as a sentence calls it."""
    plans = [as_now(study.stored_plan) for study in studies.values()]
    plans = [plan | {"folds": (plan["folds"] or {}).get("count")} for plan in plans]
    return [words for name, words in _PLANNED.items() if any(plan[name] != plans[0][name] for plan in plans)]
