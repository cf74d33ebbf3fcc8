"""Each kind of schedule, against its formula written out, by its name in the list of formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thalweg import schedules as S
from thalweg.errors import PlanError

T = np.arange(200)
SUMS = 4_000_000  # steps


def of(text: str, total: int = 200) -> np.ndarray:
    return S.get(text).factor(T, total)


def test_constant() -> None:
    assert (of("constant") == 1).all()
    assert of("constant(scale=0.5, steps=3)")[:5].tolist() == [0.5, 0.5, 0.5, 1, 1]


def test_robbins_monro_one_over_t() -> None:
    """η/t: Ση = ∞ and Ση² < ∞."""
    one_over_t = S.get("one_over_t")
    np.testing.assert_array_equal(one_over_t.factor(T), 1 / (T + 1))
    assert one_over_t.robbins_monro
    assert str(one_over_t.robbins_monro) == "yes: falls like 1/t: Ση = ∞ and Ση² < ∞"
    factors = one_over_t.factor(np.arange(SUMS))
    assert (factors**2).sum() == pytest.approx(math.pi**2 / 6, abs=1e-6)
    assert factors.sum() == pytest.approx(math.log(SUMS) + 0.5772156649, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "sums", "squares"),
    [
        ("constant", True, False),
        ("one_over_t", True, True),
        ("inverse_time(k=0.1)", True, True),
        ("inverse_time(k=0)", True, False),
        ("inverse_sqrt(warmup=10)", True, False),
        ("exponential", False, True),
        ("exponential(gamma=1)", True, False),
        ("exponential(gamma=1.1)", True, False),
        ("exponential_decay", False, True),
        ("exponential_decay(k=0)", True, False),
        ("step(size=10)", False, True),
        ("multistep(milestones=(3, 9))", True, False),
        ("cyclic(up=5)", True, False),
        ("cyclic(up=5, low=0, mode='triangular2')", False, True),
        ("cosine_restarts(T_0=10)", True, False),
        ("warmup(one_over_t, steps=10)", True, True),
        ("chained(one_over_t, inverse_sqrt(warmup=10))", False, True),
        ("sequential(one_over_t, constant, milestones=(10,))", True, False),
        ("chained(one_over_t, cosine_restarts(T_0=10))", True, True),
        ("lr: one_over_t; momentum: ramp", True, True),
    ],
)
def test_each_says_whether_it_satisfies_robbins_monro(text: str, sums: bool, squares: bool) -> None:
    """What it says, and the sums themselves: from half the steps to all, Ση must still grow, or not."""
    said = S.get(text).robbins_monro
    assert (said.sum_diverges, said.squares_converge) == (sums, squares)
    assert bool(said) == (sums and squares)
    assert said.reason
    if ";" in text or "gamma=1.1" in text:
        return
    steps = np.arange(SUMS, step=500)
    factors = S.get(text).factor(steps, 10**9) * 500
    late = factors[len(steps) // 2 :].sum()
    assert (late > 0.01) == sums
    # Ση² < ∞: the second half adds nothing beside the whole
    squared = S.get(text).factor(np.arange(SUMS // 20), 10**9) ** 2
    assert (squared[len(squared) // 2 :].sum() < 1e-3) == squares


@pytest.mark.parametrize("text", ["cosine", "linear", "polynomial", "one_cycle", "wsd", "warmup", "ramp"])
def test_a_schedule_that_ends_with_the_run_satisfies_nothing(text: str) -> None:
    said = S.get(text).robbins_monro
    assert not said
    assert (said.sum_diverges, said.squares_converge) == (None, None)
    assert str(said) == "no: ends with the run, and the conditions speak of one without end"


def test_what_cannot_be_known_is_not_claimed() -> None:
    for schedule in (S.Lambda(lambda t: 1 / (t + 1)), S.Plateau(), S.Warmup(S.Multiplicative(lambda t: 0.5))):
        assert not schedule.robbins_monro
        assert schedule.robbins_monro.sum_diverges is None


def test_lambda() -> None:
    np.testing.assert_array_equal(S.Lambda(lambda t: 0.95**t).factor(T[:50]), [0.95**t for t in range(50)])
    assert S.Lambda(lambda t: t).factor(7) == 7


def test_multiplicative() -> None:
    own = S.Multiplicative(lambda t: t / (t + 1))
    np.testing.assert_allclose(own.factor(T), 1 / (T + 1))
    assert own.factor(np.array([3, 1])).tolist() == pytest.approx([1 / 4, 1 / 2])


def test_step_decay_half_every_few_epochs() -> None:
    per_epoch = 20
    factors = S.StepDecay(every=3 * per_epoch).factor(T)
    assert [factors[epoch * per_epoch] for epoch in range(10)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    assert np.unique(of("step_decay")).tolist() == [0.125, 0.25, 0.5, 1]


def test_step_and_multistep() -> None:
    np.testing.assert_allclose(of("step(size=30, gamma=0.1)"), 0.1 ** (T // 30))
    np.testing.assert_allclose(of("multistep(milestones=(30, 80))"), np.select([T < 30, T < 80], [1, 0.1], 0.01))


def test_linear_exponential_polynomial_and_cosine() -> None:
    np.testing.assert_allclose(of("linear"), 1 - T / 200)
    np.testing.assert_allclose(of("linear(start=0.2, end=0.7, steps=50)"), 0.2 + 0.5 * np.minimum(1, T / 50))
    np.testing.assert_allclose(of("exponential(gamma=0.97)"), 0.97**T)
    np.testing.assert_allclose(of("polynomial(power=2)"), (1 - T / 200) ** 2)
    np.testing.assert_allclose(of("cosine"), np.cos(np.pi * T / 400) ** 2)
    np.testing.assert_allclose(of("cosine(end=0.1)"), 0.1 + 0.9 * np.cos(np.pi * T / 400) ** 2)


def test_exponential_decay() -> None:
    np.testing.assert_allclose(of("exponential_decay(k=0.03)"), np.exp(-0.03 * T))


def test_inverse_time_decay() -> None:
    np.testing.assert_allclose(of("inverse_time(k=0.03)"), 1 / (1 + 0.03 * T))


def test_momentum_from_half_to_099() -> None:
    for shape in ("linear", "cosine", "memory"):
        values = S.Ramp(0.5, 0.99, steps=100, shape=shape).factor(T)
        assert values[0] == 0.5
        assert values[98] < values[99]
        assert values[99:] == pytest.approx(0.99)
        assert (np.diff(values[:100]) > 0).all()
        assert S.Ramp(0.5, 0.99, shape=shape).factor(np.arange(60), 60)[-1] == pytest.approx(0.99)
    assert S.Ramp(0.5, 0.99).factor(np.arange(1), 1).tolist() == [0.5]
    horizon = 1 / (1 - S.Ramp(shape="memory").factor(T, 200))
    np.testing.assert_allclose(horizon[1:] / horizon[:-1], 50 ** (1 / 199))


def test_warm_up_of_any_schedule() -> None:
    for inner in ("cosine", "step(size=30)", "inverse_time", "cosine_restarts", "one_cycle(cycle_momentum=False)"):
        factors = S.get(f"warmup({inner}, steps=20)").factor(T, 200)
        np.testing.assert_allclose(factors[:20], np.arange(1, 21) / 21)
        np.testing.assert_array_equal(factors[20:], S.get(inner).factor(np.arange(180), 180))


def test_cosine_with_warm_up() -> None:
    np.testing.assert_allclose(of("warmup")[20:], np.cos(np.pi * np.arange(180) / 360) ** 2)
    assert of("warmup(cosine, steps=0.1, start=0)")[:20].tolist() == pytest.approx(list(np.arange(20) / 20))


def test_warm_restarts() -> None:
    factors = of("cosine_restarts(T_0=10, T_mult=2)")
    for start, length in ((0, 10), (10, 20), (30, 40), (70, 80)):
        expected = np.cos(np.pi * np.arange(length) / (2 * length)) ** 2
        np.testing.assert_allclose(factors[start : start + length], expected, atol=1e-14)
    # every restart is seen, whatever rounding does to the logarithm
    for first in range(1, 60):
        for k in (2, 3, 7):
            starts = [first * (k**n - 1) // (k - 1) for n in range(1, 12)]
            assert (S.WarmRestarts(first, k).factor(np.array(starts)) == 1).all()


def test_one_cycle_rate_up_momentum_down() -> None:
    moved = S.get("one_cycle").on({"lr", "momentum"})
    rate, momentum = (moved[name].factor(T, 200) for name in ("lr", "momentum"))
    assert rate[0] == pytest.approx(1 / 25)
    assert rate.max() == rate[59] == pytest.approx(1)
    assert rate[-1] == pytest.approx(1 / 25e4)
    assert (np.diff(rate[:60]) > 0).all()
    assert (np.diff(momentum[:60]) < 0).all()
    assert (momentum[0], momentum[59], momentum[-1]) == pytest.approx((0.95, 0.85, 0.95))


def test_cyclic() -> None:
    factors = of("cyclic(low=0, up=4, down=2, mode='triangular2')")
    assert factors[:13].tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1, 0.5, 0, 0.125, 0.25, 0.375, 0.5, 0.25, 0])
    momentum = S.get("cyclic(low=0, up=4)").on(["lr", "beta1"])["beta1"].factor(T, 200)
    np.testing.assert_allclose(momentum, 0.9 - 0.1 * of("cyclic(low=0, up=4)"))


def test_inverse_square_root() -> None:
    width, warmup = 512, 40
    step = T + 1
    paper = width**-0.5 * np.minimum(step**-0.5, step * warmup**-1.5)
    np.testing.assert_allclose(of("inverse_sqrt(warmup=40)"), paper / paper.max())


@pytest.mark.parametrize("shape", ["linear", "cosine", "sqrt"])
def test_warm_up_stable_decay(shape: str) -> None:
    factors = S.WarmupStableDecay(20, 50, 0.1, shape).factor(np.arange(201), 200)
    np.testing.assert_allclose(factors[:20], np.arange(1, 21) / 21)
    assert (factors[20:151] == 1).all()
    assert (np.diff(factors[150:]) < 0).all()
    assert factors[200] == pytest.approx(0.1)
    half = {"linear": 0.5, "cosine": 0.5, "sqrt": 1 - math.sqrt(0.5)}[shape]
    assert factors[175] == pytest.approx(0.1 + 0.9 * half)


def test_reduce_on_plateau_without_a_loss() -> None:
    with pytest.raises(PlanError, match="follows the validation loss, and none"):
        S.get("plateau").factor(T, 200)


def test_chained_multiplies_and_sequential_begins_anew() -> None:
    np.testing.assert_allclose(
        of("chained(linear, step(size=30), one_over_t)"), of("linear") * of("step(size=30)") / (T + 1)
    )
    factors = of("sequential(linear, cosine, constant(scale=0.1), milestones=(50, 120))")
    np.testing.assert_allclose(factors[:50], 1 - np.arange(50) / 50)
    np.testing.assert_allclose(factors[50:120], np.cos(np.pi * np.arange(70) / 140) ** 2)
    np.testing.assert_allclose(factors[120:], 0.1)
