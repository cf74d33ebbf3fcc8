"""Cases of a test of which the everyday suite takes a few; the others run with the slow tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def mostly_slow(cases: Iterable[Any], *everyday: Any) -> list[Any]:
    """The cases, all but some marked slow."""
    return [case if case in everyday else pytest.param(case, marks=pytest.mark.slow) for case in cases]
