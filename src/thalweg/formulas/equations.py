"""A formula's function becomes equations: it is run once on SymPy symbols, and what it returns is checked.

Everything that can be wrong with a user's function is refused here, when it is declared, in one
sentence; behind this module every expression is elementwise arithmetic in known symbols.

Read next: `vocabulary.py` (the functions a formula may use), then `kernels/lower.py`.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp
from sympy.functions.elementary.piecewise import ExprCondPair

from ..errors import FormulaError, unknown
from . import vocabulary

RESERVED = {"g": "gradient", "w": "weight", "t": "step counted from 1", "loss": "loss of the batch"}
_FUNCTIONS = (sp.Abs, sp.sign, sp.exp, sp.log, sp.tanh, sp.sin, sp.cos, sp.Min, sp.Max, sp.floor)
ELEMENTWISE = (sp.Add, sp.Mul, sp.Pow, *_FUNCTIONS, sp.Piecewise, sp.UnevaluatedExpr, ExprCondPair)
CONDITIONS = (sp.core.relational.Relational, sp.And, sp.Or, sp.Not, sp.logic.boolalg.BooleanAtom)
_NOT_NUMBERS = (sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I)
_WORDS = ", ".join(vocabulary.__all__)

Option = bool | str | None


class Update:
    """What a formula returns: the step added to the weight, and the new value of each state.

    w ← w + step, and each state takes the value named for it. `step` and the states are expressions in the formula's
    parameters. `at`, for the rules that need it, is how far from w the gradient g is to be taken.

    >>> import thalweg as tw
    >>> @tw.formula()
    ... def heavy_ball(g, a, *, lr=0.1, beta=0.9):
    ...     a = beta * a + g
    ...     return tw.Update(-lr * a, a=a)
    >>> heavy_ball.states
    ('a',)
    """

    __slots__ = ("at", "states", "step")

    def __init__(self, step: Any, *, at: Any = None, **states: Any) -> None:
        self.step = step
        self.at = at
        self.states = states


@dataclass(frozen=True)
class Equations:
    """The expressions of a formula: w ← w + `step`, state ← `states[state]`.

    Two formulas that differ only in the default of a hyperparameter share one `Equations`, and
    therefore one compiled kernel.
    """

    name: str
    hyperparameters: tuple[str, ...]
    step: sp.Expr
    states: tuple[tuple[str, sp.Expr], ...]
    initial: tuple[tuple[str, float | str], ...]
    at: sp.Expr | None = None
    single: tuple[str, ...] = ()

    @property
    def lookahead(self) -> Equations | None:
        """w ← w + `at` with the states as they are: the way to the point where the gradient is taken."""
        if self.at is None:
            return None
        states = tuple((name, symbol(name)) for name in self.state_names)
        return replace(self, name=f"{self.name}_lookahead", step=self.at, states=states, at=None)

    @property
    def state_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.states)


def symbol(name: str) -> sp.Symbol:
    """The symbol a formula's parameter stands for; t is positive, everything else is real."""
    return sp.Symbol(name, positive=True) if name == "t" else sp.Symbol(name, real=True)


def signature(function: Callable[..., Update], rule: str) -> tuple[dict[str, float], dict[str, Option]]:
    """The hyperparameters and the options in a formula's signature, with their defaults."""
    hyperparameters: dict[str, float] = {}
    options: dict[str, Option] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        _fits_a_signature(rule, parameter)
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if parameter.default is None or isinstance(parameter.default, bool | str):
            options[name] = parameter.default
        else:
            hyperparameters[name] = number(rule, name, parameter.default)
    return hyperparameters, options


