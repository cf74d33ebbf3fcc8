"""A rule as somebody types it, on a page or in the place of a name: the text of a formula's function, read by its
syntax tree and never run.

    def my_rule(g, m, *, lr=0.01, beta=0.9):
        m = beta * m + g
        return Update(-lr * sign(m), m=m)

The grammar is a whitelist: assignments to plain names, then ``return Update(step, state=…)``; numbers, names,
``+ − * / **``, comparisons, and the functions of `vocabulary`. Everything else is refused. What it may grow to is
bounded while it is read: every name carries the size of its expression.

The functions of `operations`, which look beyond one weight, are left to formulas in a file.
"""

from __future__ import annotations

import ast
import inspect
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

from ..errors import FormulaError
from ..unknown import unknown
from . import vocabulary
from .base import Formula, formula
from .equations import Update

LONGEST = 2_000  # characters
MOST_LINES, MOST_PARAMETERS = 40, 24
LARGEST = 400  # operations of an expression, with those of the names in it
HIGHEST_POWER, LARGEST_NUMBER = 64, 1e30

_WORDS = {name: getattr(vocabulary, name) for name in vocabulary.__all__}
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARGUMENTS = {"where": (3,), "equal": (2,), "maximum": range(2, 9), "minimum": range(2, 9)}  # of the others one
_UPDATES = ("Update", "tw.Update", "thalweg.Update")
_DECORATORS = ("formula", "tw.formula", "thalweg.formula")


@dataclass(frozen=True)
class _Sized:
    """A value, and how many operations it is made of."""

    value: Any
    size: int = 1


def is_text(text: str) -> bool:
    """Whether it is meant as the text of a rule, and not as the name of one.

    >>> is_text("def mine(g, *, lr=0.01): return Update(-lr * g)"), is_text("adam(beta2=0.99)")
    (True, False)
    """
    return re.match(r"\s*(@|def\b)", text) is not None


def typed(text: str) -> Formula:
    """The rule of a text.

    Raises:
        FormulaError: anything but such a function, with the line it is in.

    >>> rule = typed("def mine(g, m, *, lr=0.01, beta=0.9):\\n    m = beta * m + g\\n    return Update(-lr * m, m=m)")
    >>> rule.name, rule.states, rule.hyperparameters
    ('mine', ('m',), {'lr': 0.01, 'beta': 0.9})
    """
    if len(text) > LONGEST:
        raise FormulaError(f"the rule has {len(text):,} characters, and may have {LONGEST:,}; shorten it.")
    try:
        tree = ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        raise FormulaError(f"the rule cannot be read{where}; write it like def my_rule(g, *, lr=0.01): …") from error
    if len(tree.body) != 1 or not isinstance(function := tree.body[0], ast.FunctionDef):
        raise FormulaError("the rule must be one function, def my_rule(g, *, lr=0.01): …, and nothing else.")
    for decorator in function.decorator_list:
        if _dotted(decorator) not in _DECORATORS:
            raise _refused(decorator, "a rule on a page has no decorator but @tw.formula, without arguments")
    if len(function.body) > MOST_LINES:
        raise FormulaError(f"the rule has {len(function.body)} lines, and may have {MOST_LINES}; shorten it.")
    parameters = _parameters(function.args)

    def rule(*positional: Any, **named: Any) -> Update:
        names = [name for name, one in parameters.items() if one.kind is not one.KEYWORD_ONLY]
        return _returned(function, dict(zip(names, positional, strict=True)) | named)

    rule.__name__ = _name(function, function.name)
    rule.__doc__ = ast.get_docstring(function)
    rule.__signature__ = inspect.Signature(list(parameters.values()))  # pyright: ignore[reportFunctionMemberAccess]
    return formula(rule)


def _parameters(given: ast.arguments) -> dict[str, inspect.Parameter]:
    """The signature, whose defaults are numbers."""
    for extra in (given.vararg, given.kwarg, *given.defaults):
        if extra is not None:
            raise _refused(extra, "hyperparameters stand behind a * with their defaults, states before it without")
    before, behind = [*given.posonlyargs, *given.args], given.kwonlyargs
    if len(before) + len(behind) > MOST_PARAMETERS:
        raise FormulaError(f"the rule has more than {MOST_PARAMETERS} parameters; leave some out.")
    parameters = [inspect.Parameter(_name(one, one.arg), inspect.Parameter.POSITIONAL_OR_KEYWORD) for one in before]
    for one, default in zip(behind, given.kw_defaults, strict=True):
        value = inspect.Parameter.empty if default is None else _number(default)
        parameters.append(inspect.Parameter(_name(one, one.arg), inspect.Parameter.KEYWORD_ONLY, default=value))
    return {one.name: one for one in parameters}


