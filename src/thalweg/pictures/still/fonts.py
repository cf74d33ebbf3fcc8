"""Fonts for still pictures: whatever is installed that has the characters, Korean ones among them.

Matplotlib takes the first font of a list that has a character, and draws a box for one that none has. So the words
of a picture are looked at first, and only fonts that are needed are added to its own.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable

OWN = "DejaVu Sans"  # comes with matplotlib
PREFERRED = ("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Apple SD Gothic Neo", "Malgun Gothic")


def families(words: Iterable[str]) -> list[str]:
    """Names of fonts that together have every character of the words, matplotlib's own first.

    Warns once, naming the characters, if no installed font has them.

    >>> families(["loss −1", "x₀"])
    ['DejaVu Sans']
    """
    missing = {letter for word in words for letter in word if letter.isprintable() and not letter.isspace()}
    missing -= _letters(_path(OWN))
    fonts = [OWN]
    if missing:
        for family, path in _installed().items():
            if missing & _letters(path):
                fonts.append(family)
                missing -= _letters(path)
            if not missing:
                break
    if missing:
        warnings.warn(
            f"no installed font has {''.join(sorted(missing)[:8])!r}, so boxes stand in their place: install a font "
            "that has them, e.g. Noto Sans CJK, or write .html or .svg.",
            stacklevel=2,
        )
    return fonts


def _path(family: str) -> str:
    from matplotlib.font_manager import fontManager

    return next(font.fname for font in fontManager.ttflist if font.name == family)


@functools.cache
def _letters(path: str) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    return frozenset(map(chr, FT2Font(path).get_charmap()))


@functools.cache
def _installed() -> dict[str, str]:
    """family → file, the preferred ones first; fonts newer than matplotlib's list of them are added to it."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    known = {font.fname for font in manager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            try:
                manager.addfont(path)
            except (OSError, RuntimeError):  # not a font that matplotlib can draw
                continue
    fonts = {font.name: font.fname for font in manager.ttflist if font.style == "normal"}
    order = sorted(fonts, key=lambda name: (PREFERRED.index(name) if name in PREFERRED else 99, name))
    return {name: fonts[name] for name in order if name != OWN}
