"""Where members are trained: what GPUs would run, on the CPU; precision; several devices; machines that lack one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import thalweg as tw
from thalweg.engine import execute, programs
from thalweg.errors import PlanError
from thalweg.population import sizing
from thalweg.population.place import devices, here
from thalweg.population.sizing import block_size
from thalweg.recipe.recipe import recipe
from thalweg.store.file import Store

from ..devices import on_device

FEW = {"optimizers": ["sgd", "adam"], "rates": [0.01], "schedules": ["cosine"], "seeds": 2, "epochs": 1}
FEW |= {"confirmation": 2, "batch_size": 128, "progress": False}


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., tw.Study]:
    def made(name: str, **options: Any) -> tw.Study:
        return tw.compare("breast-cancer", store=tmp_path / f"{name}.db", **{**FEW, **options})

    return made


def losses(study: tw.Study) -> np.ndarray:
    runs = study.table().sort_values(["stage", "optimizer", "lr", "schedule", "seed"])
    return runs["validation_loss"].to_numpy()


@pytest.mark.slow
def test_what_a_gpu_would_run_gives_what_compiled_members_give(
    compared: Callable[..., tw.Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = compared("usual")
    on_device(monkeypatch)
    there = compared("there", batched="stacked")
    np.testing.assert_allclose(losses(there), losses(usual), rtol=1e-3)
    assert [e.optimizer for e in there.verdict.entries] == [e.optimizer for e in usual.verdict.entries]


@pytest.mark.slow
def test_bf16_is_recorded_shown_and_near(compared: Callable[..., tw.Study], tmp_path: Path) -> None:
    full, half = compared("full"), compared("half", precision="bf16")
    assert half.plan.precision == "bf16"
    assert half.sessions[0]["device"] == "cpu, bf16"
    assert full.sessions[0]["device"] == "cpu"
    assert "cpu, bf16" in half.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert not np.array_equal(losses(half), losses(full))
    np.testing.assert_allclose(losses(half), losses(full), rtol=0.2)
    with Store.open(half.path) as store:
        assert {way[0] for way in store.meta("batching")["ways"]} == {"stacked"}


def test_another_precision_is_another_study(compared: Callable[..., tw.Study]) -> None:
    compared("one")
    with pytest.raises(tw.errors.StoreError, match="with other precision"):
        compared("one", precision="bf16")


@pytest.mark.slow
def test_several_devices_have_a_process_each(
    compared: Callable[..., tw.Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = compared("usual")
    two = [torch.device("cpu")] * 2
    begun: list[tuple[int, list[str]]] = []
    made = execute.Processes

    def processes(problem: bytes, count: int, names: list[str]) -> execute.Processes:
        begun.append((count, names))
        return made(problem, count, names)

    monkeypatch.setattr(programs, "devices", lambda name: two)
    monkeypatch.setattr(execute, "devices", lambda name: two)
    monkeypatch.setattr(execute, "Processes", processes)
    there = compared("there")
    assert [names for _, names in begun] == [["cpu", "cpu"]]
    np.testing.assert_array_equal(losses(there), losses(usual))


@pytest.mark.slow
def test_a_study_of_another_machine_goes_on_where_it_is_told(compared: Callable[..., tw.Study], tmp_path: Path) -> None:
    usual = compared("usual")
    study = compared("elsewhere", confirmation=0)
    with Store.open(study.path, write=True) as store, store.writing():
        store.set_meta("plan", {**store.meta("plan"), "device": "cuda:7", "confirmation": 2})
        store.set_meta("costs", None)
        store.set_meta("recipe_run", None)
    with pytest.raises(PlanError, match=r"the device is 'cuda:7', and .* give one of auto, cpu"):
        tw.resume(study.path, progress=False)
    done = tw.resume(study.path, progress=False, device="cpu")
    assert done.finished
    assert done.plan.device == "cpu"
    np.testing.assert_array_equal(losses(done), losses(usual))


def test_names_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, allowed in (("mps", "auto, cpu"), ("cuda:0", "auto, cpu"), (3, "auto, cpu")):
        with pytest.raises(PlanError, match=f"the device is .*PyTorch finds no GPU here.*give one of {allowed}"):
            tw.compare("breast-cancer", device=given)
    with pytest.raises(PlanError, match="the precision is 'tf32'; on cpu give one of float32, bf16"):
        tw.compare("breast-cancer", precision="tf32")
    assert here("cuda", "tf32") == ("cpu", "float32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices("cuda") == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert devices("cuda:1") == [torch.device("cuda:1")]
    assert here("cuda:1", "tf32") == ("cuda:1", "tf32")
    with pytest.raises(PlanError, match="this machine has 2 GPUs that PyTorch can use; give one of auto, cpu, cuda"):
        tw.Population("breast-cancer", device="cuda:2")


def test_a_block_has_what_fits_into_a_gpu() -> None:
    free = 10 * 2**30
    assert block_size(1000, 2, 100, free, 2**20) == int(0.8 * free / 2**20)
    assert block_size(10**9, 2, 100, free) == 1


def test_compiled_members_are_of_the_cpu_in_full_precision() -> None:
    with pytest.raises(PlanError, match="cannot be compiled: compiled members are trained in float32 on the CPU"):
        tw.compare("breast-cancer", batched="compiled", precision="bf16")


def test_other_commands_compute_in_bf16(tmp_path: Path) -> None:
    common = {"epochs": 1, "precision": "bf16"}
    bag = tw.bag("breast-cancer", members=3, **common)
    assert bag.out_of_bag["accuracy"] > 0.8
    assert all(t.dtype == torch.float32 for t in bag.state.values())
    runs = tw.Population("breast-cancer", **common).train([{"optimizer": "adam", "lr": 0.01}])
    assert runs["status"].tolist() == ["finished"]
    test = tw.range_test("breast-cancer", rates=4, steps=5, seeds=2, precision="bf16")
    other = tw.range_test("breast-cancer", rates=4, steps=5, seeds=2)
    assert not np.array_equal(test.losses, other.losses)
    assert tw.Run(device="cpu").device == torch.device("cpu")


@pytest.mark.slow
def test_a_recipe_trains_where_its_study_did(compared: Callable[..., tw.Study], tmp_path: Path) -> None:
    half = compared("half", precision="bf16", optimizers=["adam"])
    ran = half.recipe_run
    assert ran is not None
    assert 'with torch.autocast("cpu", torch.bfloat16):' in half.recipe().code
    assert ran.first < 1e-3
    there = recipe(replace(half.plan, device="cuda:1", precision="float32"), half.problem, half.chosen())
    for words in ('DEVICE = torch.device("cuda:1" if', "model().to(DEVICE)", "there(problem.validation)"):
        assert words in there.code
    scopes: list[dict[str, Any]] = []
    for plan in (replace(half.plan, device="cuda:1", precision="float32"), replace(half.plan, precision="float32")):
        scopes.append({})
        exec(recipe(plan, half.problem, half.chosen()).code, scopes[-1])  # on the CPU where there is no GPU
    near = 1e-5 if scopes[0]["DEVICE"].type == "cpu" else 1e-2
    np.testing.assert_allclose(scopes[0]["losses"], scopes[1]["losses"], rtol=near)
    short = recipe(replace(half.plan, device="cuda", precision="tf32"), half.problem, half.chosen())
    assert "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True" in short.code


class Counted(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Ten rows, and how often one was read."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 10

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.read += 1
        return torch.full((3,), float(row)), torch.tensor([2.0 * row])


def test_a_loader_is_read_once_for_all_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "CACHE", 1)  # in which no two members fit
    rows = Counted()
    part = torch.randn(4, 3), torch.randn(4, 1)
    problem = tw.Problem(
        lambda: torch.nn.Linear(3, 1), train=DataLoader(rows, batch_size=5), validation=part, test=part, loss="mse"
    )
    before = {}
    for rates in (3, 30):
        rows.read = 0
        many = {"rates": tw.log_range(1e-4, 1e-3, rates), "grow": 0, "refine": 0, "confirmation": 0}
        more = {"schedules": ["constant"], "seeds": 2, "epochs": 3, "progress": False}
        tw.compare(problem, ["sgd"], store=tmp_path / f"{rates}.db", **many, **more)
        before[rates] = rows.read
    assert before[30] == before[3]
