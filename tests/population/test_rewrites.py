"""A rewritten operation is the same operation: values, NaN, infinities and the shapes it leaves alone."""

from __future__ import annotations

import pytest
import torch

from thalweg.population import rewrites
from thalweg.population.rewrites import REWRITES

aten = torch.ops.aten
generator = torch.Generator().manual_seed(0)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("columns", [1, 10, 15])
def test_bmm_with_few_columns(columns: int) -> None:
    a, b = draw(5, 32, 20), draw(5, 20, columns)
    torch.testing.assert_close(REWRITES[aten.bmm.default](a, b), torch.bmm(a, b), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("rows", "columns"), [(64, 16), (15, 10), (1, 1)])
def test_bmm_of_other_shapes_is_left_alone(rows: int, columns: int) -> None:
    assert rewrites._bmm(draw(2, rows, 3), draw(2, 3, columns)) is NotImplemented


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize(
    ("forward", "backward"),
    [(aten._log_softmax, aten._log_softmax_backward_data), (aten._softmax, aten._softmax_backward_data)],
)
def test_softmax_and_its_gradient(forward, backward, dim: int, scale: float) -> None:
    x, gradient = scale * draw(4, 6, 10), draw(4, 6, 10)
    expected = forward.default(x, dim, False)
    got = REWRITES[forward.default](x, dim, False)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        REWRITES[backward.default](gradient, expected, dim, x.dtype),
        backward.default(gradient, expected, dim, x.dtype),
        rtol=1e-12,
        atol=1e-12,
    )


def test_softmax_of_nan_stays_in_its_row() -> None:
    x = draw(3, 2, 5)
    x[1, 0, 2] = float("nan")
    x[2, 1, 0] = float("inf")
    for operation in (aten._log_softmax.default, aten._softmax.default):
        got, expected = REWRITES[operation](x, 2, False), operation(x, 2, False)
        assert torch.equal(got.isnan(), expected.isnan())


def test_softmax_over_many_classes_is_left_alone() -> None:
    assert rewrites._log_softmax(draw(2, 200), 1, False) is NotImplemented
    assert rewrites._softmax(draw(2, 200), 1, False) is NotImplemented


def test_multiplication_by_one_is_dropped_and_by_another_number_is_not() -> None:
    x = draw(3)
    assert rewrites._multiply(x, 1) is x
    assert rewrites._multiply(x, 2) is NotImplemented
    assert rewrites._multiply(torch.arange(3), 1) is NotImplemented


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_max_pooling_with_equals_and_nan(dtype: torch.dtype) -> None:
    x = torch.relu(draw(3, 5, 12, 8)).to(dtype)  # half of the values are equal: zero
    x[1, 2, 3, 4] = float("nan")
    x[2, 0, 0, 0] = float("inf")
    for image in (x, x.transpose(2, 3)):
        best, place = rewrites._max_pool(image, [2, 2])
        expected, places = aten.max_pool2d_with_indices.default(image, [2, 2])
        torch.testing.assert_close(best, expected, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(place, places)


@pytest.mark.parametrize(
    "given",
    [
        {"kernel": [3, 3]},
        {"kernel": [2, 2], "stride": [1, 1]},
        {"kernel": [2, 2], "stride": [2, 2], "padding": [1, 1]},
        {"kernel": [2, 2], "stride": [2, 2], "dilation": [2, 2]},
    ],
)
def test_other_pooling_is_left_alone(given: dict[str, list[int]]) -> None:
    assert rewrites._max_pool(draw(1, 1, 12, 12), **given) is NotImplemented
