"""What the processes of `test_distributed.py` do: each scenario leaves what it found, and the test judges it."""

from __future__ import annotations

import datetime
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.amp import GradScaler
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    get_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

import thalweg as tw
from thalweg.errors import UsageError

from .models import INPUTS, OPTIONS, OWN, TARGETS

WHOLE: dict[str, Any] = {"max_norm": 0.3, "clip_value": 0.1, "ema_decay": 0.8, "zero_grad": True}
# class → options that ask most of it
KINDS: dict[str, dict[str, Any]] = {
    **{name: several[-1] for name, several in OPTIONS.items()},
    **{name: {} for name in OWN},
}
KINDS |= {"SGD": {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.1}, "SignSGD": {"momentum": 0.9}}
NO_DTENSORS = "Rprop"  # torch's own, which assigns by index
SAVED = ("SGD", "Adam", "NAdam", "ASGD", "Rprop")
SCALED = {"alone": {}, "whole": {"max_norm": 0.05, "zero_grad": True}}


@tw.formula()
def by_loss(g, loss, *, lr=0.1):
    return tw.Update(-lr * loss * g)


# rules that look ahead, or read the loss
CLOSURES = {
    "nesterov": (tw.formulas.get("nesterov"), {"lr": 0.05, "lookahead": True}),
    "halving": (tw.formulas.get("halving"), {"lr": 0.4}),
    "by_loss": (by_loss, {}),
}


# shapes of the tensors whose norm is taken, and how each lies on a mesh of processes
PLACES: list[tuple[tuple[int, ...], str | None, tuple[Any, ...]]] = [
    ((3,), None, ()),
    ((5, 2), "flat", (Shard(0),)),
    ((2, 7), "flat", (Shard(1),)),
    ((1, 4), "flat", (Shard(0),)),
    ((3, 3), "flat", (Replicate(),)),
    ((4, 3), "hybrid", (Replicate(), Shard(0))),
    ((4, 4), "hybrid", (Shard(0), Shard(1))),
    ((2, 2), "hybrid", (Shard(1), Replicate())),
    ((6,), "hybrid", (Replicate(), Replicate())),
]


@dataclass(frozen=True)
class Processes:
    """All of them, seen from one."""

    rank: int = 0
    world: int = 1
    folder: Path = Path()

    @property
    def mesh(self) -> DeviceMesh:
        return init_device_mesh("cpu", (self.world,))


def network(hidden: int = 7) -> nn.Module:
    """The last layer has fewer rows than there are processes, so that one of them holds nothing of it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(6, hidden), nn.Tanh(), nn.Linear(hidden, 1)).double()


def loss(model: nn.Module, k: int, at: Processes) -> torch.Tensor:
    """On this process's half of the k-th batch."""
    rows = slice(8 * (k % 5) + at.rank, 8 * (k % 5) + 8, at.world)
    return (model(INPUTS[rows]) - TARGETS[rows, :1]).square().mean()


def train(
    model: nn.Module, optimizer: Any, steps: int, at: Processes, start: int = 0, max_norm: float | None = None
) -> None:
    for k in range(start, start + steps):
        optimizer.zero_grad()
        loss(model, k, at).backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()


def train_by_closure(model: nn.Module, optimizer: Any, at: Processes, *, averaged: bool) -> list[float]:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(model, 0, at)
        value.backward()
        if averaged:
            value = value.detach()
            dist.all_reduce(value)
            value /= at.world
        return value

    return [optimizer.step(closure).item() for _ in range(6)]


def full(t: torch.Tensor) -> torch.Tensor:
    whole = t.full_tensor() if isinstance(t, DTensor) else t
    return whole.detach().clone()


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([full(p).flatten() for p in model.parameters()])


def averages(optimizer: Any) -> torch.Tensor:
    return torch.cat([full(a).flatten() for a in optimizer.ema_parameters()])


def divided(at: Processes, mesh: DeviceMesh | None = None) -> nn.Module:
    model = network()
    fully_shard(model, mesh=mesh or at.mesh)
    return model


def ours(name: str, params: Any, **more: Any) -> Any:
    return getattr(tw.optim, name)(params, **{**KINDS[name], **more})


def found(model: nn.Module, optimizer: Any) -> dict[str, Any]:
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    state = get_optimizer_state_dict(inner, optimizer, options=options).get("state")
    return {
        "weights": weights(model),
        "averages": averages(optimizer),
        "state": state,
        "left": [float(full(p.grad).abs().sum()) for p in model.parameters()],
    }


