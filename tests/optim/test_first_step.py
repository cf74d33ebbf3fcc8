"""A kernel is compiled once: for all optimizers of its formula, and for all processes after the first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from numba.core import event

import thalweg as tw
from thalweg.kernels import numba_cpu

from .models import network, train, weights

ALL = {"max_norm": 0.5, "clip_value": 0.1, "ema_decay": 0.9, "zero_grad": True}
# Steps of a process, as (class or formula, arguments): each asks for another kernel, or for one it has already.
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "betas": (0.8, 0.9)}),
    ("AdamW", {"max_norm": 0.5}),
    ("AdamW", ALL),
    ("AdamW", {**ALL, "max_norm": 2.0, "ema_decay": 0.5}),
    ("SGD", {"momentum": 0.9, "zero_grad": True}),
    ("adamw", {"beta1": 0.7}),
    ("adamw(beta2=0.9)", {}),
    ("Adam", {"maximize": True}),
]
PROGRAM = f"""
import json, torch, thalweg as tw
from numba.core import event

compiled = []
weight = torch.nn.Parameter(torch.ones(5))
for name, arguments in {STEPS!r}:
    kind = getattr(tw.optim, name, None) or tw.optim.from_formula(name)
    with event.install_recorder("numba:run_pass") as seen:
        weight.grad = torch.linspace(-1, 1, 5)
        kind([weight], **arguments).step()
    compiled.append(len(seen.buffer))
print(json.dumps([compiled, weight.tolist()]))
"""


def process(cache: Path) -> tuple[list[int], list[float]]:
    """How many passes of its compiler Numba ran for each of the steps, in a process of its own, and the weights."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "THALWEG_CACHE": str(cache)},
    )
    assert done.returncode == 0, done.stderr
    compiled, weight = json.loads(done.stdout)
    return compiled, weight


@pytest.mark.slow
def test_the_second_process_compiles_nothing_and_steps_alike(tmp_path: Path) -> None:
    first, ends_first = process(tmp_path)
    second, ends_second = process(tmp_path)
    assert second == [0] * len(STEPS)
    assert ends_second == ends_first
    again = [1, 4, 6, 7]  # other numbers for a kernel that is there
    assert [bool(n) for n in first] == [k not in again for k in range(len(STEPS))]


def test_optimizers_of_one_formula_share_its_kernel() -> None:
    adam = tw.formulas.get("adam")
    made = [
        kind(network().parameters(), **arguments)
        for kind, arguments in (
            (tw.optim.Adam, {}),
            (tw.optim.Adam, {"lr": torch.tensor(0.5), "weight_decay": 0.3, "betas": (0.5, 0.6)}),
            (tw.optim.from_formula(adam), {"eps": 1e-3}),
            (tw.optim.from_formula(adam.with_(beta2=0.9)), {}),
            (tw.optim.from_formula("adam(lr=0.5)"), {"beta1": 0.1}),
        )
    ]
    kernels = {id(numba_cpu.compiled(o.rule.choose(o.param_groups[0]).equations, torch.float64)) for o in made}
    assert len(kernels) == 1
    other = tw.optim.Adam(network().parameters(), amsgrad=True)
    equations = other.rule.choose(other.param_groups[0]).equations
    assert id(numba_cpu.compiled(equations, torch.float64)) not in kernels


@pytest.mark.parametrize("whole", [{}, ALL], ids=str)
def test_numbers_that_change_compile_nothing(whole: dict[str, Any]) -> None:
    model = network()
    optimizer = tw.optim.AdamW(model.parameters(), **whole)
    train(model, optimizer, 1)
    before = weights(model)
    with event.install_recorder("numba:run_pass") as seen:
        for k in range(5):
            optimizer.param_groups[0].update(lr=0.1 / (1 + k), weight_decay=0.1 * k, betas=(0.5, 0.9 + 0.01 * k))
            train(model, optimizer, 1)
    assert not seen.buffer
    assert not torch.equal(before, weights(model))
