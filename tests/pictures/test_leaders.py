"""The picture of ranks: the first on top, a line for each."""

from __future__ import annotations

import doctest

from thalweg.pictures import leaders as module
from thalweg.pictures.leaders import leaders
from thalweg.pictures.style import styles


def test_the_first_is_on_top() -> None:
    figure = leaders({"adam": [(1, 1, 0.5), (2, 2, 0.25)], "sgd": [(1, 2, 0.6), (2, 1, 0.2)], "<b>": [(1, 3, 9.0)]})
    assert figure.layout.yaxis.range == (3.5, 0.5)
    assert list(figure.layout.yaxis.ticktext) == ["1", "2", "3"]
    assert list(figure.layout.xaxis.ticktext) == ["1", "2"]
    adam, sgd, words = figure.data
    assert (adam.line.color, sgd.line.color) == tuple(styles(["adam", "sgd"])[one].colour for one in ("adam", "sgd"))
    assert "is 2 of 3 after epoch 2<br>validation loss 0.2500" in adam.hovertext[1]
    assert words.name == "&lt;b&gt;"


def test_many_epochs_have_few_numbers() -> None:
    assert leaders({"adam": [(epoch, 1, 0.5) for epoch in range(1, 101)]}).layout.xaxis.tickvals is None


def test_example() -> None:
    assert doctest.testmod(module) == (0, 2)
