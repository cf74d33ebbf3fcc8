"""What a step costs, measured after training: a measurement ends no study."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg import formulas
from thalweg.engine import costs
from thalweg.population.place import HOST

ASKED = {"seeds": 2, "epochs": 3, "confirmation": 2, "progress": False}


@pytest.mark.parametrize("rule", ["shampoo", "soap"])
def test_an_update_is_timed_where_its_matrices_are_finite(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    eigh, given = torch.linalg.eigh, []
    monkeypatch.setattr(torch.linalg, "eigh", lambda x: given.append(x) or eigh(x))
    assert costs._update_seconds(formulas.get(rule), nn.Linear(10, 64), HOST) > 0
    assert given
    assert all(x.isfinite().all() and x.count_nonzero() for x in given)


@pytest.mark.slow
def test_a_study_of_rules_that_decompose_ends_with_what_a_step_costs(tmp_path: Path) -> None:
    study = tw.compare("diabetes", ["shampoo", "soap"], rates=[0.01, 1e25], store=tmp_path / "a.db", **ASKED)
    table = study.table()
    assert set(table["status"][table["lr"] == 0.01]) == {"finished"}
    assert set(table["status"][table["lr"] == 1e25]) == {"diverged"}
    assert all(entry.seconds_per_step > 0 for entry in study.verdict.entries)


def test_an_update_that_cannot_be_timed_costs_the_study_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = costs._median_seconds

    def fails(formula: formulas.Formula, *rest: object) -> float:
        if formula.name == "adam":
            raise RuntimeError("out of memory")
        return fine(formula, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(costs, "_median_seconds", fails)
    study = tw.compare("diabetes", ["adam", "sgd"], rates=[0.01], store=tmp_path / "a.db", **ASKED)
    seconds = {entry.optimizer: entry.seconds_per_step for entry in study.verdict.entries}
    assert math.isnan(seconds["adam"])
    assert seconds["sgd"] > 0
    assert study.report(tmp_path / "a.html").stat().st_size
