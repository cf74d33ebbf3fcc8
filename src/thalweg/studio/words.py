"""What the page's own scripts say: the literals given to `say` in them, and their translations."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from importlib import resources

from ..language import say

SAID = re.compile(r"""\bsay\(\s*("(?:[^"\\]|\\.)*")""")


def scripts() -> dict[str, str]:
    """The page's files by name."""
    folder = resources.files("thalweg.studio").joinpath("page")
    return {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.is_file()}


def said(text: str) -> list[str]:
    """What a script says, in the order of its lines."""
    return list(dict.fromkeys(json.loads(literal) for literal in SAID.findall(text)))


@functools.cache
def messages() -> tuple[str, ...]:
    """What all scripts of the page say."""
    each = (said(text) for name, text in sorted(scripts().items()) if name.endswith(".js"))
    return tuple(dict.fromkeys(message for every in each for message in every))


def words(said: Iterable[str]) -> dict[str, str]:
    """Message → the same in the chosen language, where that differs."""
    translated = {message: say(message) for message in said}
    return {message: text for message, text in translated.items() if text != message}
