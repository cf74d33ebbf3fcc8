"""Losses from likelihood: −log p of torch.distributions, and what Laplace and Gaussian noise make of it."""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, distributions

from thalweg import losses
from thalweg.errors import ProblemError

from .cases import DTYPES, REDUCTIONS, SEEDS, draw, ids, same, with_gradient

UNIT = {"scale": 1.0}


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, reduction=REDUCTIONS)
def test_laplace_noise_gives_l1(seed: int, dtype: torch.dtype, reduction: str) -> None:
    """−log ½ e^(−|x−y|) = |x − y| + log 2, with the gradient of L1."""
    x, y = draw(seed, 5, 3, dtype=dtype), draw(seed + 1, 5, 3, dtype=dtype)
    loss = losses.from_distribution(distributions.Laplace, fixed=UNIT, reduction=reduction)
    value, gradient = with_gradient(loss, x, y)
    expected, direction = with_gradient(losses.L1(reduction=reduction), x, y)
    constant = math.log(2) * (x.numel() if reduction == "sum" else 1)
    torch.testing.assert_close(value, expected + constant)
    torch.testing.assert_close(gradient, direction, rtol=1e-6, atol=0)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, reduction=REDUCTIONS)
def test_gaussian_noise_gives_l2(seed: int, dtype: torch.dtype, reduction: str) -> None:
    """−log e^(−(x−y)²/2)/√2π = ½ (x − y)² + ½ log 2π, with half the gradient of the squared error."""
    x, y = draw(seed, 5, 3, dtype=dtype), draw(seed + 1, 5, 3, dtype=dtype)
    loss = losses.from_distribution(distributions.Normal, fixed=UNIT, reduction=reduction)
    value, gradient = with_gradient(loss, x, y)
    expected, direction = with_gradient(losses.MSE(reduction=reduction), x, y)
    constant = 0.5 * math.log(2 * math.pi) * (x.numel() if reduction == "sum" else 1)
    torch.testing.assert_close(value, 0.5 * expected + constant)
    torch.testing.assert_close(2 * gradient, direction, rtol=1e-6, atol=0)


CASES: dict[str, tuple[losses.NegativeLogLikelihood, Any, Any, Any]] = {
    "scale learned": (
        losses.from_distribution("Normal", ("loc", "scale"), transform=True),
        lambda x, y: -distributions.Normal(x[:, 0], x[:, 1].exp()).log_prob(y),
        (5, 2, 3),
        draw(1, 5, 3),
    ),
    "scale last": (
        losses.from_distribution("Normal", ("scale", "loc"), transform=True, dim=-1),
        lambda x, y: F.gaussian_nll_loss(x[..., 1], y, (2 * x[..., 0]).exp(), full=True, reduction="none"),
        (5, 2),
        draw(1, 5),
    ),
    "scale as it is": (
        losses.from_distribution("Laplace", ("loc", "scale"), transform=False),
        lambda x, y: -distributions.Laplace(x[:, 0], x[:, 1], validate_args=False).log_prob(y),
        (5, 2),
        draw(1, 5),
    ),
    "poisson": (
        losses.from_distribution("Poisson", "rate", transform=True),
        lambda x, y: F.poisson_nll_loss(x, y, reduction="none") + (y + 1).lgamma(),
        (5, 3),
        ids(1, 5, 3).double(),
    ),
    "bernoulli": (
        losses.from_distribution("Bernoulli", "logits"),
        functools.partial(F.binary_cross_entropy_with_logits, reduction="none"),
        (5, 3),
        ids(1, 5, 3, high=2).double(),
    ),
    "categorical": (
        losses.from_distribution("Categorical", "logits"),
        functools.partial(F.cross_entropy, reduction="none"),
        (5, 3),
        ids(1, 5, high=3),
    ),
    "student t": (
        losses.from_distribution("StudentT", fixed={"df": 4, "scale": [1.0, 2.0, 3.0]}),
        lambda x, y: -distributions.StudentT(4.0, x, torch.tensor([1.0, 2.0, 3.0]).double()).log_prob(y),
        (5, 3),
        draw(1, 5, 3),
    ),
    "dirichlet": (
        losses.from_distribution("Dirichlet", "concentration", transform=True),
        lambda x, y: -distributions.Dirichlet(x.exp()).log_prob(y),
        (5, 3),
        draw(1, 5, 3).softmax(1),
    ),
}


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
@pytest.mark.parametrize("case", CASES)
def test_loss_from_a_distribution(case: str, seed: int) -> None:
    loss, plain, shape, targets = CASES[case]
    x = draw(seed, *shape, scale=1.0)
    x = x.abs() + 0.1 if case == "scale as it is" else x

    def averaged(x: Tensor, y: Tensor) -> Tensor:
        return plain(x, y).mean()

    same(loss, averaged, x, targets, exact=False)
    loss.check(x, targets)
    values = plain(x, targets)
    torch.testing.assert_close(loss.per_sample(x, targets), values.flatten(1).mean(1) if values.ndim > 1 else values)


