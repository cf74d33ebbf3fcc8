"""Rules that look beyond one weight, in steps that are captured and replayed, against those that are carried out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thalweg import formulas
from thalweg.formulas import FORMULAS
from thalweg.population.block import Block
from thalweg.population.member import Member

from ..devices import on_device
from .test_block import make_task

RULES = ["sam(momentum)"]
RULES += [name for name, rule in FORMULAS.items() if not rule.equations.elementwise or rule.equations.shown is not None]


@pytest.mark.slow
def test_steps_that_are_replayed_do_what_steps_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"soap", "shampoo", "muon", "prodigy", "schedule_free_adamw"} <= {*RULES}

    def curves() -> np.ndarray:
        members = [Member(formulas.get(name), {"lr": 0.01}, {}, 5) for name in RULES]
        block = Block(make_task(torch.float64), members, 5)
        return np.stack([epoch.values["validation_loss"] for epoch in block.train() if epoch is not None])

    usual = curves()
    on_device(monkeypatch)
    np.testing.assert_allclose(curves(), usual, rtol=1e-8)
