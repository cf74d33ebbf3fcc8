"""Which samples a seed sees, and when: a function of the seed and the epoch alone.

Every member of a seed sees the same batches in the same order (common random numbers), an interrupted
run takes up where it stopped, and a plain PyTorch loop can draw the very same batches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..errors import TrainingError
from ..samples import Samples, Tree

GATHERED = 1 << 20  # bytes of samples that are picked out at once: one call for many small batches
RANDOM = threading.Lock()  # held while PyTorch's global random state is seeded


def order_seed(seed: int, epoch: int) -> int:
    """The seed of the batch order of one epoch."""
    return 1_000_003 * seed + epoch


class Batches(Protocol):
    """Batches per epoch, and the batches of one epoch."""

    @property
    def steps(self) -> int: ...

    def epoch(self, seed: int, epoch: int) -> Iterator[Samples]: ...


class TensorBatches:
    """Random mini-batches of tensors: shuffle, cut, repeat each epoch; the last batch may be smaller.

    Args:
        inputs, targets: tensors or trees of them, whose first axis is the sample.
        batch_size: samples per batch; at most all of them.
        rows: the samples to take, which may come several times; all of them unless given.
    """

    def __init__(self, inputs: Tree, targets: Tree, batch_size: int, rows: Tensor | None = None) -> None:
        self.data, self.rows = Samples(inputs, targets), rows
        self.samples = self.data.size if rows is None else len(rows)
        self.batch_size = min(batch_size, self.samples)
        self.steps = -(-self.samples // self.batch_size)

    def epoch(self, seed: int, epoch: int) -> Iterator[Samples]:
        order = _order(self.samples, seed, epoch)
        order = order if self.rows is None else self.rows[order]
        sample = sum(t[:1].nbytes for t in self.data.leaves) or 1
        at_once = max(1, GATHERED // (sample * self.batch_size)) * self.batch_size
        for chosen in order.to(self.data.device).split(at_once):
            yield from self.data.take(chosen).split(self.batch_size)


class OwnBatches:
    """Batches of a block whose members differ in their samples and their order, stacked: (members, batch, …).

    Each member's are those that `TensorBatches` gives its rows under its seed.

    Args:
        rows: (members, samples) which samples each member has; as many for all.
        seeds: (members,) whose order each follows.
    """

    def __init__(self, inputs: Tree, targets: Tree, batch_size: int, rows: Tensor, seeds: Sequence[int]) -> None:
        self.data, self.rows, self.seeds = Samples(inputs, targets), rows, tuple(seeds)
        self.batch_size = min(batch_size, rows.shape[1])
        self.steps = -(-rows.shape[1] // self.batch_size)

    def epoch(self, seed: int, epoch: int) -> Iterator[Samples]:
        orders = [_order(self.rows.shape[1], one, epoch) for one in self.seeds]
        for chosen in self.rows.gather(1, torch.stack(orders)).to(self.data.device).split(self.batch_size, dim=1):
            yield self.data.take(chosen)


def _order(samples: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(samples, generator=torch.Generator().manual_seed(order_seed(seed, epoch)))


class LoaderBatches:
    """A user's DataLoader, used unchanged, with PyTorch's random state seeded for each epoch.

    The global random state is the loader's own while it makes a batch, and is put back afterwards, so
    that shuffling and random transforms repeat and no other random numbers change.

    Args:
        given: what the loader yields → samples.

    Raises:
        TrainingError: a pass has fewer or more batches than `steps`.
    """

    def __init__(self, loader: DataLoader[Any], given: Callable[[Any], Samples] = lambda b: Samples(*b)) -> None:
        self.loader, self.given = loader, given

    @property
    def steps(self) -> int:
        return self._steps

    @cached_property
    def _steps(self) -> int:
        try:
            return len(self.loader)
        except TypeError:  # a stream, whose length is unknown before it has been read
            return sum(1 for _ in self._batches(0, 0))

    def epoch(self, seed: int, epoch: int) -> Iterator[Samples]:
        count = 0
        for count, batch in enumerate(self._batches(seed, epoch), 1):
            if count > self.steps:
                break
            yield batch
        if count != self.steps:
            other = "fewer" if count < self.steps else "more"
            raise TrainingError(
                f"the train DataLoader has {self.steps} batches in one pass and {other} in another; "
                "let it give as many in each, or give tensors."
            )

    def _batches(self, seed: int, epoch: int) -> Iterator[Samples]:
        inside: Tensor | None = None
        batches: Iterator[Any] = iter(())
        while True:
            with RANDOM:
                outside = torch.get_rng_state()
                if inside is None:
                    torch.manual_seed(order_seed(seed, epoch))
                    if self.loader.generator is not None:
                        self.loader.generator.manual_seed(order_seed(seed, epoch))
                    batches = iter(self.loader)
                else:
                    torch.set_rng_state(inside)
                batch = next(batches, None)
                inside = torch.get_rng_state()
                torch.set_rng_state(outside)
            if batch is None:
                return
            yield self.given(batch)
