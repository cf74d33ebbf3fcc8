"""What the tests of schedules share: the rates a torch scheduler gives, and schedules drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from thalweg import schedules
from thalweg.schedules import Schedule

MAKERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr=lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "adam": lambda p, lr: torch.optim.Adam(p, lr=lr),
}


def optimizer(name: str = "sgd", lr: float = 1.0) -> Optimizer:
    return MAKERS[name]([torch.zeros(1, requires_grad=True)], lr)


def rates(opt: Optimizer, scheduler: LRScheduler, steps: int, key: str = "lr") -> list[float]:
    """The value at each of the first steps, and nothing beyond."""
    found = []
    for step in range(steps):
        group = opt.param_groups[0]
        found.append(group["betas"][0] if key == "beta1" else group[key])
        opt.step()
        if step + 1 < steps:
            scheduler.step()
    return found


NUMBER = st.floats(0.05, 0.99)
LENGTH = st.integers(1, 12) | st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.9])
STEPS = LENGTH | st.just(1.0)
MILESTONES = st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True).map(sorted)
S = schedules
SIMPLE: dict[str, st.SearchStrategy[Schedule]] = {
    "constant": st.builds(S.Constant, NUMBER, st.none() | STEPS) | st.builds(S.Constant),
    "cosine": st.builds(S.Cosine, st.just(0.0) | NUMBER),
    "linear": st.builds(S.Linear, st.just(0.0) | NUMBER, NUMBER, STEPS) | st.builds(S.Linear, steps=STEPS),
    "polynomial": st.builds(S.Polynomial, st.floats(0.3, 3), STEPS),
    "step": st.builds(S.Step, LENGTH, NUMBER),
    "step_decay": st.builds(S.StepDecay, LENGTH, NUMBER),
    "multistep": st.builds(S.MultiStep, MILESTONES, NUMBER),
    "exponential": st.builds(S.Exponential, NUMBER),
    "exponential_decay": st.builds(S.ExponentialDecay, st.floats(0, 1)),
    "one_over_t": st.builds(S.OneOverT),
    "inverse_time": st.builds(S.InverseTime, st.floats(0, 1)),
    "inverse_sqrt": st.builds(S.InverseSqrt, LENGTH),
    "wsd": st.builds(
        S.WarmupStableDecay,
        st.sampled_from([0.1, 1, 2]),
        st.sampled_from([0.2, 1, 3]),
        NUMBER,
        st.sampled_from(["linear", "cosine", "sqrt"]),
    ),
    "cosine_restarts": st.builds(S.WarmRestarts, LENGTH, st.integers(1, 3), st.just(0.0) | NUMBER),
    "one_cycle": st.builds(
        S.OneCycle,
        st.floats(0.1, 0.45),
        st.sampled_from(["cos", "linear"]),
        st.just(False),
        NUMBER,
        NUMBER,
        st.floats(1, 50),
        st.floats(1, 1e4),
        st.booleans(),
    ),
    "cyclic": st.builds(
        S.Cyclic,
        NUMBER,
        LENGTH,
        st.none() | LENGTH,
        st.sampled_from(["triangular", "triangular2", "exp_range"]),
        NUMBER,
        st.just(False),
    ),
}
ANY = st.one_of(*SIMPLE.values())
COMPOSED: dict[str, st.SearchStrategy[Schedule]] = {
    "warmup": st.builds(S.Warmup, ANY, st.sampled_from([0.1, 0.3, 1, 5]), st.none() | st.just(0.0) | NUMBER),
    "chained": st.builds(S.Chained, st.lists(ANY, min_size=1, max_size=3)),
    "sequential": st.integers(1, 3).flatmap(
        lambda k: st.builds(
            S.Sequential,
            st.lists(ANY, min_size=k + 1, max_size=k + 1),
            st.lists(st.integers(4, 20), min_size=k, max_size=k, unique=True).map(sorted),
        )
    ),
}
OPEN = {**SIMPLE, **COMPOSED}
TOTALS = st.integers(24, 60)


def fits(schedule: Schedule, total: int) -> bool:
    from thalweg.errors import PlanError

    try:
        schedule.check(total)
    except PlanError:
        return False
    return True


def kind_of(scheduler: Any) -> str:
    return type(scheduler).__name__
