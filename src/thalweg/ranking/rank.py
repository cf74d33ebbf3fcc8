"""`tw.rank`: the verdict on a table of finished runs, whatever made them.

Read next: `columns.py`, which column is read as what; `choice.py`, which runs are compared; `verdict.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import UsageError
from ..numbers import Range
from ..plan.margin import MARGIN
from ..verdict.entries import Verdict
from .choice import Choice
from .columns import Columns, Given, find_columns
from .runs import Runs, read_runs
from .tables import Table, read
from .verdict import factor_of, judge

if TYPE_CHECKING:
    from ..report.sections import Section


@dataclass(frozen=True, eq=False)
class RankedRuns:
    """A table of runs made elsewhere, and the verdict on it.

    Attributes:
        name: of the table.
        verdict: as `Study.verdict` is, without what a table cannot say: no test numbers, no defaults, no times.
    """

    name: str
    verdict: Verdict
    runs: Runs = field(repr=False)
    choice: Choice = field(repr=False)

    @property
    def columns(self) -> Columns:
        """Which column was read as what."""
        return self.runs.columns

    @property
    def sentence(self) -> str:
        return self.verdict.sentence

    @property
    def notes(self) -> tuple[str, ...]:
        return self.verdict.notes

    def table(self) -> pd.DataFrame:
        """One row per run that counts: what is compared, the settings' columns, seed, `status` (finished, diverged or
        stopped), the metric (NaN where it is not finite), `fresh`, and `chosen`, whether its setting is compared."""
        frame, columns = self.runs.frame, self.columns
        chosen = frame["setting"].isin(frame["setting"].iloc[self.choice.rows])
        settings = {columns.title(column): self.runs.levels[column] for column in columns.settings}
        last = {name: frame[name] for name in ("seed", "status", "fresh")}
        value = {columns.criterion.metric: frame["value"]}
        return pd.DataFrame({columns.ranked: frame["candidate"], **settings, **last, **value, "chosen": chosen})

    def to_json(self) -> dict[str, Any]:
        """The verdict, how the columns were read, and how many runs there are of each kind, as plain values."""
        columns, counts = self.columns, self.runs.frame["status"].value_counts()
        read_as = {name: getattr(columns, name) for name in ("by", "metric", "settings", "seed", "progress", "status")}
        return {
            "name": self.name,
            "columns": {**read_as, "confirmation": columns.confirmation, "higher_is_better": columns.sign < 0},
            "read_as": columns.sentence,
            "runs": {str(status): int(count) for status, count in counts.items()} | {"left_out": self.runs.left_out},
            "paired": self.choice.paired,
            "verdict": self.verdict.to_json(),
        }

    def sections(self) -> list[Section]:
        """Everything that is said of the runs, in order, as the report has it."""
        from .sections import contents

        return contents(self.runs, self.choice, self.verdict, factor_of(self.runs))

    def report(self, path: str | Path) -> Path:
        """Write the report: one HTML file that needs nothing else."""
        from ..report.html import document, save

        return save(document(self.name, self.sections()), path)

    def __str__(self) -> str:
        return str(self.verdict)


def rank(
    runs: Table,
    by: str | Sequence[str] | None = None,
    metric: str | None = None,
    *,
    maximize: bool | None = None,
    seed: Given = None,
    settings: str | Sequence[str] | None = None,
    status: Given = None,
    confirmation: Given = None,
    margin: float = MARGIN,
) -> RankedRuns:
    """Which candidate of a table of finished runs is best, and how sure that is?

    A row is a run, or one of its epochs, of which the last counts: `trials_dataframe` of Optuna, a W&B export,
    `search_runs` of MLflow, the results of any script. What is not given is guessed from the names of the columns, and
    `RankedRuns.columns.sentence` says how.

    For candidate c, each setting s of which has runs with losses L(c, s, seed), the setting with the lowest mean over
    seeds, s*(c) = argmin mean L(c, s, ·), stands for it; only settings with as many runs as any of c take part.
    Candidates are then compared by L(c, s*(c), ·) as in a study: seed by seed with Student's t where the chosen
    settings share at least two seeds and half of the fewest, else as independent repeats with Welch's; all pairs
    together at 5% (Shaffer). A run that failed, or whose value is missing, not finite or beyond 1e100, diverged: its
    loss is infinite. One that was pruned keeps its setting from being chosen.

    Args:
        runs: a data frame, a list with a dictionary for each run, or a file: .csv, .tsv, .parquet, .jsonl or .ndjson,
            or "-" for standard input.
        by: the column, or columns, whose values are compared; the optimizer unless given. All columns are named as in
            the table or without the tool's prefix: "lr" is "params_lr", "params.lr" and "config/lr".
        metric: the column that judges, e.g. "val_loss"; "f1:max" and "bits:min" also say which values are better.
        maximize: whether higher is better; known for losses, errors and accuracies by their names.
        seed: the column of seeds; False if there is none, so that runs of one setting are its repeats.
        settings: the columns that tell settings apart; unless given, those marked as parameters, or all that are
            neither metrics nor names, times and states.
        status: the column that says how a run ended; False for none.
        confirmation: a column of True and False: True for runs that had no part in the choice of settings, which then
            judge alone. False if there is none.
        margin: differences up to that share of the best value do not matter.

    Raises:
        UsageError: not a table of runs, a column that is missing, cannot be guessed, or is one of two that fit as well.
        WorkError: the file cannot be read.

    >>> import thalweg as tw
    >>> runs = [{"optimizer": name, "lr": lr, "seed": seed, "val_loss": loss + 0.1 * (lr == 0.1) + 0.01 * seed}
    ...         for name, loss in (("sgd", 0.5), ("adam", 0.3)) for lr in (0.01, 0.1) for seed in range(4)]
    >>> ranked = tw.rank(runs)
    >>> ranked.verdict.best.optimizer, ranked.verdict.best.lr, [entry.standing for entry in ranked.verdict.entries]
    ('adam', 0.01, ['best', 'worse'])
    >>> print(ranked.columns.sentence)
    Read as: optimizer from 'optimizer'; judged by 'val_loss' (lower is better); seed from 'seed'; settings from 'lr'.

    Sources: those of `tw.compare`, and Welch 1947.
    """
    margin = Range(0).check("margin", margin, UsageError)
    frame, name = read(runs)
    columns = find_columns(frame, by, metric, maximize, seed, settings, status, confirmation)
    table = read_runs(frame, columns)
    verdict, choice = judge(table, name, margin)
    return RankedRuns(name, verdict, table, choice)
