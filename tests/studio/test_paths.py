"""What the page computes is what `tw.descend` computes, and each lesson shows what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from tests.studio.pages import in_node, modules
from thalweg import landscapes
from thalweg.gallery.computed import tuned
from thalweg.studio.lessons import LESSONS

_LESSONS = """
const every = {};
for (const lesson of data) {
  const state = ofLesson(lesson);
  const paths = state.lanes.map((lane) => {
    const rule = rules[lane.label], surface = surfaces[state.surface];
    if (lane.chosen === "tuned") lane.values.lr = tuned(surface, { ...lane, rule }, state.start, state.steps);
    return walk(surface, { ...lane, rule }, state.start, state.steps);
  });
  const query = toAddress(state), back = toAddress(ofAddress(query, state));
  every[lesson.name] = { query, back, python: toPython(state, rules), rates: state.lanes.map((lane) => lane.values.lr),
    points: paths.map((p) => p.points), losses: paths.map((p) => p.losses), diverged: paths.map((p) => p.diverged),
    states: paths.map((p) => p.states), looks: paths.map((p) => p.looks) };
}
return every;
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return modules(tmp_path_factory.mktemp("modules"))


@pytest.fixture(scope="module")
def shown(folder: Path) -> dict[str, Any]:
    """Every lesson as the page runs it."""
    state = "ofLesson ofAddress toAddress toPython from raceState"
    names = f"walk from descent; tuned from tuning; rules surfaces from data; {state}"
    return in_node(folder, names, _LESSONS, [lesson.to_json() for lesson in LESSONS])


def losses(shown: dict[str, Any], name: str) -> np.ndarray:
    return np.array(shown[name]["losses"])


def points(shown: dict[str, Any], name: str) -> np.ndarray:
    """(lanes, steps + 1, dimensions)."""
    flat = np.array(shown[name]["points"])
    return flat.reshape(*losses(shown, name).shape, -1)


@pytest.mark.slow
def test_every_lesson_goes_where_descend_goes(shown: dict[str, Any]) -> None:
    """By the Python that the page gives to copy: points, losses and states, changes on the way too."""
    for name, page in shown.items():
        scope: dict[str, Any] = {}
        exec(page["python"], scope)
        for k, path in enumerate(scope["paths"]):
            surface = path.surface
            wide = np.abs(path.all_points[0, 0, 0]).max()
            ours, theirs = path.all_points[0, 0, 0], points(shown, name)[k]
            assert np.allclose(theirs, ours, rtol=1e-9, atol=1e-9 * wide), (name, k)
            assert np.allclose(losses(shown, name)[k], path.all_losses[0, 0, 0], rtol=1e-7, atol=1e-9), (name, k)
            for state, values in path.all_states[path.optimizers[0]].items():
                if state in page["states"][k]:
                    mine = np.reshape(page["states"][k][state], (-1, surface.dimensions))
                    assert np.allclose(mine, values[0, 0], rtol=1e-7, atol=1e-7), (name, state)
            looks = np.reshape(page["looks"][k], (-1, surface.dimensions))
            assert np.allclose(looks, path.all_looks[0, 0, 0], rtol=1e-9, atol=1e-9 * wide), (name, k)


def test_a_link_restores_the_race(shown: dict[str, Any]) -> None:
    assert {name: page["back"] for name, page in shown.items()} == {n: page["query"] for n, page in shown.items()}


def test_a_path_that_diverges_is_cut_where_descend_cuts_it(folder: Path, tmp_path: Path) -> None:
    walks = "walk(surfaces[name], { rule: rules.sgd, values: { lr } }, start, 200).diverged"
    body = f"return data.map(([name, lr, start]) => {walks});"
    cases = [("quadratic", 0.3, [1.8, 0.9]), ("rosenbrock", 0.01, [-1.2, 1.0]), ("quadratic", 0.1, [1.8, 0.9])]
    at = in_node(folder, "walk from descent; rules surfaces from data", body, cases, tmp_path)
    ours = [int(tw.descend(n, start, "sgd", lr, steps=200).all_diverged[0, 0, 0]) for n, lr, start in cases]
    assert at == ours
    assert at[0] > 0
    assert at[2] == -1


def test_rates_are_tuned_as_the_gallery_tunes_them(folder: Path, tmp_path: Path) -> None:
    names = ["sgd", "momentum", "rmsprop", "adam"]
    one = "tuned(surfaces.ravine, { rule: rules[name], values: {} }, [-4.5, 1.5], 60)"
    body = f"return data.map((name) => {one});"
    rates = in_node(folder, "tuned from tuning; rules surfaces from data", body, names, tmp_path)
    assert dict(zip(names, rates, strict=True)) == pytest.approx(tuned("ravine", names, 60)[0])


