"""What a formula's words for tensors give where their matrices have no answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import vmap

import thalweg as tw
from thalweg.kernels import tensor_ops

OPERATIONS = {"eigenvectors": tensor_ops.eigenvectors, "matrix_power": lambda x: tensor_ops.matrix_power(x, -0.5)}


def stack() -> Tensor:
    x = torch.randn(4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x @ x.mT + torch.eye(5)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_matrix_that_is_not_finite_gives_nan_and_its_neighbours_their_values(
    operation: Callable[[Tensor], Tensor], mapped: bool
) -> None:
    whole, broken = stack(), stack()
    broken[1, 2, 3], broken[2] = torch.nan, torch.inf
    after = (vmap(operation) if mapped else operation)(broken)
    torch.testing.assert_close(after[::3], operation(whole)[::3], rtol=0, atol=0)
    assert after[1:3].isnan().all()


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_matrix_that_does_not_converge_gives_nan_and_its_neighbours_their_values(
    operation: Callable[[Tensor], Tensor], mapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, eigh = stack(), torch.linalg.eigh
    expected = operation(x)

    def fails(given: Tensor) -> tuple[Tensor, Tensor]:
        if (given == x[2]).all((-1, -2)).any():
            raise torch.linalg.LinAlgError("linalg.eigh: The algorithm failed to converge")  # type: ignore[attr-defined]
        return eigh(given)

    monkeypatch.setattr(torch.linalg, "eigh", fails)
    after = (vmap(operation) if mapped else operation)(x)
    torch.testing.assert_close(after[[0, 1, 3]], expected[[0, 1, 3]])
    assert after[2].isnan().all()


@pytest.mark.parametrize("rule", ["SOAP", "Shampoo"])
def test_a_gradient_that_is_not_finite_spoils_its_own_parameter_alone(rule: str) -> None:
    params = [torch.nn.Parameter(torch.ones(4, 3)) for _ in range(2)]
    optimizer = getattr(tw.optim, rule)(params)
    for step in range(3):
        gradient = torch.rand(4, 3, generator=torch.Generator().manual_seed(step))
        params[0].grad, params[1].grad = gradient * torch.nan, gradient
        optimizer.step()
    assert params[0].isnan().any()
    assert params[1].isfinite().all()
