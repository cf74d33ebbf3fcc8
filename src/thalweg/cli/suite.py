"""`thalweg suite`: the main job on several problems, and one verdict over all.

Its options are those of `compare`: they are taken from there, so that one more of them is one here too.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..language import say
from . import compare
from .options import Json, Quiet, Report

if TYPE_CHECKING:
    from ..suites.suite import Suite

EXAMPLE = "Example: thalweg suite digits,diabetes,wave,file.py:problem --report suite.html"
Problems = Annotated[
    str,
    typer.Argument(
        help="Problems as `thalweg compare` takes them, or stores of finished studies, separated by commas."
    ),
]
Folder = Annotated[Path, typer.Option(help="The folder with one store per problem, PROBLEM.db.")]


def suite(
    context: typer.Context,
    problems: Problems,
    store: Folder = Path("runs") / "suite",
    report: Report = None,
    json: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Compare on several problems, each in a store of its own, and say which optimizer is best over all of them."""
    from ..suites.suite import suite as run
    from .result import check_report, give, split

    check_report(report)
    # What was not given is left to the library, and to the studies that are finished.
    chosen = {name: value for name, value in options.items() if _given(context, name)}
    result = run(split(problems), store=store, progress=False if quiet else None, **compare.arguments(chosen))
    give(result, report, json, _print)


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _print(result: Suite) -> None:
    """The answer, the tables that a terminal has room for, and notes; below each table how to read it."""
    from ..report.terminal import fitting
    from ..suites.sections import ratios, shared, standings
    from .listing import table_of, terminal

    console = terminal()
    console.print()
    console.print(result.sentence, style="bold")
    console.print()
    for section in (standings(result.verdict), ratios(result.verdict), shared(result.verdict)):
        if fitted := fitting(section, console.width):
            console.print(table_of(fitted))
        console.print(section.sentence, style="dim")
        console.print()
    for note in result.notes:
        console.print(f"· {note}", style="dim")
    console.print()
    for study in result.studies.values():
        print(say("store: {path}", path=study.path))


def _signature() -> inspect.Signature:
    """Those of this command, and between them the options of `compare`."""
    mine = inspect.signature(suite, eval_str=True).parameters
    theirs = inspect.signature(compare.compare, eval_str=True).parameters
    first, last = ("context", "problems"), ("store", "report", "json", "quiet")
    between = [one for name, one in theirs.items() if name not in compare.OWN]
    return inspect.Signature([*(mine[name] for name in first), *between, *(mine[name] for name in last)])


_declared = _signature()
suite.__signature__ = _declared  # pyright: ignore[reportFunctionMemberAccess]
suite.__annotations__ = {name: one.annotation for name, one in _declared.parameters.items()}
