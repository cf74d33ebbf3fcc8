"""A rule for matrices is kept from some of them by name: in a study, its recipe and a loop of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw


@pytest.mark.slow
def test_matrices_are_chosen_by_their_names(tmp_path: Path) -> None:
    rules = ["muon", "adafactor"]
    asked = {"seeds": 1, "epochs": 2, "confirmation": 0, "schedules": ["constant"], "progress": False}
    path = tmp_path / "names.db"
    tw.compare("digits", rules, rates=[0.02], groups={"2.*": {"matrix": False}}, store=path, **asked)
    plain = tw.compare("digits", rules, rates=[0.02], store=tmp_path / "shapes.db", **asked)
    study = tw.Study.open(path)
    for rule in rules:
        ends = [s.table().set_index("optimizer").loc[rule, "validation_loss"] for s in (study, plain)]
        assert ends[0] != pytest.approx(ends[1], rel=1e-3)
        made = study.recipe(optimizer=rule)
        assert '"matrix": False' in made.groups
        assert "class " in made.classes
        ran: dict[str, Any] = {"__name__": "recipe"}
        exec(compile(made.code, "<recipe>", "exec"), ran)
        assert ran["losses"][-1] == pytest.approx(ends[0], rel=1e-4)


def test_a_group_of_a_drop_in_has_the_form_that_it_asks_for() -> None:
    torch.manual_seed(0)
    hidden, last = nn.Linear(4, 3, bias=False), nn.Linear(4, 3, bias=False)
    last.weight.data.copy_(hidden.weight)
    groups = [{"params": hidden.parameters()}, {"params": last.parameters(), "matrix": False}]
    optimizer = tw.optim.from_formula("muon")(groups, lr=0.1)
    for p in (hidden.weight, last.weight):
        p.grad = torch.arange(12.0).reshape(3, 4) - 5
    optimizer.step()
    assert not torch.allclose(hidden.weight, last.weight)
    assert {*optimizer.state[last.weight]} > {"m", "v"}
    assert "v" not in optimizer.state[hidden.weight]
