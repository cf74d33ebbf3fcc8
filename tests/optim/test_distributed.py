"""Several processes give what one gives: DDP, FSDP2, the norm over all parts, checkpoints either way."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from tests.warm import context
from thalweg.optim import sharded

from . import processes
from .models import OPTIONS, close
from .processes import CLOSURES, KINDS, PLACES, SAVED, SCALED, WHOLE, Processes

ALONE = Processes()
pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
each = pytest.mark.parametrize("name", KINDS)
rectangles = pytest.mark.parametrize(
    ("world", "sides"), [(2, "(2, 1)"), (2, "(1, 2)"), pytest.param(4, "(2, 2)", marks=pytest.mark.slow)]
)
saved = pytest.mark.parametrize("name", SAVED)


def started(world: int, folder: Path) -> list[dict[str, Any]]:
    """What each process found; they meet through a file, so that no port is needed."""
    method = context().get_start_method()
    torch.multiprocessing.start_processes(processes.work, (world, str(folder)), nprocs=world, start_method=method)
    return [torch.load(folder / f"{world}-{rank}.pt", weights_only=False) for rank in range(world)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, Any]]:
    for name in SAVED:
        model = processes.network()
        optimizer = processes.ours(name, model.parameters(), ema_decay=0.8)
        processes.train(model, optimizer, 3, ALONE)
        processes.save(model, optimizer, folder / f"one-{name}")
    return started(2, folder)


@pytest.fixture(scope="module")
def four(folder: Path) -> list[dict[str, Any]]:
    return started(4, folder)


def left(all_: list[dict[str, Any]], scenario: str, *keys: Any) -> list[Any]:
    """What each process left under that name."""
    results = []
    for one in all_:
        assert scenario in one, f"it was not reached: {next(reversed(one.values()))}"
        result = one[scenario]
        assert not isinstance(result, str), result
        for key in keys:
            result = result[key]
        results.append(result)
    return results


def trained(name: str, steps: int, **more: Any) -> tuple[nn.Module, Any]:
    model = processes.network()
    optimizer = processes.ours(name, model.parameters(), **more)
    processes.train(model, optimizer, steps, ALONE)
    return model, optimizer


@pytest.mark.share(of=12)
@each
@pytest.mark.parametrize("scenario", ["ddp", "fsdp"])
@pytest.mark.slow
def test_a_whole_step_equals_that_of_one_process(two: list, scenario: str, name: str) -> None:
    model, optimizer = trained(name, 4, **WHOLE)
    assert not close(processes.weights(processes.network()), processes.weights(model), 1e-4)
    for result in left(two, scenario, name):
        assert close(result["weights"], processes.weights(model))
        assert close(result["averages"], processes.averages(optimizer))
        assert result["left"] == [0.0] * 4
    first, state = left(two, scenario, name)[0]["state"], optimizer.state_dict()["state"]
    for key, own in zip(("0.weight", "0.bias", "2.weight", "2.bias"), state.values(), strict=True):
        assert first[key].keys() == own.keys()
        for n, value in own.items():
            assert first[key][n].shape == value.shape
            assert torch.allclose(first[key][n], value, rtol=1e-9), n


@each
@pytest.mark.slow
def test_states_are_divided_as_their_weights(two: list, name: str) -> None:
    for kinds in left(two, "fsdp", name, "kinds"):
        assert kinds == {"DTensor"}


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - {processes.NO_DTENSORS}))
@pytest.mark.slow
def test_the_path_is_torchs_on_the_same_dtensors(two: list, name: str) -> None:
    for mine, its in left(two, "beside_torch", name):  # torch keeps some numbers in float32
        assert close(mine, its, 1e-6 if name in ("NAdam", "ASGD") else 1e-10)


@saved
@pytest.mark.parametrize("source", ["two", "one", "torch"])
@pytest.mark.slow
def test_two_processes_go_on_from_a_checkpoint(two: list, source: str, name: str) -> None:
    if source == "torch" and name == processes.NO_DTENSORS:
        source = "one"
    model, optimizer = trained(name, 6, ema_decay=0.8)
    relative = 1e-6 if source == "torch" and name in ("NAdam", "ASGD") else 1e-10
    for weights, averages in left(two, "checkpoints", (source, name)):
        assert close(weights, processes.weights(model), relative)
        assert averages is None or close(averages, processes.averages(optimizer))


@saved
@pytest.mark.parametrize("source", ["two", "torch"])
@pytest.mark.slow
def test_one_process_goes_on_from_a_checkpoint_of_two(two: list, folder: Path, source: str, name: str) -> None:
    left(two, "checkpoints")
    if source == "torch" and name == processes.NO_DTENSORS:
        source = "two"
    model, other = trained(name, 6)[0], processes.network()
    more = {} if source == "torch" else {"ema_decay": 0.8}
    taken_up = processes.ours(name, other.parameters(), lr=12.3, **more)
    processes.load(other, taken_up, folder / f"{source}-{name}")
    processes.train(other, taken_up, 3, ALONE, start=3)
    relative = 1e-6 if source == "torch" and name in ("NAdam", "ASGD") else 1e-10
    assert close(processes.weights(other), processes.weights(model), relative)


@saved
@pytest.mark.parametrize("way", ["as it is", "through torch"])
@pytest.mark.slow
def test_two_processes_take_up_whole_states(two: list, way: str, name: str) -> None:
    expected = processes.weights(trained(name, 6)[0])
    for weights in left(two, "whole_states", (way, name)):
        assert close(weights, expected)


@rectangles
@pytest.mark.slow
def test_the_norm_counts_every_weight_once(world: int, sides: str, request: pytest.FixtureRequest) -> None:
    params = [nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape, _, _ in PLACES]
    for k, p in enumerate(params):
        p.grad = processes.gradient(k, tuple(p.shape))
    norm = nn.utils.clip_grad_norm_(params, 0.5)
    assert norm > 2
    for weights, remains, calls in left(request.getfixturevalue("two" if world == 2 else "four"), "norm", sides):
        for w, p in zip(weights, params, strict=True):
            assert close(w, -p.grad, 1e-12)
        assert remains == 0
        assert calls == 3  # the mesh of one dimension, and two dimensions of the other


@rectangles
@pytest.mark.slow
def test_fsdp_beside_tensor_parallelism(world: int, sides: str, request: pytest.FixtureRequest) -> None:
    model = processes.network(8)
    optimizer = processes.ours("Adam", model.parameters(), **WHOLE)
    processes.train(model, optimizer, 4, ALONE)
    for result in left(request.getfixturevalue("two" if world == 2 else "four"), "tensor_parallel", sides):
        assert len(result["placements"]) > 2
        assert close(result["weights"], processes.weights(model))
        assert close(result["averages"], processes.averages(optimizer))


@pytest.mark.slow
def test_half_precision(two: list) -> None:
    expected = processes.train_half(processes.half_params(), lambda t: t)
    assert not torch.equal(expected[0][0], processes.half_params()[0])
    for weights, averages in left(two, "half", "as the weights"):
        assert all(map(torch.equal, weights, expected[0]))
        assert all(map(torch.equal, averages, expected[1]))
    for weights, averages in left(two, "half", "rounded at random"):  # each part with numbers of its own
        for a, b in zip((*weights, *averages), (*expected[0], *expected[1]), strict=True):
            assert close(a.double(), b.double(), 0.02)


@pytest.mark.slow
def test_a_step_of_fsdp_takes_one_collective_for_the_norm_and_else_none(two: list) -> None:
    for counts in left(two, "collectives"):
        assert counts == {"plain": (0, True), "max_norm": (2, True), "hybrid": (2, True)}  # two steps, one plan


@pytest.mark.parametrize("name", CLOSURES)
@pytest.mark.parametrize("way", ["ddp", "fsdp"])
@pytest.mark.slow
def test_rules_that_need_a_closure(two: list, way: str, name: str) -> None:
    model = processes.network()
    rule, options = CLOSURES[name]
    optimizer = tw.optim.from_formula(rule)(model.parameters(), **options)
    losses = processes.train_by_closure(model, optimizer, ALONE, averaged=False)
    if name == "halving":
        scales = {float(s["scale"].flatten()[0]) for s in optimizer.state.values()}
        assert scales < {0.5, 0.25, 0.125, 0.0625, 0.03125}, losses
    for weights in left(two, "closures", (way, name)):
        assert close(weights, processes.weights(model))


@pytest.mark.parametrize("what", SCALED)
@pytest.mark.parametrize("scaler", ["GradScaler", "ShardedGradScaler"])
@pytest.mark.slow
def test_all_processes_leave_a_step_out_together(two: list, scaler: str, what: str) -> None:
    model = processes.network()
    optimizer = tw.optim.AdamW(model.parameters(), lr=0.01, **SCALED[what])
    expected = processes.train_scaled(model, optimizer, torch.amp.GradScaler("cpu", init_scale=2.0**8), ALONE)
    assert expected[1:] == ([True, True, False, True, True], 2.0**7)
    for weights, *rest in left(two, "scalers", (scaler, what)):
        assert tuple(rest) == expected[1:]
        assert close(weights, expected[0])


@pytest.mark.parametrize("name", ["Adam", "NAdam", "SGD"])
@pytest.mark.slow
def test_zero_redundancy_optimizer(two: list, name: str) -> None:
    model, optimizer = trained(name, 6)
    results = left(two, "zero_redundancy", name)
    for weights, _ in results:
        assert close(weights, processes.weights(model))
    taken_up = getattr(tw.optim, name)(model.parameters(), **KINDS[name])
    taken_up.load_state_dict({**optimizer.state_dict(), "state": results[0][1]})
    for p in model.parameters():
        for n, value in optimizer.state[p].items():
            assert torch.allclose(taken_up.state[p][n], value, rtol=1e-9)


@pytest.mark.slow
def test_averages_can_be_swapped_in(two: list) -> None:
    model = processes.network()
    optimizer = tw.optim.Adam(model.parameters(), lr=0.01, ema_decay=0.9)
    processes.train(model, optimizer, 3, ALONE)
    outputs = [model(processes.INPUTS).detach()]
    optimizer.swap_ema()
    outputs.insert(0, model(processes.INPUTS).detach())
    for weights, averages, between, seen, after, again in left(two, "swapped"):
        assert torch.equal(between, averages)
        assert torch.equal(after, weights)
        assert not close(weights, averages, 1e-4)
        assert close(seen, outputs[0])
        assert close(again, outputs[1])


@pytest.mark.slow
def test_what_cannot_be_meant_is_refused(two: list) -> None:
    begins = {
        "partial": r"UsageError: a parameter of shape \(3,\) is placed as .*Partial.* redistribute it to Shard",
        "mixed": r"UsageError: of a parameter of shape \(4,\) and its gradient only one is a DTensor; make the",
        "plain": r"UsageError: of a parameter of shape \(4,\) and its gradient only one is a DTensor; make the",
        "int8": r'UsageError: state_dtype="int8" keeps blocks .* shape \(4,\) is a DTensor; give state_dtype=',
        "changed": r"RuntimeError: .* modified by an inplace operation",
    }
    for said in left(two, "refusals"):
        assert said.keys() == begins.keys()
        for what, begin in begins.items():
            assert re.match(begin, said[what]), said[what]


@pytest.mark.slow
def test_without_dtensors_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch.distributed.tensor", raising=False)
    _, optimizer = trained("Adam", 2, **WHOLE)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.swap_ema()
    assert "torch.distributed.tensor" not in sys.modules
    assert not sharded.is_sharded(torch.ones(1))
