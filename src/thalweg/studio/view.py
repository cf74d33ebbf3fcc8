"""What the page shows of a study, as plain values: made of a store alone, which is data and runs nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..language import say
from ..plan.factors import Setting, shown
from ..plan.folds import FOLD
from ..plan.plan import Plan
from ..problem import trust
from ..report import ranking
from ..report.contents import Parts
from ..report.formats import EMPTY
from ..report.sections import Column, Row
from ..results import Results
from ..verdict.losses import ENDED
from ..verdict.losses import setting_of as setting_row
from .training import Training

MOST_DIVERGED = 300  # runs that are listed; all are counted
DIGITS = 5
_MORE = ("error", "note")


def status(results: Results | None, training: Training | None) -> dict[str, Any]:
    """How far it is, and what can be asked of it."""
    facts = dict(training.facts) if training is not None else {}
    told = {name: facts[name] for name in _MORE if facts.get(name)}
    if training is not None and training.alive:
        state = "stopping" if training.stopping else "paused" if training.paused else "running"
        told |= {name: _rounded(facts[name]) for name in ("share", "left", "rate") if facts.get(name) is not None}
        told |= {"part": say(facts["part"])} if facts.get("part") else {}
    elif results is None:
        state = "missing"
    else:
        state = "finished" if results.finished else "stopped"
    if results is None:
        return {"state": state, **told}
    table = results.table()
    ended = table["status"].isin(ENDED)
    counts = {"runs": len(table), "ended": int(ended.sum()), "diverged": int((table["status"] == "diverged").sum())}
    return {"state": state, **counts, **told}


def searched(results: Results) -> dict[str, Any]:
    """Facts, settings with their curves, losses against rates, and runs that diverged, by key."""
    plan, table = results.plan, results.table()
    by = plan.criterion
    facts = {
        "name": results.name,
        "path": str(results.path),
        "optimizers": list(plan.optimizers),
        "measure": by.words,
        "higher": by.higher,
        "epochs": plan.epochs,
        "untrusted": trust.unknown(results.specs),
    }
    names = level_names(table)
    groups = table.groupby(["stage", *names], sort=False, dropna=False)
    settings = dict(_settings(plan, table, groups.ngroup().to_numpy(), names, results.curves()))
    return {"facts": facts, **settings, **dict(_rates(table, by.column)), "diverged": _diverged(plan, table, names)}


def level_names(table: pd.DataFrame) -> list[str]:
    """The columns that tell settings apart."""
    columns = list(table.columns)
    return [name for name in columns[columns.index("optimizer") : columns.index("seed")] if name != FOLD]


def key_of(stage: str, levels: Mapping[str, Any]) -> str:
    """Of a setting in a view."""
    return f"setting/{stage}/{words(levels)}"


def words(levels: Mapping[str, Any]) -> str:
    """A setting as one reads it."""
    written = {"lr": lambda value: f"lr {value:.4g}", "optimizer": str, "schedule": str}
    return " · ".join(
        written[name](level) if name in written else f"{name} {shown(level)}" for name, level in levels.items()
    )


def setting_of(results: Results, key: str) -> Setting:
    """The setting of a key.

    Raises:
        UsageError: there is none.
    """
    plan, table = results.plan, results.table()
    for row in table[["stage", *level_names(table)]].drop_duplicates().to_dict("records"):
        stage = row.pop("stage")
        if key_of(stage, told(plan, row)) == key:
            return setting_row(row)
    raise UsageError("this study has no such setting.")


def told(plan: Plan, row: Mapping[str, Any]) -> dict[str, Any]:
    """Factor → level, without those that do not apply and those that are the rule's own default."""
    defaults = plan.formulas[row["optimizer"]].hyperparameters
    usual = {name for name, value in row.items() if name != "lr" and defaults.get(name) == value}
    return {name: value for name, value in row.items() if name not in usual and not _missing(value)}


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _settings(
    plan: Plan, table: pd.DataFrame, number: np.ndarray, names: list[str], curves: pd.DataFrame
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every setting of every stage: the mean of its runs at each step, the smallest and the largest, and how many.

    Args:
        number: of the setting of each row of the table.
    """
    curves = curves[curves["metric"] == plan.criterion.column]
    of = pd.Series(number, index=table["member"]).reindex(curves["member"]).to_numpy()
    value = curves["value"].where(np.isfinite(curves["value"]))
    each = curves.assign(of=of, value=value, lost=value.isna()).groupby(["of", "step"], sort=True)
    statistics = {"mean": "mean", "low": "min", "high": "max", "n": "size"}
    spread = {name: ("value", how) for name, how in statistics.items()}
    points = each.agg(**spread, lost=("lost", "sum")).reset_index()
    starts = np.searchsorted(points["of"].to_numpy(), np.arange(number.max(initial=-1) + 2))
    columns = {name: _list(points[name].to_numpy()) for name in ("step", *statistics, "lost")}
    status = table["status"]
    counts = pd.DataFrame({"runs": 1, "ended": status.isin(ENDED), "diverged": status == "diverged"}, table.index)
    counted = counts.groupby(number).sum().to_dict("records")
    for place, row in enumerate(table.drop_duplicates(["stage", *names]).to_dict("records")):
        part = slice(starts[place], starts[place + 1])
        curve = {name: values[part] for name, values in columns.items()}
        for name in ("mean", "high"):  # a run that diverged is infinitely bad
            curve[name] = [None if lost else value for value, lost in zip(curve[name], curve["lost"], strict=True)]
        levels = told(plan, {name: row[name] for name in names})
        yield (
            key_of(row["stage"], levels),
            {
                "stage": row["stage"],
                "optimizer": row["optimizer"],
                "words": words(levels),
                "levels": {name: shown(level) for name, level in levels.items()},
                **counted[place],
                **curve,
            },
        )


def _rates(table: pd.DataFrame, column: str) -> Iterator[tuple[str, dict[str, Any]]]:
    from ..pictures.rates import rate_table

    search = table[table["stage"] == "search"]
    if column not in search:
        return
    rows = rate_table(search, column)
    for (optimizer, schedule), part in rows.groupby(["optimizer", "schedule"], sort=False):
        lists = {name: _list(part[name].to_numpy()) for name in ("lr", "mean", "low", "high", "seeds", "diverged")}
        yield f"rates/{optimizer}/{schedule}", {"optimizer": optimizer, "schedule": schedule, **lists}


def _diverged(plan: Plan, table: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    lost = table[table["status"] == "diverged"]
    rows = lost.head(MOST_DIVERGED)[["stage", *names, "seed", "step"]].to_dict("records")
    listed = [
        {
            "words": words(told(plan, {name: row[name] for name in names})),
            "stage": say(row["stage"]),
            "seed": row["seed"],
            "step": row["step"],
        }
        for row in rows
    ]
    return {"count": len(lost), "runs": listed}


def judged(results: Results) -> dict[str, Any]:
    """The verdict, or why it is too early for one."""
    parts = Parts(results)
    verdict, plan = parts.verdict, parts.plan
    answer = ranking.answer(verdict, plan, parts.table)
    looks = plan.confirmations
    speaks = results.finished or (verdict.confirmed and bool(looks) and verdict.seeds >= looks[0].seeds)
    guard = ""
    if not verdict.entries:
        guard = say("Too early to say: no seed of the search is complete yet.")
    elif not speaks:
        guard = say(
            "Too early to say: what the search chooses has not met fresh seeds. Below is the order so far, by mean "
            "over {seeds} seeds of the search; it may change.",
            seeds=verdict.seeds,
        )
    table: dict[str, Any] = {"heads": [], "rows": []}
    if verdict.entries:
        section = ranking.ranking(verdict)
        columns = [column for column in section.columns if column.page and (speaks or column.worth == 0)]
        table = {
            "heads": [column.head for column in columns],
            "rows": [[_cell(column, row) for column in columns] for row in section.rows],
            "terms": dict(section.terms) if speaks else {},
        }
    notes = list(answer.notes) if speaks else []
    return {"guard": guard, "sentence": verdict.sentence if speaks else "", "notes": notes, **table}


def _cell(column: Column, row: Row) -> list[str]:
    value = column.value(row)
    written = EMPTY if column.writes.lacks(value) else column.writes.page(value)
    return [written] if isinstance(written, str) else list(written)


def _list(values: np.ndarray) -> list[Any]:
    """Numbers of a few digits; None for those that are not finite."""
    if values.dtype.kind in "iu":
        return values.tolist()
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(values))))
        rounded = np.where(values == 0, 0.0, np.round(values * scale) / scale)
    return [value if math.isfinite(value) else None for value in rounded.tolist()]


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
