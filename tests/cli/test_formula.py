"""`thalweg formula`: every rule of the catalogue is in the table, and shows what it is made of."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.cli import asked
from thalweg.formulas import FORMULAS

run = partial(asked.run, "formula", columns=160)


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_holds_every_rule(width: int) -> None:
    words = run(columns=width).split()
    assert [name for name in FORMULAS if name not in words] == []


@pytest.mark.parametrize("width", [80, 110, 130, 160])
def test_wide_letters_cut_no_name_short(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Korean letters are two columns wide."""
    monkeypatch.setenv("THALWEG_LANGUAGE", "ko")
    lines = run(columns=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    words = " ".join(" ".join(lines).replace(",", " ").split())
    assert [name for name, rule in FORMULAS.items() if f" {name} {rule.year or ''}" not in words] == []


@pytest.mark.parametrize("name", FORMULAS)
def test_one_rule_shows_its_parts(name: str) -> None:
    shown, rule = run(name), FORMULAS[name]
    assert "w[t] = w[t−1]" in shown
    assert "Piecewise" not in shown
    assert rule.source in shown
    assert all(f"{state}[t]" in shown for state in rule.states)
    for key in (*rule.hyperparameters, *rule.options):
        assert f"    {key} " in shown
        assert rule.meanings[key].words in shown


def test_options_change_the_equations() -> None:
    assert "maximum(" in run("adam(amsgrad=True)")
    assert "∇f(" in run("nesterov(lookahead=True)")


@pytest.mark.slow
def test_latex_and_json() -> None:
    assert run("adam", "--latex").startswith("\\begin{aligned}")
    facts = json.loads(run("adam", "--json"))
    assert facts["hyperparameters"]["beta2"]["default"] == 0.999
    assert facts["latex"] == FORMULAS["adam"].latex()
    assert [f["name"] for f in json.loads(run("--json"))] == list(FORMULAS)


def test_mistakes_are_one_sentence() -> None:
    assert "did you mean adam" in run("adm", status=2)
    assert "exclude each other" in run("--latex", "--json", status=2)


@pytest.mark.slow
def test_the_catalogue_needs_no_torch() -> None:
    code = "import sys; from thalweg.cli.main import app; app(['formula', 'adam'], standalone_mode=False)"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


RULE = """
import thalweg as tw

@tw.formula()
def mine(g, m, *, lr=0.1, beta=0.9):
    m = beta * m + (1 - beta) * g
    return tw.Update(-lr * m, m=m)

def other(g):
    return g
"""


@pytest.mark.parametrize(
    "words",
    [
        ("formula", "{rule}"),
        ("basins", "quadratic", "--rate", "0.1", "--optimizer", "{rule}"),
        ("range", "breast-cancer", "--rates", "2", "--steps", "2", "--seeds", "2", "--optimizer", "{rule}"),
        ("size", "alexnet", "--optimizer", "{rule}"),
        ("descend", "quadratic", "--optimizer", "{rule}"),
    ],
    ids=lambda words: words[0],
)
def test_a_rule_in_a_file_is_taken_as_one_of_the_catalogue(words: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "rules.py"
    file.write_text(RULE)
    assert "mine" in asked.run(*(word.format(rule=f"{file}:mine") for word in words), columns=160)
    said = asked.refused(*(word.format(rule=f"{file}:other") for word in words))
    assert "rules.py:other' is not an optimizer; give a name, e.g. 'adam', or a formula." in said
