"""Studies of models that cannot be batched, are slow batched, or do not fit into memory: the same results."""

from __future__ import annotations

import itertools
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode

import thalweg as tw
from thalweg.engine import batching, block_run
from thalweg.engine import execute as run
from thalweg.engine.memory import out_of_memory
from thalweg.engine.outlook import Outlook
from thalweg.engine.portable import portable
from thalweg.engine.programs import COMPILED, Programs, Way
from thalweg.engine.progress import Lines
from thalweg.errors import PlanError, TrainingError
from thalweg.plan.plan import plan
from thalweg.population import block
from thalweg.population.batched import Batched
from thalweg.population.compiled import Compiled
from thalweg.population.one_by_one import OneByOne
from thalweg.problem.find import load
from thalweg.problem.prepare import prepare
from thalweg.store.file import Store
from thalweg.study.study import Study, compare, resume

from ..cases import mostly_slow, share
from ..studies import steps_recorded, wait_for
from ..warm import Forked, warm_workers

FILE = """
import torch
from torch import nn
import thalweg as tw

class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 2)

    def forward(self, x):
        hidden = self.first(x)
        return self.second(torch.relu(hidden) if hidden.mean().item() > 0 else torch.tanh(hidden))

def branching():
    inputs = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
    return tw.Problem(model=Branches, train=(inputs, (inputs.sum(1) > 0).long()), metrics=("accuracy",))
"""
WANTED: dict[str, Any] = {
    "optimizers": ["sgd", "adam"],
    "rates": [0.01, 0.1, 1e300],
    "schedules": ["constant", "cosine"],
    "seeds": 2,
    "epochs": 2,
    "batch_size": 32,
    "confirmation": 2,
    "progress": False,
}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("problem") / "branches.py"
    path.write_text(FILE)
    return f"{path}:branching"


