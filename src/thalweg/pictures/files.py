"""A figure written into a file whose ending is its format; none of them needs a browser or a network to be made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import plotly.graph_objects as go

from .page import write_page
from .still import write_gif, write_mp4, write_still

WRITERS: Mapping[str, Callable[[go.Figure, Path], Path]] = {
    ".html": write_page,
    ".png": write_still,
    ".svg": write_still,
    ".gif": write_gif,
    ".mp4": write_mp4,
}


def write(figure: go.Figure, path: str | Path) -> Path:
    """Write the figure as .html (live, one file), .png or .svg (still), .gif or .mp4 (moving, if it has frames).

    Raises:
        ValueError: another ending, or something in the figure that only a browser draws.
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
        raise ValueError(f"{path} is not a picture's name: it must end in {', '.join(WRITERS)}.")
    return writer(figure, path)
