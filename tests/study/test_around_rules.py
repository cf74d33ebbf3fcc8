"""A study of rules around rules: a verdict, and a recipe that repeats it in plain PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import thalweg as tw

RULES = ["lookahead(adamw)", "cautious(adamw)", "sam(sgd)"]


@pytest.mark.slow
def test_rules_around_rules_are_ranked_and_have_recipes_that_run(tmp_path: Path) -> None:
    path = tmp_path / "around.db"
    asked = {"seeds": 2, "epochs": 2, "confirmation": 2, "schedules": ["constant"], "progress": False}
    study = tw.compare("breast-cancer", RULES, rates=[0.01, 0.1], store=path, **asked)
    again = tw.Study.open(path)
    assert {*again.table()["optimizer"]} == {*RULES}
    assert {entry.optimizer for entry in again.verdict.entries} == {*RULES}
    table = study.table()
    for rule in RULES:
        code = again.recipe(optimizer=rule).code
        assert "in plain PyTorch" in code.splitlines()[0]
        ran: dict[str, Any] = {"__name__": "recipe"}
        exec(compile(code, "<recipe>", "exec"), ran)
        ends = table[(table["optimizer"] == rule) & (table["seed"] == ran["SEED"])]["validation_loss"]
        assert (abs(ends - ran["losses"][-1]) < 1e-5 * ends).sum() == 1, rule
