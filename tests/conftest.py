"""One tiny finished study that many tests look at and none changes."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from thalweg.languages import use_language
from thalweg.population.compiled import Compiled
from thalweg.population.recomputed import Recomputed
from thalweg.study.study import Study, compare

from .cases import WHOLE
from .devices import on_device
from .studies import TINY
from .warm import Forked

# The same cases on every machine, so that a change is judged by itself; `make bench` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
if not WHOLE:
    settings.load_profile("same")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the heaviest tests, and the slow cases that another share of a test's cases has.

    A test's cases are in an order of their own, so that a share of them is spread over all of its parameters.
    """
    for cases in _by_test(item for item in items if item.get_closest_marker("slow") is None).values():
        if (marker := cases[0].get_closest_marker("everyday")) is not None:
            for item in cases[-(-len(cases) // marker.kwargs["of"]) :]:
                item.add_marker("slow")

    def left_out(item: pytest.Item) -> bool:
        if item.get_closest_marker("whole") is not None:
            return True
        marker = item.get_closest_marker("share")
        slow = item.get_closest_marker("slow") is not None
        return marker is not None and slow and _place(item) % marker.kwargs["of"] != 0

    others = set() if WHOLE else {*filter(left_out, items)}
    config.hook.pytest_deselected(items=[*others])
    items[:] = [item for item in items if item not in others]


def _place(item: pytest.Item) -> int:
    return zlib.crc32(item.nodeid.encode())


def _by_test(items: Iterable[pytest.Item]) -> dict[str, list[pytest.Item]]:
    """The cases of each test."""
    tests: dict[str, list[pytest.Item]] = {}
    for item in sorted(items, key=_place):
        tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return tests


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What this machine trusts is remembered elsewhere while tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("THALWEG_LANGUAGE", "en")
        yield


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """The language that a test, or a command in it, has chosen is not for those after it."""
    yield
    use_language("en")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """breast-cancer: sgd and adam, 2 rates, constant and cosine, 2 + 2 seeds, 2 epochs. Look, don't touch."""
    return compare(**TINY, store=tmp_path_factory.mktemp("tiny") / "tiny.db")


_SLOW = [pytest.param(way, marks=pytest.mark.slow) for way in ("recomputed", "device")]


@pytest.fixture(params=["stacked", "compiled", *_SLOW])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A test's `Batched` is, in turn, each way in which members are trained together; its name."""
    made: list[Compiled] = []

    class Watched(Compiled):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    kind = {"compiled": Watched, "recomputed": Recomputed}.get(request.param)
    if kind is not None:
        for name, module in list(sys.modules.items()):
            if name.startswith("tests.") and hasattr(module, "Batched"):
                monkeypatch.setattr(module, "Batched", kind)
    if request.param == "device":
        on_device(monkeypatch)
    yield request.param
    if request.node.get_closest_marker("uncovered") is None:
        assert [one.uncovered for one in made if one.uncovered] == []


@pytest.fixture
def copied(tiny: Study, tmp_path: Path) -> Path:
    """A copy of that study's store, for a test to change."""
    target = tmp_path / "copy.db"
    target.write_bytes(tiny.path.read_bytes())
    return target


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., Forked]:
    """Start `thalweg …` as a process of its own, in an empty folder."""
    return partial(Forked, cwd=tmp_path, COLUMNS="80")


@pytest.fixture
def cores() -> Iterator[Callable[[int], None]]:
    """Work as on a machine with so many cores."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
