"""The classes of plain PyTorch that a recipe has for rules that torch.optim lacks."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch

import thalweg as tw
from thalweg import formulas
from thalweg.formulas import Formula
from thalweg.formulas.operations import column_mean, columns, qr, row_mean, rows
from thalweg.formulas.registry import torch_class
from thalweg.formulas.vocabulary import sqrt
from thalweg.recipe.plain import class_of

LACKED = [
    name
    for name in formulas.names()
    if torch_class(formulas.get(name)) is None and not formulas.get(name).equations.sampled  # kernels/test_sampled.py
]
FORMS = [
    "nesterov(lookahead=True)",
    "momentum(rate_inside=True)",
    "muon(batched=True,eps_added=True)",
    "muon(adjust_lr_fn='match_rms_adamw',nesterov=False)",
    "shampoo(every=2,max_dim=3,momentum=0.5)",
    "soap(every=2,max_dim=3)",
    "prodigy(growth_rate=1.5,safeguard_warmup=True,bias_correction=True,weight_decay=0.1)",
    "dadapt_adam(growth_rate=1.5,decoupled_weight_decay=True,weight_decay=0.1)",
    "adafactor(eps1=1e-8)",
    "schedule_free_adamw(warmup_steps=3,weight_decay=0.1,decay_at_z=True)",
    "lamb(weight_decay=0)",
]
SHAPES = ((), (4,), (4, 3), (3, 6), (2, 3, 2, 2))


def _rows(g, v, *, lr=0.1):
    v = 0.9 * v + row_mean(g**2)
    return tw.Update(-lr * g / (sqrt(v) + 1), v=v)


def _one_step_per_row(g, *, lr=0.1):
    return tw.Update(-lr * row_mean(g))


def _columns(g, v, *, lr=0.1):
    v = 0.9 * v + column_mean(g**2)
    return tw.Update(-lr * g / (sqrt(v) + rows(g) + columns(g)), v=v)


def _matrices(g, left, *, lr=0.1):
    left = 0.9 * left + g @ g.T
    return tw.Update(-lr * left @ g, left=left)


def _straight(g, *, lr=0.1):
    return tw.Update(-lr * qr(g))


def _ahead(g, w, a, *, lr=0.1):
    new = 0.9 * a + row_mean(g)
    return tw.Update(-lr * new, a=new, at=-0.5 * lr * a * row_mean(w**2), shown=-lr * a * row_mean(w) / 3)


def _by_sides(g, *, lr=0.1, long=True):
    return tw.Update(-lr * (g @ g.T @ g if long else g))


OWN = {
    "rows": tw.formula(_rows),
    "one step per row": tw.formula(_one_step_per_row),
    "columns": tw.formula(_columns, shapes={"v": "column"}),
    "matrices": tw.formula(_matrices),
    "batches": tw.formula(_matrices, batched=True),
    "straight": tw.formula(_straight),
    "ahead": tw.formula(_ahead),
    "ahead, batches": tw.formula(_ahead, batched=True),
    "by sides": tw.formula(_by_sides, by_shape={"long": "rows > 2 or columns > 3"}),
    "by sides, batches": tw.formula(_by_sides, by_shape={"long": "rows < 4 and columns < 3"}, batched=True),
}


def made(text: str | Formula) -> Any:
    printed = class_of(formulas.get(text))
    assert printed is not None, text
    assert all(len(line) <= 320 for line in printed[1].splitlines())
    scope: dict[str, Any] = {"torch": torch, "math": math}
    exec(printed[1], scope)
    return scope[printed[0]]


def path(optimizer: torch.optim.Optimizer, weights: list[torch.Tensor], goals: list[torch.Tensor]) -> None:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.stack([(w - goal).square().sum().sqrt() for w, goal in zip(weights, goals, strict=True)]).sum()
        loss.backward()
        return loss

    for _ in range(7):
        optimizer.step(closure)  # type: ignore[arg-type]


def trained(maker: Any, **numbers: Any) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    pairs = [[torch.randn(s, generator=draw, dtype=torch.float64) for s in SHAPES] for _ in range(2)]
    weights, goals = [w.requires_grad_() for w in pairs[0]], pairs[1]
    groups = [{"params": weights[:3]}, {"params": weights[3:], "lr": numbers["lr"] / 2}]
    optimizer = maker(groups, **numbers)
    if "closure" not in inspect.signature(type(optimizer).step).parameters:
        plain = optimizer.step
        optimizer.step = lambda closure: (closure(), plain())  # type: ignore[method-assign]
    path(optimizer, weights, goals)
    if hasattr(optimizer, "eval"):
        optimizer.eval()
    return [w.detach() for w in weights]


@pytest.mark.parametrize("rule", [*LACKED, *FORMS])
def test_the_class_goes_as_the_rule(rule: str) -> None:
    formula = formulas.get(rule)
    numbers = {**formula.hyperparameters, "lr": 0.5 if "adapt" in rule or "prodigy" in rule else 0.02}
    exact = 1e-7 if rule.startswith("soap") else 1e-9  # a first gradient of low rank leaves its other directions open
    theirs = trained(tw.optim.from_formula(rule), lr=numbers["lr"])
    for mine, other in zip(trained(made(rule), **numbers), theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=exact, atol=exact)
    assert not torch.allclose(theirs[3], trained(made(rule), **{**numbers, "lr": 0.01})[3], rtol=1e-6)


@pytest.mark.parametrize("rule", OWN)
def test_rules_of_matrices_take_tensors_of_every_shape(rule: str) -> None:
    theirs = trained(tw.optim.from_formula(OWN[rule]), lr=0.02)
    for mine, other in zip(trained(made(OWN[rule]), lr=0.02), theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


def test_training_goes_on_from_the_trained_weights() -> None:
    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    optimizer = made("schedule_free_sgd")([w], lr=0.1)
    w.grad = torch.ones_like(w)
    optimizer.step()
    optimizer.step()
    before = w.detach().clone()
    optimizer.eval()
    optimizer.eval()
    assert not torch.equal(w, before)
    with pytest.raises(RuntimeError, match="call train"):
        optimizer.step()
    optimizer.train()
    assert torch.equal(w, before)


@pytest.mark.parametrize("rule", ["soap", "shampoo"])
def test_a_gradient_that_is_not_finite_spoils_its_own_parameter_alone(rule: str) -> None:
    weights = [torch.ones(4, 3, requires_grad=True) for _ in range(2)]
    optimizer = made(rule)(weights, lr=0.1)
    for _ in range(2):
        for w, value in zip(weights, (torch.nan, 1.0), strict=True):
            w.grad = torch.full((4, 3), value)
        optimizer.step()
    assert weights[0].isnan().any()
    assert weights[1].isfinite().all()


def test_a_rule_whose_names_the_class_has_for_its_own_has_none() -> None:
    text = "def mine(g, {0}, *, lr=0.1, beta=0.9):\n    {0} = beta * {0} + g\n    return Update(-lr * {0}, {0}={0})"
    assert made(text.format("m")).__doc__ == "The rule mine."
    for name in ("state", "group", "torch", "x0", "new_m", "max"):
        assert class_of(formulas.get(text.format(name))) is None
    assert class_of(formulas.get(text.replace("mine", "none").format("m"))) is None


def test_words_of_a_rule_stay_words() -> None:
    text = 'def mine(g, *, lr=0.1):\n    "Ends \\"\\"\\"; print(1) \\\\x"\n    return Update(-lr * g)'
    assert made(text).__doc__ == "Ends '''; print(1)  x"
