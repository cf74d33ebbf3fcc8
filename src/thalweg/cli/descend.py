"""`thalweg descend`: rules go down a surface; and `thalweg surfaces`, the list of those that are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import SurfaceError, UsageError
from .options import Everything, Json
from .result import finite, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from ..landscapes import Path as Descent

EXAMPLE = 'Example: thalweg descend "x*sin(x)" --start 2.5 --start 1.5 --rate 0.25 --steps 10 -o path.html'
LIST_EXAMPLE = "Example: thalweg surfaces"
SHOWN = 40  # paths in the table; --json has all


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
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Draw it into this .html, .png, .svg, .gif or .mp4 file.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Of the picture: curve, levels, surface, race, arrows, lookahead or losses.")
    ] = None,
    json: Everything = False,
) -> None:
    """Go down a surface from every start, with every optimizer, at every rate; draw the paths or list their ends."""
    from ..landscapes.descents import descend as walk
    from .picture import MOVING, check_picture, write_picture

    if output is not None:
        check_picture(output, MOVING)
    elif kind is not None:
        raise UsageError(f"--kind {kind} is for a picture; say where to draw it with -o, e.g. -o path.html.")
    rules, rates = _rules(optimizer, rate)
    path = walk(surface, _starts(start), rules, rates, schedule, steps, noise=noise, seed=seed)
    if output is not None:
        shape = kind or ("race" if output.suffix.lower() in (".gif", ".mp4") else None)
        write_picture(output, lambda: path.picture(shape), MOVING)
    if json:
        print_json(_facts(path), indent=None)
    elif output is not None:
        print(output)
    else:
        _print(path)


def _starts(texts: list[str] | None) -> list[Any] | None:
    if not texts:
        return None
    points = []
    for text in texts:
        try:
            points.append([float(part) for part in text.split(",")])
        except ValueError as error:
            raise SurfaceError(
                f"start {text!r} cannot be read: give coordinates separated by commas, e.g. -1.5,2."
            ) from error
    return points[0] if len(points) == 1 else points


def _rules(optimizer: str, rate: str | None) -> tuple[Any, list[float] | None]:
    from ..plan.plan import parse_rates
    from .result import split

    rules = [_rule(name) for name in split(optimizer)]
    if rate is None or "=" not in rate:
        return rules, None if rate is None else parse_rates(rate)
    if optimizer != "sgd":
        raise UsageError(f"--rate {rate} names its optimizers; leave --optimizer out.")
    pairs = [part.rpartition("=") for part in split(rate)]
    wrong = next((name + sign + value for name, sign, value in pairs if not (name and value)), None)
    if wrong is not None:
        raise UsageError(f"--rate {wrong!r} is not of the form NAME=RATE; e.g. sgd=0.1,adam=0.3.")
    return {_rule(name.strip()): parse_rates(value) for name, _, value in pairs}, None


def _rule(name: str) -> Any:
    """The name, or the formula that file.py:formula names."""
    from ..problem.source import is_spec, opened

    if not is_spec(name):
        return name
    with opened(name, SurfaceError) as source:
        return source.get()


def _facts(path: Descent) -> dict[str, Any]:
    rows = []
    for (s, o, r), diverged in _each(path):
        stop = path.steps + 1 if diverged < 0 else diverged
        rows.append(
            {
                "start": path.starts[s].tolist(),
                "optimizer": path.optimizers[o],
                "lr": finite(path.rates[o, r]),
                "diverged": None if diverged < 0 else diverged,
                "points": path.all_points[s, o, r, :stop].tolist(),
                "losses": path.all_losses[s, o, r, :stop].tolist(),
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


def _print(path: Descent) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    noise = f", noise {path.noise:g} (seed {path.seed})" if path.noise else ""
    schedule = "" if path.schedule.label == "constant" else f", {path.schedule.label}"
    words = f"{path.surface}, {path.steps} step{'s' * (path.steps > 1)}, {path.fairness}{schedule}{noise}"
    console.print(words, style="bold", markup=False)
    console.print()
    console.print(_ends(path))
    hidden = path.all_diverged.size - SHOWN
    if hidden > 0:
        console.print(f"… and {hidden:,} more; --json has all of them.", style="dim")


def _ends(path: Descent) -> Table:
    from rich import box
    from rich.table import Table

    from ..pictures.numbers import short

    def point(values: Any) -> str:
        return ", ".join(short(float(v), 4 if len(values) == 1 else 3) for v in values)

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("optimizer", "rate", "start", "end", "loss", ""):
        table.add_column(name, justify="left" if name in ("optimizer", "") else "right", overflow="fold")
    for (s, o, r), diverged in _each(path)[:SHOWN]:
        last = path.steps if diverged < 0 else diverged - 1
        rate = path.rates[o, r]
        table.add_row(
            path.optimizers[o],
            "" if math.isnan(rate) else short(rate),
            point(path.starts[s]),
            point(path.all_points[s, o, r, last]),
            short(float(path.all_losses[s, o, r, last])),
            "" if diverged < 0 else f"diverged at {diverged}",
        )
    return table


def surfaces(json: Json = False) -> None:
    """List the surfaces that are known by name."""
    from ..landscapes import SURFACES

    entries = {name: (make(), (make.__doc__ or "").strip().splitlines()[0]) for name, make in SURFACES.items()}
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
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("surface", "in", "what it is"):
        table.add_column(name, no_wrap=name == "surface", overflow="fold")
    for name, (one, words) in entries.items():
        table.add_row(name, ", ".join(one.variables), words)
    Console(highlight=False).print(table)
    print("One of them: thalweg descend himmelblau. With arguments: 'quadratic(condition=100)'.")
