"""What messages say of names that do not exist."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from thalweg import formulas, schedules
from thalweg.errors import PlanError, ThalwegError, UsageError, line_of
from thalweg.language import speaking
from thalweg.numbers import Range
from thalweg.unknown import unknown


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
    assert unknown("optimizer", "--", ["sgd"]) == "'--' is not an optimizer; known: sgd."


def test_an_error_with_values_is_said_where_it_is_raised() -> None:
    with speaking("ko"):
        error = PlanError("{store} is unfinished; `{command}` first, then run it again.", store="a.db", command="{x}")
    assert str(error).startswith("a.db")
    assert "unfinished" not in str(error)
    again = pickle.loads(pickle.dumps(error))  # as processes send it
    assert (type(again), str(again)) == (PlanError, str(error))
    assert str(ThalwegError("{whole} {} as it stands")) == "{whole} {} as it stands"


def test_an_error_names_the_line_of_the_users_own_code(tmp_path: Path) -> None:
    """Not that of a library, nor one of ours."""
    file = tmp_path / "mine.py"
    file.write_text("import json\n\ndef broken():\n    return json.loads('{')\n")
    names: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    with pytest.raises(ValueError) as caught:
        names["broken"]()
    assert line_of(caught.value) == f" at {file}, line 4"
    with pytest.raises(UsageError) as ours:
        Range(0).check("x", -1, UsageError)
    assert "numbers.py" not in line_of(ours.value)
