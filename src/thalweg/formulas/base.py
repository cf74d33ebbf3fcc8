"""What an optimizer is: a handful of equations, written once.

`@formula` runs the decorated function a single time on SymPy symbols and keeps the expressions it
returns. Everything else in thalweg (the torch reference, the compiled kernels, the LaTeX, the row in
a table) is derived from those expressions, so there is no second place where a rule could differ.

A parameter's place in the signature says what it is:

    def adam(g, t, m, v, *, lr=1e-3, beta1=0.9, bias_correction=True)
             ────  ────     ─────────────────── ────────────────────
      reserved     states   hyperparameters     an option: a bool or a string picks
                            (numbers)           between forms of the rule when it is read

Read next: `vocabulary.py` (the functions a formula may use), then `kernels/lower.py`.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

from ..errors import FormulaError, unknown
from . import vocabulary

RESERVED = {"g": "gradient", "w": "weight", "t": "step counted from 1", "loss": "loss of the batch"}
ELEMENTWISE = (sp.Add, sp.Mul, sp.Pow, sp.Abs, sp.sign, sp.exp, sp.log, sp.tanh, sp.sin, sp.cos, sp.Min,
               sp.Max, sp.Piecewise, sp.floor, sp.functions.elementary.piecewise.ExprCondPair)  # fmt: skip
CONDITIONS = (sp.core.relational.Relational, sp.And, sp.Or, sp.Not, sp.logic.boolalg.BooleanAtom)


class Update:
    """What a formula returns: the step added to the weight, and the new value of each state.

    w ← w + step, and each state takes the value named for it. `step` and the states are expressions
    in the formula's parameters.

    >>> import thalweg as tw
    >>> @tw.formula()
    ... def heavy_ball(g, a, *, lr=0.1, beta=0.9):
    ...     a = beta * a + g
    ...     return tw.Update(-lr * a, a=a)
    >>> heavy_ball.states
    ('a',)
    """

    __slots__ = ("states", "step")

    def __init__(self, step: Any, **states: Any) -> None:
        self.step = step
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

    @property
    def state_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.states)


@dataclass(frozen=True)
class Formula:
    """An update rule: its equations, its hyperparameters' defaults, and where it comes from.

    Made by `@tw.formula`; `with_` gives the same rule with another default or another option.

    Attributes:
        name: as `tw.formulas.get` knows it.
        label: name with what was changed by `with_`, e.g. ``adam(beta2=0.99)``.
        states: names of what the rule remembers, one value per weight each.
        hyperparameters: name → default.
        options: name → the form chosen, for rules that have several.
        equations: the SymPy expressions.
        source, year, parents: paper, year and the rules it grew from.
    """

    name: str
    equations: Equations = field(repr=False)
    hyperparameters: Mapping[str, float] = field(compare=False)
    options: Mapping[str, bool | str] = field(compare=False)
    changed: tuple[tuple[str, float | bool | str], ...] = ()
    source: str = field(default="", repr=False)
    year: int | None = field(default=None, repr=False)
    parents: tuple[str, ...] = field(default=(), repr=False)
    doc: str = field(default="", repr=False, compare=False)
    function: Callable[..., Update] | None = field(default=None, repr=False, compare=False)
    initial: Mapping[str, float | str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def states(self) -> tuple[str, ...]:
        return self.equations.state_names

    @property
    def label(self) -> str:
        inside = ", ".join(f"{name}={_plain(value)}" for name, value in self.changed)
        return f"{self.name}({inside})" if inside else self.name

    def with_(self, **changes: float | bool | str) -> Formula:
        """The same formula with other defaults or options.

        Raises FormulaError for a name the formula does not have or a value of the wrong kind.

        >>> import thalweg as tw
        >>> tw.formulas.get("adam").with_(beta2=0.99).label
        'adam(beta2=0.99)'
        """
        hyperparameters, options = dict(self.hyperparameters), dict(self.options)
        for name, value in changes.items():
            if name in hyperparameters:
                hyperparameters[name] = _number(self.name, name, value)
            elif name in options:
                options[name] = _option(self.name, name, value, options[name])
            else:
                raise FormulaError(
                    unknown(f"hyperparameter of {self.name}", name, [*hyperparameters, *options])
                )
        equations = self.equations
        if options != self.options and self.function is not None:
            equations = _read(self.function, self.name, hyperparameters, options, self.initial)
        changed = {**dict(self.changed), **changes}
        return replace(
            self, equations=equations, hyperparameters=hyperparameters, options=options,
            changed=tuple(sorted(changed.items())),
        )  # fmt: skip

    def latex(self) -> str:
        """The equations as LaTeX, one aligned row per state and one for the weight.

        >>> import thalweg as tw
        >>> print(tw.formulas.get("sgd").latex())
        \\begin{aligned}
        g_t &= g + \\lambda w \\\\
        w &\\leftarrow w - \\eta\\, g_t
        \\end{aligned}
        """
        from ..kernels.latex import latex

        return latex(self)

    def __str__(self) -> str:
        return self.label


def formula(
    function: Callable[..., Update] | None = None,
    *,
    name: str | None = None,
    source: str = "",
    year: int | None = None,
    parents: tuple[str, ...] = (),
    initial: Mapping[str, float | str] | None = None,
) -> Any:
    """Declare an update rule from a function that returns `Update`.

    The function is run once, here, on symbols. Reserved parameters are ``g`` (gradient), ``w``
    (weight), ``t`` (step counted from 1) and ``loss``; every other parameter without a default is a
    state; keyword-only parameters are hyperparameters (numbers) or options (booleans and strings).
    Inside, ``sqrt``, ``where``, ``sign``, ``abs``, ``maximum``, ``minimum``, ``exp``, ``log`` and the
    rest of `thalweg.formulas.vocabulary` mean their symbolic forms without an import.

    Args:
        name: the function's name unless given.
        source, year, parents: where the rule comes from.
        initial: state → its first value, a number or the name of a hyperparameter; 0 unless given.

    Raises:
        FormulaError: at declaration, if the function is not an elementwise update rule.

    >>> import thalweg as tw
    >>> @tw.formula(source="Bernstein et al. 2018", year=2018, parents=("sgd",))
    ... def sign_descent(g, *, lr=1e-3):
    ...     return tw.Update(-lr * sign(g))
    >>> sign_descent.hyperparameters
    {'lr': 0.001}
    """
    if function is None:
        return lambda function: formula(
            function, name=name, source=source, year=year, parents=parents, initial=initial
        )
    rule = name or function.__name__
    hyperparameters, options = _signature(function, rule)
    first = dict(initial or {})
    equations = _read(function, rule, hyperparameters, options, first)
    return Formula(
        name=rule, equations=equations, hyperparameters=hyperparameters, options=options, source=source,
        year=year, parents=tuple(parents), doc=inspect.getdoc(function) or "", function=function, initial=first,
    )  # fmt: skip


def _signature(
    function: Callable[..., Update], rule: str
) -> tuple[dict[str, float], dict[str, bool | str]]:
    hyperparameters: dict[str, float] = {}
    options: dict[str, bool | str] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise FormulaError(f"formula {rule}: *{name} is not allowed, name every state and hyperparameter.")
        keyword_only = parameter.kind is parameter.KEYWORD_ONLY
        if not keyword_only and parameter.default is not parameter.empty:
            raise FormulaError(
                f"formula {rule}: {name}={parameter.default!r} stands before the *; "
                "hyperparameters are keyword-only, so move it behind a * in the signature."
            )
        if not keyword_only:
            continue
        if name in RESERVED:
            raise FormulaError(
                f"formula {rule}: {name} is reserved ({RESERVED[name]}) and cannot be a hyperparameter; rename it."
            )
        if parameter.default is parameter.empty:
            raise FormulaError(f"formula {rule}: hyperparameter {name} needs a default, e.g. {name}=0.9.")
        if isinstance(parameter.default, bool | str):
            options[name] = parameter.default
        else:
            hyperparameters[name] = _number(rule, name, parameter.default)
    return hyperparameters, options


def _read(
    function: Callable[..., Update],
    rule: str,
    hyperparameters: Mapping[str, float],
    options: Mapping[str, bool | str],
    initial: Mapping[str, float | str],
) -> Equations:
    """Run the function on symbols, and check what it returns."""
    parameters = inspect.signature(function).parameters
    positional = [name for name, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]
    states = [name for name in positional if name not in RESERVED]
    symbols = {name: symbol(name) for name in [*positional, *hyperparameters]}
    try:
        result = _with_vocabulary(function)(
            *(symbols[name] for name in positional),
            **{name: symbols[name] for name in hyperparameters},
            **options,
        )
    except FormulaError:
        raise
    except Exception as error:  # whatever a user's function may raise on symbols
        advice = "use where(condition, a, b) in place of if" if "truth value" in str(error) else (
            "a formula may use + − * / **, comparisons and " + ", ".join(vocabulary.__all__)
        )  # fmt: skip
        raise FormulaError(f"formula {rule} cannot be run on symbols ({error}): {advice}.") from error
    if not isinstance(result, Update):
        raise FormulaError(
            f"formula {rule} returned {type(result).__name__}; return tw.Update(step, state=new_value, …)."
        )
    step = _elementwise(rule, "the step", result.step, symbols)
    values = {name: _elementwise(rule, f"state {name}", value, symbols) for name, value in result.states.items()}
    missing = [name for name in states if name not in values]
    extra = [name for name in values if name not in states]
    if extra:
        raise FormulaError(
            f"formula {rule} returned state {extra[0]}, which is not among its parameters; "
            f"its states are {', '.join(states) or 'none'}."
        )
    if missing:
        raise FormulaError(
            f"formula {rule} has state {missing[0]} but returned no new value for it: "
            f"return tw.Update(step, {missing[0]}=…)."
        )
    used = [name for name in states if values[name] != symbols[name] or symbols[name] in step.free_symbols]
    for name, value in initial.items():
        if name not in states:
            raise FormulaError(unknown(f"state of {rule}", name, states))
        if isinstance(value, str) and value not in hyperparameters:
            raise FormulaError(unknown(f"hyperparameter of {rule}", value, hyperparameters))
    return Equations(
        name=rule,
        hyperparameters=tuple(hyperparameters),
        step=step,
        states=tuple((name, values[name]) for name in used),
        initial=tuple((name, initial.get(name, 0.0)) for name in used),
    )


def symbol(name: str) -> sp.Symbol:
    """The symbol a formula's parameter stands for; t is positive, everything else is real."""
    return sp.Symbol(name, positive=True) if name == "t" else sp.Symbol(name, real=True)


