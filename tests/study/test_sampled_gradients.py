"""Studies of rules that estimate curvature on sampled targets: refused before they begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import PlanError

FEW: dict[str, Any] = {"seeds": 1, "epochs": 3, "confirmation": 0, "batch_size": 16, "progress": False}
RULE = "sophia_g(every=4,rho=0.5)"
INPUTS = torch.randn(60, 5, generator=torch.Generator().manual_seed(1))
CLASSES = INPUTS[:, :3].argmax(1)


def problem(loss: str = "cross_entropy") -> tw.Problem:
    targets = CLASSES if loss == "cross_entropy" else INPUTS[:, :3]
    return tw.Problem(model=lambda: nn.Linear(5, 3), train=(INPUTS, targets), loss=loss)


def test_a_loss_of_no_distribution_is_refused_before_a_study_begins(tmp_path: Path) -> None:
    words = r"^sophia_g\(.*\) estimates curvature on targets .* and the loss here is "
    with pytest.raises(PlanError, match=words + "l1"):
        tw.compare(problem("l1"), [RULE], [0.01], store=tmp_path / "a.db", **FEW)
    with pytest.raises(PlanError, match=words + "huber"):
        tw.compare(problem("mse"), [RULE], [0.01], losses=["mse", "huber"], store=tmp_path / "a.db", **FEW)
    assert not (tmp_path / "a.db").exists()
