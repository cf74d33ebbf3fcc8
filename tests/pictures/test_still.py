"""Figures drawn without a browser: every kind of trace where it belongs, in its colour, in every language."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from thalweg.pictures import style
from thalweg.pictures.files import write
from thalweg.pictures.layout import dress, heading
from thalweg.pictures.still import Drawing, fonts, traces
from thalweg.pictures.style import BLUE, GREEN, VERMILION

RAMP = np.add.outer(np.arange(5.0), np.arange(6.0))
ONE_COLOUR = [[0, VERMILION], [1, VERMILION]]
TRACES = {
    "lines": go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": VERMILION, "width": 4}),
    "markers": go.Scatter(x=[0, 1], y=[0, 1], mode="markers", marker={"color": VERMILION, "size": 14}),
    "sizes": go.Scatter(x=[0, 1], y=[0, 1], mode="markers", marker={"color": VERMILION, "size": [9, 14]}),
    "words": go.Scatter(x=[0, 1], y=[0, 1], mode="text", text=["MMM", ""], textfont={"color": VERMILION, "size": 30}),
    "band": go.Scatter(x=[0, 1, 1, 0], y=[0, 0, 1, 1], mode="none", fill="toself", fillcolor=VERMILION),
    "area": go.Scatter(x=[0, 1], y=[1, 2], mode="lines", fill="tozeroy", fillcolor=VERMILION),
    "bars": go.Bar(x=[1, 2], y=[3, 4], marker={"color": VERMILION}),
    "intervals": go.Scatter(
        x=[1, 2],
        y=[0, 1],
        mode="markers",
        marker={"color": VERMILION},
        error_x={"array": [0.5, 0.5], "arrayminus": [0.5, 0.5], "color": VERMILION, "thickness": 4},
    ),
    "ground": go.Contour(z=RAMP, colorscale=ONE_COLOUR, showscale=False),
    "cells": go.Heatmap(z=RAMP, colorscale=ONE_COLOUR, showscale=False),
    "sheet": go.Surface(z=RAMP, colorscale=ONE_COLOUR, showscale=False),
    "line in space": go.Scatter3d(x=[0, 1], y=[0, 1], z=[0, 1], mode="lines", line={"color": VERMILION, "width": 8}),
}


def near(image: np.ndarray, tint: str, far: int = 60) -> np.ndarray:
    """Which pixels have the colour, nearly."""
    wanted = [int(tint[place : place + 2], 16) for place in (1, 3, 5)]
    return np.abs(image.astype(int) - wanted).sum(axis=2) < far


def centre(image: np.ndarray, tint: str) -> np.ndarray:
    """The middle of the pixels of one colour, as (right, up) shares of the picture."""
    rows, columns = np.nonzero(near(image, tint))
    return np.array([columns.mean() / image.shape[1], 1 - rows.mean() / image.shape[0]])


def made(*traces: go.Scatter, **layout: object) -> go.Figure:
    return dress(go.Figure(list(traces)), 300).update_layout(showlegend=False, **layout)


@pytest.mark.parametrize("kind", TRACES)
def test_every_kind_of_trace_is_drawn_in_its_colour(kind: str) -> None:
    far = 260 if kind == "sheet" else 60  # light and shade
    assert near(Drawing(made(TRACES[kind])).image(), VERMILION, far).sum() > 100
    hidden = go.Figure(TRACES[kind]).update_traces(visible=False)
    assert not near(Drawing(made(*hidden.data)).image(), VERMILION).any()


def test_every_kind_that_can_be_drawn_is_tested() -> None:
    assert {one.type for one in TRACES.values()} == set(traces.DRAW)


def test_points_are_where_the_axes_say() -> None:
    def at(x: float, y: float, **axes: object) -> np.ndarray:
        point = go.Scatter(x=[x], y=[y], mode="markers", marker={"color": BLUE, "size": 12})
        return centre(Drawing(made(point).update_xaxes(**axes).update_yaxes(range=[-1, 1])).image(), BLUE)

    middle = at(0, 0, range=[-1, 1], showticklabels=False)
    right_up = at(0.5, 0.5, range=[-1, 1], showticklabels=False)
    assert (right_up > middle + 0.1).all()
    np.testing.assert_allclose(at(10, 0, type="log", range=[0, 2], showticklabels=False), middle, atol=0.005)
    np.testing.assert_allclose(at(0, 0, range=[1, -1], showticklabels=False), middle, atol=0.005)
    np.testing.assert_allclose(at(-0.5, 0.5, range=[1, -1], showticklabels=False), right_up, atol=0.005)


def test_panels_lie_as_their_domains_do_and_share_their_axes() -> None:
    figure = make_subplots(2, 2, shared_xaxes="all", specs=[[{}, {}], [{"colspan": 2}, None]], subplot_titles="abc")
    tints = (BLUE, GREEN, VERMILION)
    for tint, (row, column), x in zip(tints, ((1, 1), (1, 2), (2, 1)), (1, 2, 9), strict=True):
        marker = {"color": tint, "size": 9}
        figure.add_trace(go.Scatter(x=[0, x], y=[0, 1], mode="markers", marker=marker), row=row, col=column)
    figure.update_xaxes(matches="x")
    drawing = Drawing(dress(figure, 400).update_layout(showlegend=False))
    first, second, third = (centre(drawing.image(), tint) for tint in tints)
    assert first[0] < 0.3
    assert 0.45 < second[0] < 0.8
    assert third[1] < 0.5 < min(first[1], second[1])
    assert len({axes.get_xlim() for axes in drawing.panels.values()}) == 1
    assert drawing.panels["xaxis", "yaxis"].get_xlim()[1] > 9
    assert [axes.get_title(loc="left") for axes in drawing.panels.values()] == ["a", "b", "c"]


def test_arrows_point_from_tail_to_head_also_on_log_axes() -> None:
    marker = {"symbol": "arrow", "angleref": "previous", "size": [0, 11, 0], "color": VERMILION}
    line = {"color": VERMILION, "width": 4}
    figure = made(go.Scatter(x=[10, 80, None], y=[10, 80, None], mode="lines+markers", line=line, marker=marker))
    figure.update_xaxes(type="log", range=[0, 2]).update_yaxes(type="log", range=[0, 2])
    rows, columns = np.nonzero(near(Drawing(figure).image(), VERMILION))
    assert columns.max() > 0.9 * 760 - 20
    assert rows.min() < 60
    assert columns.min() > 0.4 * 760


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (go.Figure(go.Pie(values=[1])), "a pie trace needs a browser: write .html, or draw one of scatter, bar"),
        (go.Figure(go.Bar(x=[1], y=[1], orientation="h")), "orientation of a bar trace needs a browser: write .html"),
        (go.Figure().add_annotation(text="a", x=0, y=0), "an annotation with an arrow needs a browser: write .html"),
    ],
)
def test_what_would_be_left_out_is_refused(figure: go.Figure, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        Drawing(figure)
    assert "\n" not in str(caught.value)


def test_shapes_lie_where_they_are_put() -> None:
    figure = made(go.Scatter(x=[0, 4], y=[0, 4], mode="lines", line={"color": "#FFFFFF"}))
    figure.update_xaxes(range=[0, 4]).update_yaxes(range=[0, 4])
    figure.add_hline(y=1, line={"color": VERMILION, "width": 4})
    figure.add_shape(type="rect", x0=3, x1=4, y0=3, y1=4, fillcolor=BLUE, line_width=0)
    image = Drawing(figure).image()
    assert centre(image, VERMILION)[1] < 0.4
    assert np.ptp(np.nonzero(near(image, VERMILION))[1]) > 600
    assert (centre(image, BLUE) > 0.75).all()


def test_every_style_has_a_marker_and_a_dash_of_its_own() -> None:
    names = [*style._MARKERS, *(one.marker for one in style.STYLES.values())]
    marks = [str(traces.marked(go.scatter.Marker(symbol=name), 6)["marker"]) for name in names]
    assert len(set(marks)) == len(names) == 15
    lines = [str(traces.dashes(one.dash, 1.5)) for one in style.STYLES.values()]
    assert len(set(lines)) == 8


def test_title_note_and_legend_are_words_in_the_picture(tmp_path: Path) -> None:
    figure = dress(go.Figure([go.Scatter(y=[1, 2], name="a < b", showlegend=True)]), 300)
    words = "Each rule at its best of 13 rates; 200 steps from the same start. " * 3
    figure.update_layout(title=heading("손실 & loss −1", words))
    content = write(figure, tmp_path / "a.svg").read_text()
    for shown in ("손실 &amp; loss −1", "a &lt; b", "Each rule at its best"):
        assert shown in content
    assert words not in content, "long words are broken into lines"


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    for ending in ("png", "svg"):
        twice = [write(made(TRACES["lines"]), tmp_path / f"{name}.{ending}").read_bytes() for name in "ab"]
        assert twice[0] == twice[1]


def test_letters_no_font_has_are_boxes_and_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_installed", dict)
    figure = made(TRACES["lines"], title=heading("한글 제목", "경사 하강")).update_xaxes(title_text="학습률")
    with pytest.warns(UserWarning, match="no installed font has") as caught:
        assert write(figure, tmp_path / "a.png").stat().st_size > 5000
    assert len(caught) == 1
    assert "Noto Sans CJK" in str(caught[0].message)


def test_a_font_that_has_the_letters_is_found_and_used() -> None:
    built_in = fonts._letters(fonts._path(fonts.BUILT_IN))
    others = {letter for name in ("STIXGeneral", "cmsy10") for letter in fonts._letters(fonts._path(name))}
    letter = min(one for one in others - built_in if one.isprintable() and one.isalpha())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = fonts.families([f"a{letter}"])
        Drawing(made(TRACES["lines"], title=heading(f"a{letter}"))).image()
    assert (first, second) == (fonts.BUILT_IN, second)
    assert letter in fonts._letters(fonts._installed()[second])


@pytest.mark.parametrize("family", ["Malgun Gothic", "UnDotum"])
def test_a_font_made_for_korean_comes_before_others_that_have_its_letters(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("AR PL UMing", "Another Mincho", family, fonts.BUILT_IN)
    manager = SimpleNamespace(ttflist=[SimpleNamespace(name=name, fname=name, style="normal") for name in names])
    monkeypatch.setattr("matplotlib.font_manager.fontManager", manager)
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", list)
    monkeypatch.setattr(fonts, "_installed", fonts._installed.__wrapped__)
    monkeypatch.setattr(fonts, "_letters", lambda path: frozenset("loss" if path == fonts.BUILT_IN else "손실가힣"))
    assert fonts.families(["loss 손실"]) == [fonts.BUILT_IN, family]


def test_words_stand_where_an_annotation_puts_them() -> None:
    figure = made(go.Scatter(x=[0, 4], y=[0, 4], mode="lines", line={"color": "#FFFFFF"}))
    figure.update_xaxes(range=[0, 4]).update_yaxes(range=[0, 4])
    for x, anchor, tint in ((1, "left", BLUE), (1, "right", VERMILION), (3, "center", GREEN)):
        figure.add_annotation(x=x, y=3, text="WWW", xanchor=anchor, showarrow=False, font={"color": tint, "size": 20})
    image = Drawing(figure).image()
    left, right, middle = (centre(image, tint) for tint in (VERMILION, BLUE, GREEN))
    start, end = 1 / 4 * 0.9, 3 / 4
    assert left[0] < right[0] < middle[0]
    np.testing.assert_allclose([left[1], right[1], middle[1]], 0.75, atol=0.08)
    np.testing.assert_allclose([(left[0] + right[0]) / 2, middle[0]], [start + 0.03, end], atol=0.05)
    figure.update_annotations(yshift=-100, selector={"x": 3})
    assert centre(Drawing(figure).image(), GREEN)[1] < middle[1] - 0.1


def test_arrays_are_read_as_plotly_packs_them() -> None:
    table = np.arange(6.0).reshape(2, 3)
    packed = go.Figure(go.Heatmap(z=table)).to_plotly_json()["data"][0]["z"]
    assert packed["shape"] == "2, 3"
    np.testing.assert_array_equal(traces.values(packed), table)
    line = go.Figure(go.Scatter(y=table[1])).to_plotly_json()["data"][0]["y"]
    np.testing.assert_array_equal(traces.values(line), [3, 4, 5])
