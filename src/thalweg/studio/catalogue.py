"""What the page knows of rules and surfaces: their functions printed as JavaScript, and words about them.

A rule or a surface is an object literal: its facts as JSON, its functions as `kernels.javascript` prints them. Nothing
of it is text that a user typed; names and labels stand in it as JSON strings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from .. import formulas, landscapes
from ..errors import ThalwegError
from ..formulas import FORMULAS, Formula
from ..kernels import javascript
from ..kernels.lower import lower
from ..landscapes.printed import printed
from ..landscapes.surface import Surface
from ..language import say, speaking
from ..pictures import style
from .lessons import LESSONS
from .words import messages, words

NAMES = {"en": "English", "ko": "한국어"}  # of the languages, in their own
FURTHER = ("quadratic(condition=40)", "quadratic(condition=20)", "quadratic(condition=20, rotation=45)")
FURTHER += ("x^4/4 - x^3/3 - x^2 + 0.2x",)
IMPORT = 'import { special } from "./special.js";\n'


def literal(facts: Mapping[str, Any], functions: Mapping[str, str]) -> str:
    """A JavaScript object of plain values and printed functions."""
    pairs = [f"{json.dumps(name)}: {_json(value)}" for name, value in facts.items()]
    return "{" + ",\n".join([*pairs, *(f"{name}: {text}" for name, text in functions.items())]) + "}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def rule(formula: Formula, **more: Any) -> str:
    """A rule as the page's `descent.js` takes it."""
    program, equations = lower(formula.equations), formula.equations
    facts = {
        "label": formula.label,
        "name": formula.name,
        "states": [name for name, _ in program.states],
        "single": [name for name, _ in program.row_states],
        "initial": {name: v if isinstance(v, str) else float(v) for name, v in equations.initial},
        "hyperparameters": dict(formula.hyperparameters),
        **more,
    }
    functions = {"step": javascript.rule(equations)}
    if equations.lookahead is not None:
        functions["lookahead"] = javascript.rule(equations.lookahead)
    return literal(facts, functions)


def surface(given: Surface, key: str) -> str:
    """A surface of one or two variables as the page takes it."""
    facts = {
        "key": key,
        "label": key if key in landscapes.SURFACES or "(" in given.name else given.name,
        "variables": given.variables,
        "bounds": given.bounds,
        "minima": given.minima,
        "start": given.start,
        "source": given.source,
    }
    return literal(facts, printed(given))


def forms() -> Iterator[Formula]:
    """Every rule of the catalogue that can be printed, each also with one option turned the other way."""
    for formula in FORMULAS.values():
        if not formula.equations.races or formula.equations.shown is not None:
            continue
        yield formula
        for name, value in formula.options.items():
            if isinstance(value, bool):
                with suppress(ThalwegError):  # an option that goes with another
                    yield formula.with_(**{name: not value})


def module() -> str:
    """The rules and surfaces that the page begins with, as a JavaScript module."""
    raced = (formulas.get(lane.label) for lesson in LESSONS for lane in lesson.lanes)
    parts = {
        "rules": {label: rule(one) for label, one in {one.label: one for one in (*forms(), *raced)}.items()},
        "surfaces": {key: surface(landscapes.surface(key), key) for key in (*landscapes.SURFACES, *FURTHER)},
    }
    texts = [
        f"export const {name} = {{\n" + ",\n".join(f"{json.dumps(k)}: {text}" for k, text in each.items()) + "\n};\n"
        for name, each in parts.items()
    ]
    return IMPORT + "".join(texts)


def facts(language: str) -> dict[str, Any]:
    """Words and looks of the race, in that language."""
    with speaking(language):
        return {
            "language": language,
            "languages": NAMES,
            "words": words(messages()),
            "lessons": [lesson.to_json() for lesson in LESSONS],
            "meanings": {
                one.name: {name: say(meaning.words) for name, meaning in one.meanings.items()}
                for one in FORMULAS.values()
            },
            "styles": {name: vars(one) for name, one in style.styles(FORMULAS).items()},
            "spare": [vars(one) for one in (*style.plain_styles("abcdefg").values(), *style.STYLES.values())],
            "dark": dict(style.DARK),
        }
