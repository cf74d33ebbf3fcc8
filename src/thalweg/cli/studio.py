"""`thalweg studio`: a local page to look and to try."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLE = "Example: thalweg studio --no-browser"


def studio(
    port: Annotated[
        int | None,
        typer.Option(
            help="Where it listens; 8642, or a free port where that is taken, unless given.",
            min=0,
            max=65535,
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address it listens on, and the only one by which it can be asked.")
    ] = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address and open nothing.")] = False,
) -> None:
    """Open a local page where rules race down surfaces.

    The first line printed is its address, with the token that opens it. It needs: pip install 'thalweg[studio]'.
    """
    from ..studio.serving import serve

    serve(host, port, not no_browser)
