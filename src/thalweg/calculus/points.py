"""A point where something is wanted, and the bounds between which: numbers for each variable, however written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import ExpressionError
from .function import Function, function

Formula = Any  # what `tw.function` takes
Bounds = tuple[tuple[float, float], ...]  # (low, high) of each variable
Point = Any  # a number or text for one variable, a sequence of them in the variables' order, or a mapping by name


def point(f: Function, at: Point) -> tuple[float, ...]:
    """One number for each variable.

    Raises:
        ExpressionError: another count, a name that is not a variable, or what is not a number.
    """
    if isinstance(at, Mapping):
        if set(at) != set(f.variables):
            words, names = ", ".join(map(str, at)) or "nothing", ", ".join(f.variables)
            raise ExpressionError(
                "the point has {words}, and {f} has {names}; give each variable once.",
                words=words,
                f=str(f),
                names=names,
            )
        at = [at[name] for name in f.variables]
    words = [at] if isinstance(at, str) or not isinstance(at, Iterable) else list(at)
    if len(words) != len(f.variables):
        raise ExpressionError(
            "the point has {count} number{s}, and {f} has {most} variable{t}; give one number for each.",
            count=len(words),
            s="s" * (len(words) != 1),
            f=str(f),
            most=len(f.variables),
            t="s" * (len(f.variables) != 1),
        )
    return tuple(map(number, words))


def sides(bounds: Any, variables: tuple[str, ...], what: str) -> Bounds:
    """(low, high) of each variable.

    Args:
        bounds: one such pair for all, one for each in the variables' order, or a mapping by name.
        what: has the variables.

    Raises:
        ExpressionError: what are not such pairs, or a low end that is not below its high one.

    >>> sides((-1, "pi"), ("x", "y"), "f")
    ((-1.0, 3.141592653589793), (-1.0, 3.141592653589793))
    """
    names = ", ".join(variables)
    if isinstance(bounds, Mapping):
        if set(bounds) != set(variables):
            raise ExpressionError(
                "the bounds are for {bounds}, and {what} has {names}.",
                bounds=", ".join(map(str, bounds)),
                what=what,
                names=names,
            )
        bounds = [bounds[name] for name in variables]
    try:
        pairs = [bounds] if np.ndim(bounds) == 1 and not isinstance(bounds[0], list | tuple) else bounds
        limits = tuple((number(low), number(high)) for low, high in pairs)
    except ExpressionError:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise ExpressionError(
            "{bounds} are not bounds; give (low, high), or one such pair for each variable.", bounds=repr(bounds)
        ) from error
    limits = limits * len(variables) if len(limits) == 1 else limits
    if len(limits) != len(variables) or any(low >= high for low, high in limits):
        raise ExpressionError(
            "{bounds} are not bounds of {what}: the lower end comes first, as in -5:5, with one pair for each of "
            "{names} or one for all.",
            bounds=", ".join(f"{low:g}:{high:g}" for low, high in limits),
            what=what,
            names=names,
        )
    return limits


def number(word: Any) -> float:
    """A finite number, also written as a formula without variables, such as pi/2."""
    if isinstance(word, str):
        f = function(word)
        if f.variables:
            raise ExpressionError(
                "{word} is not a number, because it has {names}; give a number.",
                word=repr(word),
                names=", ".join(f.variables),
            )
        return f()
    try:
        value = float(word)
    except (TypeError, ValueError) as error:
        raise ExpressionError("{word} is not a number; give one, e.g. 2 or 'pi/2'.", word=repr(word)) from error
    if not math.isfinite(value):
        raise ExpressionError("{word} is not a finite number; give one.", word=repr(word))
    return value
