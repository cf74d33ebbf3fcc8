"""Each kind of regularization by itself, against torch or against its formula written out with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from torch import nn
from torch.nn import functional as F

from thalweg import losses
from thalweg import regularizers as r
from thalweg.errors import PlanError
from thalweg.samples import Samples

IMAGES = torch.rand(12, 2, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CLASSES = torch.arange(12) % 5


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(96, 5)).double()


def test_early_stopping() -> None:
    stop, model = r.EarlyStopping(patience=2, min_delta=0.1), network()
    losses, ended, weight = [1.0, 0.95, 0.8, float("nan"), 0.75, 0.1], None, model[1].weight  # type: ignore[index]
    for epoch, loss in enumerate(losses):
        nn.init.constant_(weight, float(epoch))
        if stop(loss, model):
            ended = epoch
            break
    assert ended == 4, "0.95 and 0.75 are not better by 0.1"
    assert weight.unique().tolist() == [2.0]


def test_parameter_norm_penalty() -> None:
    model, ours = network(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.3)
    other = torch.optim.SGD(ours.parameters(), lr=0.1)
    for _ in range(5):
        for net, opt, penalty in ((model, optimizer, 0.0), (ours, other, r.L2(0.3))):
            opt.zero_grad()
            loss = F.cross_entropy(net(IMAGES), CLASSES)
            (loss + (penalty(net) if isinstance(penalty, r.L2) else 0)).backward()
            opt.step()
    for one, two in zip(model.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-14)
    flat = np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])
    np.testing.assert_allclose(r.L2(0.3)(model).item(), 0.15 * (flat**2).sum())
    np.testing.assert_allclose(r.L1(0.3)(model).item(), 0.3 * np.abs(flat).sum())


def test_decoupled_decay() -> None:
    model, ours = network(), network()
    adamw = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.3)
    adam = torch.optim.Adam(ours.parameters(), lr=0.1)
    for _ in range(5):
        for net, opt in ((model, adamw), (ours, adam)):
            opt.zero_grad()
            F.cross_entropy(net(IMAGES), CLASSES).backward()
            if opt is adam:
                r.DecoupledDecay(0.3)(opt)
            opt.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), ours.parameters(), strict=True))


def test_data_augmentation() -> None:
    uniform = r.Shift(2).draws(5, 7, IMAGES)[0].numpy()
    moved = {
        kind: kind(amount)(IMAGES, CLASSES, seed=5, step=7)[0].numpy()
        for kind, amount in ((r.Shift, 2), (r.Flip, 0.5), (r.Rotate, 40.0), (r.Crop, 0.4))
    }
    for k, image in enumerate(IMAGES.numpy()):
        down, right = np.floor(uniform[k, :2] * 5) - 2
        expected = ndimage.shift(image, (0, down, right), order=0)
        np.testing.assert_allclose(moved[r.Shift][k], expected)
        mirrored = r.Flip(0.5).draws(5, 7, IMAGES)[0][k, 0] < 0.5
        np.testing.assert_array_equal(moved[r.Flip][k], image[:, :, ::-1] if mirrored else image)
        u = r.Rotate(40).draws(5, 7, IMAGES)[0][k].item if False else r.Rotate(40).draws(5, 7, IMAGES)[0][k, 0].item()
        angle, (height, width) = np.deg2rad((2 * u - 1) * 40), image.shape[1:]
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        middle = np.array([(height - 1) / 2, (width - 1) / 2])
        for channel in range(2):
            padded = np.pad(image[channel], 8)  # zeros around, which bilinear samples fade into
            expected = ndimage.affine_transform(padded, turn, middle + 8 - turn @ (middle + 8), order=1)[8:-8, 8:-8]
            np.testing.assert_allclose(moved[r.Rotate][k, channel], expected, atol=1e-12)
        v = r.Crop(0.4).draws(5, 7, IMAGES)[0][k].numpy()
        side = np.sqrt(0.4 + 0.6 * v[0])
        h, w = round(side * height), round(side * width)
        top, left = int(v[1] * (height - h + 1)), int(v[2] * (width - w + 1))
        part = IMAGES[k : k + 1, :, top : top + h, left : left + w]
        grown = F.interpolate(part, (height, width), mode="bilinear", align_corners=False)[0].numpy()
        np.testing.assert_allclose(moved[r.Crop][k], grown, atol=1e-12)


def test_noise_on_inputs_and_on_weights() -> None:
    noisy, targets = r.InputNoise(0.5)(IMAGES, CLASSES, seed=1, step=3)
    generator = torch.Generator().manual_seed(r.draw_seed(1, 3, "input_noise"))
    epsilon = torch.randn(IMAGES.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(noisy, IMAGES + 0.5 * epsilon, rtol=0, atol=0)
    assert targets is CLASSES
    assert stats.kstest(((noisy - IMAGES) / 0.5).flatten().numpy(), "norm").pvalue > 0.01
    model, kept = network(), network()
    with r.WeightNoise(0.5).applied(model, seed=1, step=3):
        moved = torch.cat(
            [((a - b) / 0.5).flatten() for a, b in zip(model.parameters(), kept.parameters(), strict=True)]
        )
    assert stats.kstest(moved.detach().numpy(), "norm").pvalue > 0.01
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), kept.parameters(), strict=True))


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_label_smoothing(epsilon: float) -> None:
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(12, 5, 3, generator=generator, dtype=torch.float64).requires_grad_()
    targets = torch.randint(0, 5, (12, 3), generator=generator)
    targets[2, 1] = targets[7, 0] = -100
    ours, theirs = (
        r.LabelSmoothing(epsilon)(F.cross_entropy),
        F.cross_entropy(scores, targets, label_smoothing=epsilon),
    )
    torch.testing.assert_close(ours(scores, targets), theirs, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(loss, scores)[0] for loss in (ours(scores, targets), theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)
    sure = F.one_hot(targets.clamp(min=0), 5).movedim(-1, 1).double()
    torch.testing.assert_close(
        ours(scores, sure), F.cross_entropy(scores, sure, label_smoothing=epsilon), rtol=1e-12, atol=0
    )


@settings(deadline=None, max_examples=30)
@given(alpha=st.floats(0.05, 5), seed=st.integers(0, 50), step=st.integers(0, 1000))
def test_mixup(alpha: float, seed: int, step: int) -> None:
    mix = r.MixUp(alpha)
    uniform, partner = mix.draws(seed, step, IMAGES)
    share = stats.beta.ppf(uniform[0].item(), alpha, alpha)
    inputs, targets = mix(IMAGES, CLASSES, seed=seed, step=step)
    np.testing.assert_allclose(inputs, share * IMAGES + (1 - share) * IMAGES[partner], atol=1e-12)
    rows = targets.probabilities(5)
    np.testing.assert_allclose(rows.sum(1), 1)
    scores = torch.randn(12, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(mix.criterion(F.cross_entropy)(scores, targets), F.cross_entropy(scores, rows))
    values = CLASSES.double()
    np.testing.assert_allclose(
        mix(IMAGES, values, seed=seed, step=step)[1], share * values + (1 - share) * values[partner], atol=1e-12
    )


def test_the_share_of_mixup_is_a_beta() -> None:
    mix = r.MixUp(0.4)
    shares = [mix(IMAGES[:2], CLASSES[:2], seed=0, step=step)[1].share.item() for step in range(400)]
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 0.01


@settings(deadline=None, max_examples=60)
@given(alpha=st.floats(0.05, 5), seed=st.integers(0, 50), step=st.integers(0, 1000))
def test_cutmix(alpha: float, seed: int, step: int) -> None:
    cut, ones = (r.CutMix(alpha), torch.arange(12.0, dtype=torch.float64).reshape(12, 1, 1, 1).expand(12, 1, 6, 8))
    uniform, partner = cut.draws(seed, step, ones)
    inputs, targets = cut(ones, CLASSES, seed=seed, step=step)
    foreign = inputs != ones
    moved = partner != torch.arange(12)
    assert targets.share.item() == pytest.approx(1 - (foreign[moved].double().mean().item() if moved.any() else 0))
    root = np.sqrt(1 - stats.beta.ppf(uniform[0].item(), alpha, alpha))
    height, width = int(6 * root), int(8 * root)
    y, x = int(6 * uniform[1]) - height // 2, int(8 * uniform[2]) - width // 2
    box = np.zeros((6, 8), bool)
    box[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = True
    assert targets.share.item() == pytest.approx(1 - box.mean())
    for k in range(12):
        np.testing.assert_array_equal(inputs[k, 0], np.where(box, partner[k], k))
    np.testing.assert_allclose(targets.probabilities(5).sum(1), 1)


def test_dropout() -> None:
    """Masks in a population are tested in tests/population/test_layers.py."""
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 4), nn.Dropout2d(0.1))
    with r.Dropout(0.25).inside(model):
        assert (model[0].p, model[2].p) == (0.25, 0.25)
        dropped = model[0](torch.ones(4000))
    assert (model[0].p, model[2].p) == (0.5, 0.1)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert 0.2 < (dropped == 0).double().mean() < 0.3


def test_batch_normalization() -> None:
    """x̂ = (x − μ)/√(σ² + ε) of each member's own batch, and running statistics, in a stack of members."""
    from thalweg.population.batched import Batched

    torch.manual_seed(0)
    model = nn.BatchNorm1d(3, dtype=torch.float64)
    x = torch.randn(8, 3, dtype=torch.float64)
    batched = Batched(model, lambda outputs, targets: (outputs * targets).sum(), {})
    batched.find_moving_buffers(Samples(x, x))
    weight, bias = torch.tensor([[1.0] * 3, [2.0] * 3]).double(), torch.zeros(2, 3).double()
    moving = [torch.zeros(2, 3).double(), torch.ones(2, 3).double(), torch.zeros(2, dtype=torch.int64)]
    *_, losses, mean, variance, count = batched.gradient([weight, bias], x, x, (), moving)
    hat = (x.numpy() - x.numpy().mean(0)) / np.sqrt(x.numpy().var(0) + 1e-5)
    np.testing.assert_allclose(losses, [(hat * x.numpy()).sum(), 2 * (hat * x.numpy()).sum()])
    np.testing.assert_allclose(mean, [0.1 * x.numpy().mean(0)] * 2)
    np.testing.assert_allclose(variance, [0.9 + 0.1 * x.numpy().var(0, ddof=1)] * 2)
    assert count.tolist() == [1, 1]


