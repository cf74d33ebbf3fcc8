"""`tw.table`: what it makes of columns, the text that a store names it by, and a script that reads the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import thalweg as tw
from thalweg.cli.main import app
from thalweg.errors import PlanError, ProblemError
from thalweg.problem import trust
from thalweg.problem.find import load

ROWS = 120
_draw = np.random.default_rng(2)
FRAME = pd.DataFrame({"a": _draw.normal(size=ROWS), "b": 1e4 * _draw.normal(size=ROWS), "city": ["Rome", "Oslo"] * 60})
FRAME["grade"], FRAME["flag"] = np.arange(ROWS) % 3 + 1, FRAME["b"] > 0
FRAME["kind"] = np.where(FRAME["a"] + (FRAME["city"] == "Oslo") > 0, "yes", "no")
FRAME["price"] = FRAME["a"] * 1000 + 300 * FRAME["flag"]
FRAME.loc[::9, "a"], FRAME.loc[5, "city"] = np.nan, None
SMALL: dict[str, Any] = {
    "optimizers": ["sgd", "adam"],
    "rates": [0.01, 0.1],
    "schedules": ["constant"],
    "seeds": 1,
    "epochs": 2,
    "confirmation": 2,
    "progress": False,
    "refine": 0,
    "grow": 0,
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("data.csv", index=False)
    return tmp_path / "data.csv"


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("target", "loss", "metrics", "scaled"),
    [
        ("kind", "cross_entropy", ("accuracy",), False),
        ("flag", "cross_entropy", ("accuracy",), False),
        ("grade", "cross_entropy", ("accuracy",), False),
        ("price", "mse", ("r2",), True),
    ],
)
def test_the_target_says_the_loss(file: Path, target: str, loss: str, metrics: Any, scaled: bool) -> None:
    problem = tw.table(file, target)
    assert (problem.loss, problem.metrics, problem.scale_target, problem.name) == (loss, metrics, scaled, "data")
    tw.prepare(problem)


def test_a_text_stands_for_the_same_problem(file: Path) -> None:
    FRAME[::3].to_parquet("more.parquet")
    problem = tw.table(
        "data.csv", "price", "linear", "huber", ["mae"], test="more.parquet", ignore=["b"], seed=3, name="n"
    )
    again = load(problem.source["spec"])
    assert again.source == problem.source
    assert str(file) in problem.source["spec"]
    assert tw.prepare(again).fingerprint == tw.prepare(problem).fingerprint
    assert tw.prepare(again).test.size == 40
    assert trust.unknown([problem.source["spec"]]) == []
    edited = FRAME.assign(a=FRAME["a"].where(FRAME.index != 7, 3.0))
    edited.to_csv(file, index=False)
    assert tw.prepare(load(problem.source["spec"])).fingerprint != tw.prepare(problem).fingerprint


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("data.csv", "a table with the columns a, b, city.* --target COLUMN"),
        ("nowhere.csv", "'nowhere.csv', which does not exist"),
        ("table('data.csv', target='sort')", "data.csv has no column 'sort'; its columns are a, b, city"),
        ("table('data.csv')", "not of the form table"),
        ("table('data.csv', target=kind)", "not of the form table|has a name without quotes"),
        ("table('data.csv', target='kind', colour=1)", "with the arguments of tw.table"),
        ("table('data.csv', target='kind', model='tree')", "did you mean|nown: mlp, linear"),
        ("table('data.csv', target='kind', model=3)", "not of the form table"),
        ("table('data.csv', target='kind', ignore=('kind',))", "to be learned and to be left out"),
        ("table(", "not of the form name"),
    ],
)
def test_a_text_that_is_no_table_is_one_sentence(file: Path, spec: str, words: str) -> None:
    with pytest.raises(ProblemError, match=words) as caught:
        load(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("file", "double")
@pytest.mark.parametrize(
    ("given", "folds"),
    [
        ({"target": "kind", "ignore": ["price"]}, None),
        pytest.param({"target": "price", "model": "mlp(width=8, layers=1)"}, None, marks=pytest.mark.slow),
        pytest.param(
            {"target": "grade", "validation": "more.parquet", "test": "test.tsv", "ignore": ["kind"]},
            None,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"target": "flag", "loss": "bce", "model": "linear", "preprocess": None, "ignore": ["a", "city", "kind"]},
            None,
            marks=pytest.mark.slow,
        ),
        ({"target": "grade", "model": "linear", "preprocess": None, "ignore": [*"ab", "city", "kind", "price"]}, None),
        (
            {"target": "kind", "loss": "cross_entropy(label_smoothing=0.1)", "model": "linear", "ignore": ["price"]},
            None,
        ),
        ({"target": "kind", "model": "linear"}, 3),
    ],
)
def test_the_script_reads_and_trains_the_same(given: dict[str, Any], folds: int | None, tmp_path: Path) -> None:
    """It imports nothing of thalweg; alone it has the losses of the run that it repeats."""
    FRAME[::2].to_parquet("more.parquet")
    FRAME[1::2].to_csv("test.tsv", sep="\t", index=False)
    study = tw.compare(tw.table("data.csv", **given), **SMALL, folds=folds, store=tmp_path / "a.db")
    code = tw.Study.open(study.path).recipe().code
    assert "thalweg" not in code
    names: dict[str, Any] = {}
    exec(compile(code, "recipe", "exec"), names)
    ready = study.prepared()
    ours = ready.fitted()[0] if folds else ready.validation
    theirs = names["problem"].pool if folds else names["problem"].validation
    assert torch.equal(ours.inputs, theirs[0])
    assert torch.equal(ours.targets, theirs[1])
    assert study.recipe_run is not None
    assert study.recipe_run.largest < 1e-9
    if folds is None:
        table, best = study.table(), study.verdict.best
        mine = (table["seed"] == names["SEED"]) & (table["optimizer"] == best.optimizer) & (table["lr"] == best.lr)
        values = table.loc[mine & (table["schedule"] == best.schedule), "validation_loss"]
        assert names["losses"][-1] == pytest.approx(values.iloc[0], rel=1e-9)


@pytest.mark.slow
def test_a_study_of_a_table_is_resumed_and_run_again(file: Path) -> None:
    study = tw.compare(tw.table("data.csv", "kind"), **SMALL)
    assert study.problem["kind"] == "table"
    assert study.problem["left_out"] == []
    assert tw.rerun(study.path, progress=False).same_curves
    FRAME.replace("Rome", "Roma").to_csv(file, index=False)
    with pytest.raises(PlanError, match="the problem data is not the one"):
        tw.Study.open(study.path).prepared()


def run(*words: str) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(words))


@pytest.mark.slow
@pytest.mark.usefixtures("file")
def test_on_the_command_line() -> None:
    few = ("--optimizers", "sgd,adam", "--rates", "0.01,0.1", "--seeds", "1", "--epochs", "1", "--confirmation", "2")
    done = run("compare", "data.csv", "--target", "kind", "--ignore", "price,b", "--model", "linear", *few)
    assert done.exit_code == 0, done.output
    assert "Target kind: 2 classes (no, yes). Inputs: 4 columns: 3 of numbers, scaled" in done.output
    assert "fresh seeds × " in done.output
    assert run("compare", "data.csv", "--target", "kind", "--raw", "-q").exit_code == 2
    for words, sentence in (
        (("digits", "--target", "kind"), "--target is for a table, and 'digits' is not a file that ends in .csv"),
        (("data.csv", "--model", "linear"), "--model asks for --target, the column of data.csv"),
        (("data.csv",), "say which one is to be learned: --target COLUMN"),
        (("data.csv", "--target", "kind", "--loss", "mse"), "compares numbers, and the targets are 2 words"),
    ):
        refused = run("compare", *words)
        assert refused.exit_code == 2
        assert sentence in refused.output
