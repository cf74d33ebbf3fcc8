"""In which language words are: English as the code has it, or what `locale/` says in its place.

`say` is the one way from a message to a reader. Its English is the key, and gettext's catalogues hold the rest:
`make messages` collects what is said, `locale/ko/LC_MESSAGES/thalweg.po` is edited by hand. What a mistake gets, and
whatever programs read (names, columns, keys of JSON), is English everywhere.
"""

from __future__ import annotations

import gettext
import locale
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from .errors import UsageError

LANGUAGES = ("en", "ko")
AUTO = "auto"
FOLDER = Path(__file__).parent / "locale"
_LOCALE = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")  # in gettext's order

_catalogue = gettext.NullTranslations()
_here: ContextVar[gettext.NullTranslations | None] = ContextVar("language", default=None)  # of a part of the program


class Word(str):
    """A word that is translated where it is said within a message."""


def mark(word: str) -> Word:
    """A word, or a message, that is said later."""
    return Word(word)


def say(message: str, **values: Any) -> str:
    """The message in the chosen language, with its values in their places.

    >>> say("{count:,} runs", count=1200)
    '1,200 runs'
    """
    text = (_here.get() or _catalogue).gettext(message) if message else ""
    if values:
        text = text.format(**{name: say(v) if isinstance(v, Word) else v for name, v in values.items()})
    return _PARTICLE.sub(_particle, text)


_PARTICLE = re.compile(r"([가-힣0-9])(이\(가\)|은\(는\)|을\(를\)|과\(와\)|\(으\)로)")
_ENDING = "013678"  # digits whose Korean reading ends in a consonant


def _particle(found: re.Match[str]) -> str:
    """A particle as it follows a Korean letter or a number; after Latin letters both forms stay.

    >>> [_PARTICLE.sub(_particle, text) for text in ("학습률이(가)", "0.05을(를)", "adam이(가)")]
    ['학습률이', '0.05를', 'adam이(가)']
    """
    last, particle = found.groups()
    final = (ord(last) - ord("가")) % 28 if last >= "가" else (8 if last in "178" else last in _ENDING)
    if particle == "(으)로":
        return last + ("으로" if final not in (0, 8) else "로")  # 8: ㄹ
    return last + (particle[0] if final else particle[2])


def check(language: str) -> None:
    """Refuse an unknown language."""
    if language not in (*LANGUAGES, AUTO):
        raise UsageError(f"language is {language!r}; it is one of {', '.join(LANGUAGES)} or {AUTO}.")


def use_language(language: str) -> None:
    """Say everything from now on in this language: verdicts, notes, tables, pictures and reports.

    Args:
        language: "en", "ko", or "auto" for THALWEG_LANGUAGE where it is set, else the locale's where there is a
            catalogue for it, else English. Python begins in English, the commands with "auto".

    Raises:
        UsageError: an unknown language.

    >>> use_language("en")
    """
    global _catalogue
    check(language)
    _catalogue = _translations(_of_surroundings() if language == AUTO else language)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Say what is said inside in that language; other threads and tasks go on in theirs."""
    before = _here.set(_translations(language))
    try:
        yield
    finally:
        _here.reset(before)


def _translations(language: str) -> gettext.NullTranslations:
    return gettext.translation("thalweg", FOLDER, [language], fallback=language == LANGUAGES[0])


def language() -> str:
    """The chosen one."""
    return (_here.get() or _catalogue).info().get("language", LANGUAGES[0])


def _of_surroundings() -> str:
    given = os.environ.get("THALWEG_LANGUAGE", AUTO)
    if given != AUTO:
        return given if given in LANGUAGES else LANGUAGES[0]
    names = [os.environ[name] for name in _LOCALE if os.environ.get(name)] or [locale.getlocale()[0] or ""]
    spoken = names[0].lower()
    return "ko" if spoken.startswith(("ko", "korean")) else LANGUAGES[0]


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Lines of at most that many cells, of which a Korean letter takes two.

    Args:
        indent: of the lines after the first.
    """
    from rich.cells import cell_len

    lines = [""]
    for word in re.split(r"(?<=\S)(?=\s)", text):
        if cell_len(lines[-1] + word) > width and lines[-1].strip():
            lines.append(indent + word.lstrip())
        else:
            lines[-1] += word
    return lines
