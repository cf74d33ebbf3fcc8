"""Studies on a real Ray cluster of two nodes on this machine are those of one machine, whatever is killed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

import thalweg as tw
from tests.studies import PROGRAM, TINY
from thalweg.engine.cluster import Cluster
from thalweg.engine.portable import whole
from thalweg.engine.programs import Programs
from thalweg.errors import PlanError, TrainingError, WorkError
from thalweg.plan.plan import plan
from thalweg.problem.prepare import prepare

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


@pytest.mark.slow
def test_a_study_on_two_nodes_is_that_of_one_machine(nodes: Any, tiny: tw.Study, tmp_path: Path) -> None:
    study = tw.compare(**TINY, store=tmp_path / "a.db", cluster=nodes.address)
    assert same(study, tiny)
    assert study.recipe_run is not None


@pytest.mark.slow
@pytest.mark.parametrize("loop", [True, False])
def test_folds_halving_growth_and_confirmation_are_the_same_there(nodes: Any, tmp_path: Path, loop: bool) -> None:
    problem = passes if loop else tw.Problem(network, (X[:40], Y[:40]), (X[40:50], Y[40:50]), (X[50:], Y[50:]), "mse")
    asked = {**FEW, "rates": [1e-4, 1e-3, 1e-2], "budget": "halving", "grow": 1}
    asked |= {} if loop else {"folds": 2, "batched": "stacked", "seeds": 1}
    alone = tw.compare(problem, store=tmp_path / "alone.db", **asked)
    study = tw.compare(problem, store=tmp_path / "there.db", cluster=nodes.address, **asked)
    assert len(study.stored_plan["grown"]) > 0
    assert same(study, alone)


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
            time.sleep(0.1)
            told(**values)

        run.report = report  # type: ignore[method-assign]
        passes(run)

    return train


class Kills(tw.callbacks.Callback):
    """Kills the worker that trained last after 5 passes, and a node after 12."""

    def __init__(self, nodes: Any, file: Path) -> None:
        self.nodes, self.file, self.passes = nodes, file, 0

    def passed(self, job: Any, event: Any) -> None:
        self.passes += 1
        if self.passes == 5:
            os.kill(int(self.file.read_text().split("\n")[-2].split()[0]), signal.SIGKILL)
        if self.passes == 12:
            self.nodes.remove_node(self.nodes.list_all_nodes[-1], allow_graceful=False)


@pytest.mark.slow
def test_a_killed_worker_and_a_lost_node_cost_only_what_follows_the_checkpoint(nodes: Any, tmp_path: Path) -> None:
    file = tmp_path / "log"
    kills = Kills(nodes, file)
    study = tw.compare(logged(file), store=tmp_path / "a.db", cluster=nodes.address, callbacks=[kills], **FEW)
    nodes.add_node(**NODE)
    assert kills.passes >= 12
    assert same(study, tw.compare(logged(tmp_path / "other"), store=tmp_path / "b.db", **FEW))
    trained = Counter(line.split(" ", 1)[1] for line in file.read_text().splitlines())
    assert len(trained) == 4 * len(study.table())
    again = sum(trained.values()) - len(trained)
    assert 1 <= again <= 6  # what the two runs had done since the store last heard of them


def dies(run: tw.Run) -> None:
    os._exit(1)


@pytest.mark.slow
def test_a_block_that_loses_three_workers_ends_the_study(nodes: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="3 workers in a row ended by force while they trained the same block"):
        tw.compare(dies, store=tmp_path / "a.db", cluster=nodes.address, **FEW)
    assert tw.Study.open(tmp_path / "a.db").table()["status"].isin(["waiting", "started"]).all()  # nothing is lost


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
        time.sleep(0.1)
        run.report(validation_loss=loss)
"""


@pytest.mark.slow
def test_a_killed_driver_s_study_is_carried_on(nodes: Any, tmp_path: Path) -> None:
    (file := tmp_path / "mine.py").write_text(SLOW.replace("FOLDER", str(tmp_path)))
    asked = ["--optimizers", "sgd,adam", "--rates", "0.01,0.1", "--schedules", "constant", "--seeds", "2"]
    asked += ["--epochs", "4", "--confirmation", "2", "--grow", "0", "--refine", "0", "--quiet"]
    command = [sys.executable, "-c", PROGRAM, "compare", f"{file}:train", *asked]
    there, log = [*command, "--store", str(tmp_path / "a.db"), "--cluster", nodes.address], tmp_path / "log"
    with subprocess.Popen(there, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        while not log.exists() or len(log.read_text().splitlines()) < 10:
            assert driver.poll() is None
            time.sleep(0.05)
        driver.kill()
    study = tw.resume(tmp_path / "a.db", cluster=nodes.address, progress=False)
    subprocess.run([*command, "--store", str(tmp_path / "b.db")], check=True, stdout=subprocess.DEVNULL)
    assert same(study, tw.Study.open(tmp_path / "b.db"))


@pytest.mark.slow
def test_a_forecast_counts_its_workers(nodes: Any) -> None:
    asked = {name: value for name, value in FEW.items() if name != "progress"}
    assert tw.forecast(passes, cluster=nodes.address, **asked).cores >= 2  # a lost node may still be counted
    assert tw.forecast(passes, **asked | {"seeds": 1, "optimizers": ["sgd"], "rates": [0.1]}).cores == 1


@pytest.mark.slow
def test_what_nodes_lack_is_one_sentence(nodes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Cluster(nodes.address)) as joined:
        with pytest.raises(WorkError, match="no node of the cluster has a GPU"):
            joined.on("cuda")
        joined.on("cpu")
        with pytest.raises(WorkError, match="with its data has 1 GiB, and the obj"):
            joined.give(Long(), b"", 1)
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


def test_without_ray_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WorkError, match=r"a cluster needs Ray: pip install 'thalweg\[cluster\]', or leave"):
        tw.compare("breast-cancer", store=tmp_path / "a.db", cluster="auto", **FEW)
    assert not [*tmp_path.iterdir()]


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
(problem, fingerprint), (plan, ways) = (pickle.loads(part) for part in pickle.load(sys.stdin.buffer))
assert problem.fingerprint == fingerprint and "layers" not in sys.modules
print(problem.model(), plan.settings[0].lr, list(plan.formulas))
"""
RULE = """
import thalweg as tw

@tw.formula(source="this test")
def mine(g, *, lr=0.1):
    return tw.Update(-lr * g)
"""


def test_what_is_sent_needs_none_of_the_files_that_it_came_from(tmp_path: Path) -> None:
    for name, text in {"mine.py": MINE, "layers.py": LAYERS, "rule.py": RULE}.items():
        (tmp_path / name).write_text(text)
    ready = prepare(f"{tmp_path}/mine.py:problem")
    content = whole(Programs(plan(["sgd", f"{tmp_path}/rule.py:mine"], [0.5], ["constant"]), ready))
    for file in tmp_path.iterdir():
        file.unlink()
    there = subprocess.run([sys.executable, "-c", THERE], input=pickle.dumps(content), capture_output=True, timeout=60)
    assert b"Linear(in_features=4, out_features=1, bias=True) 0.5 ['sgd', 'mine']" in there.stdout, there.stderr


def test_what_cannot_be_sent_is_refused(tmp_path: Path) -> None:
    lock = threading.Lock()
    problem = tw.Problem(lambda: (lock, network())[1], (X, Y), name="held")
    with pytest.raises(PlanError, match=r"problem held cannot be sent to other machines .*lock"):
        whole(Programs(plan(["sgd"], [0.5], ["constant"]), prepare(problem)))
