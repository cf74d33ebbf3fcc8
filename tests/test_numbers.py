"""The one check of numbers: what a range holds, and what it says of the rest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import PlanError, UsageError
from thalweg.numbers import Range

ENDS = st.integers(-5, 5)


@given(low=ENDS, high=ENDS, above=st.booleans(), below=st.booleans(), whole=st.booleans(), value=st.integers(-12, 12))
def test_a_range_holds_what_lies_between_its_ends(
    low: int, high: int, above: bool, below: bool, whole: bool, value: int
) -> None:
    allowed = Range(low, high, whole, above, below)
    number = value if whole else value / 2
    inside = (number > low or (number == low and not above)) and (number < high or (number == high and not below))
    assert (number in allowed) == inside
    if inside:
        assert allowed.check("x", number) == number
    else:
        with pytest.raises(PlanError, match=r"^x is -?[\d.]+; give a (whole )?number .+\.$"):
            allowed.check("x", number, PlanError)


@pytest.mark.parametrize("wrong", [None, True, "1", (1,), [], 1j, math.nan, math.inf, -math.inf, 10**400, -(10**400)])
@pytest.mark.parametrize("allowed", [Range(), Range(whole=True), Range(0, above=True), Range(1, whole=True)])
def test_what_is_not_a_finite_number_is_in_no_range(wrong: Any, allowed: Range) -> None:
    assert wrong not in allowed
    with pytest.raises(UsageError, match="; give a ") as caught:
        allowed.check("x", wrong)
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        (Range(), "a number"),
        (Range(0), "a number of at least 0"),
        (Range(0, above=True), "a number above 0"),
        (Range(0, 1), "a number from 0 to 1"),
        (Range(0, 1, above=True), "a number above 0 and at most 1"),
        (Range(0, 1, below=True), "a number of at least 0 and below 1"),
        (Range(high=3), "a number that is at most 3"),
        (Range(1, whole=True), "a whole number of at least 1"),
        (Range(2, 1000, whole=True), "a whole number from 2 to 1,000"),
        (Range(1, whole=True, unit="steps"), "a whole number of steps, at least 1"),
    ],
)
def test_a_range_in_words(allowed: Range, words: str) -> None:
    assert str(allowed) == words


def test_a_number_too_large_is_told_how_large_it_may_be() -> None:
    with pytest.raises(
        UsageError, match=r"^size is 10000000000000000; give a whole number from 1 to 1,000,000,000,000,000\.$"
    ):
        Range(1, whole=True).check("size", 10**16)
    with pytest.raises(UsageError, match=r"^gamma is inf; give a number above 0 and at most 1\.79769e\+308\.$"):
        Range(0, above=True).check("gamma", math.inf)


def test_numbers_of_numpy_become_pythons_own() -> None:
    assert type(Range().check("x", np.float32(0.5))) is float
    assert type(Range(whole=True).check("x", np.int64(3))) is int
    with pytest.raises(UsageError, match="whole number"):
        Range(whole=True).check("x", 3.0)
