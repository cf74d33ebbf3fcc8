"""What a study is said to take before it begins, compared with what it takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from thalweg.engine import disk
from thalweg.engine import footprint as memory
from thalweg.engine.footprint import footprint, free_memory
from thalweg.engine.forecast import Forecast
from thalweg.engine.halving import planned_epochs
from thalweg.engine.programs import Programs, Way
from thalweg.errors import ThalwegError
from thalweg.plan.plan import log_range, plan
from thalweg.population.block import Block
from thalweg.problem.declaration import Problem
from thalweg.problem.prepare import prepare
from thalweg.store.file import Store
from thalweg.study.forecast import forecast
from thalweg.study.study import compare

from ..studies import TINY

SPREAD: dict[str, Any] = {**TINY, "batch_sizes": [32, 64], "rates": [0.01, 0.03, 0.1], "refine": 1, "grow": 0}


@pytest.fixture(scope="module")
def foreseen() -> Forecast:
    return forecast(**SPREAD)


@pytest.mark.slow
def test_a_forecast_has_the_runs_and_steps_of_the_study(foreseen: Forecast, tmp_path: Path) -> None:
    study = compare(**SPREAD, store=tmp_path / "a.db")
    with Store.open(study.path) as store:
        rows = {stage: store.blocks(stage) for stage in ("search", "confirmation")}
    search, refinement, confirmation = foreseen.stages
    runs, steps = (
        {stage: sum(len(r.settings) * factor(r) for r in each) for stage, each in rows.items()}
        for factor in (lambda r: 1, lambda r: r.step)
    )
    assert search.runs == study.plan.seeds * search.settings == 48
    assert search.runs < runs["search"] <= search.runs + refinement.runs
    assert search.steps == 2 * 24 * (6 + 12)  # epochs × runs of each batch size × steps of 364 samples
    assert search.steps < steps["search"] <= search.steps + refinement.steps + refinement.runs * 2 * 3
    assert 0 < runs["confirmation"] <= confirmation.runs
    assert foreseen.runs == search.runs + refinement.runs + confirmation.runs


def test_a_forecast_says_how_members_are_trained(foreseen: Forecast) -> None:
    assert [(p.batch_size, p.way, p.why, p.settings) for p in foreseen.programs] == [
        (32, "compiled", None, 12),
        (64, "compiled", None, 12),
    ]
    stacked = forecast(**TINY, batched="stacked")
    assert [p.way for p in stacked.programs] == ["stacked"]
    assert stacked.memory > foreseen.memory / 2
    assert "batch size 64: stacked; " in str(stacked)


def test_seconds_follow_from_those_of_a_step(foreseen: Forecast) -> None:
    each = [p.at_once for p in foreseen.programs]
    seconds = [
        24 * 2 * (steps * p.step_seconds + p.evaluation_seconds) / p.at_once
        for p, steps in zip(foreseen.programs, (12, 6), strict=True)
    ]
    assert foreseen.stages[0].seconds == pytest.approx(sum(seconds))
    assert foreseen.cores == max(each)
    assert 1e-7 < foreseen.programs[0].step_seconds < 1e-2


@pytest.mark.parametrize(("worth", "at_once"), [(1e-9, 2), (1e9, 1)])
def test_processes_are_foreseen_where_they_are_worth_starting(
    worth: float, at_once: int, cores: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(2)
    monkeypatch.setattr(memory, "WORTH", worth)
    assert forecast(**TINY, batched=False).cores == at_once


@pytest.mark.slow
@pytest.mark.parametrize(("more", "at_once"), [(0, 2), (1, 1)])
def test_what_processes_are_worth_counts_all_programs(
    more: int, at_once: int, cores: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(2)
    given = {**TINY, "batch_sizes": [16, 32], "batched": False}
    monkeypatch.setattr(Programs, "step_seconds", lambda *_: 1.0)
    monkeypatch.setattr(memory, "WORTH", forecast(**given).stages[0].steps + more)
    assert [program.at_once for program in forecast(**given).programs] == [at_once, at_once]


def test_a_forecast_is_plain_values(foreseen: Forecast) -> None:
    values = json.loads(json.dumps(foreseen.to_json(), allow_nan=False))
    assert values["memory"] == foreseen.memory
    assert values["programs"][0]["footprint"]["weights"] == foreseen.programs[0].footprint.weights
    assert [stage["name"] for stage in values["stages"]] == ["search", "refinement", "confirmation"]


def test_what_never_comes_is_not_foreseen() -> None:
    given = {**TINY, "confirmation": 0, "refine": 2}  # two rates are a list, which is not refined
    assert [stage.name for stage in forecast(**given).stages] == ["search"]


def test_what_the_grid_may_grow_by_is_named_and_not_counted() -> None:
    would = forecast(**{**SPREAD, "batch_sizes": None, "grow": 3, "hyperparameters": {"beta2": [0.99, 0.999]}})
    search, growth, *_ = would.stages
    assert search.settings == 3 * 2 * (1 + 2)
    assert (growth.name, growth.settings, growth.runs, growth.at_most) == ("growth", 2 * 3 * 2 * (1 + 2), 72, True)
    assert would.longest == pytest.approx(would.seconds + growth.seconds)
    assert would.runs == sum(stage.runs for stage in would.stages) - growth.runs
    assert "(at most " in str(would)
    assert "if best rates lie on the edges" in str(would)


def test_a_forecast_is_a_line(foreseen: Forecast) -> None:
    assert re.fullmatch(
        r"breast-cancer: 48 runs of 18 steps for the search, at most \d+ of refinement and \d+ of confirmation; "
        r"compiled, [\d.]+ .?s to [\d.]+ .?s for a member's step: about [\d.e-]+ m?s on \d+ cores?, .* of memory, "
        r".* of disk\.",
        foreseen.line,
    ), foreseen.line


@pytest.mark.slow
def test_the_disk_that_is_foreseen_is_about_that_of_the_store(tmp_path: Path) -> None:
    wide = {**TINY, "rates": log_range(1e-3, 1, 40), "seeds": 5, "epochs": 15, "grow": 0, "refine": 0}
    taken = sum(file.stat().st_size for file in compare(**wide, store=tmp_path / "a.db").path.parent.iterdir())
    assert taken < forecast(**wide).disk < 2 * (taken + disk.LOG)


@pytest.mark.slow
def test_halving_keeps_checkpoints_of_all_that_waits() -> None:
    full, halved = (forecast(**{**TINY, "epochs": 8, "budget": budget}) for budget in ("full", "halving"))
    (program,) = full.programs
    assert program.saved * 16 == pytest.approx(halved.disk - full.disk, rel=0.01)


def test_a_mistake_is_said_as_by_the_study() -> None:
    with pytest.raises(ThalwegError, match="nope"):
        forecast("breast-cancer", optimizers=["nope"])


def test_halving_is_foreseen() -> None:
    wanted = plan(["sgd"], [10.0**-k for k in range(8)], ["constant"], epochs=16, budget="halving")
    assert planned_epochs(wanted, wanted.settings) == 8 * 2 + 4 * 2 + 2 * 4 + 1 * 8
    assert planned_epochs(replace(wanted, budget="full"), wanted.settings) == 8 * 16


def test_a_model_that_cannot_be_trained_is_a_sentence() -> None:
    class Refuses(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            if len(input) > 40:
                raise RuntimeError("too many samples.\nReally.")
            return super().forward(input)

    inputs = torch.randn(200, 4)
    problem = Problem(lambda: Refuses(4, 2), (inputs, (inputs.sum(1) > 0).long()), name="refuses")
    with pytest.raises(ThalwegError, match=r"^[^\n]*too many samples[^\n]*$"):
        forecast(problem, optimizers=["sgd"], rates=[0.1], confirmation=0)


# Memory


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


@pytest.mark.parametrize("regularizer", [None, "early_stopping(3)", "ema(0.9)"])
def test_the_memory_of_what_lasts_is_that_of_a_block(regularizer: str | None, cores: Callable[[int], None]) -> None:
    cores(1)
    inputs = torch.randn(200, 12)
    problem = prepare(Problem(normalised, (inputs, (inputs.sum(1) > 0).long()), name="normalised"))
    wanted = plan(["sgd", "momentum", "adam"], [0.01, 0.1], ["constant"], seeds=1, regularizers=[regularizer])
    programs = Programs(wanted, problem, [Way("compiled")])
    ((_, settings, fold),) = programs.blocks(wanted.settings, [0])
    block = Block(programs.task(settings[0], fold), [wanted.member(s, 0) for s in settings], 1)
    saved, taken = block.tensors(), footprint(programs, settings, fold)

    def size(*names: str) -> int:
        return sum(t.nbytes for name, t in saved.items() if name.partition(".")[0] in names and name != "best_loss")

    assert taken.weights == size("weight")
    assert taken.states == size("state")
    assert taken.further == size("moving", "average", "best")
    assert taken.further > 0
    assert taken.total == sum(vars(taken).values())


@pytest.mark.slow
def test_blocks_that_do_not_fit_are_said_before_they_are_trained(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda *device: 2**14)
    (warning,) = forecast(**TINY).warnings
    assert "8 members at once take about" in warning
    assert "16.0 KiB are free: give a smaller model" in warning
    compare(**{**TINY, "progress": None}, store=tmp_path / "a.db")
    before, _, _ = capfd.readouterr().err.partition("\nsearch: ")
    assert "members at once take about" in before


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="the system does not say how much memory is free")
def test_free_memory_is_what_the_system_says() -> None:
    free = free_memory()
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


GROWS = """
import gc, json, sys, torch
from torch import nn
import thalweg as tw
from thalweg.study.forecast import forecast

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name + ":"))