@pytest.mark.parametrize("bound", [0.01, 1e6])
def test_gradient_clipping(bound: float) -> None:
    gradients = tuple(torch.randn(4, 3, generator=torch.Generator().manual_seed(k)) for k in range(3))
    for kind, reference in ((r.ClipNorm, nn.utils.clip_grad_norm_), (r.ClipValue, nn.utils.clip_grad_value_)):
        parameters = [nn.Parameter(torch.zeros(4, 3)) for _ in gradients]
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g.clone()
        reference(parameters, bound)
        made = kind(bound).gradient(gradients, (torch.tensor(bound),))
        for p, g in zip(parameters, made, strict=True):
            torch.testing.assert_close(p.grad, g)


def test_averages_of_weights() -> None:
    path = np.cumsum(np.random.default_rng(0).normal(size=12))
    ema = path[0]
    average, model = r.EMA(0.8).averaged(net := nn.Linear(1, 1, bias=False).double()), net
    for w in path:
        ema = ema + (1 - 0.8) * (w - ema)
        nn.init.constant_(model.weight, w)
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(ema)
    mean = 0.0
    for step, w in enumerate(path):
        mean += r.SWA(0.5).share(step, 2, 12) * (w - mean)
    assert mean == pytest.approx(path[[7, 9, 11]].mean())


