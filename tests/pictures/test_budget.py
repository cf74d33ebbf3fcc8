"""The picture of smaller searches: lines begin where a median is finite, bands end at the top."""

from __future__ import annotations

import doctest
import math

from thalweg.pictures import budget as module
from thalweg.pictures.budget import budget

ROWS = [
    {"tried": 1, "median": math.inf, "low_50": 2.0, "high_50": math.inf},
    {"tried": 2, "median": 1.0, "low_50": 0.5, "high_50": math.inf},
    {"tried": 3, "median": 0.5, "low_50": 0.5, "high_50": 1.0},
]


def test_what_is_infinite_is_left_out() -> None:
    ground, line = budget({"adam": ROWS}).data
    assert (list(line.x), list(line.y)) == ([2, 3], [1.0, 0.5])
    assert ground.y[:2] == (0.5, 0.5)
    top = 10 ** budget({"adam": ROWS}).layout.yaxis.range[1]
    assert ground.y[3] == ground.y[3] <= top * 1.0001
    assert math.isfinite(max(ground.y))
    assert "median 1.000" in line.hovertext[0]


def test_a_loss_may_be_negative_and_all_may_diverge() -> None:
    below = [{**row, "median": row["median"] - 2, "low_50": row["low_50"] - 2} for row in ROWS]
    assert budget({"sgd": below}).layout.yaxis.type is None
    lost = budget({"sgd": ROWS[:1]})
    assert lost.data[1].x == (None,)
    assert lost.data[1].name == "sgd"


def test_many_bands_would_hide_each_other() -> None:
    assert len(budget(dict.fromkeys("abcd", ROWS)).data) == 8
    assert [trace.name for trace in budget(dict.fromkeys("abcde", ROWS)).data] == [*"abcde"]


def test_words_stay_words() -> None:
    assert all("<b>" not in trace.name for trace in budget({"<b>": ROWS}).data)


def test_example() -> None:
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)
