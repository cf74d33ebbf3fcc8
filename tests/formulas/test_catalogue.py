"""Every rule says where it comes from, and its forms are forms of one rule."""

from __future__ import annotations

import collections
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.harness import difference, numba_update, our_path, start_and_gradients
from thalweg.errors import FormulaError
from thalweg.formulas import CLASSIC, FORMULAS, get, names
from thalweg.formulas.meanings import SHARED
from thalweg.kernels import torch_ref

DIRECTIONS = {
    "gradient",
    "accumulated gradient",
    "sign of the gradient",
    "sign of the accumulated gradient",
    "orthogonalized accumulated gradient",
}
RATES = {
    "constant",
    "falling with time",
    "following the loss",
    "from the distance travelled",
    "following the sign's changes",
    "inverse to long-term change",
    "inverse to short-term change",
    "in proportion to the weights",
}

OTHER = {
    "ns_steps": 3,
    "growth_rate": 1.5,
    "every": 3,
    "max_dim": 3,
    "adjust_lr_fn": "match_rms_adamw",
}  # options that are neither on or off, nor absent
SHAPES = [(4, 3), (4,), (4, 3, 2, 2)]

every_formula = pytest.mark.parametrize("name", names())


@every_formula
def test_a_rule_says_where_it_comes_from(name: str) -> None:
    rule = get(name)
    assert rule.source
    assert rule.doc
    assert rule.direction in DIRECTIONS
    assert rule.rate in RATES
    assert rule.year is None or 1900 < rule.year < 2100
    assert (rule.year is None) == (name == "halving")
    for parent in rule.parents:
        assert parent in FORMULAS, parent
        assert (FORMULAS[parent].year or 0) <= (rule.year or 9999)


def test_the_family_tree_has_one_root() -> None:
    assert [name for name in names() if not get(name).parents] == ["sgd"]


def test_the_classic_eight() -> None:
    assert CLASSIC == ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw")


@every_formula
def test_every_hyperparameter_has_a_meaning(name: str) -> None:
    assert {*get(name).hyperparameters, *get(name).options} == get(name).meanings.keys()


@every_formula
def test_a_number_is_refused_outside_of_its_range_and_taken_at_its_ends(name: str) -> None:
    for one, meaning in get(name).meanings.items():
        if (numbers := meaning.numbers) is None:
            assert not set("∞…") & set(meaning.range), meaning.range
            continue
        assert meaning.range[0] in "[(1"
        assert isinstance(get(name).options.get(one), int) is numbers.whole
        beyond = (
            numbers.low if numbers.above else numbers.low - 1,
            numbers.high if numbers.below else numbers.high + 1,
        )
        for value in filter(math.isfinite, beyond):
            with pytest.raises(FormulaError, match=f"^{one} of {name} is {value:.12g}(.0)?; give a (whole )?number"):
                get(name).with_(**{one: value})
        for value, open_end in ((numbers.low, numbers.above), (numbers.high, numbers.below)):
            if math.isfinite(value) and not open_end:
                get(name).within(one, value)


def test_a_shared_meaning_is_of_several() -> None:
    counts = collections.Counter(itertools.chain(*(rule.meanings for rule in FORMULAS.values())))
    assert {name for name in SHARED if counts[name] < 2} == set()


@every_formula
def test_every_option_changes_the_equations_or_is_refused_with_another(name: str) -> None:
    rule = get(name)
    for option, value in rule.options.items():
        changed = rule.with_(**{option: OTHER.get(option, 0.5 if value is None else not value)})
        assert any(changed.of_shape(s).equations != rule.of_shape(s).equations for s in SHAPES), option
        assert changed.name == rule.name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nesterov(lookahead=True, change_of_variables=True)", "lookahead and change_of_variables are different"),
        ("adam(amsgrad=True, folded=True)", "formula adam: amsgrad and folded are different forms; choose one."),
        ("adam(bias_correction=False, folded=True)", "no_bias_correction and folded are different forms"),
    ],
)
def test_forms_that_exclude_each_other(text: str, sentence: str) -> None:
    with pytest.raises(FormulaError, match=sentence):
        get(text)


def slope(w: torch.Tensor) -> torch.Tensor:
    return torch.sin(w) + 0.3 * w


@pytest.mark.parametrize("update", [torch_ref.update, numba_update], ids=["torch", "numba"])
@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_lookahead_and_change_of_variables_are_one_path(update: Any, decay: float) -> None:
    """w + μa of the look-ahead form is the w of the other, step by step."""
    values = {"lr": 0.1, "momentum": 0.8, "weight_decay": decay}
    look, other = (get("nesterov").with_(**{form: True}, **values) for form in ("lookahead", "change_of_variables"))
    assert look.equations.lookahead is not None
    here, a = torch.linspace(-2, 3, 7, dtype=torch.float64), torch.zeros(7, dtype=torch.float64)
    there, b = here.clone(), a.clone()
    for t in range(1, 51):
        ahead = here.clone()
        torch_ref.lookahead(look, ahead, [a], t)
        assert difference(ahead, there) <= 1e-12
        update(look, here, slope(ahead), [a], t)
        update(other, there, slope(there), [b], t)
    assert difference(a, b) <= 1e-12
    assert difference(here, there) > 1e-3


def test_torch_form_of_nesterov_is_the_path_of_the_change_of_variables() -> None:
    w, gradients = start_and_gradients([9], seed=1)
    paths = [
        our_path(get(text), w, gradients, torch.float64, torch_ref.update).weight
        for text in ("nesterov", "nesterov(change_of_variables=True)")
    ]
    assert difference(*paths) <= 1e-12


def test_rate_inside_differs_only_while_the_rate_changes() -> None:
    w, gradients = start_and_gradients([9], seed=1)
    ends = []
    for name in ("momentum", "momentum(rate_inside=True)"):
        weight, a = w.double().clone(), torch.zeros(9, dtype=torch.float64)
        for t, g in enumerate(gradients, start=1):
            torch_ref.update(get(name), weight, g.double(), [a], t, {"lr": 0.01 if t < 20 else 0.001})
        ends.append(weight)
    assert difference(*ends) > 1e-4


@pytest.mark.parametrize("update", [torch_ref.update, numba_update], ids=["torch", "numba"])
def test_rounding_never_makes_a_centered_variance_negative(update: Any) -> None:
    """Equal gradients: v − m² is 0, and rounding puts it below."""
    w, g = torch.zeros(2000), torch.tensor(np.linspace(0.1, 900, 2000), dtype=torch.float32)
    rule = get("rmsprop(centered=True, alpha=0.1)")
    states = torch_ref.initial_states(rule, w, {})
    for t in range(1, 60):
        update(rule, w, g, states, t)
    variance = states[0] - states[1] ** 2
    assert (variance < 0).any()
    assert w.isfinite().all()
