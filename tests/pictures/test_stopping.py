"""Learning curves with early stopping: the mean of the members, and the very rule's best epoch and end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from torch import nn

from thalweg.pictures.stopping import stopping_picture
from thalweg.regularizers import EarlyStopping


def curves(losses: list[float], members: int = 3) -> pd.DataFrame:
    rows = [
        {"member": m, "metric": metric, "step": 5 * (k + 1), "value": loss * (1 + 0.1 * (m - 1)) * factor}
        for m in range(members)
        for k, loss in enumerate(losses)
        for metric, factor in (("train_loss", 0.5), ("validation_loss", 1.0))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("patience", [1, 2, 4, 30])
def test_it_marks_what_the_rule_does(patience: int) -> None:
    losses = [1.0, 0.7, 0.8, 0.6, 0.65, 0.62, 0.7, 0.5, 0.9, 0.9, 0.9, 0.9, 0.9]
    stop, model = EarlyStopping(patience), nn.Linear(1, 1)
    ended = next((epoch for epoch, loss in enumerate(losses, 1) if stop(loss, model)), len(losses))
    best = int(np.argmin(losses[:ended])) + 1
    figure = stopping_picture(curves(losses), patience)
    (ring,) = [trace for trace in figure.data if trace.name == f"best epoch, {best}"]
    assert (ring.x[0], ring.y[0]) == (best, pytest.approx(losses[best - 1]))
    after = [shape.x0 for shape in figure.layout.shapes]
    assert after == ([ended] if ended < len(losses) else [])


def test_lines_are_means_and_bands_hold_every_member() -> None:
    losses = [1.0, 0.5, 0.6]
    figure = stopping_picture(curves(losses), 5)
    named = {trace.name: trace for trace in figure.data}
    np.testing.assert_allclose(named["validation loss"].y, losses)
    np.testing.assert_allclose(named["training loss"].y, np.multiply(losses, 0.5))
    np.testing.assert_allclose(named["validation loss: band"].y[:3], np.multiply(losses, 1.1))
    np.testing.assert_allclose(named["validation loss: band"].y[3:], np.multiply(losses[::-1], 0.9))
    assert "Mean of 3 seeds" in figure.layout.title.subtitle.text
