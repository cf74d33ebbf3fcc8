"""How many members a block may have, so that what a step touches stays in cache."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..losses import Loss
from ..samples import Samples, leaves

CACHE = 24 * 2**20  # bytes
MEMORY = 2**30  # bytes


def block_size(weights: int, states: int, activations: int, element: int = 4) -> int:
    """How many members fit into one block: as many as keep all that a step touches in cache.

    At least eight, so that a batched program is worth it, unless they would take more than a gigabyte, as a
    batch of all samples may.

    Args:
        weights: of one member.
        states: values the optimizer keeps per weight.
        activations: outputs of one member's layers for one batch; each is met about three times, on the
            way forward, as a gradient, and in between.
    """
    each = (weights * (2 + states) + 3 * activations) * element
    return max(1, min(max(8, int(CACHE / each)), int(MEMORY / each)))


def activations_of(model: nn.Module, samples: Samples, loss: Loss) -> float:
    """Outputs of the model's layers per sample, measured on a few as the loss calls the model."""
    outputs = 0

    def count(layer: nn.Module, inputs: object, output: object) -> None:
        nonlocal outputs
        outputs += sum(t.numel() for t in leaves(output) if isinstance(t, Tensor))

    hooks = [layer.register_forward_hook(count) for layer in model.modules() if not list(layer.children())]
    try:
        with torch.no_grad():
            loss.over(model.eval(), samples)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs / samples.size
