"""Every schedule is torch.optim.lr_scheduler's, step by step, and can be handed to a torch optimizer."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.optim import Optimizer, lr_scheduler

from thalweg import schedules as S
from thalweg.errors import PlanError
from thalweg.schedules import Schedule

from .loops import NUMBER, OPEN, TOTALS, fits, kind_of, optimizer, rates

# torch multiplies from step to step where we have closed forms: 60 roundings
CLOSE: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-14}


@pytest.mark.parametrize("name", OPEN)
@given(data=st.data(), total=TOTALS, lr=st.floats(1e-4, 10))
@settings(max_examples=40, deadline=None)
def test_factor_equals_the_torch_scheduler(name: str, data: st.DataObject, total: int, lr: float) -> None:
    """Of `schedule.torch`, which is torch's own class or LambdaLR with the formula as text."""
    schedule = data.draw(OPEN[name])
    assume(fits(schedule, total))
    opt = optimizer(lr=lr)
    found = rates(opt, schedule.torch(opt, total), total)
    factors = schedule.factor(np.arange(total), total)
    assert factors.dtype == np.float64
    np.testing.assert_allclose(lr * factors, found, **CLOSE)


Pair = tuple[Schedule, Callable[[Optimizer], Any]]
L = lr_scheduler


def share(steps: float, total: int) -> int:
    return max(round(steps * total), 1) if isinstance(steps, float) else steps


def pairs(total: int) -> dict[str, st.SearchStrategy[Pair]]:
    """A schedule, and the same one written in torch by hand."""
    whole = st.integers(1, 40)
    steps = st.lists(whole, min_size=1, max_size=4, unique=True).map(sorted)
    return {
        "LambdaLR": st.just((S.Lambda(lambda t: 0.9**t), lambda o: L.LambdaLR(o, lambda t: 0.9**t))),
        "MultiplicativeLR": st.just(
            (
                S.Multiplicative(lambda t: 1 - 0.5 / (t + 1)),
                lambda o: L.MultiplicativeLR(o, lambda t: 1 - 0.5 / (t + 1)),
            )
        ),
        "StepLR": st.tuples(whole, NUMBER).map(lambda a: (S.Step(*a), lambda o: L.StepLR(o, *a))),
        "MultiStepLR": st.tuples(steps, NUMBER).map(lambda a: (S.MultiStep(*a), lambda o: L.MultiStepLR(o, *a))),
        "ConstantLR": st.tuples(NUMBER, whole).map(lambda a: (S.Constant(*a), lambda o: L.ConstantLR(o, *a))),
        "LinearLR": st.tuples(NUMBER, NUMBER, whole).map(lambda a: (S.Linear(*a), lambda o: L.LinearLR(o, *a))),
        "ExponentialLR": NUMBER.map(lambda g: (S.Exponential(g), lambda o: L.ExponentialLR(o, g))),
        "PolynomialLR": st.tuples(st.floats(0.3, 3), whole).map(
            lambda a: (S.Polynomial(*a), lambda o: L.PolynomialLR(o, a[1], a[0]))
        ),
        "CosineAnnealingLR": NUMBER.map(
            lambda end: (S.Cosine(end), lambda o: L.CosineAnnealingLR(o, total, end * o.param_groups[0]["lr"]))
        ),
        "CosineAnnealingWarmRestarts": st.tuples(whole, st.integers(1, 3), NUMBER).map(
            lambda a: (
                S.WarmRestarts(*a),
                lambda o: L.CosineAnnealingWarmRestarts(o, a[0], a[1], a[2] * o.param_groups[0]["lr"]),
            )
        ),
        "ChainedScheduler": st.tuples(NUMBER, whole).map(
            lambda a: (
                S.Chained([S.Exponential(a[0]), S.Step(a[1]), S.Constant(0.5, 3)]),
                lambda o: L.ChainedScheduler([L.ExponentialLR(o, a[0]), L.StepLR(o, a[1]), L.ConstantLR(o, 0.5, 3)]),
            )
        ),
        "SequentialLR": st.tuples(st.integers(1, 20), NUMBER).map(
            lambda a: (
                S.Sequential([S.Constant(0.1), S.Exponential(a[1]), S.Step(2, 0.5)], (a[0], 22)),
                lambda o: L.SequentialLR(
                    o, [L.ConstantLR(o, 0.1, 99), L.ExponentialLR(o, a[1]), L.StepLR(o, 2, 0.5)], [a[0], 22]
                ),
            )
        ),
    }