@pytest.mark.parametrize("case", CASES)
def test_labels_are_read_back(case: str) -> None:
    loss = CASES[case][0]
    again = losses.get(loss.label)
    assert again == loss
    assert again.label == loss.label


def test_a_class_of_the_user() -> None:
    class Cauchyish:
        """A density with log_prob and nothing else of torch.distributions."""

        batch_shape, event_shape, support = torch.Size([5]), torch.Size(), None

        def __init__(self, center: Tensor) -> None:
            self.center = center

        def log_prob(self, value: Tensor) -> Tensor:
            return -torch.log1p((value - self.center) ** 2)

    x, y = draw(0, 5), draw(1, 5)
    loss = losses.from_distribution(Cauchyish, "center")
    torch.testing.assert_close(loss(x, y), torch.log1p((x - y) ** 2).mean())
    loss.check(x, y)
    assert loss.label == "negative_log_likelihood(distribution='Cauchyish', outputs='center', fixed={})"


class Without:
    def __init__(self, loc: Tensor) -> None:
        self.loc = loc


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((Without,), {}, r"Without has no log_prob; give a class that has, such as"),
        ((distributions.Distribution,), {}, r"Distribution has no log_prob"),
        ((3,), {}, r"3 has no log_prob"),
        (("Gauss",), {}, r"'Gauss' is not a distribution of torch\.distributions.*nown: Bernoulli, "),
        (("kl_divergence",), {}, r"is not a distribution"),
        (("Normal", "mean"), {}, r"'mean' is not a parameter of Normal.*nown: loc, scale"),
        (("Normal", "loc"), {"fixed": {"sigma": 1}}, r"'sigma' is not a parameter of Normal"),
        (("Normal", "loc"), {"fixed": {"loc": 1}}, r"Normal is given loc twice"),
        (("Normal", ("loc", "loc")), {}, r"Normal is given loc twice"),
        (("Normal", ()), {}, r"give outputs= as the name of a parameter"),
        (("Normal",), {"fixed": 3}, r"give outputs= as .* and fixed= as a dictionary"),
        (("Normal",), {"fixed": {"scale": float("nan")}}, r"of Normal: scale is nan; give a number"),
        (("Normal", ("loc", "scale")), {}, r"scale of Normal must be GreaterThan.*: say transform=True"),
        (("Normal",), {}, r"Normal needs scale too; name it in outputs= or give it in fixed="),
    ],
)
def test_what_makes_no_loss(arguments: tuple[Any, ...], options: dict[str, Any], words: str) -> None:
    with pytest.raises(ProblemError, match=words) as caught:
        losses.from_distribution(*arguments, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("case", "shape", "targets", "words"),
    [
        ("scale learned", (5, 3), torch.zeros(5), r"takes 2 parameters \(loc, scale\) along axis 1 of the outputs"),
        ("scale learned", (5, 2), torch.zeros(5, 1), r"draws \(samples,\), and the targets are \(samples, 1\)"),
        ("poisson", (5, 3), torch.zeros(5), r"draws \(samples, 3\), and the targets are \(samples,\)"),
        ("categorical", (5, 3), torch.zeros(5, 3), r"draws \(samples,\)"),
    ],
)
def test_shapes_that_do_not_fit(case: str, shape: Any, targets: Tensor, words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        CASES[case][0](torch.zeros(shape), targets)


@pytest.mark.parametrize(
    ("case", "shape", "targets"),
    [
        ("poisson", (5, 3), torch.full((50, 3), -1.0)),
        ("poisson", (5, 3), torch.full((50, 3), 0.5)),
        ("bernoulli", (5, 3), torch.full((50, 3), 2.0)),
        ("categorical", (5, 3), torch.full((50,), 3)),
        ("dirichlet", (5, 3), torch.full((50, 3), 0.5)),
    ],
)
def test_targets_outside_the_support_are_refused_before_training(case: str, shape: Any, targets: Tensor) -> None:
    with pytest.raises(ProblemError, match=r"is a distribution over .*, and the train targets run from .* to"):
        CASES[case][0].check(torch.zeros(shape), targets, "train")


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 100))
def test_the_fitted_scale_is_the_residuals_own(seed: int) -> None:
    """The gradient by the log scale is 0 where the scale is the standard deviation: likelihood fits noise too."""
    y = draw(seed, 50)
    x = torch.stack([y.mean().expand(50), y.std(correction=0).log().expand(50)], dim=1)
    loss = losses.from_distribution("Normal", ("loc", "scale"), transform=True)
    _, gradient = with_gradient(loss, x, y)
    assert gradient.sum(0).abs().max() < 1e-9