def _fits_a_signature(rule: str, parameter: inspect.Parameter) -> None:
    name, default = parameter.name, parameter.default
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise FormulaError(f"formula {rule}: *{name} is not allowed, name every state and hyperparameter.")
    if name.startswith("_"):
        raise FormulaError(f"formula {rule}: {name} starts with an underscore; give it a name without.")
    if parameter.kind is not parameter.KEYWORD_ONLY:
        if default is not parameter.empty:
            raise FormulaError(
                f"formula {rule}: {name}={default!r} stands before the *; "
                "hyperparameters are keyword-only, so move it behind a * in the signature."
            )
        if name in ("step", "at"):
            raise FormulaError(f"formula {rule}: {name} is an argument of tw.Update; give the state another name.")
    elif name in RESERVED:
        raise FormulaError(
            f"formula {rule}: {name} is reserved ({RESERVED[name]}); give the hyperparameter another name."
        )
    elif default is parameter.empty:
        raise FormulaError(f"formula {rule}: hyperparameter {name} needs a default, e.g. {name}=0.9.")


def read(
    function: Callable[..., Update],
    rule: str,
    hyperparameters: Iterable[str],
    options: Mapping[str, Option],
    initial: Mapping[str, float | str],
) -> Equations:
    """Run the function on symbols, and check what it returns."""
    parameters = inspect.signature(function).parameters
    positional = [name for name, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]
    numbers = tuple(name for name in parameters if name in set(hyperparameters))
    symbols = {name: symbol(name) for name in (*positional, *numbers)}
    named = {**{name: symbols[name] for name in numbers}, **options}
    result = _run(function, rule, [symbols[name] for name in positional], named)
    states = [name for name in positional if name not in RESERVED]
    _has_all_states(rule, states, result.states)
    step = _elementwise(rule, "the step", result.step, symbols)
    at = _displacement(rule, result.at, symbols)
    values = {name: _elementwise(rule, f"state {name}", result.states[name], symbols) for name in states}
    _fits_initial(rule, initial, states, numbers)
    changed = [name for name in states if values[name] != symbols[name]]
    read_by = set().union(*(e.free_symbols for e in (step, at or step, *(values[n] for n in changed))))
    used = [name for name in states if name in changed or symbols[name] in read_by]
    return Equations(
        name=rule,
        hyperparameters=numbers,
        step=step,
        states=tuple((name, values[name]) for name in used),
        initial=tuple((name, initial.get(name, 0.0)) for name in used),
        at=at,
        single=_single({name: values[name] for name in changed}, numbers),
    )


def _single(changed: Mapping[str, sp.Expr], numbers: tuple[str, ...]) -> tuple[str, ...]:
    """Of the states that change, those that never meet a gradient, a weight, or a state that does."""
    single, uniform = dict(changed), {symbol(name) for name in ("t", "loss", *numbers)}
    while True:
        allowed = uniform | {symbol(name) for name in single}
        mixed = [name for name, value in single.items() if not value.free_symbols <= allowed]
        if not mixed:
            return tuple(single)
        for name in mixed:
            del single[name]


def _run(function: Callable[..., Update], rule: str, positional: list[Any], named: dict[str, Any]) -> Update:
    try:
        result = _with_vocabulary(function)(*positional, **named)
    except FormulaError:
        raise
    except Exception as error:  # whatever a user's function may raise on symbols
        raise FormulaError(f"formula {rule} cannot be run on symbols ({error}): {_advice(error)}.") from error
    if not isinstance(result, Update):
        raise FormulaError(
            f"formula {rule} returned {type(result).__name__}; return tw.Update(step, state=new_value, …)."
        )
    return result


def _advice(error: Exception) -> str:
    text = str(error)
    if "truth value" in text:
        return "use where(condition, a, b) in place of if, maximum and minimum in place of max and min"
    if any(part in text for part in ("to float", "ufunc", "must be Tensor", "must be real")):
        return f"write functions by their bare names, sqrt(v) and not math.sqrt(v); there are {_WORDS}"
    return f"a formula may use + − * / **, comparisons and {_WORDS}"


def _with_vocabulary(function: Callable[..., Update]) -> Callable[..., Update]:
    """The function with the vocabulary in front of its own globals, so that `sqrt` is symbolic."""
    words = {name: getattr(vocabulary, name) for name in vocabulary.__all__}
    if not isinstance(function, types.FunctionType):
        return function
    code, names = function.__code__, {**function.__globals__, **words}
    symbolic = types.FunctionType(code, names, function.__name__, function.__defaults__, function.__closure__)
    symbolic.__kwdefaults__ = function.__kwdefaults__
    return symbolic


