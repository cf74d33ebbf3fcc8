"""How every picture looks: one colour, dash and marker per optimizer, the same in all pictures and all reports.

Colours are those of Okabe and Ito, which the colour-blind can tell apart; dash and marker repeat the message for
prints in grey. Two of the eight cannot be seen on every ground: yellow on white and black on dark. So figures are made
for light paper, and `DARK` says what each of their colours becomes on dark.

Source: Okabe & Ito 2008, Color Universal Design, https://jfly.uni-koeln.de/color/.
"""

from __future__ import annotations

import html
import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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
class Style:
    """How a line and its markers are drawn; `dash` and `marker` are Plotly's names."""

    colour: str
    dash: str = "solid"
    marker: str = "circle"


STYLES: Mapping[str, Style] = {
    "sgd": Style(BLACK, "dot", "circle"),
    "momentum": Style(ORANGE, "dash", "square"),
    "nesterov": Style(YELLOW_ON_PAPER, "dashdot", "diamond"),
    "adagrad": Style(PURPLE, "longdash", "triangle-up"),
    "adadelta": Style(SKY, "longdashdot", "triangle-down"),
    "rmsprop": Style(GREEN, "8px,3px,2px,3px,2px,3px", "cross"),
    "adam": Style(BLUE, "solid", "hexagon"),
    "adamw": Style(VERMILION, "14px,3px", "star"),
}
_COLOURS, _DASHES = zip(*((style.colour, style.dash) for style in STYLES.values()), strict=True)
_MARKERS = ("pentagon", "star-diamond", "hourglass", "triangle-right", "bowtie", "triangle-left", "star-square")
_PLAIN = (
    *((BLUE, "solid"), (VERMILION, "dash"), (GREEN, "dot"), (PURPLE, "dashdot")),
    *((ORANGE, "longdash"), (SKY, "longdashdot"), (BLACK, "8px,3px,2px,3px")),
)


def style_of(name: str, skip: int = 0) -> Style:
    """The style of one optimizer: from the table, or computed from its name, the same on every machine.

    `skip` moves a computed style on to the next colour; `styles` uses it where two names would get the same one.

    >>> style_of("adam")
    Style(colour='#0072B2', dash='solid', marker='hexagon')
    >>> style_of("lion") == style_of("lion"), style_of("lion").colour == style_of("lion", skip=1).colour
    (True, False)
    """
    if name in STYLES:
        return STYLES[name]
    slot = zlib.crc32(name.encode()) + skip
    return Style(_COLOURS[slot % 8], _DASHES[slot // 8 % 8], _MARKERS[slot % 7])


def styles(names: Iterable[str]) -> dict[str, Style]:
    """Styles for the optimizers of one picture: computed ones take a colour that is free, as long as there is one.

    A variant is drawn like its rule where the picture has nothing else of that rule.

    >>> by_name = styles(["adam", "adam(beta2=0.9)", "adam(beta2=0.99)", "lion", "sgd"])
    >>> len({style.colour for style in by_name.values()}), by_name["adam"] == style_of("adam")
    (5, True)
    """
    names = list(dict.fromkeys(names))
    rules = [name.partition("(")[0] for name in names]
    pairs = zip(names, rules, strict=True)
    by_name = {n: STYLES[r] for n, r in pairs if n in STYLES or (r in STYLES and rules.count(r) == 1)}
    for name in sorted(set(names) - set(by_name)):
        used = {style.colour for style in by_name.values()}
        candidates = [style_of(name, skip) for skip in range(len(_COLOURS))]
        by_name[name] = next((style for style in candidates if style.colour not in used), candidates[0])
    return {name: by_name[name] for name in names}


def plain_styles(labels: Iterable[str]) -> dict[str, Style]:
    """Styles for lines that are not optimizers, told apart in the order in which they come.

    >>> [style.dash for style in plain_styles(["entropy", "divergence"]).values()]
    ['solid', 'dash']
    """
    return {label: Style(*_PLAIN[k % 7], _MARKERS[k % 7]) for k, label in enumerate(dict.fromkeys(labels))}


def faded(colour: str, opacity: float = BAND) -> str:
    """`#RRGGBB` as a see-through `rgba(...)`, with one of the `FADES`.

    >>> faded("#0072B2")
    'rgba(0,114,178,0.12)'
    """
    if opacity not in FADES:
        raise ValueError(f"opacity {opacity} lacks a counterpart on dark; give one of {FADES}, or add it to them")
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


_ON_DARK = {PAPER: "#15171B", INK: "#ECEDEF", MUTED: "#A2A7B0", GRID: "#2D3037", SHADE: "#1D2025", BLACK: "#F4F4F5"}
_ON_DARK |= {HIGH: "#34434F", LEVEL: "#4A5C6B", YELLOW_ON_PAPER: YELLOW, BLUE: "#3E9BD8"}
DARK: Mapping[str, str] = _ON_DARK | {
    faded(light, opacity): faded(dark, opacity) for light, dark in _ON_DARK.items() for opacity in FADES
}


def text(words: object) -> str:
    """Words from outside as Plotly shows them literally: Plotly reads `<b>` and `&lt;` in its labels."""
    return html.escape(str(words), quote=False)


def plain(words: str) -> str:
    """Plotly's marked-up words as they are read.

    >>> plain("<b>w</b> &lt; 1<br>t")
    'w < 1\\nt'
    """
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<br ?/?>", "\n", words)))


WRAP = "<br />"  # where a line is full; a page, which breaks lines by itself, leaves it out


def broken(words: str, room: int) -> list[str]:
    """Words, which may be marked up, in lines of at most so many letters; a Korean one is as wide as two.

    A word that is longer than a line is cut behind its brackets, or anywhere unless it is marked up.

    >>> broken("<b>adam(beta1=0.5, beta2=0.9)</b> cosine", 18), broken("경사 하강", 4), broken("momentum(nu=0.2)", 12)
    (['<b>adam(beta1=0.5,', 'beta2=0.9)</b> cosine'], ['경사', '하강'], ['momentum(', 'nu=0.2)'])
    """
    lines = [""]
    for count, word in enumerate(words.split(" ")):
        for k, part in enumerate(_cut(word, room)):
            longer = lines[-1] + " " * (count > 0 and k == 0) + part
            if _width(longer) <= room or not lines[-1]:
                lines[-1] = longer
            else:
                lines.append(part)
    return [line.strip() for line in lines]


def _cut(word: str, room: int) -> list[str]:
    """A word in parts of at most so many letters, if it can be cut."""
    if _width(word) <= room:
        return [word]
    parts = re.split(r"(?<=\()", word)
    if len(parts) > 1 or "<" in word or "&" in word:
        return parts
    return [word[k : k + room] for k in range(0, len(word), room)]


def _width(words: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in plain(words))
