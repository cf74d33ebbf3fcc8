"""Descents: equal to torch.optim and to the papers step by step, and the documents' own cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import thalweg as tw
from tests.harness import CASES, Case
from thalweg.errors import FormulaError, PlanError, SurfaceError, UsageError
from thalweg.landscapes import descents

START = (-1.5, 1.0)


def camel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return 2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y**2


def torch_points(make: Any, start: tuple[float, ...], steps: int, function: Any = camel, schedule: Any = None) -> Any:
    """Every point that an optimizer of torch visits, with autograd's gradients."""
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # torch keeps NAdam's product and ASGD's rate in the default dtype
    try:
        optimizer = make([w])
        scheduler = schedule and schedule(optimizer)
        points = [w.detach().clone()]
        for _ in range(steps):
            optimizer.zero_grad()
            function(*w).backward()
            optimizer.step()
            if scheduler:
                scheduler.step()
            points.append(w.detach().clone())
    finally:
        torch.set_default_dtype(before)
    return torch.stack(points).numpy()


@pytest.mark.parametrize("case", [c for c in CASES if c.make], ids=str)
def test_every_rule_goes_where_torch_goes(case: Case) -> None:
    path = tw.descend("three_hump_camel", START, case.formula, steps=60)
    expected = torch_points(case.make, START, 60)
    np.testing.assert_allclose(path.points, expected, rtol=1e-10, atol=1e-10)
    assert np.abs(path.points[-1] - path.points[0]).max() > 1e-3


@pytest.mark.parametrize("case", [c for c in CASES if c.paper], ids=str)
def test_every_other_rule_goes_where_its_paper_goes(case: Case) -> None:
    assert case.paper is not None
    path = tw.descend("three_hump_camel", START, case.formula, steps=40)
    for k in (1, 2, 7, 40):
        expected = case.paper(path.points[0], list(path.gradients[:k]), path.losses[:k].tolist())
        np.testing.assert_allclose(path.points[k], expected, rtol=1e-10, atol=1e-12)
    surface = tw.landscapes.get("three_hump_camel")
    np.testing.assert_array_equal(path.gradients, surface.gradient(path.looks))
    np.testing.assert_array_equal(path.losses, surface(path.points))


def test_parabola_at_three_rates() -> None:
    """FORMULAS §4: x² − 4x + 6 from 4; every step multiplies the distance to 2 by 1 − 2η."""
    path = tw.descend("x**2 - 4*x + 6", start=4.0, optimizer="gradient_descent", lr=[0.2, 0.01, 1], steps=10)
    assert path.points.shape == (3, 11)
    for k, rate in enumerate((0.2, 0.01, 1.0)):
        np.testing.assert_allclose(path.points[k], 2 + 2 * (1 - 2 * rate) ** np.arange(11), rtol=1e-12)
    np.testing.assert_array_equal(path.points[2], [4, 0] * 5 + [4])  # too large a rate: to and fro


def test_wave_from_two_starts_and_at_two_rates() -> None:
    """FORMULAS §4: x·sin x; the start decides which minimum is found, and the rate whether one is."""

    def by_hand(x: float, rate: float, steps: int) -> list[float]:
        points = [x]
        for _ in range(steps):
            x = x - rate * (np.sin(x) + x * np.cos(x))
            points.append(x)
        return points

    path = tw.descend("x*sin(x)", start=[2.5, 1.5], optimizer="gradient_descent", lr=0.25, steps=10)
    np.testing.assert_allclose(path.points, [by_hand(2.5, 0.25, 10), by_hand(1.5, 0.25, 10)], rtol=1e-10)
    far = tw.descend("x*sin(x)", start=[2.5, 1.5], optimizer="gradient_descent", lr=0.25, steps=100)
    np.testing.assert_allclose(far.points[:, -1], [4.913180439434884, 0], atol=1e-12)
    rates = tw.descend("x*sin(x)", start=2.5, lr=[1.0, 0.05], steps=50)
    np.testing.assert_allclose(rates.points, [by_hand(2.5, r, 50) for r in (1.0, 0.05)], rtol=1e-6)
    assert rates.points[1, -1] == pytest.approx(4.913180439434884, abs=1e-4)
    assert np.abs(rates.points[0, -5:] - 4.913180439434884).max() > 0.1


