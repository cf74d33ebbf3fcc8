"""Any command as a training loop: real processes, told by their words what to train with, and read by their output."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import thalweg as tw
from tests.studies import wait_for
from tests.warm import Forked
from thalweg.cli.main import app
from thalweg.errors import PlanError, ProblemError, TrainingError, WorkError

# A ball rolls down x² from where its seed puts it.
SCRIPT = """
import argparse, json, random, sys, time
parser = argparse.ArgumentParser()
for name, kind in {"lr": float, "seed": int, "epochs": int, "opt": str, "width": int, "out": str, "fail": str}.items():
    parser.add_argument("--" + name, type=kind)
parser.add_argument("--wait", type=float, default=0)
a = parser.parse_args()
random.seed(a.seed)
x, momentum = 1 + random.random(), 0.0
print("training", a, file=sys.stderr)
for epoch in range(a.epochs or 3):
    for _ in range(4):
        gradient = 2 * x + random.gauss(0, 0.05)
        momentum = (0.8 if a.opt == "heavy-ball" else 0.0) * momentum + gradient
        x -= a.lr * momentum
    time.sleep(a.wait)
    if a.fail == str(a.lr):
        raise ValueError("no more data")
    values = {"val_loss": x * x + 0.1 * (a.width or 0), "val_acc": 1 / (1 + x * x), "epoch": epoch}
    if a.out:
        with open(a.out + "/metrics.jsonl", "a") as file:
            file.write(json.dumps(values) + "\\n")
    else:
        print(f"epoch {epoch}: loss 9 val_loss {values['val_loss']:.9f}, val_acc: {values['val_acc']:.9f}", flush=True)
