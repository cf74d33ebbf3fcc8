"""What else the documents describe, line by line, beside arithmetic written out here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import thalweg as tw
from thalweg.cli.main import app


def told(*words: str) -> str:
    result = CliRunner(env={"COLUMNS": "100", "TERM": "dumb"}).invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.output


# 1 · batches, rates and schedules


def test_the_gradient_of_a_batch_is_that_of_all_data_on_average() -> None:
    ready = tw.prepare("breast-cancer")
    torch.manual_seed(0)
    model = ready.model()
    inputs, targets = ready.train

    def gradient(rows: Any) -> torch.Tensor:
        (made,) = torch.autograd.grad(ready.loss(model(inputs[rows]), targets[rows]), [model[0].weight])
        return made

    whole = gradient(slice(None))
    batches = torch.stack([gradient(rows) for rows in torch.randperm(364).reshape(14, 26)])
    assert torch.allclose(batches.mean(0), whole, atol=1e-6)
    assert (batches - whole).abs().max() > 10 * (batches.mean(0) - whole).abs().max()


TORCH = [
    ("LambdaLR", tw.schedules.Lambda(lambda t: 0.95**t), {"lr_lambda": lambda t: 0.95**t}),
    ("MultiplicativeLR", tw.schedules.Multiplicative(lambda t: 0.95), {"lr_lambda": lambda t: 0.95}),
    ("StepLR", "step(size=10)", {"step_size": 10}),
    ("MultiStepLR", "multistep(milestones=(10, 30))", {"milestones": [10, 30]}),
    ("ConstantLR", "constant(scale=0.5, steps=20)", {"factor": 0.5, "total_iters": 20}),
    ("LinearLR", "linear(start=0.5, end=1.0, steps=20)", {"start_factor": 0.5, "total_iters": 20}),
    ("ExponentialLR", "exponential(gamma=0.9)", {"gamma": 0.9}),
    ("PolynomialLR", "polynomial(power=2.0)", {"total_iters": 60, "power": 2.0}),
    ("CosineAnnealingLR", "cosine", {"T_max": 60}),
]


@pytest.mark.parametrize(("name", "schedule", "arguments"), TORCH, ids=[case[0] for case in TORCH])
def test_the_schedulers_of_the_list(name: str, schedule: Any, arguments: dict[str, Any]) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **arguments)
    due = []
    for _ in range(60):
        due.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    found = tw.schedules.get(schedule)
    np.testing.assert_allclose(0.3 * found.factor(np.arange(60), 60), due, rtol=1e-9, atol=1e-12)


def test_every_few_epochs() -> None:
    """ "every step_size epochs": 12 batches each."""
    found = tw.schedules.get("step(size=10 epochs)").over(epochs=30, total=360)
    np.testing.assert_allclose(found.factor(np.arange(360), 360), 0.1 ** (np.arange(360) // 120), rtol=1e-12)


def test_momentum_that_grows() -> None:
    """From 0.5 to 0.99, which the last step has."""
    ramp = tw.schedules.get("momentum: ramp(start=0.5, end=0.99)")
    values = tw.schedules.shown(ramp, 60)["momentum"]
    assert values[0] == 0.5
    assert values[-1] == pytest.approx(0.99)
    assert (np.diff(values) > 0).all()


def test_too_low_a_good_and_too_high_a_rate() -> None:
    low, good, high = tw.descend("x^2-4x+6", start=[4.0], lr=[0.01, 0.2, 1.1], steps=40).losses[:, -1]
    assert 2 <= good < 2.0001 < low < 4 < 1e3 < high
    assert "diverg" in told("descend", "x^2-4x+6", "--start", "4", "--rate", "1.1", "--steps", "40")


# 2 · calculus


def test_partial_derivatives() -> None:
    gradient = tw.gradient("3x*y²+4x³-5y²+1")
    np.testing.assert_allclose(gradient(2.0, 3.0), [3 * 9 + 12 * 4, 6 * 2 * 3 - 10 * 3])
    np.testing.assert_allclose(tw.gradient("3(x-2)²+(y-2)²")(5.0, 7.0), [6 * 3, 2 * 5])


def test_the_chain_rule() -> None:
    found = tw.derivative("(2x-1)^3")
    assert found(4.0) == 6 * 7**2
    assert "chain, power" in str(found)


def one_variable(slope: Any, x: float, η: float, steps: int) -> list[float]:
    path = [x]
    for _ in range(steps):
        path.append(path[-1] - η * slope(path[-1]))
    return path


@pytest.mark.parametrize(
    ("text", "slope", "start", "rate", "steps"),
    [
        *(("x^2-4x+6", lambda x: 2 * x - 4, 4.0, η, 10) for η in (0.2, 0.01, 1.0)),
        *(("x*sin(x)", lambda x: math.sin(x) + x * math.cos(x), *case) for case in ((2.5, 0.25, 10), (1.5, 0.25, 10))),
        *(("x*sin(x)", lambda x: math.sin(x) + x * math.cos(x), *case) for case in ((2.5, 1.0, 5), (2.5, 0.05, 5))),
    ],
)
def test_descents_of_the_notebook(text: str, slope: Any, start: float, rate: float, steps: int) -> None:
    due = one_variable(slope, start, rate, steps)
    found = tw.descend(text, start=[start], optimizer="gradient_descent", lr=rate, steps=steps).points
    np.testing.assert_allclose(found.ravel(), due, rtol=1e-12)


def test_the_steps_are_printed() -> None:
    said = told("descend", "x^2-4x+6", "--start", "4", "--rate", "0.2", "--steps", "10", "--steps-table")
    for k, x in enumerate(one_variable(lambda x: 2 * x - 4, 4.0, 0.2, 10)):
        assert any(line.split()[:2] == [str(k), f"{x:.5g}"] for line in said.splitlines()), (k, x)


# 5 · losses


def test_losses_are_likelihoods() -> None:
    """Minus the logarithm of the densities; the outputs that are best are the median and the mean."""
    y = torch.tensor([0.0, 1.0, 2.0, 3.0, 20.0])
    laplace, normal = (tw.losses.from_distribution(name, fixed={"scale": 1.0}) for name in ("laplace", "normal"))
    grid = torch.linspace(0, 20, 2001)
    for loss, best, each in (
        (laplace, 2.0, lambda m: (y - m).abs() + math.log(2)),
        (normal, 5.2, lambda m: (y - m) ** 2 / 2 + math.log(2 * math.pi) / 2),
    ):
        values = torch.stack([loss(torch.full((5,), float(m)), y) for m in grid])
        assert float(values[100]) == pytest.approx(float(each(float(grid[100])).mean()), rel=1e-5)
        assert float(grid[values.argmin()]) == pytest.approx(best, abs=0.02)


def test_cross_entropy_with_weights_and_ignored_classes() -> None:
    x, y, w = (
        torch.tensor([[2.0, 1.0, 0.1], [0.5, 2.5, 0.3], [1.0, 1.0, 1.0]]),
        torch.tensor([0, 2, -100]),
        (1.0, 2.0, 3.0),
    )
    each = [-w[c] * float(torch.log_softmax(row, 0)[c]) for row, c in zip(x[:2], (0, 2), strict=True)]
    found = tw.losses.CrossEntropy(weight=w)(x, y)
    assert float(found) == pytest.approx(sum(each) / (w[0] + w[2]), rel=1e-6)


def test_divergences_forward_and_reverse() -> None:
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.3, 0.3, 0.4])
    forward = float((p * (p / q).log()).sum())
    reverse = float((q * (q / p).log()).sum())
    assert forward != pytest.approx(reverse, rel=0.02)
    assert float(tw.losses.cross_entropy_of(p, q) - tw.losses.entropy(p)) == pytest.approx(forward, rel=1e-5)
    assert float(tw.losses.KLDiv()(q.log()[None], p[None])) == pytest.approx(forward, rel=1e-5)
    assert float(tw.losses.KLDiv(reverse=True)(q.log()[None], p[None])) == pytest.approx(reverse, rel=1e-5)


def test_triplets() -> None:
    """Each output is an anchor with its positive and its negative."""
    torch.manual_seed(0)
    outputs = torch.randn(4, 3, 5)
    near, far = (((outputs[:, 0] - outputs[:, k] + 1e-6) ** 2).sum(-1).sqrt() for k in (1, 2))
    due = float(torch.relu(near - far + 1.0).mean())
    assert float(tw.losses.TripletMargin()(outputs, torch.zeros(4))) == pytest.approx(due, rel=1e-5)


# 3 · generalization


def test_bias_variance_and_noise_add_up() -> None:
    parts = tw.bias_variance("wave", rates=(0.01,), members=10, epochs=3).table().iloc[0]
    together = parts["bias"] + parts["variance"] + parts["noise"]
    assert parts["noise"] == pytest.approx(0.3**2)
    assert together == pytest.approx(parts["error"], abs=0.02)


def test_bagging_draws_with_replacement_and_boosting_weighs_its_stages() -> None:
    bag = tw.bag("breast-cancer", members=3, epochs=1)
    assert bag.rows.shape[0] == 3
    # A sample is in a draw with a chance of 1 − 1/e, so out of one of three with 1 − 0.632³ = 75%.
    assert 0.65 < bag.out_of_bag["samples"] / 364 < 0.85
    stages = tw.boost("breast-cancer", members=3, epochs=1, rates=(0.01,), draws=1).table()
    due = np.log((1 - stages["error"]) / stages["error"])
    np.testing.assert_allclose(stages["weight"], due, rtol=1e-6)


@pytest.mark.slow
def test_sharpness_is_the_largest_eigenvalue_of_the_hessian() -> None:
    ready = tw.prepare("wave")
    torch.manual_seed(0)
    model = ready.model()
    inputs, targets = ready.train
    weights = {name: weight.detach() for name, weight in model.named_parameters()}

    def loss(flat: torch.Tensor) -> torch.Tensor:
        cut = torch.split(flat, [weight.numel() for weight in weights.values()])
        named = {name: part.view_as(weight) for (name, weight), part in zip(weights.items(), cut, strict=True)}
        return nn.functional.mse_loss(torch.func.functional_call(model, named, (inputs,)), targets)

    flat = torch.cat([weight.flatten() for weight in weights.values()])
    largest = float(torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))[-1])
    assert tw.sharpness(model, "wave").eigenvalue == pytest.approx(largest, rel=1e-3)


def test_mixed_samples_are_sums_and_mixed_images_are_cut_out() -> None:
    """λx + (1 − λ)x′, and with CutMix the share of the box; targets share alike."""
    images, classes = torch.rand(6, 1, 8, 8), torch.arange(6)
    mixed, targets = tw.regularizers.MixUp(1.0)(images, classes, seed=3, step=1)
    share, partner = float(targets.share), targets.probabilities(6).fill_diagonal_(0).argmax(1)
    assert 0 < share < 1
    torch.testing.assert_close(mixed, share * images + (1 - share) * images[partner])
    cut, targets = tw.regularizers.CutMix(1.0)(images, classes, seed=3, step=1)
    rows = targets.probabilities(6)
    for k in range(6):
        kept = (cut[k] == images[k]).double().mean()
        assert float(rows[k, k]) == pytest.approx(float(kept), abs=1e-6)
        assert bool(
            (
                (cut[k] == images[k]) | (cut[k] == images[rows[k].clone().index_fill(0, torch.tensor(k), 0).argmax()])
            ).all()
        )


def test_batch_normalization_is_the_formula_of_the_book() -> None:
    """γ(x − μ_B)/√(σ_B² + ε) + β in the built-in problem's own layer."""
    layer = next(m for m in tw.prepare("digits-batch-norm").model().modules() if isinstance(m, nn.BatchNorm1d))
    x = torch.randn(32, layer.num_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2.0)
        layer.bias.uniform_(-1.0, 1.0)
        made = layer.train()(x).numpy()
    batch, scale, shift = x.double().numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy()
    due = scale * (batch - batch.mean(0)) / np.sqrt(batch.var(0) + 1e-5) + shift
    np.testing.assert_allclose(made, due, atol=2e-6)


