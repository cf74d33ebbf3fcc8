"""A picture written where the user wants it: live as .html, still as .png or .svg."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError, WorkError
from .result import check_report

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ..pictures.still import Panel

ENDINGS = (".html", ".png", ".svg")


def check_picture(path: Path) -> None:
    """Refuse a file that could not be written, before any work is done for it."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"{path} is no picture's name: it must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}."
        )
    check_report(path)


def write_picture(path: Path, live: Callable[[], go.Figure], still: Callable[[], Sequence[Panel]]) -> None:
    """Draw into the file, live or still as its ending says; the page needs no network."""
    check_picture(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".html":
            live().write_html(path, include_plotlyjs=True)
        else:
            from ..pictures.still import write_still

            write_still(still(), path)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror or error}.") from error
