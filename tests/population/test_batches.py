"""Batches are a function of the seed and the epoch, and nobody else's random numbers change."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, TensorDataset

from thalweg.errors import TrainingError
from thalweg.population.batches import LoaderBatches, TensorBatches, order_seed

inputs = torch.arange(23, dtype=torch.float64).reshape(-1, 1)
targets = torch.arange(23)
data = TensorDataset(inputs, targets)


def drawn(batches, seed: int, epoch: int) -> list[list[int]]:
    return [y.tolist() for _, y in batches.epoch(seed, epoch)]


@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
def test_an_epoch_shows_every_sample_once_in_batches(batch_size: int) -> None:
    batches = TensorBatches(inputs, targets, batch_size)
    seen = drawn(batches, 0, 0)
    assert sorted(i for batch in seen for i in batch) == list(range(23))
    assert len(seen) == batches.steps
    assert all(len(b) == min(batch_size, 23) for b in seen[:-1])


def test_order_depends_on_seed_and_epoch_and_repeats() -> None:
    batches = TensorBatches(inputs, targets, 4)
    orders = {(s, e): str(drawn(batches, s, e)) for s in range(3) for e in range(3)}
    assert len(set(orders.values())) == 9
    assert orders[1, 2] == str(drawn(batches, 1, 2))
    assert len({order_seed(s, e) for s in range(50) for e in range(1000)}) == 50_000


@pytest.mark.parametrize("own", [False, True])
def test_a_loader_is_used_as_it_is_and_repeats(own: bool) -> None:
    sampler = RandomSampler(data, replacement=True, num_samples=17)
    loader = DataLoader(
        data, batch_size=4, sampler=sampler, drop_last=True, generator=torch.Generator() if own else None
    )
    batches = LoaderBatches(loader)
    assert batches.steps == 4
    before = torch.get_rng_state()
    seen = drawn(batches, 3, 1)
    assert torch.equal(before, torch.get_rng_state())
    assert [len(b) for b in seen] == [4] * 4
    assert seen == drawn(batches, 3, 1)
    assert seen != drawn(batches, 3, 2)


def test_a_plain_loop_draws_the_same_batches_from_a_loader() -> None:
    loader = DataLoader(data, batch_size=4, shuffle=True)
    seen = drawn(LoaderBatches(loader), 2, 5)
    torch.manual_seed(order_seed(2, 5))
    assert seen == [y.tolist() for _, y in loader]


def test_random_numbers_drawn_between_batches_change_nothing() -> None:
    loader = DataLoader(data, batch_size=4, shuffle=True)
    calm = drawn(LoaderBatches(loader), 0, 0)
    stormy = []
    for _, y in LoaderBatches(loader).epoch(0, 0):
        torch.rand(7)
        stormy.append(y.tolist())
    assert calm == stormy


class Stream(IterableDataset):
    """Samples whose number is unknown beforehand; `lengths` of one pass after another."""

    def __init__(self, *lengths: int) -> None:
        self.lengths, self.passes = lengths, 0

    def __iter__(self):
        length = self.lengths[min(self.passes, len(self.lengths) - 1)]
        self.passes += 1
        return ((inputs[k], targets[k]) for k in range(length))


def test_the_steps_of_a_stream_are_counted_once_and_nobodys_random_numbers_change() -> None:
    stream = Stream(23)
    batches = LoaderBatches(DataLoader(stream, batch_size=4))
    before = torch.get_rng_state()
    assert (batches.steps, batches.steps) == (6, 6)
    assert stream.passes == 1
    assert torch.equal(before, torch.get_rng_state())
    assert drawn(batches, 0, 0) == drawn(batches, 3, 7) == [list(range(k, min(k + 4, 23))) for k in range(0, 23, 4)]


@pytest.mark.parametrize(("first", "second", "words"), [(23, 19, "6 .* and fewer in"), (19, 23, "5 .* and more in")])
def test_a_stream_of_another_length_is_refused(first: int, second: int, words: str) -> None:
    batches = LoaderBatches(DataLoader(Stream(first, second), batch_size=4))
    assert batches.steps == -(-first // 4)
    with pytest.raises(TrainingError, match=f"has {words} another; let it give as many in each"):
        list(batches.epoch(0, 0))
