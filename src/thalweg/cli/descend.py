"""`thalweg descend`: rules go down a surface; and `thalweg surfaces`, the list of those that are known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import SurfaceError, UsageError
from ..files import put
from ..language import mark, say
from .listing import columns, headline, print_table
from .options import Bounds, Everything, Json
from .result import bounds_of, check_one, check_report, print_json, writing

if TYPE_CHECKING:
    from rich.table import Table

    from ..landscapes import Path as Descent

EXAMPLE = 'Example: thalweg descend "x*sin(x)" --start 2.5 --start 1.5 --rate 0.25 --steps 10 -o path.html'
LIST_EXAMPLE = "Example: thalweg surfaces"
SHOWN = 40  # paths in the table; --json has all
DIGITS = {1: 5, 2: 4}  # variables → digits of the numbers of a step, that they fit beside each other


def descend(
    surface: Annotated[
        str, typer.Argument(help="A surface's name (see `thalweg surfaces`), also with arguments, or an expression.")
    ],
    start: Annotated[
        list[str] | None, typer.Option(help="A point, coordinates separated by commas; may be given several times.")
    ] = None,
    optimizer: Annotated[
        str, typer.Option(help="Names, momentum(momentum=0.5) or file.py:formula, separated by commas.")
    ] = "sgd",
    rate: Annotated[
        str | None,
        typer.Option(help="A rate, a list, LOW:HIGH:COUNT, or sgd=0.1,adam=0.3; each rule's own default unless given."),
    ] = None,
    schedule: Annotated[str, typer.Option(help="Of the rate; see `thalweg schedule`.")] = "constant",
    steps: Annotated[int, typer.Option(help="Taken by every path.")] = 100,
    noise: Annotated[
        float, typer.Option(help="Standard deviation of what is added to gradients, as by mini-batches.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    bounds: Bounds = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Draw it into this .html, .png, .svg, .gif or .mp4 file, or write its steps as .csv."
        ),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Of the picture: curve, levels, surface, race, arrows, lookahead or losses.")
    ] = None,
    steps_table: Annotated[
        bool, typer.Option("--steps-table", help="Print every step: the point, f, its gradient and what is added.")
    ] = False,
    json: Everything = False,
) -> None:
    """Go down a surface from every start, with every optimizer, at every rate; draw the paths or list their ends."""
    from ..landscapes.descents import descend as walk
    from .picture import MOVING, check_picture, write_picture

    written = output is not None and output.suffix.lower() == ".csv"
    if output is not None:
        check_report(output) if written else check_picture(output, (*MOVING, ".csv"))
    if kind is not None and (output is None or written):
        raise UsageError("--kind {kind} is for a picture; say where to draw it with -o, e.g. -o path.html.", kind=kind)
    check_one(steps_table=steps_table, json=json)
    rules, rates = _rules(optimizer, rate)
    sides = None if bounds is None else bounds_of(bounds)
    path = walk(surface, _starts(start), rules, rates, schedule, steps, noise=noise, seed=seed, bounds=sides)
    if output is not None and written:
        with writing(output):
            put(output, path.steps_table().to_csv(index=False).encode())
    elif output is not None:
        shape = kind or ("race" if output.suffix.lower() in (".gif", ".mp4") else None)
        write_picture(output, lambda: path.picture(shape))
    if json:
        print_json(_facts(path), indent=None)
    elif steps_table:
        _print(path, _steps(path))
    elif output is not None:
        print(output)
    else:
        _print(path, [_ends(path)])
        if path.rising.any():
            print(say("diverging: the loss rises with every step, and a smaller rate is needed."))


def _starts(texts: list[str] | None) -> list[Any] | None:
    if not texts:
        return None
    points = []
    for text in texts:
        try:
            points.append([float(part) for part in text.split(",")])
        except ValueError as error:
            raise SurfaceError(
                "start {text} cannot be read: give coordinates separated by commas, e.g. -1.5,2.", text=repr(text)
            ) from error
    return points[0] if len(points) == 1 else points


def _rules(optimizer: str, rate: str | None) -> tuple[Any, list[float] | None]:
    from ..plan.plan import parse_rates
    from .result import another_form, rule_of, split

    rules = [rule_of(name, SurfaceError) for name in split(optimizer)]
    if rate is None or "=" not in rate:
        return rules, None if rate is None else parse_rates(rate)
    if optimizer != "sgd":
        raise UsageError("--rate {rate} names its optimizers; leave --optimizer out.", rate=rate)
    pairs = [part.rpartition("=") for part in split(rate, "0.01,adam=0.1")]
    wrong = next((name + sign + value for name, sign, value in pairs if not (name and value)), None)
    if wrong is not None:
        raise another_form(wrong, "NAME=RATE", "sgd=0.1,adam=0.3")
    return {rule_of(name.strip(), SurfaceError): parse_rates(value) for name, _, value in pairs}, None


def _facts(path: Descent) -> dict[str, Any]:
    rows = []
    for (s, o, r), diverged in _each(path):
        stop = path.steps + 1 if diverged < 0 else diverged
        rows.append(
            {
                "start": path.starts[s],
                "optimizer": path.optimizers[o],
                "lr": path.rates[o, r],
                "diverged": None if diverged < 0 else diverged,
                "rising": bool(path.rising[s, o, r]),
                "points": path.all_points[s, o, r, :stop],
                "losses": path.all_losses[s, o, r, :stop],
            }
        )
    return {
        "surface": path.surface.name,
        "variables": path.surface.variables,
        "schedule": path.schedule.label,
        "steps": path.steps,
        "noise": path.noise,
        "seed": path.seed,
        "rates": path.fairness,
        "paths": rows,
    }


def _each(path: Descent) -> list[tuple[tuple[int, int, int], int]]:
    import numpy as np

    return [((s, o, r), int(step)) for (s, o, r), step in np.ndenumerate(path.all_diverged)]


def _print(path: Descent, tables: Iterable[Table]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    noise = say(", noise {noise:g} (seed {seed})", noise=path.noise, seed=path.seed) if path.noise else ""
    schedule = "" if path.schedule.label == "constant" else f", {path.schedule.label}"
    words = say(
        "{surface}, {steps} step{s}, {fairness}{schedule}{noise}",
        surface=path.surface,
        steps=path.steps,
        s="s" * (path.steps > 1),
        fairness=mark(path.fairness),
        schedule=schedule,
        noise=noise,
    )
    console.print(words, style="bold", markup=False)
    for table in tables:
        console.print()
        console.print(table)
    hidden = path.all_diverged.size - SHOWN
    if hidden > 0:
        console.print(say("… and {hidden:,} more; --json has all of them.", hidden=hidden), style="dim")


def _point(values: Any) -> str:
    from ..pictures.numbers import short

    return ", ".join(short(float(v), 4 if len(values) == 1 else 3) for v in values)


def _ends(path: Descent) -> Table:
    from ..pictures.numbers import short

    rows = []
    for (s, o, r), diverged in _each(path)[:SHOWN]:
        last = path.steps if diverged < 0 else diverged - 1
        rate = path.rates[o, r]
        rows.append(
            (
                path.optimizers[o],
                "" if math.isnan(rate) else short(rate),
                _point(path.starts[s]),
                _point(path.all_points[s, o, r, last]),
                short(float(path.all_losses[s, o, r, last])),
                say("diverged at {step}", step=diverged)
                if diverged >= 0
                else say("diverging")
                if path.rising[s, o, r]
                else "",
            )
        )
    names = ("optimizer", "rate", "start", mark("end"), "loss", "")
    return columns(names, rows, right=("rate", "start", "end", "loss"))


def _steps(path: Descent) -> Iterator[Table]:
    """A table of each path: a row for every step, from 0, the start."""
    from ..pictures.numbers import short

    table, names = path.steps_table(), path.surface.variables
    digits = DIGITS.get(len(names), 3)
    sign = "∂f/∂" if len(names) > 1 else "df/d"
    headings = {"step": "k"} | {v: v for v in names} | {"loss": f"f({', '.join(names)})"}
    headings |= {f"gradient_{v}": f"{sign}{v}" for v in names} | {f"update_{v}": f"Δ{v}" for v in names}
    headings |= {"rate": "rate"} if path.schedule.label != "constant" else {}
    by_path = table.groupby(["start", "optimizer", "lr"], sort=False, dropna=False)
    for (s, optimizer, lr), rows in itertools.islice(by_path, SHOWN):
        cells = [
            [f"{v:g}" if name == "step" else "" if math.isnan(v) else short(v, digits) for name, v in row.items()]
            for row in rows[list(headings)].to_dict("records")
        ]
        rate = "" if math.isnan(lr) else say(", rate {lr}", lr=short(lr))
        title = say("{optimizer}{rate}, from {start}", optimizer=optimizer, rate=rate, start=_point(path.starts[s]))
        yield columns(list(headings.values()), cells, right=headings.values(), title=title)


def surfaces(json: Json = False) -> None:
    """List the surfaces that are known by name."""
    from ..landscapes import SURFACES

    entries = {name: (make(), headline(make)) for name, make in SURFACES.items()}
    if json:
        rows = [
            {
                "name": name,
                "variables": one.variables,
                "bounds": one.bounds,
                "minima": one.minima,
                "start": one.start,
                "latex": one.latex(),
                "source": one.source,
                "words": words,
            }
            for name, (one, words) in entries.items()
        ]
        print_json(rows)
        return
    rows = [(name, ", ".join(one.variables), say(words)) for name, (one, words) in entries.items()]
    print_table(columns(("surface", "in", "what it is"), rows, whole=("surface",)))
    print(say("One of them: thalweg descend himmelblau. With arguments: 'quadratic(condition=100)'."))
