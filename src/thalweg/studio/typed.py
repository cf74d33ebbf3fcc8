"""What a reader types on the page, as a module of JavaScript that the page imports: a surface, or a rule by its name.

The text goes through the parsers of `calculus` and of `formulas`, which run nothing; what comes back is printed from
the expression, so no letter of it reaches the browser as code.
"""

from __future__ import annotations

import functools
import json

from .. import calls, formulas, landscapes
from ..errors import SurfaceError, UsageError
from ..formulas.typed import is_text
from ..unknown import unknown
from . import catalogue
from .formulary import rule_of

LONGEST = 2_000  # characters
KINDS = ("surface", "rule")


def made(kind: str, text: str) -> tuple[str, str]:
    """The key or label under which the page keeps it, and the module, which exports it as `made`.

    Raises:
        UsageError: a text that is neither, or what a page cannot show.
    """
    if kind not in KINDS:
        raise UsageError(unknown("kind of text", kind, KINDS))
    if len(text) > LONGEST:
        raise UsageError(f"{len(text):,} characters are given, and a text may have {LONGEST:,}; shorten it.")
    return _made(kind, text.strip())


@functools.lru_cache(256)
def _made(kind: str, text: str) -> tuple[str, str]:
    key, literal = _surface(text) if kind == "surface" else _rule(text)
    return key, f"{catalogue.IMPORT}export const key = {json.dumps(key)};\nexport const made = {literal};\n"


def _surface(text: str) -> tuple[str, str]:
    given = calls.parse(text, SurfaceError, "rosenbrock(dimensions=2)")[1] if "dimensions" in text else {}
    surface = None if given.get("dimensions", 2) != 2 else landscapes.surface(text)  # a large one takes long to make
    if surface is None or surface.dimensions > 2:
        raise SurfaceError(f"{calls.short(text)!r} has more variables than a page draws; give one or two.")
    return text, catalogue.surface(surface, text)


def _rule(text: str) -> tuple[str, str]:
    if is_text(text):
        own = formulas.get(text)
        return own.label, catalogue.rule(own, typed=True)
    formula = rule_of(text)
    if not formula.equations.races:
        raise UsageError(f"{formula} looks at more than one weight at a time, which a race on a page does not show.")
    return formula.label, catalogue.rule(formula)
