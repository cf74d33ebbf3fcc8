"""Studies on a real Ray cluster of two nodes on this machine are those of one machine, whatever is killed."""

from __future__ import annotations

import asyncio
import os
import pickle
import shlex
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import thalweg as tw
from tests.cases import WHOLE, share
from tests.studies import wait_for
from tests.warm import Forked, ran
from thalweg.cli.main import app
from thalweg.engine.block_run import DISK_BYTES, DISK_SECONDS, checkpoint_pause
from thalweg.engine.cluster import Cluster, shorter
from thalweg.engine.ledger import Ledger
from thalweg.engine.loops import Loops
from thalweg.engine.messages import Ended, Event, Job, Passed, Steps, StopFlag, Workers
from thalweg.engine.pace import Pace
from thalweg.engine.portable import whole_plan, whole_problem
from thalweg.engine.programs import Programs
from thalweg.engine.progress import Progress
from thalweg.errors import PlanError, TrainingError, WorkError
from thalweg.plan.plan import plan
from thalweg.problem.find import declared
from thalweg.problem.prepare import prepare
from thalweg.store.file import Store

_draw = torch.Generator().manual_seed(0)
X = torch.randn(60, 4, generator=_draw)
Y = (X[:, :2] * X[:, 2:]).sum(1, keepdim=True)
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
FEW: dict[str, Any] = {"optimizers": ["sgd", "adam"], "rates": [1e-2, 1e-1], "schedules": ["constant"], "seeds": 2}
FEW |= {"epochs": 4, "confirmation": 2, "progress": False, "grow": 0, "refine": 0}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head and another node, each with one core."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args=NODE)
        cluster.add_node(**NODE)
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def workers(nodes: Any) -> Iterator[Cluster]:
    """On both nodes; they start with the first study, and stay for all others."""
    with closing(Cluster(nodes.address)) as joined:
        yield joined


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tw.Study:
    """The study of `passes` on this machine."""
    return tw.compare(passes, store=tmp_path_factory.mktemp("alone") / "a.db", **FEW)


def passes(run: tw.Run) -> None:
    """Epochs of a network with dropout, whose masks come from the global generator."""
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Tanh(), nn.Linear(8, 1))
    optimizer = run.optimizer(model.parameters())
    run.checkpoint(model, optimizer)
    for _ in run.epochs:
        optimizer.zero_grad()
        nn.functional.mse_loss(model.train()(X[:40]), Y[:40]).backward()
        optimizer.step()
        with torch.no_grad():
            run.report(validation_loss=nn.functional.mse_loss(model.eval()(X[40:]), Y[40:]))


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))


def same(one: tw.Study, other: tw.Study) -> bool:
    """Whether every value of every run is the same, to the bit."""
    pd.testing.assert_frame_equal(one.table(), other.table(), check_exact=True)
    pd.testing.assert_frame_equal(one.curves(), other.curves(), check_exact=True)
    return one.finished and other.finished and one.verdict.sentence == other.verdict.sentence


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nowhere", "the cluster is 'nowhere'; give auto for"),
        ("ray://head:10001", "give auto for the one"),
        ("127.0.0.1:9", r"no Ray cluster can be joined at 127\.0\.0\.1:9 \(.*refused.*\); start its head with"),
    ],
)
def test_an_address_without_a_cluster_is_one_sentence(address: str, words: str, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(WorkError, match=words):
        tw.compare("breast-cancer", store=tmp_path / "a.db", cluster=address, **FEW)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "words", ["run 'echo loss={lr}' --rates 0.1", "rerun STORE", "extend STORE", "suite digits,wave"]
)
def test_each_command_that_trains_is_given_the_cluster(words: str, copied: Path) -> None:
    called = [word.replace("STORE", str(copied)) for word in shlex.split(words)]
    refused = CliRunner().invoke(app, [*called, "--cluster", "nowhere"])
    assert refused.exit_code == 1
    assert "the cluster is 'nowhere'; give auto for" in refused.output


