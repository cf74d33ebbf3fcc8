"""The one value of each metric that a run is judged by, from the points of its block's curves.

By default that of its last point. Where a study judges by each run's best epoch, or by a mean over several, the epochs
are chosen by the metric that judges, and hold for every metric of the validation and the test part alike; a metric
that lacks one of these points has its last one.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..plan.criterion import Criterion, weighted
from . import checks

Points = dict[str, dict[int, np.ndarray]]  # metric → step → (members, …)
_LAST = (
    "SELECT c.block, c.metric, c.step, c.value FROM curves c JOIN (SELECT block, metric, max(step) AS step "
    "FROM curves GROUP BY block, metric) l USING (block, step, metric)"
)


def judged(
    db: sqlite3.Connection, counts: Mapping[int, int], criterion: Criterion
) -> Iterator[tuple[int, str, np.ndarray]]:
    """Block, metric and its value for each member."""
    for block, metric, step, value in db.execute(_LAST):
        yield block, metric, checks.curve(value, counts.get(block), metric, step)
    if criterion.epochs == 1:
        return
    query = "SELECT block, metric, step, value FROM curves WHERE metric LIKE 'validation_%' OR metric LIKE 'test_%'"
    rows = (
        (block, metric, step, checks.curve(value, counts.get(block), metric, step))
        for block, metric, step, value in db.execute(f"{query} ORDER BY block, metric, step")
    )
    for block, points in _by_block(rows):
        shares = _shares(points.get(criterion.column, {}), criterion)
        for metric, values in points.items():
            if shares and (value := weighted(values, shares)) is not None:
                yield block, metric, value


def judged_parts(
    db: sqlite3.Connection,
    counts: Mapping[int, int],
    first: Mapping[int, int],
    folds: Mapping[int, Any],
    criterion: Criterion,
) -> dict[str, pd.DataFrame]:
    """Metric → a table with a row for each member and a column for each part of the samples.

    Args:
        first: block → the number of its first member.
        folds: block → the fold of its members. Another one may have fewer parts: the last columns are then NaN.
    """
    judging: dict[int, dict[int, np.ndarray]] = {}
    points = "SELECT block, step, value FROM curves WHERE metric = ? AND block IN (SELECT block FROM parts)"
    for block, step, value in db.execute(points, [criterion.column]) if criterion.epochs != 1 else ():
        judging.setdefault(block, {})[step] = checks.curve(value, counts.get(block), criterion.column, step)
    rows: dict[str, dict[int, np.ndarray]] = {}
    parts: dict[tuple[str, Any], int] = {}
    read = db.execute("SELECT block, metric, step, value FROM parts ORDER BY block, metric, step")
    tables = ((b, m, s, checks.parts(value, counts.get(b), m, s)) for b, m, s, value in read)
    for block, points in _by_block(tables):
        shares = _shares(judging.get(block, {}), criterion)
        for metric, values in points.items():
            table = weighted(values, shares) if shares else None
            table = values[max(values)] if table is None else table
            if parts.setdefault((metric, folds[block]), table.shape[1]) != table.shape[1]:
                raise checks.Damage(f"parts of {metric} are not as many for each member")
            rows.setdefault(metric, {}).update((first[block] + k, row) for k, row in enumerate(table))
    return {metric: _filled(each) for metric, each in rows.items()}


def _filled(rows: Mapping[int, np.ndarray]) -> pd.DataFrame:
    """The rows as one table, NaN at the end of the shorter ones."""
    table = np.full((len(rows), max(map(len, rows.values()))), np.nan)
    for place, row in zip(table, rows.values(), strict=True):
        place[: len(row)] = row
    return pd.DataFrame(table, index=list(rows))


def _by_block(rows: Iterator[tuple[int, str, int, np.ndarray]]) -> Iterator[tuple[int, Points]]:
    """Rows in the order of their blocks, as each block's points."""
    for block, group in itertools.groupby(rows, key=lambda row: row[0]):
        points: Points = {}
        for _, metric, step, value in group:
            points.setdefault(metric, {})[step] = value
        yield block, points


def _shares(values: Mapping[int, np.ndarray], criterion: Criterion) -> dict[int, np.ndarray]:
    """Step → by how much its value counts for each member; nothing without values of the metric that judges."""
    steps = sorted(values)
    return dict(zip(steps, criterion.shares(np.stack([values[s] for s in steps])), strict=True)) if steps else {}
