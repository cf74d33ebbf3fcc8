"""Loss against rate: log axes, every optimizer and schedule, divergence marked, the choice ringed."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from thalweg.pictures.rates import SPAN, rate_table, rates
from thalweg.pictures.still import Drawing
from thalweg.pictures.style import style_of

GRID = (1e-3, 1e-2, 1e-1)


def members(**losses: dict[str, list[list[float]]]) -> pd.DataFrame:
    """A table from optimizer → schedule → one list of seeds' losses per rate; infinite ones are diverged."""
    rows: list[dict[str, Any]] = []
    for optimizer, schedules in losses.items():
        for schedule, grid in schedules.items():
            for rate, seeds in zip(GRID, grid, strict=True):
                for loss in seeds:
                    status = "finished" if math.isfinite(loss) else "diverged"
                    rows.append(
                        {
                            "optimizer": optimizer,
                            "schedule": schedule,
                            "lr": rate,
                            "status": status,
                            "validation_loss": loss,
                        }
                    )
    return pd.DataFrame(rows)


TABLE = members(
    adam={"cosine": [[0.3, 0.5], [0.1, 0.2], [0.9, math.inf]], "constant": [[0.4, 0.6], [0.2, 0.3], [1.0, 2.0]]},
    sgd={"cosine": [[2.0, 2.2], [1.0, 1.2], [0.5, 0.7]]},
)
CHOSEN = {"adam": (1e-2, "cosine"), "sgd": (1e-1, "cosine")}


def named(figure: Any, name: str) -> Any:
    return next(trace for trace in figure.data if trace.name == name)


def test_the_table_counts_divergence_as_infinite():
    table = rate_table(TABLE).set_index(["optimizer", "schedule", "lr"])
    assert table.loc[("adam", "cosine", 1e-2)].tolist() == pytest.approx([0.15, 0.1, 0.2, 2, 0, 0])
    lost = table.loc[("adam", "cosine", 1e-1)]
    assert (lost["mean"], lost["low"], lost["high"], lost["diverged"]) == (math.inf, 0.9, math.inf, 1)


def test_a_diverged_run_is_infinite_whatever_number_it_left():
    table = TABLE.assign(status=["diverged"] + ["finished"] * (len(TABLE) - 1))
    assert rate_table(table)["mean"].isna().sum() == 0
    assert math.isinf(rate_table(table).query("optimizer == 'adam' and schedule == 'cosine'")["mean"].iloc[0])
    waiting = rate_table(TABLE.assign(status="waiting"))
    assert len(waiting) == 0


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_axes_are_logarithmic_and_shared(columns: int):
    figure = rates(TABLE, CHOSEN, columns=columns)
    for axis in figure.select_xaxes():
        assert axis.type == "log"
    for axis in figure.select_yaxes():
        assert axis.type == "log"
        assert axis.range == figure.layout.yaxis.range


def test_a_line_is_the_mean_with_a_gap_where_a_seed_diverged():
    figure = rates(TABLE, CHOSEN)
    line = named(figure, "adam: cosine")
    assert line.x == GRID
    assert line.y == (pytest.approx(0.4), pytest.approx(0.15), None)
    assert (line.line.color, line.line.dash, line.marker.symbol) == (
        style_of("adam").colour,
        style_of("adam").dash,
        style_of("adam").marker,
    )
    assert named(figure, "adam: constant").y == pytest.approx((0.5, 0.25, 1.5))


def test_divergence_is_marked_at_the_top_inside_the_plot():
    figure = rates(TABLE, CHOSEN)
    mark = named(figure, "adam: diverged")
    assert mark.marker.symbol == "x"
    assert mark.x == (1e-1,)
    assert 2.1 < mark.y[0] < 10 ** figure.layout.yaxis.range[1]
    assert "1 of 2 seeds diverged" in mark.hovertext[0]
    assert not [trace for trace in figure.data if trace.name == "sgd: diverged"]