def _has_all_states(rule: str, states: list[str], returned: Mapping[str, Any]) -> None:
    extra = [name for name in returned if name not in states]
    if extra:
        raise FormulaError(
            f"formula {rule} returned state {extra[0]}, which is not among its parameters; "
            f"its states are {', '.join(states) or 'none'}."
        )
    missing = [name for name in states if name not in returned]
    if missing:
        raise FormulaError(
            f"formula {rule} has state {missing[0]} but returned no new value for it: "
            f"return tw.Update(step, {missing[0]}=…)."
        )


def _fits_initial(rule: str, initial: Mapping[str, float | str], states: list[str], numbers: tuple[str, ...]) -> None:
    for name, value in initial.items():
        if name not in states:
            raise FormulaError(unknown(f"state of {rule}", name, states))
        if isinstance(value, str) and value not in numbers:
            raise FormulaError(unknown(f"hyperparameter of {rule}", value, numbers))
        if not isinstance(value, str):
            number(rule, f"initial {name}", value)


def _elementwise(rule: str, what: str, value: Any, symbols: Mapping[str, sp.Symbol]) -> sp.Expr:
    """`value` as an expression, or a sentence saying why it is not one value per weight."""
    if isinstance(value, str):
        raise FormulaError(f"formula {rule}: {what} is the text {value!r}; give an expression.")
    try:
        expression = sp.sympify(value, strict=True)
    except (sp.SympifyError, TypeError) as error:
        raise FormulaError(
            f"formula {rule}: {what} is a {type(value).__name__}, not an expression in its parameters."
        ) from error
    if not isinstance(expression, sp.Expr) or expression.is_Matrix or isinstance(expression, sp.MatrixExpr):
        raise FormulaError(f"formula {rule}: {what} is a {type(value).__name__}; a formula gives one value per weight.")
    strangers = sorted(map(str, expression.free_symbols - set(symbols.values())))
    if strangers:
        raise FormulaError(
            f"formula {rule}: {what} uses {strangers[0]}, which is not a parameter; "
            "add it to the signature as a state or a keyword-only hyperparameter."
        )
    for node in sp.preorder_traversal(expression):
        if node in _NOT_NUMBERS:
            raise FormulaError(f"formula {rule}: {what} contains {node}; use finite real numbers.")
        if not (node.is_Atom or isinstance(node, ELEMENTWISE + CONDITIONS)):
            raise FormulaError(
                f"formula {rule}: {what} uses {node}, which is not elementwise arithmetic; "
                f"a formula may use + − * / ** and {_WORDS}."
            )
    return expression


def _displacement(rule: str, at: Any, symbols: Mapping[str, sp.Symbol]) -> sp.Expr | None:
    if at is None:
        return None
    expression = _elementwise(rule, "at", at, symbols)
    if symbols.get("g") in expression.free_symbols:
        raise FormulaError(f"formula {rule}: at uses g, the gradient that is taken there; use the states.")
    return expression


def one_of(rule: str, **forms: bool) -> None:
    """Refuse two options that exclude each other."""
    chosen = [name for name, on in forms.items() if on]
    if len(chosen) > 1:
        raise FormulaError(f"formula {rule}: {' and '.join(chosen)} are different forms; choose one.")


def number(rule: str, name: str, value: Any) -> float:
    """A finite float, or a sentence."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormulaError(f"formula {rule}: hyperparameter {name} must be a number, not {value!r}.")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        shown = f"a number of {len(bin(value))} bits" if isinstance(value, int) else repr(value)
        raise FormulaError(f"formula {rule}: hyperparameter {name} must be finite, not {shown}.")
    return result


def option(rule: str, name: str, value: Any, present: Option) -> bool | str:
    """A value of the option's kind, or a sentence."""
    if not isinstance(value, bool | str) or isinstance(value, bool) is not isinstance(present, bool):
        kind = "True or False" if isinstance(present, bool) else "a name"
        raise FormulaError(f"formula {rule}: option {name} must be {kind}, not {value!r}.")
    return value
