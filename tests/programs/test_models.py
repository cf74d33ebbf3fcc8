"""Every kind of layer, loss and function: the compiled step beside plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from thalweg.programs.trace import Uncovered

from ..cases import mostly_slow
from .harness import Call, both, compiled, evaluation, far, made, run, state_of, training
from .models import MODELS, UNCOVERED, Case

EVERYDAY = (
    "GELU3", "batch norm", "layer norm", "conv, margin", "conv, groups", "max pool", "gru",
    "transformer", "embedding, padding", "index", "cumsum",
)  # fmt: skip
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5}
TRACED, OTHERS = (6, 4), (3, 13)


def compare(case: Case, mode: Callable[..., Call], dtype: torch.dtype) -> None:
    model = made(case, dtype)
    model.train(mode is training)
    call, state = mode(model, case.loss), state_of(model)
    batches = {n: (*case.batch(n, dtype), *state) for n in (*TRACED, *OTHERS)}
    step = compiled(call, *((n, batches[n]) for n in TRACED))
    sizes = batches if step.graph.size is None else TRACED[:1]
    assert max(far(both(call, step, batches[n], n)) for n in sizes) <= TOLERANCE[dtype]


@pytest.mark.everyday(of=2)
@pytest.mark.share(of=10)
@pytest.mark.parametrize("name", mostly_slow(MODELS, *EVERYDAY))
def test_training_step(name: str) -> None:
    compare(MODELS[name], training, torch.float64)


@pytest.mark.share(of=16)
@pytest.mark.parametrize("name", mostly_slow(MODELS, "conv, margin"))
def test_training_step_of_float32(name: str) -> None:
    compare(MODELS[name], training, torch.float32)


@pytest.mark.share(of=12)
@pytest.mark.parametrize("name", mostly_slow(MODELS, "batch norm of images"))
def test_evaluation(name: str) -> None:
    compare(MODELS[name], evaluation, torch.float64)


@pytest.mark.parametrize("name", mostly_slow(["batch norm", "conv", "lstm", "cross entropy, smooth"], "batch norm"))
def test_one_graph_serves_batches_of_every_size(name: str) -> None:
    case = MODELS[name]
    model = made(case, torch.float32)
    call, state = training(model, case.loss), state_of(model)
    step = compiled(call, *((n, (*case.batch(n, torch.float32), *state)) for n in TRACED))
    assert step.graph.size is None


NUMBERS = {"NaN": float("nan"), "infinity": float("inf"), "minus infinity": -float("inf")}


def pattern(values: Tensor) -> np.ndarray:
    """0 where a value is finite, else what it is instead."""
    return torch.where(values.isnan(), 2.0, torch.where(values.isinf(), values.sign(), 0.0)).numpy()


REFUSED = "bce"  # PyTorch takes no NaN there


@pytest.mark.share(of=8)
@pytest.mark.parametrize("name", mostly_slow([n for n in MODELS if n != REFUSED], "ReLU0", "max pool, overlap"))
def test_what_is_not_finite_comes_out_where_pytorch_has_it(name: str) -> None:
    case = MODELS[name]
    model = made(case, torch.float32)
    call, state = evaluation(model.eval(), case.loss), state_of(model)
    step = compiled(call, *((n, (*case.batch(n, torch.float32), *state)) for n in TRACED))
    for number, value in NUMBERS.items():
        x, y = case.batch(6, torch.float32)
        changed = [s.clone() for s in state]
        if x.is_floating_point():
            x[1].view(-1)[2] = value
            x[4].view(-1)[-1] = value
        else:
            changed[0].view(-1)[1] = value
        for ours, plain in both(call, step, (x, y, *changed), 6):
            if name == "two inputs":  # a sum of three factors in another order has NaN where PyTorch's has infinity
                assert torch.equal(ours.isfinite(), plain.isfinite()), number
            else:
                assert np.array_equal(pattern(ours), pattern(plain)), number


@pytest.mark.parametrize("name", mostly_slow(UNCOVERED, "sort", "one hot"))
def test_an_operation_without_a_rule_is_named(name: str) -> None:
    case, named = UNCOVERED[name]
    model = made(case, torch.float64)
    batches = [(n, (*case.batch(n, torch.float64), *state_of(model))) for n in TRACED]
    with pytest.raises(Uncovered, match=named):
        compiled(training(model, case.loss), *batches)


def test_a_use_that_a_rule_does_not_foresee_is_uncovered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from thalweg.programs import native, operations

    monkeypatch.setattr(native, "cache_folder", lambda: tmp_path)

    def broken(*_: object, **__: object) -> object:
        raise IndexError("list index out of range")

    monkeypatch.setitem(operations.RULES, torch.ops.aten.sin.default, broken)
    with pytest.raises(Uncovered, match=r"such a use of aten\.sin: IndexError"):
        compiled(lambda x: [x.sin()], (3, [torch.ones(3)]), (2, [torch.ones(2)]))


def test_two_sizes_that_differ_in_more_than_sizes_have_a_graph_each() -> None:
    def call(x: Tensor) -> list[Tensor]:
        return [x.sin() if len(x) > 4 else x.exp()]

    step = compiled(call, (6, [torch.ones(6)]), (4, [torch.ones(4)]))
    assert step.graph.size == 6
    assert torch.allclose(run(step, [torch.ones(6)], 6)[0], torch.ones(6).sin())
