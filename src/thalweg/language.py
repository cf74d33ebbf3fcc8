"""What words are in a language: English as the code has it, or what `locale/` says in its place.

`say` is the one way from a message to a reader, of errors too, which are given their values. Its English is the key,
and gettext's catalogues hold the rest: `make messages` collects what is said, `locale/ko/LC_MESSAGES/thalweg.po` is
edited by hand. Frequent mistakes are answered in it too, rare ones in English; whatever programs read (names, columns,
keys of JSON) is English everywhere.
"""

from __future__ import annotations

import gettext
import re
import shutil
import string
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Real
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "ko")
FOLDER = Path(__file__).parent / "locale"

_catalogue = gettext.NullTranslations()
_here: ContextVar[gettext.NullTranslations | None] = ContextVar("language", default=None)  # of a part of the program


class Word(str):
    """A word, or a message, that is said later, or where it stands within another message."""


mark = Word


def say(message: str, /, **values: Any) -> str:
    """The message in the chosen language, with its values in their places.

    >>> say("{count:,} runs", count=1200)
    '1,200 runs'
    """
    text = (_here.get() or _catalogue).gettext(message) if message else ""
    if values:
        text = filled(text, **{name: say(v) if isinstance(v, Word) else v for name, v in values.items()})
    return _PARTICLE.sub(_particle, text)


def filled(text: str, /, **values: Any) -> str:
    """The text with its values in their places; numbers have the minus sign and the ∞ of tables.

    The hyphen of an exponent stays, because commands take a rate as it is written.

    >>> filled("{mean:.2g} at rate {lr:g}, {name}", mean=-0.5, lr=1e-5, name="-x")
    '−0.5 at rate 1e-05, -x'
    """
    return _FORMATTER.vformat(text, (), values)


class _Formatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        text = format(value, format_spec)
        return re.sub(r"^(\s*)-", r"\1−", text).replace("inf", "∞") if isinstance(value, Real) else text


_FORMATTER = _Formatter()


_PARTICLE = re.compile(
    r"([가-힣]|[0-9]|[A-Za-z]+)([)\]”’`'\"]*(?:\s?\([^()]*\)|\s?\[[^\[\]]*\])?)(이\(가\)|은\(는\)|을\(를\)|과\(와\)|\(으\)로)"
)
_DIGITS = "013678"  # whose Korean reading ends in a consonant
_ENDS = re.compile(r"[lmn]e?$|ng$|mb$|[aeiou][pkbtc]$|ck$")  # of Latin words whose Korean reading ends in one
_RIEUL = 8  # ㄹ among the consonants that end a Korean letter


def _particle(found: re.Match[str]) -> str:
    """A particle as it follows a Korean letter, a number, or a Latin word as it is read; brackets between are skipped.

    >>> [_PARTICLE.sub(_particle, text) for text in ("학습률이(가)", "0.05을(를)", "adam (0.1)이(가)", "sgd과(와)")]
    ['학습률이', '0.05를', 'adam (0.1)이', 'sgd와']
    """
    word, between, particle = found.groups()
    final = _final(word)
    if particle == "(으)로":
        return word + between + ("으로" if final not in (0, _RIEUL) else "로")
    return word + between + (particle[0] if final else particle[2])


def _final(word: str) -> int:
    """The consonant that a word's Korean reading ends in; 0 for none. Without a vowel, letters are spelled.

    >>> [bool(_final(word)) for word in ("adam", "sgd", "cosine", "constant", "cnn", "rmsprop", "adamw", "lamb")]
    [True, False, True, False, True, True, False, True]
    """
    if word >= "가":
        return (ord(word) - ord("가")) % 28
    if word.isdigit():
        return _RIEUL if word in "178" else int(word in _DIGITS)
    lower = word.lower()
    if not set(lower) & set("aeiouy"):
        return _RIEUL if lower[-1] in "lr" else int(lower[-1] in "mn")
    return (_RIEUL if re.search(r"le?$", lower) else 1) if _ENDS.search(lower) else 0


def choose(language: str) -> None:
    """Say everything from now on in this one of `LANGUAGES`."""
    global _catalogue
    _catalogue = _translations(language)


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


def tell(sentence: str) -> None:
    """Print it on standard error: in lines of the terminal's width, and in one line for a file or a pipe."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        sentence = "\n".join(line for part in sentence.split("\n") for line in wrapped(part, width))
    print(sentence, file=sys.stderr, flush=True)


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
