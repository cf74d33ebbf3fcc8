"""`thalweg picture`: the pictures of the gallery; and how every command writes a picture into a file.

Live as .html, still as .png or .svg, moving as .gif or .mp4.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..files import put
from ..language import mark, say
from .listing import columns, print_table
from .options import Json
from .result import check_report, print_json, writing

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ..gallery.registry import Picture

EXAMPLE = "Example: thalweg picture kullback-leibler -o kl.svg"
STILL = (".html", ".png", ".svg")
MOVING = (*STILL, ".gif", ".mp4")
RACE = "race"  # a page and not a figure
LONG = ("sharp-and-flat-minima",)  # whose studies take a minute; the others take seconds
_WORDS = mark("Rules race down surfaces on a page of its own: drag the start, change rates, play, turn it in space.")
Drawn = Annotated[Path | None, typer.Option("--output", "-o", help="Draw it into this .html, .png or .svg file.")]


def picture(
    name: Annotated[str | None, typer.Argument(help="A picture, e.g. family-tree; all of them unless given.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Draw it into this .html, .png, .svg, .gif or .mp4 file; NAME.html unless given."
        ),
    ] = None,
    code: Annotated[bool, typer.Option("--code", help="Print the lines that make it; draw nothing.")] = False,
    json: Json = False,
) -> None:
    """List the pictures of the gallery, or draw one of them."""
    if name == RACE and not (code or json):
        _write_race(output)
        return
    from .. import gallery

    if name is None and (output is not None or code):
        raise UsageError("the picture to draw is missing; name one, e.g. thalweg picture family-tree.")
    chosen = list(gallery.PICTURES.values()) if name is None else [gallery.get(name)]
    if json:
        rows = [{"name": p.name, "section": p.section, "words": p.words, "code": p.code} for p in chosen]
        print_json(rows if name is None else rows[0])
    elif code:
        print(chosen[0].code)
    elif name is None:
        _list(chosen)
    else:
        target = _target(chosen[0].name, output)
        check_picture(target, MOVING)
        if chosen[0].name in LONG:
            typer.echo(
                say("{name} trains its models first, which takes about a minute.", name=chosen[0].name), err=True
            )
        write_picture(target, chosen[0].make)
        print(target)


def _target(name: str, output: Path | None) -> Path:
    """Where to draw: a file that was named is replaced, and no other."""
    target = output or Path(f"{name}.html")
    if output is None and target.exists():
        raise UsageError("{file} exists already; say where to draw with -o.", file=target)
    return target


def _write_race(output: Path | None) -> None:
    """The race of the studio as one file."""
    target = _target(RACE, output)
    check_picture(target, (".html",))
    from ..studio.single import race

    with writing(target):
        put(target, race().encode())
    print(target)


def _list(pictures: Sequence[Picture]) -> None:
    rows = [(one.name, one.words.split("\n\n")[0].replace("\n", " ")) for one in pictures]
    table = columns(("picture", "what there is to see"), [*rows, (RACE, say(_WORDS))], whole=("picture",))
    for row, (one, after) in zip(table.rows, pairwise([*pictures, None]), strict=False):
        row.end_section = after is None or one is None or after.section != one.section
    print_table(table)
    print(say("One of them: thalweg picture family-tree -o tree.svg; --code shows its lines."))


def check_picture(path: Path | None, endings: tuple[str, ...] = STILL) -> None:
    """Refuse a file that could not be written, before any work is done for it."""
    if path is None:
        return
    if path.suffix.lower() not in endings:
        allowed = say(" or ").join(filter(None, [", ".join(endings[:-1]), endings[-1]]))
        raise UsageError("{file} cannot name a picture: it must end in {endings}.", file=path, endings=allowed)
    if path.suffix.lower() == ".mp4":
        from importlib.util import find_spec

        if find_spec("imageio_ffmpeg") is None:
            raise UsageError("{file} needs imageio-ffmpeg: pip install 'thalweg[video]', or name a .gif.", file=path)
    check_report(path)


def write_picture(path: Path | None, figure: Callable[[], go.Figure]) -> None:
    """Draw into the checked file, if one is given, as its ending says; a page needs no network, no ending a browser."""
    if path is None:
        return
    from ..pictures.files import write
    from ..pictures.still.fonts import readable

    words = path.suffix.lower() in (".html", ".svg")  # for which the reader's program finds fonts
    with writing(path), contextlib.nullcontext() if words else readable(path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(figure(), path)
