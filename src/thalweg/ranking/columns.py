"""Which column of a table of runs holds what: as the user says, else guessed, and said in a line.

What is guessed wrongly makes a wrong verdict, so a guess is never silent, and two columns that fit equally well are
never chosen from: the user is asked. Read next: `runs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from pandas.api import types

from ..errors import UsageError, short
from ..language import say
from ..losses.registry import scale_of
from ..plan.criterion import Criterion
from ..unknown import unknown
from ..verdict.words import listed
from .history import find_progress
from .names import ATTRIBUTE, FRESH, METRIC, OPTIMIZERS, PARAMETER, SEEDS, STATES, Name, best

Given = str | Literal[False] | None  # a column, none, or the one that is guessed


@dataclass(frozen=True)
class Columns:
    """The columns that a ranking reads.

    Attributes:
        by: what is compared, one column or several together.
        metric: by what runs are judged.
        sign: of the metric: −1 where higher is better.
        settings: the other columns that tell settings apart, each with more than one value.
        seed, status, confirmation: None where the table lacks them. A confirmation's runs had no part in the choice
            of settings.
        progress: that a run has several rows of, of which the last is read; None where each row is a run.
        of_run: where there is one, the columns that all rows of a run are alike in.
        ignored: columns that are read as none of these.
        titles: column → what tables and sentences call it.
        assumed: whether only Optuna's habit of minimizing says which values are better.
    """

    by: tuple[str, ...]
    metric: str
    sign: float
    settings: tuple[str, ...]
    seed: str | None
    status: str | None
    confirmation: str | None
    ignored: tuple[str, ...]
    titles: dict[str, str]
    assumed: bool = False
    progress: str | None = None
    of_run: tuple[str, ...] = ()

    @property
    def criterion(self) -> Criterion:
        return Criterion(self.title(self.metric), self.sign, part="", scale=scale_of(self.metric))

    @property
    def ranked(self) -> str:
        """What is compared, in words."""
        return " × ".join(map(self.title, self.by))

    def title(self, column: str) -> str:
        return self.titles[column]

    @property
    def sentence(self) -> str:
        """What is read from where."""
        better = say("higher is better") if self.sign < 0 else say("lower is better")
        if self.assumed:
            better += say(", as Optuna minimizes unless it is told otherwise")
        settings = ", ".join(map(repr, self.settings)) or say("no column, each is compared at its only one")
        seed = (
            say("no seed column, so runs of one setting are its repeats")
            if self.seed is None
            else say("seed from {seed!r}", seed=self.seed)
        )
        words = [
            say("{ranked} from {columns}", ranked=self.ranked, columns=listed([*map(repr, self.by)])),
            say("judged by {metric!r} ({better})", metric=self.metric, better=better),
            seed,
            say("settings from {settings}", settings=settings),
            *([say("each run at its last {progress!r}", progress=self.progress)] if self.progress else []),
            *([say("state from {status!r}", status=self.status)] if self.status else []),
            *([say("fresh runs from {confirmation!r}", confirmation=self.confirmation)] if self.confirmation else []),
        ]
        return say("Read as: {parts}.", parts="; ".join(words))


def find_columns(
    frame: pd.DataFrame,
    by: str | Sequence[str] | None = None,
    metric: str | None = None,
    maximize: bool | None = None,
    seed: Given = None,
    settings: str | Sequence[str] | None = None,
    status: Given = None,
    confirmation: Given = None,
) -> Columns:
    """The columns as given, and the rest as guessed; arguments are those of `rank`.

    Raises:
        UsageError: a column that is not there, one that cannot be guessed, or two that fit equally well.
    """
    search = _Search(frame, [Name.of(str(column)) for column in frame.columns])
    chosen_by = tuple(search.given(one) for one in _listed(by)) if by is not None else (search.candidates(),)
    judged, sign = search.judged(metric, maximize)
    seed_column = search.optional(seed, "seed", SEEDS)
    state = search.optional(status, "status", STATES)
    fresh = search.optional(confirmation, "confirmation", FRESH)
    if fresh is not None and confirmation is None and not _says_fresh(frame[fresh]):
        fresh = None
    taken = [*chosen_by, judged, *filter(None, (seed_column, state, fresh))]
    for column in taken:
        if taken.count(column) > 1:
            raise UsageError(f"column {short(column)!r} is given two parts to play; name a column of its own for each.")
    if settings is None:
        varied = search.settings(taken)
    else:
        varied = tuple(dict.fromkeys(search.given(one) for one in _listed(settings)))
        if both := [column for column in varied if column in taken]:
            raise UsageError(f"settings names {short(both[0])!r}, which is read as something else; leave it out.")
    left = [name for name in search.names if name.column not in (*taken, *varied)]
    alike = [*chosen_by, *varied, *filter(None, (seed_column, fresh))]
    progress, of_run = find_progress(frame, left, alike, seed_column is not None, seed is False)
    ignored = tuple(name.column for name in left if name.column not in (progress, *of_run))
    titles = search.titles([*chosen_by, judged, *varied])
    assumed = maximize is None and not Name.of(judged).measure and not str(metric).endswith((":min", ":max"))
    return Columns(
        chosen_by, judged, sign, varied, seed_column, state, fresh, ignored, titles, assumed, progress, of_run
    )


def _listed(given: str | Sequence[str]) -> list[str]:
    names = [given] if isinstance(given, str) else list(given)
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{short(repr(given))} is not a column; give the name of one, or a list of names.")
    return list(dict.fromkeys(names))


def _says_fresh(values: pd.Series) -> bool:
    """Whether a column of that name says of each run if it had a part in the choice, and of some that it had none."""
    return types.is_bool_dtype(values) or {str(value) for value in values.unique()} <= {"search", "confirmation"}


@dataclass(frozen=True, eq=False)
class _Search:
    """A table whose columns are looked for."""

    frame: pd.DataFrame
    names: list[Name]

    def given(self, column: str) -> str:
        """The column that a user means: by its name, or by what is left of that without its prefix."""
        exact = [name for name in self.names if name.column == column]
        fits = exact or [name for name in self.names if column in (name.short, name.standard)]
        if not fits:
            raise UsageError(unknown("column of this table", column, [name.column for name in self.names]))
        return self.only(fits, f"column {short(column)!r}", "name one of them in full")

    def only(self, fits: Sequence[Name], what: str, remedy: str) -> str:
        """The one that fits; the first where all hold the same."""
        first, *others = [name.column for name in fits]
        if differs := next((other for other in others if not self.frame[first].equals(self.frame[other])), None):
            raise UsageError(f"{short(first)!r} and {short(differs)!r} could both be the {what}; {remedy}.")
        return first

    def candidates(self) -> str:
        """The column of the optimizers, or of the only parameter."""
        marked = [name for name in self.names if name.kind == PARAMETER]
        fits = best(self.names, OPTIMIZERS) or (marked if len(marked) == 1 else [])
        if not fits:
            known = ", ".join(short(name.column) for name in self.names if not name.bookkeeping)
            raise UsageError(
                f"no column is called optimizer; say with by= or --by what is compared. The columns are: {known}."
            )
        return self.only(fits, "optimizer", f"say which with by={fits[0].column!r}")

    def optional(self, given: Given, what: str, tiers: Sequence[Sequence[str]]) -> str | None:
        if given is False:
            return None
        if given is not None:
            return self.given(given)
        fits = best(self.names, tiers)
        if tiers is SEEDS and not fits:
            fits = [name for name in self.names if name.base.endswith("_seed")]
        return self.only(fits, f"{what} column", f"say which with {what}={fits[0].column!r}") if fits else None

    def judged(self, metric: str | None, maximize: bool | None) -> tuple[str, float]:
        """The column that runs are judged by, and −1 where higher is better."""
        if metric is None:
            column = self.guessed_metric()
        else:
            column, colon, direction = metric.rpartition(":")
            if not colon or direction not in ("min", "max"):
                column, direction = metric, ""
            column = self.given(column)
            if direction:
                maximize = direction == "max"
        sign = Name.of(column).sign if maximize is None else -1.0 if maximize else 1.0
        if sign is None:
            raise UsageError(
                f"{short(column)!r} does not say which values are better; give metric='{short(column)}:max' if the "
                f"higher, '{short(column)}:min' if the lower."
            )
        return column, sign

    def guessed_metric(self) -> str:
        tiers: dict[int, list[Name]] = {}
        for name in self.names:
            # A loss in words is the one that was trained with.
            trained_with = name.base == "loss" and not self.numeric(name.column)
            tier = None if name.kind in (PARAMETER, ATTRIBUTE) or trained_with else name.judges
            if tier is not None:
                tiers.setdefault(tier, []).append(name)
        if not tiers:
            if several := [name.column for name in self.names if name.base.startswith("values_")]:
                first, last = several[0], several[-1]
                raise UsageError(f"{first!r} and {last!r} could both be the metric; say which with metric={first!r}.")
            known = ", ".join(short(name.column) for name in self.names if self.numeric(name.column))
            raise UsageError(
                "no column is called val_loss, loss or value; say with metric= what judges the runs. Columns of "
                f"numbers are: {known or 'none'}."
            )
        fits = tiers[min(tiers)]
        return self.only(fits, "metric", f"say which with metric={fits[0].column!r}")

    def numeric(self, column: str) -> bool:
        """Whether it has numbers, be they written as text."""
        values = self.frame[column]
        if types.is_bool_dtype(values) or types.is_datetime64_any_dtype(values) or types.is_timedelta64_dtype(values):
            return False
        if types.is_numeric_dtype(values):
            return True
        head = values.dropna().head(1000)
        return bool(pd.to_numeric(head, errors="coerce").notna().any()) if len(head) else False

    def settings(self, taken: Sequence[str]) -> tuple[str, ...]:
        """The columns that tell settings apart: what is marked as a parameter where any is, else what is left."""
        marked = any(name.kind == PARAMETER for name in self.names)
        apart = {*sum((*SEEDS, *STATES), ())}  # neither seeds nor states make a setting, also where they are not read
        left = [n for n in self.names if n.column not in taken and n.base not in apart and not n.base.endswith("_seed")]
        if marked:
            left = [name for name in left if name.kind == PARAMETER]
        else:
            left = [name for name in left if name.kind not in (METRIC, ATTRIBUTE) and not self.aside(name)]
        return tuple(n.column for n in left if self.frame[n.column].astype(str).nunique(dropna=False) > 1)

    def aside(self, name: Name) -> bool:
        """Whether it is about how a run went, and not how it was made."""
        if name.bookkeeping or (name.measure and self.numeric(name.column)):
            return True
        values = self.frame[name.column]
        if types.is_datetime64_any_dtype(values) or types.is_timedelta64_dtype(values):
            return True
        # A text that differs in every run is its name.
        return not self.numeric(name.column) and len(values) > 2 and values.astype(str).is_unique

    def titles(self, columns: Sequence[str]) -> dict[str, str]:
        """What each is called, in short where no two are then alike."""
        names = {name.column: name for name in self.names}
        short_names = [names[column].standard for column in columns]
        return {
            column: title if short_names.count(title) == 1 else column
            for column, title in zip(columns, short_names, strict=True)
        }