def test_the_choice_is_ringed_and_the_band_is_named():
    figure = rates(TABLE, CHOSEN)
    ring = named(figure, "adam: chosen")
    assert (ring.x, ring.y, ring.marker.symbol) == ((1e-2,), (pytest.approx(0.15),), "circle-open")
    shown = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert "smallest to largest of 2" in shown
    assert "chosen schedule, mean of 2 seeds" in shown
    band = next(trace for trace in figure.data if trace.name == "band")
    assert band.x == (1e-3, 1e-2, 1e-2, 1e-3, None)
    assert band.y == (0.3, 0.1, 0.2, 0.5, None)


def test_the_legend_has_what_is_there():
    one = TABLE[TABLE["schedule"] == "cosine"]
    figure = rates(one, CHOSEN)
    shown = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert "other schedules" in [trace.name for trace in rates(TABLE, CHOSEN).data]
    assert "other schedules" not in shown
    assert "schedule cosine, mean of 2 seeds" in shown
    assert [note.text for note in figure.layout.annotations] == ["<b>adam</b>", "<b>sgd</b>"]
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("learning rate", "validation loss")


@pytest.mark.parametrize(("columns", "compact", "width"), [(4, False, 760), (2, True, 342)])
def test_titles_of_variants_keep_apart(columns: int, compact: bool, width: int):
    names = ["adam", "adam(beta1=0.5, beta2=0.9)", "adam(beta1=0.8, beta2=0.99)", "adamw(beta1=0.5, beta2=0.9)"]
    tables = [TABLE[TABLE["optimizer"] == "adam"].assign(optimizer=name) for name in names]
    chosen = dict.fromkeys(names, (1e-2, "cosine"))
    figure = rates(pd.concat(tables), chosen, columns=columns, compact=compact).update_layout(width=width)
    drawing = Drawing(figure)
    drawing.image()
    boxes = [axes._left_title.get_window_extent() for axes in drawing.panels.values()]
    assert len(boxes) == 4
    assert not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[k + 1 :])
    assert not any(box.overlaps(axes.bbox) for box in boxes for axes in drawing.panels.values())
    plain = rates(TABLE, CHOSEN, columns=2).layout
    assert figure.layout.margin.t == plain.margin.t + 17


def test_points_that_differ_in_more_than_their_rate_are_not_joined():
    figure = rates(TABLE, CHOSEN, joined=False)
    chosen, other = named(figure, "adam: cosine"), named(figure, "adam: constant")
    assert (chosen.mode, other.mode) == ("markers", "markers")
    assert chosen.y == (pytest.approx(0.4), pytest.approx(0.15), None)
    assert chosen.marker.size > other.marker.size
    assert not [trace for trace in figure.data if trace.name == "band"]
    shown = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert "chosen schedule, mean of 2 seeds" in shown
    assert "smallest to largest of 2" not in shown


def test_huge_losses_do_not_flatten_the_valley():
    table = members(sgd={"cosine": [[0.1], [0.2], [1e30]]})
    figure = rates(table, {"sgd": (1e-3, "cosine")})
    assert 10 ** figure.layout.yaxis.range[1] < 0.2 * SPAN * 10
    assert named(figure, "sgd: above the plot").marker.symbol == "triangle-up"
    assert named(figure, "sgd: cosine").y[-1] is None


def test_losses_below_zero_get_a_linear_axis_and_rates_stay_logarithmic():
    figure = rates(members(sgd={"cosine": [[-1.0], [-2.0], [0.5]]}), {"sgd": (1e-2, "cosine")})
    assert (figure.layout.yaxis.type, figure.layout.xaxis.type) == ("linear", "log")


def test_all_diverged_and_nothing_at_all_still_draw():
    lost = rates(members(sgd={"cosine": [[math.inf]] * 3}), {})
    assert named(lost, "sgd: diverged").x == GRID
    assert len(rates(TABLE[:0], {}).data) > 0
