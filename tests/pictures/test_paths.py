"""Pictures of descents show the numbers of the descents, mark what diverged, and say what was done."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

import thalweg as tw
from thalweg.errors import SurfaceError
from thalweg.landscapes.path import Path
from thalweg.language import speaking
from thalweg.pictures import ground
from thalweg.pictures.still import Drawing
from thalweg.pictures.style import STYLES, VERMILION


@pytest.fixture(scope="module")
def race() -> Path:
    rates = dict(zip(tw.formulas.CLASSIC, [0.1, 0.05, 0.05, 0.5, 5, 0.1, 0.3, 0.3], strict=True))
    return tw.descend("ravine", optimizer=rates, steps=40)


def named(figure: go.Figure, name: str) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.name == name]


def test_the_curve_has_the_course_s_steps_with_their_names_on_it() -> None:
    """x² − 4x + 6 from 4: 0.2 gives 4, 3.2, 2.72, …; 1 goes to and fro between 4 and 0."""
    path = tw.descend("x**2 - 4*x + 6", start=4.0, optimizer="gradient_descent", lr=[0.2, 0.01, 1], steps=6)
    figure = path.picture()
    slow, small, large = named(figure, "sgd")
    np.testing.assert_allclose(slow.x[:3], [4, 3.2, 2.72])
    np.testing.assert_allclose(small.x, 2 + 2 * 0.98 ** np.arange(7))
    np.testing.assert_allclose(large.x, [4, 0, 4, 0, 4, 0, 4], atol=1e-12)
    for trace in (slow, small, large):
        np.testing.assert_allclose(trace.y, np.square(trace.x) - 4 * np.asarray(trace.x) + 6)
    assert [trace.text[0] for trace in (slow, small, large)] == ["x₀", "x₀", "x₀<br>x₂<br>x₄<br>x₆"]
    assert (slow.text[1], small.text[6], large.text[1]) == ("x₁", "x₆", "x₁<br>x₃<br>x₅")
    assert (small.textposition[0], small.textposition[6]) == ("middle right", "middle left"), "its last is too near"
    assert [tuple(ring.x) for ring in named(figure, "minimum")] == [(2.0,)] * 3
    assert slow.textposition[0] == "middle right", "away from the curve, which rises there"
    assert large.textposition[1] == "middle left"
    assert [note.text for note in figure.layout.annotations] == ["rate 0.2", "rate 0.01", "rate 1"]
    assert len({trace.xaxis for trace in (slow, small, large)}) == 3


def test_names_of_steps_keep_apart() -> None:
    path = tw.descend("x*sin(x)", start=[2.5, 1.5], lr=0.25, steps=10)
    drawing = Drawing(path.picture())
    drawing.image()
    boxes = [word.get_window_extent() for word in drawing.panels["xaxis", "yaxis"].texts]
    assert len(boxes) > 6
    overlapping = sum(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[k + 1 :])
    assert overlapping == 0


def test_starts_are_told_apart() -> None:
    figure = tw.descend("x*sin(x)", start=[2.5, 1.5], lr=0.25, steps=10).picture()
    first, second = named(figure, "from 2.5") + named(figure, "from 1.5")
    assert (round(first.x[-1], 2), round(second.x[-1], 2)) == (4.91, 0.0)
    assert first.marker.color != second.marker.color


def test_level_lines_show_every_path_in_its_rule_s_look(race: Path) -> None:
    figure = race.picture()
    assert figure.data[0].type == "contour"
    for k, name in enumerate(tw.formulas.CLASSIC):
        (trace,) = named(figure, name)
        np.testing.assert_array_equal(np.stack([trace.x, trace.y], 1), race.points[k])
        own = STYLES[name]
        assert (trace.line.color, trace.line.dash, trace.marker.symbol) == (own.colour, own.dash, own.marker)
        assert trace.showlegend
        assert f"{name}, step 40" in trace.hovertext[-1]


@pytest.mark.slow
def test_the_note_says_rates_steps_start_schedule_and_noise(race: Path) -> None:
    def note(path: Path, **more: str) -> str:
        return path.picture(**more).layout.title.subtitle.text

    said = note(race, said="Tuned by hand.")
    assert said.startswith("rates chosen for each rule: sgd 0.1, momentum 0.05,")
    assert said.endswith("40 steps from (−4.5, 1.5). Tuned by hand.")
    assert note(tw.descend("saddle", optimizer=["sgd", "adam"], steps=2)).startswith(
        "each rule at its own default rate: "
    )
    noisy = tw.descend("quadratic", optimizer="sgd", lr=0.1, steps=3, noise=0.5, seed=7, schedule="cosine")
    assert note(noisy) == (
        "sgd at rate 0.1; 3 steps from (1.8, 0.9); schedule cosine; noise σ = 0.5 in each gradient, seed 7."
    )


def test_what_diverged_is_marked_where_it_was_last_seen() -> None:
    path = tw.descend("quadratic", optimizer="sgd", lr=[0.1, 3.0], steps=60)
    marks = [trace for trace in path.picture().data if trace.name == "diverged"]
    assert [len(trace.x) for trace in marks] == [0, 1]
    assert marks[1].marker.color == VERMILION
    assert f"diverged at step {path.diverged[1]}" in marks[1].hovertext[0]
    bounds = path.surface.bounds
    assert bounds[0][0] <= marks[1].x[0] <= bounds[0][1]
    assert bounds[1][0] <= marks[1].y[0] <= bounds[1][1]
    curve = tw.descend("x**2 - 4*x + 6", start=4.0, lr=[0.1, 2.0], steps=80).picture()
    assert [len(trace.x) for trace in curve.data if trace.name == "diverged"] == [0, 1]


def test_a_race_moves_every_path_to_its_end(race: Path) -> None:
    figure = race.picture("race")
    assert [frame.name for frame in figure.frames] == [str(k) for k in range(41)]
    place = figure.frames[0].traces.index(next(k for k, t in enumerate(figure.data) if t.name == "adam"))
    for step in (0, 7, 40):
        shown = figure.frames[step].data[place]
        np.testing.assert_allclose(shown.x, race.points[6, : step + 1, 0], rtol=1e-6)
        assert list(shown.marker.size) == [0] * step + [10]
    assert figure.layout.yaxis2.type == "log"
    few = tw.descend("ravine", optimizer="adam", lr=0.1, steps=500).picture("race")
    assert len(few.frames) == 60
    assert few.frames[-1].name == "500"


def test_marks_of_a_race_are_named_in_the_language_of_the_picture(race: Path) -> None:
    with speaking("ko"):
        names = {trace.name for trace in race.picture("race").data}
    assert {"시작점", "발산"} <= names
    assert not {"start", "diverged"} & names


def test_groups_of_a_race_have_maps_of_their_own(race: Path) -> None:
    first, others = list(tw.formulas.CLASSIC[:3]), list(tw.formulas.CLASSIC[3:])
    figure = race.picture("race", groups={"these": first, "those": others})
    assert [note.text for note in figure.layout.annotations] == ["<b>these</b>", "<b>those</b>"]
    for names, (walks, falls) in ((first, ("x", "x3")), (others, ("x2", "x4"))):
        for name in names:
            assert [trace.xaxis or "x" for trace in named(figure, name)] == [walks, falls]
    places = {name: [k for k, trace in enumerate(figure.data) if trace.name == name] for name in ("adam", "minimum")}
    assert max(places["minimum"]) > places["adam"][0], "rings lie over paths"
    walk = figure.frames[7].data[figure.frames[7].traces.index(places["adam"][0])]
    np.testing.assert_allclose(walk.x, race.points[6, :8, 0], rtol=1e-6)
    with pytest.raises(ValueError, match="give each of sgd, momentum"):
        race.picture("race", groups={"these": first})


def test_a_race_shows_those_that_come_back() -> None:
    """Paths that end in sight are drawn whole, up to a quarter more than the surface's bounds."""
    wide = tw.descend("ravine", optimizer="adam", lr=1.33, steps=60)
    left, right = wide.surface.bounds[0]
    assert wide.points[:, 0].max() > right
    across = wide.picture("race").layout.xaxis.range
    assert across[0] == left
    assert wide.points[:, 0].max() < across[1] <= right + (right - left) / 4
    gone = tw.descend("saddle", start=[1.5, 0.1], optimizer="sgd", lr=0.1, steps=60)
    assert tuple(gone.picture("race").layout.yaxis.range) == gone.surface.bounds[1]


