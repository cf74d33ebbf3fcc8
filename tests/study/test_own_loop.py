"""Training loops of the user's own: the same study as of a problem, from what each run reports."""

from __future__ import annotations

import math
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import thalweg as tw
from tests.studies import steps_recorded, wait_for
from tests.warm import Forked, warm_workers
from thalweg.cli.main import app
from thalweg.engine import execute
from thalweg.errors import PlanError, ProblemError, ThalwegError, TrainingError
from thalweg.problem.reports import RunEnded

_draw = torch.Generator().manual_seed(0)
X = torch.randn(60, 4, generator=_draw)
Y = (X[:, :2] * X[:, 2:]).sum(1, keepdim=True)
FEW: dict[str, Any] = {"rates": [1e-2, 1e-1], "seeds": 2, "epochs": 4, "confirmation": 2, "progress": False}
FEW |= {"optimizers": ["sgd", "adam"], "grow": 0, "refine": 0}


def passes(run: tw.Run, keep: bool = True) -> None:
    """Epochs of a network with dropout, whose batches and masks come from the global generator."""
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Tanh(), nn.Linear(8, 1))
    optimizer = run.optimizer(model.parameters())
    scheduler = run.scheduler(optimizer, 2 * 4)
    if keep:
        run.checkpoint(model, optimizer, scheduler)
    for _ in run.epochs:
        for rows in torch.randperm(40).split(20):
            optimizer.zero_grad()
            nn.functional.mse_loss(model.train()(X[rows]), Y[rows]).backward()
            optimizer.step()
            scheduler.step()
        with torch.no_grad():
            error = model.eval()(X[40:]) - Y[40:]
        run.report(validation_loss=(error**2).mean(), mae=error.abs().mean(), test_loss=error.mean())


def forgetful(run: tw.Run) -> None:
    passes(run, keep=False)


def compare(train: Any, store: Path, **asked: Any) -> tw.Study:
    return tw.compare(train, store=store, **(FEW | asked))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tw.Study:
    return compare(passes, tmp_path_factory.mktemp("own") / "passes.db")


def values(study: tw.Study) -> dict[tuple[Any, ...], list[float]]:
    """Every run that has ended → its validation losses."""
    table, curves = study.table(), study.curves()
    losses = curves[curves["metric"] == "validation_loss"].groupby("member")["value"].apply(list)
    ended = table[table["status"].isin(["finished", "diverged"])]
    names = ["stage", "optimizer", "lr", "schedule", "seed"]
    return {tuple(row[n] for n in names): losses[row["member"]] for row in ended.to_dict("records")}


@pytest.mark.slow
def test_each_run_is_that_of_the_function_called_alone(study: tw.Study) -> None:
    assert study.finished
    assert len(study.table()) == 2 * 2 * 2 * 2 + 2 * (len(study.table()) - 16) // 2
    for (_, optimizer, lr, schedule, seed), losses in values(study).items():
        alone = tw.Run(optimizer, lr, schedule, seed, epochs=4).train(passes)
        assert [report["validation_loss"] for report in alone] == losses


@pytest.mark.slow
def test_what_it_reports_is_in_the_tables(study: tw.Study, tmp_path: Path) -> None:
    table = study.table()
    assert (table["step"] == 4).all()
    assert table["validation_mae"].notna().all()
    assert table.loc[table["stage"] == "search", "test_loss"].isna().all()  # choosing never sees the test part
    assert table.loc[table["stage"] == "confirmation", "test_loss"].notna().all()
    assert study.verdict.samples == 0
    assert "over 2 fresh seeds" in study.verdict.sentence
    assert "over seeds alone" in study.batching[0]
    assert all(entry.seconds_per_step > 0 for entry in study.verdict.entries)
    assert "over seeds alone" in study.report(tmp_path / "report.html").read_text()
    assert study.recipe_run is None