def test_one_call_walks_every_start_with_every_optimizer_at_every_rate() -> None:
    starts, rules, rates = ([[1.0, 2.0], [-3.0, 0.5]], ["sgd", "adam", "halving", "nadam", "rprop"], [0.01, 0.001])
    together = tw.descend("himmelblau", starts, rules, rates, steps=30)
    assert together.points.shape == (2, 5, 2, 31, 2)
    assert together.losses.shape == (2, 5, 2, 31)
    assert together.updates.shape == (2, 5, 2, 30, 2)
    for s, start in enumerate(starts):
        for o, rule in enumerate(rules):
            for r, rate in enumerate(rates):
                alone = tw.descend("himmelblau", start, rule, rate, steps=30)
                np.testing.assert_array_equal(together.points[s, o, r], alone.points)
                np.testing.assert_array_equal(together.losses[s, o, r], alone.losses)
                for name, values in alone.states(rule).items():
                    np.testing.assert_array_equal(together.states(rule)[name][s, r], values)
    assert together.fairness == "the same rates for all"


def test_a_path_that_diverges_is_cut_and_harms_nobody() -> None:
    rates = [0.01, 50.0, 0.02]
    path = tw.descend("rosenbrock", optimizer=["sgd", "adam"], lr=rates, steps=40)
    at = path.diverged[0, 1]
    assert 1 <= at < 40
    assert np.isfinite(path.points[0, 1, :at]).all()
    for values in (path.points, path.losses, path.gradients, path.looks):
        assert np.isnan(values[0, 1, at:]).all()
    assert path.diverged[1].tolist() == [-1, -1, -1]
    alone = tw.descend("rosenbrock", optimizer="adam", lr=[0.01, 0.02], steps=40)
    np.testing.assert_array_equal(path.points[1, [0, 2]], alone.points)
    table = path.table().set_index(["optimizer", "lr"])
    assert table.loc[("sgd", 50.0), "diverged"] == at
    assert table.loc[("adam", 0.01), "diverged"] is not None
    assert table["diverged"].isna().sum() == (path.diverged < 0).sum()
    assert np.isfinite(table["loss"]).all()


def test_going_down_without_end_is_divergence() -> None:
    path = tw.descend("saddle", lr=1.0, steps=100)
    assert 0 < path.diverged < 100
    assert np.abs(path.points[path.diverged - 1]).max() < 4e6


def test_look_ahead_rules_take_their_gradient_ahead() -> None:
    path = tw.descend("ravine", optimizer="nesterov(lookahead=True)", lr=0.05, steps=20)
    velocity = path.states("nesterov(lookahead=True)")["a"]
    np.testing.assert_allclose(path.looks, path.points + 0.9 * velocity, rtol=1e-12)
    ravine = tw.landscapes.get("ravine")
    np.testing.assert_array_equal(path.gradients, ravine.gradient(path.looks))
    np.testing.assert_array_equal(path.losses, ravine(path.points))
    np.testing.assert_allclose(velocity[1:], 0.9 * velocity[:-1] - 0.05 * path.gradients[:-1], rtol=1e-12)
    both = tw.descend("ravine", optimizer=["sgd", "nesterov(lookahead=True)"], lr=0.05, steps=20)
    np.testing.assert_array_equal(both.points[1], path.points)
    np.testing.assert_array_equal(both.looks[0], both.points[0])


