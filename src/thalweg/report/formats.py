"""How the values of a table are written: on a page, where a cell may have a second line, and in a terminal.

What a value lacks is left to the rendering: a page shows a dash, a terminal nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..language import mark, say
from ..pictures.numbers import duration, number, short
from ..plan.factors import shown
from ..verdict.intervals import Interval
from ..verdict.words import percent

EMPTY = "—"
Written = str | tuple[str, str]  # the second stands small beneath the first


@dataclass(frozen=True)
class Format:
    """How the values of a column are written.

    Attributes:
        page: in a cell of a page.
        terminal: in one line.
        words: whether a page lets the column begin on the left; numbers end on the right.
        none: whether None is a value, and not one that is missing.
    """

    page: Callable[[Any], Written]
    terminal: Callable[[Any], str] = str
    words: bool = False
    none: bool = False

    def lacks(self, value: Any) -> bool:
        return value is None and not self.none


def _interval(value: Interval) -> Written:
    """The mean, with its interval beneath."""
    if not math.isfinite(value.mean):
        return number(abs(value.mean))
    return number(value.mean), f"[{number(value.low)}, {number(value.high)}]"


def _finite(write: Callable[[float], str], otherwise: str = EMPTY) -> Callable[[float], str]:
    """A finite number as `write` has it, and one word for all others."""
    return lambda value: write(value) if math.isfinite(value) else otherwise


def _fact(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_fact, value)) or EMPTY
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return {"True": say("yes"), "False": say("no"), "None": EMPTY}.get(str(value), str(value))
    return f"{value:,}".replace("-", "−") if isinstance(value, int) else short(value, 6)


def brief(value: float, sign: str = "") -> str:
    """Three significant digits, as there is room in a terminal.

    >>> brief(0.16), brief(-2.5), brief(0.5, "+"), brief(math.inf)
    ('0.160', '−2.50', '+0.500', '∞')
    """
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞"
    return f"{value:{sign}#.3g}".removesuffix(".").replace("-", "−")


def _spread(spread: Interval, sign: str = "") -> str:
    if not math.isfinite(spread.mean):
        return say("diverges")
    if not (math.isfinite(spread.low) and math.isfinite(spread.high)):
        return brief(spread.mean, sign)
    return f"{brief(spread.mean, sign)} [{brief(spread.low)}, {brief(spread.high)}]"


def _or_word(write: Callable[[Any], Written]) -> Callable[[Any], Any]:
    """A word as it stands, anything else written."""
    return lambda value: say(value) if isinstance(value, str) else write(value)


def _edged(value: tuple[float, str | None]) -> Written:
    return (short(value[0]), say("grid’s {edge}", edge=mark(value[1]))) if value[1] else short(value[0])


def _setting(value: tuple[float, Sequence[str]]) -> Written:
    return say("rate {lr}", lr=short(value[0])), ", ".join(value[1])


_ARROWS = {"lowest": " ↓", "highest": " ↑", None: ""}

FORMATS = {
    "name": Format(shown, shown, words=True, none=True),  # of what the row is about
    "level": Format(shown, shown, words=True, none=True),
    "fact": Format(_fact, words=True),
    "rate": Format(short, lambda rate: f"{rate:.3g}"),
    # (rate, the edge of the grid that it lies on)
    "chosen rate": Format(_edged, lambda value: f"{value[0]:.3g}{_ARROWS[value[1]]}", words=True),
    "setting": Format(_setting),  # (rate, levels in words)
    "count": Format(lambda count: f"{count:,}"),
    "part": Format(
        lambda value: say("{some:,} of {all:,}", some=value[0], all=value[1]), lambda value: f"{value[0]}/{value[1]}"
    ),
    "probability": Format(_finite("{:.2f}".format), _finite("{:.0%}".format, "")),
    "lettered": Format(
        lambda one: (number(one.value.mean) if math.isfinite(one.value.mean) else "∞", one.letters),
        lambda one: f"{brief(one.value.mean)} {one.letters}",
    ),
    "yes": Format(lambda flag: say("yes") if flag else say("no"), lambda flag: say("yes") if flag else ""),
    "percent": Format(_finite("{:.0%}".format, "∞"), _finite("{:.0%}".format, "∞")),
    "fine percent": Format(percent, percent),  # also of small shares
    "number": Format(number, brief),
    "short": Format(short),
    "change": Format(
        _finite(lambda value: ("+" if value > 0 else "") + number(value, 3)), lambda value: brief(value, "+")
    ),
    "interval": Format(_interval, _spread),
    "mean": Format(_interval, lambda value: brief(value.mean)),  # a terminal shows it without its interval
    "difference": Format(_or_word(_interval), _or_word(lambda value: _spread(value, "+"))),  # or a word in its place
    "steps": Format(lambda value: (short(value[0]), f"[{short(value[1])}, {short(value[2])}]")),  # (median, low, high)
    "quartiles": Format(lambda value: (number(value[0]), f"[{number(value[1])}, {number(value[2])}]")),  # median first
    "range": Format(lambda ends: say("{low} to {high}", low=number(ends[0]), high=number(ends[1]))),
    "decades": Format(lambda value: "≥ " * value[1] + number(value[0], 2)),  # (decades, whether at least so many)
    "ratio": Format(_finite("{:.2f}×".format)),
    "duration": Format(duration),
}
