"""What messages say of names that do not exist."""

from __future__ import annotations

import pytest

from thalweg import formulas, schedules
from thalweg.errors import unknown


@pytest.mark.parametrize(
    ("given", "allowed", "hint"),
    [
        ("AdamW", formulas.names(), "adamw"),
        ("RMSProp", formulas.names(), "rmsprop"),
        ("schedule-free", ["schedulefree", "sgd"], "schedulefree"),
        ("OneCycle", schedules.names(), "one_cycle"),
        ("CrossEntropy", ["kl", "cross_entropy", "poly_cross_entropy"], "cross_entropy"),
        ("ADMW", ["sgd", "adam", "adamw"], "adamw or adam"),
        ("adm", ["sgd", "adam", "adamw"], "adam or adamw"),
    ],
)
def test_names_that_differ_only_in_case_and_separators_come_first(given: str, allowed: list[str], hint: str) -> None:
    assert f"did you mean {hint}? Known: {', '.join(allowed)}." in unknown("name", given, allowed)


def test_nothing_is_suggested_for_a_name_like_no_other() -> None:
    assert unknown("optimizer", "--", ["sgd"]) == "'--' is not an optimizer: Known: sgd."
