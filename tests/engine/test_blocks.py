"""How the members of a study are cut into blocks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import thalweg as tw
from thalweg.engine.programs import Programs, Way
from thalweg.plan.plan import log_range, plan


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (1, [8, 8, 8, 8, 8]),
        (2, [8, 8, 8, 8, 4, 4]),
        (4, [8, 8, 8, 8, 2, 2, 2, 2]),
        (5, [8, 8, 8, 8, 8]),
        (10, [4, 4, 4, 4, 4, 4, 4, 4, 4, 4]),
    ],
)
def test_all_cores_end_together(count: int, sizes: list[int], cores: Callable[[int], None]) -> None:
    cores(count)
    wanted = plan(["sgd", "adam"], log_range(0.01, 0.1, 4), ["constant"], seeds=5)
    programs = Programs(wanted, tw.prepare("wave"), [Way("compiled")])
    blocks = programs.blocks(wanted.settings, range(5))
    assert sorted((len(settings) for _, settings, _ in blocks), reverse=True) == sorted(sizes, reverse=True)
    for seed in range(5):
        trained = [setting for at, settings, _ in blocks if at == seed for setting in settings]
        assert sorted(map(str, trained)) == sorted(map(str, wanted.settings))
