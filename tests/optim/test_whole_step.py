"""The whole step in one pass equals torch's separate calls."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import UsageError

from ..cases import mostly_slow
from .models import OPTIONS, OWN, OWN_BEYOND, close, network, train, weights

WHOLE: list[dict[str, Any]] = [
    {"max_norm": 0.1},
    {"max_norm": 1e9},
    {"clip_value": 0.02},
    {"ema_decay": 0.8},
    {"zero_grad": True},
    {"max_norm": 50.0, "clip_value": 0.1, "ema_decay": 0.9, "zero_grad": True},
]
whole = pytest.mark.parametrize("options", WHOLE, ids=str)


def gradients(params: list[nn.Parameter], k: int) -> None:
    for i, p in enumerate(params):
        g = torch.sin(torch.arange(p.numel(), dtype=torch.float64) + i + k).reshape(p.shape).to(p.dtype)
        p.grad = g if p.grad is None else p.grad + g


def separately(
    optimizer: torch.optim.Optimizer,
    params: list[nn.Parameter],
    averages: list[torch.Tensor],
    max_norm: float | None = None,
    clip_value: float | None = None,
    ema_decay: float | None = None,
    zero_grad: bool = False,
) -> None:
    """torch's calls, one after the other."""
    if max_norm is not None:
        nn.utils.clip_grad_norm_(params, max_norm)
    if clip_value is not None:
        nn.utils.clip_grad_value_(params, clip_value)
    optimizer.step()
    for a, p in zip(averages, params, strict=True):
        a.lerp_(p.detach().to(a.dtype), 1 - (ema_decay or 0.0))
    if zero_grad:
        optimizer.zero_grad(set_to_none=False)


def compared(
    ours: Any, theirs: Any, a: list[nn.Parameter], b: list[nn.Parameter], options: dict[str, Any], relative: float
) -> None:
    wide = {torch.bfloat16: torch.float32}
    averages = [p.detach().clone().to(wide.get(p.dtype, p.dtype)) for p in b]
    for k in range(6):
        for params in (a, b):
            if not options.get("zero_grad"):
                for p in params:
                    p.grad = None
            gradients(params, k)
        ours.step()
        separately(theirs, b, averages, **options)
    for x, y in zip(a, b, strict=True):
        assert torch.allclose(x.double(), y.double(), rtol=relative, atol=relative)
        assert not options.get("zero_grad") or not x.grad.any()
    if "ema_decay" in options:
        for x, y, p in zip(ours.ema_parameters(), averages, a, strict=True):
            assert x.dtype == y.dtype
            assert torch.allclose(x, y, rtol=relative, atol=relative)
            assert p.numel() < 90_000 or not torch.equal(x.double(), p.detach().double())


def parameters(dtype: torch.dtype) -> list[nn.Parameter]:
    return [nn.Parameter(torch.linspace(-1, 1, n, dtype=dtype)) for n in (3, 90_000, 1, 17)]


@pytest.mark.everyday(of=4)
@whole
@pytest.mark.share(of=3)
@pytest.mark.parametrize("name", mostly_slow(OPTIONS, "Adam", "SGD"))
def test_whole_step_equals_separate_calls(name: str, options: dict[str, Any]) -> None:
    a, b = parameters(torch.float64), parameters(torch.float64)
    own = {"momentum": 0.9} if name == "SGD" else {}
    theirs = getattr(torch.optim, name)(b, lr=0.01, maximize=True, **own)
    ours = getattr(tw.optim, name)(a, lr=0.01, maximize=True, **own, **options)
    compared(ours, theirs, a, b, options, 1e-6 if name in ("NAdam", "ASGD") else 1e-10)


@pytest.mark.slow
@pytest.mark.share(of=12)
@whole
@pytest.mark.parametrize("name", [*OWN, *OWN_BEYOND])
def test_whole_step_of_the_others_equals_separate_calls(name: str, options: dict[str, Any]) -> None:
    a, b = parameters(torch.float64), parameters(torch.float64)
    kind = getattr(tw.optim, name)
    compared(kind(a, lr=0.01, **options), kind(b, lr=0.01), a, b, options, 1e-10)


