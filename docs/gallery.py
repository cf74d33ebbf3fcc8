"""Writes docs/gallery.md and its images: `make gallery`. Text and code of the page come from thalweg.gallery."""

from __future__ import annotations

import sys
from pathlib import Path

import plotly.graph_objects as go
from PIL import Image

from thalweg.gallery import PICTURES
from thalweg.pictures.still import write_gif, write_still

HERE = Path(__file__).parent
IMAGES = "images/gallery"
SCALE = 1.5  # pixels of a .png for each pixel of the figure
COLOURS = 128  # of a .png; flat pictures need no more
HEAD = """# Gallery

Every picture here is drawn from the real formulas, through the same kernels as training. The lines above each are the
very code that made it; `thalweg picture NAME -o FILE` makes it too, as a live page (.html), a still (.png, .svg) or a
film (.gif, .mp4). This page is written by `make gallery`.
"""
DENSE = ("contour", "heatmap", "surface")  # thousands of cells: smaller as .png


def ending(figure: go.Figure) -> str:
    """The smallest kind of file that shows the figure well."""
    if figure.frames:
        return "gif"
    points = sum(len(trace.x) for trace in figure.data if trace.type.startswith("scatter") and trace.x is not None)
    return "png" if points > 6000 or any(trace.type in DENSE for trace in figure.data) else "svg"


def page(endings: dict[str, str]) -> str:
    """The page; `endings` says for each picture which kind of file shows it."""
    parts, section = [HEAD], None
    for picture in PICTURES.values():
        if picture.section != section:
            section = picture.section
            parts.append(f"## {section}\n")
        words = picture.words
        alternative = words.split("\n\n")[0].replace("\n", " ").rstrip(".")
        parts.append(f"### {picture.name}\n\n{words}\n\n```py\n{picture.code}\n```\n")
        parts.append(f"![{alternative}]({IMAGES}/{picture.name}.{endings[picture.name]})\n")
    return "\n".join(parts)


def draw(name: str, folder: Path) -> str:
    """Draw one picture; the ending of the file."""
    figure = PICTURES[name].make()
    kind = ending(figure)
    file = folder / f"{name}.{kind}"
    if kind == "gif":
        write_gif(figure, file, most=60)
    else:
        write_still(figure, file, SCALE)
    if kind == "png":
        Image.open(file).quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.name:<40} {file.stat().st_size / 1000:6.0f} kB", flush=True)
    return kind


if __name__ == "__main__":
    folder = HERE / IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    found = {file.stem: file.suffix[1:] for file in folder.iterdir()}
    asked = sys.argv[1:] or list(PICTURES)  # some by name, or all
    for file in folder.iterdir():
        if file.stem in asked or file.stem not in PICTURES:
            file.unlink()
    found |= {name: draw(name, folder) for name in asked}
    (HERE / "gallery.md").write_text(page(found), encoding="utf-8")
