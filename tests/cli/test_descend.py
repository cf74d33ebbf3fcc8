"""`thalweg descend` and `thalweg surfaces`: listed, drawn, printed, refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import thalweg as tw
from tests.cli.asked import refused, run


def test_the_ends_of_every_path() -> None:
    shown = run("descend", "x*sin(x)", "--start", "2.5", "--start", "1.5", "--rate", "0.25", "--steps", "10")
    lines = [line.split() for line in shown.splitlines() if line.startswith("sgd")]
    assert lines == [["sgd", "0.25", "2.5", "4.913", "−4.814"], ["sgd", "0.25", "1.5", "0.004931", "2.432×10⁻⁵"]]
    assert "x·sin(x), 10 steps, the same rates for all" in shown


def test_what_diverges_is_marked() -> None:
    shown = run("descend", "rosenbrock", "--optimizer", "sgd,adam", "--rate", "0.001,50", "--steps", "20")
    at = tw.descend("rosenbrock", optimizer="sgd", lr=50.0, steps=20).diverged
    marked = [line for line in shown.splitlines() if "diverged" in line]
    assert len(marked) == 1
    assert marked[0].rstrip().endswith(f"diverged at {at}")
    assert max(map(len, shown.splitlines())) <= 80


def test_a_table_of_the_steps() -> None:
    shown = run("descend", "x^2-4x+6", "--start", "4", "--rate", "0.2,1.1", "--steps", "10", "--steps-table")
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0][:5] == ["x²", "−", "4x", "+", "6,"]
    assert ["k", "x", "f(x)", "df/dx", "Δx"] in lines
    assert ["0", "4", "6", "4", "−0.8"] in lines
    assert ["10", "2.0121", "2.0001", "0.024186"] in lines
    assert sum(line[:1] == ["sgd,"] for line in lines) == 2
    words = ("ravine", "--optimizer", "sgd,adam", "--rate", "0.1", "--steps", "4", "--schedule", "cosine")
    wide = run("descend", *words, "--steps-table").splitlines()
    assert max(map(len, wide)) <= 80
    assert sum("rate" in line and "∂f/∂x" in line and "Δy" in line for line in wide) == 2
    assert sum(line.startswith("4 ") for line in wide) == 2


def test_steps_as_a_file_of_columns(tmp_path: Path) -> None:
    file = tmp_path / "new" / "steps.csv"
    run("descend", "x^2-4x+6", "--start", "4", "--rate", "0.2", "--steps", "10", "-o", str(file))
    lines = file.read_text().splitlines()
    assert lines[0] == "start,optimizer,lr,step,x,loss,gradient_x,update_x,rate"
    assert len(lines) == 12
    assert float(lines[-1].split(",")[4]) == pytest.approx(2.0121, abs=5e-5)


def test_growing_without_end_is_called_diverging() -> None:
    shown = run("descend", "x^2-4x+6", "--start", "4", "--rate", "0.2,1.1", "--steps", "40")
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith("sgd")] == ["2", "diverging"]
    assert "the loss rises with every step" in shown
    facts = json.loads(run("descend", "x^2-4x+6", "--start", "4", "--rate", "0.2,1.1", "--steps", "40", "--json"))
    assert [one["rising"] for one in facts["paths"]] == [False, True]


def test_bounds_of_the_drawing(tmp_path: Path) -> None:
    file = tmp_path / "a.svg"
    for bounds in ("-2:2.5", "-2,2.5"):
        words = ("x^4/4-x^3/3-x^2+0.2x", "--start=-1.9", f"--bounds={bounds}", "--rate", "0.1", "--steps", "3")
        assert run("descend", *words, "-o", str(file)).strip() == str(file)
    assert run("descend", "ravine", "--bounds", "-5,5;-1,2", "--steps", "2")


def test_json_holds_every_point() -> None:
    words = ("--start", "-1,2", "--start", "3,-0.5", "--rate", "sgd=0.01,momentum(momentum=0.5)=0.02", "--steps", "7")
    facts = json.loads(run("descend", "himmelblau", *words, "--schedule", "cosine", "--noise", "0.1", "--json"))
    path = tw.descend(
        "himmelblau", [[-1, 2], [3, -0.5]], {"sgd": 0.01, "momentum(momentum=0.5)": 0.02}, None, "cosine", 7, noise=0.1
    )
    assert [one["optimizer"] for one in facts["paths"]] == ["sgd", "momentum(momentum=0.5)"] * 2
    np.testing.assert_array_equal(facts["paths"][3]["points"], path.points[1, 1])
    np.testing.assert_array_equal(facts["paths"][3]["losses"], path.losses[1, 1])
    assert facts["rates"] == "rates chosen for each rule"
    cut = json.loads(run("descend", "rosenbrock", "--rate", "50", "--steps", "9", "--json"))["paths"][0]
    assert len(cut["points"]) == len(cut["losses"]) == cut["diverged"] < 9


def test_many_paths_are_not_all_listed() -> None:
    shown = run("descend", "saddle", "--rate", "1e-3:0.1:50", "--steps", "3")
    assert "… and 10 more; --json has all of them." in shown


def test_a_rule_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.py"
    file.write_text(
        "import thalweg as tw\n@tw.formula()\ndef mine(g, *, lr=0.1):\n    return tw.Update(-lr * sign(g))\n"
    )
    facts = json.loads(run("descend", "saddle", "--optimizer", f"sgd,{file}:mine", "--steps", "2", "--json"))
    assert facts["paths"][1]["optimizer"] == "mine"
    assert facts["paths"][1]["points"][1] == pytest.approx([1.4, 0.11])


@pytest.mark.parametrize(("ending", "magic"), [("html", b"<!doctype html>"), ("png", b"\x89PNG")])
def test_drawn_into_a_file(ending: str, magic: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"path.{ending}"
    assert run("descend", "ravine", "--rate", "0.1", "--steps", "5", "-o", str(file)).strip() == str(file)
    assert file.read_bytes().lower().startswith(magic.lower())


def test_the_list_of_surfaces() -> None:
    shown = run("surfaces")
    facts = {one["name"]: one for one in json.loads(run("surfaces", "--json"))}
    assert list(facts) == tw.landscapes.names()
    for name, one in facts.items():
        assert any(line.startswith(name) for line in shown.splitlines())
        assert one["words"].endswith(".")
        assert one["source"]
    assert facts["himmelblau"]["minima"][0] == [3, 2]
    assert max(map(len, shown.splitlines())) <= 84


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rosenbrok",), "'rosenbrok' is not a surface: did you mean rosenbrock?"),
        (("himmelblau", "--start", "1"), "which has 2 variables"),
        (("himmelblau", "--start", "a,b"), "start 'a,b' cannot be read"),
        (("himmelblau", "--start", "1,nan"), "start has nan in it"),
        (("himmelblau", "--start", "1,2", "--start", "1"), "equally many for each start"),
        (("log(x)", "--start", "-1"), "log(x) has no finite value at the start -1"),
        (("a*b",), "has no start of its own; give one, e.g. start=[2, 2] (--start 2,2)"),
        (("__import__('os')", "--start", "1"), "cannot be read"),
        (("himmelblau", "--rate", "0"), "lr is 0, and must be a positive number"),
        (("himmelblau", "--rate", "fast"), "rates 'fast' cannot be read"),
        (("himmelblau", "--rate", "sgd=0.1,=3"), "is not of the form NAME=RATE"),
        (("himmelblau", "--optimizer", "adam", "--rate", "sgd=1"), "leave --optimizer out"),
        (("himmelblau", "--optimizer", "adm"), "did you mean adam"),
        (("himmelblau", "--steps", "0"), "steps is 0"),
        (("himmelblau", "--noise", "-1"), "noise is -1"),
        (("himmelblau", "--steps", "1000000000"), "bytes, and at most"),
        (("himmelblau", "-o", "path.pdf"), "cannot name a picture"),
        (("himmelblau", "--kind", "race", "-o", "a.csv"), "say where to draw it with -o"),
        (("himmelblau", "--steps-table", "--json"), "exclude each other"),
        (("himmelblau", "--bounds", "3"), "'3' cannot be read as bounds; give low:high"),
        (("himmelblau", "--bounds", "3:-3"), "are not bounds of himmelblau: the lower end comes first"),
        (("himmelblau", "--bounds", "a:b"), "'a' is not a number"),
        (("himmelblau", "--kind", "race"), "say where to draw it with -o"),
    ],
)
def test_wrong_use_is_one_sentence(words: tuple[str, ...], said: str) -> None:
    shown = run("descend", *words, status=2)
    assert said in shown
    assert len(shown.strip().splitlines()) == 1


def test_a_start_of_another_length_is_told_how_to_write_one() -> None:
    said = refused("descend", "quadratic", "--start", "1")
    assert "give e.g. start=[1.8, 0.9] (--start 1.8,0.9), or an array (starts, 2)." in said
