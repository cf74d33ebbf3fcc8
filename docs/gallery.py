"""Writes docs/gallery.md, its Korean sister and the images: `make gallery`. Text and code come from thalweg.gallery."""

from __future__ import annotations

import sys
from pathlib import Path

import plotly.graph_objects as go
from PIL import Image

from thalweg.gallery import PICTURES
from thalweg.language import say
from thalweg.languages import use_language
from thalweg.pictures.still import write_gif, write_still

HERE = Path(__file__).parent
IMAGES = "images/gallery"
SCALE = 1.5  # pixels of a .png for each pixel of the figure
COLOURS = 128  # of a .png; flat pictures need no more
HEADS = {
    "gallery.md": """# Gallery

Every picture here is drawn from the real formulas, through the same kernels as training. The lines above each are the
very code that made it; `thalweg picture NAME -o FILE` makes it too, as a live page (.html), a still (.png, .svg) or a
film (.gif, .mp4). This page is written by `make gallery`.
""",
    "gallery.ko.md": """# 그림 모음

여기 있는 그림은 모두 실제 수식에서, 학습과 같은 커널로 그렸습니다. 그림 위의 코드가 바로 그 그림을 만든 코드입니다.
`thalweg picture NAME -o FILE --language ko`로도 그릴 수 있습니다: 움직이는 페이지(.html), 정지 그림(.png, .svg),
영상(.gif, .mp4). 이 페이지는 `make gallery`가 씁니다.
""",
}
DENSE = ("contour", "heatmap", "surface")  # thousands of cells: smaller as .png


def ending(figure: go.Figure) -> str:
    """The smallest kind of file that shows the figure well."""
    if figure.frames:
        return "gif"
    points = sum(len(trace.x) for trace in figure.data if trace.type.startswith("scatter") and trace.x is not None)
    return "png" if points > 6000 or any(trace.type in DENSE for trace in figure.data) else "svg"


def page(name: str, endings: dict[str, str]) -> str:
    """A page, in the language of its name; `endings` says for each picture which kind of file shows it."""
    use_language("ko" if name.endswith(".ko.md") else "en")
    parts, section = [HEADS[name]], None
    for picture in PICTURES.values():
        if picture.section != section:
            section = picture.section
            parts.append(f"## {say(section)}\n")
        words = picture.words
        alternative = words.split("\n\n")[0].replace("\n", " ").rstrip(".")
        parts.append(f"### {picture.name}\n\n{words}\n\n```py\n{picture.code}\n```\n")
        parts.append(f"![{alternative}]({IMAGES}/{picture.name}.{endings[picture.name]})\n")
    use_language("auto")
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
    for name in HEADS:
        (HERE / name).write_text(page(name, found), encoding="utf-8")
