"""Where the documents differ: what the course page says each form does."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import thalweg as tw

DOCS = Path(__file__).parents[2] / "docs"
ROWS = [line for line in (DOCS / "course.md").read_text(encoding="utf-8").splitlines() if re.match(r"\| [1-5]", line)]


def row(start: str) -> str:
    (found,) = [line for line in ROWS if line.startswith(f"| {start}")]
    return found


def after(rule: str, lr: float, steps: int, schedule: str = "constant") -> np.ndarray:
    path = tw.descend("x^2+10y^2", start=[2.0, 1.0], optimizer=rule, lr=lr, steps=steps, schedule=schedule)
    return np.asarray(path.points)[-1]


def shown(point: np.ndarray) -> str:
    return f"({', '.join(f'{x:.4f}'.rstrip('0').rstrip('.').replace('-0', '−0') for x in point + 0.0)})"


def by_hand(printed: bool, steps: int) -> np.ndarray:
    theta, v = np.array([2.0, 1.0]), np.zeros(2)
    for _ in range(steps):
        ahead = theta + 0.9 * v
        v = 0.9 * v - 0.02 * np.array([2.0, 20.0]) * ahead
        theta = (ahead if printed else theta) + v
    return theta


def test_nesterov_as_printed() -> None:
    said = row("4, eq. 5.13")
    for rule, printed in (("nesterov(lookahead_kept=True)", True), ("nesterov(lookahead=True)", False)):
        point = after(rule, 0.02, 60)
        np.testing.assert_allclose(point, by_hand(printed, 60), rtol=1e-9, atol=1e-12)
        assert rule in said
        assert shown(np.round(point, 4)).replace("−0)", "0)") in said


def test_adam_with_averages_overwritten_stands_still() -> None:
    said = row("4, algorithm 5-5")
    few, many = (after("adam(correction_kept=True)", 0.1, steps) for steps in (20, 200))
    assert shown(few) in said
    assert np.abs(many - few).max() < 1e-4
    assert np.abs(after("adam", 0.1, 200)).max() < 1e-3


def test_the_listing_of_sgd_climbs() -> None:
    weight = torch.tensor([2.0], requires_grad=True)
    optimizer = tw.optim.SGD([weight], lr=0.1, maximize=True)
    (weight**2).sum().backward()
    optimizer.step()
    assert float(weight.detach()) == pytest.approx(2 + 0.1 * 4)


def test_the_first_step_without_correction() -> None:
    first = 2 - after("adam(bias_correction=False)", 0.1, 1)[0]
    assert f"{first / 0.1:.2f} times" in row("4, Adam without correction")
    assert first / 0.1 == pytest.approx((1 - 0.9) / np.sqrt(1 - 0.999), rel=1e-5)


def test_the_gradient_of_the_notebook_is_that_of_momentum() -> None:
    theta, v = np.array([2.0, 1.0]), np.zeros(2)
    for _ in range(30):
        v = 0.9 * v - 0.02 * np.array([2.0, 20.0]) * theta  # 4b takes the gradient at w
        theta = theta + v
    np.testing.assert_allclose(after("momentum(rate_inside=True)", 0.02, 30), theta, rtol=1e-9)
    assert np.abs(after("nesterov(lookahead=True)", 0.02, 30) - theta).max() > 0.1


def test_where_epsilon_stands() -> None:
    said = row("1, 2, 4 against 3, 5")
    steps = []
    for rule in ("adagrad", "adagrad(eps_inside=True)"):
        path = tw.descend("x^2", start=[1e-6], optimizer=rule, lr=0.1, steps=1)
        steps.append(float(1e-6 - np.asarray(path.points).ravel()[-1]))
    g = 2e-6
    assert steps == pytest.approx([0.1 * g / (g + 1e-10), 0.1 * g / np.sqrt(g * g + 1e-10)], rel=1e-6)
    # As in the document, ε is the same number in both places: 1e-10 here.
    assert f"{steps[0]:.3f} or {steps[1]:.4f}" in said


def test_no_epsilon_and_no_gradient() -> None:
    """In the first step r is 0 where g is 0, and 0/0 is NaN."""
    weight = torch.ones(2, requires_grad=True)
    optimizer = tw.optim.from_formula("adagrad(eps=0)")([weight], lr=0.1)
    weight.grad = torch.tensor([1.0, 0.0])
    optimizer.step()
    assert weight.isnan().tolist() == [False, True]


def test_the_rate_inside_or_outside() -> None:
    rules = ("momentum", "momentum(rate_inside=True)")
    one, other = (after(rule, 0.02, 20) for rule in rules)
    np.testing.assert_allclose(one, other, rtol=1e-9)
    one, other = (after(rule, 0.02, 20, schedule="step(size=5)") for rule in rules)
    assert np.abs(one - other).max() > 0.1


def test_adam_as_momentum_on_rmsprop_goes_further() -> None:
    """Ten times in the long run: 1/(1 − β₁) for gradients that agree."""
    line = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    steps = []
    for rule in ("adam", "adam(rmsprop_momentum=True)"):
        with torch.no_grad():
            line.zero_()
        optimizer = tw.optim.from_formula(rule)([line], lr=1e-3)
        before = 0.0
        for _ in range(5000):
            before = line.item()
            line.grad = torch.ones_like(line)
            optimizer.step()
        steps.append(before - line.item())
    assert steps[1] / steps[0] == pytest.approx(10, rel=0.01)


def test_the_last_line_of_the_algorithm() -> None:
    m, v, theta = np.zeros(2), np.zeros(2), np.array([2.0, 1.0])
    for _ in range(20):
        g = np.array([2.0, 20.0]) * theta
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theta = theta - 0.1 * m / np.sqrt(v + 1e-8)
    np.testing.assert_allclose(after("adam(bias_correction=False, eps_inside=True)", 0.1, 20), theta, rtol=1e-9)


def test_every_rule_named_there_exists() -> None:
    named = {rule for line in ROWS for rule in re.findall(r"`((?:adam|momentum|nesterov|adagrad|halving)[^`]*)`", line)}
    assert len(named) >= 10
    for rule in named:
        assert tw.formulas.get(rule).equations
