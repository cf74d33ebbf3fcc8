"""The picture of times to a target: stairs that end where the budget does."""

from __future__ import annotations

from thalweg.pictures.reached import reached
from thalweg.pictures.style import styles


def test_stairs_go_to_the_end_of_the_budget() -> None:
    curves = {"adam": [(0.0, 0.0), (10.0, 0.5)], "sgd": [(0.0, 0.0)]}
    figure = reached(curves, {"adam": 40, "sgd": 80}, 0.25)
    adam, sgd = figure.data
    assert (list(adam.x), list(adam.y)) == ([0, 10, 40], [0, 0.5, 0.5])
    assert (list(sgd.x), list(sgd.y)) == ([0, 80], [0, 0])  # who never arrives stays below to the end
    assert {trace.line.shape for trace in figure.data} == {"hv"}
    assert adam.line.color == styles(curves)["adam"].colour
    assert figure.layout.yaxis.title.text == "runs at 0.25 or below"
    assert figure.layout.yaxis.range == (-0.03, 1.03)
