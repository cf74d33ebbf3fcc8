"""Convolution against NumPy's, SciPy's, torch's and the sums as they are written, and against integrals known."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.signal
import sympy as sp
import torch
from scipy.stats import norm

import thalweg as tw
from thalweg.convolution import ContinuousConvolution, Convolution
from thalweg.errors import UsageError

RNG = np.random.default_rng(0)
SCIPY = {"convolution": scipy.signal.convolve, "cross-correlation": scipy.signal.correlate}


@pytest.mark.parametrize("padding", ["valid", "same", "full"])
@pytest.mark.parametrize("mode", SCIPY)
@pytest.mark.parametrize("shapes", [((9,), (3,)), ((9,), (4,)), ((7, 10), (3, 5)), ((8, 6), (2, 4)), ((5,), (5,))])
def test_as_scipy(shapes: Any, mode: str, padding: str) -> None:
    signal, kernel = (RNG.normal(size=shape) for shape in shapes)
    found = tw.convolve(signal, kernel, mode, padding=padding)
    np.testing.assert_allclose(found, SCIPY[mode](signal, kernel, padding), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", SCIPY)
def test_as_numpy_and_exactly_for_whole_numbers(mode: str) -> None:
    signal, kernel = RNG.integers(-9, 9, 20), RNG.integers(-9, 9, 4)
    theirs = {"convolution": np.convolve, "cross-correlation": np.correlate}[mode]
    for padding in ("valid", "same", "full"):
        found = tw.convolve(signal, kernel, mode, padding=padding).values
        assert found.dtype == np.int64
        assert found.tolist() == theirs(signal, kernel, padding).tolist()


def test_the_sum_as_it_is_written() -> None:
    """(I∗K)(i, j) = Σₘ Σₙ I(m, n)·K(i − m, j − n), over all places where both are."""
    image, kernel = RNG.normal(size=(4, 5)), RNG.normal(size=(3, 2))
    found = tw.convolve(image, kernel, padding="full")
    for i, j in np.ndindex(6, 6):
        terms = [
            image[m, n] * kernel[i - m, j - n]
            for m, n in itertools.product(range(4), range(5))
            if 0 <= i - m < 3 and 0 <= j - n < 2
        ]
        assert found.values[i, j] == pytest.approx(sum(terms))


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 2), ((2, 1), (0, 3))])
def test_as_a_layer_of_a_network(stride: Any, padding: Any) -> None:
    """Cross-correlation with channels is what torch's Conv2d computes."""
    image, kernel = RNG.normal(size=(3, 9, 11)), RNG.normal(size=(4, 3, 3, 5))
    theirs = torch.nn.functional.conv2d(torch.tensor(image)[None], torch.tensor(kernel), stride=stride, padding=padding)
    found = tw.convolve(image, kernel, "cross-correlation", stride, padding)
    np.testing.assert_allclose(found, theirs[0].numpy(), rtol=1e-12, atol=1e-12)
    flipped = tw.convolve(torch.tensor(image), kernel[:, :, ::-1, ::-1], "convolution", stride, padding)
    np.testing.assert_allclose(flipped, found, rtol=1e-12, atol=1e-12)
    one = tw.convolve(image, kernel[2], "cross-correlation", stride, padding)
    np.testing.assert_allclose(one, found.values[2], rtol=1e-12, atol=1e-12)  # torch sums otherwise for one channel


def test_one_by_one_mixes_channels() -> None:
    image, kernel = RNG.normal(size=(5, 4, 4)), RNG.normal(size=(2, 5, 1, 1))
    found = tw.convolve(image, kernel)
    np.testing.assert_allclose(found, np.einsum("oc,chw->ohw", kernel[:, :, 0, 0], image), rtol=1e-12)
    assert found.values.shape == (2, 4, 4)


def test_sequences_with_channels() -> None:
    signal, kernel = RNG.normal(size=(3, 12)), RNG.normal(size=(2, 3, 4))
    found = tw.convolve(signal, kernel, stride=2, padding="same")
    each = [[scipy.signal.convolve(s, k, "same") for s, k in zip(signal, one, strict=True)] for one in kernel]
    np.testing.assert_allclose(found, np.sum(each, axis=1)[:, ::2], rtol=1e-12)


def test_each_place_shows_how_its_value_came_about() -> None:
    image, kernel = RNG.normal(size=(2, 6, 7)), RNG.normal(size=(3, 2, 3, 2))
    found = tw.convolve(image, kernel, stride=2, padding=1)
    assert isinstance(found, Convolution)
    for place in np.ndindex(found.values.shape):
        under, products = found.at(*place)
        assert under.shape == (2, 3, 2)
        assert products.sum() == pytest.approx(found.values[place])
    with pytest.raises(UsageError, match="the place \\(0, 1\\) has 2 numbers"):
        found.at(0, 1)