def test_a_constraint_without_a_transform_is_refused_and_left_to_the_model() -> None:
    class Coin:
        arg_constraints: ClassVar = {"side": distributions.constraints.boolean}
        batch_shape, event_shape, support = torch.Size([5]), torch.Size(), None

        def __init__(self, side: Tensor) -> None:
            self.side = side

        def log_prob(self, value: Tensor) -> Tensor:
            return -((value - self.side) ** 2)

    with pytest.raises(ProblemError, match="has no transform to side of Coin; say transform=False"):
        losses.from_distribution(Coin, "side", transform=True)
    x, y = draw(0, 5), draw(1, 5)
    torch.testing.assert_close(losses.from_distribution(Coin, "side", transform=False)(x, y), ((x - y) ** 2).mean())


@pytest.mark.parametrize("name", [name for name, loss in losses.LOSSES.items() if loss.likelihood])
def test_a_loss_is_the_likelihood_that_it_says(name: str) -> None:
    """−log p of the distribution and the loss differ, at all outputs, by a factor and a constant."""
    loss, kind = losses.LOSSES[name], losses.LOSSES[name].likelihood
    if kind not in distributions.__all__:
        assert name in ("huber", "negative_log_likelihood")
        return
    scores = torch.linspace(-3, 2, 24, dtype=torch.float64)
    distribution = getattr(distributions, kind)
    if kind == "Categorical":
        outputs, targets = scores.reshape(8, 3).sin(), torch.arange(8) % 3
        outputs = outputs.log_softmax(1) if name == "nll" else outputs
        negative = -distribution(logits=outputs).log_prob(targets)
    elif kind == "Bernoulli":
        outputs, targets = scores, (torch.arange(24) % 2).double()
        negative = -distribution(logits=outputs).log_prob(targets)
    else:
        outputs, targets = scores, torch.full((24,), 0.5, dtype=torch.float64)
        negative = -distribution(outputs, 1.0).log_prob(targets)
    each = loss.per_sample(outputs, targets)
    factor = (negative[1] - negative[0]) / (each[1] - each[0])
    torch.testing.assert_close(negative - negative[0], factor * (each - each[0]))
    assert factor > 0
