"""Cases of a test of which the everyday suite takes a few; the others run with the slow tests.

The marker `everyday(of=…)` takes a share of a test's cases every day, and at least one. What proves the same over and
over takes a share of its cases with the slow tests, and all with THALWEG_WHOLE=1, as `make bench` does: `share` takes
it of values, the marker `share(of=…)` of a test's slow cases. The marker `whole` keeps all of a test for such a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
WHOLE = bool(os.environ.get("THALWEG_WHOLE"))


def share(cases: Sequence[T], *keep: T, of: int = 3, part: int = 0) -> Sequence[T]:
    """One of so many shares of the cases, with those to keep; all of them for a whole run."""
    return [case for k, case in enumerate(cases) if WHOLE or (k - part) % of == 0 or case in keep]


def times(count: int, of: int = 2) -> int:
    """So many repetitions of a simulation in a whole run, else a part of them."""
    return count if WHOLE else count // of


def mostly_slow(cases: Iterable[Any], *everyday: Any) -> list[Any]:
    """The cases, all but some marked slow."""
    return [case if case in everyday else pytest.param(case, marks=pytest.mark.slow) for case in cases]
