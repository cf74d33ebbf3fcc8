"""`thalweg formula`: the catalogue of update rules, or one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..language import mark, say, wrapped
from .listing import terminal
from .options import Everything
from .result import check_one, print_json, rule_of

if TYPE_CHECKING:
    from rich.table import Table

    from ..formulas import Formula

Cells = dict[tuple[str, str], list[str]]  # direction, rate → rules with their years
EXAMPLE = "Example: thalweg formula 'rmsprop(centered=True)'"


def formula(
    name: Annotated[
        str | None,
        typer.Argument(help="A rule, also with options, e.g. adam or 'adam(amsgrad=True)'; all of them unless given."),
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print the equations as LaTeX.")] = False,
    json: Everything = False,
) -> None:
    """List the update rules by direction and rate, or show one: equations, options, source."""
    from .. import formulas

    check_one(latex=latex, json=json)
    chosen = [formulas.known(rule_of(name, UsageError))] if name else list(formulas.FORMULAS.values())
    if json:
        facts = [_facts(rule) for rule in chosen]
        print_json(facts[0] if name else facts)
    elif latex:
        print("\n\n".join(rule.latex() for rule in chosen))
    elif name:
        print(_one(chosen[0]))
    else:
        _catalogue(chosen)


def _catalogue(rules: list[Formula]) -> None:
    """The direction × rate table: what a rule follows, and how its rate is set."""
    from rich.console import Console

    console = Console(highlight=False)
    cells: Cells = {}
    for rule in rules:
        cells.setdefault((rule.direction, rule.rate), []).append(f"{rule.name} {rule.year or ''}".rstrip())
    for folded in (False, True):
        table = _table(cells, folded)
        if Console(width=1000).measure(table).maximum <= console.width:
            console.print(table)
            break
    else:
        _listed(cells)
    print(say("One of them: thalweg formula adam. Years are those of the first publication."))


def _table(cells: Cells, folded: bool) -> Table:
    """Its heads in one line each, or folded to their longest word: rich would cut names short to fit heads in."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    def head(words: str, beside: Sequence[str] = ()) -> str:
        width = max(map(cell_len, (*beside, *words.split())))
        return "\n".join(wrapped(words, width)) if folded else words

    directions, rates = (dict.fromkeys(part) for part in zip(*cells, strict=True))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    corner = say("rate ↓  direction →")
    table.add_column(corner.replace("  ", "\n") if folded else corner)
    for direction in directions:
        table.add_column(head(say(direction), [name for rate in rates for name in cells.get((direction, rate), ())]))
    for rate in rates:
        names = ("\n".join(cells.get((direction, rate), ())) for direction in directions)
        table.add_row(head(say(rate)), *names, end_section=True)
    return table


def _listed(cells: Cells) -> None:
    """The cells of the table one below another."""
    for (direction, rate), names in cells.items():
        print(say("{direction}, {rate}:", direction=say(direction), rate=say(rate)))
        print("\n".join(wrapped(f"    {', '.join(names)}", terminal().width, "    ")))


def _one(rule: Formula) -> str:
    from rich.cells import cell_len

    from ..formulas.latex import plain

    about = say(rule.doc.splitlines()[0]) if rule.doc else say("a rule of your own")
    width = terminal().width
    lines = [*wrapped(f"{rule.label}: {about}", width, "    "), ""]
    lines += [*(f"    {row}" for row in plain(rule.equations)), ""]
    if rule.direction:
        lines.append(say("direction  {direction}", direction=say(rule.direction)))
        lines.append(say("rate       {rate}", rate=say(rule.rate)))
    lines.append(
        say(
            "states     {states}  ({size} bytes per float32 weight)",
            states=", ".join(rule.states) or say("none"),
            size=4 * len(rule.states),
        )
    )
    lines.append(say("grew from  {parents}", parents=", ".join(rule.parents) or say("nothing before it")))
    start = " " * cell_len(say("source     {source}", source=""))
    lines += wrapped(say("source     {source}", source=say(rule.source or mark("none given"))), width, start)
    if rule.departs:
        start = " " * cell_len(say("departs    {departs}", departs=""))
        lines += wrapped(say("departs    {departs}", departs=say(rule.departs)), width, start)
    margin = max(map(len, rule.arguments), default=0)
    lines += ["", say("hyperparameters and options, with what they are unless changed:")]
    for key, value in rule.arguments.items():
        default = say("absent") if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        meaning = rule.meanings.get(key)
        words = f"{say(meaning.words)}; {say(meaning.range)}" if meaning else ""
        lines += wrapped(
            f"    {key:<{margin}}  {default}{' ' * max(1, 8 - cell_len(default))}{words}".rstrip(),
            width,
            " " * (margin + 14),
        )
    return "\n".join(lines)


def _facts(rule: Formula) -> dict[str, Any]:
    return {
        "name": rule.name,
        "label": rule.label,
        "words": rule.doc,
        "year": rule.year,
        "source": rule.source,
        "departs": rule.departs,
        "parents": list(rule.parents),
        "direction": rule.direction,
        "rate": rule.rate,
        "states": list(rule.states),
        "hyperparameters": {
            key: {"default": value}
            | ({"meaning": meaning.words, "range": meaning.range} if (meaning := rule.meanings.get(key)) else {})
            for key, value in rule.arguments.items()
        },
        "latex": rule.latex(),
    }
