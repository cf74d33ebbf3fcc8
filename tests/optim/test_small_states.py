"""States in bfloat16 and int8, and bfloat16 weights rounded at random: against the reference, and as users use them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from tests.harness import ELEMENTWISE
from thalweg.errors import UsageError
from thalweg.formulas import get, names
from thalweg.optim import FormulaOptimizer, parameter, states

from ..cases import mostly_slow

SHAPES = ((300, 7), (513,), (1,), (0, 3), ())
SMALL = (torch.bfloat16, "int8")
rules = pytest.mark.parametrize("name", names())
small = pytest.mark.parametrize("state_dtype", SMALL, ids=str)


def parameters(dtype: torch.dtype = torch.float32, shapes: Sequence[tuple[int, ...]] = SHAPES) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for s in shapes]


def step(optimizer: FormulaOptimizer, params: Sequence[nn.Parameter], t: int) -> None:
    generator = torch.Generator().manual_seed(t)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)
    optimizer.step(lambda: 1.0 / t)


def values(optimizer: FormulaOptimizer) -> list[torch.Tensor]:
    """All states but the step count, as values."""
    return [
        states.readable(kept, key.removesuffix("_int8")).double().flatten()
        for kept in optimizer.state.values()
        for key in sorted(kept)
        if key != "step" and not key.endswith("_scale")
    ]


FEW = ("sgd", "adam", "lion")


@pytest.mark.share(of=12)
@pytest.mark.parametrize("name", mostly_slow(ELEMENTWISE, *FEW))
@small
@pytest.mark.parametrize("dtype", mostly_slow([torch.float32, torch.float64, torch.bfloat16], torch.bfloat16), ids=str)
def test_the_kernel_does_what_the_reference_does(
    name: str, state_dtype: Any, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = parameters(dtype)
    kind = tw.optim.from_formula(name)
    ours = kind(params, state_dtype=state_dtype, stochastic_rounding=dtype == torch.bfloat16, ema_decay=0.5)
    for t in (1, 2, 3):
        step(ours, params, t)
    assert not ours._plan.others
    others, reference = copy.deepcopy((params, ours))
    step(ours, params, 4)
    monkeypatch.setattr(parameter, "_formats", lambda *_: None)
    step(reference, others, 4)
    assert reference._plan.others
    for one, other in zip(values(ours), values(reference), strict=True):
        # What falls just beside a threshold may be rounded to the other neighbour.
        same = (one - other).abs() <= 1e-5 * other.abs()
        assert one.numel() < 100 or same.float().mean() > 0.99
        assert torch.allclose(one, other, rtol=0.2, atol=1e-6 * float(other.abs().max()) if len(other) else 0)
    for one, other in zip(params, others, strict=True):
        near = torch.isclose(one.detach().double(), other.detach().double(), rtol=1e-4, atol=1e-6)
        assert one.numel() < 100 or near.double().mean() > 0.98


@small
@pytest.mark.parametrize("layout", ["channels_last", "transposed", "gaps"])
def test_states_follow_the_layout_of_the_weights(state_dtype: Any, layout: str) -> None:
    plain = torch.randn(8, 6, 5, 5, generator=torch.Generator().manual_seed(0))
    laid = {
        "channels_last": lambda: plain.to(memory_format=torch.channels_last),
        "transposed": lambda: plain.transpose(0, 1).contiguous().transpose(0, 1),
        "gaps": lambda: torch.cat([plain, plain], dim=1)[:, :6],
    }[layout]()
    p = nn.Parameter(laid)
    optimizer = tw.optim.Adam([p], lr=0.1, state_dtype=state_dtype)
    expected = nn.Parameter(laid.clone().double())
    wide = torch.optim.Adam([expected], lr=0.1)
    for t in range(5):
        p.grad = torch.cos(plain * (t + 1))
        expected.grad = p.grad.double()
        optimizer.step()
        wide.step()
    assert (p - expected).abs().max() < 0.1
    assert (p - expected).abs().mean() < 0.01


@small
def test_saved_and_taken_up_again_gives_the_same_bits(state_dtype: Any) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        whole, parts = parameters(dtype), parameters(dtype)
        given = {"state_dtype": state_dtype, "stochastic_rounding": True}
        one, other = tw.optim.AdamW(whole, **given), tw.optim.AdamW(parts, **given)
        for t in range(1, 7):
            step(one, whole, t)
            step(other, parts, t)
            if t == 3:
                saved = copy.deepcopy(other.state_dict())
                other = tw.optim.AdamW(parts, **given)
                other.load_state_dict(saved)
        assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))
        kept = {v.dtype for s in saved["state"].values() for k, v in s.items() if k.startswith("exp_avg")}
        assert kept == ({torch.bfloat16} if state_dtype == torch.bfloat16 else {torch.int8, torch.float32})


@pytest.mark.parametrize("old", [None, torch.bfloat16, "int8"], ids=str)
@pytest.mark.parametrize("new", [None, torch.float32, torch.bfloat16, "int8"], ids=str)
def test_a_saved_state_is_converted_to_the_format_that_is_asked_for(old: Any, new: Any) -> None:
    params = parameters()
    first = tw.optim.Adam(params, state_dtype=old)
    for t in (1, 2, 3):
        step(first, params, t)
    second = tw.optim.Adam(params, state_dtype=new)
    second.load_state_dict(first.state_dict())
    before = values(first)
    for p in params:
        p.grad = torch.zeros_like(p)
    second.step()
    for one, other in zip(before, values(second), strict=True):
        close = (one * 0.95 - other).abs() <= 0.1 * one.abs() + 1e-12  # between β₁ and β₂ of what it was
        assert one.numel() < 100 or close.double().mean() > 0.97


def test_torchs_state_is_taken_up_in_small_and_int8_is_not_taken_for_numbers() -> None:
    params = parameters()
    theirs = torch.optim.Adam(params)
    for t in (1, 2):
        for p in params:
            p.grad = torch.full_like(p, float(t))
        theirs.step()
    ours = tw.optim.Adam(params, state_dtype="int8")
    ours.load_state_dict(theirs.state_dict())
    ours.step()
    assert float(ours.state[params[0]]["step"]) == 3
    assert states.readable(ours.state[params[0]], "exp_avg").mean() == pytest.approx(0.461, rel=0.02)
    theirs.load_state_dict(ours.state_dict())
    with pytest.raises(KeyError, match="exp_avg"):
        theirs.step()


def test_bytes() -> None:
    sizes = {}
    for state_dtype in (None, *SMALL):
        p = nn.Parameter(torch.zeros(100_000))
        optimizer = tw.optim.Adam([p], state_dtype=state_dtype)
        p.grad = torch.ones_like(p)
        optimizer.step()
        sizes[state_dtype] = sum(v.nbytes for v in optimizer.state[p].values())
    assert sizes[torch.bfloat16] <= 0.51 * sizes[None]
    assert sizes["int8"] <= 0.26 * sizes[None]


def test_updates_below_the_last_bit_are_lost_to_the_nearest_and_not_at_random() -> None:
    moved = {}
    for rounded in (False, True):
        p = nn.Parameter(torch.ones(4096, dtype=torch.bfloat16))
        optimizer = tw.optim.SGD([p], lr=1e-4, stochastic_rounding=rounded)
        for _ in range(100):
            p.grad = torch.ones_like(p)
            optimizer.step()
        moved[rounded] = float(p.detach().double().mean()) - 1
    assert moved[False] == 0
    assert moved[True] == pytest.approx(-0.01, rel=0.1)


def test_a_moving_average_in_bfloat16_keeps_moving() -> None:
    p = nn.Parameter(torch.zeros(4096))
    optimizer = tw.optim.Adam([p], betas=(0.9, 0.999), state_dtype=torch.bfloat16)
    for _ in range(1000):
        p.grad = torch.ones_like(p)
        optimizer.step()
    expected = 1 - 0.999**1000
    assert float(optimizer.state[p]["exp_avg_sq"].double().mean()) == pytest.approx(expected, rel=0.01)


@small
def test_nothing_that_is_not_finite_spreads_beyond_its_block(state_dtype: Any) -> None:
    p = nn.Parameter(torch.ones(1024))
    optimizer = tw.optim.Adam([p], state_dtype=state_dtype)
    p.grad = torch.ones_like(p)
    p.grad[300] = float("nan")
    optimizer.step()
    optimizer.step()
    bad = p.isnan().nonzero().flatten()
    assert 300 in bad
    assert bad.min() >= 256
    assert bad.max() < 512


@pytest.mark.parametrize("wrong", [torch.float16, "float8", 8, torch.int32])
def test_formats_that_there_are_not_are_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r'Invalid state_dtype: .*must be torch.float32, torch.bfloat16 or "int8"'):
        tw.optim.Adam(parameters(), state_dtype=wrong)


def test_a_rule_that_looks_ahead_reads_small_states() -> None:
    paths = []
    for state_dtype in (None, *SMALL):
        p = nn.Parameter(torch.full((300,), 2.0))
        kind = tw.optim.from_formula(get("nesterov").with_(lookahead=True))
        optimizer = kind([p], lr=0.05, state_dtype=state_dtype)

        def closure(p: nn.Parameter = p, optimizer: Any = optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            loss = p.square().sum()
            loss.backward()
            return loss

        for _ in range(10):
            optimizer.step(closure)
        paths.append(p.detach().mean())
    assert float(paths[0]) == pytest.approx(float(paths[1]), abs=0.02)
    assert float(paths[0]) == pytest.approx(float(paths[2]), abs=0.02)


@pytest.mark.parametrize("state_dtype", [None, *SMALL], ids=str)
def test_a_state_of_another_shape_is_refused(state_dtype: Any) -> None:
    first = tw.optim.Adam(parameters(shapes=((3, 4),)), state_dtype=state_dtype)
    step(first, first.param_groups[0]["params"], 1)
    params = parameters(shapes=((4, 5),))
    second = tw.optim.Adam(params, state_dtype=state_dtype)
    second.load_state_dict(first.state_dict())
    with pytest.raises(UsageError, match=r"a state of shape \(3, 4\) was loaded for a parameter of shape \(4, 5\)"):
        step(second, params, 2)
