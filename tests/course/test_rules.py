"""The documents' update rules, form by form, on one surface, each beside its equations written out in NumPy.

The numbers in the names of cases are those of the course: document 1 to 5, and the slide's own name of the form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import thalweg as tw

Slope = Callable[[np.ndarray], np.ndarray]
Loss = Callable[[np.ndarray], float]
F = "(x-1)^2 + 10(y-x^2)^2 + sin(x)"
START, STEPS = np.array([-0.8, 0.6]), 25


def value(w: np.ndarray) -> float:
    x, y = w
    return (x - 1) ** 2 + 10 * (y - x**2) ** 2 + np.sin(x)


def slope(w: np.ndarray) -> np.ndarray:
    x, y = w
    return np.array([2 * (x - 1) - 40 * x * (y - x**2) + np.cos(x), 20 * (y - x**2)])


def descent(w: np.ndarray, η: float) -> Iterator[np.ndarray]:
    while True:
        w = w - η * slope(w)
        yield w


def rate_inside(w: np.ndarray, η: float) -> Iterator[np.ndarray]:
    v = 0 * w
    while True:
        v = 0.9 * v - η * slope(w)
        w = w + v
        yield w


def accumulated(w: np.ndarray, η: float) -> Iterator[np.ndarray]:
    a = 0 * w
    while True:
        a = 0.9 * a + slope(w)
        w = w - η * a
        yield w


def lookahead(w: np.ndarray, η: float) -> Iterator[np.ndarray]:
    v = 0 * w
    while True:
        v = 0.9 * v - η * slope(w + 0.9 * v)
        w = w + v
        yield w


def lookahead_of_sums(w: np.ndarray, η: float) -> Iterator[np.ndarray]:
    a = 0 * w
    while True:
        a = 0.9 * a + slope(w - η * 0.9 * a)
        w = w - η * a
        yield w


def change_of_variables(x: np.ndarray, η: float) -> Iterator[np.ndarray]:
    v = 0 * x
    while True:
        old = v
        v = 0.9 * v - η * slope(x)
        x = x - 0.9 * old + 1.9 * v
        yield x


def adagrad(ε: float, inside: bool) -> Callable[..., Iterator[np.ndarray]]:
    def path(w: np.ndarray, η: float) -> Iterator[np.ndarray]:
        r = 0 * w
        while True:
            g = slope(w)
            r = r + g * g
            w = w - η * g / (np.sqrt(r + ε) if inside else np.sqrt(r) + ε)
            yield w

    return path


def adadelta(w: np.ndarray, η: float) -> Iterator[np.ndarray]:
    G = H = 0 * w
    while True:
        g = slope(w)
        G = 0.9 * G + 0.1 * g * g
        Δ = np.sqrt(H + 1e-6) / np.sqrt(G + 1e-6) * g
        H = 0.9 * H + 0.1 * Δ * Δ
        w = w - η * Δ
        yield w


def rmsprop(inside: bool) -> Callable[..., Iterator[np.ndarray]]:
    def path(w: np.ndarray, η: float) -> Iterator[np.ndarray]:
        v = 0 * w
        while True:
            g = slope(w)
            v = 0.99 * v + 0.01 * g * g
            w = w - η * g / (np.sqrt(v + 1e-8) if inside else np.sqrt(v) + 1e-8)
            yield w

    return path


def adam(form: str) -> Callable[..., Iterator[np.ndarray]]:
    def path(w: np.ndarray, η: float) -> Iterator[np.ndarray]:
        m = v = 0 * w
        t = 0
        while True:
            t, g = t + 1, slope(w)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            a, b = 1 - 0.9**t, 1 - 0.999**t
            if form == "hats":
                w = w - η * (m / a) / (np.sqrt(v / b) + 1e-8)
            elif form == "folded":
                w = w - η / np.sqrt(v + 1e-7) * np.sqrt(b) / a * m
            elif form == "without":
                w = w - η * m / (np.sqrt(v) + 1e-8)
            elif form == "last line":
                w = w - η * m / np.sqrt(v + 1e-8)
            yield w

    return path


def momentum_on_rmsprop(w: np.ndarray, η: float) -> Iterator[np.ndarray]:
    m = v = 0 * w
    while True:
        g = slope(w)
        v = 0.999 * v + 0.001 * g * g
        m = 0.9 * m - η * g / (np.sqrt(v) + 1e-8)
        w = w + m
        yield w


def halving(w: np.ndarray, η: float) -> Iterator[np.ndarray]:
    """A rate that is halved after a step that lowered the loss."""
    before = value(w)
    w = w - η * slope(w)
    yield w
    while True:
        now = value(w)
        η, before = (η / 2 if now < before else η), now
        w = w - η * slope(w)
        yield w


CASES = [
    ("1-3: gradient descent", "gradient_descent", 0.01, descent),
    ("1, 2, 4, 5: momentum, rate inside", "momentum(rate_inside=True)", 0.002, rate_inside),
    ("3, 4: momentum, accumulated", "momentum", 0.002, accumulated),
    ("2, 4: Nesterov, look-ahead", "nesterov(lookahead=True)", 0.002, lookahead),
    ("3: Nesterov, look-ahead of the sum", "nesterov(lookahead=True)", 0.002, lookahead_of_sums),
    ("4: Nesterov, change of variables", "nesterov(change_of_variables=True)", 0.002, change_of_variables),
    ("2: Nesterov, step 4b as printed", "momentum(rate_inside=True)", 0.002, rate_inside),
    ("2, 4: Adagrad, ε outside", "adagrad(eps=1e-7)", 0.1, adagrad(1e-7, False)),
    ("3: Adagrad, ε inside", "adagrad(eps_inside=True)", 0.1, adagrad(1e-10, True)),
    ("5: Adagrad without ε", "adagrad(eps=0)", 0.1, adagrad(0.0, False)),
    ("3: Adadelta", "adadelta", 1.0, adadelta),
    ("1, 2, 4: RMSprop, ε outside", "rmsprop", 0.01, rmsprop(False)),
    ("3, 5: RMSprop, ε inside", "rmsprop(eps_inside=True)", 0.01, rmsprop(True)),
    ("2, 4, 5: Adam", "adam", 0.05, adam("hats")),
    ("3: Adam, corrections folded", "adam(folded=True, eps=1e-7)", 0.05, adam("folded")),
    ("4: Adam without correction", "adam(bias_correction=False)", 0.05, adam("without")),
    ("5: Adam, last line", "adam(bias_correction=False, eps_inside=True)", 0.05, adam("last line")),
    ("1: Adam as momentum on RMSprop", "adam(rmsprop_momentum=True)", 0.001, momentum_on_rmsprop),
    ("2: a rate that follows the loss", "halving", 0.01, halving),
]


@pytest.mark.parametrize(("rule", "lr", "path"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_form_of_the_documents(rule: str, lr: float, path: Callable[..., Iterator[np.ndarray]]) -> None:
    due = path(START, lr)
    found = tw.descend(F, start=START.tolist(), optimizer=rule, lr=lr, steps=STEPS).points
    np.testing.assert_allclose(found, [START, *(next(due) for _ in range(STEPS))], rtol=1e-9, atol=1e-11)


def test_look_ahead_of_velocities_and_of_sums_are_one_path() -> None:
    one, other = lookahead(START, 0.002), lookahead_of_sums(START, 0.002)
    for _ in range(STEPS):
        np.testing.assert_allclose(next(one), next(other), rtol=1e-12)


@pytest.mark.parametrize("rule", dict.fromkeys(case[1] for case in CASES if case[1] != "gradient_descent"))
def test_the_same_text_trains_networks_and_has_a_page(rule: str) -> None:
    """In a study, in a loop of one's own, and as equations."""
    import torch

    weight = torch.tensor([3.0, -2.0], requires_grad=True)
    optimizer = tw.optim.from_formula(rule)([weight], lr=0.01)
    if rule != "halving" and "lookahead" not in rule:
        weight.grad = torch.ones(2)
        optimizer.step()
        assert (weight.detach() != torch.tensor([3.0, -2.0])).all()
    assert r"\begin{aligned}" in tw.formulas.get(rule).latex()


@pytest.mark.slow
def test_all_of_them_in_one_study(tmp_path) -> None:
    rules = [
        rule for rule in dict.fromkeys(case[1] for case in CASES) if rule not in ("gradient_descent", "adagrad(eps=0)")
    ]
    study = tw.compare(
        "breast-cancer",
        optimizers=rules,
        rates=[0.01],
        schedules=["constant"],
        seeds=2,
        epochs=1,
        confirmation=0,
        grow=0,
        refine=0,
        progress=False,
        store=tmp_path / "forms.db",
    )
    assert {*study.table()["optimizer"]} == {tw.formulas.get(rule).label for rule in rules}
    assert study.table()["validation_loss"].notna().all()
