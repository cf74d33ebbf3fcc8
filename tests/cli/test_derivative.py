"""`thalweg derivative`: printed, as JSON and LaTeX, drawn, refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.asked import run


def test_rules_in_the_terminal() -> None:
    shown = run("derivative", "(2x - 1)^3", "--at", "2")
    assert shown.splitlines()[0] == "d/dx (2x − 1)³ = 6(2x − 1)²"
    assert "at x = 2: 54" in shown
    assert run("derivative", "(2x - 1)(x + 3)").splitlines()[0].endswith("= 2x + 2(x + 3) − 1 = 4x + 5")
    assert "   3  chain, power: (uⁿ)′ = n·uⁿ⁻¹·u′" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert run("derivative", "-x^2", "--at", "-1").startswith("d/dx (−x²) = −2x\n\nat x = −1: 2")
    assert "∇f(1, −2) = (4, −3)" in run("derivative", "x*y^2 + y", "--at", "1,-2")
    assert run("derivative", "x*y^2", "--wrt", "y", "--order", "2").startswith("∂²/∂y² x·y² = 2x\n")


@pytest.mark.slow
def test_limit_in_the_terminal_and_in_a_file(tmp_path: Path) -> None:
    shown = run("derivative", "x^2", "--limit", "--at", "3")
    assert "(f(x + h) − f(x))/h = h + 2x\n→ 2x as h → 0\n" in shown
    assert shown.endswith("at x = 3: 6\n")
    for ending, magic in (("html", b"<!DOCTYPE html>"), ("png", b"\x89PNG"), ("gif", b"GIF8")):
        file = tmp_path / f"secant.{ending}"
        assert run("derivative", "x^2", "--limit", "--at", "3", "-o", str(file)).strip() == str(file)
        assert file.read_bytes().lower().startswith(magic.lower()), ending


def test_json_and_latex() -> None:
    facts = json.loads(run("derivative", "x*sin(x)", "--at", "0", "--json"))
    assert (facts["derivative"], facts["value"]) == ("x·cos(x) + sin(x)", 0)
    assert [step["rule"] for step in facts["steps"]] == ["sin", "product"]
    facts = json.loads(run("derivative", "|x|", "--limit", "--at", "0", "--json"))
    assert facts["value"] is None
    assert facts["note"] == "the slope is −1 from the left and 1 from the right"
    assert len(facts["table"]) == 11
    assert json.loads(run("derivative", "x*y", "--json"))["gradient"] == {"x": "y", "y": "x"}
    assert run("derivative", "x^2", "--latex").startswith("\\frac{d}{d x} x^{2} = 2 x\n\n\\begin{aligned}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["9**9**9**9"], "is refused: its numbers would have hundreds of digits"),
        (["x.__class__"], "'.' has no meaning"),
        (["x*y", "--order", "2"], "say which with wrt (--wrt x)"),
        (["x", "--wrt", "y"], "not a variable of x"),
        (["x", "-o", "a.png"], "give --limit and --at too"),
        (["x", "--limit", "--at", "1", "-o", "a.txt"], "must end in"),
        (["x", "--latex", "--json"], "exclude each other"),
        (["x", "--at", "1,2"], "give one number for each"),
        (["x", "--at", "oo"], "not a number"),
    ],
)
def test_wrong_use_is_one_sentence(words: list[str], message: str) -> None:
    shown = run("derivative", *words, status=2)
    assert message in shown
    assert shown.startswith("thalweg: ")
    assert shown.count("\n") == 1
