"""Names hang from their ranks on both sides; bars join what is not told apart."""

from __future__ import annotations

from thalweg.pictures.critical_difference import critical_difference
from thalweg.pictures.style import INK, style_of

RANKS = {"adam": 1.5, "rmsprop": 1.75, "sgd": 3.0, "lion": 3.75}
GROUPS = [["adam", "rmsprop"], ["rmsprop", "sgd", "lion"]]


def test_each_mark_is_at_its_rank_in_its_colour() -> None:
    figure = critical_difference(RANKS, GROUPS, 1.9)
    assert {trace.name: trace.x[0] for trace in figure.data} == RANKS
    assert figure.data[0].marker.color == style_of("adam").colour
    hung = {note.text: note.xanchor for note in figure.layout.annotations if note.text in RANKS}
    assert hung == {"adam": "right", "rmsprop": "right", "sgd": "left", "lion": "left"}
    depths = {note.text: note.y for note in figure.layout.annotations if note.text in RANKS}
    assert depths["adam"] > depths["rmsprop"]
    assert depths["lion"] > depths["sgd"]  # so that no line crosses another's end


def test_bars_span_their_groups_and_single_ones_have_none() -> None:
    shapes = critical_difference(RANKS, [*GROUPS, ["sgd"]], 1.9).layout.shapes
    bars = [shape for shape in shapes if shape.line.width == 5]
    assert len(bars) == 2
    for bar, group in zip(bars, GROUPS, strict=True):
        assert bar.x0 < RANKS[group[0]] < RANKS[group[-1]] < bar.x1
        assert bar.line.color == INK
    assert bars[0].y0 != bars[1].y0


def test_the_critical_difference_is_drawn_to_scale() -> None:
    figure = critical_difference(RANKS, GROUPS, 1.9)
    assert figure.layout.annotations[-1].text == "critical difference 1.9"
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes][-1] == (1, 2.9)
    wide = critical_difference(RANKS, GROUPS, 3.2)
    assert wide.layout.annotations[-1].text == "critical difference 3.2: more than any two ranks can differ by"


def test_names_are_shown_literally_and_have_room() -> None:
    name = "<b>rule</b>(rho=0.99)"
    figure = critical_difference({name: 1.0, "sgd": 2.0}, [], 1.0)
    assert "&lt;b&gt;rule&lt;/b&gt;(rho=0.99)" in [note.text for note in figure.layout.annotations]
    assert figure.layout.margin.l > 7 * len(name)
