"""Fonts for still pictures: whatever is installed that has the characters, Korean ones among them.

Matplotlib takes the first font of a list that has a character, and draws a box if none has. So the characters of a
picture are read first, and only fonts that are needed are added to Matplotlib's. A picture whose language no installed
font can write is in English, which one sentence says.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterable, Iterator

from ...language import LANGUAGES, language, say, speaking, tell

BUILT_IN = "DejaVu Sans"  # comes with Matplotlib
PREFERRED = (
    *("Noto Sans CJK KR", "Noto Sans KR", "Pretendard", "NanumGothic", "NanumBarunGothic", "Nanum Gothic"),
    *("Apple SD Gothic Neo", "AppleGothic", "Malgun Gothic", "UnDotum", "Noto Sans CJK JP"),
)
LETTERS = {"ko": "가힣"}  # of a language, which a font that writes it has; others have all of theirs in `BUILT_IN`


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """What is drawn inside is said in English, after a sentence, where no font has the letters of the chosen language.

    Args:
        name: of the picture, for that sentence.
    """
    needed = {*LETTERS.get(language(), "")}
    if any(needed <= _letters(path) for path in _installed().values()) or not needed:
        yield
        return
    tell(
        say(
            "No installed font has Korean letters, so the words of {name} are English: install one, e.g. Noto Sans CJK "
            "or NanumGothic (Debian, Ubuntu: apt install fonts-noto-cjk), or write .html or .svg.",
            name=name,
        )
    )
    with speaking(LANGUAGES[0]):
        yield


def families(words: Iterable[str], boxes: bool = True) -> list[str]:
    """Names of fonts that together have every character of the words, Matplotlib's first.

    Args:
        boxes: a character that no installed font has becomes a box; one warning names these characters.

    >>> families(["loss −1", "x₀"])
    ['DejaVu Sans']
    """
    missing = {letter for word in words for letter in word if letter.isprintable() and not letter.isspace()}
    missing -= _letters(_path(BUILT_IN))
    fonts = [BUILT_IN]
    for family, path in _installed().items() if missing else ():
        if missing & _letters(path):
            fonts.append(family)
            missing -= _letters(path)
    if missing and boxes:
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
    for path in {*font_manager.findSystemFonts()} - {font.fname for font in manager.ttflist}:
        with contextlib.suppress(OSError, RuntimeError):  # of a font that Matplotlib cannot draw
            manager.addfont(path)
    fonts = {font.name: font.fname for font in manager.ttflist if font.style == "normal" and font.name != BUILT_IN}
    order = sorted(fonts, key=lambda name: (PREFERRED.index(name) if name in PREFERRED else 99, name))
    return {name: fonts[name] for name in order}