def test_values_that_differ_by_rounding_share_a_level() -> None:
    """Along the diagonals of a saddle the loss is 0, but for the last digit; its level line is straight."""
    _, _, values = ground.heights(tw.landscapes.surface("saddle"))
    shares = ground.ranks(values)
    assert set(np.diag(shares)) == set(np.diag(shares[::-1])) == {0.5}
    assert ground.ranks(np.array([3.0, 3.0, 3.0])).tolist() == [0.5, 0.5, 0.5]


def test_a_surface_without_a_bottom_does_not_flatten_the_race() -> None:
    path = tw.descend("saddle", start=[1.5, 0.1], optimizer=["sgd", "momentum"], lr=0.1, steps=100)
    low, high = path.picture("race").layout.yaxis2.range
    assert np.nanmin(path.losses[1]) < -1e6
    assert -10 < low < high < 10


def test_a_sheet_in_space_carries_the_paths(race: Path) -> None:
    figure = race.picture("surface")
    sheet, *paths = figure.data
    assert sheet.type == "surface"
    assert [trace.name for trace in paths] == list(tw.formulas.CLASSIC)
    adam = np.asarray(paths[6].z, dtype=float)
    near = race.losses[6]
    seen = np.isfinite(adam)
    assert seen.mean() > 0.9
    assert np.abs(adam - near)[seen].max() < 0.02 * np.ptp(np.asarray(sheet.z))
    assert figure.layout.dragmode == "orbit"