def test_without_ray_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WorkError, match=r"a cluster needs Ray: pip install 'thalweg\[cluster\]', or leave"):
        tw.compare("breast-cancer", store=tmp_path / "a.db", cluster="auto", **FEW)
    assert not [*tmp_path.iterdir()]


SLOW = """
import time, torch
from pathlib import Path

def train(run):
    model = torch.nn.Linear(3, 1)
    optimizer = run.optimizer(model.parameters())
    run.checkpoint(model, optimizer)
    for _ in run.epochs:
        optimizer.zero_grad()
        loss = model(torch.ones(3)).square().sum()
        loss.backward()
        optimizer.step()
        with Path("FOLDER/log").open("a") as lines:
            lines.write("an epoch\\n")
        if Path("FOLDER/slow").exists():
            time.sleep(0.1)
        run.report(validation_loss=loss)
"""


@pytest.mark.slow
def test_a_killed_driver_s_study_is_carried_on(nodes: Any, workers: Cluster, tmp_path: Path) -> None:
    """The first on these nodes, because it has both cores."""
    (file := tmp_path / "mine.py").write_text(SLOW.replace("FOLDER", str(tmp_path)))
    (slow := tmp_path / "slow").touch()
    asked = ["--optimizers", "sgd,adam", "--rates", "0.01,0.1", "--schedules", "constant", "--seeds", "2"]
    asked += ["--epochs", "4", "--confirmation", "2", "--grow", "0", "--refine", "0", "--quiet"]
    asked += ["--cluster", nodes.address, "--store", str(tmp_path / "a.db")]
    log = tmp_path / "log"
    with Forked("compare", f"{file}:train", *asked) as driver:
        wait_for(lambda: log.exists() and len(log.read_text().splitlines()) >= 10, driver)
        driver.kill()
    slow.unlink()
    study = tw.resume(tmp_path / "a.db", cluster=workers, progress=False)
    assert same(study, tw.compare(f"{file}:train", store=tmp_path / "b.db", **FEW))


@pytest.mark.slow
@pytest.mark.parametrize("way", share(["auto", "loop", "stacked"]))
def test_a_study_on_two_nodes_is_that_of_one_machine(workers: Cluster, tmp_path: Path, way: str) -> None:
    """With folds, halving, growth and a confirmation."""
    own = tw.Problem(network, (X[:40], Y[:40]), (X[40:50], Y[40:50]), (X[50:], Y[50:]), "mse")
    problem = {"loop": passes, "auto": "breast-cancer", "stacked": own}[way]
    asked = {**FEW, "rates": [1e-4, 1e-3, 1e-2], "budget": "halving", "grow": 1}
    asked |= {} if way == "loop" else {"folds": 2, "batched": way, "seeds": 1}
    alone = tw.compare(problem, store=tmp_path / "alone.db", **asked)
    study = tw.compare(problem, store=tmp_path / "there.db", cluster=workers, **asked)
    assert len(study.stored_plan["grown"]) > 0
    assert (study.recipe_run is None) == (way == "loop")
    assert same(study, alone)


@pytest.mark.slow
def test_commands_run_there_and_a_study_is_run_again_there(workers: Cluster, tmp_path: Path) -> None:
    (tmp_path / "told").mkdir()
    command = f"sh -c 'echo {{lr}} {{seed}} >> {tmp_path}/told/$PPID; echo loss={{lr}}1{{seed}}'"
    few = {name: FEW[name] for name in ("seeds", "confirmation", "progress", "grow", "refine")} | {"epochs": 1}
    study = tw.compare(
        tw.command(command), rates=[1e-2, 1e-1], schedules=["constant"], **few, store=tmp_path / "a.db", cluster=workers
    )
    assert study.finished
    told = [int(file.name) for file in (tmp_path / "told").iterdir()]
    assert told
    assert os.getpid() not in told
    again = tw.rerun(tmp_path / "a.db", progress=False, cluster=workers)
    assert again.same_curves
    assert again.same_verdict


