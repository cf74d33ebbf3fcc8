"""Calls written as text: ``adam(beta2=0.99)`` read without running anything, and written back.

Formulas, losses and whatever else a study names with arguments share this one form, so that a store and a command line
can say them. Only literals are read: numbers, strings, booleans, None, and tuples, lists and dictionaries of them.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import UsageError, short

LONGEST = 10_000  # characters; a weight for each of a thousand classes takes less
DEEPEST = 8  # calls within each other


@dataclass(frozen=True)
class Call:
    """A name with its arguments, each a literal or another call."""

    name: str
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


def _refused(text: str, error: type[UsageError], example: str) -> UsageError:
    given = repr(short(text))
    return error("{given} is not of the form name(argument=value, …), e.g. {example}.", given=given, example=example)


def read(text: str, error: type[UsageError], example: str) -> Call:
    """A call whose arguments may be calls, or names of such: ``warmup(cosine, steps=100)``.

    Words of its name may stand apart, ``weight decay(0.1)``. Args and errors as for `parse`.

    >>> read("warmup(cosine, steps=100)", UsageError, "step(size=30)")
    Call(name='warmup', positional=(Call(name='cosine', positional=(), named={}),), named={'steps': 100})
    """
    text = text.strip()
    refused = _refused(text, error, example)
    if len(text) > LONGEST:
        raise refused
    name, bracket, rest = text.partition("(")
    text = re.sub(r"(?<=\w)[\s-]+(?=\w)", "_", name.strip()) + bracket + rest
    try:
        with warnings.catch_warnings(action="error"):
            return _call(ast.parse(text, mode="eval").body, 1)
    except _TooDeepError as failure:
        raise error(
            "{text} has calls within calls, more than {most} deep; give fewer.", text=repr(short(text)), most=DEEPEST
        ) from failure
    except (SyntaxError, Warning, ValueError, TypeError, RecursionError, MemoryError) as failure:
        raise refused from failure


class _TooDeepError(Exception):
    pass


def _call(node: ast.expr, depth: int) -> Call:
    if depth > DEEPEST:
        raise _TooDeepError
    if isinstance(node, ast.Name):
        return Call(node.id)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError("not a call")
    names = [k.arg for k in node.keywords]
    if None in names or len(set(names)) < len(names):
        raise ValueError("an argument without a name, or twice")
    positional = tuple(_value(value, depth + 1) for value in node.args)
    return Call(node.func.id, positional, {str(k.arg): _value(k.value, depth + 1) for k in node.keywords})


def _value(node: ast.expr, depth: int) -> Any:
    if isinstance(node, ast.Name) and node.id in ("nan", "inf"):
        return float(node.id)
    if isinstance(node, ast.Name | ast.Call):
        return _call(node, depth)
    value = ast.literal_eval(node)
    repr(value)  # fails for an integer of more digits than Python writes
    return value


def parse(text: str, error: type[UsageError], example: str) -> tuple[str, dict[str, Any]]:
    """``name`` or ``name(a=1, b=True)`` → the name and the arguments by name.

    Args:
        error: raised, in one sentence, for a text of another form.
        example: of that form, for the sentence.

    >>> parse("huber(delta=0.5)", UsageError, "huber(delta=0.5)"), parse("mse", UsageError, "mse()")
    (('huber', {'delta': 0.5}), ('mse', {}))
    """
    text = text.strip()
    _, bracket, _ = text.partition("(")
    if not bracket:
        return text, {}
    call = read(text, error, example)
    if call.positional or any(isinstance(value, Call) for value in call.named.values()):
        raise _refused(text, error, example)
    return call.name, dict(call.named)


def write(name: str, arguments: Mapping[str, Any], *positional: Any) -> str:
    """The text that `parse` reads as these, with every digit of every number.

    >>> write("huber", {"delta": 0.5}), write("mse", {}), write("cross_entropy", {"weight": (1.0, 0.1 + 0.2)})
    ('huber(delta=0.5)', 'mse', 'cross_entropy(weight=(1, 0.30000000000000004))')
    """
    named = (f"{key}={literal(value)}" for key, value in arguments.items())
    inside = ", ".join([*map(literal, positional), *named])
    return f"{name}({inside})" if inside else name


def literal(value: Any) -> str:
    """A plain value as text, with every digit."""
    match value:
        case Call():
            return write(value.name, value.named, *value.positional)
        case Mapping():
            return "{" + ", ".join(f"{key!r}: {literal(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(literal, value)) + "]"
        case tuple():
            return "(" + ", ".join(map(literal, value)) + (",)" if len(value) == 1 else ")")
        case float() if float(f"{value:g}") == value:
            return f"{value:g}"
    return repr(value)


def split(text: str, example: str = "sgd,adam") -> list[str]:
    """What is separated by commas, commas inside parentheses left alone.

    >>> split("sgd,adam(beta1=0.8, beta2=0.99)")
    ['sgd', 'adam(beta1=0.8, beta2=0.99)']
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    names = [part.strip() for part in parts]
    if not all(names):
        raise UsageError(
            "{text} has an empty part; give some, separated by commas, e.g. {example}.",
            text=repr(text),
            example=example,
        )
    return names
