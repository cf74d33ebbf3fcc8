"""Studies whose members' activations are computed twice, because more members fit so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import PlanError
from thalweg.population import sizing
from thalweg.store.file import Store

FEW: dict[str, Any] = {"optimizers": ["sgd", "adam"], "rates": [0.01, 0.1], "schedules": ["constant"], "seeds": 1}
FEW |= {"epochs": 2, "batch_size": 64, "confirmation": 0, "grow": 0, "refine": 0, "progress": False}


class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 2)
        self.blocks = nn.ModuleList(nn.Linear(16, 16) for _ in range(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for layer in self.blocks:
            x = x + nn.functional.dropout(torch.tanh(layer(x)), 0.1, self.training)
        return self.last(x)


class Deciding(Deep):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if x.sum().item() > -1e9 else x


def problem(model: type[nn.Module] = Deep) -> tw.Problem:
    inputs = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    return tw.Problem(model, train=(inputs, (inputs.sum(1) > 0).long()))


def losses(study: tw.Study) -> np.ndarray:
    return study.table().sort_values(["optimizer", "lr"])["validation_loss"].to_numpy()


@pytest.mark.slow
def test_more_members_fit_and_learn_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "MEMORY", 200_000)
    plain, twice = (
        tw.compare(problem(), store=tmp_path / f"{way}.db", batched=way, precision="bf16", **FEW)
        for way in ("stacked", "auto")
    )
    assert plain.batching == []
    (sentence,) = twice.batching
    assert sentence.startswith("Members were trained stacked, with activations computed twice: 4 members fit into")
    assert sentence.endswith("memory at once, and 2 otherwise.")
    np.testing.assert_allclose(losses(twice), losses(plain), rtol=1e-3)  # other blocks, whose products round otherwise
    with Store.open(twice.path) as store:
        ((name, _, _, size),) = store.meta("batching")["ways"]
        assert name == "recomputed"
        assert {len(row.settings) for row in store.blocks()} == {4}
        assert 4 * size <= 200_000
    assert tw.resume(twice.path, progress=False).batching == twice.batching


@pytest.mark.slow
def test_as_asked(tmp_path: Path) -> None:
    """With what is foreseen of it, and with the same results to the bit where the blocks are the same."""
    ways = ("stacked", "recomputed", "alone")
    each = [tw.compare(problem(), store=tmp_path / f"{way}.db", batched=way, **FEW) for way in ways]
    assert each[1].batching == ["Members were trained stacked, with activations computed twice: as asked."]
    np.testing.assert_array_equal(losses(each[0]), losses(each[1]))
    np.testing.assert_allclose(losses(each[0]), losses(each[2]), rtol=1e-4)
    asked = {name: value for name, value in FEW.items() if name != "progress"}
    stacked, twice = (tw.forecast(problem(), batched=way, **asked).programs[0] for way in ways[:2])
    assert twice.way == "recomputed"
    assert 0 < twice.footprint.results < stacked.footprint.results


def test_what_cannot_be_traced_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"Deciding cannot be trained with activations computed twice, because .* Give"):
        tw.compare(problem(Deciding), store=tmp_path / "a.db", batched="recomputed", **FEW)
