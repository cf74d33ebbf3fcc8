"""How states are kept in fewer bytes: exact where they can be, right in the mean where not."""

from __future__ import annotations

import pytest
import torch

from thalweg.kernels.storage import BLOCK, from_int8, noise, scales, to_bfloat16, to_int8


def values(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def test_bfloat16_rounds_to_one_of_the_two_neighbours() -> None:
    x = values(10_000)
    low = (x.view(torch.int32) >> 16 << 16).view(torch.float32)
    high = ((x.view(torch.int32) >> 16) + 1 << 16).view(torch.float32)
    y = to_bfloat16(x, noise(1, 1, 0, len(x))).float()
    assert ((y == low) | (y == high)).all()
    assert (y == low).any()
    assert (y == high).any()


def test_bfloat16_keeps_what_it_can_hold() -> None:
    x = values(1000).bfloat16().float()
    special = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), 1e-40])
    x = torch.cat([x, special.bfloat16().float()])
    assert torch.equal(to_bfloat16(x, noise(1, 1, 0, len(x))).view(torch.int16), x.bfloat16().view(torch.int16))
    assert to_bfloat16(torch.tensor([float("nan")]), torch.tensor([65535])).isnan().all()


@pytest.mark.parametrize("unsigned", [False, True])
def test_the_mean_of_what_is_kept_is_the_value(unsigned: bool) -> None:
    x = values(2000).square() if unsigned else values(2000)
    draws = 400
    kept8, kept16 = torch.zeros(2000), torch.zeros(2000)
    for t in range(draws):
        kept8 += from_int8(*to_int8(x, noise(0, t, 0, 2000))) / draws
        kept16 += to_bfloat16(x, noise(0, t, 1, 2000)).float() / draws
    coarse = x.abs() > 0.01 * x.abs().max()  # the smallest codes are kept from being 0
    assert ((kept8 - x) / x)[coarse].mean().abs() < 1e-3
    assert ((kept8 - x) / x)[coarse].abs().max() < 0.05
    assert ((kept16 - x) / x).abs().max() < 2e-3


def test_int8_is_near_and_nonnegative_blocks_are_nearer() -> None:
    x = values(100 * BLOCK)
    near = ((from_int8(*to_int8(x)) - x) / x).abs().median()
    nearer = ((from_int8(*to_int8(x.abs())) - x.abs()) / x.abs()).abs().median()
    assert nearer < 0.6 * near < 0.012


def test_int8_keeps_signs_and_never_makes_a_zero() -> None:
    x = values(1000) * torch.logspace(-12, 0, 1000)
    x[::7] = 0
    y = from_int8(*to_int8(x, noise(0, 1, 0, 1000)))
    assert torch.equal(y.sign(), x.sign())


def test_a_block_that_is_not_finite_is_all_nan_and_harms_no_other() -> None:
    x = values(3 * BLOCK)
    sound = from_int8(*to_int8(x))
    for bad in (float("nan"), float("inf"), -float("inf")):
        x[BLOCK + 3] = bad
        y = from_int8(*to_int8(x))
        assert y[BLOCK : 2 * BLOCK].isnan().all()
        assert torch.equal(y[:BLOCK], sound[:BLOCK])
        assert torch.equal(y[2 * BLOCK :], sound[2 * BLOCK :])


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257])
def test_one_scale_for_each_block_begun(count: int) -> None:
    codes, scale = to_int8(values(count))
    assert (len(codes), len(scale)) == (count, scales(count))
    assert codes.dtype == torch.int8


def test_noise_is_even_and_differs_by_tensor_step_and_stream() -> None:
    drawn = [noise(*key, 4096).double() for key in ((0, 1, 0), (1, 1, 0), (0, 2, 0), (0, 1, 1), (0, 1, 2))]
    for k, one in enumerate(drawn):
        assert abs(float(one.mean()) / 65535 - 0.5) < 0.02
        assert abs(float(one.std()) / 65535 - 12**-0.5) < 0.02
        assert all(abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.05 for other in drawn[:k])
