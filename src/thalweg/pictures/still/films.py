"""Pictures that move, drawn frame by frame into a .gif or .mp4 file."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..moving import PACE, REST
from ..style import INK, MUTED
from .drawing import Drawing


def images(figure: go.Figure, scale: float = 1.0, most: int = 120) -> Iterator[np.ndarray]:
    """Each frame as (height, width, 3) bytes; every second, third … one where there are more than `most`.

    The last is always among them. A figure without frames is one image.
    """
    drawing = Drawing(figure)
    if not figure.frames:
        yield drawing.image(scale)
        return
    with drawing.styled():
        yield from _frames(drawing, scale, most)


def _frames(drawing: Drawing, scale: float, most: int) -> Iterator[np.ndarray]:
    figure = drawing.source
    drawing.figure.set_dpi(100 * scale)
    canvas: Any = drawing.figure.canvas
    places = {place for frame in figure.frames for place in frame.traces or range(len(frame.data))}
    # what lies over something that moves stays over it
    above = [k for k in range(min(places) + 1, len(figure.data)) if figure.data[k].type == "scatter"]
    places |= {*above}
    for place in places:
        for artist in drawing.artists[place]:
            artist.remove()
        drawing.artists[place] = []
    ground = _ground(drawing, canvas)
    prefix = figure.layout.sliders[0].currentvalue.prefix if figure.layout.sliders else ""
    traces = {place: copy.deepcopy(figure.data[place]) for place in places}
    step = -(-len(figure.frames) // most)
    last = len(figure.frames) - 1
    for count, frame in enumerate(figure.frames):
        for place, change in zip(frame.traces or range(len(frame.data)), frame.data, strict=True):
            traces[place].update(change.to_plotly_json())
        if count % step and count != last:
            continue
        canvas.restore_region(ground)
        drawing.clock.set_text(f"{prefix}{frame.name}")
        artists = [artist for place in sorted(places) for artist in drawing.draw(traces[place], place)]
        for artist in artists:
            artist.axes.draw_artist(artist)
        drawing.figure.draw_artist(drawing.clock)
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()
        for artist in artists:
            artist.remove()


def _ground(drawing: Drawing, canvas: Any) -> Any:
    """What stands still, drawn once; from then on the layout stays."""
    canvas.draw()
    drawing.figure.set_layout_engine("none")
    for axes in drawing.panels.values():
        axes.autoscale(False)
    canvas.draw()
    return canvas.copy_from_bbox(drawing.figure.bbox)


def write_gif(figure: go.Figure, path: str | Path, scale: float = 1.0, most: int = 120) -> Path:
    """All frames as a .gif file that repeats and rests on its last frame."""
    from PIL import Image
    from scipy.spatial import cKDTree

    pixels = list(images(figure, scale, most))
    palette = _palette(figure, pixels[-1])
    # the number of every colour, of which 6 bits of red, green and blue are read
    nearest, place = cKDTree(palette).query(_CELLS + 2)[1].astype(np.uint8), np.array([1 << 12, 1 << 6, 1])
    exact = palette[::-1].astype(int) >> 2  # those of the palette are themselves, the paper above all
    nearest[exact @ place] = np.arange(len(palette))[::-1]
    indexed = [Image.fromarray(nearest[(image.astype(np.int32) >> 2) @ place]) for image in pixels]
    for image in indexed:
        image.putpalette(palette.astype(np.uint8).flatten().tolist())
    pace = [PACE * -(-len(figure.frames) // most)] * (len(indexed) - 1)
    indexed[0].save(path, save_all=True, append_images=indexed[1:], duration=[*pace, REST], loop=0, optimize=True)
    return Path(path)


_CELLS = np.stack(np.meshgrid(*[np.arange(0, 256, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def _palette(figure: go.Figure, picture: np.ndarray) -> np.ndarray:
    """The colours that the figure names, also thinned by the paper as on the edge of a line, and those of the ground.

    A colour for each of the 256 numbers of a .gif; taken by how often they occur, thin lines would lose theirs.
    """
    from PIL import Image

    paper = picture[0, 0].astype(float)
    names = set(re.findall(r"#[0-9A-Fa-f]{6}", json.dumps([t.to_plotly_json() for t in figure.data], default=str)))
    tints = np.array([list(bytes.fromhex(name[1:])) for name in sorted({*names, INK, MUTED})])
    mixed = np.concatenate([paper + (tints - paper) * share for share in (1, 0.75, 0.5, 0.25)])[:160]
    common = Image.fromarray(picture).quantize(255 - len(mixed), dither=Image.Dither.NONE)
    ground = np.array(common.getpalette()).reshape(-1, 3)[: 255 - len(mixed)]
    palette = np.concatenate([[paper], mixed.round(), ground])
    return np.concatenate([palette, np.tile(paper, (256 - len(palette), 1))])


def write_mp4(figure: go.Figure, path: str | Path, scale: float = 2.0, most: int = 1200) -> Path:
    """All frames as an .mp4 file that plays everywhere; the last one stays for a while.

    Raises:
        ModuleNotFoundError: without imageio-ffmpeg; the extra `video` brings it.
    """
    try:
        import imageio_ffmpeg
    except ModuleNotFoundError as error:
        message = "an .mp4 file needs imageio-ffmpeg: pip install 'thalweg[video]', or write a .gif."
        raise ModuleNotFoundError(message) from error
    pixels = [image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2] for image in images(figure, scale, most)]
    pixels += [pixels[-1]] * (REST // PACE)
    options = {"quality": 8, "macro_block_size": 1, "output_params": ["-movflags", "+faststart"]}
    writer = imageio_ffmpeg.write_frames(str(path), pixels[0].shape[1::-1], fps=1000 / PACE, **options)
    writer.send(None)
    for image in pixels:
        writer.send(np.ascontiguousarray(image))
    writer.close()
    return Path(path)
