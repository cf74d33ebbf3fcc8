"""How every picture looks: one colour, dash and marker per optimizer, the same in all pictures and all reports.

Colours are those of Okabe and Ito, which the colour-blind can tell apart; dash and marker repeat the message for
those who print in grey. Two of the eight cannot be seen on every ground: yellow on white and black on dark. So
figures are made for light paper, and `DARK` says what each of their colours becomes on dark.

Source: Okabe & Ito 2008, Color Universal Design, https://jfly.uni-koeln.de/color/.
"""

from __future__ import annotations

import html
import math
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from .numbers import short

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
YELLOW_ON_PAPER = "#B3A400"  # the same hue, dark enough for a line on white

PAPER, INK, MUTED, GRID, SHADE = "#FFFFFF", "#1D1F23", "#62666E", "#E7E7E4", "#F5F4F1"
HIGH, LEVEL = ("#CBD8E4", "#A9BBCC")  # the ground of paths, where it is high, and its level lines
SURFACE = "Cividis"  # of sheets in space and maps of numbers; alike on both grounds
FONT = (
    'system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans KR", "Noto Sans CJK KR", '
    '"Apple SD Gothic Neo", "Malgun Gothic", sans-serif'
)
BAND = 0.12  # opacity of every band
FADES = (BAND, 2 * BAND, 0.3, 0.35, 0.4, 0.45, 0.6, 0.8)  # each has its counterparts on dark


@dataclass(frozen=True)
class Look:
    """What marks one optimizer in every picture; `dash` and `marker` are Plotly's names."""

    colour: str
    dash: str
    marker: str

    @property
    def band(self) -> str:
        """The colour of the band around this optimizer's line."""
        return faded(self.colour)


LOOKS: Mapping[str, Look] = {
    "sgd": Look(BLACK, "dot", "circle"),
    "momentum": Look(ORANGE, "dash", "square"),
    "nesterov": Look(YELLOW_ON_PAPER, "dashdot", "diamond"),
    "adagrad": Look(PURPLE, "longdash", "triangle-up"),
    "adadelta": Look(SKY, "longdashdot", "triangle-down"),
    "rmsprop": Look(GREEN, "8px,3px,2px,3px,2px,3px", "cross"),
    "adam": Look(BLUE, "solid", "hexagon"),
    "adamw": Look(VERMILION, "14px,3px", "star"),
}
_COLOURS = tuple(look.colour for look in LOOKS.values())
_DASHES = tuple(look.dash for look in LOOKS.values())
_MARKERS = ("pentagon", "star-diamond", "hourglass", "triangle-right", "bowtie", "triangle-left", "star-square")