def test_a_rule_that_takes_a_second_gradient_takes_it_uphill() -> None:
    names = ["sam(sgd)", "sam(nesterov(lookahead=True), radius=0.2)", "sgd"]
    path, ravine = tw.descend("ravine", START, names, lr=0.05, steps=20), tw.landscapes.get("ravine")
    w, v = np.array(START), np.zeros(2)
    u = w.copy()
    for step in range(20):
        np.testing.assert_allclose(path.points[:2, step], [w, u], rtol=1e-10, atol=1e-11)
        g = ravine.gradient(w)
        look = w + 0.05 * g / np.linalg.norm(g)
        np.testing.assert_allclose(path.looks[0, step], look, rtol=1e-10)
        w = w - 0.05 * ravine.gradient(look)
        g = ravine.gradient(u + 0.9 * v)
        v = 0.9 * v - 0.05 * ravine.gradient(u + 0.9 * v + 0.2 * g / np.linalg.norm(g))
        u = u + v
    np.testing.assert_array_equal(path.points[2], tw.descend("ravine", START, "sgd", lr=0.05, steps=20).points)


def test_look_ahead_and_change_of_variables_are_one_path() -> None:
    """INU 5.13: seen from w + μv the look-ahead form is the change of variables."""
    path = tw.descend(
        "ravine", optimizer=["nesterov(lookahead=True)", "nesterov(change_of_variables=True)"], lr=0.05, steps=50
    )
    np.testing.assert_allclose(path.looks[0], path.points[1], rtol=1e-10)


