"""The runs of a table in the words of this program: how each ended, what it is judged by, its setting and its seed.

A run that failed, or whose loss is missing or not finite, diverged and is infinitely bad: it is shown and counted,
never dropped. One that was pruned had stopped, and its setting cannot be chosen, as in a study with halving. One that
still runs, or that does not say what it was made with, is left out, and that is said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from ..errors import UsageError, short
from ..plan.factors import Level, shown
from .columns import Columns
from .history import last_rows
from .tables import printable

FINISHED, DIVERGED, STOPPED, UNFINISHED = "finished", "diverged", "stopped", "unfinished"
WORDS = {
    FINISHED: ("finished", "complete", "completed", "done", "success", "succeeded", "successful", "ok", "terminated"),
    DIVERGED: ("diverged", "fail", "failed", "failure", "crash", "crashed", "error", "errored", "killed", "nan", "oom"),
    STOPPED: ("stopped", "pruned", "early_stopped"),
    UNFINISHED: ("running", "waiting", "scheduled", "pending", "queued", "paused", "starting", "unfinished", "planned"),
}
_STATUS = {word: status for status, words in WORDS.items() for word in words}
HUGE = 1e100  # beyond it a loss diverged; squares would overflow
MOST = 100  # candidates
CANDIDATE = "\0candidate"  # a column that no table has


@dataclass(frozen=True, eq=False)
class Runs:
    """A table of runs, read.

    Attributes:
        columns: where everything was read from.
        frame: a row per run that counts: `candidate`, `setting` (a number for each), `status`, `value` (of the metric;
            NaN where it is not finite), `badness` (the lower the better; infinite where it diverged), `seed`, `fresh`.
        levels: the settings' columns of those rows.
        unfinished, nameless: how many rows were left out because they still ran, and because they do not say what is
            compared.
        odd: words for states that are not known; such runs count as finished.
    """

    columns: Columns
    frame: pd.DataFrame
    levels: pd.DataFrame
    unfinished: int = 0
    nameless: int = 0
    odd: tuple[str, ...] = ()

    def setting(self, row: int) -> dict[str, Level]:
        """Title → level, of the row at that place."""
        values = self.levels.iloc[row]
        return {self.columns.title(column): plain(values[column]) for column in self.columns.settings}

    @property
    def left_out(self) -> int:
        return self.unfinished + self.nameless

    @property
    def seeded(self) -> bool:
        return self.columns.seed is not None


def read_runs(frame: pd.DataFrame, columns: Columns) -> Runs:
    """The rows as runs, or the last row of each.

    Raises:
        UsageError: no row is left, the metric has no numbers, or too many things are compared.
    """
    if columns.progress is not None:
        frame = last_rows(frame, columns.progress, columns.of_run, columns.metric)
    words = _states(frame, columns)
    status, candidate = words.map(_STATUS).fillna(FINISHED), _candidates(frame, columns)
    ended = status != UNFINISHED
    counts = ended & candidate.notna()
    if not counts.any():
        raise UsageError("no run has ended and says what it was made with, so there is nothing to rank.")
    levels = pd.DataFrame(
        {column: typed(frame.loc[counts, column]) for column in columns.settings}, frame.index[counts]
    )
    runs = _measured(frame[counts], columns, status[counts])
    runs["candidate"], runs["setting"] = candidate[counts], _codes(candidate[counts], levels)
    if (several := runs["candidate"].nunique()) > MOST:
        raise UsageError(
            f"{columns.ranked} has {several:,} values, and at most {MOST} can be compared; name another column with "
            "by=."
        )
    return Runs(
        columns,
        runs.reset_index(drop=True),
        levels.reset_index(drop=True),
        unfinished=int((~ended).sum()),
        nameless=int((ended & candidate.isna()).sum()),
        odd=tuple(sorted(set(words[counts]) - _STATUS.keys())),
    )


def _states(frame: pd.DataFrame, columns: Columns) -> pd.Series:
    """Of each row the word for how it ended; a row that says none has finished."""
    if columns.status is None:
        return pd.Series(FINISHED, index=frame.index)
    words = frame[columns.status].astype(object).where(frame[columns.status].notna(), FINISHED)
    return words.map(lambda word: printable(str(word)).rpartition(".")[2].strip().lower())  # TrialState.COMPLETE


def _candidates(frame: pd.DataFrame, columns: Columns) -> pd.Series:
    """Of each row what is compared; missing where one of its parts is."""
    parts = [typed(frame[column]) for column in columns.by]
    if len(parts) == 1:
        return parts[0]
    joined = pd.concat([part.map(plain).map(shown) for part in parts], axis=1).agg(", ".join, axis=1)
    return joined.where(~pd.concat([part.isna() for part in parts], axis=1).any(axis=1), None)


def _codes(candidate: pd.Series, levels: pd.DataFrame) -> pd.Series:
    """A number for each setting, in the order of the table."""
    both = levels.assign(**{CANDIDATE: candidate})
    return both.groupby(list(both), sort=False, dropna=False).ngroup()


def _measured(frame: pd.DataFrame, columns: Columns, status: pd.Series) -> pd.DataFrame:
    """How each run ended, what it is judged by, its seed, and whether it is fresh."""
    value = _numbers(frame[columns.metric], columns.metric)
    finite = np.isfinite(value) & (value.abs() <= HUGE)
    status = status.mask((status == FINISHED) & ~finite, DIVERGED)
    runs = pd.DataFrame({"status": status, "value": value.where(finite)})
    runs["badness"] = (columns.sign * value).where(finite & (status != DIVERGED), math.inf)
    runs["seed"] = None if columns.seed is None else _seeds(frame[columns.seed])
    runs["fresh"] = False
    if columns.confirmation is not None:
        words = frame[columns.confirmation].astype(str).str.lower()
        runs["fresh"] = words.isin(["true", "1", "1.0", "yes", "confirmation"])
    return runs


def _numbers(values: pd.Series, column: str) -> pd.Series:
    """As floats; NaN for what is not a number.

    Raises:
        UsageError: where there is none at all, and something else.
    """
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    if numbers.isna().all() and values.notna().any():
        first = printable(str(values.dropna().iloc[0]))
        raise UsageError(f"{short(column)!r} holds {short(first)!r} and no numbers; name the metric with metric=.")
    return numbers


def _seeds(values: pd.Series) -> pd.Series:
    """As text; a run without one has a seed of its own."""
    numbers = pd.to_numeric(values, errors="coerce")
    whole = numbers.notna() & (numbers == numbers.round()) & (numbers.abs() < 2**53)
    texts = numbers.where(whole, 0).astype("int64").astype(str).where(whole, values.astype(str))
    return texts.where(values.notna(), "row " + values.index.to_series().astype(str)).astype(object)


def typed(values: pd.Series) -> pd.Series:
    """Numbers where all that is there are numbers, as MLflow writes them as text; else texts that control nothing."""
    if types.is_bool_dtype(values):
        return values.astype(object)
    numbers = pd.to_numeric(values, errors="coerce")
    if not (numbers.isna() & values.notna()).any():
        return numbers.astype(float)
    return values.astype(object).map(lambda one: printable(str(one)), na_action="ignore")


def plain(level: Any) -> Level:
    """Python's own value; None where it is missing, and an integer where it is whole.

    >>> plain(64.0), plain(float("nan")), plain("cosine")
    (64, None, 'cosine')
    """
    if level is None or (isinstance(level, float) and math.isnan(level)) or level is pd.NA:
        return None
    level = level.item() if isinstance(level, np.generic) else level
    return int(level) if isinstance(level, float) and level.is_integer() and abs(level) < 1e6 else level
