"""A figure written into a file whose ending is its format; none of them needs a browser or a network to be made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import plotly.graph_objects as go


def _page(figure: go.Figure, path: Path) -> Path:
    from .page import write_page

    return write_page(figure, path)


def _still(figure: go.Figure, path: Path) -> Path:
    from .still import write_still

    return write_still(figure, path)


def _gif(figure: go.Figure, path: Path) -> Path:
    from .still import write_gif

    return write_gif(figure, path)


def _mp4(figure: go.Figure, path: Path) -> Path:
    from .still import write_mp4

    return write_mp4(figure, path)


WRITERS: Mapping[str, Callable[[go.Figure, Path], Path]] = {
    ".html": _page,
    ".png": _still,
    ".svg": _still,
    ".gif": _gif,
    ".mp4": _mp4,
}


def write(figure: go.Figure, path: str | Path) -> Path:
    """Write the figure as .html (live, one file), .png or .svg (still), .gif or .mp4 (moving, if it has frames).

    Raises:
        ValueError: another ending.
        ModuleNotFoundError: .mp4 without imageio-ffmpeg.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> file = write(go.Figure(go.Scatter(y=[1, 4, 9])), f"{tempfile.mkdtemp()}/squares.png")
    >>> file.read_bytes()[:4]
    b'\\x89PNG'
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise ValueError(f"{path} is no picture's name: it must end in {', '.join(WRITERS)}.")
    return writer(figure, path)