def _with_vocabulary(function: Callable[..., Update]) -> Callable[..., Update]:
    """The function with the vocabulary in front of its own globals, so that `sqrt` is symbolic."""
    words = {name: getattr(vocabulary, name) for name in vocabulary.__all__}
    if not isinstance(function, types.FunctionType):
        return function
    seen = types.FunctionType(
        function.__code__, {**function.__globals__, **words}, function.__name__,
        function.__defaults__, function.__closure__,
    )  # fmt: skip
    seen.__kwdefaults__ = function.__kwdefaults__
    return seen


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
    strangers = expression.free_symbols - set(symbols.values())
    if strangers:
        raise FormulaError(
            f"formula {rule}: {what} uses {sorted(map(str, strangers))[0]}, which is not a parameter; "
            "add it to the signature as a state or a keyword-only hyperparameter."
        )
    for node in sp.preorder_traversal(expression):
        fits = isinstance(node, ELEMENTWISE + CONDITIONS) or (node.is_Atom and node not in _NOT_NUMBERS)
        if not fits:
            raise FormulaError(
                f"formula {rule}: {what} uses {type(node).__name__}({', '.join(map(str, node.args))}), which is not "
                f"elementwise arithmetic; a formula may use + − * / ** and {', '.join(vocabulary.__all__)}."
            )
    return expression


_NOT_NUMBERS = (sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I)


def _number(rule: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormulaError(f"formula {rule}: hyperparameter {name} must be a number, not {value!r}.")
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise FormulaError(f"formula {rule}: hyperparameter {name} must be finite, not {value!r}.")
    return number


def _option(rule: str, name: str, value: Any, present: bool | str) -> bool | str:
    if not isinstance(value, bool | str) or isinstance(value, bool) is not isinstance(present, bool):
        kind = "True or False" if isinstance(present, bool) else "a name"
        raise FormulaError(f"formula {rule}: option {name} must be {kind}, not {value!r}.")
    return value


def _plain(value: float | bool | str) -> str:
    return repr(value) if isinstance(value, bool | str) else f"{value:g}"
