"""The answers to the exercises of the course page: their numbers are those that thalweg gives, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import thalweg as tw

DOCS = Path(__file__).parents[2] / "docs"
ANSWERS = {
    "course.md": (DOCS / "course.md").read_text(encoding="utf-8").partition("## Answers")[2],
    "course.ko.md": (DOCS / "course.ko.md").read_text(encoding="utf-8").partition("## 답")[2],
}


def said(*numbers: str) -> bool:
    """Whether both pages have the numbers."""
    return all(re.search(rf"(?<![\d.]){re.escape(n)}(?!\d)", page) for n in numbers for page in ANSWERS.values())


def points(surface: str, start: object, rules: list[str], rate: float, steps: int) -> np.ndarray:
    """(optimizers, steps + 1) of the last coordinate."""
    path = tw.descend(surface, start=start, optimizer=rules, lr=rate, steps=steps)  # pyright: ignore
    return path.points.reshape(len(rules), steps + 1, -1)[..., -1]


def test_the_best_outputs() -> None:
    targets = torch.tensor([0.0, 1.0, 2.0, 3.0, 20.0])
    grid = torch.linspace(0, 20, 2001)
    for loss, due in (("l1", 2.0), ("l2", 5.2)):
        values = [float(tw.losses.get(loss)(torch.full((5,), float(x)), targets)) for x in grid]
        assert float(grid[int(np.argmin(values))]) == pytest.approx(due, abs=0.006)
    assert said("2", "5.2")


def test_where_the_derivative_is_zero() -> None:
    found = sorted(point.at[0] for point in tw.minimum("x*sin(x)").points)
    np.testing.assert_allclose(found, [-7.979, -4.913, -2.029, 0, 2.029, 4.913, 7.979], atol=5e-4)
    assert tw.minimum("x*sin(x)", method="descent", start=1.5).points[0].at == (0.0,)
    assert said("±2.029", "±4.913", "±7.979")


def test_steps_and_rates_on_a_parabola() -> None:
    x = points("x^2-4x+6", 4.0, ["sgd"], 0.2, 25)[0]
    assert int(np.argmax(abs(x - 2) < 1e-4)) == 20
    assert points("x^2-4x+6", 4.0, ["sgd"], 1.1, 40)[0, -1] == pytest.approx(2942, abs=0.5)
    assert said("0.6²⁰", "2942")


def test_schedules_that_satisfy_robbins_and_monro() -> None:
    meeting = [name for name in tw.schedules.names() if tw.schedules.example(name).robbins_monro]
    assert meeting == ["one_over_t", "inverse_time"]
    for name in ("step_decay", "exponential_decay(k=0.0462)", "inverse_time(k=0.25)"):
        factor = tw.schedules.get(name).factor(np.array([60]), 60)
        assert float(factor[0]) == pytest.approx(1 / 16, rel=2e-3)


def test_starts_and_minima() -> None:
    share = tw.basins("x*sin(x)", lr=0.25, bounds=(-1, 7), resolution=801).table().set_index("x")["share"]
    assert share.loc[share.index[1]] == pytest.approx(0.62, abs=0.005)
    ends = points("x^4/4-x^3/3-x^2+0.2x", 3.0, ["gradient_descent", "momentum"], 0.05, 200)[:, -1]
    np.testing.assert_allclose(ends, [1.966, -1.062], atol=5e-4)
    assert said("62", "−1.062", "1.966")


def test_first_steps() -> None:
    rules = ["adagrad", "adagrad(eps_inside=True)"]
    np.testing.assert_allclose(1 - points("1e-6x^2", 1.0, rules, 0.1, 1)[:, 1], [0.1, 0.0196], atol=5e-5)
    adam = points("quadratic", [1.0, 1.0], ["adam(bias_correction=False, beta2=0.9)"], 0.001, 1)[0]
    assert (1 - adam[1]) / 0.001 == pytest.approx(0.316, abs=5e-4)
    assert said("0.0196", "0.316")


def test_who_leaves_the_saddle() -> None:
    rules = ["sgd", "momentum", "adagrad", "adam"]
    y = abs(points("saddle", [1.5, 0.01], rules, 0.01, 400))
    tenth, one = ([int(np.argmax(row > far)) or 999 for row in y] for far in (0.1, 1.0))
    assert (min(tenth), min(one)) == (tenth[3], one[1]) == (10, 49)
    assert (tenth[0], one[0]) == (117, 233)
    assert said("10", "49", "117", "233")


def test_forms_of_nesterov_have_the_same_gradients() -> None:
    rules = ["nesterov(lookahead=True)", "nesterov(change_of_variables=True)"]
    table = tw.descend("quadratic", optimizer=rules, lr=0.05, steps=3).steps_table()
    first, second = (rows["gradient_y"].to_numpy() for _, rows in table.groupby("optimizer", sort=False))
    np.testing.assert_allclose(first, second, rtol=1e-9)
