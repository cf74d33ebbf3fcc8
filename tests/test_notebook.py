"""What a notebook shows of an object that stands alone in a cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter

import thalweg as tw
from thalweg.study.study import Study

HOSTILE = "<script>alert(1)</script>"


def shown(thing: Any) -> dict[str, str]:
    """By type, as IPython hands it to a notebook."""
    made, _ = DisplayFormatter().format(thing)
    return made


@pytest.mark.parametrize(
    ("made", "part"),
    [
        (lambda: tw.derivative("3x^3-2x+1"), r"= 9 x^{2} - 2$"),
        (lambda: tw.derivative("x^2", method="limit"), r"\lim_{h \to 0}"),
        (lambda: tw.gradient("x*y"), r"\nabla f = \begin{pmatrix}"),
        (lambda: tw.hessian("x*y"), r"\nabla^2 f"),
        (lambda: tw.minimum("x^2-4x+6"), r"\left(x - 2\right)^{2}"),
        (lambda: tw.function("x/2"), r"\frac{x}{2}"),
        (lambda: tw.formulas.get("adam"), r"\hat{m}_t"),
        (lambda: tw.landscapes.get("saddle"), "x^{2} - y^{2}"),
    ],
)
def test_formulas_are_typeset(made: Any, part: str) -> None:
    written = shown(made())["text/latex"]
    assert written.startswith(r"$\displaystyle ")
    assert written.endswith("$")
    assert part in written


def test_a_function_without_a_formula_is_shown_by_its_words() -> None:
    limit = tw.derivative(lambda x: float(x) ** 2, method="limit", at=1.0)
    assert "text/latex" not in shown(limit)
    assert shown(limit)["text/plain"]


def test_a_path_is_a_table() -> None:
    made = shown(tw.descend("x^2", start=[1.0, 2.0], optimizer=["sgd", "adam"], lr=0.1, steps=3))["text/html"]
    assert made.count("<tr") == 1 + 4
    assert "starts 2" in made


def test_a_verdict_is_its_words_and_runs_nothing(tiny: Study) -> None:
    verdict = tiny.verdict
    made = shown(verdict)["text/html"]
    assert made.count("<li>") == len(verdict.notes) > 0
    hostile = shown(replace(verdict, sentence=HOSTILE, notes=(HOSTILE,)))["text/html"]
    assert "<script" not in hostile
    assert hostile.count("&lt;script") == 2
    assert "<table" in shown(tiny)["text/html"]
