"""Rules that look at whole tensors, compiled: the loops take the steps that the reference takes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch

import thalweg as tw
from thalweg.formulas.operations import column_mean, dot, mean, norm, orthogonal, rms, row_mean, rows
from thalweg.formulas.vocabulary import maximum, sqrt, where
from thalweg.kernels import numba_tensors, tensor_ops, threads
from thalweg.kernels.sweep_order import order

SHAPES = [(8, 5), (5, 8), (8, 5), (1, 6), (6, 1), (70, 33), (7,), ()]


@tw.formula()
def every_kind(g, w, m, r, c, s, *, lr=0.1, beta=0.9):
    """A matrix that a later loop reads as it was, means of rows, columns and all, and a number of the tensor."""
    size = norm(m) + 0.1 * sqrt(rows(w))
    r, c = beta * r + row_mean(abs(g)), beta * c + column_mean(g * m) ** 2
    s = s + mean(r) * dot(m, row_mean(w))
    m = beta * m + g / (1 + size)
    step = m / maximum(rms(m * (1 + r @ c)), 0.1) + 0.01 * s * w
    return tw.Update(-lr * step, m=m, r=r, c=c, s=s)


@tw.formula()
def products(g, w, m, *, lr=0.1, beta=0.9):
    """Products of a state as it was, and of a value that is not a state."""
    step = (g / (1 + norm(g))) @ (m.T @ m + 0.1 * (g.T @ g))
    return tw.Update(-lr * step, m=beta * m + g)


@tw.formula()
def straightened(g, w, m, *, lr=0.1, beta=0.9):
    """What is made orthogonal is read elsewhere too: the gradient, a state as it was, a value and a product."""
    u, inner = g + 0.1 * m, (w @ g.T) @ m
    step = orthogonal(g) + orthogonal(m, steps=3) + u @ (u.T @ orthogonal(u, coefficients=(2, -1.5, 0.5)))
    return tw.Update(-lr * (step + u + inner * norm(orthogonal(inner))), m=beta * m + g)


@tw.formula()
def halved(g, m, *, lr=0.1, beta=0.9):
    return tw.Update(-lr * (g + orthogonal(g, half=True) + orthogonal(m, half=True)), m=beta * m + g)


@tw.formula()
def signed(g, m, *, lr=0.1, beta=0.9):
    """Numbers, some of them computed, that a condition on each weight chooses."""
    u = g / (1 + norm(g))
    return tw.Update(-lr * u * where(u * m > 0, 1 + beta, where(u * m < 0, 0.5, 1)), m=beta * m + u)


RULES = {
    **{name: tw.formulas.get(name) for name in ("adafactor", "adafactor(weight_decay=0.1,d=2.0)", "lars")},
    **{name: tw.formulas.get(name) for name in ("lamb", "prodigy(growth_rate=1.5)", "dadapt_adam", "tiger")},
    **{name: tw.formulas.get(name) for name in ("muon", "muon(eps_added=True,nesterov=False)", "muon(bfloat16=True)")},
    "soap": tw.formulas.get("soap"),
    "every_kind": every_kind,
    "products": products,
    "straightened": straightened,
    "halved in bfloat16": halved,
    "signed": signed,
}
OF_MATRICES = ("every_kind", "products", "straightened", "halved in bfloat16")


def trained(rule: tw.Formula, dtype: torch.dtype, shapes: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(s, generator=draw, dtype=torch.float64).to(dtype)) for s in shapes]
    optimizer = tw.optim.from_formula(rule)(params)
    for _ in range(5):
        for p in params:
            p.grad = torch.randn(p.shape, generator=draw, dtype=torch.float64).to(dtype)
        optimizer.step()
    return [p.detach() for p in params] + [s for p in params for s in optimizer.state[p].values()]


@pytest.mark.parametrize(
    ("dtype", "least"), [(torch.float64, 1e-12), pytest.param(torch.float32, 1e-5, marks=pytest.mark.slow)], ids=str
)
@pytest.mark.parametrize("name", RULES)
def test_steps_are_the_references(name: str, dtype: torch.dtype, least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [s for s in SHAPES if name not in OF_MATRICES or len(s) == 2]
    ours = trained(RULES[name], dtype, shapes)
    monkeypatch.setattr(numba_tensors, "covering", lambda *_: None)
    least = 0.02 if "bfloat16" in name and dtype == torch.float32 else least
    for mine, other in zip(ours, trained(RULES[name], dtype, shapes), strict=True):
        assert (mine - other).norm() <= least * (1e-3 + other.norm())


@pytest.mark.parametrize("name", ["adafactor", "lamb", "prodigy(growth_rate=1.5)"])
def test_two_threads_give_the_bits_of_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes, shares = [(300, 70), (40, 900), (31,), (120, 200)], set[int]()
    begun = threads.Round.__init__

    def spied(self: threads.Round, *given: Any) -> None:
        begun(self, *given)
        shares.add(self.threads)

    monkeypatch.setattr(threads.Round, "__init__", spied)
    ends = []
    for count in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        ends.append(trained(RULES[name], torch.float32, shapes))
    assert shares == {1, 2}
    assert all(map(torch.equal, *ends))


def test_long_columns_are_summed_to_the_precision_of_float32() -> None:
    g = torch.rand(60_000, 8, generator=torch.Generator().manual_seed(0))
    w = torch.nn.Parameter(torch.ones_like(g))
    w.grad = g
    optimizer = tw.optim.Adafactor([w])
    optimizer.step()
    exact = g.double().square().mean(0, keepdim=True)
    assert (optimizer.state[w]["col_var"] - exact).norm() <= 1e-5 * exact.norm()


def test_a_total_is_that_of_all_weights_whatever_way_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one tensor is of another dtype, no loop would see the gradients of all."""
    calls, advance = [], numba_tensors.advance
    monkeypatch.setattr(numba_tensors, "advance", lambda *given: calls.append(len(given[1])) or advance(*given))
    for other in (torch.float32, torch.bfloat16):
        params = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(4, dtype=other))]
        for p in params:
            p.grad = torch.full_like(p, 3.0)
        optimizer = tw.optim.LAMB(params, lr=0.1, betas=(0.0, 0.9), max_grad_norm=1.0)
        optimizer.step()
        expected = 3.0 / (9 * 7) ** 0.5  # of the norm 1 of all seven
        torch.testing.assert_close(optimizer.state[params[0]]["exp_avg"], torch.full((3,), expected))
    assert calls == [2]


def test_what_needs_more_goes_by_the_reference() -> None:
    soap = tw.formulas.get("soap").of_shape((4, 3)).equations
    taken = {guards: order(soap, guards) is not None for guards in itertools.product((False, True), repeat=2)}
    assert [guards for guards, loops in taken.items() if loops] == [(False, True)]  # no basis is renewed; one is there
    assert all(order(RULES[name].of_shape((8, 5)).equations) for name in RULES if "soap" not in name)
    loops = order(tw.formulas.get("prodigy").equations)
    assert loops is not None
    assert len(loops.stages) == 2  # both totals, then the rest


def test_what_a_guard_leaves_out_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(numba_tensors, "covering", lambda *_: None)
    for name in ("eigenvectors", "qr"):
        asked = getattr(tensor_ops, name)
        monkeypatch.setattr(tensor_ops, name, lambda x, name=name, asked=asked: calls.append(name) or asked(x))
    trained(tw.formulas.get("soap(every=3)"), torch.float64, [(4, 3)])
    assert calls == ["eigenvectors"] * 2 + ["qr"] * 2  # at the first step, and at the fourth