def ddp(at: Processes) -> Any:
    results = {}
    for k, name in enumerate(KINDS):
        model = DistributedDataParallel(network(), gradient_as_bucket_view=k % 2 == 0)
        optimizer = ours(name, model.parameters(), **WHOLE)
        train(model, optimizer, 4, at)
        results[name] = found(model, optimizer)
    return results


def fsdp(at: Processes) -> Any:
    results = {}
    for name in KINDS:
        model = divided(at)
        optimizer = ours(name, model.parameters(), **WHOLE)
        train(model, optimizer, 4, at)
        kinds = {type(s) for p in model.parameters() for s in optimizer.state[p].values() if s.dim()}
        results[name] = {**found(model, optimizer), "kinds": {kind.__name__ for kind in kinds}}
    return results


def beside_torch(at: Processes) -> Any:
    """torch.optim on the same DTensors, after clip_grad_norm_."""
    results = {}
    for name in sorted(OPTIONS.keys() - {NO_DTENSORS}):
        mine, its = divided(at), divided(at)
        train(mine, ours(name, mine.parameters(), max_norm=0.3), 4, at)
        kind = getattr(torch.optim, name)
        train(its, kind(its.parameters(), **KINDS[name], foreach=False), 4, at, max_norm=0.3)
        results[name] = weights(mine), weights(its)
    return results


def save(model: nn.Module, optimizer: Any, path: Path, **more: Any) -> None:
    model_state, optimizer_state = get_state_dict(model, optimizer)
    dcp.save({"model": model_state, "optimizer": optimizer_state}, checkpoint_id=path, **more)


def load(model: nn.Module, optimizer: Any, path: Path, **more: Any) -> None:
    model_state, optimizer_state = get_state_dict(model, optimizer)
    state = {"model": model_state, "optimizer": optimizer_state}
    dcp.load(state, checkpoint_id=path, **more)
    set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])


def checkpoints(at: Processes) -> Any:
    """Saved here and taken up here, saved by one process and taken up here, saved by torch.optim."""
    results = {}
    for name in SAVED:
        model = divided(at)
        optimizer = ours(name, model.parameters(), ema_decay=0.8)
        train(model, optimizer, 3, at)
        save(model, optimizer, at.folder / f"two-{name}")
        sources = ["two", "one"]
        if name != NO_DTENSORS:
            model = divided(at)
            optimizer = getattr(torch.optim, name)(model.parameters(), **KINDS[name])
            train(model, optimizer, 3, at)
            save(model, optimizer, at.folder / f"torch-{name}")
            sources.append("torch")
        for source in sources:
            model = divided(at)
            more = {} if source == "torch" else {"ema_decay": 0.8}
            taken_up = ours(name, model.parameters(), lr=12.3, **more)
            load(model, taken_up, at.folder / f"{source}-{name}")
            train(model, taken_up, 3, at, start=3)
            results[source, name] = weights(model), averages(taken_up) if more else None
    return results


def whole_states(at: Processes) -> Any:
    """A state_dict of one process: handed to load_state_dict as it is, and to torch's set_optimizer_state_dict."""
    results = {}
    for name in SAVED:
        alone = network()
        begun = ours(name, alone.parameters())
        train(alone, begun, 3, Processes())
        for way in ("as it is", "through torch"):
            model = divided(at)
            for p, q in zip(model.parameters(), alone.parameters(), strict=True):
                p.data.copy_(distribute_tensor(q.data, p.device_mesh, p.placements))
            taken_up = ours(name, model.parameters())
            if way == "as it is":
                taken_up.load_state_dict(begun.state_dict())
            else:
                state = get_optimizer_state_dict(alone, begun)
                set_optimizer_state_dict(model, taken_up, state, options=StateDictOptions(full_state_dict=True))
            train(model, taken_up, 3, at, start=3)
            results[way, name] = weights(model)
    return results


