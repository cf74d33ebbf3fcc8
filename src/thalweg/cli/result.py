"""What a study's commands print: the verdict in words, the ranking as a table, or both as JSON."""

from __future__ import annotations

import ast
import json
import math
import os
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from ..study.rerun import Rerun
    from ..study.study import Study
    from ..verdict.entries import Verdict
    from ..verdict.verdict import Interval


def split(text: str) -> list[str]:
    """Names separated by commas, commas inside parentheses left alone.

    >>> split("sgd,adam(beta1=0.8, beta2=0.99)")
    ['sgd', 'adam(beta1=0.8, beta2=0.99)']
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    names = [part.strip() for part in parts]
    if not all(names):
        raise UsageError(f"{text!r} has an empty name; give names separated by commas, e.g. sgd,adam.")
    return names


def batch_size_of(word: str) -> int | str:
    """A number where it is one; the plan says what else is allowed."""
    return int(word) if word.lstrip("+-").isdigit() else word


def values_of(texts: list[str]) -> dict[str, list[Any]]:
    """``beta2=0.99,0.999`` → {"beta2": [0.99, 0.999]}; words that are no literals stay words.

    >>> values_of(["weight_decay=0,1e-4", "amsgrad=True,False"])
    {'weight_decay': [0, 0.0001], 'amsgrad': [True, False]}
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, values = (part.strip() for part in text.partition("="))
        if not (name and sign and values):
            raise UsageError(f"{text!r} is not of the form NAME=VALUE,VALUE, e.g. beta2=0.99,0.999.")
        if name in found:
            raise UsageError(f"hyperparameter {name} is given twice; list all its values at once.")
        found[name] = [_literal(value) for value in split(values)]
    return found


def _literal(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return word


def check_report(report: Path | None) -> None:
    """Refuse a report that could not be written, before any work is done for it."""
    if report is None:
        return
    if report.is_dir():
        raise UsageError(f"{report} is a folder; name a file for the report, e.g. {report / 'report.html'}.")
    # Folders that are missing will be made; what has to exist is something above them to make them in.
    above = next(p for p in (report, *report.absolute().parents) if p.exists())
    if above != report and not above.is_dir():
        raise UsageError(f"{report} cannot be written: {above.name} is a file, not a folder; name another place.")
    if not os.access(above, os.W_OK):
        raise UsageError(f"{report} cannot be written: permission denied; name another file.")


def finish(study: Study, report: Path | None, as_json: bool, by: str = "optimizer", rerun: Rerun | None = None) -> None:
    """Write the report if it is wanted, and print the result: the ranking of optimizers, or of another factor."""
    verdict = study.verdict_by(by)
    if report is not None:
        study.report(report)
    if as_json:
        result = _result(study, verdict, report) | ({} if rerun is None else {"rerun": rerun.to_json()})
        print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console

    from ..verdict.generalization import remarks

    # A file or a pipe has no width of its own.
    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120)
    console.print()
    console.print(verdict.sentence, style="bold", markup=False, highlight=False)
    if rerun is not None:
        console.print()
        console.print(str(rerun), style="bold", markup=False, highlight=False)
    if verdict.entries:
        console.print()
        for drawn in filter(None, (table(verdict, console.width), defaults(verdict, console.width))):
            console.print(drawn)
            console.print()
    ran = study.recipe_run
    notes = [
        *verdict.notes,
        *remarks(study.generalization(by)),
        *study.batching,
        *([] if ran is None else [str(ran)]),
        *_others(study, verdict),
    ]
    for note in notes:
        console.print(f"· {note}", markup=False, highlight=False, style="dim")
    if notes:
        console.print()
    print(f"store: {study.path}")
    if report is not None:
        print(f"report: {report}")
    if not study.finished:
        print(f"unfinished: carry on with `thalweg resume {study.path}`")


def _others(study: Study, verdict: Verdict) -> list[str]:
    """How to see the rankings along the study's other factors."""
    names = [f.name for f in study.plan.ranked if f.name != verdict.factor]
    if not verdict.entries or not names:
        return []
    return [f"Ranked along others: thalweg show {study.path} --by {' | '.join(names)}"]


GAP = 2  # between columns


@dataclass(frozen=True)
class Column:
    """A header, which may have several lines, and a cell for each level that is ranked."""

    header: str
    cells: list[str]
    left: bool = False

    @property
    def width(self) -> int:
        return max(map(len, [*self.header.split("\n"), *self.cells]))


def table(verdict: Verdict, width: int) -> Table:
    """The ranking, with as many columns as fit into `width`; a blank line parts groups that differ."""
    ranks = [entry.rank for entry in verdict.entries]
    return _table(_fitting(verdict, width), [here != then for here, then in pairwise([*ranks, 0])])