def test_global_random_states_and_threads_stay_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected, threads = torch.rand(1), torch.get_num_threads()
    torch.manual_seed(5)
    compare(passes, tmp_path / "a.db", seeds=1, confirmation=0, rates=[0.1])
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("train", [passes, forgetful])
def test_halving_stops_runs_and_leaves_the_others_as_they_are(
    train: Callable[[tw.Run], None], study: tw.Study, tmp_path: Path
) -> None:
    halved = compare(train, tmp_path / "a.db", budget="halving")
    status = halved.table()["status"]
    assert halved.finished
    assert (status == "stopped").sum() >= 4
    whole = values(study)
    assert all(losses == whole[run] for run, losses in values(halved).items() if run in whole)
    assert len(values(halved)) > 8


@pytest.mark.slow
def test_a_loop_that_fails_is_repaired_and_goes_on_from_its_checkpoint(study: tw.Study, tmp_path: Path) -> None:
    begun: list[int] = []

    def flaky(run: tw.Run) -> None:
        report, where = run.report, (run.seed, run.lr)

        def counted(**numbers: Any) -> None:
            begun.append(run.done)
            if where == (1, 0.01) and run.done == 2 and not repaired:
                raise ValueError("broken pipe in the data")
            report(**numbers)

        run.report = counted  # pyright: ignore[reportAttributeAccessIssue]
        passes(run)

    repaired: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thalweg.engine.block_run.CHECKPOINT_SECONDS", 0.0)
        patch.setattr("thalweg.engine.block_run.CHECKPOINT_SHARE", 0)
        with pytest.raises(
            TrainingError, match=r"flaky fails with ValueError \(broken pipe.*test_own_loop.py, line"
        ) as e:
            compare(flaky, tmp_path / "a.db")
        advised = f"`tw.resume({str(tmp_path / 'a.db')!r}, problem=…)`"  # a shell cannot name the function
        assert f"what is done is safe: repair it, then {advised}" in str(e.value)
        done = steps_recorded(tmp_path / "a.db")
        assert done > 4
        repaired.append(True)
        begun.clear()
        again = compare(flaky, tmp_path / "a.db")
    assert begun[0] == 2  # where its last report was
    assert values(again) == values(study)
    with pytest.raises(PlanError, match="was begun with a function of your own"):
        tw.Study.open(again.path).trained()
    assert tw.resume(again.path, problem=flaky).finished


def nan(run: tw.Run) -> None:
    for epoch in run.epochs:
        run.optimizer([nn.Parameter(X)])
        worse = run.lr > 0.05 and epoch == 1
        run.report(validation_loss=math.nan if worse else run.lr + epoch, train_loss=1.0)


def early(run: tw.Run) -> None:
    run.optimizer([nn.Parameter(X)])
    for epoch in run.epochs[:2]:
        run.report(validation_loss=run.lr - epoch, step=10 * epoch)


def test_a_run_that_reports_nan_has_diverged_and_harms_nobody(tmp_path: Path) -> None:
    diverged = compare(nan, tmp_path / "a.db", schedules=["constant"])
    table = diverged.table()
    assert set(table.loc[table["lr"] > 0.05, "status"]) == {"diverged"}
    assert set(table.loc[table["lr"] < 0.05, "status"]) == {"finished"}
    assert (table.loc[table["status"] == "diverged", "step"] == 2).all()
    assert all(entry.lr < 0.05 for entry in diverged.verdict.entries)
    halved = compare(nan, tmp_path / "b.db", schedules=["constant"], budget="halving")
    assert all(entry.lr < 0.05 for entry in halved.verdict.entries)


def test_a_run_that_ends_by_itself_stays_at_its_last_values(tmp_path: Path) -> None:
    short = compare(early, tmp_path / "a.db", schedules=["constant"])
    curves = short.curves()
    first = curves[(curves["member"] == 1) & (curves["metric"] == "validation_loss")]
    assert np.allclose(first["value"], [0.01, -0.99, -0.99, -0.99])
    assert (short.table()["trained_steps"] == 10).all()
    assert not short.leaders().empty