@pytest.mark.slow
def test_a_forecast_counts_its_workers(workers: Cluster) -> None:
    asked = {name: value for name, value in FEW.items() if name != "progress"}
    assert tw.forecast(passes, cluster=workers, **asked).cores == 2
    assert tw.forecast(passes, **asked | {"seeds": 1, "optimizers": ["sgd"], "rates": [0.1]}).cores == 1


@pytest.mark.slow
def test_what_nodes_lack_is_one_sentence(nodes: Any, workers: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkError, match=f"has joined the Ray cluster at {nodes.address}; give that, or auto, for"):
        Cluster("127.0.0.1:9")
    monkeypatch.setattr("thalweg.engine.cluster.whole_problem", lambda programs: Long())
    with closing(Cluster(nodes.address)) as joined:
        with pytest.raises(WorkError, match="no node of the cluster has a GPU"):
            joined.on("cuda")
        joined.on("cpu")
        with pytest.raises(WorkError, match="with its data has 1 GiB, and the obj"):
            joined.give(Programs(plan(["sgd"], [0.5], ["constant"]), prepare("diabetes")))
    driver = os.getpid()

    def look() -> dict[str, str]:
        import os

        return {"torch": "2.11" if os.getpid() == driver else "2.12"}

    monkeypatch.setattr("thalweg.engine.cluster._look", lambda: look)
    with pytest.raises(WorkError, match=r"node .* has torch 2\.12, and this machine \(.*\) 2\.11; install the same"):
        Cluster(nodes.address)


class Long(bytes):
    """More bytes than there are."""

    def __len__(self) -> int:
        return 1 << 30


def logged(file: Path) -> Callable[[tw.Run], None]:
    """A loop that keeps a checkpoint with each epoch, and writes down which process trains which."""

    def train(run: tw.Run) -> None:
        run._tell.__self__.pause = 0.0  # type: ignore[attr-defined]
        told = run.report

        def report(**values: Any) -> None:
            with file.open("a") as lines:
                lines.write(
                    f"{os.getpid()} {run.told['optimizer']} {run.lr} {run.seed} {len(run.reports) + run._done}\n"
                )
            time.sleep(0.05)
            told(**values)

        run.report = report  # type: ignore[method-assign]
        passes(run)

    train.__name__ = passes.__name__  # which sentences have
    return train


def epochs_trained(file: Path) -> Counter[str]:
    """How often each epoch of each run was trained."""
    return Counter(line.split(" ", 1)[1] for line in file.read_text().splitlines())


class After(tw.callbacks.Callback):
    """Something that happens after so many passes."""

    def __init__(self, **happens: Callable[[], object]) -> None:
        self.happens, self.passes = {int(name.strip("_")): call for name, call in happens.items()}, 0

    def passed(self, job: Any, event: Any) -> None:
        self.passes += 1
        self.happens.get(self.passes, int)()


class Settled(After):
    """With how often each epoch had been trained when the store had a checkpoint behind it: no more than that."""

    def __init__(self, file: Path, **happens: Callable[[], object]) -> None:
        super().__init__(**happens)
        self.file, self.settled = file, dict[str, int]()

    def passed(self, job: Any, event: Any) -> None:
        trained, (setting,) = epochs_trained(self.file), job.settings
        for epoch in range(event.step - 1 + event.finished):  # the newest one's checkpoint may be on its way
            name = f"{setting.optimizer} {setting.lr} {job.seed} {epoch}"
            self.settled.setdefault(name, trained[name])
        super().passed(job, event)


@pytest.mark.slow
def test_ctrl_c_saves_what_each_worker_has_done(workers: Cluster, alone: tw.Study, tmp_path: Path) -> None:
    path, file = tmp_path / "a.db", tmp_path / "log"
    stops = After(_5=lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match=r"is safe: carry on with `tw\.resume\(.*a\.db.*problem=…\)`"):
        tw.compare(logged(file), store=path, cluster=workers, callbacks=[stops], **FEW)
    assert 5 <= sum(epochs_trained(file).values()) == stops.passes < 20  # of 64: each comes to the end of its epoch
    assert len(tw.Study.open(path).curves()) >= stops.passes
    assert same(tw.resume(path, logged(file), cluster=workers, progress=False), alone)
    assert set(epochs_trained(file).values()) == {1}  # none again