def look(name: str, skip: int = 0) -> Look:
    """The look of one optimizer: from the table, or made from its name, the same on every machine.

    `skip` moves a made look on to the next colour; `looks` uses it where two names would get the same one.

    >>> look("adam")
    Look(colour='#0072B2', dash='solid', marker='hexagon')
    >>> look("lion") == look("lion"), look("lion").colour == look("lion", skip=1).colour
    (True, False)
    """
    if name in LOOKS:
        return LOOKS[name]
    slot = zlib.crc32(name.encode()) + skip
    return Look(_COLOURS[slot % 8], _DASHES[slot // 8 % 8], _MARKERS[slot % 7])


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Looks for the optimizers of one picture: made ones take a colour nobody has, as long as there is one.

    A variant looks like its rule where the picture has nothing else of that rule.

    >>> made = looks(["adam", "adam(beta2=0.9)", "adam(beta2=0.99)", "lion", "sgd"])
    >>> len({made[name].colour for name in made}), made["adam"] == look("adam")
    (5, True)
    """
    names = list(dict.fromkeys(names))
    rules = [name.partition("(")[0] for name in names]
    found = {
        name: LOOKS[rule]
        for name, rule in zip(names, rules, strict=True)
        if name in LOOKS or (rule in LOOKS and rules.count(rule) == 1)
    }
    taken = {one.colour for one in found.values()}
    for name in sorted(set(names) - set(found)):
        candidates = [look(name, skip) for skip in range(len(_COLOURS))]
        found[name] = next((one for one in candidates if one.colour not in taken), candidates[0])
        taken.add(found[name].colour)
    return {name: found[name] for name in names}


_PLAIN = (
    (BLUE, "solid"),
    (VERMILION, "dash"),
    (GREEN, "dot"),
    (PURPLE, "dashdot"),
    (ORANGE, "longdash"),
    (SKY, "longdashdot"),
    (BLACK, "8px,3px,2px,3px"),
)


def plain_looks(labels: Iterable[str]) -> dict[str, Look]:
    """Looks for lines that are no optimizers, told apart in the order in which they come.

    >>> [look.dash for look in plain_looks(["entropy", "divergence"]).values()]
    ['solid', 'dash']
    """
    names = list(dict.fromkeys(labels))
    return {name: Look(*_PLAIN[k % 7], _MARKERS[k % 7]) for k, name in enumerate(names)}


def faded(colour: str, opacity: float = BAND) -> str:
    """`#RRGGBB` as a see-through `rgba(...)`, with one of the `FADES`.

    >>> faded("#0072B2")
    'rgba(0,114,178,0.12)'
    """
    if opacity not in FADES:
        raise ValueError(f"a colour of opacity {opacity} would stay as it is on dark; add it to FADES")
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


_ON_DARK = {
    PAPER: "#15171B",
    INK: "#ECEDEF",
    MUTED: "#A2A7B0",
    GRID: "#2D3037",
    SHADE: "#1D2025",
    BLACK: "#F4F4F5",
    HIGH: "#34434F",
    LEVEL: "#4A5C6B",
    YELLOW_ON_PAPER: YELLOW,
    BLUE: "#3E9BD8",
}
DARK: Mapping[str, str] = _ON_DARK | {
    faded(light, opacity): faded(dark, opacity) for light, dark in _ON_DARK.items() for opacity in FADES
}


def darkened(figure: go.Figure) -> go.Figure:
    """The same figure for a dark ground; every entry whose key ends in `color`, and scales, go through `DARK`."""

    def walk(node: Any, key: str = "") -> Any:
        if isinstance(node, dict):
            return {name: walk(value, name) for name, value in node.items()}
        if isinstance(node, (list, tuple)):
            return [walk(value, key) for value in node]
        tinted = isinstance(node, str) and key.endswith(("color", "colorscale"))
        return DARK.get(node, node) if tinted else node

    return go.Figure(walk(figure.to_dict()))


def text(words: object) -> str:
    """Words from outside as Plotly shows them literally: Plotly reads `<b>` and `&lt;` in its labels."""
    return html.escape(str(words), quote=False)


def plain(words: str) -> str:
    """Plotly's marked-up words as they are read.

    >>> plain("<b>w</b> &lt; 1<br>t")
    'w < 1\\nt'
    """
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<br ?/?>", "\n", words)))


_PARTS = (
    (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9),
    (1, 1.2, 1.5, 2, 3, 4, 6, 8),
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)  # fine to coarse


def log_ticks(
    low: float, high: float, per_decade: tuple[float, ...] | None = None, most: int = 7
) -> dict[str, list[Any]]:
    """Tick values and labels of one size from `low` to `high` on a log axis, where Plotly mixes two sizes.

    They are at `per_decade` times the powers of ten; unless given, the finest choice with at most `most` labels.

    >>> log_ticks(0.08, 2.3)["ticktext"], log_ticks(0.081, 0.103)["ticktext"]
    (['0.1', '0.2', '0.5', '1', '2'], ['0.09', '0.1'])
    >>> log_ticks(1e-6, 1.0)["ticktext"]
    ['10⁻⁶', '10⁻⁵', '0.0001', '0.001', '0.01', '0.1', '1']
    """
    if high / low < 1.7:  # so little that equal steps look equal
        rough = (high - low) / 4
        power = 10 ** math.floor(math.log10(rough))
        step = power * next(part for part in (1, 2, 5, 10) if power * part >= rough * 0.999)
        values = [step * count for count in range(math.ceil(low / step), math.floor(high / step) + 1)]
        return {"tickvals": values, "ticktext": [short(value) for value in values]}
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = []
    for parts in (per_decade,) if per_decade else _PARTS:
        values = [float(f"{part}e{power}") for power in powers for part in parts]
        values = [value for value in values if low * 0.999 <= value <= high * 1.001]
        if len(values) <= most:
            break
    return {"tickvals": values, "ticktext": [short(value) for value in values]}


def dress(figure: go.Figure, height: int) -> go.Figure:
    """Fonts, margins, a quiet grid and the legend below: what all pictures share."""
    axis: dict[str, Any] = {
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "ticks": "",
        "automargin": True,
        "tickfont": {"color": MUTED, "size": 12},
        "title": {"font": {"color": MUTED, "size": 13}, "standoff": 8},
        "exponentformat": "power",
        "minor": {"showgrid": False},
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    _hang_titles(figure)
    return figure.update_layout(
        template=go.layout.Template(),
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        height=height,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        hoverlabel={"font": {"family": FONT, "color": INK}, "bgcolor": PAPER, "bordercolor": GRID},
        legend={
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            "xanchor": "left",
            "font": {"color": INK, "size": 13},
            "bgcolor": "rgba(0,0,0,0)",
        },
        dragmode=False,
    )


def heading(title: str, note: str = "") -> dict[str, Any]:
    """A title and, smaller below it, what a reader must know to trust the picture; both literally.

    >>> heading("x < y")["text"]
    'x &lt; y'
    """
    below = {"text": text(note), "font": {"size": 12, "color": MUTED}}
    return {"text": text(title), "x": 0, "xref": "paper", "font": {"size": 15}, "subtitle": below}


def headed(figure: go.Figure, title: str, note: str = "") -> go.Figure:
    """The figure with a heading, and as much higher as that needs."""
    words = heading(title, note)
    grown = 46 + 17 * (len(words["subtitle"]["text"]) > 120)
    top = (figure.layout.margin.t or 28) + grown
    return figure.update_layout(title=words, height=(figure.layout.height or 400) + grown, margin={"t": top})


def _hang_titles(figure: go.Figure) -> None:
    """Panel titles, which Plotly puts on the paper, are hung on their panels, so that they move with them."""
    axes = [name for name in figure.layout if name.startswith("xaxis")]
    for note in figure.layout.annotations:
        if (note.xref, note.yref, note.yanchor, note.showarrow) != ("paper", "paper", "bottom", False):
            continue
        for name in axes:
            across = figure.layout[name]
            up = figure.layout[f"yaxis{(across.anchor or 'y')[1:]}"]
            if across.domain is None or up.domain is None or note.yshift or note.text in (None, ""):
                continue
            if abs(sum(across.domain) / 2 - note.x) < 1e-6 and abs(up.domain[1] - note.y) < 1e-6:
                refs = f"x{name[5:]} domain", f"{across.anchor or 'y'} domain"
                note.update(xref=refs[0], yref=refs[1], x=0, y=1, xanchor="left", yshift=4)
