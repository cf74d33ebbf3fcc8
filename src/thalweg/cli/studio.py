"""`thalweg studio`: a local page to look and to try."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: thalweg studio runs/digits.db"


def studio(
    shown: Annotated[
        list[str] | None,
        typer.Argument(
            help="Stores to open, and problems to start studies on, as file.py:function or package.module:function."
        ),
    ] = None,
    folder: Annotated[Path, typer.Option(help="The folder of the stores that are listed; new ones go there.")] = Path(
        "runs"
    ),
    port: Annotated[
        int | None,
        typer.Option(
            help="Where it listens; 8642, or a free port where that is taken, unless given.", min=0, max=65535
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address it listens on, and the only one by which it can be asked.")
    ] = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address and open nothing.")] = False,
) -> None:
    """Open a local page: rules race down surfaces, studies are started and watched, formulas are read.

    The first line printed is its address, with the token that opens it. It needs: pip install 'thalweg[studio]'.
    """
    from ..studio.serving import serve

    serve(shown or (), folder, host, port, not no_browser)
