"""Every setting of a table of runs, in a row each: the chosen ones can be seen among all that were tried."""

from __future__ import annotations

import numpy as np

from ..language import say
from ..report.sections import Column, Section
from .choice import Choice, by_setting
from .runs import Runs, plain

MOST = 200  # rows that a page shows


def settings(runs: Runs, choice: Choice) -> Section:
    """The settings, best first; of very many the first `MOST`, and how many more there are is said."""
    by = runs.columns.criterion
    table = by_setting(runs.frame.assign(row=np.arange(len(runs.frame))))
    table["share"] = table["lost"] / table["count"]
    chosen = set(runs.frame["setting"].iloc[choice.rows])
    shown = table.sort_values(["share", "mean"], kind="stable").head(MOST)
    rows = [
        {
            "candidate": plain(one.candidate),
            "chosen": setting in chosen,
            "mean": by.sign * one.mean,
            "low": min(by.sign * one.low, by.sign * one.high),
            "high": max(by.sign * one.low, by.sign * one.high),
            "diverged": (int(one.lost), int(one.count)),
            **{f"of {name}": level for name, level in runs.setting(int(one.row)).items()},
        }
        for setting, one in zip(shown.index, shown.itertuples(index=False), strict=True)
    ]
    columns = [
        Column("candidate", runs.columns.ranked.capitalize(), "name"),
        *(Column(f"of {title}", title, "level") for title in map(runs.columns.title, runs.columns.settings)),
        Column("chosen", "Chosen", "yes"),
        Column("mean", say("Mean {words}", words=by.words), "number"),
        Column("low", "Smallest", "number"),
        Column("high", "Largest", "number"),
        Column("diverged", "Diverged", "part"),
    ]
    left = len(table) - len(shown)
    sentence = say("Each setting with the mean of its runs that did not diverge, those of a confirmation among them.")
    sentence += say(" {left:,} more settings are not shown.", left=left) if left else ""
    return Section("settings", say("All settings"), sentence, columns, rows)
