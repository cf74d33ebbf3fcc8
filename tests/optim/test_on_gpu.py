"""The optimizers' way to the GPU kernels, interpreted on the CPU: one launch, and nothing read back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.kernels import backends, numba_cpu, triton_gpu

from .models import EACH, OWN, close, network, train, weights

pytest.importorskip("triton", reason="there is no Triton for this machine")


@pytest.fixture(autouse=True)
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """CPU weights take the GPU's way; what was started there."""
    started: list[Any] = []
    start = triton_gpu.Step.start
    monkeypatch.setattr(backends, "BACKENDS", {"cpu": triton_gpu.Gpu})
    monkeypatch.setattr(triton_gpu.Step, "start", lambda self: (started.append(self), start(self)))
    monkeypatch.setattr(numba_cpu.Round, "run", lambda self: pytest.fail("the CPU's kernel was run"))
    return started


@pytest.mark.parametrize(("name", "options"), EACH, ids=str)
def test_every_class_follows_torch(name: str, options: dict[str, Any], launched: list[Any]) -> None:
    ends = []
    for module in (tw.optim, torch.optim):
        model = network()
        train(model, getattr(module, name)(model.parameters(), **options), 3)
        ends.append(weights(model))
    assert close(*ends, relative=1e-6 if name in ("NAdam", "ASGD") else 1e-10)
    assert len(launched) == 3


@pytest.mark.parametrize("name", OWN)
def test_every_other_class_goes_where_the_cpu_goes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for backend in (triton_gpu.Gpu, lambda _: None):  # None: the reference
        monkeypatch.setattr(backends, "BACKENDS", {"cpu": backend})
        model = network()
        train(model, getattr(tw.optim, name)(model.parameters(), lr=0.01), 3)
        ends.append(weights(model))
    assert close(*ends)


def parameters(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    return [
        nn.Parameter(torch.linspace(-1, 1, n).to(dtype).reshape(s))
        for n, s in ((3, (3,)), (1500, (30, 50)), (0, (0, 4)), (1, ()), (300, (300,)))
    ]


def gradients(params: list[nn.Parameter], k: int) -> None:
    for i, p in enumerate(params):
        p.grad = torch.sin(torch.arange(p.numel()) + i + k).reshape(p.shape).to(p.dtype)


def test_many_groups_are_one_launch_and_a_schedule_makes_no_other_kernel(launched: list[Any]) -> None:
    a, b = parameters(), parameters()
    made = []
    for kind, p in ((tw.optim.AdamW, a), (torch.optim.AdamW, b)):
        made.append(
            kind(
                [
                    {"params": p[:1], "lr": 0.1},
                    {"params": p[1:3], "lr": 0.01, "maximize": True},
                    {"params": p[3:], "weight_decay": 0.3},
                ],
                lr=0.05,
            )
        )
    schedules = [torch.optim.lr_scheduler.ExponentialLR(o, 0.5) for o in made]
    kernels = triton_gpu.compiled.cache_info().misses
    for k in range(4):
        for optimizer, schedule, p in zip(made, schedules, (a, b), strict=True):
            gradients(p, k)
            optimizer.step()
            schedule.step()
    for x, y in zip(a, b, strict=True):
        assert torch.allclose(x, y, rtol=1e-5, atol=1e-6)
    assert len(launched) == 4
    assert triton_gpu.compiled.cache_info().misses - kernels <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_whole_step_reads_nothing_back(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = parameters(dtype), parameters(dtype)
    averages = [p.detach().float().clone() for p in b]
    ours = tw.optim.SGD(a, lr=0.5, max_norm=0.1, clip_value=0.005, ema_decay=0.8, zero_grad=True, maximize=True)
    theirs = torch.optim.SGD(b, lr=0.5, maximize=True)
    for k in range(3):
        gradients(a, k)
        gradients(b, k)
        nn.utils.clip_grad_norm_(b, 0.1)
        nn.utils.clip_grad_value_(b, 0.005)
        theirs.step()
        for average, p in zip(averages, b, strict=True):
            average.lerp_(p.detach().float(), 0.2)
        if k:  # after the first step, which lays out the plan
            for name in ("item", "tolist", "__float__", "__bool__", "numpy", "cpu"):
                monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("a tensor was read"))
        ours.step()
        monkeypatch.undo()
        monkeypatch.setattr(backends, "BACKENDS", {"cpu": triton_gpu.Gpu})
    relative = 1e-5 if dtype == torch.float32 else 2e-2
    for x, y in zip((*a, *ours.ema_parameters()), (*b, *averages), strict=True):
        assert torch.allclose(x.float(), y.float(), rtol=relative, atol=relative)
    assert not any(p.grad.any() for p in a if p.grad is not None)


def test_a_norm_below_the_bound_changes_nothing() -> None:
    w = nn.Parameter(torch.zeros(2))
    w.grad = torch.tensor([3.0, 4.0])
    tw.optim.SGD([w], lr=1.0, max_norm=10.0).step()
    assert w.tolist() == [-3.0, -4.0]


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


@pytest.mark.parametrize("state_dtype", [torch.bfloat16, "int8"], ids=str)
def test_small_states_are_those_of_the_reference(state_dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for backend in (triton_gpu.Gpu, lambda _: None):
        monkeypatch.setattr(backends, "BACKENDS", {"cpu": backend})
        params = parameters()
        optimizer = tw.optim.Adam(params, lr=0.01, state_dtype=state_dtype)
        for k in range(3):
            gradients(params, k)
            optimizer.step()
        ends.append((params, [s for p in params for n, s in optimizer.state[p].items() if n != "step"]))
    for x, y in zip(*(params for params, _ in ends), strict=True):
        assert torch.allclose(x, y, rtol=1e-3, atol=1e-4)
    for x, y in zip(*(states for _, states in ends), strict=True):
        assert x.dtype == y.dtype
        assert int((x != y).sum()) <= 0.01 * x.numel() + 1


def test_a_gpu_and_the_cpu_share_one_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """float64 on the GPU's way, float32 by the reference: as if on two devices."""
    float64 = frozenset(["float64"])
    monkeypatch.setattr(backends, "BACKENDS", {"cpu": lambda device: triton_gpu.Gpu(device, float64)})
    a = [nn.Parameter(torch.ones(3, dtype=d)) for d in (torch.float32, torch.float64, torch.bfloat16)]
    optimizer = tw.optim.SGD([{"params": [p]} for p in a], lr=1.0, max_norm=1.5)
    for p in a:
        p.grad = torch.ones_like(p)
    optimizer.step()
    for p in a:  # the norm is 3, so each gradient becomes a half
        assert p.tolist() == pytest.approx([0.5] * 3, abs=1e-5)


def test_without_triton_the_reference_computes_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_gpu, "installed", lambda: False)
    monkeypatch.setattr(backends, "BACKENDS", {"cpu": backends._gpu})
    backends._without_triton.cache_clear()
    model = network()
    optimizer = tw.optim.SGD(model.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="triton, which compiles the kernels for it, is not installed"):
        train(model, optimizer, 1)
    train(model, optimizer, 1)
