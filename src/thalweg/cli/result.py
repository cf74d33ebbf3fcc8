"""What a study's commands print: the verdict in words, the ranking as a table, or both as JSON."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..calls import split
from ..errors import UsageError, WorkError
from ..files import check_place
from ..language import say
from .listing import table_of, terminal
from .settings import ENDING

if TYPE_CHECKING:
    from rich.console import Console

    from ..formulas import Formula
    from ..report.contents import Parts
    from ..report.sections import Section
    from ..results import Results
    from ..study.rerun import Rerun
    from ..verdict.entries import Verdict
    from ..verdict.generalization import Generalization


def batch_size_of(word: str) -> int | str:
    """A number where it is one; the plan says what else is allowed."""
    return int(word) if word.lstrip("+-").isdigit() else word


def rule_of(name: str, error: type[UsageError]) -> str | Formula:
    """The name of a rule as it is, or the formula that file.py:formula names.

    Raises:
        error: there is no such file or name, or it is no formula.
    """
    from ..formulas import Formula
    from ..problem.source import is_spec, opened

    if not is_spec(name):
        return name
    with opened(name, error) as source:
        found = source.get()
    if not isinstance(found, Formula):
        raise error("{given} is not an optimizer; give a name, e.g. 'adam', or a formula.", given=repr(name))
    return found


def values_of(texts: list[str]) -> dict[str, list[Any]]:
    """``beta2=0.99,0.999`` → {"beta2": [0.99, 0.999]}; words that are not literals stay words.

    >>> values_of(["weight_decay=0,1e-4", "amsgrad=True,False"])
    {'weight_decay': [0, 0.0001], 'amsgrad': [True, False]}
    """
    levels: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, values = (part.strip() for part in text.partition("="))
        if not (name and sign and values):
            raise another_form(text, "NAME=VALUE,VALUE", "beta2=0.99,0.999")
        if name in levels:
            raise UsageError("hyperparameter {name} is given twice; list all its values at once.", name=name)
        levels[name] = [_literal(value) for value in split(values)]
    return levels


def another_form(text: str, form: str, example: str) -> UsageError:
    return UsageError("{text} is not of the form {form}, e.g. {example}.", text=repr(text), form=form, example=example)


def share_of(text: str) -> float:
    """
    >>> share_of("2%"), share_of("0.02")
    (0.02, 0.02)
    """
    number = text.strip().removesuffix("%")
    try:
        return float(number) / (1 if number == text.strip() else 100)
    except ValueError:
        raise UsageError(
            "margin is {text}; give a share of the best value, e.g. 0.02 or 2%.", text=repr(text)
        ) from None


def bounds_of(text: str) -> list[tuple[str, str]]:
    """The low and high end for each variable, still as text.

    >>> bounds_of("-5:5,0:2"), bounds_of("-3,3;-1,4"), bounds_of("-3,3")
    ([('-5', '5'), ('0', '2')], [('-3', '3'), ('-1', '4')], [('-3', '3')])
    """
    parts, sign = (split(text), ":") if ":" in text else (text.split(";"), ",")
    pairs = [tuple(end.strip() for end in part.split(sign)) for part in parts]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise UsageError(
            "{text} cannot be read as bounds; give low:high, e.g. -5:5, or one for each variable: -5:5,0:2.",
            text=repr(text),
        )
    return pairs  # pyright: ignore[reportReturnType]


def _literal(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return word


def check_one(**given: bool) -> None:
    """Refuse two options that exclude each other: whether each was given, by name."""
    if all(given.values()):
        first, second = (f"--{name.replace('_', '-')}" for name in given)
        raise UsageError("{first} and {second} exclude each other; give one of them.", first=first, second=second)


def check_report(report: Path | None) -> None:
    """Refuse a report that could not be written, before any work is done for it."""
    if report is None:
        return
    if report.is_dir():
        example = report / "report.html"
        raise UsageError(
            "{file} is a folder; name a file for the report, e.g. {example}.", file=report, example=example
        )
    check_place(report, UsageError)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Write a file whose place was checked.

    Raises:
        WorkError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise WorkError("{file} cannot be written: {reason}.", file=path, reason=error.strerror or error) from error


def print_json(value: Any, indent: int | None = 2) -> None:
    """What every command prints for `--json`: null for a number that is not finite."""
    from ..numbers import plain

    print(json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False))


def give(result: Any, report: Path | None, json: bool, show: Callable[[Any], None]) -> None:
    """Write the report of a result with sections, and print the result, or show it."""
    if report is not None:
        result.report(report)
    if json:
        print_json(result.to_json() | {"report": None if report is None else str(report)})
        return
    show(result)
    if report is not None:
        print(say("report: {report}", report=report))


def finish(
    study: Results,
    report: Path | None,
    as_json: bool,
    by: str = "optimizer",
    rerun: Rerun | None = None,
    margin: float | None = None,
    by_metric: str | None = None,
) -> None:
    """Write the report if it is wanted, and print the result: the ranking of optimizers, or of another factor."""
    from ..report.contents import Parts, contents

    verdict, parts = study.verdict_by(by, margin, by_metric), Parts(study, margin)
    if report is not None:
        from ..report.html import document, save

        save(document(study.name, contents(parts)), report)
    if as_json:
        print_json(_result(parts, verdict, report) | ({} if rerun is None else {"rerun": rerun.to_json()}))
        return
    _show(parts, verdict, rerun)
    print(say("store: {path}", path=study.path))
    if (options := study.path.with_suffix(ENDING)).exists():
        print(say("options: {options}", options=options))
    if report is not None:
        print(say("report: {report}", report=report))
    if not study.finished:
        print(say("unfinished: carry on with `{command}`", command=study.onward))


def _show(parts: Parts, verdict: Verdict, rerun: Rerun | None) -> None:
    """The verdict in words, its tables, and notes."""
    from ..report.ranking import ranking, tuned

    console = terminal()
    console.print()
    console.print(verdict.sentence, style="bold")
    for sign in verdict.signs:
        console.print(f"! {sign}", style="yellow")
    if rerun is not None:
        console.print()
        console.print(str(rerun), style="bold")
    if verdict.entries:
        console.print()
    for section in (ranking(verdict, parts.plan[verdict.factor].kind), tuned(verdict)):
        show_table(section, console)
    notes = _notes(parts, verdict)
    for note in notes:
        console.print(f"· {note}", style="dim")
    if notes:
        console.print()


def show_table(section: Section, console: Console) -> None:
    """As much of the table as fits, and what its heads mean."""
    from ..report.sections import explained
    from ..report.terminal import fitting

    if not (fitted := fitting(section, console.width)):
        return
    console.print(table_of(fitted))
    heads = ((column.head.replace("\n", " "), column.means) for column in fitted)
    for term, meaning in (explained(heads) | dict(section.terms)).items():
        console.print(f"{term}: {meaning}.", style="dim")
    console.print()


def _notes(parts: Parts, verdict: Verdict) -> list[str]:
    from ..verdict.generalization import remarks

    study = parts.results
    remarked = remarks(_generalization(parts, verdict))
    notes = [*verdict.notes, *remarked, *_searched(parts, verdict), *study.batching]
    notes += [] if study.recipe_run is None else [str(study.recipe_run)]
    if verdict.entries and (others := [f.name for f in parts.plan.ranked if f.name != verdict.factor]):
        names = " | ".join(others)
        notes.append(say("Ranked along others: thalweg show {path} --by {names}", path=study.path, names=names))
    return notes


def _generalization(parts: Parts, verdict: Verdict) -> list[Generalization]:
    optimizers = verdict.factor == "optimizer"
    return parts.generalization if optimizers else parts.results.generalization(verdict.factor)


def _searched(parts: Parts, verdict: Verdict) -> list[str]:
    """What the stored search says beyond its lowest losses, in a sentence each."""
    if not verdict.entries or verdict.factor != "optimizer" or len(parts.plan.settings) == 1:
        return []
    from ..report.searched import leaders

    sections = [parts.importance, parts.budget]
    if len(verdict.entries) > 1:
        other = verdict is not parts.verdict
        sections.append(leaders(parts.plan, verdict, parts.table, parts.curves) if other else parts.leaders)
    return [f"{section.title}: {section.sentence.splitlines()[0]}" for section in sections]


def _result(parts: Parts, verdict: Verdict, report: Path | None) -> dict[str, Any]:
    from ..report.runs import generalization

    study = parts.results
    return {
        "problem": study.name,
        "finished": study.finished,
        "verdict": verdict.to_json(),
        "sanity": [*verdict.signs],
        "recipe_run": None if (ran := study.recipe_run) is None else {"sentence": str(ran), **ran.to_json()},
        "sensitivity": parts.sensitivity.to_json(),
        "importance": parts.importance.to_json(),
        "expected_best": parts.budget.to_json(),
        "time_to_target": parts.targets.to_json(),
        "leaders": parts.leaders.to_json(),
        "generalization": generalization(_generalization(parts, verdict)).to_json(),
        "plan": study.plan.described(),
        "store": str(study.path),
        "report": None if report is None else str(report),
    }
