"""The two meanings of a schedule's formula: numbers, and Python text.

A schedule writes its formula once, with operators and the functions below. Run with `NUMBERS` it gives the
factors of all steps at once; run with `PYTHON` and `Text` it gives the expression that a plain-PyTorch script
shows, e.g. ``(1 + math.cos(math.pi * t / total_steps)) / 2``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np


def _binary(operator: type[ast.operator], neutral: int | None = None, reflected: bool = False) -> Any:
    """The method of a binary operator; a `neutral` other operand changes nothing."""

    def method(self: Text, other: Any) -> Text:
        if neutral is not None and not isinstance(other, Text) and other == neutral:
            return self
        left, right = (Text.of(other), self) if reflected else (self, Text.of(other))
        return Text(ast.BinOp(left.node, operator(), right.node))

    return method


def _comparison(operator: type[ast.cmpop]) -> Any:
    return lambda self, other: Text(ast.Compare(self.node, [operator()], [Text.of(other).node]))


class Text:
    """Python text that grows with every operator; what changes nothing (+ 0, · 1) is left out.

    >>> str((Text.name("t") + 0) * 2 - 1)
    't * 2 - 1'
    """

    def __init__(self, node: ast.expr) -> None:
        self.node = node

    @classmethod
    def name(cls, name: str) -> Text:
        return cls(_parsed(name))

    @classmethod
    def of(cls, value: Any) -> Text:
        """Text unchanged, and a number as a literal."""
        if isinstance(value, Text):
            return value
        return cls(_parsed(repr(value.item() if isinstance(value, np.generic) else value)))

    def __str__(self) -> str:
        return ast.unparse(ast.fix_missing_locations(ast.Expression(self.node)))

    __add__, __radd__ = _binary(ast.Add, neutral=0), _binary(ast.Add, neutral=0, reflected=True)
    __sub__, __rsub__ = _binary(ast.Sub, neutral=0), _binary(ast.Sub, reflected=True)
    __mul__, __rmul__ = _binary(ast.Mult, neutral=1), _binary(ast.Mult, neutral=1, reflected=True)
    __truediv__, __rtruediv__ = _binary(ast.Div, neutral=1), _binary(ast.Div, reflected=True)
    __pow__, __rpow__ = _binary(ast.Pow, neutral=1), _binary(ast.Pow, reflected=True)
    __floordiv__, __mod__ = _binary(ast.FloorDiv), _binary(ast.Mod)
    __lt__, __le__, __ge__ = _comparison(ast.Lt), _comparison(ast.LtE), _comparison(ast.GtE)

    def __neg__(self) -> Text:
        return Text(ast.UnaryOp(ast.USub(), self.node))


class Code(str):
    """Python text to be taken word for word."""


def listed(values: Iterable[Any]) -> str:
    """A list of numbers and texts, as text."""
    return f"[{', '.join(map(str, values))}]"


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _where(condition: Any, yes: Any, no: Any) -> Text:
    return Text(ast.IfExp(Text.of(condition).node, Text.of(yes).node, Text.of(no).node))


def _call(name: str) -> Callable[..., Text]:
    function = _parsed(name)
    return lambda *values: Text(ast.Call(function, [Text.of(value).node for value in values], []))


NUMBERS: Any = SimpleNamespace(
    passed=lambda milestones, t: np.searchsorted(milestones, t, side="right"),
    round=np.rint,
    **{name: getattr(np, name) for name in ("pi", "where", "exp", "log", "cos", "sqrt", "floor", "minimum", "maximum")},
)
PYTHON: Any = SimpleNamespace(
    pi=Text.name("math.pi"),
    where=_where,
    passed=lambda milestones, t: Text(_parsed(f"sum([{t} >= step for step in {listed(milestones)}])")),
    minimum=_call("min"),
    maximum=_call("max"),
    round=_call("round"),
    **{name: _call(f"math.{name}") for name in ("exp", "log", "cos", "sqrt", "floor")},
)