@pytest.mark.everyday(of=4)
@whole
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_whole_step_in_lower_precision(dtype: torch.dtype, options: dict[str, Any]) -> None:
    a, b = parameters(dtype), parameters(dtype)
    ours, theirs = tw.optim.SGD(a, lr=0.01, **options), tw.optim.SGD(b, lr=0.01)
    compared(ours, theirs, a, b, options, 1e-5 if dtype == torch.float32 else 2e-2)


def test_the_norm_goes_over_all_groups_and_both_ways_of_computing() -> None:
    a = [nn.Parameter(torch.ones(3, dtype=d)) for d in (torch.float32, torch.float64, torch.bfloat16)]
    optimizer = tw.optim.SGD([{"params": [p]} for p in a], lr=1.0, max_norm=1.5)
    for p in a:
        p.grad = torch.ones_like(p)
    optimizer.step()
    for p in a:  # the norm is 3, so each gradient becomes a half
        assert p.tolist() == pytest.approx([0.5] * 3, abs=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_norm_that_is_not_finite_does_what_clip_grad_norm_does(bad: float) -> None:
    ends = []
    for kind in (tw.optim.SGD, torch.optim.SGD):
        w = nn.Parameter(torch.ones(4))
        w.grad = torch.tensor([1.0, bad, 2.0, 3.0])
        if kind is torch.optim.SGD:
            nn.utils.clip_grad_norm_([w], 1.0)
        kind([w], lr=0.1, **({"max_norm": 1.0} if kind is tw.optim.SGD else {})).step()
        ends.append(w.detach())
    assert torch.equal(ends[0].isnan(), ends[1].isnan())
    assert torch.equal(ends[0].nan_to_num(), ends[1].nan_to_num())


def test_gradients_whose_squares_overflow_are_clipped() -> None:
    w = nn.Parameter(torch.zeros(2))
    w.grad = torch.tensor([3e30, 4e30])
    tw.optim.SGD([w], lr=1.0, max_norm=1.0).step()
    assert w.tolist() == pytest.approx([-0.6, -0.8], rel=1e-6)


def test_the_average_is_part_of_the_state_and_can_be_swapped_in() -> None:
    model = network()
    optimizer = tw.optim.Adam(model.parameters(), lr=0.01, ema_decay=0.9)
    assert all(map(torch.equal, optimizer.ema_parameters(), model.parameters()))
    train(model, optimizer, 5)
    trained, average = weights(model), torch.cat([a.flatten() for a in optimizer.ema_parameters()])
    other = network()
    taken_up = tw.optim.Adam(other.parameters(), ema_decay=0.9)
    taken_up.load_state_dict(optimizer.state_dict())
    assert torch.equal(torch.cat([a.flatten() for a in taken_up.ema_parameters()]), average)
    optimizer.swap_ema()
    assert torch.equal(weights(model), average)
    optimizer.swap_ema()
    assert torch.equal(weights(model), trained)
    assert not close(average, trained, 1e-4)
    torch.optim.Adam(other.parameters()).load_state_dict(optimizer.state_dict())


def test_swapping_before_the_first_step_changes_nothing() -> None:
    model = network()
    before = weights(model)
    tw.optim.Adam(model.parameters(), ema_decay=0.9).swap_ema()
    assert torch.equal(weights(model), before)


def test_whole_step_options_are_checked() -> None:
    params = list(network().parameters())
    with pytest.raises(UsageError, match="Invalid max_norm: -1; it must be above 0"):
        tw.optim.Adam(params, max_norm=-1)
    with pytest.raises(UsageError, match=r"Invalid ema_decay: 1.5; it must be in \[0, 1\)"):
        tw.optim.Adam(params, ema_decay=1.5)
    with pytest.raises(UsageError, match="there is no average of the weights: give the optimizer ema_decay="):
        tw.optim.Adam(params).ema_parameters()
