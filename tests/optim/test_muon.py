"""`tw.optim.Muon` is torch's, float64 weights more precisely, and `muon` takes tensors of every shape."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import UsageError

OPTIONS: list[dict[str, Any]] = [
    {},
    {"lr": 0.05, "weight_decay": 0.3, "momentum": 0.8, "nesterov": False, "ns_steps": 4},
    {"lr": 0.02, "adjust_lr_fn": "match_rms_adamw", "ns_coefficients": (2.0, -1.5, 0.5), "eps": 1e-3},
]
SHAPES = [(8, 5), (5, 8), (6, 6)]


def trained(kind: Any, dtype: torch.dtype, steps: int = 8, **options: Any) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for s in SHAPES]
    optimizer = kind(params, **options)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator).to(dtype)
        optimizer.step()
    return [p.detach() for p in params]


def in_bfloat16(x: torch.Tensor) -> torch.Tensor:
    return x.bfloat16()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_path_is_torchs_to_the_precision_of_bfloat16(options: dict[str, Any], dtype: torch.dtype) -> None:
    ours, theirs = (trained(kind, dtype, **options) for kind in (tw.optim.Muon, torch.optim.Muon))
    starts = trained(tw.optim.Muon, dtype, steps=0, **options)
    for mine, other, start in zip(ours, theirs, starts, strict=True):
        assert (mine - other).norm() <= 0.03 * (other - start).norm()


def test_float32_is_rounded_to_bfloat16_by_the_class_and_not_by_the_formula() -> None:
    exact, errors = trained(tw.optim.Muon, torch.float64), []
    for kind in (tw.optim.from_formula("muon"), tw.optim.Muon):
        params = trained(kind, torch.float32, lr=1e-3, weight_decay=0.1)
        errors.append(max(float((p - e).norm() / e.norm()) for p, e in zip(params, exact, strict=True)))
    assert errors[0] < 1e-6 < 1e-5 < errors[1]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_path_is_torchs_where_both_compute_in_float64(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = inspect.getsource(torch.optim._muon._zeropower_via_newtonschulz).replace("grad.bfloat16()", "grad.clone()")
    scope: dict[str, Any] = dict(vars(torch.optim._muon))
    exec(theirs, scope)
    monkeypatch.setattr(torch.optim._muon, "_zeropower_via_newtonschulz", scope["_zeropower_via_newtonschulz"])
    ours, theirs = (trained(kind, torch.float64, **options) for kind in (tw.optim.Muon, torch.optim.Muon))
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine - other).norm() <= 1e-10 * other.norm()


def test_arguments_and_state_dicts_are_torchs() -> None:
    ours, theirs = (list(inspect.signature(k).parameters.values()) for k in (tw.optim.Muon, torch.optim.Muon))
    assert [(p.name, p.default) for p in ours][: len(theirs)] == [(p.name, p.default) for p in theirs]
    states = []
    for kind in (tw.optim.Muon, torch.optim.Muon):
        p = nn.Parameter(torch.ones(3, 2))
        p.grad = torch.ones(3, 2)
        optimizer = kind([p])
        optimizer.step()
        states.append(optimizer.state_dict()["state"])
        for other in (tw.optim.Muon, torch.optim.Muon):
            other([nn.Parameter(torch.ones(3, 2))]).load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert [{n: v.shape for n, v in s[0].items()} for s in states] == [{"momentum_buffer": (3, 2)}] * 2
    assert torch.equal(states[0][0]["momentum_buffer"], states[1][0]["momentum_buffer"])


@pytest.mark.parametrize(
    "wrong",
    [{"lr": -1.0}, {"momentum": -0.1}, {"weight_decay": -0.1}, {"adjust_lr_fn": "other"}, {"lr": torch.ones(2)}],
    ids=str,
)
def test_errors_begin_as_torchs(wrong: dict[str, Any]) -> None:
    matrix = [nn.Parameter(torch.ones(2, 2))]
    with pytest.raises(ValueError) as torch_says:
        torch.optim.Muon(matrix, **wrong)
    with pytest.raises(UsageError) as we_say:
        tw.optim.Muon(matrix, **wrong)
    assert str(we_say.value)[:20] == str(torch_says.value)[:20]


@pytest.mark.parametrize("shape", [(3,), (), (2, 2, 2)])
def test_other_tensors_are_refused_and_the_formula_takes_them(shape: tuple[int, ...]) -> None:
    p = nn.Parameter(torch.ones(shape))
    with pytest.raises(ValueError, match="only supports 2D parameters whereas we found a parameter with size"):
        torch.optim.Muon([p])
    with pytest.raises(UsageError, match=r"size: torch.Size\(.*\); give it to AdamW, or use tw.optim.from_formula"):
        tw.optim.Muon([p])
    optimizer = tw.optim.from_formula("muon")([p])
    p.grad = torch.ones(shape)
    optimizer.step()
    assert not torch.equal(p.detach(), torch.ones(shape))