def test_stochastic_weight_averaging_averages_buffers_too() -> None:
    model = nn.BatchNorm1d(1).double()
    average = r.SWA(0.5).averaged(model)
    for mean in (1.0, 2.0, 6.0):
        nn.init.constant_(model.weight, 2 * mean)
        model.get_buffer("running_mean").fill_(mean)
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(6)
    assert average.module.get_buffer("running_mean").item() == pytest.approx(3)


@pytest.mark.parametrize(
    "label",
    [
        "mixup(0.2)",
        "label_smoothing(0.1)",
        "l2(0.0001) + mixup(0.2)",
        "early_stopping(3, min_delta=0.01)",
        "flip(0.5)",
        "l1(1e-12)",
        "early_stopping(3, min_delta=1e+20)",
        "dropout(0.5) + ema(0.999) + clip_norm(1)",
    ],
)
def test_labels_are_read_back(label: str) -> None:
    found = r.get(label)
    assert found is not None
    assert found.label == label
    assert r.get(found.label) == found
    assert r.get([part.label for part in found.parts]) == found
    assert hash(found.program) == hash(r.get(label).program)  # type: ignore[union-attr]


BAD: list[tuple[Any, str]] = [
    ("mixup(0)", "mixup: alpha is 0; give a number above 0"),
    ("mixup(-1)", "mixup: alpha is -1"),
    ("l2(-1)", "l2: alpha is -1"),
    ("label_smoothing(1.5)", "label_smoothing: epsilon is 1.5; give a number from 0 to 1"),
    ("ema(1)", "ema: decay is 1; give a number of at least 0 and below 1"),
    ("early_stopping(0)", "early_stopping: patience is 0; give a whole number of passes, at least 1"),
    ("early_stopping(2.5)", "early_stopping: patience is 2.5"),
    ("flip(2)", "flip: p is 2"),
    ("crop(0)", "crop: scale is 0; give a number above 0 and at most 1"),
    ("shift(0.5)", "shift: pixels is 0.5; give a whole number of pixels"),
    ("dropout(1)", "dropout: p is 1; give a number of at least 0 and below 1"),
    ("clip_norm(0)", "clip_norm: max_norm is 0; give a number above 0"),
    ("rotate(inf)", "rotate: degrees is inf; give a number from 0 to 180"),
    ("mixup(True)", "mixup: alpha is True"),
    ("mixup('a')", "mixup: alpha is 'a'"),
    ("l2(1e999)", "give a number"),
    ("mixip(0.2)", "did you mean mixup"),
    ("mixup(beta=2)", "'beta' is not an argument of mixup"),
    ("mixup(1, 2)", "mixup takes alpha"),
    ("mixup(__import__('os'))", "not of the form"),
    ("l2(0.1) + l2(0.2)", "cannot be chained: both are l2"),
    ("mixup(1) + cutmix(1)", "both mix targets"),
    ("ema(0.9) + swa(0.5)", "both average the weights"),
    (3, "not 3"),
    ("", "not of the form|is not a regularizer"),
]


