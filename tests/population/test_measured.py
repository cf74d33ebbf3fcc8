"""Values of a block, and what their samples say: metrics inside and outside of the program, in each way of training."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from torch import Tensor, nn
from torch.func import functional_call

import thalweg as tw
from thalweg import losses
from thalweg.population.batched import Batched
from thalweg.population.batches import TensorBatches
from thalweg.population.block import Block, Task
from thalweg.population.compiled import Compiled
from thalweg.population.measured import GROUPS
from thalweg.population.member import Member
from thalweg.population.one_by_one import OneByOne

KINDS = {"stacked": Batched, "compiled": Compiled, "alone": OneByOne}


def picky(outputs: Tensor, targets: Tensor) -> float:
    """Untraceable: a branch on its data, and a Python number."""
    return float((outputs > 0).sum()) if outputs.mean() > 0 else 0.5


METRICS: dict[str, Any] = {
    name: losses.get_metric(metric)
    for name, metric in {
        "picky": picky,
        "accuracy": "accuracy",
        "auc": "auc",
        "perplexity": "perplexity",
        "f1": sk.f1_score,
        "own mean": lambda x, y: nn.functional.cross_entropy(x, y),
        "top": "top_k(k=1)",
    }.items()
}


def data(count: int = 150) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 5, generator=generator)
    return inputs, (inputs[:, 0] + torch.randn(count, generator=generator) > 0).long()


def block_of(kind: str, metrics: dict[str, Any], count: int = 150, rates: tuple[float, ...] = (0.1, 0.5)) -> Block:
    inputs, targets = data(count)
    model = lambda: nn.Linear(5, 2)  # noqa: E731
    batched = KINDS[kind](model(), losses.get("cross_entropy"), metrics)
    task = Task(model, batched, TensorBatches(inputs, targets, 50), (inputs, targets))
    return Block(task, [Member(tw.formulas.get("sgd"), {"lr": rate}) for rate in rates], 1)


def expected(block: Block, metric: Any, rows: Any = slice(None), count: int = 150) -> list[float]:
    inputs, targets = data(count)
    names, model = block.task.batched.names, nn.Linear(5, 2)
    each = [dict(zip(names, (w[k] for w in block.weights), strict=True)) for k in range(len(block.members))]
    return [float(metric(functional_call(model, own, (inputs[rows],)), targets[rows])) for own in each]


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_are_those_of_all_samples_in_chunks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thalweg.population.block.EVALUATION_BATCH", 40)
    block = block_of(kind, METRICS)
    for _ in block.train():
        pass
    values = block.evaluate(*data())
    assert list(values) == ["loss", *METRICS]
    for name, metric in METRICS.items():
        np.testing.assert_allclose(values[name], expected(block, metric), rtol=1e-5, err_msg=name)
    if isinstance(block.task.batched, Compiled):
        assert block.task.batched.uncovered is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_metric_changes_no_bit_of_training(kind: str) -> None:
    plain, measured = block_of(kind, {}), block_of(kind, METRICS)
    for block in (plain, measured):
        for _ in block.train():
            pass
    assert all(torch.equal(a, b) for a, b in zip(plain.weights, measured.weights, strict=True))
    assert np.array_equal(plain.evaluate(*data())["loss"], measured.evaluate(*data())["loss"])


@pytest.mark.slow
def test_parts_have_the_value_of_all_samples_as_their_mean() -> None:
    block = block_of("stacked", METRICS)
    parts, values = block.by_parts(*data()), block.evaluate(*data())
    assert list(parts) == list(values)
    for name, value in values.items():
        np.testing.assert_allclose(parts[name].mean(1), value, rtol=1e-5, err_msg=name)
    assert {name: part.shape[1] for name, part in parts.items()} == {
        **dict.fromkeys(("loss", "accuracy", "perplexity", "top"), 50),
        **dict.fromkeys(("auc", "f1", "own mean", "picky"), GROUPS),
    }


def test_groups_left_out_say_the_error_of_a_mean_and_of_an_area() -> None:
    """Of a mean the error over its parts; of an area under the curve the one of DeLong's formula."""
    count = 1600
    block = block_of("stacked", METRICS, count)
    parts = block.by_parts(*data(count))

    def error(name: str) -> np.ndarray:
        return parts[name].std(axis=1, ddof=1) / np.sqrt(parts[name].shape[1])

    np.testing.assert_allclose(error("own mean"), error("loss"), rtol=0.5)  # 16 groups, 64 parts
    delta = error("loss") * block.evaluate(*data(count))["perplexity"]
    np.testing.assert_allclose(error("perplexity"), delta, rtol=0.02)
    inputs, targets = data(count)
    scores = torch.stack([inputs @ w[1] + b[1] - inputs @ w[0] - b[0] for w, b in zip(*block.weights, strict=True)])
    for k, score in enumerate(scores):
        above = (score[targets == 1][:, None] > score[targets == 0]).double()
        delong = above.mean(1).var() / len(above) + above.mean(0).var() / above.shape[1]
        assert error("auc")[k] == pytest.approx(float(delong.sqrt()), rel=0.6)


