"""One verdict over several problems, each with a study of its own.

A study says which optimizer is best on its problem, and how sure that is over seeds. Whether that holds for
another problem only other problems can say: here they are the replicates, with one number each for every
optimizer, the mean validation loss of its chosen setting over the study's fresh seeds, or the metric that its studies
judge by (`measure.py`). Seeds never count as problems.

Ratios of losses need losses above 0. A loss such as a negative log-density may be negative, and its zero is a matter of
units, so a problem with such losses has no ratios; it counts in ranks and in times to a target, which need none.

Read next: `standings.py`, `ranks.py` and `profiles.py`, what is computed; `shared.py`, one setting for all;
`sections.py`, how it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..numbers import plain
from ..plan.factors import Setting
from ..results import Results
from ..verdict.intervals import Interval
from . import profiles
from .measure import Measure
from .ranks import Ranks, ranks
from .sentences import notes, sentence
from .shared import Shared, best, searched, shared, tried
from .standings import Standing, standings


@dataclass(frozen=True, eq=False)
class SuiteVerdict:
    """Which optimizer is best over several problems, how sure that is, and what to beware of.

    Attributes:
        standings: one for each optimizer, the best average rank first.
        ranks: the average ranks, the test whether they differ, and which are told apart.
        measure: what `losses` are, by its words: "loss", another metric, or 1 − one where higher is better.
        losses: one row per problem, one column per optimizer: means on the validation part, infinite where a run
            diverged.
        ratios: losses over the lowest of their row, of the problems whose losses are above 0.
        targets: problem → the validation loss to reach, as `Study.time_to_target` has it; those whose best setting
            diverged lack one.
        steps, seconds: tables like `losses`: median times to the target, infinite where half of the runs miss it.
        shared: one setting for all problems, judged on each problem by a choice on the others.
        setting: the one that is best over all problems; None where they have none in common.
    """

    standings: tuple[Standing, ...]
    sentence: str
    notes: tuple[str, ...]
    measure: Measure
    ranks: Ranks = field(repr=False)
    losses: pd.DataFrame = field(repr=False)
    ratios: pd.DataFrame = field(repr=False)
    targets: Mapping[str, float] = field(repr=False)
    steps: pd.DataFrame = field(repr=False)
    seconds: pd.DataFrame = field(repr=False)
    shared: tuple[Shared, ...] = field(repr=False)
    setting: Setting | None = field(repr=False)

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self.losses.index)

    @property
    def optimizers(self) -> tuple[str, ...]:
        """The best first."""
        return tuple(standing.optimizer for standing in self.standings)

    def table(self) -> pd.DataFrame:
        """One row per optimizer, the best first: optimizer, average_rank, apart (told apart from the best), best_on,
        and ratio and score, each with `…_low` and `…_high`, the ends of its 95% interval, and score_seconds."""
        rows = []
        for one in self.standings:
            row = {name: getattr(one, name) for name in ("optimizer", "average_rank", "apart", "best_on")}
            for name in ("ratio", "score"):
                value = getattr(one, name) or Interval(*[math.nan] * 3)
                row |= {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
            rows.append(row | {"score_seconds": one.score_seconds})
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """Plain values; infinite and missing numbers are None."""
        tables = {name: getattr(self, name).T.to_dict() for name in ("losses", "ratios", "steps", "seconds")}
        facts = {
            "sentence": self.sentence,
            "notes": self.notes,
            "compared": self.measure.words,
            "standings": [asdict(one) for one in self.standings],
            "p": self.ranks.p,
            "critical_difference": self.ranks.critical_difference,
            "groups": self.ranks.groups,
            **tables,
            "targets": self.targets,
            "shared": [asdict(one) for one in self.shared],
            "setting": self.setting and asdict(self.setting),
        }
        return plain(facts)

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"  {note}" for note in self.notes)])


def judge(studies: Mapping[str, Results]) -> SuiteVerdict:
    """The verdict over these studies: problem → its study, two or more, finished, of the same optimizers."""
    criterion = next(iter(studies.values())).plan.criterion
    measure = Measure.of(criterion)
    means = {name: {e.optimizer: e.value.mean for e in study.verdict.entries} for name, study in studies.items()}
    losses = criterion.sign * pd.DataFrame.from_dict(means, orient="index", dtype=float) + measure.end
    searches = {name: searched(study) + measure.end for name, study in studies.items()}
    searches = {name: search for name, search in searches.items() if min(losses.loc[name].min(), search.min()) > 0}
    ranked, ratios = ranks(losses), profiles.to_best(losses.loc[[*searches]])
    races = {name: study.time_to_target() for name, study in studies.items()}
    races = {name: race.set_index("optimizer") for name, race in races.items() if len(race)}
    steps, seconds = (_times(races, unit, losses) for unit in ("steps", "seconds"))
    order = standings(losses, ranked, ratios, steps, seconds)
    return SuiteVerdict(
        order,
        sentence(order, ranked, len(studies), measure.words),
        tuple(notes(studies, measure, losses, ratios)),
        measure,
        ranked,
        losses,
        ratios,
        {name: float(race["target"].iloc[0]) for name, race in races.items()},
        steps,
        seconds,
        tuple(shared(searches)),
        best(tried(searches)),
    )


def _times(races: Mapping[str, pd.DataFrame], unit: str, losses: pd.DataFrame) -> pd.DataFrame:
    """The median times to the target; infinite on problems without one, whose best setting diverged."""
    rows = {name: race[f"{unit}_median"] for name, race in races.items()}
    rows |= {str(name): pd.Series(np.inf, losses.columns) for name in losses.index if name not in races}
    return pd.DataFrame(rows, dtype=float).T.loc[losses.index, losses.columns]
