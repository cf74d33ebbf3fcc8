"""Lines in panels: every value is drawn, and a label looks and is listed once."""

from __future__ import annotations

import numpy as np

from thalweg.pictures.lines import Panel, lines


def test_every_line_is_drawn_in_its_panel_and_listed_once() -> None:
    x = np.linspace(0, 1, 9)
    first = Panel(x, {"laplace": x, "gauss": x**2}, "noise", "density", "Noise & more")
    second = Panel(2 * x, {"gauss": x**3}, "noise", "loss", "Loss")
    figure = lines([first, second])
    a, b, c = figure.data
    np.testing.assert_array_equal([a.y, b.y, c.y], [x, x**2, x**3])
    np.testing.assert_array_equal([a.x, c.x], [x, 2 * x])
    assert (a.xaxis, b.xaxis, c.xaxis) == ("x", "x", "x2")
    assert (b.line.color, b.line.dash) == (c.line.color, c.line.dash) != (a.line.color, a.line.dash)
    assert [t.showlegend for t in figure.data] == [True, True, False]
    assert [t.text for t in figure.layout.annotations] == ["<b>Noise &amp; more</b>", "<b>Loss</b>"]
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis2.title.text) == ("noise", "loss")
