"""`thalweg suite`: the options of `compare` on several problems, and one verdict in words, tables and JSON."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from thalweg.cli import compare, main, suite

from ..suites.test_suite import made


def call(*words: object) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(main.app, [str(word) for word in words])


@pytest.fixture
def stores(tmp_path: Path) -> str:
    return ",".join(str(made(tmp_path, name).path) for name in ("a", "b"))


def test_it_has_the_options_of_compare() -> None:
    theirs = dict(inspect.signature(compare.compare, eval_str=True).parameters)
    mine = inspect.signature(suite.suite).parameters
    assert set(theirs) - set(mine) == {"problem", "dry_run", "yes"}
    assert set(mine) - set(theirs) == {"problems"}
    shown = re.sub(r"\x1b\[[0-9;]*m", "", call("suite", "--help").output)
    for name in ("--optimizers", "--rates", "--hyperparameters", "--folds", "--batched", "--store"):
        assert name in shown


@pytest.mark.slow
def test_problems_are_compared_with_these_options(tmp_path: Path) -> None:
    words = "--optimizers sgd,adam --rates 0.01,0.1 --schedules constant --seeds 1 --epochs 2 --confirmation 2 --quiet"
    words += " --hyperparameters weight_decay=0,1e-4 --json --store"
    done = call("suite", "breast-cancer,diabetes", *words.split(), tmp_path)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert set(result["stores"]) == {"breast-cancer", "diabetes"}
    assert {one["optimizer"] for one in result["standings"]} == {"sgd", "adam"}
    assert "weight_decay" in dict(result["setting"]["further"])


@pytest.mark.slow
def test_the_verdict_is_words_tables_and_notes(stores: str, tmp_path: Path) -> None:
    done = call("suite", stores, "--report", tmp_path / "suite.html")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    plain = " ".join(" ".join(lines).split())
    for words in ("ranks best over 2 problems", "loss over the lowest", "score by steps", "best on the others"):
        assert words in plain
    assert "· Problems, not seeds, are what is missing" in plain
    assert "Intervals are over problems." in plain
    assert lines[-3:] == [*(f"store: {path}" for path in stores.split(",")), f"report: {tmp_path / 'suite.html'}"]
    assert (tmp_path / "suite.html").exists()


def test_mistakes_are_one_sentence(stores: str) -> None:
    for words, said in (
        (["suite", "digits"], "a suite has two or more problems"),
        (["suite", "digits,,wave"], "has an empty part"),
        (["suite", "digits,digits"], "digits is given twice"),
        (["suite", stores, "--seeds", "3"], "so seeds cannot change; leave it out."),
        (["suite", "digits,no.db"], "no.db does not exist"),
    ):
        done = call(*words)
        assert done.exit_code in (1, 2)
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
