"""`thalweg minimum`: exact, on a grid, going down; refused in a sentence."""

from __future__ import annotations

import json

import pytest

from tests.cli.asked import run


def test_in_the_terminal() -> None:
    shown = run("minimum", "x^2 - 4x + 6")
    assert "     = (x − 2)² + 2, by completing the square" in shown
    assert "  x = 2   f = 2   minimum: f″ > 0" in shown
    assert "falls below every bound" in run("minimum", "-x^2")
    assert "−2 ≤ x ≤ 3" in run("minimum", "x*exp(x)", "--bounds", "-2:3", "--grid")
    reached = run("minimum", "x*sin(x)", "--start", "2.5")
    assert "Reached from 2.5" in reached
    assert "minimum: f″ = 5.213" in reached  # 2 cos x − x sin x at 4.913
    assert "eigenvalue" not in reached


def test_json_and_latex() -> None:
    facts = json.loads(run("minimum", "x^4 - 3x^2 + y^2", "--json"))
    assert facts["value"] == pytest.approx(-2.25)
    assert [one["kind"] for one in facts["points"]] == ["minimum", "saddle", "minimum"]
    assert facts["everywhere"] is True
    assert facts["points"][0]["exact"][1] == "0"
    grid = json.loads(run("minimum", "x*y", "--grid", "--bounds", "0:1,2:3", "--resolution", "5", "--json"))
    assert grid["bounds"] == [[0, 1], [2, 3]]
    assert grid["value"] == 0
    assert r"&= \left(x - 2\right)^{2} + 2" in run("minimum", "x^2 - 4x + 6", "--latex")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["__import__('os')"], "'_' has no meaning here"),
        (["7"], "is constant"),
        (["x", "--bounds", "5"], "give low:high"),
        (["x", "--bounds", "2:1"], "the lower end comes first"),
        (["x", "--grid", "--start", "1"], "exclude each other"),
        (["x", "--resolution", "9"], "give --grid too"),
        (["x", "--json", "--latex"], "exclude each other"),
        (["x", "--start", "1,2"], "give one number for each"),
    ],
)
def test_wrong_use_is_one_sentence(words: list[str], message: str) -> None:
    shown = run("minimum", *words, status=2)
    assert message in shown
    assert shown.startswith("thalweg: ")
    assert shown.count("\n") == 1


def test_help() -> None:
    assert "Example: thalweg minimum" in run("minimum", "--help")
