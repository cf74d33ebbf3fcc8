"""`tw.function`: a user's formula as data, ready to be evaluated, differentiated, drawn and printed.

A text goes through `syntax.py` (what it says), `bounds.py` (how large it would become) and `symbolic.py` (the
SymPy expression), so that no text can run code, hang or fill the memory. Python callables and SymPy expressions come
from a program that runs anyway, and are taken as they are.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from ..errors import ExpressionError
from ..language import say
from ..typeset import Typeset
from .bounds import Measure
from .evaluation import evaluated
from .symbolic import build, symbol
from .syntax import Node, check_products, names, parse, shown
from .text import latex, plain


@dataclass(frozen=True)
class Function(Typeset):
    """A real function of named variables; `tw.function` makes it.

    Attributes:
        variables: their names, in the order of the arguments.
        expression: SymPy, of real symbols with these names; None for a Python callable that takes arrays only.
        call: that callable.
    """

    expression: Any
    variables: tuple[str, ...]
    call: Callable[..., Any] | None = field(default=None, repr=False)

    def __call__(self, *values: Any, **named: Any) -> Any:
        """The values, of the shape and type of what is given: floats, NumPy arrays or torch tensors.

        Whole numbers count as float64; arguments of several shapes are broadcast; NaN where the function is not real.
        torch can differentiate through.

        >>> import numpy as np
        >>> f = function("x*sin(x)")
        >>> f(2.5), f(np.float32(2.5)).dtype
        (1.4961803602598913, dtype('float32'))
        >>> function("x - 2y")(y=1, x=5)
        3.0

        Raises:
            ExpressionError: too few or too many arguments, or one that is not a variable.
        """
        values = self._arguments(values, named)
        if self.call is not None:
            return self.call(*values)
        return evaluated(self.expression, self.variables, values)

    def latex(self) -> str:
        r"""LaTeX of the expression.

        >>> function("x²−4x+6").latex()
        'x^{2} - 4 x + 6'
        """
        return latex(self.symbolic())

    def __str__(self) -> str:
        if self.expression is None:
            return f"{getattr(self.call, '__name__', 'f')}({', '.join(self.variables)})"
        return plain(self.expression)

    def __hash__(self) -> int:
        return hash((self.expression, self.variables, self.call))

    def symbols(self) -> tuple[Any, ...]:
        """The variables as SymPy symbols."""
        return tuple(symbol(name) for name in self.variables)

    def symbolic(self) -> Any:
        """The expression.

        Raises:
            ExpressionError: a callable that has none.
        """
        if self.expression is None:
            raise ExpressionError(
                "{f} takes numbers only, so it has no formula; give a text, e.g. 'x*sin(x)', or a function that "
                "works with SymPy's symbols.",
                f=self,
            )
        return self.expression

    def _arguments(self, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        arguments = dict(zip(self.variables, values, strict=False)) | named
        if len(values) + len(named) != len(arguments) or set(arguments) != set(self.variables):
            given = [say("{count} value{s}", count=len(values), s="s" * (len(values) != 1)), *named]
            raise ExpressionError(
                "{f} takes {names}, but was given {given}; give each variable once.",
                f=self,
                names=", ".join(self.variables) or say("nothing"),
                given=", ".join(given),
            )
        return tuple(arguments[name] for name in self.variables)


def function(
    formula: str | Function | Callable[..., Any] | Any, variables: str | Iterable[str] | None = None
) -> Function:
    """A formula as a function: `tw.function("x*sin(x)")`.

    Read from a text are numbers, + − * / ** ^ and their signs on paper (x², ·, √, |x|), parentheses, the functions
    sin cos tan, their inverses and hyperbolic forms, exp log log2 log10 sqrt abs sign min max floor ceil heaviside
    erf sigmoid relu softplus, and the constants pi and e. Any other name is a variable. 3x and 2(x − 1) are
    products; xy is refused beside x or y, and sinx. What a formula is called may stand before it, ``f(x, y) =``.

    Args:
        formula: such a text; a SymPy expression; or a Python callable, which is called with SymPy symbols if it
            works with them, and with numbers otherwise.
        variables: their names in the order of the arguments, also of some that do not occur; alphabetical unless
            given, and for a callable those of its parameters.

    >>> f = function("3x^2 - 2x + 1")
    >>> print(f, f.variables, f(2), sep="; ")
    3x² − 2x + 1; ('x',); 9.0
    >>> print(function(lambda x, y: x * y**2), function("a*b", variables="b a").variables)
    x·y² ('b', 'a')

    Raises:
        ExpressionError: a text that is not such a formula, or whose numbers, powers or length are beyond bounds.
    """
    if isinstance(formula, Function):
        return formula if variables is None else function(formula.call or formula.expression, variables)
    order = None if variables is None else _names(variables)
    if isinstance(formula, str):
        return _parsed(formula, order)
    if isinstance(formula, int | float) and not isinstance(formula, bool):
        return _parsed(repr(formula), order)
    if isinstance(formula, sp.Expr):
        return _symbolic(formula, order)
    if callable(formula):
        return _called(formula, order)
    raise ExpressionError(
        "{given} is not a formula; give a text, e.g. 'x*sin(x)', a SymPy expression or a function.",
        given=shown(repr(formula)),
    )


def _names(variables: str | Iterable[str]) -> tuple[str, ...]:
    if not isinstance(variables, Iterable):
        raise ExpressionError("variables= is {given}; give names, e.g. 'x y'.", given=repr(variables))
    words = variables.replace(",", " ").split() if isinstance(variables, str) else list(variables)
    order = tuple(str(word) for word in words)
    for word in order:
        if not word.isidentifier():
            raise ExpressionError(
                "{word} is not a variable's name; names are of letters, digits and _.", word=shown(word)
            )
    if len(set(order)) < len(order):
        raise ExpressionError("variables {names} name one twice; name each once.", names=", ".join(order))
    return order


_HEAD = re.compile(r"\s*(?:([^\W\d]\w*)\s*\(([^()=]*)\)|([yzfgh]))\s*=(?!=)")  # f(x) = or y =


def _parsed(text: str, order: tuple[str, ...] | None) -> Function:
    head = _HEAD.match(text)
    if head is not None and not re.search(rf"\b{head[1] or head[3]}\b", text[head.end() :]):
        text, given = text[head.end() :].strip(), head[2]
        order = _names(given) if order is None and given is not None else order
    tree = parse(text)
    variables = names(tree)
    if order is None:
        check_products(text, variables)
    return Function(_built(tree, Measure(tree, text), text), _ordered(variables, order, shown(text)))


def _built(tree: Node, sizes: Measure, text: str) -> Any:
    """The expression, where its parts do not cancel to something that is not a real number."""
    try:
        expression = build(tree, sizes)
    except (ArithmeticError, RecursionError, TypeError, ValueError):  # SymPy on constants that are not real
        expression = sp.nan
    if expression.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I):
        raise ExpressionError(
            "{formula} has a part that is not a real number whatever the variables are, such as 1/(x − x) or the "
            "root of a negative number; take it out.",
            formula=shown(text),
        )
    return expression


def _symbolic(expression: Any, order: tuple[str, ...] | None) -> Function:
    """Its symbols made real, as all variables are here."""
    free = {one.name: one for one in expression.free_symbols}
    if len(free) < len(expression.free_symbols):
        raise ExpressionError("{formula} has two symbols of one name; rename one.", formula=shown(str(expression)))
    real = expression.xreplace({one: symbol(name) for name, one in free.items()})
    return Function(real, _ordered(set(free), order, shown(str(expression))))


def _ordered(variables: set[str], order: tuple[str, ...] | None, what: str) -> tuple[str, ...]:
    if order is None:
        return tuple(sorted(variables))
    if missing := sorted(variables - set(order)):
        raise ExpressionError(
            "{what} has {missing}, and variables= has {names}; name all of them.",
            what=what,
            missing=", ".join(missing),
            names=", ".join(order) or say("none"),
        )
    return order


def _called(call: Callable[..., Any], order: tuple[str, ...] | None) -> Function:
    """The expression that a callable gives for symbols; the callable itself where it gives none."""
    if order is None:
        try:
            parameters = inspect.signature(call).parameters.values()
        except (TypeError, ValueError):
            raise ExpressionError(
                "{call} does not say its arguments; name them with variables=.", call=repr(call)
            ) from None
        if any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters):
            raise ExpressionError("{call} takes any number of arguments; name them with variables=.", call=repr(call))
        order = _names([one.name for one in parameters if one.default is one.empty])
    try:
        expression: Any = sp.sympify(call(*map(symbol, order)), strict=True)
    except Exception:  # whatever a user's code raises for a symbol, it may work with numbers
        expression = None
    if isinstance(expression, sp.Expr) and expression.free_symbols <= set(map(symbol, order)):
        return Function(expression, order)
    return Function(None, order, call)