inputs = torch.randn(256, 2000)
model = lambda: nn.Sequential(nn.Linear(2000, 2000), nn.ReLU(), nn.Linear(2000, 2))
problem = tw.Problem(model, (inputs, (inputs.sum(1) > 0).long()), name="large")
given = dict(optimizers=["momentum", "adam"], rates=tw.log_range(1e-4, 1e-3, 8), schedules=["constant"], seeds=1,
             epochs=2, confirmation=0, refine=0, grow=0, batched=sys.argv[2])
would = forecast(problem, **given)
gc.collect()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak begins anew
before = status("VmRSS")
tw.compare(problem, **given, store=sys.argv[1], progress=False)
print(json.dumps([would.memory, status("VmHWM") - before]))
"""


@pytest.mark.slow
@pytest.mark.share(of=2)
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not say how a process grew")
@pytest.mark.parametrize("way", ["compiled", "stacked"])
def test_a_study_takes_the_memory_that_was_foreseen(way: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GROWS, str(tmp_path / "a.db"), way],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        # What is freed goes back to the system at once, so that what earlier work left behind is not counted here.
        env={**os.environ, "OMP_NUM_THREADS": "2", "MALLOC_MMAP_THRESHOLD_": "1000000"},
    )
    foreseen, grown = json.loads(done.stdout.splitlines()[-1])
    assert grown > 200 * 2**20
    assert foreseen == pytest.approx(grown, rel=0.15)