@pytest.fixture(scope="module")
def single(spec: str, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A model with a branch on its data, in one process."""
    return compare(spec, **WANTED, store=tmp_path_factory.mktemp("single") / "single.db")


def values(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = ["stage", "optimizer", "lr", "schedule", "seed"]
    table = study.table().sort_values(names, ignore_index=True)
    curves = study.curves().astype({"metric": str}).merge(table[["member", *names]], on="member")
    keys = [*names, "metric", "step"]
    return table.drop(columns="member"), curves.drop(columns="member").sort_values(keys, ignore_index=True)


def same(one: Study, other: Study, exact: bool) -> None:
    for a, b in zip(values(one), values(other), strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=exact, rtol=1e-4)


# What cannot be batched


@pytest.mark.slow
def test_a_model_that_cannot_be_batched_is_trained_and_said_to_be(single: Study, tmp_path: Path) -> None:
    (line,) = single.batching
    assert line.startswith("Members were trained one by one, because Branches cannot be batched (It looks like")
    assert len(line) < 200
    assert single.finished
    assert (single.table().query("lr > 1")["status"] == "diverged").any()
    assert not (single.table().query("lr < 1")["status"] == "diverged").any()
    assert single.recipe_run is not None
    assert single.recipe_run.largest < 1e-5
    assert line.split(" (")[0] in single.report(tmp_path / "r.html").read_text(encoding="utf-8")


class Untraceable(nn.Module):
    """Works batched, and refuses to be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(30, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if get_proxy_mode() is not None:
            raise RuntimeError("no tracing here.\nAt all.")
        return self.layer(x)


@pytest.mark.slow
def test_a_model_that_runs_untraced_is_said_to_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = replace(load("breast-cancer"), model=Untraceable)
    study = compare(problem, **{**WANTED, "epochs": 1, "progress": True, "batched": True}, store=tmp_path / "slow.db")
    why, line = study.batching
    assert why == "Members were trained stacked, not compiled: the step cannot be traced: no tracing here."
    assert line.startswith("Untraceable runs untraced, which is slower: no tracing here")
    assert capsys.readouterr().err.splitlines().count(line) == 1
    assert line in study.report(tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_in_processes_as_in_one(
    spec: str,
    single: Study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    cores: Callable[[int], None],
) -> None:
    monkeypatch.setattr(run, "WORTH", 0.0)
    taken: list[int] = []
    stages: list[object] = []

    class Watched(run.Processes):
        def __init__(self, content: bytes, count: int, names: list[str]) -> None:
            taken.append(count)
            monkeypatch.setattr(run, "WORTH", math.inf)  # of others; those that have started serve what follows
            super().__init__(content, count, names)

        def run(self, jobs: Any, stop: Any) -> Any:
            stages.append(jobs)
            return super().run(jobs, stop)

    monkeypatch.setattr(run, "Processes", Watched)
    cores(2)
    asked = {**WANTED, "progress": None}
    same(compare(spec, **asked, store=tmp_path / "several.db"), single, exact=True)
    assert taken == [2]
    assert len(stages) > 1  # search, …, confirmation
    said = capfd.readouterr().err
    assert said.count("one by one") == 1
    assert "confirmation: 100%" in said


WORKERS = f"""
import multiprocessing, os
{FILE}
class Dying(Branches):
    def forward(self, x):
        if multiprocessing.parent_process() is not None:
            os._exit(9)
        return super().forward(x)

def dying():
    return tw.Problem(model=Dying, train=branching().train)

def changing():
    return tw.Problem(model=Branches, train=(torch.randn(120, 6), branching().train[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("dying", "a worker process ended by force, perhaps for want of memory"),
        ("changing", "the problem changing is another each time it is made; give its data and its model a seed"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_a_sentence(
    function: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: Callable[[int], None]
) -> None:
    monkeypatch.setattr(run, "WORTH", 0.0)
    cores(2)
    (tmp_path / "workers.py").write_text(WORKERS)
    with warm_workers(), pytest.raises(TrainingError, match=words):
        compare(f"{tmp_path / 'workers.py'}:{function}", **WANTED, store=tmp_path / "workers.db")


@pytest.mark.slow
@pytest.mark.parametrize("end", share([signal.SIGKILL, signal.SIGHUP], of=2))
def test_a_killed_study_leaves_no_process(end: signal.Signals, spec: str, single: Study, tmp_path: Path) -> None:
    path = tmp_path / "killed.db"
    code = (
        "import torch; torch.get_num_threads = lambda: 2\n"
        "from thalweg.engine import execute; execute.WORTH = 0.0\n"
        "from thalweg.cli.main import main; main()"
    )
    words = [
        "compare",
        spec,
        "--optimizers",
        "sgd,adam",
        "--rates",
        "0.01,0.1,1e300",
        "--seeds",
        "2",
        "--epochs",
        "2",
        "--batch-size",
        "32",
        "--confirmation",
        "2",
        "--store",
        str(path),
        "-q",
    ]
    process = Forked(*words, program=code)
    wait_for(lambda: steps_recorded(path) > 0, process, seconds=120)
    os.kill(process.pid, end)
    process.wait()
    until = time.monotonic() + 60
    while alive(process.pid):
        assert time.monotonic() < until, "workers outlive their study"
        time.sleep(0.05)
    same(resume(path, progress=False), single, exact=True)


def alive(group: int) -> bool:
    """Whether a group of processes has any left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_exists_only_here_cannot_be_sent(spec: str) -> None:
    inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    own = tw.Problem(model=lambda: nn.Linear(3, 2), train=(inputs, (inputs[:, 0] > 0).long()))
    wanted = plan(optimizers=["sgd"])
    assert portable(Programs(wanted, prepare(own))) is None
    assert portable(Programs(wanted, prepare(spec))) is not None
    assert portable(Programs(wanted, prepare("digits"))) is not None


# What is asked, and what is measured


@pytest.mark.slow
def test_one_by_one_when_asked_gives_the_same(tmp_path: Path) -> None:
    studies = [
        compare("breast-cancer", **WANTED, batched=asked, store=tmp_path / f"{asked}.db") for asked in (True, False)
    ]
    same(*studies, exact=False)
    assert studies[0].batching == []
    assert studies[1].batching == ["Members were trained one by one, as asked."]


def test_batched_when_asked_refuses_what_cannot_be(spec: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Branches cannot be trained as a population: vmap"):
        compare(spec, **WANTED, batched=True, store=tmp_path / "refused.db")


def test_other_answers_are_refused() -> None:
    with pytest.raises(PlanError, match="batched is 'maybe'; give 'compiled', 'stacked', 'recomputed', 'alone', True"):
        compare("digits", batched="maybe")


@pytest.mark.slow
@pytest.mark.parametrize("fault", mostly_slow(["slow", "wrong"], "wrong"))
def test_a_program_that_is_slow_or_wrong_is_not_used(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Batched.gradient

    def gradient(self: Batched, weights: Sequence[Tensor], *rest: Any, **named: Any) -> Any:
        made = real(self, weights, *rest, **named)
        if isinstance(self, OneByOne):
            return made
        if fault == "slow":
            time.sleep(0.02 * len(weights[0]))
            return made
        return (made[0] * 1.1, *made[1:])

    asked = {**WANTED, "rates": [0.01, 0.1], "confirmation": 0}
    plain = compare("breast-cancer", **asked, store=tmp_path / "plain.db")
    monkeypatch.setattr(Batched, "gradient", gradient)
    monkeypatch.setattr(batching, "WORTH", 1.0)
    study = compare("breast-cancer", **asked, store=tmp_path / "faulty.db")
    (line,) = study.batching
    assert ("is slow in a batched program: a step takes" if fault == "slow" else "gives other numbers") in line
    same(study, plain, exact=False)


@pytest.mark.slow
def test_a_compiled_program_that_is_wrong_runs_stacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient(self: Compiled, *given: Any, **named: Any) -> Any:
        first, *rest = Batched.gradient(self, *given, **named)
        return first * 1.1, *rest

    asked = {**WANTED, "rates": [0.01, 0.1], "confirmation": 0}
    plain = compare("breast-cancer", **asked, store=tmp_path / "plain.db")
    assert plain.batching == []
    monkeypatch.setattr(Compiled, "gradient", gradient)
    study = compare("breast-cancer", **asked, store=tmp_path / "faulty.db")
    (line,) = study.batching
    assert line == "Members were trained stacked, not compiled: it gives other numbers than plain PyTorch."
    same(study, plain, exact=False)
    with pytest.raises(PlanError, match="Sequential cannot be compiled: it gives other numbers than plain PyTorch"):
        compare("breast-cancer", **asked, batched="compiled", store=tmp_path / "refused.db")


@pytest.mark.slow
def test_a_study_begun_stacked_goes_on_stacked(tmp_path: Path) -> None:
    """Stores of before know of stacked and of alone."""
    assert batching.ways_of({"reasons": [None, ["as asked", 0.5]]}) == [Way("stacked"), Way("alone", "as asked", 0.5)]
    path = tmp_path / "old.db"
    whole = compare("breast-cancer", **WANTED, batched="stacked", store=tmp_path / "whole.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_confirm", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            compare("breast-cancer", **WANTED, batched="stacked", store=path)
    with Store.open(path, write=True) as store:
        store.set_meta("batching", {"asked": "auto", "reasons": [None]})
        assert Programs(plan(), prepare("breast-cancer"), batching.ways_of(store.meta("batching"))).ways == [
            Way("stacked")
        ]
    same(resume(path, progress=False), whole, exact=True)


@pytest.mark.slow
def test_a_resumed_study_goes_on_as_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(BaseException):
        pass

    def stops(*_: Any) -> None:
        raise Stopped

    path = tmp_path / "stopped.db"
    with monkeypatch.context() as patch:
        patch.setattr(run, "_search", stops)
        with pytest.raises(Stopped):
            compare("breast-cancer", **WANTED, batched=False, store=path)
    monkeypatch.setattr(batching._Trial, "best", stops)  # nothing is tried out again
    assert resume(path, progress=False).batching == ["Members were trained one by one, as asked."]


# Out of memory


def starved(most: int, after: int = 0) -> Any:
    """A gradient for which more than so many members do not fit, from a certain call on; and sizes of blocks since."""
    real, sizes, calls = Batched.gradient, [], itertools.count(1)  # which several threads may share

    def gradient(self: Batched, weights: Sequence[Tensor], *rest: Any, **named: Any) -> Any:
        if next(calls) > after:
            sizes.append(len(weights[0]))
            if len(weights[0]) > most:
                raise RuntimeError(
                    "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
                )
        return real(self, weights, *rest, **named)

    return gradient, sizes


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return compare("breast-cancer", **WANTED, store=tmp_path_factory.mktemp("roomy") / "roomy.db")


# With 20 calls before it, a block is past an epoch by then if one thread works.
@pytest.mark.parametrize(
    ("after", "threads"), [(0, 2), *(pytest.param(20, threads, marks=pytest.mark.slow) for threads in (2, 1))]
)
@pytest.mark.slow
def test_a_block_that_does_not_fit_becomes_two(
    after: int,
    threads: int,
    roomy: Study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: Callable[[int], None],
) -> None:
    gradient, sizes = starved(2, after)
    cores(threads)
    monkeypatch.setattr(Batched, "gradient", gradient)
    monkeypatch.setattr(block_run, "CHECKPOINT_SECONDS", 0.0)
    lacking: dict[str, float] = {}  # at the end of each part

    class Told(Lines):
        def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None:
            assert isinstance(self.ahead, Outlook)
            lacking[self.part] = self.ahead.present

        def note(self, sentence: str) -> None: ...

    monkeypatch.setattr("thalweg.study.study.progress_for", lambda wanted: Told())
    study = compare("breast-cancer", **WANTED, batched="stacked", store=tmp_path / "starved.db")
    same(study, roomy, exact=False)
    assert max(sizes) > 2 >= min(sizes)
    assert lacking == pytest.approx(dict.fromkeys(lacking, 0.0), abs=1e-9)
    assert {"search", "confirmation"} <= lacking.keys()
    with Store.open(study.path) as store:
        assert max(len(row.settings) for row in store.blocks("confirmation")) <= 2
    assert not Path(f"{study.path}.checkpoints").exists()


def test_one_run_that_does_not_fit_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradient, _ = starved(0)
    monkeypatch.setattr(Batched, "gradient", gradient)
    with pytest.raises(TrainingError, match="a single run on breast-cancer does not fit into memory"):
        compare("breast-cancer", **WANTED, batched="stacked", store=tmp_path / "none.db")


@pytest.mark.slow
def test_a_compiled_block_that_does_not_fit_becomes_two(
    roomy: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sizes = block.advance, []

    def advance(given: Any, *rest: Any) -> bool:
        if len(given.active) > 2:
            raise MemoryError
        sizes.append(len(given.active))
        return real(given, *rest)

    monkeypatch.setattr(block, "advance", advance)
    study = compare("breast-cancer", **WANTED, store=tmp_path / "starved.db")
    same(study, roomy, exact=False)
    assert max(sizes) <= 2


def test_what_counts_as_want_of_memory() -> None:
    wrapped = TrainingError("cannot be trained")
    wrapped.__cause__ = RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes")
    assert out_of_memory(wrapped)
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA"))
    assert not out_of_memory(RuntimeError("shapes do not match"))
    assert not out_of_memory(None)


def test_decisions_see_nothing_of_the_study() -> None:
    """Trying out moves neither PyTorch's random state nor its threads, and gives one answer for each program."""
    programs = Programs(plan(optimizers=["sgd"], batch_sizes=[16, 64]), prepare("breast-cancer"))
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert batching.decide(programs, batching.AUTO) == [Way(COMPILED), Way(COMPILED)]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
