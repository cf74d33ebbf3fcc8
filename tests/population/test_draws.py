"""Random numbers of a model: written down once, the same whenever they are replayed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from thalweg.errors import TrainingError
from thalweg.population.draws import Replayed, numbers, recorded

DRAWS: dict[str, Callable[[], Tensor]] = {
    "rand": lambda: torch.rand(3, 4),
    "rand in float64": lambda: torch.rand([2, 3], dtype=torch.float64),
    "rand_like": lambda: torch.rand_like(torch.zeros(4, 3).T),
    "randn": lambda: torch.randn(5),
    "randn_like": lambda: torch.randn_like(torch.zeros(2, 2, dtype=torch.float64)),
    "randint": lambda: torch.randint(7, (50,)),
    "randint from": lambda: torch.randint(3, 7, (50,), dtype=torch.int32),
    "randint_like": lambda: torch.randint_like(torch.zeros(50), 2, 5),
    "bernoulli": lambda: torch.bernoulli(torch.zeros(50), 0.3),
    "normal_": lambda: torch.empty(6).normal_(5, 0.01),
    "uniform_": lambda: torch.empty(6).uniform_(3, 4),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_is_replayed_as_pytorch_shapes_it(name: str) -> None:
    draw, state = DRAWS[name], torch.get_rng_state()
    plain = draw()
    torch.set_rng_state(state)
    draws = recorded(draw)
    assert torch.equal(torch.get_rng_state(), state)
    (one,) = draws
    assert (one.shape, one.stride, one.dtype) == (plain.shape, plain.stride(), plain.dtype)
    replayed = []
    for seed in (1, 1, 2):
        with Replayed(numbers(draws, seed)):
            replayed.append(draw())
    assert [(r.shape, r.stride(), r.dtype) for r in replayed] == [(plain.shape, plain.stride(), plain.dtype)] * 3
    assert torch.equal(replayed[0], replayed[1])
    assert not torch.equal(replayed[0], replayed[2])
    if name.startswith(("randint", "uniform_")):  # the bounds are those that were asked for
        low, high = {"randint": (0, 6), "uniform_": (3, 4)}.get(name, (2, 4) if name == "randint_like" else (3, 6))
        assert all(low <= float(r.min()) <= float(r.max()) <= high for r in replayed)


def test_draws_that_cannot_be_repeated_are_refused() -> None:
    refused, generator = "draws random numbers by {}, which cannot be repeated".format, torch.Generator()
    with pytest.raises(TrainingError, match=refused("rand.generator")):
        recorded(lambda: torch.rand(3, generator=generator))
    with pytest.raises(TrainingError, match=refused("multinomial")):
        recorded(lambda: torch.multinomial(torch.ones(3), 2))
    for again in (lambda: (torch.rand(3), torch.rand(3)), lambda: torch.empty(4).normal_()):  # more; of another shape
        with pytest.raises(TrainingError, match=refused("(rand|normal_)")), Replayed([torch.zeros(3)]):
            again()
