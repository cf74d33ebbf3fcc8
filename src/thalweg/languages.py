"""Which language is spoken: the one that is asked for, or the one of the surroundings."""

from __future__ import annotations

import locale
import os
import re

from .errors import UsageError
from .language import LANGUAGES, choose

AUTO = "auto"
_LOCALE = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")  # in gettext's order


def named(language: str) -> str:
    """The language, also as a locale has it.

    >>> named("KO"), named("en-US")
    ('ko', 'en')

    Raises:
        UsageError: an unknown one.
    """
    code = re.split("[-_.]", language.strip().lower())[0]
    if code not in (*LANGUAGES, AUTO):
        raise UsageError(f"language is {language!r}; it is one of {', '.join(LANGUAGES)} or {AUTO}.")
    return code


def use_language(language: str) -> None:
    """Say everything from now on in this language: verdicts, notes, tables, pictures and reports.

    Args:
        language: "en", "ko", or "auto" for THALWEG_LANGUAGE where it is set, else the locale's where there is a
            catalogue for it, else English. Python begins in English, the commands with "auto".

    Raises:
        UsageError: an unknown language.

    >>> use_language("en")
    """
    language = named(language)
    choose(_of_surroundings() if language == AUTO else language)


def _of_surroundings() -> str:
    given = os.environ.get("THALWEG_LANGUAGE", AUTO)
    if given != AUTO:
        return given if given in LANGUAGES else LANGUAGES[0]
    names = [os.environ[name] for name in _LOCALE if os.environ.get(name)] or [locale.getlocale()[0] or ""]
    spoken = names[0].lower()
    return "ko" if spoken.startswith(("ko", "korean")) else LANGUAGES[0]