def arrow(figure: go.Figure, name: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Tails and heads of the arrows of one name in one panel."""
    (trace,) = [t for t in figure.data if t.name == name and t.xaxis == column]
    ends = np.stack([trace.x, trace.y], axis=1).reshape(-1, 3, 2)
    return ends[:, 0], ends[:, 1]


def test_look_ahead_takes_its_gradient_where_momentum_leads() -> None:
    rules = ["momentum(rate_inside=True)", "nesterov(lookahead=True)"]
    path = tw.descend("quadratic", optimizer=rules, lr=0.12, steps=5)
    figure = path.picture("lookahead", at=1)
    curvature = np.array([1.0, 10.0])
    for column, k in (("x", 0), ("x2", 1)):
        ((here,), (led,)), ((begin,), (end,)) = (
            arrow(figure, "momentum, μ·a", column),
            arrow(figure, "−η·g, drawn where g is taken", column),
        )
        np.testing.assert_allclose(here, path.points[k, 1])
        np.testing.assert_allclose(led - here, 0.9 * -0.12 * curvature * [1.8, 0.9])
        np.testing.assert_allclose(begin, led if k else here)
        np.testing.assert_allclose(end - begin, -0.12 * curvature * begin)
        np.testing.assert_allclose(led + end - begin, path.points[k, 2], atol=1e-12)


def test_arrows_point_as_gradient_states_and_update_do() -> None:
    path = tw.descend("quadratic", optimizer=["momentum", "adam"], lr=0.1, steps=20)
    figure = path.picture("arrows", at=(0, 3))

    def direction(name: str, column: str) -> np.ndarray:
        tails, heads = arrow(figure, name, column)
        return (heads - tails) / np.linalg.norm(heads - tails, axis=1, keepdims=True)

    def unit(vectors: np.ndarray) -> np.ndarray:
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    for k, column in enumerate(("x", "x2")):
        np.testing.assert_allclose(
            direction("downhill, −gradient", column), unit(-path.gradients[k, [0, 3]]), atol=1e-9
        )
        np.testing.assert_allclose(direction("update", column), unit(path.updates[k, [0, 3]]), atol=1e-9)
    adam = path.states("adam")
    np.testing.assert_allclose(direction("momentum, downhill", "x2"), unit(-adam["m"][[1, 4]]), atol=1e-9)
    (crosses,) = named(figure, "root of the second moment, along each coordinate")
    bars = np.stack([crosses.x, crosses.y], axis=1).reshape(2, 2, 3, 2)  # step, coordinate, ends and gap, x and y
    np.testing.assert_allclose(bars[:, :, :2].mean(axis=2), np.stack([path.points[1, [0, 3]]] * 2, axis=1))
    length = bars[:, :, 1] - bars[:, :, 0]
    assert (length[:, 0, 1], length[:, 1, 0]) == (pytest.approx(0), pytest.approx(0)), "along the coordinates"
    np.testing.assert_allclose(
        unit(np.stack([length[:, 0, 0], length[:, 1, 1]], axis=1)), unit(np.sqrt(adam["v"][[1, 4]])), atol=1e-9
    )


@pytest.mark.parametrize(
    ("surface", "kind", "words"),
    [
        ("quadratic", "curve", "for 1 variable, and quadratic has 2"),
        ("x*sin(x)", "race", "for 2 variables, and x"),
        ("quadratic(dimensions=3)", "levels", "the kind losses fits"),
        ("quadratic", "levles", "did you mean levels or losses"),
    ],
)
def test_kinds_that_do_not_fit(surface: str, kind: str, words: str) -> None:
    path = tw.descend(surface, steps=2)
    with pytest.raises(SurfaceError, match=words) as caught:
        path.picture(kind)
    assert "\n" not in str(caught.value)


def test_more_variables_are_shown_by_their_losses() -> None:
    path = tw.descend("quadratic(dimensions=3)", optimizer=["sgd", "adam"], lr=[0.01, 0.1], steps=20)
    figure = path.picture()
    assert [trace.name for trace in figure.data] == [
        "sgd, rate 0.01",
        "sgd, rate 0.1",
        "adam, rate 0.01",
        "adam, rate 0.1",
    ]
    np.testing.assert_array_equal(figure.data[2].y, path.losses[1, 0])


def test_equal_ground_lies_between_level_lines() -> None:
    surface = tw.landscapes.get("rosenbrock")
    shares = ground.ranks(surface(np.random.default_rng(0).uniform(-2, 2, (4000, 2))))
    counts, _ = np.histogram(shares, np.linspace(0, 1, 11))
    assert np.abs(counts - 400).max() <= 1


def test_a_curve_is_drawn_as_high_as_its_paths_need() -> None:
    """Both valleys of a formula whose walls are 70 times as high."""
    path = tw.descend("x^4/4 - x^3/3 - x^2 + 0.2x", start=-2.0, optimizer=["sgd", "momentum"], lr=0.05, steps=30)
    figure = path.picture()
    low, high = figure.layout.yaxis.range
    depth = path.all_losses.max() - low
    assert low < -2.2
    assert high < 3 * depth
    assert figure.layout.xaxis.range[0] < -2
    assert figure.layout.xaxis.range[1] > 2.5
    first, second = (trace for trace in figure.data if trace.name in ("sgd", "momentum"))
    both = [k for k, words in enumerate(zip(first.text, second.text, strict=False)) if all(words)]
    assert 0 not in both, "the start is named once"


def test_losses_of_several_rates_are_told_apart_and_may_come_to_0() -> None:
    path = tw.descend("x^2 + y^2", start=(1.0, 1.0), optimizer=["sgd", "adam"], lr=[0.1, 0.5, 1.2], steps=30)
    assert path.all_losses.min() == 0
    figure = path.picture("losses")
    assert figure.layout.yaxis.type == "log"
    looks = {(trace.line.color, trace.line.dash) for trace in figure.data}
    assert len(looks) == len({trace.name for trace in figure.data}) == 6