def bell(width: float) -> Any:
    return lambda x: norm.pdf(x, scale=width)


def box(x: np.ndarray) -> np.ndarray:
    return np.where(abs(x) < 0.5, 1.0, 0.0)


@pytest.mark.parametrize("mode", SCIPY)
def test_functions_whose_integral_is_known(mode: str) -> None:
    at = np.linspace(-3, 3, 25)
    bells = tw.convolve(bell(1.0), bell(0.5), mode, at=at)
    assert isinstance(bells, ContinuousConvolution)
    np.testing.assert_allclose(bells, norm.pdf(at, scale=1.25**0.5), atol=1e-7)
    boxes = tw.convolve(box, box, mode, at=at, over=(-1, 1))
    np.testing.assert_allclose(boxes, np.clip(1 - abs(at), 0, None), atol=1e-6)
    assert boxes.names == ("box", "box")
    assert 0 <= boxes.error < 1e-4

    def fall(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, np.exp(-x.clip(0)), 0.0)

    # ∫₀¹ e^{−(t − τ)} dτ over τ < t, and its mirror image
    ahead = np.where(at < 0, 0, np.where(at < 1, 1 - np.exp(-at), np.exp(1 - at) - np.exp(-at)))
    found = tw.convolve(lambda x: box(x - 0.5), fall, mode, at=at if mode == "convolution" else 1 - at)
    np.testing.assert_allclose(found, ahead, atol=1e-6)


def test_functions_as_text_and_as_sympy() -> None:
    x = sp.Symbol("x")
    found = tw.convolve("exp(-x**2)", sp.exp(-(x**2)), at=[0.0, 1.0])
    np.testing.assert_allclose(found, np.sqrt(np.pi / 2) * np.exp([0, -0.5]), atol=1e-7)
    assert isinstance(found, ContinuousConvolution)
    assert found.names[0] == str(tw.function("exp(-x**2)"))


def test_functions_have_the_limit_of_their_samples() -> None:
    step = 0.01
    x = np.arange(-15, 15 + step / 2, step)
    f, g = np.exp(-(x**2)) * x, np.exp(-abs(x))
    sums = step * tw.convolve(f, g, padding="same").values
    integrals = tw.convolve(lambda x: np.exp(-(x**2)) * x, lambda x: np.exp(-abs(x)), at=x[::100])
    np.testing.assert_allclose(sums[::100], integrals, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"mode": "corr"}, "the mode is 'corr'"),
        ({"stride": 0}, "the stride is 0; give a whole number from 1 to 100,000,000"),
        ({"stride": (1, 2)}, r"the stride is \(1, 2\)"),
        ({"padding": -1}, "the padding is -1"),
        ({"padding": "sane"}, "the padding is 'sane'; give a number of zeros, or valid, same, full"),
        ({"padding": 1.5}, "the padding is 1.5"),
        ({"kernel": [1.0] * 9}, "a kernel of 9 is longer than the 5 elements"),
        ({"kernel": np.ones((2, 2))}, r"shape \(5,\) and a kernel of shape \(2, 2\) do not fit"),
        ({"signal": np.ones((3, 9)), "kernel": np.ones((1, 2, 3))}, "the signal has 3 channels and the kernel 2"),
        ({"signal": []}, "at least one"),
        ({"signal": [[1, 2], [3]]}, "its rows must be equally long"),
        ({"signal": ["a", "b"]}, "give real numbers"),
        ({"signal": np.ones(3) * 1j}, "give real numbers"),
        ({"signal": [2**52] * 4, "kernel": [1, 2]}, "too large to be added up exactly"),
        ({"kernel": np.sin}, "one of the two is read as a function, and the other as numbers"),
        ({"at": [0.0]}, "at= is for functions"),
        ({"signal": np.sin, "kernel": np.cos, "stride": 2}, "stride= and padding= are for numbers"),
        ({"signal": "x*y", "kernel": "x"}, "has 2 variables"),
        ({"signal": np.exp, "kernel": np.exp}, "does not converge"),
        ({"signal": box, "kernel": np.cos, "over": (1, 0)}, "give two bounds, the lower first"),
        ({"signal": box, "kernel": np.cos, "at": [np.nan]}, "at= must be finite"),
        ({"signal": box, "kernel": lambda x: 1 if x > 0 else 0, "at": [0, 1]}, "cannot be evaluated on an array"),
    ],
)
def test_what_cannot_be_meant(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        tw.convolve(**{"signal": [1.0, 2, 3, 4, 5], "kernel": [1.0, 2.0]} | given)
