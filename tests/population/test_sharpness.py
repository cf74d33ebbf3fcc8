"""Curvature against the whole Hessian: eigenvalues, their vectors, ε-sharpness, and members side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev
from torch.nn import functional as F

from thalweg.population import sharpness
from thalweg.population.batched import Batched
from thalweg.population.sharpness import Landscape, curvature
from thalweg.programs.native import single_threaded
from thalweg.samples import Samples

from ..cases import mostly_slow

DOUBLE = torch.float64
GENERATOR = torch.Generator().manual_seed(5)
INPUTS = torch.randn(40, 1, 4, 4, generator=GENERATOR, dtype=DOUBLE)
CLASSES = INPUTS.flatten(1)[:, :3].argmax(1)


def smooth() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4, dtype=DOUBLE), nn.Tanh(), nn.Linear(4, 3, dtype=DOUBLE))


def layered() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, dtype=DOUBLE),
        nn.BatchNorm2d(2, dtype=DOUBLE),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(8, 3, dtype=DOUBLE),
    )


def descend(module: nn.Module) -> None:
    """A little, so that the largest eigenvalue stands apart."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(module(INPUTS), CLASSES).backward()
        optimizer.step()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with single_threaded():
        yield


def made(model: Callable[[], nn.Module], members: int = 3) -> tuple[Landscape, list[torch.Tensor], list[nn.Module]]:
    modules = []
    for seed in range(members):
        torch.manual_seed(seed)
        modules.append(model())
        descend(modules[-1])
        for layer in modules[-1].modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
    batched = Batched(model(), F.cross_entropy, {})
    batched.find_moving_buffers(Samples(INPUTS[:2], CLASSES[:2]))
    states = [dict(m.named_parameters()) | dict(m.named_buffers()) for m in modules]
    weights, moving = (
        [torch.stack([s[n].detach() for s in states]) for n in names] for names in (batched.names, batched.moving)
    )
    return Landscape(batched, Samples(INPUTS, CLASSES), [], moving), weights, modules


def whole_hessian(module: nn.Module) -> np.ndarray:
    """By torch.func.jacrev twice, all weights in one row."""
    module.eval()
    named = {n: p.detach() for n, p in module.named_parameters()}
    sizes = [p.numel() for p in named.values()]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = [part.reshape(p.shape) for part, p in zip(flat.split(sizes), named.values(), strict=True)]
        return F.cross_entropy(functional_call(module, dict(zip(named, parts, strict=True)), (INPUTS,)), CLASSES)

    return jacrev(jacrev(loss))(torch.cat([p.flatten() for p in named.values()])).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("chunk", mostly_slow([1024, 7], 7))
@pytest.mark.parametrize("model", mostly_slow([smooth, layered], layered))
def test_the_largest_eigenvalue_is_the_hessians(
    model: Callable[[], nn.Module], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharpness, "CHUNK", chunk)
    at, weights, modules = made(model)
    found = curvature(at, weights)
    for k, module in enumerate(modules):
        whole = whole_hessian(module)
        assert found.eigenvalue[k] == pytest.approx(np.linalg.eigvalsh(whole)[-1], rel=1e-2)
        direction = torch.cat([d[k].flatten() for d in found.direction]).numpy()
        assert np.linalg.norm(direction) == pytest.approx(1)
        assert np.linalg.norm(whole @ direction - found.eigenvalue[k] * direction) < 0.02 * found.eigenvalue[k] + 0.02
    assert found.converged.all()


def test_a_negative_eigenvalue_that_is_larger_in_size_is_passed_over() -> None:
    """L = Σ cᵢ wᵢ² / 2 by a model of four weights: its Hessian is diag(c)."""
    coefficients = torch.tensor([2.0, -5.0, 0.5, 1.0], dtype=DOUBLE)

    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(4, dtype=DOUBLE))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :1] * 0 + (coefficients * self.w**2).sum() / 2

    batched = Batched(Weights(), lambda outputs, targets: outputs.mean(), {})
    x = torch.ones(6, 1, dtype=DOUBLE)
    batched.find_moving_buffers(Samples(x, x))
    found = curvature(Landscape(batched, Samples(x, x)), [torch.ones(2, 4, dtype=DOUBLE)], epsilon=0.1)
    np.testing.assert_allclose(found.eigenvalue, [2.0, 2.0], rtol=1e-3)
    g = coefficients.numpy()
    stepped = 1 + 0.1 * g / np.linalg.norm(g)
    np.testing.assert_allclose(found.rise, [(g * stepped**2).sum() / 2 - g.sum() / 2] * 2, rtol=1e-9)


@pytest.mark.parametrize("loss", [F.mse_loss, F.huber_loss])
def test_a_model_that_is_linear(loss: Callable[..., torch.Tensor]) -> None:
    """Of ‖Xw − y‖²/n the Hessian is 2XᵀX/n; near its minimum, Huber's is half of that."""
    x = torch.linspace(-1, 1, 64, dtype=DOUBLE)[:, None]
    batched = Batched(nn.Linear(1, 1, dtype=DOUBLE), loss, {})
    batched.find_moving_buffers(Samples(x, x))
    weights = [torch.full((2, 1, 1), 2.0, dtype=DOUBLE), torch.ones(2, 1, dtype=DOUBLE)]
    value = curvature(Landscape(batched, Samples(x, 2 * x + 0.9)), weights).eigenvalue
    np.testing.assert_allclose(value, [2.0 if loss is F.mse_loss else 1.0] * 2, rtol=1e-3)


@pytest.mark.slow
def test_epsilon_sharpness_is_the_rise_of_one_normalised_step() -> None:
    at, weights, modules = made(layered)
    found = curvature(at, weights, epsilon=0.3)
    for k, module in enumerate(modules):
        module.eval()
        parameters = list(module.parameters())
        before = F.cross_entropy(module(INPUTS), CLASSES)
        gradients = torch.autograd.grad(before, parameters)
        length = torch.cat([g.flatten() for g in gradients]).norm()
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                p.add_(g, alpha=0.3 / float(length))
            after = F.cross_entropy(module(INPUTS), CLASSES)
        assert found.loss[k] == pytest.approx(before.item(), rel=1e-9)
        assert found.rise[k] == pytest.approx((after - before).item(), rel=1e-7)


@pytest.mark.slow
def test_members_do_not_mix() -> None:
    at, weights, _ = made(smooth)
    together = curvature(at, weights)
    for k in range(3):
        alone = curvature(at, [w[k : k + 1] for w in weights])
        assert alone.eigenvalue[0] == pytest.approx(together.eigenvalue[k], rel=1e-2)
        assert alone.rise[0] == pytest.approx(together.rise[k], rel=1e-9)


def test_populations_share_what_was_traced_and_not_their_fixed_tensors() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(1, dtype=DOUBLE))
            self.register_buffer("scale", torch.ones(1, dtype=DOUBLE))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.scale * self.w  # type: ignore[operator]

    batched = Batched(Scaled(), lambda outputs, targets: outputs.mean(), {})
    x = torch.ones(6, 1, dtype=DOUBLE)
    batched.find_moving_buffers(Samples(x, x))
    losses = [
        Landscape(batched, Samples(x, x), [torch.tensor([scale], dtype=DOUBLE)]).loss([torch.ones(2, 1, dtype=DOUBLE)])
        for scale in (1.0, 3.0)
    ]
    assert [loss.tolist() for loss in losses] == [[1.0, 1.0], [3.0, 3.0]]
    assert len(batched.extra_programs) == 1