"""
FEW: dict[str, Any] = {"rates": [0.01, 0.1], "seeds": 2, "confirmation": 2, "grow": 0, "refine": 0, "progress": False}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line(*more: str) -> str:
    return " ".join([sys.executable, "train.py", "--lr {lr} --seed {seed}", *more])


def compare(made: Any, **asked: Any) -> tw.Study:
    return tw.compare(made, **(FEW | asked))


def alone(lr: float, seed: int, *more: str) -> list[float]:
    """What the command prints by itself."""
    words = [sys.executable, "train.py", "--lr", repr(lr), "--seed", str(seed), *more]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [float(value) for value in re.findall(r"val_loss (\S+),", printed)]


def losses(study: tw.Study) -> dict[tuple[Any, ...], list[float]]:
    """Every run → its validation losses."""
    curves = study.curves().query("metric == 'validation_loss'").groupby("member")["value"].apply(list)
    table = study.table().drop_duplicates(["optimizer", "lr", "seed", "stage"])
    return {
        (r["optimizer"], r["lr"], r["seed"]): curves[r["member"]]
        for r in table.to_dict("records")
        if r["member"] in curves
    }


@pytest.mark.slow
def test_each_run_is_the_command_called_alone(folder: Path) -> None:
    made = tw.command(line("--opt {optimizer} --epochs {epochs}"))
    study = compare(made, optimizers=["plain", "heavy-ball"], epochs=3, store="a.db")
    assert study.finished
    runs = losses(study)
    assert len(runs) == 2 * 2 * 2 + 2 * 2
    for (optimizer, lr, seed), values in runs.items():
        assert values == alone(lr, seed, "--opt", optimizer, "--epochs", "3")
    assert study.verdict.sentence.startswith("heavy-ball (rate 0.1, constant)") or study.verdict.best.lr == 0.1
    assert {entry.optimizer for entry in study.verdict.entries} == {"plain", "heavy-ball"}
    assert study.table()["validation_accuracy"].notna().all()
    assert all(entry.default is None for entry in study.verdict.entries)  # a word has none
    again = tw.Study.open("a.db")
    assert again.plan.optimizers == ("plain", "heavy-ball")
    rerun = tw.rerun("a.db", progress=False)
    assert (rerun.same_verdict, rerun.largest) == (True, 0)
    assert "train.py" in study.report("r.html").read_text()


@pytest.mark.slow
def test_the_last_report_counts_where_a_run_has_one_epoch(folder: Path) -> None:
    study = compare(tw.command(line("--epochs 4 --width {width}")), epochs=1, hyperparameters={"width": [0, 8]}, **FEW)
    assert set(study.table()["step"]) == {1}
    for row in study.table().to_dict("records"):
        expected = alone(row["lr"], row["seed"], "--epochs", "4", "--width", str(int(row["width"])))
        assert row["validation_loss"] == expected[-1]
    assert study.verdict_by("width").best.further == {"width": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize("budget", ["full", "halving"])
def test_a_file_of_the_runs_own(budget: str, folder: Path) -> None:
    made = tw.command(line("--out {out}"), metric="val_acc", file="{out}/metrics.jsonl")
    study = compare(made, epochs=3, budget=budget)
    assert study.verdict.criterion.metric == "accuracy"
    for (_, lr, seed), values in losses(study).items():
        assert values == pytest.approx(alone(lr, seed)[: len(values)], abs=1e-9)
    assert (study.table()["status"] == "stopped").any() == (budget == "halving")


def test_a_command_that_fails_is_repaired_and_its_study_goes_on(folder: Path) -> None:
    with pytest.raises(TrainingError) as failed:
        compare(tw.command(line("--fail 0.1"), at_once=1), epochs=3, store="a.db")
    said = str(failed.value)
    assert "a run of train.py failed" in said
    assert "--lr 0.1 --seed 0" in said
    assert "ended with exit status 1 (ValueError: no more data)" in said
    assert re.search(r"train.py, line \d+; what is done is safe: repair it, then `thalweg resume a.db`", said)
    done = losses(tw.Study.open("a.db"))
    assert done
    Path("train.py").write_text(SCRIPT.replace('raise ValueError("no more data")', "pass"))
    study = tw.resume("a.db", progress=False)
    assert study.finished
    assert done.items() <= losses(study).items()


def test_runs_that_diverge_are_ended_and_counted(folder: Path) -> None:
    study = compare(tw.command(line("--epochs 90")), epochs=90, rates=[0.1, 1e30])
    table = study.table()
    assert set(table.loc[table["lr"] == 1e30, "status"]) == {"diverged"}
    assert study.verdict.best.lr == 0.1


def interrupted(store: Path) -> Forked:
    return Forked("run", line("--wait 60"), "--rates", "0.1", "--store", store, "--epochs", "3", "-q")


def children(folder: Path) -> list[int]:
    """The processes that run in that folder and are commands of a study."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                here = os.readlink(entry / "cwd") == str(folder)
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if here and b"train.py" in words:
                found.append(int(entry.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are listed in /proc, of Linux")
def test_ctrl_c_ends_the_runs_with_the_study(folder: Path) -> None:
    process = interrupted(folder / "a.db")
    try:
        wait_for(lambda: len(children(folder)) > 0, process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "what is done is safe: carry on with `thalweg resume" in said
    time.sleep(0.2)
    assert children(folder) == []
    Path("train.py").write_text(SCRIPT.replace("time.sleep(a.wait)", "pass"))
    assert tw.resume(folder / "a.db", progress=False).finished


def test_the_recipe_is_the_command(folder: Path) -> None:
    study = compare(tw.command(line("--out {out}"), file="{out}/metrics.jsonl"), epochs=3)
    recipe = study.recipe(seed=7)
    assert recipe.optimizer == f"{sys.executable} train.py --lr 0.1 --seed 7 --out out"
    Path("recipe.py").write_text(recipe.code)
    subprocess.run([sys.executable, "-P", "recipe.py"], check=True, capture_output=True, cwd=folder)
    written = [json.loads(text)["val_loss"] for text in Path("out/metrics.jsonl").read_text().splitlines()]
    assert written == pytest.approx(alone(0.1, 7), abs=1e-9)


def test_a_store_from_elsewhere_runs_nothing_unasked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainingError):
        compare(tw.command(line("--fail 0.1")), epochs=3, store="a.db")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "elsewhere"))
    monkeypatch.setattr("thalweg.problem.trust._session", set())
    with pytest.raises(PlanError, match="which never ran on this machine as it is now"):
        tw.resume("a.db", progress=False)
    assert tw.Study.open("a.db").table() is not None  # to look at it runs nothing


@pytest.mark.parametrize(
    ("text", "given", "words"),
    [
        ("", {}, "the command is empty"),
        ("true --lr 0.1", {}, "is told no rate; write {lr} where it takes one"),
        ("true {lr", {}, "cannot be read: "),
        ("true '{lr}", {}, "cannot be read: No closing quotation"),
        ("true {lr} {0}", {}, "{0} in the command is not a name"),
        ("no-such-program {lr}", {}, "'no-such-program' is not a program"),
        ("true {lr}", {"at_once": 0}, "at_once is 0"),
        ("true {lr}", {"file": "metrics.csv"}, "would be the same for every run; write it below {out}"),
    ],
)
def test_commands_that_cannot_be(text: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ProblemError, match=re.escape(words)):
        tw.command(text, **given)


