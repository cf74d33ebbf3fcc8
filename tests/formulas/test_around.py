"""Rules around rules: their names, their numbers, and that they go around every rule of the catalogue."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest
import torch

import thalweg as tw
from thalweg.errors import FormulaError
from thalweg.formulas import WRAPPERS, Formula, get, names
from thalweg.formulas.registry import catalogued
from thalweg.kernels import torch_ref

from ..cases import share

EVERY = share(names(), "adamw", "muon", "prodigy", of=4)
INSIDE = [name for name in EVERY if not name.startswith("c_")]  # which are cautious already
FORMS = {"nesterov": "nesterov(lookahead=True)", "rmsprop": "rmsprop(momentum=0.5, centered=True)"}
SHAPES = [(4, 3), (5,), ()]


@tw.formula()
def heavy(g, a, *, lr=0.1, beta=0.8):
    a = beta * a + g
    return tw.Update(-lr * a, a=a)


def path(rule: Formula, steps: int = 7) -> list[list[torch.Tensor]]:
    """The weights of a model before each step and behind the last, under gradients that come from outside."""
    random = torch.Generator().manual_seed(3)
    here = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in SHAPES]
    states, seen = [torch_ref.initial_states(rule, w, {}) for w in here], [[w.clone() for w in here]]
    for t in range(1, steps + 1):
        gradients = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in SHAPES]
        torch_ref.update_model(rule, here, gradients, states, t, loss=1 / t)
        seen.append([w.clone() for w in here])
    return seen


def test_a_name_says_both_rules_and_is_read_again() -> None:
    rule = get("Lookahead(AdamW(beta2=0.99, lr=0.01), steps=3)")
    assert rule.label == "lookahead(adamw(beta2=0.99, lr=0.01), steps=3)"
    assert rule.name == "lookahead(adamw)"
    assert rule.states == ("m", "v", "phi")
    assert rule.hyperparameters["slow_step"] == 0.5
    assert rule.options["steps"] == 3
    changed = rule.with_(beta1=0.8, slow_step=0.25)
    assert changed.label == "lookahead(adamw(beta1=0.8, beta2=0.99, lr=0.01), slow_step=0.25, steps=3)"
    assert changed.equations is rule.equations
    again = get(changed.label)
    assert (again, again.hyperparameters) == (changed, changed.hyperparameters)
    assert get("lookahead(cautious(adan(beta3=0.9)))").label == "lookahead(cautious(adan(beta3=0.9)))"


def test_a_rule_of_ones_own_goes_inside_as_it_is_now() -> None:
    rule = tw.formulas.lookahead(heavy.with_(beta=0.5), steps=2)
    assert rule.label == "lookahead(heavy(beta=0.5), steps=2)"
    assert not catalogued(rule)
    assert catalogued(tw.formulas.lookahead(get("adam")))
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = tw.optim.from_formula(rule)([w])
    for _ in range(2):
        w.grad = torch.ones_like(w)
        optimizer.step()
    assert torch.allclose(w.data, torch.tensor([1.0, -2.0], dtype=torch.float64) - 0.5 * 0.1 * (1 + 1.5))


def test_a_class_of_the_catalogue_is_pickled_by_name() -> None:
    made = tw.optim.from_formula("lookahead(sgd, steps=2)")([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    again = pickle.loads(pickle.dumps(made))
    assert again.formula.label == "lookahead(sgd, steps=2)"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lookahead", r"lookahead goes around a rule, and its own numbers have names: lookahead\(adam\)."),
        ("lookahead(3)", "lookahead goes around a rule"),
        ("lookahead(adam, sgd)", "lookahead goes around a rule"),
        ("lookahead(adam, steps=sgd)", "lookahead goes around a rule"),
        ("lookahead(nope)", "'nope' is not an optimizer"),
        ("lookahead(lbfgs)", "lookahead goes around a formula, and lbfgs is code without equations"),
        ("lookahead(lookahead(adam))", r"lookahead cannot go around lookahead\(adam\): both have phi"),
        ("lookahead(adam, steps=0)", r"steps of lookahead\(adam\) is 0; give a whole number of at least 1"),
        ("lookahead(adam, steps=1.5)", "option steps must be a whole number, not 1.5"),
        ("lookahead(adam, beta3=1)", r"'beta3' is not a hyperparameter of lookahead\(adam\): did you mean"),
        ("cautious(c_adamw)", "cautious cannot go around c_adamw: both have decay_behind; put it around another rule,"),
        ("cautious(adam", "is not of the form"),
        ("cautios(adam)", "'cautios' is not an optimizer: did you mean cautious"),
    ],
)
def test_what_cannot_be_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(FormulaError, match=sentence):
        get(text)


@pytest.mark.everyday(of=4)
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", INSIDE)
def test_each_goes_around_every_rule(name: str, wrapper: str) -> None:
    rule = WRAPPERS[wrapper](get(FORMS.get(name, name)))
    assert {*rule.hyperparameters, *rule.options} == rule.meanings.keys()
    assert get(rule.label) == rule
    assert rule.latex().count("{") == rule.latex().count("}")


@pytest.mark.parametrize("name", EVERY)
def test_slow_weights_that_go_all_of_the_way_are_the_fast_ones(name: str) -> None:
    rule = get(FORMS.get(name, name))
    for end, alone in zip(path(tw.formulas.lookahead(rule, steps=2, slow_step=1))[-1], path(rule)[-1], strict=True):
        assert torch.allclose(end, alone, rtol=1e-9, atol=1e-12)


@pytest.mark.everyday(of=4)
@pytest.mark.parametrize("name", INSIDE)
def test_a_cautious_rule_never_goes_up_its_gradient(name: str) -> None:
    rule: Any = tw.formulas.cautious(get(FORMS.get(name, name)))
    rule = rule.with_(**{n: 0.0 for n in ("weight_decay", "lambd") if n in rule.hyperparameters})
    random, seen = torch.Generator().manual_seed(3), path(rule)
    for shape in SHAPES:
        torch.randn(shape, generator=random, dtype=torch.float64)
    moved = 0.0
    for before, after in itertools.pairwise(seen):
        for w, new in zip(before, after, strict=True):
            g = torch.randn(w.shape, generator=random, dtype=torch.float64)
            assert bool(((new - w) * g <= 1e-18).all())
            moved += float((new - w).abs().sum())
    assert moved > 0


def test_what_is_decay_by_itself_is_not_masked() -> None:
    w, g = torch.tensor([1.0, 1.0], dtype=torch.float64), torch.tensor([-1.0, 1.0], dtype=torch.float64)
    rule = get("cautious(adamw(weight_decay=0.5, lr=0.1))")
    states = torch_ref.initial_states(rule, w, {})
    states[0] += 1.0  # the average points down the second gradient alone
    torch_ref.update(rule, w, g, states, 1)
    assert float(w[0]) == pytest.approx(1 - 0.05)
    assert float(w[1]) < 1 - 0.05


def test_slow_weights_are_shown_where_they_are_asked_for() -> None:
    w = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = tw.optim.from_formula("lookahead(sgd(lr=0.1), shows_slow=True)")([w])
    for _ in range(6):
        w.grad = torch.ones_like(w)
        optimizer.step()
    for show, expected in ((optimizer.train, 0.65), (optimizer.eval, 0.75), (optimizer.train, 0.65)):
        show()
        assert w.item() == pytest.approx(expected)
