"""Every loss in a population is the loss alone, member by member, in value and gradient."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx

import thalweg as tw
from thalweg import losses
from thalweg.errors import ProblemError
from thalweg.population.batched import Batched
from thalweg.population.batches import TensorBatches
from thalweg.population.block import Block, Task
from thalweg.population.member import Member
from thalweg.problem.prepare import prepare

from .cases import CLASSES, batch, chances, draw, ids
from .test_registry import LABELS

pytestmark = [pytest.mark.usefixtures("program"), pytest.mark.everyday(of=2), pytest.mark.share(of=2)]

MEMBERS = 3
MEANS = [label for label in LABELS if "reduction" not in label and "log_target" not in label]


class Shaped(nn.Module):
    """A linear layer whose outputs have the shape and, for some losses, the range that they ask for."""

    def __init__(self, label: str) -> None:
        super().__init__()
        shape = batch(label)[0].shape[1:]
        self.shape, self.log = shape, label.partition("(")[0] in ("kl_div", "nll") and "logits" not in label
        self.layer = nn.Linear(5, shape.numel(), dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.layer(x).unflatten(1, self.shape)
        return outputs.log_softmax(-1) if self.log else outputs


def stacked(model: nn.Module) -> list[Tensor]:
    return [draw(k, MEMBERS, *p.shape, scale=1) for k, p in enumerate(model.parameters())]


@pytest.mark.everyday(of=8)
@pytest.mark.share(of=4)
@pytest.mark.parametrize("label", MEANS)
def test_in_a_population_equals_alone(label: str) -> None:
    model, loss = Shaped(label), losses.get(label)
    inputs, targets = draw(9, 6, 5, scale=1), batch(label, 9)[1]
    batched = Batched(model, loss, {} if losses.in_program(loss) is None else {"again": loss})
    weights = stacked(model)
    *found, values = batched.gradient(weights, inputs, targets)
    evaluated, *again = batched.evaluate(weights, inputs, targets)
    names = [name for name, _ in model.named_parameters()]
    for k in range(MEMBERS):
        own = {name: w[k].clone().requires_grad_() for name, w in zip(names, weights, strict=True)}
        value = loss(functional_call(model, own, (inputs,)), targets)
        value.backward()
        torch.testing.assert_close(values[k], value.detach())
        for w, g in zip(own.values(), found, strict=True):
            assert w.grad is not None
            assert w.grad.abs().max() > 0
            torch.testing.assert_close(g[k], w.grad)
    torch.testing.assert_close(evaluated, values)
    assert all(torch.equal(evaluated, one) for one in again)
    assert len(again) == ("likelihood" not in label)


@pytest.mark.parametrize("label", LABELS)
def test_values_per_sample_and_weights_run_under_vmap(label: str) -> None:
    loss, targets = losses.get(label), batch(label)[1]
    outputs = torch.stack([batch(label, seed)[0] for seed in range(MEMBERS)])
    weights = draw(3, MEMBERS, 6).abs()  # one weight per member and sample, as folds and bootstraps have
    together = vmap(loss.per_sample, in_dims=(0, None))(outputs, targets)
    weighed = vmap(loss, in_dims=(0, None, 0))(outputs, targets, weights)
    for k in range(MEMBERS):
        torch.testing.assert_close(together[k], loss.per_sample(outputs[k], targets))
        torch.testing.assert_close(weighed[k], loss(outputs[k], targets, weights[k]))
        if "reduction" not in label and "cross" not in label and "weight=(1, 2, 0.25" not in label:
            mean = (weights[k] * together[k]).sum() / weights[k].sum()
            torch.testing.assert_close(weighed[k], mean)


ARGUMENTS: dict[str, tuple[type[losses.Loss], Any]] = {
    "label_smoothing": (losses.CrossEntropy, torch.tensor([0.0, 0.1, 1.0]).double()),
    "weight": (losses.CrossEntropy, draw(0, MEMBERS, CLASSES).abs()),
    "delta": (losses.Huber, torch.tensor([0.1, 1.0, 5.0]).double()),
}


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_an_argument_may_differ_from_member_to_member(argument: str) -> None:
    """One program for all of them, traced as a population traces it."""
    kind, values = ARGUMENTS[argument]
    targets = batch(kind.name)[1]
    outputs = torch.stack([batch(kind.name, seed)[0] for seed in range(MEMBERS)])

    def one(value: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        return grad_and_value(lambda x: kind(**{argument: value})(x, targets))(outputs)

    program = make_fx(vmap(one))(values, outputs)
    gradients, found = program(values, outputs)
    for k in range(MEMBERS):
        plain = kind(**{argument: values[k].tolist()})
        gradient, value = grad_and_value(plain)(outputs[k], targets)
        torch.testing.assert_close(found[k], value)
        torch.testing.assert_close(gradients[k], gradient)


@pytest.mark.parametrize("label", ["cross_entropy(weight=(1, 5, 0.2, 0))", "cross_entropy(ignore_index=1)", "mse"])
def test_evaluation_in_chunks_is_the_loss_of_all(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class weight's share and an ignored sample's none are counted over all chunks; one chunk is all ignored."""
    model = Shaped(label)
    inputs, targets = draw(9, 30, 5), batch(label, 9, 30)[1]
    targets[:7] = 1
    task = Task(
        lambda: Shaped(label),
        Batched(model, losses.get(label), {}),
        TensorBatches(inputs, targets, 8),
        (inputs, targets),
    )
    block = Block(task, [Member(tw.formulas.get("sgd"), {"lr": 0.1})], 1)
    monkeypatch.setattr("thalweg.population.block.EVALUATION_BATCH", 7)
    names = [name for name, _ in model.named_parameters()]
    own = {name: w[0] for name, w in zip(names, block.weights, strict=True)}
    whole = losses.get(label)(functional_call(model, own, (inputs,)), targets)
    np.testing.assert_allclose(block.evaluate(inputs, targets)["loss"], whole.item(), rtol=1e-12)


