"""A picture written where the user wants it: live as .html, still as .png or .svg, moving as .gif or .mp4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError, WorkError
from .result import check_report

if TYPE_CHECKING:
    import plotly.graph_objects as go

STILL = (".html", ".png", ".svg")
MOVING = (*STILL, ".gif", ".mp4")


def check_picture(path: Path, endings: tuple[str, ...] = STILL) -> None:
    """Refuse a file that could not be written, before any work is done for it."""
    if path.suffix.lower() not in endings:
        raise UsageError(
            f"{path} is no picture's name: it must end in {', '.join(endings[:-1])} or {endings[-1]}."
        )
    if path.suffix.lower() == ".mp4":
        from importlib.util import find_spec

        if find_spec("imageio_ffmpeg") is None:
            raise UsageError(f"{path} needs imageio-ffmpeg: pip install 'thalweg[video]', or name a .gif.")
    check_report(path)


def write_picture(path: Path, figure: Callable[[], go.Figure], endings: tuple[str, ...] = STILL) -> None:
    """Draw into the file as its ending says; a page needs no network, and no ending needs a browser."""
    check_picture(path, endings)
    from ..pictures.files import write

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(figure(), path)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror or error}.") from error
