"""The catalogue of rules as the page shows it: facts of each, its equations, its forms; and of a rule that is typed."""

from __future__ import annotations

from typing import Any

from ..errors import UsageError
from ..formulas import FORMULAS, WRAPPERS, Formula
from ..formulas.registry import get
from ..language import say
from ..unknown import unknown
from .catalogue import forms
from .mathml import equations


def rules() -> list[dict[str, Any]]:
    """Every rule in the order of its family, with the names of its forms."""
    labels = [(form.name, form.label) for form in forms()]
    return [
        {**_told(rule), "forms": [label for name, label in labels if name == rule.name] or [rule.label]}
        for rule in FORMULAS.values()
    ]


def rule_of(text: str) -> Formula:
    """A rule of the catalogue, with options or other defaults: `adam(amsgrad=True)`.

    Raises:
        UsageError: there is no such rule.
    """
    name = text.partition("(")[0].strip()
    if name not in (known := (*FORMULAS, *WRAPPERS)):
        raise UsageError(unknown("rule", name, known))
    return get(text)


def shown(rule: Formula) -> dict[str, Any]:
    """Everything about a rule."""
    latex = rule.latex()
    return {**_told(rule), "latex": latex, "math": equations(latex)}


def _told(rule: Formula) -> dict[str, Any]:
    return {
        "name": rule.name,
        "label": rule.label,
        "words": say(rule.doc.partition("\n")[0]),
        "year": rule.year,
        "source": say(rule.source),
        "departs": say(rule.departs),
        "idea": say(rule.idea),
        "parents": list(rule.parents),
        "direction": say(rule.direction),
        "rate": say(rule.rate),
        "states": list(rule.states),
        "races": rule.equations.races,
        "values": [_value(rule, name, value) for name, value in rule.arguments.items()],
    }


def _value(rule: Formula, name: str, value: Any) -> dict[str, str]:
    default = "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    meaning = rule.meanings.get(name)
    words = {"words": say(meaning.words), "range": say(meaning.range)} if meaning else {"words": "", "range": ""}
    return {"name": name, "default": default, **words}
