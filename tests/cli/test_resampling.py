"""`thalweg bias-variance`, `bag`, `boost`, `basins`, `sharpness`: the library's numbers, printed, as JSON, refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

import thalweg as tw
from tests.cli import asked
from tests.cli.asked import refused

run = partial(asked.run, fits=True)


def test_the_parts_of_an_error() -> None:
    words = ("bias-variance", "wave", "--rates", "0.001,0.01", "--members", "3", "--epochs", "2")
    due = tw.bias_variance("wave", rates=[0.001, 0.01], members=3, epochs=2)
    facts = json.loads(run(*words, "--json"))
    assert (facts["measure"], facts["noise_known"], facts["members"]) == ("squared error", True, 3)
    for row, expected in zip(facts["settings"], due.table().to_dict("records"), strict=True):
        assert row == {name: pytest.approx(value) for name, value in expected.items()}
        assert row["bias"] + row["variance"] + row["noise"] - row["error"] == pytest.approx(row["rest"])
    shown = run(*words)
    assert "is bias²" in shown.split("lr  squared error")[0]
    assert "0.09" in next(line for line in shown.splitlines() if line.lstrip().startswith("0.001"))


def test_a_bag_beside_one_of_its_members(tmp_path: Path) -> None:
    words = ("bag", "breast-cancer", "--members", "3", "--epochs", "1", "--rate", "0.02")
    file = tmp_path / "bag.safetensors"
    facts = json.loads(run(*words, "-o", str(file), "--json"))
    due = tw.bag("breast-cancer", lr=0.02, members=3, epochs=1)
    ready = tw.prepare("breast-cancer")
    inputs, targets = ready.validation
    assert facts["scores"]["all together"] == pytest.approx(due.score(inputs, targets))
    alone = [due.judged(each, targets)["accuracy"] for each in due.outputs(inputs)]
    assert facts["scores"]["one member, on average"]["accuracy"] == pytest.approx(sum(alone) / 3)
    assert facts["out_of_bag"]["samples"] == due.out_of_bag["samples"] < len(ready.train.targets)  # type: ignore[union-attr]
    assert len(facts["members"]) == 3
    again = tw.Ensemble.load(file, model="breast-cancer")
    assert again.score(inputs, targets) == pytest.approx(due.score(inputs, targets))


def test_the_stages_of_a_boosting() -> None:
    words = ("boost", "diabetes", "--rates", "0.01", "--members", "2", "--epochs", "1", "--draws", "1")
    shown = run(*words)
    due = tw.boost("diabetes", rates=[0.01], members=2, epochs=1, draws=1)
    lines = shown.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["1", "2"]
    assert "diabetes: 2 stages of 2" in lines
    assert f"{due.table()['train_loss'].iloc[-1]:.4g}" in lines[3]
    assert "one stage" not in shown  # of residuals, which alone are no answer
    facts = json.loads(run("boost", "breast-cancer", *words[2:], "--json"))
    assert list(facts["scores"]) == ["one stage, on average", "all together"]
    assert facts["kind"] == "boosting"


def test_scores_are_named_alike_in_every_language() -> None:
    stages = run("boost", "diabetes", "--rates", "0.01", "--members", "2", "--epochs", "1", "--language", "ko")
    assert "모두 함께" in stages
    assert "단계 하나, 평균" not in stages
    words = ("bag", "diabetes", "--rate", "0.01", "--members", "2", "--epochs", "1", "--json")
    english, korean = (json.loads(run(*words, "--language", one))["scores"] for one in ("en", "ko"))
    assert list(english) == list(korean)


def test_which_start_comes_to_which_minimum(tmp_path: Path) -> None:
    words = ("basins", "x*sin(x)", "--rate", "0.1", "--resolution", "101", "--bounds=-6:6")
    facts = json.loads(run(*words, "--json"))
    due = tw.basins("x*sin(x)", lr=0.1, resolution=101, bounds=(-6, 6)).table()
    assert [row["share"] for row in facts["minima"]] == due["share"].tolist()
    assert facts["minima"][-1]["x"] is None
    shown = run(*words, "-o", str(tmp_path / "b.svg"))
    assert "x·sin(x): 101 starts, sgd at rate 0.1, 200 steps" in shown
    assert "−4.913  −4.814" in shown
    assert (tmp_path / "b.svg").read_bytes().startswith(b"<?xml")
    many = run("basins", "rastrigin", "--rate", "0.001", "--resolution", "60")
    assert "… and 109 more; --json has all of them." in many
    assert "×10⁻" not in many  # a minimum at 0 is at 0


@pytest.mark.slow
def test_how_sharp_the_minima_of_a_study_are(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    study = tw.compare(
        "breast-cancer",
        ["sgd"],
        [0.1],
        ["constant"],
        seeds=2,
        epochs=1,
        confirmation=2,
        grow=0,
        store=store,
        progress=False,
    )
    facts = json.loads(run("sharpness", str(store), "--seeds", "2", "--json"))
    due = study.sharpness(seeds=2).table
    assert [row["eigenvalue"] for row in facts["runs"]] == pytest.approx(due["eigenvalue"].tolist())
    shown = run("sharpness", str(store), "--seeds", "2")
    assert shown.splitlines()[2].startswith("sgd  ")
    assert "Means over 2 runs with their 95% intervals" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bias-variance", "wave", "--members", "1"), "members"),
        (("bias-variance", "wave", "--optimizers", "adm"), "did you mean adam"),
        (("bias-variance", "wave", "--along", "lr", "-o", "a.pdf"), "cannot name a picture"),
        (("bag", "breast-cancer", "--members", "0"), "members is 0"),
        (("bag", "breast-cancer", "-o", "a.pt"), "it must end in .safetensors"),
        (("boost", "wave", "--shrinkage", "2"), "shrinkage is 2"),
        (("basins", "rosenbrock(dimensions=3)"), "a map of basins has one or two"),
        (("basins", "himmelblau", "--bounds", "1:1"), "are not bounds of himmelblau"),
        (("sharpness", "digits"), "digits does not exist"),
    ],
)
def test_wrong_use_is_one_sentence(words: tuple[str, ...], said: str) -> None:
    assert said in refused(*words, status=1 if words[0] == "sharpness" else 2)
