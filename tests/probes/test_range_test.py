"""The range test: every run is that of a plain loop, the suggestion is honest, and nobody's model is changed."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from thalweg.errors import PlanError, ProblemError
from thalweg.pictures.files import write
from thalweg.population.batches import order_seed
from thalweg.probes.range_test import RangeTest, range_test


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8, dtype=torch.float64), nn.Tanh(), nn.Linear(8, 3, dtype=torch.float64))


def make_problem(loader: bool = False) -> tw.Problem:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(120, 5, generator=generator, dtype=torch.float64)
    targets = inputs[:, :3].argmax(1)
    train = (inputs[:80], targets[:80])
    given = DataLoader(TensorDataset(*train), batch_size=16, shuffle=True) if loader else train
    return tw.Problem(net, given, (inputs[80:100], targets[80:100]), (inputs[100:], targets[100:]), name="small")


def alone(model: nn.Module, lr: float, seed: int, steps: int) -> float:
    """One of its runs as a plain loop."""
    problem = make_problem()
    inputs, targets = problem.train
    opt = torch.optim.Adam(model.parameters(), lr=lr)
    taken = epoch = 0
    while taken < steps:
        order = torch.randperm(80, generator=torch.Generator().manual_seed(order_seed(seed, epoch)))
        for chosen in order.split(16)[: steps - taken]:
            opt.zero_grad()
            F.cross_entropy(model(inputs[chosen]), targets[chosen]).backward()
            opt.step()
            taken += 1
        epoch += 1
    with torch.no_grad():
        return F.cross_entropy(model(problem.validation[0]), problem.validation[1]).item()


def test_each_run_is_that_of_a_plain_loop() -> None:
    """Thirteen steps: two passes of five, and three of the next."""
    found = range_test(make_problem(), "adam", 1e-3, 1, rates=4, seeds=2, steps=13, batch_size=16)
    for k, lr in enumerate(found.rates):
        for seed in range(2):
            torch.manual_seed(seed)
            assert found.losses[k, seed] == pytest.approx(alone(net(), lr, seed, 13), rel=1e-9)


def test_a_loss_far_above_the_untrained_counts_as_infinite() -> None:
    found = range_test(make_problem(), "adam", 0.1, 1e5, rates=3, seeds=2, steps=13, batch_size=16)
    assert np.isfinite(found.losses).tolist() == [[True] * 2, [False] * 2, [False] * 2]
    assert found.table()["diverged"].tolist() == [0, 2, 2]


def test_a_live_model_is_the_start_and_is_not_changed() -> None:
    torch.manual_seed(5)
    model = net().train()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = copy.deepcopy(model.state_dict())
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = range_test(make_problem(), "adam", 1e-2, 1, rates=3, seeds=2, steps=6, batch_size=16, model=model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert found.start[0] == found.start[1]
    for k, lr in enumerate(found.rates):
        for seed in range(2):
            assert found.losses[k, seed] == pytest.approx(alone(copy.deepcopy(model), lr, seed, 6), rel=1e-9)


def test_twice_the_same_also_with_a_loader() -> None:
    first, second = (range_test(make_problem(loader=True), "sgd", 1e-3, 10, rates=5, seeds=2, steps=9) for _ in "ab")
    assert np.array_equal(first.losses, second.losses)
    assert first.sentence == second.sentence


@tw.formula()
def fixed(g):
    return tw.Update(-0.1 * g)


def made(losses: list[list[float]], start: float = 2.0) -> RangeTest:
    rates = 10.0 ** np.arange(len(losses))
    return RangeTest("p", "adam", rates, np.array(losses, dtype=float), np.full(len(losses[0]), start), 50)


def test_how_sure_it_is() -> None:
    clear = made([[2, 2, 2], [1.5, 1.6, 1.4], [0.5, 0.51, 0.52], [1.4, 1.5, 1.6], [9, 9, math.inf]])
    assert (clear.suggestion, clear.sureness, clear.edge) == (100.0, 1.0, None)
    assert clear.chances.tolist() == pytest.approx([0, 0, 1, 0, 0], abs=0.05)
    assert clear.table()["diverged"].tolist() == [0, 0, 0, 0, 1]
    assert clear.table()["chance"].sum() == pytest.approx(1)
    # two valleys far apart that only seeds tell from each other: unsure, and it says so
    torn = made([[0.5, 1.0, 0.5, 1.0], [2, 2, 2, 2], [2, 2, 2, 2], [1.0, 0.51, 1.0, 0.5]])
    assert torn.suggestion == 1.0
    assert 0.3 < torn.sureness < 0.7
    assert f"with a chance of {torn.sureness:.0%} (4 seeds). It is the lowest rate tested: widen" in torn.sentence
    # neighbours count as one
    near = made([[2, 2, 2, 2], [0.5, 1.0, 0.5, 1.0], [1.0, 0.51, 1.0, 0.5], [2, 2, 2, 2]])
    assert near.sureness == pytest.approx(1, abs=0.001)
    assert max(near.chances) < 0.7


def test_what_it_says_when_nothing_works() -> None:
    lost = made([[math.inf, 1], [math.inf, math.inf]])
    assert math.isnan(lost.suggestion)
    assert lost.sureness == 0
    assert "diverge" in lost.sentence
    assert lost.edge is None
    assert str(made([[2.5, 2.5], [3, 3]])) == made([[2.5, 2.5], [3, 3]]).sentence
    assert "No rate from 1 to 10 lowers the loss" in made([[2.5, 2.5], [3, 3]]).sentence
    for found in (lost, made([[1, 2], [math.inf, 3]])):
        found.picture().to_json()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seeds": 1}, "seeds is 1; give a whole number of at least 2"),
        ({"rates": 1}, "one rate has equal ends"),
        ({"steps": 0}, "steps is 0; give a whole number of at least 1"),
        ({"batch_size": True}, "batch_size is True; give a whole number"),
        ({"low": -1}, "both ends"),
        ({"low": 1, "high": 0.1}, "the low end is above"),
        ({"optimizer": "adm"}, "did you mean adam"),
        ({"optimizer": fixed}, "fixed has no hyperparameter lr, so there is no rate to test; add lr to it"),
        ({"problem": "digit"}, "did you mean digits"),
        ({"model": net}, "model is of type function; give the torch.nn.Module"),
    ],
)
def test_refused(wrong: dict, words: str) -> None:
    with pytest.raises((PlanError, ProblemError, tw.ThalwegError), match=words) as caught:
        range_test(**{"problem": make_problem(), **wrong})
    assert "\n" not in str(caught.value)


def test_pictures(tmp_path) -> None:
    found = made([[2, 2.1, 2.2], [1.5, 1.6, 1.4], [0.5, 0.51, 0.52], [1.4, 1.5, 1.6], [9, 9, math.inf]])
    names = [trace.name for trace in found.picture().data]
    assert names == ["95% interval", "mean over seeds", "a seed diverged", "suggestion 100"]
    assert found.picture().data[2].x == (10_000.0,)
    for ending, magic in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        file = write(found.picture(), tmp_path / f"a.{ending}")
        assert file.read_bytes().startswith(magic)
        again = write(found.picture(), tmp_path / f"b.{ending}")
        assert file.read_bytes() == again.read_bytes()
