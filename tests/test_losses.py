"""Losses and metrics: torch's own numbers, sentences for what is unknown, and all of it under vmap."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import losses
from thalweg.errors import ProblemError

CLASSES = ("cross_entropy", "accuracy")


def batch(name: str, count: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(count, 4, generator=generator)
    if name in CLASSES:
        return outputs, torch.randint(4, (count,), generator=generator)
    return outputs, torch.randn(count, 4, generator=generator)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_a_named_loss_is_the_function_of_torch(name: str) -> None:
    torch_name = {"mse": "mse_loss", "l1": "l1_loss", "huber": "huber_loss"}.get(name, name)
    assert losses.get(name) is getattr(F, torch_name)
    assert losses.name_of(losses.get(name)) == name


@pytest.mark.parametrize("kind", ["loss", "metric"])
def test_an_unknown_name_is_answered_with_near_ones(kind: str) -> None:
    look_up, wrong, near = {
        "loss": (losses.get, "crossentropy", "cross_entropy"),
        "metric": (losses.get_metric, "acuracy", "accuracy"),
    }[kind]
    with pytest.raises(ProblemError, match=rf"'{wrong}' is not a {kind}: did you mean {near}"):
        look_up(wrong)


def test_something_that_is_neither_name_nor_function_is_refused() -> None:
    with pytest.raises(ProblemError, match=r"loss is a int; give one of cross_entropy, mse, l1, huber"):
        losses.get(3)  # pyright: ignore[reportArgumentType]


def test_values_per_sample_are_averaged_and_scalars_kept() -> None:
    outputs, targets = batch("mse")
    per_sample = losses.get(lambda o, t: ((o - t) ** 2).mean(dim=1))
    assert torch.allclose(per_sample(outputs, targets), F.mse_loss(outputs, targets))
    assert torch.equal(losses.get(torch.nn.MSELoss())(outputs, targets), F.mse_loss(outputs, targets))


def test_names_of_functions_modules_and_partials() -> None:
    def tilted(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - targets).relu()

    assert losses.name_of(tilted) == losses.name_of(losses.get(tilted)) == "tilted"
    assert losses.name_of(functools.partial(tilted)) == "tilted"
    assert losses.name_of(torch.nn.CrossEntropyLoss()) == "CrossEntropyLoss"
    assert losses.name_of(lambda outputs, targets: outputs) == "lambda"


def test_accuracy_by_hand_with_and_without_positions() -> None:
    outputs = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0], [0.0, 1.0]])
    targets = torch.tensor([0, 1, 1, 1])
    assert losses.accuracy(outputs, targets).item() == 0.75
    by_position = outputs.T.unsqueeze(0)  # (1, classes, positions)
    assert losses.accuracy(by_position, targets.unsqueeze(0)).item() == 0.75


@pytest.mark.parametrize("name", [*losses.LOSSES, *losses.METRICS])
def test_every_measure_runs_under_vmap(name: str) -> None:
    measure = losses.LOSSES.get(name) or losses.METRICS[name]
    _, targets = batch(name)
    outputs = torch.stack([batch(name, seed=seed)[0] for seed in range(3)])  # (members, batch, classes)
    together = torch.func.vmap(measure, in_dims=(0, None))(outputs, targets)
    assert torch.allclose(together, torch.stack([measure(o, targets) for o in outputs]))


def test_a_function_of_the_user_runs_under_vmap() -> None:
    _, targets = batch("mse")
    outputs = torch.stack([batch("mse", seed=seed)[0] for seed in range(3)])
    measure = losses.get(lambda o, t: (o - t).abs().mean(dim=1))
    together = torch.func.vmap(measure, in_dims=(0, None))(outputs, targets)
    assert torch.allclose(together, torch.stack([F.l1_loss(o, targets) for o in outputs]))


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 20), cut=st.integers(1, 19), seed=st.integers(0, 100))
@pytest.mark.parametrize("name", losses.METRICS)
def test_metrics_of_chunks_average_to_the_metric_of_all(name: str, count: int, cut: int, seed: int) -> None:
    cut = min(cut, count - 1)
    outputs, targets = batch(name, count, seed)
    metric = losses.get_metric(name)
    chunks = metric(outputs[:cut], targets[:cut]) * cut + metric(outputs[cut:], targets[cut:]) * (count - cut)
    assert torch.allclose(chunks / count, metric(outputs, targets), atol=1e-6)
