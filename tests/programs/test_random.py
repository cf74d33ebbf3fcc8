"""Models made of layers drawn at random: the compiled step beside plain PyTorch, at sizes drawn at random too."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from ..cases import times
from .harness import both, compiled, far, made, state_of, training
from .models import Case, Do

QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "derandomize": True, "database": None}
FLAT = {
    "linear": lambda width, new: [nn.Linear(width, new)],
    "linear, plain": lambda width, new: [nn.Linear(width, new, bias=False)],
    "batch norm": lambda width, new: [nn.BatchNorm1d(width), nn.Linear(width, new)],
    "layer norm": lambda width, new: [nn.LayerNorm(width), nn.Linear(width, new)],
    "softmax": lambda width, new: [nn.Linear(width, new), nn.Softmax(-1)],
    "doubled": lambda width, new: [Do(lambda x: torch.cat([x, x * x], -1)), nn.Linear(2 * width, new)],
    "turned": lambda width, new: [Do(lambda x: x.flip(-1).roll(1, -1)), nn.Linear(width, new)],
    "scaled": lambda width, new: [Do(lambda x: x / (1 + x.norm(dim=-1, keepdim=True))), nn.Linear(width, new)],
    "centred": lambda width, new: [Do(lambda x: x - x.mean(0)), nn.Linear(width, new)],
}
IMAGE = {
    "conv": lambda width, new: [nn.Conv2d(width, new, 3, padding=1)],
    "conv, plain": lambda width, new: [nn.Conv2d(width, new, (2, 3), padding=(1, 1), bias=False)],
    "conv, stride": lambda width, new: [nn.Conv2d(width, new, 3, stride=2, padding=1)],
    "conv, points apart": lambda width, new: [nn.Conv2d(width, new, 2, dilation=2, padding=1)],
    "one by one": lambda width, new: [nn.Conv2d(width, new, 1)],
    "by channel": lambda width, new: [nn.Conv2d(width, width, 3, padding=1, groups=width), nn.Conv2d(width, new, 1)],
    "transposed": lambda width, new: [nn.ConvTranspose2d(width, new, 2)],
    "batch norm": lambda width, new: [nn.Conv2d(width, new, 1), nn.BatchNorm2d(new)],
    "group norm": lambda width, new: [nn.Conv2d(width, new, 2, padding=1), nn.GroupNorm(1, new)],
    "max pool": lambda width, new: [nn.Conv2d(width, new, 3, padding=2), nn.MaxPool2d(2)],
    "max pool, overlap": lambda width, new: [nn.Conv2d(width, new, 3, padding=2), nn.MaxPool2d(3, 2, 1)],
    "average pool": lambda width, new: [nn.Conv2d(width, new, 3, padding=2), nn.AvgPool2d(2)],
}
BETWEEN = (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.Sigmoid, nn.Softplus, nn.LeakyReLU, nn.Identity)
WIDTHS = st.sampled_from([1, 2, 3, 5, 8, 13, 16, 17, 33, 50])


@st.composite
def flat(draw: st.DrawFn) -> Case:
    first = width = draw(WIDTHS)
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        new = draw(WIDTHS)
        layers += [*FLAT[draw(st.sampled_from(sorted(FLAT)))](width, new), draw(st.sampled_from(BETWEEN))()]
        width = new
    return Case(functools.partial(_fresh, [*layers, nn.Linear(width, 5)]), (first,))


@st.composite
def images(draw: st.DrawFn) -> Case:
    first = width = draw(st.integers(1, 4))
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 3))):
        new = draw(st.sampled_from([1, 2, 3, 8, 17, 34]))
        layers += [*IMAGE[draw(st.sampled_from(sorted(IMAGE)))](width, new), draw(st.sampled_from(BETWEEN))()]
        width = new
    sides = draw(st.tuples(st.integers(4, 9), st.integers(4, 9)))
    return Case(functools.partial(_fresh, [*layers, nn.Flatten(), nn.LazyLinear(5)]), (first, *sides))


def _fresh(layers: list[nn.Module]) -> nn.Module:
    return nn.Sequential(*layers)


def agree(case: Case, sizes: tuple[int, int], other: int) -> None:
    model = made(case, torch.float64)
    call, state = training(model, case.loss), state_of(model)
    batches = {n: (*case.batch(n, torch.float64), *state) for n in (*sizes, other)}
    step = compiled(call, *((n, batches[n]) for n in sizes))
    assert step.graph.size is None
    assert max(far(both(call, step, batch, n)) for n, batch in batches.items()) <= 1e-9


SIZES = st.sampled_from([(6, 4), (16, 9), (33, 17)])
OTHER = st.integers(2, 40)


@pytest.mark.slow
@settings(max_examples=3, **QUIET)
@given(flat(), SIZES, OTHER)
def test_flat_models(case: Case, sizes: tuple[int, int], other: int) -> None:
    agree(case, sizes, other)


@settings(max_examples=3, **QUIET)
@given(images(), SIZES, OTHER)
def test_models_of_images(case: Case, sizes: tuple[int, int], other: int) -> None:
    agree(case, sizes, other)


@pytest.mark.slow
@settings(max_examples=times(30), **QUIET)
@given(flat(), SIZES, OTHER)
def test_many_flat_models(case: Case, sizes: tuple[int, int], other: int) -> None:
    agree(case, sizes, other)


@pytest.mark.slow
@settings(max_examples=times(30), **QUIET)
@given(images(), SIZES, OTHER)
def test_many_models_of_images(case: Case, sizes: tuple[int, int], other: int) -> None:
    agree(case, sizes, other)
