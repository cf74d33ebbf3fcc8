"""The picture of shares: bars that are whole, a colour for each part."""

from __future__ import annotations

import doctest

import pytest

from thalweg.language import speaking
from thalweg.pictures import shares as module
from thalweg.pictures.shares import shares
from thalweg.pictures.style import MUTED

ROWS = {"all": {"Optimizer": 0.2, "Rate": 0.75, "Seeds": 0.05}, "sgd": {"Rate": 0.98, "Seeds": 0.02, "Rest": 0.0}}


def test_parts_follow_each_other_to_the_end() -> None:
    figure = shares(ROWS, "variance")
    bars = [trace for trace in figure.data if trace.fill]
    assert [bar.name for bar in bars] == [
        *("all, Optimizer: 20.0%", "all, Rate: 75.0%", "all, Seeds: 5.0%", "sgd, Rate: 98.0%", "sgd, Seeds: 2.0%")
    ]
    assert [bar.x[:2] for bar in bars[:3]] == [(0, 0.2), (0.2, pytest.approx(0.95)), (pytest.approx(0.95), 1)]
    assert bars[1].fillcolor == bars[3].fillcolor != bars[0].fillcolor
    assert bars[4].fillcolor == MUTED
    assert [trace.text[0] for trace in figure.data if trace.mode == "text"] == ["20%", "75%", "98%"]  # there is room
    assert [trace.name for trace in figure.data if trace.mode == "markers"] == ["Optimizer", "Rate", "Seeds"]
    assert list(figure.layout.yaxis.ticktext) == ["all  ", "sgd  "]


def test_parts_are_named_in_the_language_of_the_picture() -> None:
    with speaking("ko"):
        figure = shares(ROWS, "")
    names = [trace.name for trace in figure.data]
    assert "시드" in names  # in the legend
    assert not [name for name in names if "Seeds" in name]


def test_words_stay_words() -> None:
    assert all("<b>" not in (trace.name or "") for trace in shares({"<b>": {"<b>": 1.0}}, "x").data)


def test_example() -> None:
    assert doctest.testmod(module) == (0, 2)
