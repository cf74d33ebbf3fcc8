"""Profiles: a panel each, stairs with a band, the others thin."""

from __future__ import annotations

import pytest

from thalweg.pictures.profiles import profiles
from thalweg.pictures.style import style_of

STAIRS = {
    "adam": [(1.0, 0.5, 0.2, 0.8), (2.0, 1.0, 0.6, 1.0)],
    "sgd": [(1.0, 0.5, 0.2, 0.8), (3.0, 0.75, 0.4, 0.9), (9.0, 1.0, 0.6, 1.0)],
    "lion": [(1.0, 0.0, 0.0, 0.5)],
}


def test_each_panel_has_its_stairs_its_band_and_the_others() -> None:
    figure = profiles(STAIRS, 4.0, across="loss", columns=2)
    assert [note.text for note in figure.layout.annotations][:3] == ["<b>adam</b>", "<b>sgd</b>", "<b>lion</b>"]
    strong = [trace for trace in figure.data if trace.mode == "lines" and trace.line.width > 2]
    assert [trace.name for trace in strong] == [*STAIRS]
    assert [trace.line.shape for trace in strong] == ["hv"] * 3
    assert strong[0].line.color == style_of("adam").colour
    assert len(figure.data) == 3 * (2 + 2)
    assert len({trace.xaxis for trace in figure.data}) == 3


def test_stairs_go_on_to_the_end_and_no_further() -> None:
    figure = profiles(STAIRS, 4.0, across="steps")
    strong = {trace.name: trace for trace in figure.data if trace.mode == "lines" and trace.line.width > 2}
    assert (strong["sgd"].x, strong["sgd"].y) == ((1.0, 3.0, 4.0), (0.5, 0.75, 0.75))
    assert (strong["lion"].x, strong["lion"].y) == ((1.0, 4.0), (0.0, 0.0))
    low, high = figure.layout.xaxis.range
    assert 10**low < 1 < 4 < 10**high


def test_a_band_has_the_corners_of_stairs() -> None:
    (band,) = [trace for trace in profiles(STAIRS, 4.0, across="loss").data if trace.name == "adam: band"]
    assert list(band.x) == [1.0, 2.0, 2.0, 4.0, 4.0, 2.0, 2.0, 1.0]
    assert list(band.y) == pytest.approx([0.8, 0.8, 1.0, 1.0, 0.6, 0.6, 0.2, 0.2])
