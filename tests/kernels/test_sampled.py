"""Rules that estimate curvature go where their equations go: the reference, the drop-in and the recipe's class."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import thalweg as tw
from tests.sampled_papers import PAPERS, STEPS
from thalweg import formulas
from thalweg.errors import FormulaError, PlanError, ProblemError, UsageError
from thalweg.kernels import torch_ref
from thalweg.recipe.plain import class_of

SHAPES = [(7, 3), (3, 8), (6,), (), (2, 2, 3)]


def start() -> list[np.ndarray]:
    random = np.random.default_rng(5)
    return [random.normal(size=shape) for shape in SHAPES]


def gradient(weights: list[np.ndarray], t: int) -> list[np.ndarray]:
    """Of Σ(cos 2w + w²/2), with a part that changes from step to step."""
    return [w - 2 * np.sin(2 * w) + np.cos(t + w) for w in weights]


def sampled(weights: list[np.ndarray], t: int) -> list[np.ndarray]:
    """Another function of the weights and the step; of some weights so small that steps are clipped."""
    return [np.sin(3 * w + t) * np.where(w > 0, 1.0, 0.01) for w in weights]


def by_reference(text: str) -> list[np.ndarray]:
    rule = formulas.get(text)
    here = [torch.tensor(w) for w in start()]
    states = [torch_ref.initial_states(rule, w, {}) for w in here]
    estimate = rule.equations.estimate
    assert estimate is not None
    for t in range(1, STEPS + 1):
        numbers = [w.numpy().copy() for w in here]
        if rule.equations.estimates(t - 1):
            for w, g, own in zip(here, sampled(numbers, t), states, strict=True):
                named = dict(zip(rule.states, own, strict=True))
                new = torch_ref.estimated(estimate, w, torch.tensor(g), named, t, rule.hyperparameters)
                for name, value in new.items():
                    named[name].copy_(value)
        torch_ref.update_model(rule, here, [torch.tensor(g) for g in gradient(numbers, t)], states, t)
    return [w.numpy() for w in here]


def by_optimizer(make: Callable[[list[Any]], Any]) -> list[np.ndarray]:
    weights = [torch.nn.Parameter(torch.tensor(w)) for w in start()]
    optimizer = make(weights)
    for t in range(1, STEPS + 1):

        def put(function: Callable[..., list[np.ndarray]], t: int = t) -> None:
            for w, g in zip(weights, function([w.detach().numpy() for w in weights], t), strict=True):
                w.grad = torch.tensor(g)

        put(gradient)
        before = [w.grad for w in weights]
        optimizer.step(sampled=lambda put=put: put(sampled))
        assert all(w.grad is g for w, g in zip(weights, before, strict=True))
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
    for end, truth, begun in zip(WAYS[way](text), PAPERS[text](start(), gradient, sampled), start(), strict=True):
        assert np.linalg.norm(end - truth) <= 1e-10 * np.linalg.norm(truth)
        assert np.linalg.norm(end - begun) > 1e-4 * np.linalg.norm(begun)


def test_the_class_has_the_defaults_of_its_authors() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    (group,) = tw.optim.SophiaG([weight]).param_groups
    values = {name: group[name] for name in ("lr", "betas", "rho", "weight_decay", "every")}
    assert values == {"lr": 1e-4, "betas": (0.965, 0.99), "rho": 0.04, "weight_decay": 0.1, "every": 10}


def stepped(optimizer: Any, weight: torch.Tensor, count: int, calls: list[int] | None = None) -> None:
    def put(value: float) -> None:
        weight.grad = torch.full_like(weight, value)
        if calls is not None and value < 1:
            calls.append(int(optimizer.state[weight].get("step", 0)))

    for _ in range(count):
        put(1.0)
        optimizer.step(sampled=lambda: put(0.5))


def test_the_gradient_on_sampled_targets_is_asked_for_at_every_tenth_step_alone() -> None:
    weight, calls = torch.nn.Parameter(torch.ones(2)), list[int]()
    optimizer = tw.optim.SophiaG([weight])
    stepped(optimizer, weight, 21, calls)
    assert calls == [0, 10, 20]
    assert optimizer.state[weight]["hessian"].tolist() == pytest.approx([0.25 * (1 - 0.99**3)] * 2)


def test_a_state_dict_carries_the_estimates() -> None:
    one, other, whole = (torch.nn.Parameter(torch.ones(3)) for _ in range(3))
    optimizer, before = tw.optim.SophiaG([whole], lr=0.1), tw.optim.SophiaG([one], lr=0.1)
    stepped(optimizer, whole, 25)
    stepped(before, one, 13)
    with torch.no_grad():
        other.copy_(one)
    after, calls = tw.optim.SophiaG([other], lr=0.1), list[int]()
    after.load_state_dict(pickle.loads(pickle.dumps(before.state_dict())))
    stepped(after, other, 12, calls)
    assert torch.equal(whole, other)
    assert calls == [20]


@pytest.mark.parametrize("kept", [torch.bfloat16, torch.float32, "int8"])
def test_estimates_are_kept_in_the_format_of_the_states(kept: Any) -> None:
    weight, exact = (torch.nn.Parameter(torch.ones(300)) for _ in range(2))
    optimizer = tw.optim.SophiaG([weight], lr=0.1, state_dtype=kept)
    stepped(optimizer, weight, 21)
    stepped(tw.optim.SophiaG([exact], lr=0.1), exact, 21)
    torch.testing.assert_close(weight, exact, rtol=2e-2, atol=1e-3)
    names = {"hessian"} if kept != "int8" else {"hessian_int8", "hessian_scale"}
    assert names <= {*optimizer.state[weight]}


def test_without_a_gradient_on_sampled_targets_it_is_refused() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = tw.optim.SophiaG([weight])
    weight.grad = torch.ones(2)
    for given in ({}, {"sampled": torch.ones(2)}):
        with pytest.raises(UsageError, match="SophiaG estimates curvature by gradients on targets that are drawn"):
            optimizer.step(**given)
    assert torch.equal(weight.detach(), torch.ones(2))


def test_a_function_that_fails_leaves_gradients_and_weights() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = tw.optim.SophiaG([weight])
    weight.grad = g = torch.ones(2)

    def fails() -> None:
        weight.grad = torch.zeros(2)
        raise ValueError("out of data")

    with pytest.raises(ValueError, match="out of data"):
        optimizer.step(sampled=fails)
    assert weight.grad is g
    assert torch.equal(weight.detach(), torch.ones(2))


@pytest.mark.parametrize(
    ("sampled", "every", "words"),
    [
        ("{'x': g**2}", 10, "x"),
        ("{'h': g**2 + loss}", 10, "looks at more than a weight"),
        ("{'h': g**2 / norm(g)}", 10, "looks at more than a weight"),
        ("{'c': c + 1}", 10, "one value per weight"),
        ("{'h': 'g'}", 10, "sampled state h is the text 'g'"),
        ("['h']", 10, "sampled is of type list; give a dict of states and their new values, sampled={'h': …}"),
        ("g**2", 10, "sampled is of type .*; give a dict of states and their new values"),
        ("{'h': g**2}", 0, "every is 0; give a whole number of steps from 1"),
        ("{'h': g**2}", 2.5, "every is 2.5; give a whole number of steps from 1"),
        ("{'h': g**2}", True, "every is True; give a whole number of steps from 1"),
        ("{}", -1, "every is -1; give a whole number of steps from 1"),
    ],
)
def test_what_it_goes_by_is_checked(sampled: str, every: Any, words: str) -> None:
    text = f"""def wrong(g, w, t, loss, h, c, *, lr=0.1):
    return Update(-lr * g / (h + 1), sampled={sampled}, every={every}, h=h, c=0.5 * c + t)"""
    place: dict[str, Any] = {"Update": tw.Update}
    exec(text, place)
    with pytest.raises(FormulaError, match=words):
        tw.formula(place["wrong"])


def test_it_is_taken_where_the_weights_are() -> None:
    with pytest.raises(FormulaError, match="leave one of them out"):

        @tw.formula()
        def ahead(g, v, h, *, lr=0.1):
            return tw.Update(-lr * g, at=-lr * v, v=v + g, h=h, sampled={"h": g**2})


def test_it_has_one_form_for_all_shapes() -> None:
    with pytest.raises(FormulaError, match="one form for all tensors; leave by_shape out"):

        @tw.formula(by_shape={2: {"lr": 0.2}})
        def shaped(g, h, *, lr=0.1):
            return tw.Update(-lr * g, h=h, sampled={"h": g**2})


def test_a_rule_of_ones_own_says_what_it_estimates() -> None:
    @tw.formula()
    def newton(g, h, *, lr=0.5):
        return tw.Update(-lr * g / (h + 0.1), h=h, sampled={"h": 0.5 * h + g**2}, every=2)

    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = tw.optim.from_formula(newton)([weight])
    stepped(optimizer, weight, 3)
    by_hand = 1 - 0.5 / 0.35 - 0.5 / 0.35 - 0.5 / (0.125 + 0.35)
    assert weight.tolist() == pytest.approx([by_hand] * 2)


def test_a_surface_has_no_targets() -> None:
    with pytest.raises(
        UsageError, match="sophia_g estimates curvature on targets that are drawn from a model's outputs"
    ):
        tw.descend("x**2", start=1.0, optimizer="sophia_g", steps=3)


def test_targets_of_another_shape_are_refused() -> None:
    for name, targets in (("cross_entropy", torch.zeros(3)), ("bce", torch.zeros(4, 1)), ("mse", torch.zeros(4))):
        with pytest.raises(ProblemError):
            tw.losses.get(name).sampled(torch.zeros(4, 2), targets)


@pytest.mark.parametrize("name", ["l1", "huber", "nll", "cross_entropy(weight=(1, 2))", "bce(pos_weight=2.0)"])
def test_a_loss_of_no_distribution_is_refused(name: str) -> None:
    with pytest.raises(PlanError, match="takes a loss that is the mean of −log p of a distribution"):
        tw.losses.get(name).sampled(torch.zeros(4, 2), torch.zeros(4, 2))
