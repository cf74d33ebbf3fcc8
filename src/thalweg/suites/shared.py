"""What one setting for all problems costs: chosen on the others, judged on the problem that was left out.

A user of a library's defaults, or with a budget for one run, has a problem that nothing was tuned on. So each problem
is left out in turn: of the settings (optimizer, rate, schedule and whatever else varies) that all problems
tried, the one whose loss on the others is lowest, as a geometric mean of ratios to the best setting there, is taken to
the problem left out. Its regret is its loss there over that of the best setting tuned there.

Both are means over the search's seeds. The tuned one is the lowest of many, and partly luck, so the regret is
a little too large. Settings that diverged (or that halving stopped) on a problem come after all that did on
fewer problems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..plan.factors import Setting
from ..results import Results
from ..verdict.losses import losses_of


@dataclass(frozen=True)
class Shared:
    """One setting for all problems, on the problem that had no part in its choice.

    Attributes:
        problem: the one left out.
        setting: the best on the other problems.
        loss: of that setting on the problem left out.
        tuned: the lowest loss of any setting there.
        regret: loss / tuned.
    """

    problem: str
    setting: Setting
    loss: float
    tuned: float
    regret: float


def searched(study: Results) -> pd.Series:
    """Setting → mean over the search's seeds of what judges, the lower the better; infinite where a run diverged or was
    stopped."""
    table = study.table()
    search = table[table["stage"] == "search"]
    search = search.assign(status=search["status"].replace("stopped", "diverged"))
    losses = losses_of(study.plan, search, study.plan.criterion)
    settings = [replace(one, further=tuple(study.plan.told(one).items())) for one in losses.settings]
    return pd.Series(losses.values.mean(axis=(1, 2)), pd.Index(settings))


def tried(searches: Mapping[str, pd.Series]) -> pd.DataFrame:
    """The settings that all problems tried, and their losses over the lowest of any setting: one column per problem.

    Args:
        searches: problem → what `searched` gives, all losses above 0.
    """
    if not searches:
        return pd.DataFrame()
    losses = pd.concat(searches, axis=1, join="inner")
    with np.errstate(invalid="ignore"):  # ∞/∞
        return (losses / [means.min() for means in searches.values()]).mask(np.isinf(losses), np.inf)


def best(ratios: pd.DataFrame) -> Setting | None:
    """The setting, a row, that diverged on the fewest problems, and of these the one with the lowest geometric mean."""
    logs = np.log(ratios.to_numpy())
    lost = np.isinf(logs)
    order = np.lexsort((np.where(lost, 0.0, logs).sum(axis=1), lost.sum(axis=1))) if ratios.size else []
    return ratios.index[order[0]] if len(order) else None


def shared(searches: Mapping[str, pd.Series]) -> list[Shared]:
    """One row per problem left out; none where fewer than two problems are given, or they share no setting."""
    ratios, rows = tried(searches), []
    for name, losses in searches.items():
        setting = best(ratios.drop(columns=name))
        if setting is not None:
            loss, tuned = float(losses[setting]), float(losses.min())
            rows.append(Shared(name, setting, loss, tuned, float(ratios.at[setting, name])))
    return rows
