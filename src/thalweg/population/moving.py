"""Buffers that a model moves while it trains, such as the running statistics of batch normalization."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from ..losses import Loss
from ..samples import Samples, with_tensors


def moving_buffers(
    model: nn.Module, loss: Loss, samples: Samples, watched: Callable[[Callable[[], object]], object]
) -> list[str]:
    """The names of the buffers that a forward pass in training mode changes; the model stays as it was.

    Args:
        loss: what calls the model.
        samples: a few.
        watched: runs the forward pass and leaves PyTorch's random state as it was.
    """
    before = dict(model.named_buffers())
    if not before:
        return []
    if samples.size == 1:
        samples = samples.joined(samples)  # batch normalization needs two
    buffers = {name: b.clone() for name, b in before.items()}
    versions = {name: b._version for name, b in buffers.items()}
    originals = dict(buffers)
    model.train()
    with torch.no_grad(), cumulative(model):
        watched(lambda: with_tensors(model, buffers, lambda inner: loss.over(inner, samples)))
    # Batch normalization moves its statistics without telling PyTorch's counter of versions.
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, _NormBase)]
    norms = {name for prefix, layer in layers for name, _ in layer.named_buffers(prefix)}
    return [n for n, b in originals.items() if buffers[n] is not b or b._version != versions[n] or n in norms]


@contextmanager
def cumulative(model: nn.Module) -> Iterator[None]:
    """Batch normalization with ``momentum=None`` in tensor operations alone, while inside.

    torch's layer asks its counter for a number, which members of a population do not share.
    """
    norms = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    layers = [layer for layer in norms if layer.momentum is None and layer.track_running_stats]
    for layer in layers:
        layer.forward = partial(_cumulative, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _cumulative(layer: _BatchNorm, x: Tensor) -> Tensor:
    """The mean of all batches' statistics: r ← r + (batch − r) / n."""
    layer._check_input_dim(x)
    mean, variance, count = layer.running_mean, layer.running_var, layer.num_batches_tracked
    assert mean is not None
    assert variance is not None
    assert count is not None
    if not layer.training:
        return F.batch_norm(x, mean, variance, layer.weight, layer.bias, False, 0.0, layer.eps)
    # With a momentum of 1 what is left is this batch's own statistics.
    new_mean, new_variance = torch.zeros_like(mean), torch.zeros_like(variance)
    outputs = F.batch_norm(x, new_mean, new_variance, layer.weight, layer.bias, True, 1.0, layer.eps)
    count.add_(1)
    share = 1 / count.to(mean.dtype)
    mean.add_((new_mean - mean) * share)
    variance.add_((new_variance - variance) * share)
    return outputs