def gradient(k: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.sin(torch.arange(1.0, 1 + torch.Size(shape).numel(), dtype=torch.float64) + k).reshape(shape)


def rectangles(at: Processes) -> Iterator[tuple[int, int]]:
    """The ways to lay the processes out in two dimensions."""
    yield from {2: ((2, 1), (1, 2)), 4: ((2, 2),)}[at.world]


def norm(at: Processes) -> Any:
    """One step of SGD over tensors that lie in every way; also how many collectives it took."""
    results: dict[str, Any] = {}
    for sides in rectangles(at):
        meshes = {"flat": at.mesh, "hybrid": init_device_mesh("cpu", sides)}
        params = []
        for k, (shape, mesh, placements) in enumerate(PLACES):
            w, g = torch.zeros(shape, dtype=torch.float64), gradient(k, shape)
            if mesh is not None:
                w, g = (distribute_tensor(t, meshes[mesh], placements) for t in (w, g))
            params.append(nn.Parameter(w))
            params[-1].grad = g
        partial = DTensor.from_local(gradient(4, (3, 3)) / at.world, meshes["flat"], [Partial()])
        params[4].grad = partial  # a sum still to be made
        optimizer = tw.optim.SGD(params, lr=1.0, max_norm=0.5, zero_grad=True)
        with mock.patch.object(dist, "all_reduce", wraps=dist.all_reduce) as summed:
            optimizer.step()
        left = sum(float(full(p.grad).abs().sum()) for p in params)
        results[str(sides)] = [full(p) for p in params], left, summed.call_count
    return results


def tensor_parallel(at: Processes) -> Any:
    """The layers divided over one dimension of the mesh, and what is left of them by FSDP over the other."""
    results = {}
    for sides in rectangles(at):
        mesh = init_device_mesh("cpu", sides, mesh_dim_names=("data", "tensor"))
        model = parallelize_module(network(8), mesh["tensor"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
        fully_shard(model, mesh=mesh["data"])
        optimizer = ours("Adam", model.parameters(), **WHOLE)
        train(model, optimizer, 4, Processes(mesh.get_local_rank("data"), sides[0]))
        results[str(sides)] = {
            "weights": weights(model),
            "averages": averages(optimizer),
            "placements": {str(p.placements) for p in model.parameters()},
        }
    return results


def half_params() -> list[nn.Parameter]:
    return [nn.Parameter(gradient(k, shape).bfloat16()) for k, shape in enumerate([(5, 2), (1, 4)])]


def train_half(params: list[nn.Parameter], place: Callable[[torch.Tensor], torch.Tensor], **more: Any) -> Any:
    optimizer = tw.optim.AdamW(params, lr=0.1, **WHOLE, **more)
    for k in range(3):
        for p in params:
            p.grad = place(gradient(k, tuple(p.shape)).bfloat16())
        optimizer.step()
    return [full(p) for p in params], [full(a) for a in optimizer.ema_parameters()]


def half(at: Processes) -> Any:
    """bfloat16 weights, and states in it."""

    def place(t: torch.Tensor) -> torch.Tensor:
        return distribute_tensor(t, at.mesh, [Shard(0)])

    formats = {"as the weights": {}, "rounded at random": {"state_dtype": torch.bfloat16, "stochastic_rounding": True}}
    return {
        name: train_half([nn.Parameter(place(p.detach())) for p in half_params()], place, **options)
        for name, options in formats.items()
    }


def collectives(at: Processes) -> Any:
    """How often a step of FSDP sums a number over the processes."""
    counts = {}
    # replicated over one dimension, divided over the other
    hybrid = init_device_mesh("cpu", (at.world, 1), mesh_dim_names=("copies", "parts"))
    for what, mesh in {"plain": at.mesh, "max_norm": at.mesh, "hybrid": hybrid}.items():
        model = divided(at, mesh)
        optimizer = tw.optim.AdamW(model.parameters(), max_norm=None if what == "plain" else 0.3)
        loss(model, 0, at).backward()
        with mock.patch.object(dist, "all_reduce", wraps=dist.all_reduce) as summed:
            optimizer.step()
            plan = optimizer._plan
            optimizer.step()
        counts[what] = summed.call_count, optimizer._plan is plan
    return counts


def closures(at: Processes) -> Any:
    results = {}
    for name, (rule, options) in CLOSURES.items():
        kind = tw.optim.from_formula(rule)
        model = divided(at)
        optimizer = kind(model.parameters(), **options)
        train_by_closure(model, optimizer, at, averaged=False)
        results["fsdp", name] = weights(model)
        model = DistributedDataParallel(network())
        train_by_closure(model, kind(model.parameters(), **options), at, averaged=True)
        results["ddp", name] = weights(model)
    return results


def train_scaled(model: nn.Module, optimizer: Any, scaler: GradScaler, at: Processes) -> Any:
    moves = []
    for k in range(5):
        optimizer.zero_grad()
        scaler.scale(loss(model, k, at)).backward()
        if k == 2 and at.rank == at.world - 1:
            g = next(model.parameters()).grad
            (g.to_local() if isinstance(g, DTensor) else g)[-1, 0] = float("inf")
        before = weights(model)
        scaler.step(optimizer)
        scaler.update()
        moves.append(not torch.equal(before, weights(model)))
    return weights(model), moves, scaler.get_scale()


def scalers(at: Processes) -> Any:
    """An infinite gradient in the part of one process only."""
    results = {}
    for kind in (GradScaler, ShardedGradScaler):
        for what, options in SCALED.items():
            model = divided(at)
            optimizer = tw.optim.AdamW(model.parameters(), lr=0.01, **options)
            results[kind.__name__, what] = train_scaled(model, optimizer, kind("cpu", init_scale=2.0**8), at)
    return results


def zero_redundancy(at: Processes) -> Any:
    from torch.distributed.optim import ZeroRedundancyOptimizer  # importing it gives a DeprecationWarning

    results = {}
    for name in ("Adam", "NAdam", "SGD"):
        options = {"optimizer_class": getattr(tw.optim, name), **KINDS[name]}
        model = DistributedDataParallel(network())
        optimizer = ZeroRedundancyOptimizer(model.parameters(), **options)
        train(model, optimizer, 3, at)
        state: dict[str, Any] = {}
        for rank in range(at.world):
            optimizer.consolidate_state_dict(to=rank)
            state = optimizer.state_dict() if rank == at.rank else state
        other = DistributedDataParallel(network())
        other.load_state_dict(model.state_dict())
        taken_up = ZeroRedundancyOptimizer(other.parameters(), **options)
        taken_up.load_state_dict(state)
        train(other, taken_up, 3, at, start=3)
        taken_up.consolidate_state_dict(to=0)
        results[name] = weights(other), taken_up.state_dict()["state"] if at.rank == 0 else None
    return results


def swapped(at: Processes) -> Any:
    model = divided(at)
    optimizer = tw.optim.Adam(model.parameters(), lr=0.01, ema_decay=0.9)
    train(model, optimizer, 3, at)
    seen = [weights(model), averages(optimizer)]
    for _ in range(2):
        optimizer.swap_ema()
        seen += [weights(model), model(INPUTS).detach()]
        model.reshard()  # a forward pass without a backward pass leaves the weights together
    return seen


def said(work: Callable[[], Any]) -> str:
    try:
        work()
    except (UsageError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def refusals(at: Processes) -> Any:
    unsummed = nn.Parameter(DTensor.from_local(torch.ones(3), at.mesh, [Partial()]))
    unsummed.grad = DTensor.from_local(torch.ones(3), at.mesh, [Partial()])
    mixed = nn.Parameter(distribute_tensor(torch.ones(4), at.mesh, [Shard(0)]))
    mixed.grad = torch.ones(4)
    plain = nn.Parameter(torch.ones(4))
    plain.grad = mixed.detach()
    fitting = nn.Parameter(mixed.detach().clone())
    fitting.grad = torch.zeros_like(fitting)
    changed = nn.Parameter(distribute_tensor(torch.ones(4), at.mesh, [Replicate()]))
    changed.grad = torch.ones_like(changed)
    value = changed.square().sum()
    tw.optim.SGD([changed]).step()
    return {
        "partial": said(tw.optim.SGD([unsummed]).step),
        "mixed": said(tw.optim.SGD([mixed]).step),
        "int8": said(tw.optim.SGD([fitting], state_dtype="int8").step),
        "plain": said(tw.optim.SGD([plain]).step),
        "changed": said(value.backward),
    }


TWO = (
    ddp,
    fsdp,
    beside_torch,
    checkpoints,
    whole_states,
    norm,
    tensor_parallel,
    half,
    collectives,
    closures,
    scalers,
    zero_redundancy,
    swapped,
    refusals,
)
FOUR = (norm, tensor_parallel)


def work(rank: int, world: int, folder: str) -> None:
    """Carry the scenarios out, in one of the processes."""
    torch.set_num_threads(1)
    at = Processes(rank, world, Path(folder))
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting-{world}",
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=60),
    )
    results: dict[str, Any] = {}
    for scenario in TWO if world == 2 else FOUR:
        try:
            results[scenario.__name__] = scenario(at)
        except Exception:  # the others may be waiting for this one: nothing can go on
            results[scenario.__name__] = traceback.format_exc()
            torch.save(results, at.folder / f"{world}-{rank}.pt")
            os._exit(0)
        torch.save(results, at.folder / f"{world}-{rank}.pt")
    dist.destroy_process_group()
