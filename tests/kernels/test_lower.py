"""Odd formulas, on all targets and in both dtypes, against the same arithmetic written with NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import thalweg as tw
from tests.harness import machine_code, numba_update, triton_update
from thalweg.formulas.vocabulary import (
    cos,
    equal,
    exp,
    floor,
    log,
    maximum,
    minimum,
    once,
    sign,
    sin,
    sqrt,
    tanh,
    where,
)
from thalweg.kernels import torch_ref, triton_gpu
from thalweg.kernels.lower import lower

from ..cases import mostly_slow

G = np.array([-3.7, -1.0, -0.5, -0.0, 0.0, 1e-3, 0.5, 1.0, 2.0, 6.3])
W = np.linspace(-2, 3, len(G))
A = np.abs(np.linspace(-1, 2, len(G))) + 0.25
np_where: Any = np.where
UPDATES = {"torch": torch_ref.update, "numba": numba_update}
if triton_gpu.installed():  # interpreted, on the CPU
    UPDATES["triton"] = triton_update

# formula of g, w, t, loss, a and k; the same in NumPy, returning the step (a stays)
EXPRESSIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "where": (lambda g, w, t, loss, a, k: where(g > 0, w, -a), lambda g, w, t, loss, a, k: np_where(g > 0, w, -a)),
    "where of numbers": (
        lambda g, w, t, loss, a, k: where(g > 0, 0.1, k) * g,
        lambda g, w, t, loss, a, k: np_where(g > 0, 0.1, k) * g,
    ),
    "where on a scalar": (
        lambda g, w, t, loss, a, k: where(t > 5, g, a) * where(loss < 1, 2, w),
        lambda g, w, t, loss, a, k: (g if t > 5 else a) * (2 if loss < 1 else w),
    ),
    "scalar and element": (
        lambda g, w, t, loss, a, k: where((t > 1) & (g > 0), w, a) + where((t > 50) | (g < w), k, g),
        lambda g, w, t, loss, a, k: np_where((t > 1) & (g > 0), w, a) + np_where((t > 50) | (g < w), k, g),
    ),
    "not": (
        lambda g, w, t, loss, a, k: where(~((g > 0) & (w > 0)), a, k * g) + where(~((t > 5) & (k > 1)), w, a),
        lambda g, w, t, loss, a, k: np_where(~((g > 0) & (w > 0)), a, k * g) + (w if not (t > 5 and k > 1) else a),
    ),
    "shared conditions": (
        lambda g, w, t, loss, a, k: where((g > 0) & (w > 0), a, g) * where((g > 0) & (w > 0) | (a > 1), w, k),
        lambda g, w, t, loss, a, k: np_where((g > 0) & (w > 0), a, g) * np_where((g > 0) & (w > 0) | (a > 1), w, k),
    ),
    "nested where": (
        lambda g, w, t, loss, a, k: where(g > 1, a, where(g > 0, w, where(t > 3, k, g))),
        lambda g, w, t, loss, a, k: np_where(g > 1, a, np_where(g > 0, w, k if t > 3 else g)),
    ),
    "equal": (
        lambda g, w, t, loss, a, k: where(equal(g, 0), a, w) + where(equal(t, 7), g, a),
        lambda g, w, t, loss, a, k: np_where(g == 0, a, w) + (g if t == 7 else a),
    ),
    "extremes": (
        lambda g, w, t, loss, a, k: maximum(g, w, a, 0.3) - minimum(g, k, t, w) + maximum(k, t, 3),
        lambda g, w, t, loss, a, k: (
            np.maximum(np.maximum(g, w), np.maximum(a, 0.3)) - np.minimum(np.minimum(g, min(k, t)), w) + max(k, t, 3)
        ),
    ),
    "sign and abs": (
        lambda g, w, t, loss, a, k: sign(g) * abs(w) + sign(k - t) * abs(g - a),
        lambda g, w, t, loss, a, k: np.sign(g) * np.abs(w) + np.sign(k - t) * np.abs(g - a),
    ),
    "functions": (
        lambda g, w, t, loss, a, k: exp(g) + log(a) + tanh(w) + sin(g) * cos(w) + floor(w) + exp(-k) * log(t),
        lambda g, w, t, loss, a, k: (
            np.exp(g) + np.log(a) + np.tanh(w) + np.sin(g) * np.cos(w) + np.floor(w) + np.exp(-k) * np.log(t)
        ),
    ),
    "whole powers": (
        lambda g, w, t, loss, a, k: g**3 + (g + w) ** 5 + a**-2 + g**7 / a**6 + k**5,
        lambda g, w, t, loss, a, k: g**3 + (g + w) ** 5 + a**-2 + g**7 / a**6 + k**5,
    ),
    "other powers": (
        lambda g, w, t, loss, a, k: a**0.25 + a**1.5 + a**-0.5 + a**0.5 + a**2.0 + a**k + k**g,
        lambda g, w, t, loss, a, k: a**0.25 + a**1.5 + a**-0.5 + a**0.5 + a**2.0 + a**k + k**g,
    ),
    "cube root of a scalar": (
        lambda g, w, t, loss, a, k: g * t ** (1 / 3) - (g - w) / (a * (a + 1)),
        lambda g, w, t, loss, a, k: g * t ** (1 / 3) - (g - w) / (a * (a + 1)),
    ),
    "once": (
        lambda g, w, t, loss, a, k: once(sqrt(a) * g) ** 2 + once(sqrt(a) * g) + once(k + t) ** 2 - once(g),
        lambda g, w, t, loss, a, k: a * g**2 + np.sqrt(a) * g + (k + t) ** 2 - g,
    ),
    "nothing": (lambda g, w, t, loss, a, k: 0, lambda g, w, t, loss, a, k: 0 * g),
    "a number": (lambda g, w, t, loss, a, k: 0.5, lambda g, w, t, loss, a, k: 0.5 + 0 * g),
    "a hyperparameter": (lambda g, w, t, loss, a, k: -k, lambda g, w, t, loss, a, k: -k + 0 * g),
}


@pytest.mark.everyday(of=6)
@pytest.mark.parametrize("t", [1.0, 7.0])
@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())
@pytest.mark.parametrize("dtype", mostly_slow([torch.float32, torch.float64], torch.float32), ids=str)
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_means_what_numpy_means(name: str, dtype: torch.dtype, update: Any, t: float) -> None:
    symbolic, numeric = EXPRESSIONS[name]

    def rule(g, w, t, loss, a, *, k=1.75):
        return tw.Update(symbolic(g, w, t, loss, a, k), a=a)

    formula = tw.formula(rule)
    w, g, a = (torch.tensor(x, dtype=dtype) for x in (W, G, A))
    update(formula, w, g, [a] if formula.states else [], t, loss=0.75)
    expected = W + numeric(G, W, t, 0.75, A, 1.75)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    np.testing.assert_allclose(w.numpy(), expected, rtol=tolerance, atol=tolerance)
    if dtype == torch.float32 and update is numba_update:
        assert "fpext float" not in machine_code(formula.equations)[0]


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())
def test_states_may_swap_and_copy(update: Any) -> None:
    @tw.formula
    def rule(g, w, a, b, before, fixed, seen):
        return tw.Update(-a, a=b, b=a, before=w, fixed=2.0, seen=g)

    w, g = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -0.5])
    states = [torch.full((2,), float(k)) for k in range(5)]
    update(rule, w, g, states, 1)
    assert [s.tolist() for s in states] == [[1, 1], [0, 0], [1, 2], [2, 2], [0.5, -0.5]]
    assert w.tolist() == [1, 2]
    update(rule, w, g, states, 2)
    assert w.tolist() == [0, 1]


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())
def test_any_name_may_be_given_to_a_state(update: Any) -> None:
    """None of these may meet a name of the generated code: x0, s0, c0, r, i, n, np, torch, table, row."""

    @tw.formula
    def rule(g, x0, s0, new_x0, r, i, n, np, torch, *, table=2.0, row=3.0, k0=0.5, math=1.5, c0=1.0, abs=4.0):
        x0 = k0 * x0 + (1 - k0) * g
        s0 = s0 * x0 + table * g**2
        step = -row * x0 / (c0 + math) - s0 - maximum(r, g) * (1 - k0) * abs
        return tw.Update(step, x0=x0, s0=s0, new_x0=new_x0 + x0, r=r + 1, i=i + n, n=n + 1, np=np - 1, torch=g)

    w, states = torch.tensor([1.0]), [torch.full((1,), float(k)) for k in range(1, 9)]
    update(rule, w, torch.tensor([2.0]), states, 1)
    assert [float(s) for s in states] == [1.5, 11.0, 4.5, 5.0, 11.0, 7.0, 6.0, 2.0]
    assert float(w) == pytest.approx(1 - 3 * 1.5 / 2.5 - 11 - 4 * 0.5 * 4)


def test_a_state_that_only_another_state_reads_is_kept() -> None:
    def rule(g, a, gain, *, lr=0.1):
        return tw.Update(-lr * a, a=a + gain * g, gain=gain)

    formula = tw.formula(rule, initial={"gain": 2.0})
    assert formula.states == ("a", "gain")
    w, states = torch.zeros(1), [torch.zeros(1), torch.full((1,), 2.0)]
    for t in (1, 2):
        torch_ref.update(formula, w, torch.ones(1), states, t)
    assert float(w) == pytest.approx(-0.2)


def test_a_state_that_nothing_reads_takes_no_memory() -> None:
    @tw.formula
    def rule(g, a, *, lr=0.1):
        return tw.Update(-lr * g, a=a)

    assert rule.states == ()


def test_scalars_divide_by_zero_as_kernels_do() -> None:
    """1/0 is inf: no exception, no warning, on either target."""

    @tw.formula
    def rule(g, t, *, lr=0.1):
        return tw.Update(-g / (1 - lr**t) + log(1 - lr) * g)

    for update in UPDATES.values():
        w = torch.zeros(1)
        with warnings.catch_warnings(action="error"):
            update(rule, w, torch.ones(1), [], 1, {"lr": 1.0})
        assert not w.isfinite().any()


def test_a_new_state_is_computed_once() -> None:
    """Also where SymPy has merged it into a longer sum or multiplied it out."""

    @tw.formula
    def rule(g, w, a, b, *, lr=0.1, mu=0.9):
        a = mu * a - lr * g
        b = b * where(g > 0, 2, 3)
        return tw.Update(-2 * a + w - g * b, a=a, b=b)

    program = lower(rule.equations)
    assert {"_new_a", "_new_b"} <= {s.name for s in program.step.free_symbols}
    assert not {"a", "b"} & {s.name for s in program.step.free_symbols}