@pytest.mark.slow
def test_a_killed_worker_and_a_lost_node_cost_only_what_follows_the_checkpoint(
    nodes: Any, workers: Cluster, alone: tw.Study, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    kills = Settled(
        file,
        _5=lambda: os.kill(int(file.read_text().split("\n")[-2].split()[0]), signal.SIGKILL),  # who trained last
        _12=lambda: nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False),
    )
    assert same(tw.compare(logged(file), store=tmp_path / "a.db", cluster=workers, callbacks=[kills], **FEW), alone)
    assert kills.passes >= 12
    trained = epochs_trained(file)
    assert len(trained) == 4 * len(alone.table())
    assert 0 not in kills.settled.values()
    assert {epoch: trained[epoch] for epoch in kills.settled} == kills.settled


@pytest.mark.slow
def test_a_node_that_joins_later_trains_as_well(
    nodes: Any, workers: Cluster, alone: tw.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thalweg.engine.cluster.WATCH", 0.2)
    file, before = tmp_path / "log", len(nodes.list_all_nodes())
    added: list[Any] = []
    joins = After(
        _2=lambda: added.append(nodes.add_node(**NODE)),
        _6=lambda: [time.sleep(0.1) for _ in range(300) if workers._free.empty()],  # until its worker has begun
    )
    study = tw.compare(logged(file), store=tmp_path / "a.db", cluster=workers, callbacks=[joins], **FEW)
    assert same(study, alone)
    assert set(epochs_trained(file).values()) == {1}  # none twice
    assert len({line.split()[0] for line in file.read_text().splitlines()}) == before + 1  # processes
    nodes.remove_node(*added)


@pytest.mark.slow
def test_a_node_with_other_versions_that_joins_later_ends_a_study_and_nothing_is_lost(
    nodes: Any, alone: tw.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, driver = tmp_path / "a.db", os.getpid()
    stops = After(_5=lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        tw.compare(passes, store=path, callbacks=[stops], **FEW)
    done = len(tw.Study.open(path).curves())

    def look() -> dict[str, str]:
        import os

        return {"torch": "2.11" if os.getpid() == driver else "2.12"}

    monkeypatch.setattr("thalweg.engine.cluster.WATCH", 0.2)
    with closing(Cluster(nodes.address)) as joined:
        monkeypatch.setattr("thalweg.engine.cluster._look", lambda: look)
        monkeypatch.setattr(joined, "_hire", lambda: asyncio.sleep(0))  # no worker begins, so that the node is first
        added = nodes.add_node(**NODE)
        with pytest.raises(WorkError, match=r"node .* has torch 2\.12, and this machine \(.*\) 2\.11; install the"):
            tw.resume(path, passes, cluster=joined, progress=False)
    nodes.remove_node(added)
    assert len(tw.Study.open(path).curves()) == done > 0
    assert same(tw.resume(path, passes, progress=False), alone)


def dies(run: tw.Run) -> None:
    os._exit(1)


def test_a_message_has_the_newest_progress_alone_and_that_with_which_a_block_begins() -> None:
    first, second, third = (Steps(step, 2) for step in (0, 5, 10))
    point, end = Passed(5, {}, np.array([-1, -1]), 0.1, False), Ended()
    assert shorter([first, second, point, third, end], begun=False) == [first, point, third, end]
    assert shorter([first, second, point, third, end]) == [point, third, end]
    assert shorter([point]) == [point]


@pytest.mark.parametrize("size", [1e5, 1e9])
@pytest.mark.parametrize("others", [0, 1, 999, 9999])
def test_checkpoints_of_all_workers_leave_the_disk_time(others: int, size: int) -> None:
    job = Job(1, (), 0, 1, others=others)
    pause = checkpoint_pause(job, 0.01, int(size))
    assert pause >= 30
    assert others * (DISK_SECONDS + size / DISK_BYTES) <= pause / 3
    assert others > 1 or pause == 30


def test_a_job_knows_how_many_are_at_work_on_a_cluster(tmp_path: Path) -> None:
    loops = Loops(plan(["sgd"], [0.1], ["constant"], seeds=1), declared(passes))
    loops.workers = 10
    with Store.create(tmp_path / "a.db", {}) as store:
        store.add_blocks("search", loops.blocks(loops.plan.settings, [0]))
        for cluster, others in [(None, 0), (cast(Cluster, "there"), 9)]:
            ledger = Ledger(store, Progress(), Pace({}), cluster=cluster)
            given: list[Job] = []
            ledger.train(
                cast(Workers, SimpleNamespace(run=partial(first_job, given))), loops, store.blocks(), None, StopFlag()
            )
            assert [job.others for job in given] == [others]


def first_job(given: list[Job], jobs: Callable[[], Job | None], stop: StopFlag) -> Iterator[tuple[Job, Event]]:
    job = jobs()
    assert job is not None
    given.append(job)
    yield job, Ended()


@pytest.mark.slow
def test_a_block_that_loses_workers_again_and_again_ends_the_study(
    workers: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = 3 if WHOLE else 1
    monkeypatch.setattr("thalweg.engine.cluster.LOSSES", losses)
    with pytest.raises(TrainingError, match=f"{losses} workers in a row ended by force while they trained the same"):
        tw.compare(dies, store=tmp_path / "a.db", cluster=workers, **FEW)
    assert tw.Study.open(tmp_path / "a.db").table()["status"].isin(["waiting", "started"]).all()  # nothing is lost


MINE = """
import torch
import thalweg as tw
from layers import network

def problem():
    generator = torch.Generator().manual_seed(0)
    return tw.Problem(network, (torch.randn(40, 4, generator=generator), torch.randn(40, 1, generator=generator)))
"""
LAYERS = "from torch import nn\ndef network():\n    return nn.Linear(4, 1)\n"
THERE = """
import pickle, sys
from pathlib import Path
(problem, fingerprint), (plan, ways) = (pickle.loads(part) for part in pickle.loads(Path(sys.argv[1]).read_bytes()))
assert problem.fingerprint == fingerprint and "layers" not in sys.modules
print(problem.model(), plan.settings[0].lr, list(plan.formulas))
"""
RULE = """
import thalweg as tw

@tw.formula(source="this test")
def mine(g, *, lr=0.1):
    return tw.Update(-lr * g)
"""


@pytest.mark.slow
def test_what_is_sent_needs_none_of_the_files_that_it_came_from(tmp_path: Path) -> None:
    for name, text in {"mine.py": MINE, "layers.py": LAYERS, "rule.py": RULE}.items():
        (tmp_path / name).write_text(text)
    ready = prepare(f"{tmp_path}/mine.py:problem")
    programs = Programs(plan(["sgd", f"{tmp_path}/rule.py:mine"], [0.5], ["constant"]), ready)
    content = whole_problem(programs), whole_plan(programs)
    for file in tmp_path.iterdir():
        file.unlink()
    (tmp_path / "sent").write_bytes(pickle.dumps(content))
    there = ran(tmp_path / "sent", program=THERE)
    assert "Linear(in_features=4, out_features=1, bias=True) 0.5 ['sgd', 'mine']" in there.stdout, there.stderr


@pytest.mark.slow
def test_what_cannot_be_sent_is_refused(tmp_path: Path) -> None:
    lock = threading.Lock()
    problem = tw.Problem(lambda: (lock, network())[1], (X, Y), name="held")
    with pytest.raises(PlanError, match=r"problem held cannot be sent to other machines .*lock"):
        whole_problem(Programs(plan(["sgd"], [0.5], ["constant"]), prepare(problem)))