# In a problem

X = draw(0, 60, 5).numpy()


def problem(loss: Any, width: int, targets: Any, **changes: Any) -> tw.Problem:
    return tw.Problem(model=lambda: nn.Linear(5, width), train=(X, targets), loss=loss, **changes)


@pytest.mark.parametrize(
    ("loss", "width", "targets"),
    [
        ("cross_entropy(label_smoothing=0.1, weight=(1, 2, 1, 0.5))", 4, ids(0, 60).numpy()),
        ("cross_entropy(ignore_index=0)", 4, ids(0, 60).numpy()),
        (losses.Huber(0.5), 2, draw(1, 60, 2).numpy()),
        ("kl_div(outputs='logits')", 4, chances(1, 60, 4).numpy()),
        (losses.from_distribution("Poisson", "rate", transform=True), 1, ids(0, 60, 1).numpy()),
        (nn.SmoothL1Loss(), 2, draw(1, 60, 2).numpy()),
        (nn.BCEWithLogitsLoss(reduction="none"), 2, ids(0, 60, 2, high=2).double().numpy()),
    ],
    ids=lambda x: losses.name_of(x)[:30] if not isinstance(x, int | np.ndarray) else "",
)
def test_a_problem_takes_a_label_an_object_or_a_module(loss: Any, width: int, targets: Any) -> None:
    ready = prepare(problem(loss, width, targets))
    assert ready.loss_name == losses.name_of(loss)
    assert ready.loss == losses.get(loss) or callable(loss)
    assert prepare(problem(loss, width, targets)).fingerprint == ready.fingerprint
    if isinstance(loss, str):
        other = loss.partition("(")[0] + ("(reverse=True, outputs='logits')" if "kl" in loss else "")
        assert prepare(problem(other, width, targets)).fingerprint != ready.fingerprint


@pytest.mark.parametrize(
    ("loss", "width", "targets", "words"),
    [
        ("huber(delta=0)", 2, draw(1, 60, 2).numpy(), r"huber: delta is 0; give a number above 0"),
        ("mse(reduction='sum')", 2, draw(1, 60, 2).numpy(), r"the loss mse\(reduction='sum'\) is not a mean"),
        ("cross_entropy(weight=(1, 2))", 4, ids(0, 60).numpy(), r"2 class weights, and .* for 4 classes"),
        (
            "cross_entropy(ignore_index=1)",
            4,
            np.ones(60, dtype=int),
            r"all train targets are 1, which cross_entropy ig",
        ),
        ("kl_div", 4, draw(1, 60, 4).numpy(), r"kl_div needs probabilities that sum to 1 along axis 1"),
        (
            "negative_log_likelihood(distribution='Poisson', outputs='rate', fixed={}, transform=True)",
            1,
            ids(0, 60, 1).numpy() - 5,
            r"Poisson is a distribution over .*, and the train targets run from -5 to",
        ),
        ("triplet_margin", 4, ids(0, 60).numpy(), r"needs anchor, positive and negative stacked as \(samples, 3"),
    ],
)
def test_a_problem_whose_loss_does_not_fit_is_refused(loss: str, width: int, targets: Any, words: str) -> None:
    with pytest.raises(ProblemError, match=words) as caught:
        prepare(problem(loss, width, targets))
    assert "\n" not in str(caught.value)


def test_triplets_are_learned_in_a_study() -> None:
    """Anchor and positive share their first coordinate, and all the rest is noise."""
    place = draw(0, 64, 1, 1, scale=1)
    noise = draw(1, 64, 3, 5, scale=1)
    triplets = noise.clone()
    triplets[:, :2, :1] = place + 0.1 * noise[:, :2, :1]
    given = tw.Problem(
        model=lambda: nn.Linear(5, 2), train=(triplets.numpy(), np.zeros(64)), loss="triplet_margin(margin=0.5)"
    )
    ready = prepare(dataclasses.replace(given, name="triplets"))
    model = ready.model()
    x, y = ready.train  # type: ignore[misc]
    first = ready.loss(model(x), y)
    optimizer = tw.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        ready.loss(model(x), y).backward()
        optimizer.step()
    assert ready.loss(model(x), y) < 0.5 * first