def test_the_jackknife_of_a_mean_is_the_means_of_its_groups() -> None:
    count = GROUPS * 4
    block = block_of("stacked", {"own": lambda x, y: (x[:, 0] - y) ** 2}, count)
    parts = block.by_parts(*data(count))["own"]
    squares = lambda x, y: ((x[:, 0] - y) ** 2).mean()  # noqa: E731
    means = np.array([expected(block, squares, slice(k, None, GROUPS), count) for k in range(GROUPS)])
    np.testing.assert_allclose(parts, means.T, rtol=1e-4)


def test_a_metric_without_a_value_on_a_group_has_no_parts() -> None:
    """The one sample of its class is in one of the groups."""
    block = block_of("stacked", {"auc": losses.AUC()})
    inputs, targets = data()
    targets = torch.zeros_like(targets)
    targets[7] = 1
    assert np.isfinite(block.evaluate(inputs, targets)["auc"]).all()
    assert list(block.by_parts(inputs, targets)) == ["loss"]


def test_a_metric_that_fails_is_missing_and_said_once() -> None:
    def fails(outputs: Tensor, targets: Tensor) -> float:
        raise ArithmeticError("not today")

    block = block_of("stacked", {"fails": fails, "accuracy": losses.get_metric("accuracy")})
    values = block.evaluate(*data())
    assert np.isnan(values["fails"]).all()
    assert np.isfinite(values["accuracy"]).all()
    (said,) = block.task.batched.failures
    assert said.startswith("the metric fails is missing where it fails (not today) at ")
    assert "test_measured.py, line " in said


def test_outputs_that_are_not_finite_have_no_value_and_harm_nobody() -> None:
    block = block_of("stacked", {"f1": losses.get_metric(sk.f1_score)})
    block.weights[0][0, 0, 0] = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = block.evaluate(*data())["f1"]
    assert np.isnan(values[0])
    assert values[1] == pytest.approx(expected(block, METRICS["f1"])[1])
    assert block.task.batched.failures == []


@pytest.mark.filterwarnings("error")
def test_a_metric_that_overflows_has_no_parts_and_harms_nobody() -> None:
    """The square of 1e30 is beyond float32, while the loss is not."""
    inputs = data()[0]
    model = lambda: nn.Linear(5, 1)  # noqa: E731
    batched = Batched(model(), losses.get("l1"), {"mse": losses.get_metric("mse")})
    samples = inputs, 1e30 * inputs[:, :1]
    block = Block(
        Task(model, batched, TensorBatches(*samples, 50), samples), [Member(tw.formulas.get("sgd"), {"lr": 0.1})], 1
    )
    values, parts = block.evaluate(*samples), block.by_parts(*samples)
    assert values["mse"].tolist() == [np.inf]
    assert np.isnan(parts["mse"]).all()
    assert parts["loss"].mean() == pytest.approx(values["loss"][0])