@pytest.mark.parametrize(("given", "words"), BAD)
def test_what_cannot_be_meant_is_said_in_a_sentence(given: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        r.get(given)
    assert "\n" not in str(caught.value)


def test_data_that_cannot_be_regularized_so() -> None:
    flat, ids = torch.zeros(4, 6), torch.zeros(4, 6, dtype=torch.int64)
    with pytest.raises(PlanError, match=r"cutmix\(1\) needs images of shape"):
        r.CutMix(1)(flat, CLASSES[:4], seed=0)
    with pytest.raises(PlanError, match=r"rotate.*needs images"):
        r.Rotate(10)(flat, CLASSES[:4], seed=0)
    for kind in (r.MixUp, r.InputNoise):
        with pytest.raises(PlanError, match="real numbers"):
            kind(0.1)(ids, CLASSES[:4], seed=0)
    with pytest.raises(PlanError, match="and these are bool"):
        r.MixUp(1)(flat, CLASSES[:4] > 1, seed=0)
    with pytest.raises(PlanError, match="the loss mse compares numbers"):
        r.LabelSmoothing(0.1).check(F.mse_loss, flat, flat)
    r.LabelSmoothing(0.1).check(None, flat, flat)  # which loss is not known, so nothing is refused
    with pytest.raises(PlanError, match="Linear has none"):
        r.Dropout(0.1)(nn.Linear(1, 1))


def test_label_smoothing_finds_classes_on_the_last_axis() -> None:
    scores, targets = (
        torch.randn(6, 3, 5, generator=torch.Generator().manual_seed(0)),
        torch.arange(18).reshape(6, 3) % 5,
    )
    ours = r.get("label_smoothing(0.2)")(losses.CrossEntropy())
    plain = F.cross_entropy(scores.movedim(-1, 1), targets, label_smoothing=0.2)
    torch.testing.assert_close(ours(scores, targets), plain)
    with pytest.raises(PlanError, match=r"finds the classes by their shapes, and cross_entropy\(axis=-1\) says where"):
        r.get("label_smoothing(0.2)").check(losses.CrossEntropy(axis=-1), scores, targets)