def defaults(verdict: Verdict, width: int) -> Table | None:
    """Each optimizer at its own defaults beside its tuned setting; None if none was run so."""
    from ..plan.factors import shown, words_of

    known = [(e, e.default) for e in verdict.entries if e.default is not None]
    if not known:
        return None
    own = [d for _, d in known]
    needed = [
        Column("at its\ndefaults", [e.optimizer for e, _ in known], left=True),
        Column("rate", [f"{d.lr:.3g}" for d in own]),
        Column("validation loss\n[95% interval]", [_spread(d.validation_loss) for d in own], left=True),
        Column(
            "more than tuned\n[95% interval]",
            [
                "chosen"
                if d.chosen
                else "tuned diverges"
                if d.difference.mean == -math.inf
                else _spread(d.difference, "+")
                for d in own
            ],
            left=True,
        ),
    ]
    names = sorted({m for d in own for m in d.test}, key=lambda m: (m == "loss", m))
    tests = [Column(f"test\n{m}", [_number(d.test[m].mean) if m in d.test else "" for d in own]) for m in names]
    further = [Column(words_of(name), [shown(d.further[name]) for d in own]) for name in own[0].further]
    chosen = _that_fit([*tests, *further], needed, width)
    return _table([*needed[:2], *(c for c in further if c in chosen), *needed[2:], *(c for c in tests if c in chosen)])


def _table(columns: list[Column], ends: list[bool] | None = None) -> Table:
    """The columns side by side, with a blank line after each row that ends a group."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for column in columns:
        drawn.add_column(column.header, justify="left" if column.left else "right", overflow="fold")
    for k, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
        drawn.add_row(*map(Text, cells), end_section=ends is not None and ends[k])
    return drawn


def _fitting(verdict: Verdict, width: int) -> list[Column]:
    """The columns that must be there, and of the others, in the order of their worth, those that fit."""
    from ..plan.factors import shown, words_of

    entries = verdict.entries
    arrow = {"lowest": " ↓", "highest": " ↑", None: ""}
    setting = [
        Column("optimizer", [e.optimizer for e in entries], left=True),
        Column("rate", [f"{e.lr:.3g}{arrow[e.edge]}" for e in entries]),
        Column("schedule", [e.schedule for e in entries], left=True),
        *(Column(words_of(name), [shown(e.further[name]) for e in entries]) for name in entries[0].further),
    ]
    needed = [
        Column("", [str(e.rank) for e in entries]),
        *sorted(setting, key=lambda column: column.header != words_of(verdict.factor)),
        Column("validation loss\n[95% interval]", [_spread(e.validation_loss) for e in entries], left=True),
    ]
    tests = {
        m: Column(f"test\n{m}", [_number(e.test[m].mean) if m in e.test else "" for e in entries])
        for m in sorted({m for e in entries for m in e.test}, key=lambda m: (m != "loss", m))
    }
    chance = Column("chance\nof best", [f"{e.probability_best:.0%}" for e in entries])
    behind = ["", *(_spread(e.difference, "+") for e in entries[1:])]
    difference = Column("behind the best\n[95% interval]", behind, left=True)
    diverged = Column("diverged", [f"{e.diverged}/{e.runs}" for e in entries])
    places = Column("places\n[95%]", [_places(e.places) for e in entries])
    search = [Column("than in\nsearch", [_number(e.optimism, "+") for e in entries])] * verdict.confirmed
    by_worth = [
        *(tests[m] for m in tests if m != "loss"),
        chance,
        places,
        *tests.values(),
        *search,
        diverged,
        difference,
    ]
    chosen = _that_fit(by_worth, needed, width)
    shown = [*search, difference, places, chance, *tests.values(), diverged]
    return [*needed, *(column for column in shown if column in chosen)]


def _that_fit(by_worth: list[Column], needed: list[Column], width: int) -> list[Column]:
    """Those for which `needed` leaves room, the worthier first."""
    left = width - sum(column.width + GAP for column in needed) + GAP
    chosen: list[Column] = []
    for column in by_worth:
        if column not in chosen and column.width + GAP <= left:
            chosen.append(column)
            left -= column.width + GAP
    return chosen


def _places(places: tuple[int, int]) -> str:
    return "–".join(map(str, dict.fromkeys(places)))


def _spread(spread: Interval, sign: str = "") -> str:
    if not math.isfinite(spread.mean):
        return "diverges"
    if not (math.isfinite(spread.low) and math.isfinite(spread.high)):
        return _number(spread.mean, sign)
    return f"{_number(spread.mean, sign)} [{_number(spread.low)}, {_number(spread.high)}]"


def _number(value: float, sign: str = "") -> str:
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞"
    return f"{value:{sign}#.3g}".removesuffix(".").replace("-", "−")


def _result(study: Study, verdict: Verdict, report: Path | None) -> dict:
    from ..verdict.entries import plain

    return {
        "problem": study.name,
        "finished": study.finished,
        "verdict": verdict.to_json(),
        "recipe_run": None if (ran := study.recipe_run) is None else {"sentence": str(ran), **ran.to_json()},
        "sensitivity": plain(study.sensitivity().to_dict("records")),
        "time_to_target": plain(study.time_to_target().to_dict("records")),
        "generalization": [one.to_json() for one in study.generalization(verdict.factor)],
        "plan": study.plan.described(),
        "store": str(study.path),
        "report": None if report is None else str(report),
    }
