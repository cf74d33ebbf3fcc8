"""Tables that have a row for each epoch of a run: which column says how far it came, and the last row of each run.

A run is what its rows have in common: what is compared, the settings, the seed, and whatever names runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..errors import UsageError, short
from .names import PARAMETER, PROGRESS, RUNS, Name


def find_progress(
    frame: pd.DataFrame, names: Sequence[Name], alike: Sequence[str], seeded: bool, rows_are_runs: bool
) -> tuple[str | None, tuple[str, ...]]:
    """The column that says how far a run came, None where no run has two rows that differ in it; and the run's columns.

    Args:
        names: of the columns that have no other part to play.
        alike: the columns that all rows of a run are alike in.
        seeded: whether a seed is among these; else rows that are alike may be of several runs.
        rows_are_runs: what the user said by giving no seed, unless a column names runs.

    Raises:
        UsageError: nothing does.
    """
    runs = tuple(name.column for name in names if name.kind != PARAMETER and name.base in RUNS)
    counts = [name for base in PROGRESS for name in names if name.base == base and name.kind != PARAMETER]
    if rows_are_runs and not runs:
        return None, ()
    of_run = [*alike, *runs]
    for column in [name.column for name in counts]:
        values = frame[of_run].assign(**{column: _numbers(frame[column])})
        counts_of_runs = values.groupby(of_run, dropna=False, sort=False)[column]
        if counts_of_runs.nunique().max() < 2:
            continue
        # Without seeds and names, rows that do not count from 0 or 1 are runs that ended early, each where it did.
        if not (seeded or runs) and not (counts_of_runs.min() <= 1).all():
            continue
        if not (seeded or runs) and values.dropna(subset=column).duplicated().any():
            raise UsageError(
                "rows of one setting have the same {column}, and nothing says which rows are of one run; name the "
                "column of seeds with seed=, or give seed=False (--seed none) if each row is a run of its own.",
                column=repr(short(column)),
            )
        return column, tuple(of_run)
    return None, ()


def last_rows(frame: pd.DataFrame, progress: str, of_run: Sequence[str], metric: str) -> pd.DataFrame:
    """Of each run the row, or rows, that came furthest; a run that does not say how far keeps all of its rows.

    Where no run at all has a value of the metric it was not measured, which is no divergence; and of several rows that
    came as far, as logs of training beside validation have them, those with a value count.
    """
    far = _numbers(frame[progress])
    measured = _numbers(frame[metric]).notna().groupby(far).transform("any")
    far = far.where(measured.fillna(True).astype(bool))
    last = far.groupby([frame[column] for column in of_run], dropna=False, sort=False).transform("max")
    last = (far == last) | last.isna()
    valued = last & frame[metric].notna()
    any_valued = valued.groupby([frame[column] for column in of_run], dropna=False, sort=False).transform("any")
    return frame[valued | (last & ~any_valued)]


def _numbers(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype(float)