# 3 · convolution and size


def test_convolutions_as_sums() -> None:
    f, g = np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.5])
    due = [sum(f[i] * g[t - i] for i in range(3) if 0 <= t - i < 3) for t in range(5)]
    np.testing.assert_allclose(tw.convolve(f, g, padding="full").values, due)
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(5, 6)), rng.normal(size=(3, 3))
    due = [
        [sum(image[i + m, j + n] * kernel[2 - m, 2 - n] for m in range(3) for n in range(3)) for j in range(4)]
        for i in range(3)
    ]
    np.testing.assert_allclose(tw.convolve(image, kernel).values, due, rtol=1e-10)


def test_convolutions_as_integrals() -> None:
    """A box of width 1 and e^−t: 1 − e^−t up to 1, then falling."""
    found = tw.convolve("heaviside(x) - heaviside(x - 1)", "exp(-x)*heaviside(x)", at=[0.5, 1.0, 2.0])
    np.testing.assert_allclose(found.values, [1 - np.exp(-0.5), 1 - np.exp(-1), np.exp(-1) - np.exp(-2)], atol=1e-5)
    np.testing.assert_allclose(found.values, [0.393469, 0.632121, 0.232544], atol=1e-5)


def test_stride_and_padding_of_colour_images() -> None:
    """⌊(n + 2p − k)/s⌋ + 1 places, each the sum over the window and its channels; 1×1 mixes channels alone."""
    rng = np.random.default_rng(1)
    image, kernels = rng.normal(size=(3, 7, 8)), rng.normal(size=(2, 3, 3, 3))
    wide = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    due = [
        [[(wide[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] * kernel).sum() for j in range(4)] for i in range(4)]
        for kernel in kernels
    ]
    found = tw.convolve(image, kernels, "cross-correlation", stride=2, padding=1)
    assert found.values.shape == (2, (7 + 2 - 3) // 2 + 1, (8 + 2 - 3) // 2 + 1)
    np.testing.assert_allclose(found.values, due, rtol=1e-10)
    mixing = rng.normal(size=(4, 3))
    mixed = tw.convolve(image, mixing[:, :, None, None]).values
    np.testing.assert_allclose(mixed, np.tensordot(mixing, image, 1), rtol=1e-10)


# 2 · which is best