def test_states_and_updates_are_those_of_the_rule() -> None:
    path = tw.descend("three_hump_camel", START, "adam", lr=0.1, steps=5)
    m, v = path.states("adam")["m"], path.states("adam")["v"]
    assert (m[0] == 0).all()
    np.testing.assert_allclose(m[1], 0.1 * path.gradients[0])
    np.testing.assert_allclose(v[1:], 0.999 * v[:-1] + 0.001 * path.gradients[:-1] ** 2)
    t = np.arange(1, 6)[:, None]
    step = -0.1 * (m[1:] / (1 - 0.9**t)) / (np.sqrt(v[1:] / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(path.updates, step, rtol=1e-10)


def test_schedules_move_the_rate() -> None:
    path = tw.descend("three_hump_camel", START, "adam", lr=0.1, schedule="cosine", steps=20)
    expected = torch_points(
        lambda w: torch.optim.Adam(w, lr=0.1),
        START,
        20,
        schedule=lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20),
    )
    np.testing.assert_allclose(path.points, expected, rtol=1e-9)
    np.testing.assert_allclose(path.all_rates[0, 0], 0.05 * (1 + np.cos(np.pi * np.arange(20) / 20)))
    both = tw.descend(
        "ravine", optimizer="momentum", schedule="lr: linear; momentum: ramp(start=0.5, end=0.99)", steps=9
    )
    moved = tw.schedules.Ramp(0.5, 0.99).factor(np.arange(9), 9)
    a = both.states("momentum")["a"]
    np.testing.assert_allclose(a[1:], moved[:, None] * a[:-1] + both.gradients[:-1])


def test_a_schedule_that_follows_the_loss_follows_each_path() -> None:
    plateau = tw.schedules.get("plateau(patience=1, gamma=0.5)")
    path = tw.descend("x**2 - 4*x + 6", start=[4.0, 2.0], lr=[1.0, 0.1], schedule=plateau, steps=12)
    assert path.all_rates[0, 0, 0] == 1.0
    for s, start in enumerate((4.0, 2.0)):
        for r, rate in enumerate((1.0, 0.1)):
            alone = tw.descend("x**2 - 4*x + 6", start=start, lr=rate, schedule=plateau, steps=12)
            np.testing.assert_array_equal(path.points[s, r], alone.points)
    assert path.losses[0, 0, -1] < 2.01  # a rate of 1 goes to and fro until it is halved


def test_noise_depends_on_seed_step_and_start_alone() -> None:
    bowl = tw.landscapes.get("quadratic(condition=1)")
    starts = [[1.0, 1.0], [2.0, -1.0]]
    path = tw.descend(bowl, starts, ["sgd", "adam"], [0.1, 0.2], steps=200, noise=0.5, seed=3)
    drawn = path.gradients - bowl.gradient(path.points)
    for o in range(2):
        for r in range(2):
            np.testing.assert_allclose(drawn[:, o, r], drawn[:, 0, 0], atol=1e-12)
    again = tw.descend(bowl, starts[:1], "adam", 0.2, steps=200, noise=0.5, seed=3)
    np.testing.assert_array_equal(again.points, path.points[0, 1, 1])
    other = tw.descend(bowl, starts[:1], "adam", 0.2, steps=200, noise=0.5, seed=4)
    assert (other.points[1:] != again.points[1:]).all()
    assert drawn[:, 0, 0].std() == pytest.approx(0.5, rel=0.1)
    assert abs(drawn[:, 0, 0].mean()) < 0.1
    assert not np.allclose(drawn[0, 0, 0], drawn[1, 0, 0])
    np.testing.assert_array_equal(path.losses, bowl(path.points))  # without the noise


def test_a_fixed_rate_keeps_moving_under_noise_and_a_falling_one_settles() -> None:
    starts = np.random.default_rng(0).standard_normal((50, 2))
    ends = [
        tw.descend("quadratic", starts, lr=0.1, schedule=s, steps=400, noise=1.0).losses[:, -1].mean()
        for s in ("constant", "inverse_time(k=0.1)")
    ]
    assert ends[0] > 5 * ends[1]


def test_rates_chosen_for_each_rule() -> None:
    path = tw.descend("ravine", optimizer={"sgd": 0.1, "adam(beta2=0.9)": 0.3}, steps=5)
    assert path.optimizers == ("sgd", "adam(beta2=0.9)")
    assert path.rates.tolist() == [[0.1], [0.3]]
    assert path.fairness == "rates chosen for each rule"
    alone = tw.descend("ravine", optimizer="adam(beta2=0.9)", lr=0.3, steps=5)
    np.testing.assert_array_equal(path.points[1], alone.points)
    default = tw.descend("ravine", optimizer=["sgd", "adadelta"], steps=5)
    assert default.rates.tolist() == [[0.001], [1.0]]
    assert default.fairness == "each rule at its own default rate"


def test_starts_in_every_form() -> None:
    def shape(surface: Any, start: Any) -> tuple[int, ...]:
        return tw.descend(surface, start, steps=1).all_points[:, 0, 0, 0].shape

    assert shape("x*sin(x)", 2.5) == (1, 1)
    assert shape("x*sin(x)", [2.5, 1.5]) == (2, 1)
    assert shape("x*sin(x)", [[2.5], [1.5], [0.5]]) == (3, 1)
    assert shape("saddle", [2.5, 1.5]) == (1, 2)
    assert shape("saddle", [[2.5, 1.5]] * 3) == (3, 2)
    assert shape("saddle", None) == (1, 2)
    assert shape(lambda w: (w**2).sum(), [1.0, 2.0, 3.0]) == (1, 3)
    assert shape(lambda w: (w**2).sum(), 1.0) == (1, 1)


def test_a_torch_function_gives_the_path_of_its_expression() -> None:
    names = ["momentum", "adam", "nesterov(lookahead=True)", "halving"]
    mine = tw.descend(camel, START, names, 0.05, steps=40)
    known = tw.descend("three_hump_camel", START, names, 0.05, steps=40)
    np.testing.assert_allclose(mine.points, known.points, rtol=1e-8, atol=1e-10)


def test_a_path_says_what_it_is() -> None:
    path = tw.descend("himmelblau", [[0.0, 0.0], [1.0, 1.0]], ["sgd", "adam"], steps=7)
    assert repr(path) == "<Path on himmelblau: starts 2 × optimizers 2 × rates 1, 7 steps>"
    assert list(path.table()) == [
        "start_x",
        "start_y",
        "optimizer",
        "lr",
        "end_x",
        "end_y",
        "first_loss",
        "loss",
        "diverged",
        "rising",
    ]
    assert path.table()["optimizer"].tolist() == ["sgd", "adam"] * 2
    np.testing.assert_array_equal(path.starts, [[0, 0], [1, 1]])


def test_a_row_for_every_step() -> None:
    """Cell 7 of the course's notebook: x ← x − 0.2 (2x − 4) from 4, so xₖ = 2 + 2 · 0.6ᵏ."""
    table = tw.descend("x^2 - 4x + 6", start=4.0, lr=0.2, steps=10).steps_table()
    by_hand = 2 + 2 * 0.6 ** np.arange(11)
    np.testing.assert_allclose(table["x"], by_hand, rtol=1e-12)
    np.testing.assert_allclose(table["loss"], by_hand**2 - 4 * by_hand + 6, rtol=1e-12)
    np.testing.assert_allclose(table["gradient_x"], 2 * by_hand - 4, rtol=1e-9)
    np.testing.assert_allclose(table["update_x"][:-1], -0.2 * table["gradient_x"][:-1], rtol=1e-9)
    assert table[["update_x", "rate"]].iloc[-1].isna().all()
    assert table["x"].iloc[-1] == pytest.approx(2.0121, abs=5e-5)


def test_every_path_has_its_steps() -> None:
    path = tw.descend("himmelblau", [[0.0, 0.0], [1.0, 1.0]], ["sgd", "adam"], [0.01, 40.0], "linear", 5)
    table = path.steps_table()
    rows = table[(table["start"] == 1) & (table["optimizer"] == "sgd") & (table["lr"] == 0.01)]
    np.testing.assert_array_equal(rows[["x", "y"]], path.all_points[1, 0, 0])
    np.testing.assert_array_equal(rows["rate"][:-1], path.all_rates[0, 0])
    gone = table[(table["start"] == 0) & (table["optimizer"] == "sgd") & (table["lr"] == 40.0)]
    assert len(gone) == path.all_diverged[0, 0, 1] > 0
    assert table["x"].notna().all()


@pytest.mark.parametrize(
    ("surface", "lr", "steps", "rising"),
    [
        ("x^2 - 4x + 6", 1.1, 40, True),
        ("x^2 - 4x + 6", 1.0, 40, False),  # to and fro
        ("x^2 - 4x + 6", 1.1, 2, False),  # too few steps to tell
        ("x^2 - 4x + 6", 0.2, 40, False),
        ("x^2 - 4x + 6", 50.0, 40, False),  # it has diverged
    ],
)
def test_a_loss_that_rises_with_every_step(surface: str, lr: float, steps: int, rising: bool) -> None:
    path = tw.descend(surface, start=4.0, lr=lr, steps=steps)
    assert path.rising.tolist() == [[[rising]]]
    assert path.table()["rising"].tolist() == [rising]


def test_bounds_are_those_of_the_drawing() -> None:
    path = tw.descend("x^4/4 - x^3/3 - x^2 + 0.2x", start=-2.0, lr=0.1, steps=3, bounds=(-2.5, 2.5))
    assert path.surface.bounds == ((-2.5, 2.5),)
    assert tw.descend("ravine", lr=0.1, steps=3, bounds=[(-3, 3), ("-pi", 4)]).surface.bounds[1] == (-np.pi, 4.0)
    line = path.picture().data[0].x
    assert (min(line), max(line)) == (-2.5, 2.5)


REFUSED: list[tuple[dict[str, Any], type[UsageError], str]] = [
    ({"surface": "rosenbrok"}, SurfaceError, "did you mean rosenbrock"),
    ({"start": [1.0, 2.0, 3.0]}, SurfaceError, "which has 2 variables; give e.g. start="),
    ({"bounds": (3, -3)}, SurfaceError, "3:-3 are not bounds of himmelblau: the lower end comes first"),
    ({"start": 1.0}, SurfaceError, "which has 2 variables"),
    ({"start": [[1.0], [2.0]]}, SurfaceError, "which has 2 variables"),
    ({"start": [[]]}, SurfaceError, "which has 2 variables"),
    ({"start": [1.0, float("nan")]}, SurfaceError, "start has nan in it"),
    ({"start": [1.0, float("inf")]}, SurfaceError, "start has inf in it"),
    ({"start": "here"}, SurfaceError, "start is 'here'"),
    ({"start": [[1.0, 2.0], [3.0]]}, SurfaceError, "equally many for each start"),
    ({"start": [1e200, 0.0]}, SurfaceError, "has no finite value at the start [1e+200, 0]"),
    ({"optimizer": "adm"}, FormulaError, "did you mean adam"),
    ({"optimizer": []}, SurfaceError, "no optimizer was given; name one"),
    ({"optimizer": 3}, SurfaceError, "3 is not an optimizer"),
    ({"optimizer": ["sgd", "gradient_descent"]}, SurfaceError, "sgd is given twice"),
    ({"optimizer": {"sgd": 0.1}, "lr": 0.1}, SurfaceError, "lr is given twice"),
    ({"optimizer": {"sgd": 0.1, "adam": [0.1, 0.2]}}, SurfaceError, "have 1, 2 rates"),
    ({"lr": 0}, SurfaceError, "lr is 0, and must be a positive number"),
    ({"lr": [0.1, -1]}, SurfaceError, "lr is −1, and must be a positive number"),
    ({"lr": float("nan")}, SurfaceError, "lr is nan"),
    ({"lr": "fast"}, SurfaceError, "lr is 'fast'"),
    ({"lr": []}, SurfaceError, "lr is []; give a positive number or a list of them"),
    ({"schedule": "cosin"}, PlanError, "did you mean cosine"),
    ({"steps": 0}, SurfaceError, "steps is 0; give a whole number of at least 1"),
    ({"steps": 2.5}, SurfaceError, "steps is 2.5"),
    ({"noise": -1}, SurfaceError, "noise is -1"),
    ({"seed": -1}, SurfaceError, "seed is -1"),
]


@pytest.mark.parametrize(("given", "error", "said"), REFUSED, ids=[str(given) for given, *_ in REFUSED])
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], error: type[UsageError], said: str) -> None:
    with pytest.raises(error) as refused:
        tw.descend(**{"surface": "himmelblau", **given})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(refused.value).rstrip().endswith(".")


def test_a_rule_without_a_rate_takes_none() -> None:
    @tw.formula()
    def flat(g, *, size=0.1):  # type: ignore[no-untyped-def]
        return tw.Update(-size * sign(g))  # noqa: F821

    path = tw.descend("saddle", optimizer=["sgd", flat], steps=2)
    assert np.isnan(path.rates[1, 0])
    with pytest.raises(SurfaceError, match="flat has no hyperparameter lr"):
        tw.descend("saddle", optimizer=flat, lr=0.1)


def test_too_many_paths_are_refused_with_their_size() -> None:
    starts = np.zeros((200_000, 2))
    with pytest.raises(
        SurfaceError, match=r"200,000 paths of 2,000 steps take [\d,]+ bytes, and at most 2,147,483,648"
    ):
        tw.descend("himmelblau", starts, steps=2000)
    assert descents.MEMORY == 2 * 2**30


def test_states_of_a_rule_that_is_not_on_the_path_are_refused() -> None:
    path = tw.descend("quadratic", optimizer=["adam", "momentum"], steps=2)
    with pytest.raises(SurfaceError, match="'adm' is not an optimizer of this path: did you mean adam"):
        path.states("adm")