def test_hostile_addresses_are_read_as_far_as_they_can_be(folder: Path, tmp_path: Path) -> None:
    body = """return data.map((query) => ofAddress(query, { steps: 7, start: [1, 1] }));"""
    queries = [
        "",
        "surface=x&steps=1e99&start=a,b&lane=sgd;lr=nan;lr=;=3;99:lr=2;at&at=-5&arrows=-1",
        "surface=" + "y" * 9999 + "&steps=0&" + "&".join(["lane=sgd"] * 99),
        "surface=x&lane=<script>alert(1)</script>;constructor=1;__proto__=2",
    ]
    nothing, odd, long, script = in_node(folder, "ofAddress from raceState", body, queries, tmp_path)
    assert nothing is None
    assert (odd["steps"], odd["start"], odd["at"], odd["arrows"]) == (2000, None, 0, 0)
    changes = [{"at": 99, "values": {"lr": 2}}]
    assert odd["lanes"] == [{"label": "sgd", "values": {}, "changes": changes, "chosen": "default"}]
    assert (len(long["surface"]), long["steps"], len(long["lanes"])) == (2000, 1, 12)
    assert script["lanes"][0]["label"] == "<script>alert(1)</script>"


def test_the_ravine_shows_what_momentum_buys(shown: dict[str, Any]) -> None:
    sgd, momentum = points(shown, "ravine")
    swings = np.abs(np.diff(sgd[:, 1])).sum(), np.abs(np.diff(momentum[:, 1])).sum()
    assert swings[1] < swings[0] / 2
    assert abs(momentum[-1, 0]) < abs(sgd[-1, 0]) / 2


def test_the_saddle_holds_sgd(shown: dict[str, Any]) -> None:
    sgd, _, rmsprop, adam = losses(shown, "saddle")
    assert sgd[-1] > -0.1
    assert max(rmsprop[30], adam[40]) < -2
    away = tw.descend("saddle", [1.5, 0.5], "sgd", 0.05, steps=60)
    assert away.losses[-1] < -2


def test_rates_do_what_the_lessons_say(shown: dict[str, Any]) -> None:
    creeps, swings, longer, leaves = losses(shown, "too-large")
    assert swings[-1] < longer[-1] < creeps[-1] < leaves[0] < leaves[-1]
    slow, well, to_and_fro = points(shown, "rate")[..., 0]
    assert slow[-1] > 3
    assert well[-1] == pytest.approx(2, abs=0.01)
    assert np.allclose(to_and_fro, [4, 0] * 6 + [4])
    assert tw.descend("x^2-4x+6", 4.0, "sgd", 0.5, steps=1).points[-1] == 2
    same, falls = losses(shown, "falling")
    assert falls[14] < same[14] / 2
    assert same[12] == falls[12]


def test_starts_and_minima_are_those_of_the_words(shown: dict[str, Any]) -> None:
    assert points(shown, "start")[0, -1, 0] == pytest.approx(4.91, abs=0.01)
    assert abs(tw.descend("x*sin(x)", 1.9, "sgd", 0.1, steps=60).points[-1]) < 0.1
    sgd, momentum, adam = points(shown, "basins")[:, -1]
    minima = np.array(landscapes.get("himmelblau").minima)
    nearest = [int(np.linalg.norm(minima - end, axis=1).argmin()) for end in (sgd, momentum, adam)]
    assert nearest == [0, 3, 0]
    assert points(shown, "local-minimum")[:, -1, 0] == pytest.approx([-1.06, 1.97], abs=0.01)


def test_what_rules_do_is_what_the_words_say(shown: dict[str, Any]) -> None:
    momentum, nesterov = points(shown, "nesterov")
    assert np.abs(np.diff(nesterov[:, 1])).sum() < np.abs(np.diff(momentum[:, 1])).sum() / 2
    sgd, rmsprop, _ = points(shown, "scales")
    first = np.abs(sgd[1] - sgd[0]), np.abs(rmsprop[1] - rmsprop[0])
    assert first[0][1] == pytest.approx(5 * first[0][0])
    assert first[1][1] == pytest.approx(first[1][0], rel=1e-6)
    corrected, plain = points(shown, "correction")[:, :2]
    assert np.abs(corrected[1] - corrected[0]) == pytest.approx([0.1, 0.1], rel=1e-6)
    assert np.abs(plain[1] - plain[0]) == pytest.approx([0.316, 0.316], rel=1e-2)
    straight = tw.descend("quadratic(condition=20)", [1.8, 0.9], "adagrad", 0.5, steps=10).losses[-1]
    assert losses(shown, "turned")[1, 10] > 10 * straight


def test_in_the_ravine_those_with_momentum_overshoot(shown: dict[str, Any]) -> None:
    lesson = next(one for one in LESSONS if one.name == "cliff")
    names = [lane.label for lane in lesson.lanes]
    farthest = dict(zip(names, points(shown, "cliff")[:, :, 0].max(axis=1), strict=True))
    assert min(farthest[n] for n in ("momentum", "nesterov", "adam", "adamw")) > 1
    assert max(farthest[n] for n in ("adagrad", "adadelta", "rmsprop")) < 1.5
