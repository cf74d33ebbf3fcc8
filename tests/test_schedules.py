"""Every schedule is torch.optim.lr_scheduler's, step by step."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch

from thalweg import schedules
from thalweg.errors import PlanError


@pytest.mark.parametrize("total", [1, 2, 7, 100])
@pytest.mark.parametrize("name", schedules.names())
def test_factor_equals_the_torch_scheduler(name: str, total: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = schedules.get(name).torch(optimizer, total)
    rates = []
    for _ in range(total + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    factors = schedules.get(name).factor(np.arange(total + 1), total)
    assert factors.dtype == np.float64
    np.testing.assert_allclose(factors, rates, rtol=1e-12, atol=1e-15)


def test_ends() -> None:
    for name, last in {"constant": 1.0, "cosine": 0.0, "linear": 0.0}.items():
        first, end = schedules.get(name).factor(np.array([0, 10]), 10)
        assert (first, end) == (1.0, last)


def test_examples_in_docstrings() -> None:
    result = doctest.testmod(schedules)
    assert result.attempted >= 4
    assert result.failed == 0


def test_names_are_the_keys() -> None:
    assert schedules.names() == ["constant", "cosine", "linear"]
    assert all(schedules.get(name).name == name for name in schedules.names())


def test_a_schedule_stands_for_itself() -> None:
    own = schedules.Cosine()
    assert schedules.get(own) is own


@pytest.mark.parametrize("wrong", ["cosin", "", 3, None])
def test_unknown_name(wrong: object) -> None:
    with pytest.raises(PlanError, match=r"is not a schedule: .*Known: constant, cosine, linear\.") as caught:
        schedules.get(wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    if wrong == "cosin":
        assert "did you mean cosine?" in str(caught.value)
