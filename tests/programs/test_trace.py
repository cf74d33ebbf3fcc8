"""What writes in place is taken out of a trace, and each reader sees what it saw."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from thalweg.programs import trace

from .harness import compiled, run


def read_before_and_after(x: Tensor) -> list[Tensor]:
    y = x.clone()
    before = y * 3
    y.add_(1)
    return [before, y * 2, x * 1]


def statistics(x: Tensor) -> list[Tensor]:
    mean = x.clone()
    mean.copy_(mean * 0.9 + 0.1)
    return [mean, mean + x]


def through_a_view(x: Tensor) -> list[Tensor]:
    y = x.clone()
    first = y[0]
    y.add_(1)
    return [first, y]


def into_a_view(x: Tensor) -> list[Tensor]:
    y = x.clone()
    flat = y.add_(1).view(-1)
    flat.mul_(2)
    return [y]


def twice(x: Tensor) -> list[Tensor]:
    y = x.clone()
    y.add_(1)
    between = y * 2
    y.add_(2)
    return [y, between]


def source_written_later(x: Tensor) -> list[Tensor]:
    y, z = x.clone(), x.exp()
    y.copy_(z)
    z.add_(1)
    return [y, z]


def view_of_a_source_written_later(x: Tensor) -> list[Tensor]:
    y, z = x.clone(), x.exp()
    part = z[0]
    y.copy_(z)
    part.add_(1)
    return [y, z]


def written_on(x: Tensor) -> list[Tensor]:
    y, z = x.clone(), x.exp()
    y.copy_(z).add_(1)
    return [y, z * 2]


def with_a_factor(x: Tensor) -> list[Tensor]:
    y = x.clone()
    y.add_(1, alpha=2)
    return [y * 2]


def of_one_argument(x: Tensor) -> list[Tensor]:
    y = x.clone()
    y.relu_()
    return [y, x * 2]


def of_another_dtype(x: Tensor) -> list[Tensor]:
    y = x.clone()
    y.copy_((x * 2).to(torch.float64))
    return [y, y + 1]


def of_another_shape(x: Tensor) -> list[Tensor]:
    y = x.clone()
    y.copy_(x.exp().sum())
    return [y, y + 1]


AT_ONCE = (read_before_and_after, statistics)
BY_FUNCTIONALIZATION = (
    through_a_view,
    into_a_view,
    twice,
    source_written_later,
    view_of_a_source_written_later,
    written_on,
    with_a_factor,
    of_one_argument,
    of_another_dtype,
    of_another_shape,
)


@pytest.mark.parametrize("call", [*AT_ONCE, *BY_FUNCTIONALIZATION], ids=lambda call: call.__name__)
def test_every_reader_sees_what_it_saw(call: Callable[[Tensor], list[Tensor]]) -> None:
    x = torch.linspace(-2, 2, 15).reshape(5, 3)
    step = compiled(call, (5, [x]), (4, [x[:4]]))
    for ours, theirs in zip(run(step, [x], 5), call(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("call", AT_ONCE, ids=lambda call: call.__name__)
def test_a_copy_that_is_written_once_takes_no_further_trace(
    call: Callable[[Tensor], list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "functionalize", lambda _: pytest.fail("traced again"))
    x = torch.linspace(-2, 2, 15).reshape(5, 3)
    compiled(call, (5, [x]), (4, [x[:4]]))
