"""What the studies of a suite say, in tables of one row per problem and one column per optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..results import Results
from .measure import Measure
from .shared import searched


@dataclass(frozen=True, eq=False)
class Evidence:
    """One number per problem and optimizer, from runs of the optimizer's chosen setting.

    Attributes:
        measure: by what is compared, of which the losses and searches are the means.
        losses: on the validation part; infinite where a run diverged.
        searches: problem → setting → mean over the search's seeds.
        positive: the problems whose losses, those of the search included, are all above 0, so that they have ratios.
        targets: problem → the validation loss to reach; those whose best setting diverged lack one.
        steps, seconds: median times to the target, infinite where half of the runs never reach it.
    """

    measure: Measure
    losses: pd.DataFrame
    searches: Mapping[str, pd.Series]
    positive: tuple[str, ...]
    targets: Mapping[str, float]
    steps: pd.DataFrame
    seconds: pd.DataFrame


def evidence(studies: Mapping[str, Results]) -> Evidence:
    """The evidence of these studies, all finished."""
    criterion = next(iter(studies.values())).plan.criterion
    measure = Measure.of(criterion)
    entries = {name: study.verdict.entries for name, study in studies.items()}
    means = {name: {e.optimizer: e.value.mean for e in each} for name, each in entries.items()}
    losses = criterion.sign * pd.DataFrame.from_dict(means, orient="index", dtype=float) + measure.end
    searches = {name: searched(study) + measure.end for name, study in studies.items()}
    lowest = {name: min(losses.loc[name].min(), search.min()) for name, search in searches.items()}
    races = {name: study.time_to_target() for name, study in studies.items()}
    races = {name: race.set_index("optimizer") for name, race in races.items() if len(race)}

    def times(unit: str) -> pd.DataFrame:
        rows = {name: race[f"{unit}_median"] for name, race in races.items()}
        rows |= {name: pd.Series(np.inf, losses.columns) for name in studies if name not in races}
        return pd.DataFrame(rows, dtype=float).T.loc[losses.index, losses.columns]

    return Evidence(
        measure,
        losses,
        searches,
        tuple(name for name, low in lowest.items() if low > 0),
        {name: float(race["target"].iloc[0]) for name, race in races.items()},
        times("steps"),
        times("seconds"),
    )
