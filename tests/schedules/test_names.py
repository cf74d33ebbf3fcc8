"""Labels and back, values for every member at once, and whatever is refused in one sentence."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from thalweg import calls
from thalweg import schedules as S
from thalweg.errors import PlanError
from thalweg.schedules import Schedule

from .loops import NUMBER, OPEN, TOTALS, fits

PLATEAUS = st.builds(
    S.Plateau,
    NUMBER,
    st.integers(0, 9),
    st.floats(0, 1),
    st.sampled_from(["rel", "abs"]),
    st.integers(0, 4),
    st.floats(0, 1),
)
RAMPS = st.builds(S.Ramp, NUMBER, NUMBER, st.integers(1, 9) | st.just(1.0), st.sampled_from(["linear", "memory"]))
ANY = st.one_of(*OPEN.values(), PLATEAUS)
SEVERAL = st.builds(
    S.Several,
    st.fixed_dictionaries({"lr": ANY, "momentum": st.one_of(ANY, RAMPS), "weight_decay": st.one_of(ANY, RAMPS)}),
)


@given(schedule=st.one_of(ANY, RAMPS, SEVERAL))
@settings(max_examples=300, deadline=None)
def test_the_label_finds_the_schedule_again(schedule: Schedule) -> None:
    again = S.get(schedule.label)
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert again.label == schedule.label == str(schedule)


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("StepLR(step_size=5, gamma=0.5)", "step(size=5, gamma=0.5)"),
        ("step_decay(step_size=5)", "step_decay(every=5)"),
        ("ConstantLR(factor=0.5, total_iters=5)", "constant(scale=0.5, steps=5)"),
        ("LinearLR(start_factor=0.5, end_factor=0.25, total_iters=5)", "linear(start=0.5, end=0.25, steps=5)"),
        ("PolynomialLR(total_iters=5, power=2)", "polynomial(power=2, steps=5)"),
        ("ReduceLROnPlateau(factor=0.5)", "plateau(gamma=0.5)"),
        ("CyclicLR(step_size_up=5, step_size_down=6)", "cyclic(up=5, down=6)"),
    ],
)
def test_arguments_are_also_known_by_torchs_names(written: str, label: str) -> None:
    assert S.get(written) == S.get(label)


def test_an_argument_is_given_once() -> None:
    with pytest.raises(PlanError, match="step: step_size and size are the same; give one of them"):
        S.get("step(step_size=5, size=6)")
    with pytest.raises(PlanError, match="'eta_min' is not an argument of cosine: did you mean end"):
        S.get("CosineAnnealingLR(eta_min=0.1)")


def test_labels_say_what_differs() -> None:
    assert S.Cosine().label == "cosine"
    assert S.Warmup(S.Step(30, 0.1), steps=100).label == "warmup(step(size=30), steps=100)"
    assert S.get(" warmup( cosine , steps = 5 ) ").label == "warmup(cosine, steps=5)"
    assert S.get({"lr": "cosine", "momentum": S.Ramp(end=0.9)}).label == "lr: cosine; momentum: ramp(end=0.9)"
    assert S.Linear(steps=1).label == "linear(steps=1)"
    assert S.Polynomial(steps=1) != S.Polynomial(steps=1.0)


def test_names_are_the_keys() -> None:
    assert S.names()[:3] == ["constant", "cosine", "linear"]
    assert all(kind.name == name for name, kind in S.SCHEDULES.items())
    assert {kind for kind in vars(S).values() if isinstance(kind, type) and issubclass(kind, Schedule)} == {
        *S.SCHEDULES.values(),
        Schedule,
        S.Several,
    }


def test_a_schedule_stands_for_itself() -> None:
    own = S.Cosine()
    assert S.get(own) is own


@pytest.mark.parametrize("name", OPEN)
@given(data=st.data(), total=TOTALS)
@settings(max_examples=20, deadline=None)
def test_a_value_for_each_member_in_one_call(name: str, data: st.DataObject, total: int) -> None:
    """(members, steps): row k is the schedule with the k-th values."""
    schedule = data.draw(OPEN[name])
    assume(fits(schedule, total))
    steps = np.arange(total)
    rows = [_varied(schedule, k) for k in range(3)]
    together = _together(rows)
    found = together.factor(steps, total)
    expected = [row.factor(steps, total) for row in rows]
    if found.ndim == 1:  # nothing in it is a number
        expected = expected[0]
    np.testing.assert_allclose(found, expected, rtol=1e-14)  # a power's last bit goes by how an array lies in memory
    if found.ndim > 1:
        with pytest.raises(PlanError, match="has a value for each of 3 members, and code and pictures are for one"):
            together.code()
        grid = together.factor(steps.reshape(-1, 1), total)
        assert grid.shape == (3, total, 1)
    assert S.get(together.label) == together


def _varied(schedule: Schedule, k: int) -> Schedule:
    return _rebuilt(schedule, lambda value: value * 0.9**k)


def _together(rows: list[Schedule]) -> Schedule:
    from dataclasses import fields

    made: dict[str, Any] = {}
    for f in fields(rows[0]):
        values = [getattr(row, f.name) for row in rows]
        made[f.name] = values[0]
        if f.metadata["kind"] == "number" and values[0] is not None:
            made[f.name] = np.array(values)
        if f.metadata["kind"] == "part":
            several = isinstance(values[0], tuple)
            made[f.name] = [_together(list(p)) for p in zip(*values, strict=True)] if several else _together(values)
    return type(rows[0])(**made)


def _rebuilt(schedule: Schedule, change: Any) -> Schedule:
    from dataclasses import fields

    made: dict[str, Any] = {}
    for f in fields(schedule):
        value = getattr(schedule, f.name)
        made[f.name] = value
        if f.metadata["kind"] == "number" and value is not None:
            made[f.name] = change(value)
        if f.metadata["kind"] == "part":
            several = isinstance(value, tuple)
            made[f.name] = [_rebuilt(p, change) for p in value] if several else _rebuilt(value, change)
    return type(schedule)(**made)


REFUSED: list[tuple[Any, str]] = [
    ("cosin", "'cosin' is not a schedule: did you mean cosine"),
    ("", "'' is not a schedule"),
    (3, "'3' is not a schedule"),
    (None, "'None' is not a schedule"),
    ("warmup(cosin)", "'cosin' is not a schedule: did you mean cosine"),
    ("step(siz=3)", "'siz' is not an argument of step: did you mean size"),
    ("step(30)", "step takes its arguments by name"),
    ("step(cosine)", "step takes its arguments by name"),
    ("warmup(cosine, linear)", "warmup takes one schedule, and 2 were given"),
    ("constant(", "is not of the form name"),
    ("step(size=__import__('os'))", "'__import__' is not a schedule"),
    ("step(size=3 .real)", "is not of the form name"),
    ("step(size=print)", "size is 'print'; give a whole number of steps"),
    ("multistep", r"multistep needs milestones; e.g. multistep\(milestones=\(30, 80\)\)"),
    ("multistep(milestones=(80, 30))", "in rising order"),
    ("multistep(milestones=(30, 30))", "in rising order"),
    ("multistep(milestones=(-3, 30))", "whole steps above 0"),
    ("multistep(milestones=(0.5,))", "whole steps above 0"),
    ("sequential(constant, cosine, milestones=(9, 3))", "in rising order"),
    ("sequential(constant, cosine, milestones=(3, 9))", "2 schedules and 2 milestones"),
    ("sequential(constant, cosine)", "sequential needs milestones"),
    ("chained", "chained needs schedules"),
    ("chained(schedules=3)", "give a list of 1 to 50 schedules"),
    ("step(gamma=0)", "gamma is 0; give a number above 0"),
    ("exponential(gamma=-1)", "gamma is -1; give a number above 0"),
    ("multistep(milestones=(3,), gamma=-0.5)", "above 0"),
    ("exponential(gamma=1e999)", "gamma is inf; give a number above 0 and at most"),
    ("exponential(gamma=True)", "gamma is True"),
    ("exponential(gamma=())", "gamma is empty"),
    ("exponential_decay(k=-1)", "k is -1; give a number of at least 0"),
    ("warmup(cosine, steps=-1)", "steps is -1; give a whole number of steps, at least 1; or a share"),
    (
        "step(size=0)",
        "size is 0; .*; or a share of the run above 0 and up to 1.0, e.g. 0.1; or epochs, e.g. '10 epochs'.",
    ),
    ("warmup(cosine, steps=0)", "steps is 0"),
    ("warmup(cosine, steps=1.0)", "between 0 and 1"),
    ("warmup(cosine, steps=1.5)", "share of the run"),
    ("step(size=True)", "size is True"),
    ("cosine(end=2)", "end is 2; give a number from 0 to 1"),
    ("cosine_restarts(T_0=0)", "T_0 is 0"),
    ("cosine_restarts(T_mult=0)", "T_mult is 0; give a whole number of at least 1"),
    ("cyclic(mode='square')", "give 'triangular' or 'triangular2' or 'exp_range'"),
    ("one_cycle(three_phase=1)", "give True or False"),
    ("one_cycle(pct_start=1.2)", "from 0 to 1"),
    ("warmup(one_cycle)", "moves more than a rate by a factor"),
    ("chained(linear, cyclic)", "with cycle_momentum=False"),
    ("warmup(ramp)", "moves more than a rate"),
    ("warmup(plateau)", "follows the loss; it cannot be part"),
    ("ramp(end=1, shape='memory')", "end with shape 'memory' is 1"),
    ("lambda", r"give tw.schedules.Lambda\(function\)"),
    ("multiplicative(f)", r"give tw.schedules.Multiplicative\(function\)"),
    ("warmup(lambda(f))", "a function of your own, which no name can find"),
    ("lr: ramp", "gives values, not factors on the rates"),
    ("lr: cosine; lr: linear", "names a hyperparameter twice"),
    ("lr: cosine; : linear", "where the name of a hyperparameter belongs"),
    ("lr: cosine; momentum:", "'' is not a schedule"),
    ({}, "is empty"),
    ({"lr": {"lr": "cosine"}}, "a schedule of several hyperparameters"),
    ("plateau(gamma=1.5)", "gamma is 1.5"),
    ("plateau(patience=-1)", "patience is -1"),
]


@pytest.mark.parametrize(("wrong", "words"), REFUSED, ids=[str(wrong) for wrong, _ in REFUSED])
def test_refused(wrong: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        S.get(wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "step", "total", "words"),
    [
        ("cosine", -1, 10, "step -1 is not allowed: steps are counted from 0"),
        ("cosine", 0, 0, "the total is 0; give a whole number of steps, at least 1"),
        ("constant", 0, -3, "the total is -3"),
        ("cosine", 0, 2.5, "the total is 2.5"),
        ("cosine", 0, True, "the total"),
        ("cosine", 0, None, "cosine needs the total number of steps"),
        ("linear", 0, None, "linear needs the total"),
        ("step", 0, None, "step needs the total"),
        ("warmup(constant)", 0, None, "needs the total"),
        ("warmup(cosine, steps=3)", 0, None, "needs the total"),
        ("one_cycle", 0, None, "needs the total"),
        ("wsd(warmup=1, decay_steps=2)", 0, None, "needs the total"),
        ("warmup(cosine, steps=10)", 0, 10, "a warm-up of 10 steps leaves nothing of a run of 10; shorten it"),
        ("warmup(warmup(cosine, steps=5), steps=5)", 0, 10, "a warm-up of 5 steps leaves nothing of a run of 5"),
        ("chained(linear, warmup(steps=20))", 0, 10, "leaves nothing"),
        ("wsd(warmup=6, decay_steps=6)", 0, 10, "does not fit into a run of 10 steps"),
        ("sequential(linear, cosine, milestones=(10,))", 0, 10, "is not before the end of a run of 10 steps"),
        ("plateau", 0, 10, "follows the validation loss, and none is at hand"),
        ("lr: cosine; momentum: ramp", 0, 10, "ask each schedule for its own factor"),
    ],
)
def test_a_factor_that_cannot_be(text: str, step: int, total: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        S.get(text).factor(step, total)
    assert "\n" not in str(caught.value)
    if total is not None and step == 0 and "plateau" not in text and ";" not in text:
        import torch

        with pytest.raises(PlanError, match=words):
            S.get(text).torch(torch.optim.SGD([torch.zeros(1)], lr=1.0), total)


def test_steps_that_need_no_total() -> None:
    for text in (
        "constant",
        "step(size=3)",
        "exponential",
        "inverse_time",
        "warmup(step(size=3), steps=2)",
        "sequential(linear, step(size=2), milestones=(3,))",
        "ramp(steps=3)",
        "cyclic(up=3)",
    ):
        np.testing.assert_array_equal(S.get(text).factor(range(9)), S.get(text).factor(range(9), 100))


def test_a_function_that_gives_no_number() -> None:
    with pytest.raises(PlanError, match=r"lambda\(.*\) gives nan at step 0; a factor must be a finite number"):
        S.Lambda(lambda t: math.nan).factor(0)
    with pytest.raises(PlanError, match="give a function of the step"):
        S.Lambda(3)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="which no script can find again"):
        S.Warmup(S.Lambda(abs)).code()
    with pytest.raises(PlanError, match="which no script can find again"):
        S.Chained([S.Lambda(abs), "cosine"]).code()
    with pytest.raises(PlanError, match="which no script can find again"):
        S.Several({"lr": "cosine", "momentum": S.Lambda(abs)}).code()


def test_code_reads_as_a_person_would_write_it() -> None:
    assert S.get("inverse_time(k=0.1)").code() == "lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (1 + 0.1 * t))"
    assert S.get("cosine").code("100") == "lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)"
    assert S.get("warmup(cosine, steps=5)").code() == (
        "lr_scheduler.SequentialLR(optimizer, [lr_scheduler.LinearLR(optimizer, start_factor=0.16666666666666666, "
        "total_iters=5), lr_scheduler.CosineAnnealingLR(optimizer, T_max=total_steps - 5)], milestones=[5])"
    )


def test_objects_are_nested_no_deeper_than_texts() -> None:
    deep = S.get("constant")
    for _ in range(calls.DEEPEST - 1):
        deep = S.Warmup(deep)
    with pytest.raises(PlanError, match="warmup: schedule is made of schedules 8 deep; give one of fewer"):
        S.Warmup(deep)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("step(size=a)", "step: size is 'a'; give a whole number of steps"),
        ("linear(start=a)", "linear: start is 'a'; give a number of at least 0"),
        ("exponential(gamma=a)", "exponential: gamma is 'a'; give a number above 0"),
        ("warmup(schedule=cosin)", "'cosin' is not a schedule: did you mean cosine"),
        ("warmup(cosin)", "'cosin' is not a schedule: did you mean cosine"),
    ],
)
def test_a_word_is_a_schedule_only_where_one_is_asked_for(text: str, said: str) -> None:
    with pytest.raises(PlanError, match=re.escape(said)):
        S.get(text)