def test_each_declared_counterpart_is_compared() -> None:
    elsewhere = {"OneCycleLR", "CyclicLR", "ReduceLROnPlateau"}  # below, because they move momentum or need a loss
    assert {kind.counterpart for kind in S.SCHEDULES.values()} - {""} == {*pairs(30), *elsewhere}
    drawn = {name for name, kind in S.SCHEDULES.items() if not (kind.sample or kind.closed or kind.absolute)}
    assert set(OPEN) == drawn


@pytest.mark.parametrize("kind", pairs(30))
@given(data=st.data(), total=TOTALS, lr=st.floats(1e-4, 10))
@settings(max_examples=40, deadline=None)
def test_torch_by_hand(kind: str, data: st.DataObject, total: int, lr: float) -> None:
    schedule, make = data.draw(pairs(total)[kind])
    opt = optimizer(lr=lr)
    scheduler = make(opt)
    assert kind_of(scheduler) == kind
    np.testing.assert_allclose(lr * schedule.factor(np.arange(total), total), rates(opt, scheduler, total), **CLOSE)


@pytest.mark.parametrize(("name", "key"), [("momentum", "momentum"), ("adam", "beta1")])
@given(data=st.data(), total=TOTALS, cycles=st.booleans())
@settings(max_examples=40, deadline=None)
def test_one_cycle_and_cyclic_move_momentum_too(
    name: str, key: str, data: st.DataObject, total: int, cycles: bool
) -> None:
    low, high = sorted(data.draw(st.tuples(NUMBER, NUMBER)))
    momenta = {"base_momentum": low, "max_momentum": high}
    if cycles:
        up, down = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
        mode = data.draw(st.sampled_from(["triangular", "triangular2", "exp_range"]))
        schedule: Schedule = S.Cyclic(0.2, up, down, mode, 0.97, **momenta)

        def make(o: Optimizer) -> Any:
            return L.CyclicLR(o, 0.1, 0.5, up, down, mode, 0.97, **momenta)
    else:
        pct, shape, phases = data.draw(
            st.tuples(st.floats(0.1, 0.45), st.sampled_from(["cos", "linear"]), st.booleans())
        )
        schedule = S.OneCycle(pct, shape, True, low, high, three_phase=phases)

        def make(o: Optimizer) -> Any:
            return L.OneCycleLR(o, 0.5, total, pct_start=pct, anneal_strategy=shape, three_phase=phases, **momenta)

    moved = schedule.on({"lr", key, "eps"})
    assert set(moved) == {"lr", key}
    for what in ("lr", key):
        expected_opt, own_opt = optimizer(name, 0.5), optimizer(name, 0.5)
        expected = rates(expected_opt, make(expected_opt), total, what)
        own = rates(own_opt, schedule.torch(own_opt, total), total, what)
        factor = moved[what].factor(np.arange(total), total) * (0.5 if what == "lr" else 1)
        np.testing.assert_allclose(own, expected, **CLOSE)
        np.testing.assert_allclose(factor, expected, rtol=1e-10, atol=1e-13)


def test_a_rule_without_momentum_gets_none() -> None:
    opt = optimizer("sgd", 0.5)
    for schedule in (S.OneCycle(), S.Cyclic()):
        assert rates(opt, schedule.torch(opt, 20), 20, "momentum") == [0] * 20
        assert set(schedule.on({"lr", "weight_decay"})) == {"lr"}


@given(
    losses=st.lists(st.floats(0, 2) | st.just(math.nan), min_size=5, max_size=40),
    gamma=NUMBER,
    patience=st.integers(0, 4),
    threshold=st.sampled_from([0.0, 1e-4, 0.3]),
    mode=st.sampled_from(["rel", "abs"]),
    cooldown=st.integers(0, 3),
    least=st.sampled_from([0.0, 0.05]),
)
@settings(max_examples=150, deadline=None)
def test_reduce_on_plateau(
    losses: list[float], gamma: float, patience: int, threshold: float, mode: str, cooldown: int, least: float
) -> None:
    """Alone, for several members at once, and as handed to an optimizer: torch's ReduceLROnPlateau, pass by pass."""
    plateau = S.Plateau(gamma, patience, threshold, mode, cooldown, least)
    opts = [optimizer(lr=lr) for lr in (0.5, 1e-3, 0.5)]
    theirs = [
        L.ReduceLROnPlateau(
            o,
            factor=gamma,
            patience=patience,
            threshold=threshold,
            threshold_mode=mode,  # type: ignore[arg-type]
            cooldown=cooldown,
            min_lr=least,
        )
        for o in opts[:2]
    ]
    handed: Any = plateau.torch(opts[2], 100)
    assert kind_of(handed) == "ReduceLROnPlateau"
    state = plateau.start(np.array([0.5, 1e-3]))
    for loss in losses:
        handed.step(loss)
        for scheduler, own in zip(theirs, (loss, 1 - loss), strict=True):
            scheduler.step(own)
        state = plateau.observe(state, np.array([loss, 1 - loss]))
        assert state[0].tolist() == [o.param_groups[0]["lr"] for o in opts[:2]]
        assert opts[2].param_groups[0]["lr"] == opts[0].param_groups[0]["lr"]


