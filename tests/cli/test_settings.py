"""A study's options in a file: written beside its store, edited, and run again."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from thalweg.cli.main import app

FEW = ["--optimizers", "sgd,adam", "--rates", "0.01,0.1", "--seeds", "2", "--epochs", "1", "--confirmation", "0"]
FEW += ["--schedules", "constant", "--grow", "0", "--refine", "0"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["compare", *words, "-q"])


def plan(*words: str) -> dict[str, Any]:
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["plan"]


@pytest.mark.slow
def test_every_option_is_written_and_runs_again() -> None:
    asked = plan(
        "breast-cancer", *FEW, "--hyperparameters", "weight_decay=0,1e-4", "--hyperparameters", "eps=1e-8,1e-6"
    )
    text = Path("runs/breast-cancer.toml").read_text()
    written = tomllib.loads(text)
    assert written["problem"] == "breast-cancer"
    assert written["hyperparameters"] == ["weight_decay=0,1e-4", "eps=1e-8,1e-6"]
    assert "\n# Cross-validate in that many folds" in text
    assert "\n# folds =\n" in text
    assert not {"store", "report", "json", "quiet", "yes", "dry_run"} & written.keys()
    assert plan("runs/breast-cancer.toml") == asked
    assert sorted(p.name for p in Path("runs").glob("*.db")) == ["breast-cancer.db"]  # the very same study


@pytest.mark.slow
def test_what_is_edited_and_what_is_on_the_command_line() -> None:
    before = plan("breast-cancer", *FEW)
    path = Path("mine.toml")
    path.write_text(Path("runs/breast-cancer.toml").read_text().replace("epochs = 1", "epochs = 2"))
    after = plan(str(path), "--seeds", "3")
    assert (after["epochs"], after["seeds"]) == (2, 3)
    assert {**after, "epochs": 1, "seeds": 2} == before
    assert tomllib.loads(Path("runs/breast-cancer-2.toml").read_text())["seeds"] == 3


def test_lists_and_tables_as_toml_has_them() -> None:
    Path("a.toml").write_text(
        'problem = "breast-cancer"\noptimizers = ["sgd", "adam"]\nrates = [0.01, 0.1]\nseeds = 1\nepochs = 1\n'
        "confirmation = 0\ngrow = 0\nrefine = 0\nbatch-size = 32\nschedules = 'constant'\n"
        "[hyperparameters]\nweight_decay = [0, 1e-4]\n"
    )
    found = plan("a.toml")
    assert (found["optimizers"], found["rates"]) == (["sgd", "adam"], [0.01, 0.1])
    assert found["hyperparameters"] == {"weight_decay": [0.0, 0.0001]}
    assert found["batch_sizes"] == [32]


def test_a_file_that_is_there_stays_as_it_is() -> None:
    Path("runs").mkdir()
    Path("runs/breast-cancer.toml").write_text("mine")
    done = run("breast-cancer", *FEW)
    assert done.exit_code == 0
    assert Path("runs/breast-cancer.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read as a file of options: No such file or directory"),
        ("seeds = ", "cannot be read as a file of options: Invalid value"),
        ("seeds = 2", 'names no problem; write problem = "digits"'),
        ("problem = 3", "names no problem"),
        ('problem = "digits"\nsed = 2', "'sed' is not an option of thalweg compare: did you mean seeds"),
        ('problem = "digits"\nseeds = "many"', "Invalid value for '--seeds'"),
        ('problem = "digits"\nrates = {low = 1}', "low=1"),
    ],
)
def test_files_that_cannot_be(text: str | None, words: str) -> None:
    if text is not None:
        Path("a.toml").write_text(text)
    done = run("a.toml")
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert not Path("runs").exists()
