"""What a study's commands print: the verdict in words, the ranking as a table, or both as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from ..study.study import Study
    from ..study.verdict import Verdict


def split(text: str) -> list[str]:
    """Names separated by commas, commas inside parentheses left alone.

    >>> split("sgd,adam(beta1=0.8, beta2=0.99)")
    ['sgd', 'adam(beta1=0.8, beta2=0.99)']
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    names = [part.strip() for part in parts]
    if not all(names):
        raise UsageError(f"{text!r} has an empty name; give names separated by commas, e.g. sgd,adam.")
    return names


def finish(study: Study, report: Path | None, as_json: bool) -> None:
    """Write the report if it is wanted, and print the result."""
    verdict = study.verdict
    if report is not None:
        study.report(report)
    if as_json:
        print(json.dumps(_result(study, verdict, report), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console(soft_wrap=False)
    console.print()
    console.print(verdict.sentence, style="bold", markup=False, highlight=False)
    if verdict.entries:
        console.print()
        console.print(table(verdict))
    for note in verdict.notes:
        console.print(f"· {note}", markup=False, highlight=False, style="dim")
    console.print()
    print(f"store: {study.path}")
    if report is not None:
        print(f"report: {report}")
    if not study.finished:
        print(f"unfinished: carry on with `thalweg resume {study.path}`")


def table(verdict: Verdict) -> Table:
    """The ranking; a line parts groups that can be told apart."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("", justify="right")
    shown.add_column("optimizer", no_wrap=True)
    shown.add_column("rate", justify="right", no_wrap=True)
    shown.add_column("schedule")
    shown.add_column("validation loss [95%]", no_wrap=True)
    shown.add_column("to the best [95%]", no_wrap=True)
    shown.add_column("best?", justify="right")
    tested = [m for m in ("loss", "accuracy", "mae") if any(m in e.test for e in verdict.entries)]
    tested += sorted({m for e in verdict.entries for m in e.test} - set(tested))
    for metric in tested:
        shown.add_column(f"test {metric}", justify="right")
    shown.add_column("diverged", justify="right", no_wrap=True)
    for k, entry in enumerate(verdict.entries):
        last = k + 1 == len(verdict.entries) or verdict.entries[k + 1].rank != entry.rank
        edge = {"lowest": " ↓", "highest": " ↑", None: ""}[entry.edge]
        difference = (
            "" if k == 0 else _spread(entry.difference.mean, entry.difference.low, entry.difference.high, "+")
        )
        loss = entry.validation_loss
        shown.add_row(
            str(entry.rank), entry.optimizer, f"{entry.lr:.3g}{edge}", entry.schedule,
            _spread(loss.mean, loss.low, loss.high), difference, f"{entry.probability_best:.0%}",
            *(_number(entry.test[m].mean) if m in entry.test else "" for m in tested),
            f"{entry.diverged}/{entry.runs}", end_section=last,
        )  # fmt: skip
    return shown


def _spread(mean: float, low: float, high: float, sign: str = "") -> str:
    if not math.isfinite(mean):
        return "diverges"
    ends = f" [{_number(low)}, {_number(high)}]" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{_number(mean, sign)}{ends}"


def _number(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3g}".replace("-", "−") if math.isfinite(value) else "∞"


def _result(study: Study, verdict: Verdict, report: Path | None) -> dict:
    plan = study.plan.to_json()
    return {
        "problem": study.name,
        "finished": study.finished,
        "verdict": verdict.to_json(),
        "plan": {k: v for k, v in plan.items() if k not in ("equations", "specs")},
        "store": str(study.path),
        "report": None if report is None else str(report),
    }
