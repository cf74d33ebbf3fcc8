"""The picture of valleys: what is drawn is what was measured."""

from __future__ import annotations

import math
from typing import Any

from thalweg.pictures.style import styles
from thalweg.pictures.widths import widths

ROW: dict[str, Any] = {
    "optimizer": "adam",
    "lr": 0.01,
    "low_1": 0.008,
    "high_1": 0.012,
    "low_5": 0.004,
    "high_5": 0.02,
    "low_10": 0.002,
    "high_10": 0.05,
}
LOST = {"optimizer": "sgd", "lr": 0.1, **{f"{end}_{n}": None for end in ("low", "high") for n in (1, 5, 10)}}


def test_bars_are_nested_and_the_best_is_marked() -> None:
    figure = widths([ROW, LOST], (1e-4, 1.0))
    bars = {trace.name: trace for trace in figure.data}
    assert list(bars) == ["adam: within 10%", "adam: within 5%", "adam: within 1%", "adam: best rate"]
    for share in (1, 5, 10):
        assert list(bars[f"adam: within {share}%"].x) == [ROW[f"low_{share}"], ROW[f"high_{share}"]]
    thick = [bars[f"adam: within {share}%"].line.width for share in (10, 5, 1)]
    assert thick == sorted(thick)
    assert bars["adam: within 1%"].line.color == styles(["adam"])["adam"].colour
    assert list(bars["adam: best rate"].x) == [0.01]
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.yaxis.ticktext) == ["adam  ", "sgd  "]  # who always diverged has a row without bars


def test_the_ends_of_the_grid_are_in_sight() -> None:
    figure = widths([ROW], (1e-4, 1.0), compact=True)
    assert [shape.x0 for shape in figure.layout.shapes] == [1e-4, 1.0]
    low, high = figure.layout.xaxis.range
    assert low < math.log10(1e-4) < math.log10(1.0) < high


def test_words_stay_words() -> None:
    figure = widths([{**ROW, "optimizer": "<b>"}], (1e-4, 1.0))
    assert all("<b>: " not in trace.name for trace in figure.data)
