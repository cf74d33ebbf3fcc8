"""Whatever the shapes, groups, options and gradients: one pass does what torch's separate calls do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import thalweg as tw

STEPS = 3
SHAPES = [(), (0,), (1,), (5,), (3, 4), (2, 0, 3), (2, 3, 2), (66_001,)]  # the last is more than one segment
LAYOUTS = ("contiguous", "transposed", "every other")
RULES: dict[str, dict[str, Any]] = {"SGD": {"momentum": 0.9}, "AdamW": {"amsgrad": True, "eps": 1e-4}}
# Few combinations, because each is a kernel to compile.
WHOLE: list[dict[str, Any]] = [
    {},
    {"max_norm": 0.5},
    {"clip_value": 0.01, "zero_grad": True},
    {"ema_decay": 0.9},
    {"max_norm": 1e6, "clip_value": 100.0, "ema_decay": 0.0, "zero_grad": True},
]
NOTHING = {"max_norm": None, "clip_value": None, "ema_decay": None, "zero_grad": False}
# What gradients are made of: (scale, share of the elements that are replaced, by what).
SCALES = (1.0, 1e-6, 1e4)
STRANGE = (0.0, math.nan, math.inf, -math.inf, 1e30, 1e-38)


@dataclass(frozen=True)
class Gradient:
    """One tensor's gradient in one step; None is a parameter without."""

    scale: float
    strange: float | None

    def of(self, p: torch.Tensor, seed: int, layout: str) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        g = self.scale * torch.randn(p.shape, generator=generator, dtype=torch.float64)
        if self.strange is not None and g.numel():
            g.view(-1)[seed % g.numel()] = self.strange
        return laid_out(g.to(p.dtype), layout)


gradients = st.builds(Gradient, st.sampled_from((*SCALES, 0.0)), st.none() | st.none() | st.sampled_from(STRANGE))


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(1, 4))
    tensors = [
        (draw(st.sampled_from(SHAPES)), draw(st.sampled_from(LAYOUTS)), draw(st.sampled_from(LAYOUTS)))
        for _ in range(count)
    ]
    group = st.fixed_dictionaries(
        {"lr": st.sampled_from((0.5, 1e-3)), "weight_decay": st.sampled_from((0.0, 0.1)), "maximize": st.booleans()}
    )
    return {
        "name": draw(st.sampled_from(list(RULES))),
        "dtype": draw(st.sampled_from((torch.float64, torch.float32))),
        "tensors": tensors,
        "groups": [draw(group) for _ in range(draw(st.integers(1, count)))],
        "gradients": [[draw(st.none() | gradients | gradients) for _ in tensors] for _ in range(STEPS)],
        **NOTHING,
        **draw(st.sampled_from(WHOLE)),
        "scale": draw(st.sampled_from((None, 1024.0))),
    }


def laid_out(x: torch.Tensor, layout: str) -> torch.Tensor:
    """The same values with other strides."""
    if layout == "transposed" and x.dim() > 1:
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "every other" and x.dim():
        return torch.stack([x, x], dim=-1)[..., 0]
    return x.clone()


def parameters(case: dict[str, Any]) -> list[nn.Parameter]:
    made = []
    for k, (shape, layout, _) in enumerate(case["tensors"]):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        made.append(nn.Parameter(laid_out(x.to(case["dtype"]), layout)))
    return made


def optimizer(kinds: Any, case: dict[str, Any], params: list[nn.Parameter], **whole: Any) -> Any:
    count = len(case["groups"])
    groups = [{"params": params[k::count], **case["groups"][k]} for k in range(count)]
    return getattr(kinds, case["name"])(groups, **RULES[case["name"]], **whole)


def set_gradients(case: dict[str, Any], params: list[nn.Parameter], k: int) -> None:
    for i, (p, wanted) in enumerate(zip(params, case["gradients"][k], strict=True)):
        p.grad = None if wanted is None else wanted.of(p, 7 * k + i, case["tensors"][i][2])
        if p.grad is not None and case["scale"]:
            p.grad.mul_(case["scale"])


def separately(case: dict[str, Any], theirs: Any, params: list[nn.Parameter], averages: list[Any]) -> bool:
    """torch's calls, one after another, and what GradScaler does around them; False where it skips the step."""
    present = [p for p in params if p.grad is not None]
    finite = all(bool(p.grad.isfinite().all()) for p in present if p.grad is not None)
    for p in present if case["scale"] else ():
        p.grad.mul_(1 / case["scale"])
    if finite or not case["scale"]:
        if case["max_norm"] is not None:
            nn.utils.clip_grad_norm_(present, case["max_norm"])
        if case["clip_value"] is not None and present:
            nn.utils.clip_grad_value_(present, case["clip_value"])
        theirs.step()
        for p in present:
            k = next(k for k, q in enumerate(params) if q is p)
            first = averages[k] if averages[k] is not None else case["first"][k]
            averages[k] = torch.lerp(first, p.detach(), 1 - (case["ema_decay"] or 0.0))
    if case["zero_grad"]:
        theirs.zero_grad(set_to_none=False)
    return finite


def norm_overflows(case: dict[str, Any], params: list[nn.Parameter]) -> bool:
    """Whether torch's norm in the weights' own dtype is infinite where a norm in float64 is not."""
    found = [p.grad.detach().double() for p in params if p.grad is not None and p.grad.isfinite().all()]
    return case["max_norm"] is not None and any(float((g * g).sum()) > 1e36 for g in found)


def reached(before: torch.Tensor, g: torch.Tensor, scale: float | None) -> torch.Tensor:
    """The size of what each weight has been made of: rounding is relative to it, whatever cancels."""
    size = (g / (scale or 1.0)).abs().nan_to_num(0.0, 0.0, 0.0)
    return torch.maximum(before, size.to(before.dtype))


def alike(a: torch.Tensor, b: torch.Tensor, reach: torch.Tensor) -> bool:
    tolerance = 1e-10 if a.dtype == torch.float64 else 3e-5
    same = (a == b) | (a.isnan() & b.isnan()) | ((a - b).abs() <= tolerance * (reach + b.abs()))
    return bool(same.all())


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_one_pass_equals_torchs_separate_calls(case: dict[str, Any]) -> None:
    whole = {name: case[name] for name in NOTHING}
    a, b = parameters(case), parameters(case)
    averages: list[Any] = [None] * len(b)
    reach = [torch.ones_like(p, dtype=torch.float64) for p in b]
    ours, theirs = optimizer(tw.optim, case, a, **whole), optimizer(torch.optim, case, b)
    for k in range(STEPS):
        case["first"] = [p.detach().clone() for p in b]
        for params in (a, b):
            set_gradients(case, params, k)
        reach = [r if p.grad is None else reached(r, p.grad, case["scale"]) for r, p in zip(reach, b, strict=True)]
        if norm_overflows(case, b):
            return
        finite = separately(case, theirs, b, averages)
        if case["scale"]:
            ours.grad_scale = torch.tensor(case["scale"], dtype=torch.float64)
            ours.found_inf = torch.tensor(0.0 if finite else 1.0)
        ours.step()
        for p, q, r in zip(a, b, reach, strict=True):
            assert alike(p.detach(), q.detach(), r)
            assert (p.grad is None) is (q.grad is None)
            if case["zero_grad"] and p.grad is not None:
                assert not p.grad.any()
    if case["ema_decay"] is not None:
        count = len(case["groups"])
        order = [i for k in range(count) for i in range(k, len(b), count)]  # the groups' order
        for mine, i in zip(ours.ema_parameters(), order, strict=True):
            assert alike(mine, b[i].detach() if averages[i] is None else averages[i], reach[i])