@pytest.mark.parametrize(
    "text",
    [
        "cosine",
        "warmup",
        "one_cycle",
        "cyclic",
        "wsd",
        "cosine_restarts",
        "step_decay",
        "ramp",
        "lr: warmup; momentum: ramp; weight_decay: linear",
    ],
)
def test_state_dict_goes_on_where_it_was(text: str) -> None:
    schedule = S.get(text)
    if schedule.absolute:
        schedule = S.get(f"momentum: {text}")

    def made() -> tuple[Optimizer, Any]:
        opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9, weight_decay=0.1)
        return opt, schedule.torch(opt, 40)

    opt, scheduler = made()
    rates(opt, scheduler, 15)
    file = io.BytesIO()
    torch.save((opt.state_dict(), scheduler.state_dict()), file)
    again, following = made()
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again.load_state_dict(saved[0])
    following.load_state_dict(saved[1])
    for _ in range(20):
        for o, s in ((opt, scheduler), (again, following)):
            o.step()
            s.step()
        for key in ("lr", "momentum", "weight_decay"):
            assert opt.param_groups[0][key] == again.param_groups[0][key]


@pytest.mark.parametrize("key", ["momentum", "weight_decay", "beta1", "beta2", "lr"])
@given(data=st.data(), total=TOTALS)
@settings(max_examples=25, deadline=None)
def test_any_hyperparameter_can_be_handed_to_torch(key: str, data: st.DataObject, total: int) -> None:
    schedule = data.draw(st.one_of(*OPEN.values(), st.builds(S.Ramp, NUMBER, NUMBER)))
    assume(fits(schedule, total))
    params = [torch.zeros(1, requires_grad=True)]
    opt: Optimizer = torch.optim.SGD(params, lr=0.3, momentum=0.9, weight_decay=0.1)
    if key.startswith("beta"):
        opt = torch.optim.Adam(params, lr=0.3)
    base = {"momentum": 0.9, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.999, "lr": 0.3}[key]
    scheduler = schedule.torch(opt, total, key)
    expected = schedule.factor(np.arange(total), total) * (1 if schedule.absolute else base)
    for step, value in enumerate(expected):
        group = opt.param_groups[0]
        found = group["betas"][int(key[-1]) - 1] if key.startswith("beta") else group[key]
        np.testing.assert_allclose(found, value, rtol=1e-10, atol=1e-13)
        opt.step()
        if step + 1 < total:
            scheduler.step()
    assert key == "lr" or opt.param_groups[0]["lr"] == 0.3


def test_a_hyperparameter_the_optimizer_has_not() -> None:
    with pytest.raises(PlanError, match=r"'momentun' is not a hyperparameter of this optimizer: did you mean momentum"):
        S.get("cosine").torch(optimizer("momentum"), 10, "momentun")


@pytest.mark.parametrize(
    "text",
    ["ramp(start=0.5, end=1)", "lr: cosine; momentum: ramp(end=0.95)", "lr: plateau(patience=1); momentum: ramp"],
)
def test_a_rate_in_a_tensor_moves_where_it_lies_as_a_number_does(text: str) -> None:
    def path(lr: Any) -> list[float]:
        opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
        scheduler, values = S.get(text).torch(opt, 20), []
        for _ in range(8):
            values.append(float(opt.param_groups[0]["lr"]))
            opt.step()
            scheduler.step()
            scheduler.observe(1.0)
        assert opt.param_groups[0]["lr"] is lr or isinstance(lr, float)
        return values

    moved = path(0.5)
    assert len(set(moved)) > 3
    np.testing.assert_allclose(path(torch.tensor(0.5, dtype=torch.float64)), moved, rtol=1e-12)


def test_a_function_of_your_own_moves_any_hyperparameter() -> None:
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5, momentum=0.8)
    scheduler = S.Lambda(lambda step: 1 / (1 + step)).torch(opt, 10, "momentum")
    opt.step()
    scheduler.step()
    assert (opt.param_groups[0]["lr"], opt.param_groups[0]["momentum"]) == (0.5, 0.4)
