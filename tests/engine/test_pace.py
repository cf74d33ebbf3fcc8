"""What was done says what is left: a step's cost and that of a pass are told apart by blocks of different size."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import thalweg as tw
from thalweg.engine import pace as paces
from thalweg.engine.outlook import LAST_NUMBERS, ending
from thalweg.engine.pace import PASS, PAUSE, Pace
from thalweg.engine.programs import Programs
from thalweg.plan.plan import plan

STEPS = 2  # of a pass
PROGRAMS: Any = SimpleNamespace(of=lambda setting: "one", steps=lambda setting, fold: STEPS)


class Worked:
    """A pace, and a clock that goes on as blocks are trained."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, known: bool = True) -> None:
        self.now = 100.0
        monkeypatch.setattr(paces, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.pace = Pace({"one": 1e-3}, known)  # type: ignore[dict-item]

    def part(self, members: int, passes: int, step: float, each: float, pause: float = 0.5) -> None:
        """Passes of blocks: a member's step takes `step` times what was foreseen, and a pass `each` beside them."""
        self.pace.part_begins()
        for number in range(passes):
            self.now += step * 1e-3 * STEPS * members + each + (pause if not number else 0.0)
            self.pace.done(PROGRAMS, ["a"] * members, None, STEPS, members)  # type: ignore[arg-type]


def test_before_anything_was_done_what_was_foreseen_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Worked(monkeypatch).pace.seconds == pytest.approx((1.0, PASS))
    assert Worked(monkeypatch, known=False).pace.seconds is None


@pytest.mark.parametrize("known", [True, False])
def test_small_blocks_tell_what_a_pass_takes(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    worked = Worked(monkeypatch, known)
    worked.part(members=500, passes=30, step=2.0, each=0.003)
    assert worked.pace.seconds is not None
    assert worked.pace.seconds[0] == pytest.approx(2.0, rel=0.02)  # of blocks of one size both look alike
    worked.part(members=1, passes=1000, step=2.0, each=0.003)
    step, each = worked.pace.seconds
    assert step * 1e-3 * STEPS + each == pytest.approx(0.007, rel=0.1)  # a further pass of a block of one
    assert worked.pace.pause == pytest.approx((PAUSE + 0.507) / 2)


def test_what_was_done_last_counts_most(monkeypatch: pytest.MonkeyPatch) -> None:
    paced = []
    for order in ([1.0, 2.0], [2.0, 1.0]):
        worked = Worked(monkeypatch)
        for step in order:
            worked.part(members=500, passes=30, step=step, each=0.0)
        assert worked.pace.seconds is not None
        paced.append(worked.pace.seconds[0])
    assert paced[0] > 1.05 * paced[1]


def test_a_slow_start_is_not_taken_for_work(monkeypatch: pytest.MonkeyPatch) -> None:
    worked = Worked(monkeypatch)
    worked.part(members=100, passes=30, step=1.0, each=0.0, pause=50.0)
    assert worked.pace.seconds is not None
    assert worked.pace.seconds[0] == pytest.approx(1.0, rel=0.01)


def test_a_recipe_s_run_takes_longer_where_a_step_does() -> None:
    """In plain PyTorch, on all threads: more than a member's step in a population, and not many times as much."""
    programs = Programs(plan(["sgd"], [0.1], ["constant"], epochs=3), tw.prepare("breast-cancer"))
    (setting,), cores = programs.plan.settings, programs.at_once
    steps = 3 * programs.steps(setting, None)
    quick, slow = (ending(programs, Pace({programs.of(setting): each / cores})) for each in (0.0, 5e-3))
    assert LAST_NUMBERS < quick < LAST_NUMBERS + steps * 1e-3
    assert steps * 5e-3 < slow - quick < 4 * steps * 5e-3
