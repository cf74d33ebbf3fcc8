"""The ranking shows everybody, in order, with intervals, ties and those that diverged."""

from __future__ import annotations

import math

import pytest

from thalweg.pictures.ranking import ranking
from thalweg.pictures.style import style_of

ROWS = [
    {"name": "adam", "letters": "a", "ground": True, "mean": 0.10, "low": 0.09, "high": 0.12},
    {"name": "adamw", "letters": "a", "ground": True, "mean": 0.11, "low": 0.10, "high": 0.13},
    {"name": "sgd", "letters": "b", "ground": False, "mean": 0.30, "low": 0.20, "high": 0.40},
]


def test_one_dot_with_its_interval_and_colour_each():
    figure = ranking(ROWS)
    assert [trace.name for trace in figure.data] == ["adam", "adamw", "sgd"]
    for trace, row in zip(figure.data, ROWS, strict=True):
        assert trace.x == (row["mean"],)
        assert trace.error_x.array[0] == pytest.approx(row["high"] - row["mean"])
        assert trace.error_x.arrayminus[0] == pytest.approx(row["mean"] - row["low"])
        assert trace.marker.color == trace.error_x.color == style_of(row["name"]).colour
        assert trace.marker.symbol == style_of(row["name"]).marker
    assert list(figure.layout.yaxis.ticktext) == ["adam  ", "adamw  ", "sgd  "]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the best on top


def test_letters_stand_beside_the_rows_and_a_ground_under_what_may_be_best():
    layout = ranking(ROWS).layout
    assert [note.text for note in layout.annotations] == ["a", "a", "b"]
    assert [(shape.y0, shape.y1) for shape in layout.shapes if shape.type == "rect"] == [(-0.5, 0.5), (0.5, 1.5)]


def test_the_axis_is_logarithmic_only_where_it_can_be():
    assert ranking(ROWS).layout.xaxis.type == "log"
    figure = ranking([ROWS[0] | {"low": -0.1}])
    assert figure.layout.xaxis.type == "linear"
    assert "log" not in figure.layout.xaxis.title.text


@pytest.mark.parametrize("lost", [math.inf, math.nan])
def test_the_diverged_are_shown_at_the_right_end(lost: float):
    figure = ranking(
        [*ROWS, {"name": "rprop", "letters": "c", "ground": False, "mean": lost, "low": lost, "high": lost}]
    )
    mark = figure.data[-1]
    assert mark.marker.symbol == "x"
    assert max(row["high"] for row in ROWS) < mark.x[0] <= 10 ** figure.layout.xaxis.range[1]
    assert "diverged" in mark.hovertext


def test_an_interval_without_an_end_stays_in_the_plot():
    figure = ranking([ROWS[0], ROWS[1] | {"high": math.inf}])
    assert math.isfinite(figure.data[1].error_x.array[0])
    assert "∞" in figure.data[1].hovertext


def test_nobody_and_everybody_lost():
    assert len(ranking([]).data) == 0
    assert len(ranking([ROWS[0] | {"mean": math.inf, "low": math.inf, "high": math.inf}]).data) == 1
