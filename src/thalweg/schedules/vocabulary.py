"""The two meanings of a schedule's formula: numbers, and Python text.

A schedule writes its formula once, with operators and the functions below. Run with `NUMBERS` it gives the
factors of all steps at once; run with `PYTHON` and `Text` it gives the expression that a plain-PyTorch script
shows, e.g. ``(1 + math.cos(math.pi * t / total_steps)) / 2``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np


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

    def __add__(self, other: Any) -> Text:
        return self if _is(other, 0) else self._binary(ast.Add(), other)

    def __radd__(self, other: Any) -> Text:
        return self if _is(other, 0) else Text.of(other)._binary(ast.Add(), self)

    def __sub__(self, other: Any) -> Text:
        return self if _is(other, 0) else self._binary(ast.Sub(), other)

    def __rsub__(self, other: Any) -> Text:
        return Text.of(other)._binary(ast.Sub(), self)

    def __mul__(self, other: Any) -> Text:
        return self if _is(other, 1) else self._binary(ast.Mult(), other)

    def __rmul__(self, other: Any) -> Text:
        return self if _is(other, 1) else Text.of(other)._binary(ast.Mult(), self)

    def __truediv__(self, other: Any) -> Text:
        return self if _is(other, 1) else self._binary(ast.Div(), other)

    def __rtruediv__(self, other: Any) -> Text:
        return Text.of(other)._binary(ast.Div(), self)

    def __floordiv__(self, other: Any) -> Text:
        return self._binary(ast.FloorDiv(), other)

    def __mod__(self, other: Any) -> Text:
        return self._binary(ast.Mod(), other)

    def __pow__(self, other: Any) -> Text:
        return self if _is(other, 1) else self._binary(ast.Pow(), other)

    def __rpow__(self, other: Any) -> Text:
        return Text.of(other)._binary(ast.Pow(), self)

    def __neg__(self) -> Text:
        return Text(ast.UnaryOp(ast.USub(), self.node))

    def __lt__(self, other: Any) -> Text:
        return self._compare(ast.Lt(), other)

    def __le__(self, other: Any) -> Text:
        return self._compare(ast.LtE(), other)

    def __ge__(self, other: Any) -> Text:
        return self._compare(ast.GtE(), other)

    def _binary(self, operator: ast.operator, other: Any) -> Text:
        return Text(ast.BinOp(self.node, operator, Text.of(other).node))

    def _compare(self, operator: ast.cmpop, other: Any) -> Text:
        return Text(ast.Compare(self.node, [operator], [Text.of(other).node]))


class Code(str):
    """Python text to be taken word for word."""


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _is(value: Any, number: int) -> bool:
    return not isinstance(value, Text) and value == number


def _where(condition: Any, yes: Any, no: Any) -> Text:
    return Text(ast.IfExp(Text.of(condition).node, Text.of(yes).node, Text.of(no).node))


def _call(name: str) -> Callable[..., Text]:
    function = _parsed(name)
    return lambda *given: Text(ast.Call(function, [Text.of(value).node for value in given], []))


NUMBERS: Any = SimpleNamespace(
    pi=np.pi,
    where=np.where,
    passed=lambda milestones, t: np.searchsorted(milestones, t, side="right"),
    exp=np.exp,
    log=np.log,
    cos=np.cos,
    sqrt=np.sqrt,
    floor=np.floor,
    minimum=np.minimum,
    maximum=np.maximum,
    round=np.rint,
)
PYTHON: Any = SimpleNamespace(
    pi=Text.name("math.pi"),
    where=_where,
    passed=lambda milestones, t: Text(_parsed(f"sum([{t} >= step for step in {milestones}])")),
    exp=_call("math.exp"),
    log=_call("math.log"),
    cos=_call("math.cos"),
    sqrt=_call("math.sqrt"),
    floor=_call("math.floor"),
    minimum=_call("min"),
    maximum=_call("max"),
    round=_call("round"),
)
