"""Learning curves: means over all seeds or none, and the place where one diverged."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from thalweg.pictures.learning import learning, learning_table
from thalweg.pictures.style import style_of


def curves(values: dict[tuple[str, int], list[float]], diverged: tuple[int, ...] = ()) -> pd.DataFrame:
    """Both losses of (optimizer, member) at steps 10, 20, …; training is half of validation."""
    rows = [
        {
            "optimizer": optimizer,
            "member": member,
            "metric": metric,
            "step": 10 * (place + 1),
            "value": value * factor,
            "status": "diverged" if member in diverged else "finished",
        }
        for (optimizer, member), series in values.items()
        for place, value in enumerate(series)
        for metric, factor in (("validation_loss", 1.0), ("train_loss", 0.5))
    ]
    return pd.DataFrame(rows)


WHOLE = {("adam", 0): [1.0, 0.5, 0.2], ("adam", 1): [2.0, 0.7, 0.4], ("sgd", 2): [3.0, 2.0, 1.0], ("sgd", 3): [3, 3, 3]}


def lines(figure: Any, name: str) -> list[Any]:
    return [trace for trace in figure.data if trace.name == name]


def test_lines_are_means_in_the_optimizers_look_validation_beside_training():
    figure = learning(learning_table(curves(WHOLE)), order=["sgd", "adam"])
    assert len(figure.data) == 2 * 2 * 2  # optimizers × metrics × (band, line)
    validation, training = lines(figure, "adam")
    assert validation.x == (10, 20, 30)
    assert validation.y == pytest.approx((1.5, 0.6, 0.3))
    assert training.y == pytest.approx((0.75, 0.3, 0.15))
    assert (validation.line.color, validation.line.dash) == (style_of("adam").colour, style_of("adam").dash)
    assert (validation.xaxis, training.xaxis) == ("x", "x2")
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == ["sgd", "adam"]
    assert [title.text for title in figure.layout.annotations] == ["<b>Validation loss</b>", "<b>Training loss</b>"]


def test_the_band_runs_from_the_smallest_to_the_largest_seed():
    band = lines(learning(learning_table(curves(WHOLE))), "adam: band")[0]
    assert band.x == (10, 20, 30, 30, 20, 10)
    assert band.y == (2.0, 0.7, 0.4, 0.2, 0.5, 1.0)


def test_loss_axes_are_logarithmic_unless_a_loss_is_not_positive():
    assert learning(learning_table(curves(WHOLE))).layout.yaxis.type == "log"
    assert learning(learning_table(curves({("sgd", 0): [1.0, 0.0]}))).layout.yaxis.type == "linear"


@pytest.mark.parametrize("series", [[2.0, math.nan, math.nan], [2.0], [2.0, math.inf]])
def test_a_seed_that_diverged_ends_the_line_with_a_mark(series: list[float]):
    data = curves({("adam", 0): [1.0, 0.5, 0.2], ("adam", 1): series}, diverged=(1,))
    table = learning_table(data).query("metric == 'validation_loss'")
    assert table["mean"].tolist() == [1.5, math.inf, math.inf]
    figure = learning(learning_table(data))
    assert lines(figure, "adam")[0].x == (10,)
    mark = lines(figure, "adam: diverged")[0]
    assert (mark.x, mark.marker.symbol) == ((20,), "x")


def test_who_diverged_at_once_is_in_the_legend():
    figure = learning(
        learning_table(curves({("adam", 0): [1.0, 0.5], ("sgd", 1): [math.nan, math.nan]}, diverged=(1,)))
    )
    line = lines(figure, "sgd")[0]
    assert line.x == (None,)
    assert line.showlegend is not False


def test_an_unfinished_seed_ends_the_line_without_a_mark():
    data = curves({("adam", 0): [1.0, 0.5, 0.2], ("adam", 1): [2.0]})
    assert learning_table(data)["seeds"].tolist()[:3] == [2, 1, 1]
    figure = learning(learning_table(data))
    assert lines(figure, "adam")[0].x == (10,)
    assert not lines(figure, "adam: diverged")


def test_nothing_recorded_still_draws():
    assert len(learning(learning_table(curves(WHOLE)[:0])).data) == 0
    assert len(learning(learning_table(curves({("adam", 0): [math.nan]}))).data) > 0
