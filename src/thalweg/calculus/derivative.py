"""`tw.derivative`: by the rules of `rules.py`, or by the definition, in `limit.py`.

Results show how they were found, and are functions too: called with numbers, they give the slope there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, overload

from ..errors import ExpressionError
from ..language import say
from ..numbers import Range
from .by_rules import Derivative, differentiated, valued
from .function import Function, function
from .limit import Limit, by_definition
from .points import Formula, Point, point

MOST = 12  # times a function is differentiated


@overload
def derivative(
    formula: Formula,
    wrt: str | None = None,
    order: int = 1,
    at: Point = None,
    *,
    method: Literal["rules"] = "rules",
    variables: str | Iterable[str] | None = None,
) -> Derivative: ...
@overload
def derivative(
    formula: Formula,
    wrt: str | None = None,
    order: int = 1,
    at: Point = None,
    *,
    method: Literal["limit"],
    variables: str | Iterable[str] | None = None,
) -> Limit: ...
def derivative(
    formula: Formula,
    wrt: str | None = None,
    order: int = 1,
    at: Point = None,
    *,
    method: str = "rules",
    variables: str | Iterable[str] | None = None,
) -> Derivative | Limit:
    """df/dx of a formula, with the rules that were used; or by the definition, (f(x + h) − f(x))/h as h → 0.

    Args:
        formula: whatever `tw.function` takes.
        wrt: the variable; the only one unless given.
        order: how many times, 1 to 12.
        at: a point where the value is wanted: a number (or a text such as "pi/2") for one variable, several in the
            order of the variables, or a mapping {"x": 1, "y": 2}.
        method: "rules"; or "limit", which gives a `Limit` with a table over h and a picture.
        variables: as for `tw.function`.

    >>> print(derivative("(2x − 1)³"))
    d/dx (2x − 1)³ = 6(2x − 1)²
    <BLANKLINE>
       1  constant multiple: (c·u)′ = c·u′
          d/dx 2x = 2
       2  sum: (u + v)′ = u′ + v′
          d/dx (2x − 1) = 2
       3  chain, power: (uⁿ)′ = n·uⁿ⁻¹·u′
          d/dx (2x − 1)³ = 6(2x − 1)²
    >>> derivative("3x^3 - 2x + 1", at=2).value
    34.0

    Raises:
        ExpressionError: as for `tw.function`; several variables and no `wrt`; a derivative beyond bounds.
    """
    f = function(formula, variables)
    name = _variable(f, wrt)
    if method == "limit":
        if order != 1:
            raise ExpressionError(
                "the limit definition gives the first derivative, not order {order}; use rules.", order=repr(order)
            )
        return by_definition(f, name, None if at is None else point(f, at))
    if method != "rules":
        raise ExpressionError("{method} is not a way to differentiate; give rules or limit.", method=repr(method))
    order = Range(1, MOST, whole=True).check(say("the order"), order, ExpressionError)
    by_rules = differentiated(f, name, order)
    return by_rules if at is None else valued(by_rules, point(f, at))


def _variable(f: Function, wrt: str | None) -> str:
    names = ", ".join(f.variables)
    if wrt is None:
        if len(f.variables) > 1:
            raise ExpressionError(
                "{f} has variables {names}; say which with wrt (--wrt {first}), or ask for the gradient.",
                f=str(f),
                names=names,
                first=f.variables[0],
            )
        return f.variables[0] if f.variables else "x"
    if f.variables and wrt not in f.variables:
        raise ExpressionError(
            "{wrt} is not a variable of {f}, which has {names}; give one of them.", wrt=repr(wrt), f=str(f), names=names
        )
    return wrt
