"""What `@tw.formula` refuses, with the sentence it says; and what it lets pass."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

import thalweg as tw
from thalweg.errors import FormulaError
from thalweg.formulas.vocabulary import where

Update = tw.Update


def no_update(g, *, lr=0.1):
    return -lr * g


def nothing(g, *, lr=0.1):
    pass


def missing_state(g, m, *, lr=0.1):
    return Update(-lr * g)


def extra_state(g, *, lr=0.1):
    return Update(-lr * g, m=g)


def extra_beside_others(g, m, *, lr=0.1):
    return Update(-lr * g, m=m, v=g)


def unknown_symbol(g, *, lr=0.1):
    return Update(-lr * g * sp.Symbol("rho"))


def unknown_in_state(g, m, *, lr=0.1):
    return Update(-lr * g, m=m * sp.Symbol("rho"))


def same_name_other_symbol(g, *, lr=0.1):
    return Update(-sp.Symbol("lr") * g)


def matrix_product(g, w, *, lr=0.1):
    return Update(-lr * sp.MatrixSymbol("M", 2, 2) * g)


def matrix(g, *, lr=0.1):
    return Update(sp.Matrix([[g, lr]]))


def derivative(g, w, *, lr=0.1):
    return Update(sp.Derivative(sp.Function("f")(w), w))


def if_on_a_symbol(g, *, lr=0.1):
    return Update(-lr if g > 0 else lr)


def builtin_max(g, *, lr=0.1):
    return Update(-lr * max(g, 0))


def default_before_star(g, lr=0.1):
    return Update(-lr * g)


def many_states(g, *states, lr=0.1):
    return Update(-lr * g)


def many_hyperparameters(g, **numbers):
    return Update(-g)


def no_default(g, *, lr):
    return Update(-lr * g)


def reserved_hyperparameter(g, *, t=1):
    return Update(-g / t)


def list_default(g, *, betas=(0.9, 0.999)):
    return Update(-g)


def infinite_default(g, *, lr=math.inf):
    return Update(-lr * g)


def underscore(g, _m, *, lr=0.1):
    return Update(-lr * g, _m=g)


def text_step(g, *, lr=0.1):
    return Update("-lr * g")


def text_state(g, m, *, lr=0.1):
    return Update(-lr * g, m="m + g")


def list_step(g, *, lr=0.1):
    return Update([g, lr])


def condition_step(g, *, lr=0.1):
    return Update(g > lr)


def none_step(g, *, lr=0.1):
    return Update(None)


def math_sqrt(g, v, *, lr=0.1):
    return Update(-lr * g / math.sqrt(v), v=v + g**2)


def numpy_sqrt(g, v, *, lr=0.1):
    return Update(-lr * g / np.sqrt(v), v=v + g**2)


def torch_sqrt(g, v, *, lr=0.1):
    return Update(-lr * g / torch.sqrt(v), v=v + g**2)


def divided_by_zero(g, *, lr=0.1):
    return Update(-lr * g / (g - g))


def infinite(g, *, lr=0.1):
    return Update(-lr * g + math.inf)


def not_a_number(g, *, lr=0.1):
    return Update(math.nan * g)


def imaginary(g, *, lr=0.1):
    return Update((-1) ** 0.5 * g)


def python_error(g, *, lr=0.1):
    return Update(-lr * g.data)


def at_uses_gradient(g, m, *, lr=0.1):
    return Update(-lr * g, at=m + g, m=m)


def state_called_step(g, step, *, lr=0.1):
    return Update(-lr * g)


def compared_by_form(g, m, *, lr=0.1):
    return Update(where(g == 0, lr, -lr), m=m)


REFUSED: list[tuple[Callable[..., Any], str]] = [
    (no_update, "formula no_update returned Mul; return tw.Update(step, state=new_value, …)."),
    (nothing, "formula nothing returned NoneType; return tw.Update(step, state=new_value, …)."),
    (
        missing_state,
        ("formula missing_state has state m but returned no new value for it: return tw.Update(step, m=…)."),
    ),
    (extra_state, "formula extra_state returned state m, which is not among its parameters; its states are none."),
    (extra_beside_others, "returned state v, which is not among its parameters; its states are m."),
    (
        unknown_symbol,
        (
            "formula unknown_symbol: the step uses rho, which is not a parameter; add it to the "
            "signature as a state or a keyword-only hyperparameter."
        ),
    ),
    (unknown_in_state, "formula unknown_in_state: state m uses rho, which is not a parameter"),
    (same_name_other_symbol, "the step uses lr, which is not a parameter"),
    (matrix_product, "the step is of type MatMul; a formula gives one value per weight."),
    (matrix, "the step is of type MutableDenseMatrix; a formula gives one value per weight."),
    (
        derivative,
        (
            "the step uses Derivative(f(w), w), which is not arithmetic that a formula knows; it may use "
            "+ − * / ** @ and abs, cos, "
        ),
    ),
    (if_on_a_symbol, "use where(condition, a, b) in place of if"),
    (builtin_max, "maximum and minimum in place of max and min"),
    (default_before_star, "lr=0.1 stands before the *; hyperparameters are keyword-only, so move it behind a *"),
    (many_states, "formula many_states: *states is not allowed, name every state and hyperparameter."),
    (many_hyperparameters, "*numbers is not allowed"),
    (no_default, "formula no_default: hyperparameter lr needs a default, e.g. lr=0.9."),
    (reserved_hyperparameter, "t is reserved (step counted from 1); give the hyperparameter another name."),
    (list_default, "hyperparameter betas must be a number, not (0.9, 0.999)."),
    (infinite_default, "hyperparameter lr must be finite, not inf."),
    (underscore, "_m starts with an underscore; give it a name without."),
    (text_step, "formula text_step: the step is the text '-lr * g'; give an expression."),
    (text_state, "formula text_state: state m is the text 'm + g'; give an expression."),
    (list_step, "the step is of type list"),
    (condition_step, "the step is of type StrictGreaterThan; a formula gives one value per weight."),
    (none_step, "the step is of type NoneType, not an expression in its parameters."),
    (math_sqrt, "write functions by their bare names, sqrt(v) and not math.sqrt(v)"),
    (numpy_sqrt, "write functions by their bare names"),
    (torch_sqrt, "write functions by their bare names"),
    (divided_by_zero, "the step contains zoo; use finite real numbers."),
    (infinite, "the step contains oo; use finite real numbers."),
    (not_a_number, "the step contains nan; use finite real numbers."),
    (imaginary, "the step contains I; use finite real numbers."),
    (
        python_error,
        (
            "formula python_error cannot be run on symbols ('Symbol' object has no attribute 'data'): "
            "a formula may use + − * / ** @, comparisons and abs, cos, "
        ),
    ),
    (at_uses_gradient, "at uses g, the gradient that is taken there; use the states."),
    (state_called_step, "step is an argument of tw.Update; give the state another name."),
    (compared_by_form, "compare values with <, >, <=, >= or equal(a, b)"),
]


@pytest.mark.parametrize(("function", "sentence"), REFUSED, ids=lambda x: getattr(x, "__name__", ""))
def test_refused_with_a_sentence(function: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(FormulaError) as caught:
        tw.formula(function)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("initial", "sentence"),
    [
        ({"b": 1.0}, "'b' is not a state of sound; known: a."),
        ({"a": "eps"}, "'eps' is not a hyperparameter of sound; known: lr."),
        ({"a": math.nan}, "hyperparameter initial a must be finite, not nan."),
        ({"a": None}, "hyperparameter initial a must be a number, not None."),
    ],
)
def test_initial_values_are_checked(initial: Any, sentence: str) -> None:
    def sound(g, a, *, lr=0.1):
        return Update(-lr * a, a=a + g)

    with pytest.raises(FormulaError) as caught:
        tw.formula(sound, initial=initial)
    assert str(caught.value).endswith(sentence)


def declared(text: str, scope: dict[str, Any]) -> tw.Formula:
    exec(text, scope)
    return tw.formula(scope["rule"])


def test_the_vocabulary_needs_no_import() -> None:
    text = "def rule(g, v, *, lr=0.1):\n    v = v + g**2\n    return Update(-lr * g / sqrt(v) * sign(g), v=v)"
    rule = declared(text, {"Update": Update})
    assert rule.equations == declared(text, {"Update": Update, "sqrt": math.sqrt}).equations  # nor minds one
    assert sp.sqrt(sp.Symbol("v", real=True) + sp.Symbol("g", real=True) ** 2) in rule.equations.step.atoms(sp.Pow) | {
        b**-1 for b in rule.equations.step.atoms(sp.Pow)
    }


def test_a_formula_is_run_once_and_not_again() -> None:
    runs = []

    def rule(g, *, lr=0.1, flip=False):
        runs.append(flip)
        return Update(lr * g if flip else -lr * g)

    formula = tw.formula(rule)
    formula.with_(lr=1.0).with_(lr=2.0)
    assert runs == [False]
    formula.with_(flip=True)
    assert runs == [False, True]


def test_a_hyperparameter_without_default_value_is_absent_until_given() -> None:
    def rule(g, a, *, lr=0.1, momentum=None):
        if momentum is None:
            return Update(-lr * g, a=a)
        a = momentum * a + g
        return Update(-lr * a, a=a)

    formula = tw.formula(rule)
    assert (formula.states, formula.hyperparameters) == ((), {"lr": 0.1})
    heavy = formula.with_(momentum=0.9)
    assert (heavy.states, heavy.hyperparameters) == (("a",), {"lr": 0.1, "momentum": 0.9})
    assert heavy.label == "rule(momentum=0.9)"
    assert heavy.with_(momentum=None).equations == formula.equations
    with pytest.raises(FormulaError, match="must be a number, not None"):
        formula.with_(lr=None)


@pytest.mark.parametrize("given", ["adam", 3])
def test_a_name_in_place_of_a_function_is_told_where_rules_are(given: Any) -> None:
    with pytest.raises(FormulaError, match=r"is not a function that returns an Update; tw\.formulas\.get"):
        tw.formula(given)


def test_equations_are_sent_without_their_hash() -> None:
    """Hashes of text differ from process to process, and equal equations must have equal ones."""
    equations = tw.formulas.get("adam").equations
    hash(equations)
    sent = pickle.loads(pickle.dumps(equations))
    assert "_hash" not in vars(sent)
    assert sent == equations
    assert hash(sent) == hash(equations)