def said(run: tw.Run, value: Any = 1.0, times: int = 4, schedule: bool = True, **more: Any) -> None:
    optimizer = run.optimizer([nn.Parameter(X)])
    if schedule:
        run.scheduler(optimizer)
    for _ in range(times):
        run.report(**({"validation_loss": value} | more))


MISTAKES: dict[str, tuple[Callable[[tw.Run], Any], str]] = {
    "silent": (lambda run: said(run, times=0), "ends without a report; call run.report"),
    "often": (lambda run: [said(run), run.report(loss=1.0)], "RunEnded"),
    "words": (lambda run: said(run, value="low"), "validation_loss='low' was reported, which is not a number"),
    "tensor": (lambda run: said(run, value=X), "which is not a number"),
    "alike": (lambda run: said(run, schedule=False), "never asks for run.scheduler.*constant, cosine.*trained alike"),
    "none": (lambda run: run.report(), "was given no values"),
    "other": (lambda run: run.report(accuracy=1.0), "not validation_loss.*by_metric='accuracy'"),
    "fixed": (lambda run: run.report(loss=1.0, step="x"), "step='x' was reported"),
    "state": (lambda run: run.checkpoint(3), "given something of type int; give what has a state_dict"),
    "exit": (lambda run: sys.exit("no data"), "fails with SystemExit"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_said_in_a_sentence(mistake: str, tmp_path: Path) -> None:
    train, sentence = MISTAKES[mistake]
    if sentence == "RunEnded":
        assert compare(train, tmp_path / "a.db", seeds=1, confirmation=0).finished  # the last report ends the run
        return
    with pytest.raises(TrainingError, match=sentence) as error:
        compare(train, tmp_path / "a.db")
    assert "what is done is safe" in str(error.value)
    assert "\n" not in str(error.value)


def by_accuracy(run: tw.Run) -> None:
    weight = nn.Parameter(torch.tensor([0.1 * run.seed]))
    optimizer = run.optimizer([weight])
    for _ in run.epochs:
        optimizer.zero_grad()
        ((weight - 3) ** 2).sum().backward()
        optimizer.step()
        run.report(accuracy=1 / (1 + abs(weight.item() - 3)))


@pytest.mark.slow
def test_a_loop_that_reports_no_loss_is_judged_by_what_it_reports(tmp_path: Path) -> None:
    asked = FEW | {"schedules": ["constant"], "by_metric": "accuracy"}
    study = compare(by_accuracy, tmp_path / "a.db", **asked)
    first, second = study.verdict.entries
    assert first.value.mean > second.value.mean
    assert math.isnan(first.validation_loss.mean)
    assert study.report(tmp_path / "a.html").exists()
    other = compare(lambda run: by_accuracy(run), tmp_path / "b.db", **asked)
    suite = tw.suite([study, other])
    assert suite.verdict.losses.iat[0, 0] == pytest.approx(1 - first.value.mean)
    assert suite.verdict.targets == {}  # which are of validation losses


def test_what_a_loop_does_not_have_is_refused(study: tw.Study, tmp_path: Path) -> None:
    for name, value in (
        ("folds", 3),
        ("losses", ["mse"]),
        ("regularizers", ["l2(1e-4)"]),
        ("groups", "norms: frozen"),
        ("batched", True),
    ):
        with pytest.raises(PlanError, match="training loop of your own"):
            compare(passes, tmp_path / "a.db", **{name: value})
    with pytest.raises(ProblemError, match="function of one argument"):
        compare(lambda: None, tmp_path / "a.db")
    with pytest.raises(PlanError, match="model and data are not known"):
        study.sharpness(problem=passes)  # pyright: ignore[reportArgumentType]
    with pytest.raises(PlanError, match="samples are not known"):
        study.extend(samples=100, problem=passes, progress=False)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ProblemError, match=r"this needs a tw\.Problem"):
        tw.range_test(passes)  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "a.db").exists()


