"""Rules that take a second gradient go where their equations go: the reference, the drop-in and the recipe's class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import thalweg as tw
from tests.second_papers import PAPERS, STEPS
from thalweg import formulas
from thalweg.errors import FormulaError, UsageError
from thalweg.kernels import staged, torch_ref
from thalweg.recipe.plain import class_of

SHAPES = [(7, 3), (3, 8), (6,), (), (2, 2, 3)]


def start() -> list[np.ndarray]:
    random = np.random.default_rng(5)
    return [random.normal(size=shape) for shape in SHAPES]


def gradient(weights: list[np.ndarray]) -> list[np.ndarray]:
    """Of Σ(cos 2w + w²/2) + (Σw)²/10 over the model."""
    whole = sum(float(w.sum()) for w in weights)
    return [w - 2 * np.sin(2 * w) + whole / 5 for w in weights]


def loss(weights: list[torch.Tensor]) -> torch.Tensor:
    each = [((2 * w).cos() + w**2 / 2).sum() for w in weights]
    return torch.stack(each).sum() + torch.stack([w.sum() for w in weights]).sum() ** 2 / 10


def by_reference(text: str) -> list[np.ndarray]:
    rule = formulas.get(text)
    here = [torch.tensor(w) for w in start()]
    states = [torch_ref.initial_states(rule, w, {}) for w in here]
    for t in range(1, STEPS + 1):
        there = [w.clone() for w in here]
        for w, own in zip(there, states, strict=True):
            torch_ref.lookahead(rule, w, own, t)
        first = [torch.tensor(g) for g in gradient([w.numpy() for w in there])]
        second = [rule.of_shape(w.shape).equations.second for w in there]
        each = [
            torch_ref.uphill(one, w, g, rule.hyperparameters)
            for one, w, g in zip(second, there, first, strict=True)
            if one is not None
        ]
        for part, (new, _) in zip(each, staged.advance(each), strict=True):
            part.w.copy_(new)
        torch_ref.update_model(rule, here, [torch.tensor(g) for g in gradient([w.numpy() for w in there])], states, t)
    return [w.numpy() for w in here]


def by_optimizer(make: Callable[[list[Any]], Any]) -> list[np.ndarray]:
    weights = [torch.nn.Parameter(torch.tensor(w)) for w in start()]
    optimizer = make(weights)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(weights)
        value.backward()
        return value

    for _ in range(STEPS):
        before = loss(weights).item()
        said = optimizer.step(closure)
        if not any(group.get("momentum") for group in optimizer.param_groups):  # else it is that of a point ahead
            assert torch.as_tensor(said).item() == pytest.approx(before)
    return [w.detach().numpy() for w in weights]


def by_class(text: str) -> list[np.ndarray]:
    rule = formulas.get(text)
    made = class_of(rule)
    assert made is not None
    place: dict[str, Any] = {"torch": torch, "math": math}
    exec(made[1], place)
    return by_optimizer(lambda weights: place[made[0]](weights, **rule.hyperparameters))


WAYS = {"reference": by_reference, "class": by_class}
WAYS["drop-in"] = lambda text: by_optimizer(lambda weights: tw.optim.from_formula(text)(weights))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("text", PAPERS)
def test_float64_goes_where_the_equations_go(text: str, way: str) -> None:
    for end, truth, begun in zip(WAYS[way](text), PAPERS[text](start(), gradient), start(), strict=True):
        assert np.linalg.norm(end - truth) <= 1e-10 * np.linalg.norm(truth)
        assert np.linalg.norm(end - begun) > 1e-3 * np.linalg.norm(begun)


def test_groups_have_one_norm_and_a_radius_each() -> None:
    a, b = (torch.nn.Parameter(torch.tensor([x])) for x in (3.0, 4.0))
    optimizer = tw.optim.from_formula("sam(sgd)")([{"params": [a], "radius": 1.0}, {"params": [b]}], lr=1.0, radius=5.0)
    seen = []

    def closure() -> torch.Tensor:
        seen.append((a.item(), b.item()))
        optimizer.zero_grad()
        value = (a.square() + b.square()).sum() / 2
        value.backward()
        return value

    optimizer.step(closure)
    assert seen[1] == pytest.approx((3 + 0.6, 4 + 5 * 0.8))
    assert (a.item(), b.item()) == pytest.approx((-0.6, -4.0))


def test_without_a_closure_it_is_refused() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = tw.optim.from_formula("sam(sgd)")([weight])
    weight.grad = torch.ones(2)
    with pytest.raises(UsageError, match=r"sam\(sgd\) takes a second gradient: give step a closure that computes"):
        optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(2))


def test_a_closure_that_fails_leaves_the_weights() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = tw.optim.from_formula("sam(sgd)")([weight])
    calls = []

    def closure() -> torch.Tensor:
        calls.append(weight.detach().clone())
        if len(calls) == 2:
            raise ValueError("out of data")
        value = weight.square().sum()
        value.backward()
        return value

    with pytest.raises(ValueError, match="out of data"):
        optimizer.step(closure)
    assert not torch.equal(calls[0], calls[1])
    assert torch.equal(weight.detach(), torch.ones(2))


@pytest.mark.parametrize("used", ["m", "t"])
def test_where_it_is_taken_is_said_by_the_gradient_alone(used: str) -> None:
    with pytest.raises(FormulaError, match=used):

        @tw.formula()
        def wrong(g, m, t, *, lr=0.1):
            return tw.Update(-lr * g, again=g * (m if used == "m" else t), m=m + g)


def test_a_rule_of_ones_own_says_where() -> None:
    @tw.formula()
    def signed(g, *, lr=0.1, radius=0.5):
        return tw.Update(-lr * g, again=radius * sign(g))  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = tw.optim.from_formula(signed)([weight])

    def closure() -> torch.Tensor:
        weight.grad = None
        value = weight.square().sum() / 2
        value.backward()
        return value

    optimizer.step(closure)
    assert torch.allclose(weight.detach(), torch.tensor([1 - 0.15, -2 + 0.25]))
