"""Texts of the form name(argument=value, …): read as data, refused in a sentence, written back digit by digit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg import calls
from thalweg.errors import PlanError

TEXT = st.text("ab'\"\\(,=\n\u00e9", max_size=4)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
INNER = st.lists(PLAIN, max_size=2) | st.lists(PLAIN, max_size=2).map(tuple) | st.dictionaries(TEXT, PLAIN, max_size=2)
VALUES = PLAIN | INNER | st.tuples(INNER, PLAIN)


def parse(text: str) -> tuple[str, dict[str, Any]]:
    return calls.parse(text, PlanError, "name(a=1)")


@given(arguments=st.dictionaries(st.sampled_from(["a", "beta2", "label_smoothing"]), VALUES))
def test_what_is_written_is_read_back(arguments: dict[str, Any]) -> None:
    assert parse(calls.write("thing", arguments)) == ("thing", arguments)


@pytest.mark.parametrize(
    "text",
    [
        "a(",
        "a)(",
        "a(1)",
        "a(*[1])",
        "a(**{})",
        "a(b=1, b=2)",
        "a(b=c)",
        "a(b=print())",
        "a(b=1).c(d=2)",
        "(b=1)",
        "a(b={[]: 1})",
        "a(b=1or 2)",
        "a(b=" + "(" * 9000 + ")",
        "a(b=" + "-" * 9000 + "1)",
        "a(b=" + "1," * 9999 + ")",
    ],
    ids=lambda text: text[:16],
)
def test_other_texts_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(PlanError, match=r"is not of the form name\(argument=value, …\), e\.g\. name\(a=1\)\.$") as e:
        parse(text)
    assert len(str(e.value)) < 200


def test_calls_within_calls() -> None:
    inner = calls.Call("b", (calls.Call("c"),), {"x": 1})
    assert calls.read("a(b(c, x=1), 2, y=d)", PlanError, "a") == calls.Call("a", (inner, 2), {"y": calls.Call("d")})
    for wrong in ("a(b", "a.b(c)", "a(x=1, x=2)", "a(**b)", "a(lambda: 1)", "a(*b)", "a(b[0])", "1", ""):
        with pytest.raises(PlanError, match="is not of the form name"):
            calls.read(wrong, PlanError, "a(b)")