@pytest.mark.slow
def test_a_study_of_a_loop_is_extended_and_repeated(tmp_path: Path) -> None:
    first = compare(passes, tmp_path / "a.db", schedules=["cosine"])
    again = tw.rerun(first.path, problem=passes, progress=False)  # pyright: ignore[reportArgumentType]
    assert (again.same_curves, again.same_verdict) == (True, True)
    first.extend(seeds=1, problem=passes, progress=False)  # pyright: ignore[reportArgumentType]
    assert first.verdict.seeds == 3


def test_what_a_study_tunes_unless_told_is_used_by_the_optimizer(tmp_path: Path) -> None:
    kind = {"rates": [1e-2, 1e-1, 1.0], "schedules": ["constant"], "seeds": 1, "epochs": 2, "confirmation": 2}
    found = tw.compare(passes, ["sgd"], store=tmp_path / "a.db", progress=False, **kind)
    assert found.finished
    assert "torch.optim.SGD" in found.recipe().code


def width(run: tw.Run) -> None:
    model = nn.Sequential(nn.Linear(4, run.hyperparameters["width"]), nn.Tanh(), nn.LazyLinear(1))
    model(X)
    optimizer = run.optimizer(model.parameters())
    assert optimizer.param_groups[0]["weight_decay"] == run.hyperparameters["weight_decay"]
    for _ in run.epochs:
        for rows in torch.randperm(40).split(int(run.batch_size)):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(X[rows]), Y[rows]).backward()
            optimizer.step()
        run.report(loss=nn.functional.mse_loss(model(X[40:]), Y[40:]).detach())


def test_hyperparameters_of_ones_own_and_batch_sizes(tmp_path: Path) -> None:
    def wide(run: tw.Run) -> None:
        run._hyperparameters["width"] = int(run._hyperparameters["width"])
        width(run)

    asked = {"hyperparameters": {"width": [2, 8], "weight_decay": [0, 0.1]}, "batch_sizes": [10, 40]}
    found = compare(wide, tmp_path / "a.db", schedules=["constant"], rates=[0.1], epochs=2, seeds=1, **asked)
    assert set(found.table()["width"]) == {2.0, 8.0}
    assert {entry.setting["width"] for entry in found.verdict_by("width").entries} == {2.0, 8.0}
    assert len(found.verdict_by("batch_size").entries) == 2
    assert tw.Study.open(found.path).verdict_by("width").groups == found.verdict_by("width").groups


LOOP = """
import torch
from neighbour import SIZE

def train(run):
    import late
    print("noise that is not a verdict")
    weight = torch.nn.Parameter(torch.ones(SIZE))
    optimizer = run.optimizer([weight])
    scheduler = run.scheduler(optimizer)
    for epoch in run.epochs:
        optimizer.zero_grad()
        ((weight - torch.rand(SIZE)) ** 2).sum().backward()
        optimizer.step()
        scheduler.step()
        {body}
        run.report(validation_loss=(weight**2).sum())
"""


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def write(body: str = "pass") -> str:
        folder = tmp_path / "code"
        folder.mkdir(exist_ok=True)
        (folder / "neighbour.py").write_text("SIZE = 3\n")
        (folder / "late.py").write_text("")
        (folder / "loop.py").write_text(LOOP.format(body=body))
        return f"{folder / 'loop.py'}:train"

    monkeypatch.chdir(tmp_path)
    return write


ASKED = [
    "--optimizers",
    "sgd,lion",
    "--rates",
    "0.01,0.1",
    "--seeds",
    "2",
    "--epochs",
    "2",
    "--confirmation",
    "2",
    "-q",
]


