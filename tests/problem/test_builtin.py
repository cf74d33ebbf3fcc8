"""The built-in problems: disjoint splits, honest scaling, and models that train as one batched program."""

from __future__ import annotations

import dataclasses
import inspect

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from thalweg.problem.builtin import LENGTH, PROBLEMS, _each_line_once
from thalweg.problem.find import load
from thalweg.problem.prepare import Prepared, prepare

MEMBERS = 3
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def prepared(name: str, dtype: torch.dtype) -> Prepared:
    problem = load(name)
    return prepare(dataclasses.replace(problem, model=lambda: problem.model().to(dtype)))


def rows(part: tuple[torch.Tensor, torch.Tensor]) -> set[bytes]:
    return {x.numpy().tobytes() + y.numpy().tobytes() for x, y in zip(*part, strict=True)}


@pytest.mark.everyday(of=5)
@pytest.mark.parametrize("traced", [False, True], ids=["vmap", "make_fx"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
# torch's own transforms refuse the moving averages of batch normalization; `tests/population` has that.
@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "digits-batch-norm"])
def test_gradients_of_a_population_are_those_of_its_members(name: str, dtype: torch.dtype, traced: bool) -> None:
    ready = prepared(name, dtype)
    torch.manual_seed(0)
    members = [ready.model() for _ in range(MEMBERS)]
    parameters = {key: value.detach() for key, value in stack_module_state(members)[0].items()}
    assert isinstance(ready.train, tuple)
    inputs, targets = ready.train[0][:4], ready.train[1][:4]

    def loss(parameters: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return ready.loss(functional_call(members[0], parameters, (x,)), y)

    gradient = vmap(grad(loss), in_dims=(0, None, None))
    if traced:
        gradient = make_fx(gradient)(parameters, inputs, targets)
    together = gradient(parameters, inputs, targets)
    for index, member in enumerate(members):
        ready.loss(member(inputs), targets).backward()
        for key, weight in member.named_parameters():
            assert weight.grad is not None
            error = (together[key][index] - weight.grad).abs().max()
            assert error <= TOLERANCE[dtype] * weight.grad.abs().max()


@pytest.mark.parametrize("name", PROBLEMS)
def test_preparing_twice_gives_the_same_problem(name: str) -> None:
    one, two = prepare(name), prepare(name)
    assert one.fingerprint == two.fingerprint
    assert one.name == name
    assert one.source["kind"] == "built-in"
    assert one.source["text"].startswith("def ")


@pytest.mark.parametrize("name", PROBLEMS)
def test_no_sample_is_in_two_parts(name: str) -> None:
    ready = prepare(name)
    assert isinstance(ready.train, tuple)
    train, validation, test = rows(ready.train), rows(ready.validation), rows(ready.test)
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_sizes() -> None:
    found = {}
    for name in PROBLEMS:
        ready = prepare(name)
        assert isinstance(ready.train, tuple)
        sizes = tuple(len(part[0]) for part in (ready.train, ready.validation, ready.test))
        found[name] = (ready.weights, *sizes)
    text = found.pop("text")
    assert found == {
        "digits": (4810, 1149, 288, 360),
        "digits-cnn": (1898, 1149, 288, 360),
        "digits-dropout": (4810, 1149, 288, 360),
        "digits-batch-norm": (64 * 64 + 2 * 64 + 650, 1149, 288, 360),
        "breast-cancer": (1058, 364, 91, 114),
        "diabetes": (385, 282, 71, 89),
        "wave": (97, 200, 1000, 1000),
    }
    assert text[1:] == (2048, 256, 256)  # its weights follow the alphabet of this Python's help


@pytest.mark.parametrize("name", ["breast-cancer", "diabetes"])
def test_scaling_knows_the_training_rows_only(name: str) -> None:
    ready = prepared(name, torch.float64)
    assert isinstance(ready.train, tuple)
    mean, deviation = ready.train[0].mean(0), ready.train[0].std(0, correction=0)
    assert torch.allclose(mean, torch.zeros_like(mean), atol=1e-10)
    assert torch.allclose(deviation, torch.ones_like(deviation))
    assert ready.test[0].mean(0).abs().max() > 1e-3
    if name == "diabetes":
        assert ready.train[1].shape[1:] == (1,)
        assert abs(ready.train[1].mean().item()) < 1e-10
        assert ready.validation[1].mean().abs() > 1e-3


@pytest.mark.parametrize("name", ["digits", "breast-cancer"])
def test_classes_keep_their_proportions(name: str) -> None:
    ready = prepare(name)
    assert isinstance(ready.train, tuple)
    shares = [np.bincount(part[1]) / len(part[1]) for part in (ready.train, ready.validation, ready.test)]
    assert max(np.abs(shares[0] - shares[1]).max(), np.abs(shares[0] - shares[2]).max()) < 0.01


def test_text_targets_are_the_next_characters() -> None:
    ready = prepare("text")
    assert isinstance(ready.train, tuple)
    for inputs, targets in (ready.train, ready.validation, ready.test):
        assert inputs.shape[1] == LENGTH
        assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_text_that_repeats_is_kept_once() -> None:
    page = "+---+\nA line.\n| a | b |\n  Another:\n\n****\nA line.\nAnother:"
    assert _each_line_once(page) == "A line.\nAnother:"


def test_the_transformer_does_not_see_the_future() -> None:
    torch.manual_seed(0)
    ready = prepare("text")
    model, ids = ready.model(), ready.validation[0][:2].clone()
    before = model(ids)
    ids[:, 20:] = 0
    after = model(ids)
    assert torch.equal(before[:, :, :20], after[:, :, :20])
    assert not torch.equal(before[:, :, 20:], after[:, :, 20:])


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_says_what_it_is_in_one_line_and_takes_no_arguments(name: str) -> None:
    assert len((inspect.getdoc(PROBLEMS[name]) or "").splitlines()) == 1
    assert not inspect.signature(PROBLEMS[name]).parameters
    assert PROBLEMS[name]().name == name


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_few_steps_lower_the_loss(name: str) -> None:
    ready = prepare(name)
    assert isinstance(ready.train, tuple)
    torch.manual_seed(0)
    model = ready.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    inputs, targets = ready.train[0][:16], ready.train[1][:16]
    first = ready.loss(model(inputs), targets).item()
    for _ in range(10):
        optimizer.zero_grad()
        ready.loss(model(inputs), targets).backward()
        optimizer.step()
    assert ready.loss(model(inputs), targets).item() < 0.9 * first