def _number(node: ast.expr) -> float:
    constant, sign = node, 1.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        constant, sign = node.operand, -1.0
    value = constant.value if isinstance(constant, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(node, "the default of a hyperparameter is a number")
    return sign * value


def _name(node: ast.AST, name: str) -> str:
    if not name.isascii() or name.startswith("_") or len(name) > 32 or name in _WORDS:
        raise _refused(node, f"{name[:40]} cannot be a name here; use letters and digits, and no name of a function")
    return name


def _returned(function: ast.FunctionDef, values: Mapping[str, Any]) -> Update:
    """What the function gives for these values, line by line."""
    names = {name: _Sized(value) for name, value in values.items()}
    *lines, last = function.body
    for place, line in enumerate(lines):
        if place == 0 and isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            continue  # a docstring
        if isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name):
            names[_name(line, line.targets[0].id)] = _value(line.value, names)
        elif isinstance(line, ast.AugAssign) and isinstance(line.target, ast.Name):
            both = ast.BinOp(ast.Name(line.target.id, ast.Load()), line.op, line.value)
            names[_name(line, line.target.id)] = _value(ast.copy_location(both, line), names)
        else:
            raise _refused(line, "before its return a rule has only lines such as m = beta * m + g")
    call = last.value if isinstance(last, ast.Return) else None
    if not isinstance(call, ast.Call) or _dotted(call.func) not in _UPDATES or len(call.args) != 1:
        raise _refused(last, "the last line is return Update(step, state=…), with every state by its name")
    if any(keyword.arg is None for keyword in call.keywords):
        raise _refused(last, "every state stands by its name in Update")
    states = {str(keyword.arg): _value(keyword.value, names).value for keyword in call.keywords}
    return Update(_value(call.args[0], names).value, **states)


def _value(node: ast.expr, names: Mapping[str, _Sized]) -> _Sized:
    """What an expression stands for."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _bounded(node, node.value, 1)
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise _refused(node, unknown("name in this rule", node.id, names).rstrip("."))
        return names[node.id]
    if isinstance(node, ast.BinOp):
        parts, apply = [_value(node.left, names), _value(node.right, names)], _OPERATORS.get(type(node.op))
    elif isinstance(node, ast.UnaryOp):
        parts, apply = [_value(node.operand, names)], _OPERATORS.get(type(node.op))
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        parts, apply = [_value(one, names) for one in (node.left, *node.comparators)], _OPERATORS.get(type(node.ops[0]))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        parts, apply = [_value(one, names) for one in node.args], _WORDS.get(node.func.id)
        if apply is not None and len(parts) not in _ARGUMENTS.get(node.func.id, (1,)):
            raise _refused(node, f"{node.func.id} does not take {len(parts)} arguments")
    else:
        parts, apply = [], None
    if apply is None:
        raise _refused(node, f"a rule on a page may use + − * / **, comparisons and {', '.join(_WORDS)}")
    size = 1 + sum(part.size for part in parts)
    if size > LARGEST:
        raise _refused(node, f"that is more than {LARGEST} operations, with those of the names in it")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and _is_large(parts[1].value):
        raise _refused(node, f"exponents that are numbers go to {HIGHEST_POWER}")
    try:
        value = apply(*(part.value for part in parts))
    except FormulaError as error:
        raise _refused(node, str(error).rstrip(".")) from error
    except (ArithmeticError, TypeError, ValueError, AttributeError) as error:
        raise _refused(node, f"that cannot be computed ({error})") from error
    return _bounded(node, value, size)


def _is_large(exponent: Any) -> bool:
    return isinstance(exponent, int | float | sp.Number) and abs(exponent) > HIGHEST_POWER


def _bounded(node: ast.AST, value: Any, size: int) -> _Sized:
    if isinstance(value, int | float | sp.Number) and not abs(value) <= LARGEST_NUMBER:
        raise _refused(node, f"numbers go to {LARGEST_NUMBER:g}")
    return _Sized(value, size)


def _dotted(node: ast.AST) -> str:
    """tw.Update of its tree; empty for anything but a name, or a name of a name."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _refused(node: ast.AST, why: str) -> FormulaError:
    line = getattr(node, "lineno", None)
    return FormulaError(f"{f'line {line}' if line else 'the rule'}: {why}.")