@pytest.mark.slow
def test_a_loop_in_a_file_from_the_command_line(loop: Callable[..., str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["compare", loop(), *ASKED, "--json"])
    assert done.exit_code == 0, done.output
    assert "noise" not in done.stdout
    store = tmp_path / "runs" / "train.db"
    recipe = CliRunner().invoke(app, ["recipe", str(store)]).stdout
    (tmp_path / "recipe.py").write_text(recipe)
    run = runpy.run_path(str(tmp_path / "recipe.py"))["run"]
    (setting, seed), *_ = [((e.optimizer, e.lr, e.schedule), 0) for e in tw.Study.open(store).verdict.entries]
    assert [r["validation_loss"] for r in run.reports] == values(tw.Study.open(store))["search", *setting, seed]
    assert "optimizer = " in recipe
    assert CliRunner().invoke(app, ["resume", str(store)]).exit_code == 0
    assert CliRunner().invoke(app, ["rerun", str(store), "-q"]).exit_code == 0


def test_a_repaired_file_goes_on_after_a_yes_and_the_change_is_said(loop: Callable[..., str], tmp_path: Path) -> None:
    failed = CliRunner().invoke(app, ["compare", loop("assert run.lr < 0.05, 'too fast'"), *ASKED])
    assert (failed.exit_code, "loop.py, line 16" in failed.output) == (1, True), failed.output
    assert "AssertionError (too fast)" in failed.output
    loop()
    refused = CliRunner().invoke(app, ["resume", "runs/train.db"])
    assert (refused.exit_code, "--trust" in refused.output) == (2, True)
    done = CliRunner().invoke(app, ["resume", "runs/train.db", "--trust"])
    assert done.exit_code == 0, done.output
    assert "The text of train has changed since the study began" in " ".join(done.stdout.split())


def test_a_dry_run_tries_one_run(loop: Callable[..., str]) -> None:
    done = CliRunner().invoke(app, ["compare", loop(), *ASKED, "--dry-run"])
    assert done.output.startswith("train: about ")
    assert "search: 8 settings, 16 runs, 32 steps; about" in done.output
    assert not Path("runs").exists()


@pytest.mark.slow
def test_what_runs_take_is_foreseen_and_fits_into_a_time(tmp_path: Path) -> None:
    times: list[tuple[float, int]] = []

    def slow(run: tw.Run) -> None:
        times.append((run.lr, run.seed))
        time.sleep(0.05)  # before the first report
        for epoch in run.epochs:
            time.sleep(0.02)
            run.report(validation_loss=run.lr / (1 + epoch))

    given = {**FEW, "optimizers": ["sgd"], "schedules": ["constant"], "progress": True, "confirmation": 0}
    given = {**given, "epochs": 10, "rates": tw.log_range(1e-3, 1e-1, 5), "seeds": 4}
    would = tw.forecast(slow, **given)
    assert times == [(1e-3, 0)]
    assert would.run_seconds == pytest.approx(0.25, rel=0.3)
    assert (would.runs, would.memory is None, list(tmp_path.iterdir())) == (20, False, [])
    whole = would.seconds / 60
    study = tw.compare(slow, store=tmp_path / "a.db", **given, minutes=0.7 * whole)
    assert (study.plan.budget, study.finished, study.limit["minutes"]) == ("halving", True, 0.7 * whole)
    with pytest.raises(PlanError, match="too short: even the least that says something"):
        tw.compare(slow, store=tmp_path / "b.db", **given, minutes=0.01 * whole)
    assert not (tmp_path / "b.db").exists()


def test_a_run_that_fails_at_once_is_one_sentence_and_stores_nothing(tmp_path: Path) -> None:
    def broken(run: tw.Run) -> None:
        raise ValueError("no data")

    with pytest.raises(TrainingError, match=r"broken fails with ValueError .no data.*; nothing is stored: repair it"):
        compare(broken, tmp_path / "a.db", progress=True)
    assert not (tmp_path / "a.db").exists()


@pytest.mark.slow
def test_processes_train_the_same(study: tw.Study, tmp_path: Path, cores: Callable[[int], None]) -> None:
    """Also a function that no process could import, and one that fails there."""
    cores(2)
    scale = 1.0

    def local(run: tw.Run) -> None:
        assert os.getpid() != parent or run.seed == 0
        if run.lr * scale > 1:
            raise ValueError("too fast")
        passes(run)

    parent = os.getpid()
    with pytest.MonkeyPatch.context() as patch, warm_workers():
        patch.setattr(execute, "WORTH", 0.0)
        assert values(compare(local, tmp_path / "a.db")) == values(study)
        scale = 100.0
        with pytest.raises(
            TrainingError, match=r"local fails with ValueError \(too fast\) at .*test_own_loop.py, line"
        ):
            compare(local, tmp_path / "b.db", rates=[1e-3, 1e-1])
    assert steps_recorded(tmp_path / "b.db") > 0


@pytest.mark.slow
def test_a_killed_study_goes_on(loop: Callable[..., str], tmp_path: Path) -> None:
    spec = loop("__import__('time').sleep(0.05)")
    store = tmp_path / "runs" / "train.db"
    with Forked("compare", spec, *ASKED, cwd=tmp_path) as process:
        wait_for(lambda: steps_recorded(store) > 8, process)
        process.kill()
    before = steps_recorded(store)
    done = CliRunner().invoke(app, ["compare", spec, *ASKED])
    assert done.exit_code == 0, done.output
    assert steps_recorded(store) > before > 0
    whole = CliRunner().invoke(app, ["compare", spec, *ASKED, "--store", "whole.db"])
    assert whole.exit_code == 0
    assert values(tw.Study.open(store)) == values(tw.Study.open(tmp_path / "whole.db"))


def test_a_run_of_ones_own() -> None:
    weight = nn.Parameter(torch.ones(2))
    assert isinstance(tw.Run("adamw", 0.1).optimizer([weight]), torch.optim.AdamW)
    assert type(tw.Run("lion", 0.1).optimizer([weight])).__name__ == "lion"
    assert isinstance(tw.Run("lbfgs", 0.1).optimizer([weight]), torch.optim.LBFGS)
    groups = tw.Run("adam", 0.1).optimizer([{"params": [weight], "lr": 0.5}])
    assert groups.param_groups[0]["lr"] == 0.5
    run = tw.Run("adam", 0.1, hyperparameters={"beta2": 0.5, "width": 3}, epochs=1)
    assert run.optimizer([weight]).param_groups[0]["betas"] == (0.9, 0.5)
    run.report(accuracy=1)
    with pytest.raises(TrainingError, match="it reports 2 times, and a run has 1 epochs"):
        run.report(accuracy=1)
    with pytest.raises(ThalwegError, match="lr is 'fast'"):
        tw.Run("adam", "fast")  # pyright: ignore[reportArgumentType]
    assert not issubclass(RunEnded, Exception)


def test_a_hyperparameter_that_is_not_declared_is_refused_with_how_to_declare_it() -> None:
    run = tw.Run(hyperparameters={"depth": 2})
    words = r"run\.hyperparameters has no 'width' \(declared: depth\); .* hyperparameters=\{'width': \[…, …\]\}"
    with pytest.raises(TrainingError, match=words):
        run.hyperparameters["width"]
    with pytest.raises(TrainingError, match=r"has no 'width' \(declared: none\)"):
        tw.Run().hyperparameters["width"]
    assert run.hyperparameters == {"depth": 2}
    assert (run.hyperparameters.get("width", 16), "width" in run.hyperparameters) == (16, False)


def test_an_optimizer_that_needs_a_closure_says_so() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = tw.Run("LBFGS", lr=0.1).optimizer([weight])
    with pytest.raises(TrainingError, match=r"LBFGS computes the loss itself, .* optimizer\.step\(closure\)"):
        optimizer.step()
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert (weight**2).sum() < 2
    optimizer.step(closure=closure)