@pytest.mark.parametrize(
    ("text", "given", "words"),
    [
        ("true {lr} {sed}", {}, "'{sed}' is not a word that a command is told: did you mean seed"),
        ("true {lr}", {"optimizers": ["a", "b"]}, "the command does not say {optimizer}, so optimizers a, b would"),
        ("true {lr}", {"hyperparameters": {"width": [1, 2]}}, "does not say {width}, so values of width 1, 2 would"),
        ("true {lr} {optimizer}", {}, "is told {optimizer}; give the words for it as optimizers"),
        ("true {lr} {optimizer}", {"optimizers": [tw.formulas.get("adam")]}, "is told words, and "),
        ("true {lr}", {"folds": 3}, "true is a command: its data are its own"),
        ("true {lr}", {"budget": "halving", "epochs": 1}, "halving stops runs after some of their epochs"),
    ],
)
def test_studies_that_cannot_be(text: str, given: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=re.escape(words)):
        compare(tw.command(text), store=tmp_path / "a.db", **given)
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("true {lr}", "it ends without a loss and prints no numbers with a name"),
        ("echo score={lr}", "it ends without a loss; it prints score; say which of them runs are judged by"),
        ("false {lr}", "'false 0.1' ended with exit status 1 (no word)"),
        ("sh -c 'kill -9 $$' {lr}", "ended with signal SIGKILL"),
        (
            "sh -c 'echo val_loss=1; echo val_loss=2; echo val_loss=3' {lr}",
            "it reports more than 2 times, and a run has 2 epochs",
        ),
    ],
)
def test_commands_that_go_wrong(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=re.escape(words)):
        compare(tw.command(text), epochs=2, store=tmp_path / "a.db", rates=[0.1])


@pytest.mark.slow
def test_on_the_command_line(folder: Path) -> None:
    options = ["--rates", "0.01,0.1", "--seeds", "2", "--confirmation", "2", "--grow", "0", "--refine", "0", "-q"]
    first = CliRunner().invoke(app, ["run", line(), *options, "--dry-run"])
    assert f"\nThe first: {sys.executable} train.py --lr 0.01 --seed 0\nsearch: 2 settings, 4 runs" in first.output
    assert not Path("runs").exists()
    done = CliRunner().invoke(app, ["run", line(), *options, "--report", "r.html"])
    assert done.exit_code == 0
    assert done.output.strip().startswith("train.py (rate 0.1, constant)")
    assert Path("r.html").exists()
    told = CliRunner().invoke(app, ["recipe", "runs/train.py.db"])
    assert "--lr', '0.1', '--seed', '0'" in told.output
    twice = CliRunner().invoke(app, ["run", line(), *options, "--metric", "val_acc", "--json"])
    assert twice.exit_code == 0
    assert "accuracy" in json.loads(twice.output)["verdict"]["sentence"]


def test_a_command_that_takes_long_is_asked_about_by_the_least_it_takes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("thalweg.engine.trial.PATIENCE", 0.5)
    monkeypatch.setattr("thalweg.study.opening.HOUR", 1.0)
    with pytest.raises(WorkError, match="nothing was trained, and nothing is stored"):
        compare(
            tw.command(line("--wait 30")), epochs=1, store="a.db", progress=True, ask=lambda w: bool(asked.append(w))
        )
    (would,) = asked
    assert would.at_least
    assert 0.5 <= would.run_seconds < 10
    assert "a run takes at least" in capfd.readouterr().err
    assert not Path("a.db").exists()


@pytest.mark.slow
def test_a_pytorch_script(tmp_path: Path) -> None:
    """The README's kind: torch.optim by name, and validation printed by epochs."""
    script = tmp_path / "mnist.py"
    script.write_text(
        """
import argparse, torch
from torch import nn
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float); p.add_argument("--seed", type=int); p.add_argument("--opt")
a = p.parse_args()
torch.manual_seed(0); x = torch.randn(120, 4); y = (x[:, 0] * x[:, 1] > 0).long()
torch.manual_seed(a.seed)
model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
optimizer = getattr(torch.optim, a.opt)(model.parameters(), lr=a.lr)
for epoch in range(3):
    for i in torch.randperm(80).split(16):
        optimizer.zero_grad(); loss = nn.functional.cross_entropy(model(x[i]), y[i]); loss.backward(); optimizer.step()
    v = nn.functional.cross_entropy(model(x[80:]), y[80:])
    print(f"Epoch {epoch + 1}/3, Train Loss: {loss.item():.4f}, Val Loss: {v.item():.4f}")
"""
    )
    text = f"{sys.executable} {script} --lr {{lr}} --seed {{seed}} --opt {{optimizer}}"
    little = {"epochs": 3, "rates": [0.1], "seeds": 1, "grow": 0, "confirmation": 1}
    study = compare(tw.command(text), optimizers=["SGD", "AdamW"], store=tmp_path / "a.db", **little)
    assert study.finished
    assert {entry.optimizer for entry in study.verdict.entries} == {"SGD", "AdamW"}
    assert {"train_loss", "validation_loss"} <= set(study.curves()["metric"])
