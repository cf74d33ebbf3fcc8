"""A formula's function becomes equations: it is run once on SymPy symbols, and what it returns is checked.

Everything that can be wrong with a user's function is refused here, when it is declared, in one sentence.

Read next: `vocabulary.py` and `operations.py` (the functions a formula may use), then `kernels/lower.py`.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sympy as sp
from sympy.functions.elementary.piecewise import ExprCondPair

from ..errors import FormulaError
from ..unknown import unknown
from . import operations, vocabulary
from .equations import (
    DISPLACEMENTS,
    RESERVED,
    SAMPLED,
    WEIGHT_ITSELF,
    Equations,
    Option,
    Update,
    number,
    option,
    symbol,
)
from .shapes import NUMBER, WEIGHT, Inference, Shape, of_states

_FUNCTIONS = (sp.Abs, sp.sign, sp.exp, sp.log, sp.tanh, sp.sin, sp.cos, sp.Min, sp.Max, sp.floor)
ELEMENTWISE = (sp.Add, sp.Mul, sp.Pow, *_FUNCTIONS, sp.Piecewise, sp.UnevaluatedExpr, ExprCondPair)
CONDITIONS = (sp.core.relational.Relational, sp.And, sp.Or, sp.Not, sp.logic.boolalg.BooleanAtom)
_NOT_NUMBERS = (sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I)
_WORDS = ", ".join((*vocabulary.__all__, *operations.WORDS))


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
        elif parameter.annotation in (int, "int"):
            options[name] = option(rule, name, parameter.default, 0)
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
        if name in ("step", *DISPLACEMENTS, *SAMPLED):
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
    shapes: Mapping[str, Shape],
    batched: bool,
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
    step = _expression(rule, "the step", result.step, symbols)
    at, again, shown = (_displacement(rule, what, getattr(result, what), symbols) for what in DISPLACEMENTS)
    known = {symbols[name] for name in ("g", "w", *numbers) if name in symbols}
    if again is not None and (other := sorted(map(str, again.free_symbols - known))):
        raise FormulaError(f"formula {rule}: again uses {other[0]}; it may use g, w and hyperparameters.")
    values = {name: _expression(rule, f"state {name}", result.states[name], symbols) for name in states}
    _fits_initial(rule, initial, states, numbers)
    sampled = _sampled(rule, result, states, symbols)
    changed = [name for name in states if values[name] != symbols[name] or name in sampled]
    read = (step, at or step, shown or step, *(values[n] for n in changed), *sampled.values())
    read_by = set().union(*(e.free_symbols for e in read))
    used = [name for name in states if name in changed or symbols[name] in read_by]
    used_values = {name: values[name] for name in used}
    each = _shapes(rule, used_values, shapes, numbers)
    for name in used:
        if initial.get(name) == WEIGHT_ITSELF and each[name] != WEIGHT:
            raise FormulaError(f"formula {rule}: state {name} begins at the weight and is {each[name]}; give a number.")
    inference = Inference(rule, _uniform(numbers) | {symbol(name): shape for name, shape in each.items()})
    for what, moved in (("the step", step), ("at", at), ("again", again), ("shown", shown)):
        shape = None if moved is None else inference.of(moved)
        if shape is not None and not shape.fits(WEIGHT):
            raise FormulaError(
                f"formula {rule}: {what} is {shape}, and the weight is {WEIGHT}; bring it to that shape."
            )
    for name in {n for n in used for value in sampled.values() if n in sampled or symbols[n] in value.free_symbols}:
        if each[name] != WEIGHT:
            raise FormulaError(
                "formula {rule}: sampled goes by state {name}, which is {shape}; it may go by g, w, t, "
                "hyperparameters and states of one value per weight.",
                rule=rule,
                name=name,
                shape=str(each[name]),
            )
    return Equations(
        name=rule,
        hyperparameters=numbers,
        step=step,
        states=tuple(used_values.items()),
        initial=tuple((name, initial.get(name, 0.0)) for name in used),
        at=at,
        single=tuple(name for name in used if name in changed and each[name] == NUMBER),
        shapes=tuple((name, each[name]) for name in used if each[name] not in (NUMBER, WEIGHT)),
        shown=shown,
        batched=batched,
        again=again,
        sampled=tuple(sampled.items()),
        every=result.every if sampled else 1,
    )


def _sampled(rule: str, result: Update, states: list[str], symbols: Mapping[str, sp.Symbol]) -> dict[str, sp.Expr]:
    """The states that a gradient on sampled targets gives."""
    if not isinstance(result.every, int) or isinstance(result.every, bool) or result.every < 1:
        raise FormulaError(
            "formula {rule}: every is {every}; give a whole number of steps from 1.",
            rule=rule,
            every=repr(result.every),
        )
    if not isinstance(result.sampled, Mapping):
        raise FormulaError(
            "formula {rule}: sampled is of type {kind}; give a dict of states and their new values, "
            "sampled={{'h': …}}.",
            rule=rule,
            kind=type(result.sampled).__name__,
        )
    if result.sampled and result.at is not None:
        raise FormulaError(
            "formula {rule}: sampled is of the gradient at w, and at moves it; leave one of them out.", rule=rule
        )
    values = {}
    for name, value in result.sampled.items():
        if name not in states:
            raise FormulaError(unknown(f"state of {rule}", name, states))
        values[name] = _expression(rule, f"sampled state {name}", value, symbols)
        if "loss" in map(str, values[name].free_symbols) or values[name].has(operations.OperationBase):
            raise FormulaError(
                "formula {rule}: sampled state {name} looks at more than a weight; it may go by g, w, t, "
                "hyperparameters and states of one value per weight.",
                rule=rule,
                name=name,
            )
    return values


def _uniform(numbers: tuple[str, ...]) -> dict[sp.Symbol, Shape]:
    """The shapes of what is known before the step, and of the gradient and the weight."""
    return {symbol(name): NUMBER for name in ("t", "loss", *numbers)} | dict.fromkeys(map(symbol, "gw"), WEIGHT)


def _shapes(
    rule: str, values: Mapping[str, sp.Expr], declared: Mapping[str, Shape], numbers: tuple[str, ...]
) -> dict[str, Shape]:
    """The shape of each state: as declared, else that of the value it takes; without one, a value per weight."""
    known = _uniform(numbers) | {symbol(name): WEIGHT for name, value in values.items() if value == symbol(name)}
    known |= {symbol(name): shape for name, shape in declared.items() if name in values}
    shapes = of_states(rule, {symbol(name): value for name, value in values.items()}, known)
    inference = Inference(rule, {**known, **shapes})
    for name, value in values.items():
        shape, kept = inference.of(value), shapes[symbol(name)]
        if shape is not None and not shape.fits(kept):
            raise FormulaError(
                f"formula {rule}: state {name} is {kept}, and its new value is {shape}; declare it shapes="
                f"{{{name!r}: …}} as its values are, or reduce them."
            )
    return {name: shapes[symbol(name)] for name in values}


def _run(function: Callable[..., Update], rule: str, positional: list[Any], named: dict[str, Any]) -> Update:
    try:
        with operations.operators():
            result = with_vocabulary(function)(*positional, **named)
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
    return f"a formula may use + − * / ** @, comparisons and {_WORDS}"


def with_vocabulary(function: Callable[..., Update]) -> Callable[..., Update]:
    """The function with the vocabulary in front of its own globals, so that `sqrt` is symbolic.

    A function of its own module that happens to be called `mean` stays.
    """
    if not isinstance(function, types.FunctionType):
        return function
    words = {name: getattr(vocabulary, name) for name in vocabulary.__all__}
    for name in operations.WORDS:
        present = function.__globals__.get(name)
        if not isinstance(present, types.FunctionType) or present.__module__ != function.__module__:
            words[name] = getattr(operations, name)
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
            raise FormulaError(unknown("state", name, states, rule))
        if isinstance(value, str) and value not in (*numbers, WEIGHT_ITSELF):
            raise FormulaError(unknown("hyperparameter", value, numbers, rule))
        if not isinstance(value, str):
            number(rule, f"initial {name}", value)


def _expression(rule: str, what: str, value: Any, symbols: Mapping[str, sp.Symbol]) -> sp.Expr:
    """`value` as an expression, or a sentence saying why it is not one value per weight."""
    if isinstance(value, str):
        raise FormulaError(f"formula {rule}: {what} is the text {value!r}; give an expression.")
    try:
        expression = sp.sympify(value, strict=True)
    except (sp.SympifyError, TypeError) as error:
        raise FormulaError(
            f"formula {rule}: {what} is of type {type(value).__name__}, not an expression in its parameters."
        ) from error
    if not isinstance(expression, sp.Expr) or expression.is_Matrix or isinstance(expression, sp.MatrixExpr):
        raise FormulaError(
            f"formula {rule}: {what} is of type {type(value).__name__}; a formula gives one value per weight."
        )
    strangers = sorted(map(str, expression.free_symbols - set(symbols.values())))
    if strangers:
        raise FormulaError(
            f"formula {rule}: {what} uses {strangers[0]}, which is not a parameter; "
            "add it to the signature as a state or a keyword-only hyperparameter."
        )
    for node in sp.preorder_traversal(expression):
        if node in _NOT_NUMBERS:
            raise FormulaError(f"formula {rule}: {what} contains {node}; use finite real numbers.")
        if not (node.is_Atom or isinstance(node, (*ELEMENTWISE, *CONDITIONS, operations.OperationBase))):
            raise FormulaError(
                f"formula {rule}: {what} uses {node}, which is not arithmetic that a formula knows; "
                f"it may use + − * / ** @ and {_WORDS}."
            )
    return expression


def _displacement(rule: str, what: str, value: Any, symbols: Mapping[str, sp.Symbol]) -> sp.Expr | None:
    """How far from the weights something is, of which the gradient says nothing."""
    if value is None:
        return None
    expression = _expression(rule, what, value, symbols)
    if what != "again" and symbols.get("g") in expression.free_symbols:
        reason = "the gradient that is taken there" if what == "at" else "the gradient of the last step"
        raise FormulaError(f"formula {rule}: {what} uses g, {reason}; use the states.")
    return expression
