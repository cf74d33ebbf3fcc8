"""Styles are fixed, distinct and the same everywhere; labels show words literally."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from thalweg.pictures import layout, numbers, style

OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}


def test_the_eight_share_neither_colour_nor_dash_nor_marker():
    assert list(style.STYLES) == ["sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw"]
    for part in ("colour", "dash", "marker"):
        assert len({getattr(one, part) for one in style.STYLES.values()}) == 8
    on_paper = {one.colour for one in style.STYLES.values()} - {style.YELLOW_ON_PAPER}
    assert on_paper < OKABE_ITO
    assert style.DARK[style.YELLOW_ON_PAPER] in OKABE_ITO


def test_others_get_the_same_style_on_every_machine():
    assert style.style_of("lion") == style.Style("#D55E00", style.style_of("lion").dash, style.style_of("lion").marker)
    assert style.style_of("lion").marker not in {one.marker for one in style.STYLES.values()}


def test_a_picture_gives_others_the_colours_that_are_free():
    names = ["adam", *(f"adam(beta2=0.9{digit})" for digit in range(7))]
    found = style.styles(names)
    assert list(found) == names
    assert len({one.colour for one in found.values()}) == 8
    assert found == {name: style.styles(list(reversed(names)))[name] for name in names}
    assert len(style.styles([f"rule {count}" for count in range(20)])) == 20


def test_see_through_colours_change_with_the_ground():
    black, light = style.faded(style.BLACK, 0.35), style.DARK[style.BLACK]
    assert style.DARK[black] == style.faded(light, 0.35)
    with pytest.raises(ValueError, match="lacks a counterpart on dark"):
        style.faded(style.BLACK, 0.5)


def test_korean_fonts_are_asked_for():
    assert "Noto Sans KR" in layout.dress(go.Figure(), 100).layout.template.layout.font.family


def test_words_are_shown_literally():
    assert style.text("<b>&") == "&lt;b&gt;&amp;"


@pytest.mark.parametrize(("low", "high"), [(1e-12, 1e12), (0.1, 0.1001), (0.07, 0.2), (0.01, 3.0), (5.0, 60.0)])
def test_log_ticks_are_few_and_inside(low: float, high: float):
    ticks = layout.log_ticks(low, high)
    assert 2 <= len(ticks["tickvals"]) <= 26
    assert all(low * 0.99 <= value <= high * 1.01 for value in ticks["tickvals"])
    assert len(set(ticks["ticktext"])) == len(ticks["ticktext"])


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0.000"), (-1.0, "−1.000"), (1234.5, "1234"), (123456.0, "1.235×10⁵"), (float("-inf"), "−∞")],
)
def test_numbers_have_four_digits_and_a_real_minus(value: float, written: str):
    assert numbers.number(value) == written


def test_durations_change_units():
    assert [numbers.duration(one) for one in (9.996e-4, 1.5, float("inf"))] == ["1.00 ms", "1.50 s", "∞"]


def test_long_notes_are_broken_where_a_line_is_full_and_make_room():
    note = "each at the best of 49 rates that do not leave the minimum again; " * 4
    lines = layout.heading("a", note)["subtitle"]["text"].split(style.WRAP)
    assert len(lines) == 3
    assert " ".join(lines) == note.strip()
    korean = layout.heading("a", "최솟값을 다시 떠나지 않는 학습률 가운데 가장 좋은 것이다. " * 4)["subtitle"]["text"]
    assert korean.count(style.WRAP) == 2, "its letters are twice as wide"
    one, three = (layout.headed(layout.dress(go.Figure(), 300), "a", words).layout for words in ("short", note))
    assert three.height - one.height == three.margin.t - one.margin.t == 2 * layout.LINE


def test_rows_whose_titles_are_broken_stay_as_high_as_they_are():
    def heights(title: str) -> list[float]:
        figure = layout.panels(2, 4, [title] * 8, vertical_spacing=0.2)
        for place in range(8):
            figure.add_scatter(y=[1, 2], row=place // 4 + 1, col=place % 4 + 1)
        inside = (made := layout.dress(figure, 500).layout).height - made.margin.t - made.margin.b
        return [inside * (axis.domain[1] - axis.domain[0]) for axis in figure.select_yaxes()]

    assert heights("adam(beta1=0.5, beta2=0.9)") == pytest.approx(heights("adam"), abs=0.5)
