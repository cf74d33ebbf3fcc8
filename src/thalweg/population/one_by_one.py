"""The gradients and evaluations of a block's members one after another, as a plain PyTorch loop takes them.

For models that `vmap` cannot take: control flow that depends on the data, `.item()`, recurrent layers, operations
in place. Everything else about a block (the optimizers' kernels, schedules, regularizers, what lasts from step to step)
stays the same, so that a member learns the same either way, to float rounding, and one that diverges harms no other.

The model's own parameters and buffers point into the stacks of the block while one member is at work. What the model
draws at random comes from PyTorch's global state, seeded by the seed and the step: the numbers that a batched
program replays.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from .batched import Batched, Extra, Groups, Tensors, axes
from .batches import RANDOM


class OneByOne(Batched):
    """`Batched` without a batched program."""

    replays = False

    def _run(self, groups: Groups, extra: Extra | None, fixed: int | None) -> Tensors:
        def one(k: int) -> Tensors:
            if extra is not None:
                torch.manual_seed(extra.seeds[k if extra.per_member else 0])
            pairs = zip(groups, axes(extra, fixed), strict=True)
            return self._member(extra, [[t[k] for t in group] if axis == 0 else group for group, axis in pairs])

        with self._at_work(extra), torch.set_grad_enabled(extra is not None):
            return _stacked([one(k) for k in range(len(groups[0][0]))])

    def _watched(self, forward: Callable[[], object]) -> None:
        with RANDOM, self._forked():
            forward()

    def _forked(self) -> Any:
        """PyTorch's random state is put back."""
        return torch.random.fork_rng(devices=[] if self.device.type == "cpu" else [self.device])

    @contextmanager
    def _at_work(self, extra: Extra | None) -> Iterator[None]:
        """The model and PyTorch's random state are this call's alone; both are put back after it."""
        with RANDOM, self._lock, self._forked(), self._mode(extra):
            tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
            before = {name: t.data for name, t in tensors.items()}
            try:
                yield
            finally:
                for name, tensor in tensors.items():
                    tensor.data = before[name]

    def _with(
        self, weights: Tensors, buffers: dict[str, Tensor], fixed: Tensors, use: Callable[[nn.Module], Any]
    ) -> Any:
        tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        values = dict(zip((*self.names, *self.fixed), (*weights, *fixed), strict=True)) | buffers
        for name, tensor in values.items():
            tensors[name].data = tensor.data
        with self.place.autocast():
            result = use(self.model)
        after = dict(self.model.named_buffers())
        buffers |= {name: after[name].detach() for name in self.moving}
        return result

    def _derive(
        self, objective: Callable[[Tensors], tuple[Tensor, Tensors]], point: Tensors
    ) -> tuple[Tensors, Tensor, Tensors]:
        by_name = dict(self.model.named_parameters())
        parameters = tuple(by_name[name] for name in self.names)
        for parameter, values in zip(parameters, point, strict=True):
            parameter.data = values.detach()
        value, buffers = objective(parameters)
        gradients: Sequence[Tensor | None] = [None] * len(parameters)
        if value.requires_grad:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        zeroed = (torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True))
        return tuple(zeroed), value.detach(), buffers


def _stacked(rows: Sequence[Tensors]) -> Tensors:
    """Each member's tensors, stacked on a leading axis."""
    try:
        return tuple(torch.stack([t.detach() for t in column]) for column in zip(*rows, strict=True))
    except RuntimeError as error:
        raise TrainingError("the model's outputs change their shape from one run to another.") from error
