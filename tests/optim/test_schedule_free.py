"""Rules that are evaluated at other weights than they train: the average is shown between eval() and train()."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from tests.papers import schedule_free_adamw
from thalweg import formulas
from thalweg.errors import UsageError
from thalweg.kernels import torch_ref

from .models import closure, network, train, weights


def made() -> tuple[nn.Module, Any]:
    model = network()
    return model, tw.optim.ScheduleFreeAdamW(model.parameters(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)


def test_what_is_shown_is_the_average_of_the_paper() -> None:
    random = np.random.default_rng(0)
    w, gradients = random.normal(size=9), [random.normal(size=9) for _ in range(50)]
    p = nn.Parameter(torch.from_numpy(w.copy()))
    optimizer = tw.optim.ScheduleFreeAdamW([p], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for k, g in enumerate(gradients):
        if k % 7 == 3:  # looking changes nothing
            optimizer.eval()
            optimizer.train()
        p.grad = torch.from_numpy(g)
        optimizer.step()
    trained = p.detach().clone()
    optimizer.eval()
    expected = torch.from_numpy(schedule_free_adamw(w, gradients, [], shown=True))
    assert (p.detach() - expected).norm() <= 1e-10 * expected.norm()
    assert not torch.allclose(p.detach(), trained, rtol=1e-3)
    optimizer.train()
    assert torch.equal(p.detach(), trained)


def test_a_step_in_the_wrong_mode_is_refused() -> None:
    model, optimizer = made()
    optimizer.eval()  # before any step
    with pytest.raises(UsageError, match=r"call train\(\) before step\(\), and eval\(\) before the weights are"):
        train(model, optimizer, 1)
    optimizer.train()
    train(model, optimizer, 2)
    optimizer.eval()
    with pytest.raises(UsageError, match="shows the weights that are evaluated"):
        train(model, optimizer, 1)


def test_modes_mean_nothing_to_other_rules() -> None:
    model = network()
    optimizer = tw.optim.Adam(model.parameters())
    optimizer.eval()
    before = weights(model)
    train(model, optimizer, 1)
    optimizer.train()
    assert not torch.equal(weights(model), before)


@pytest.mark.parametrize("shown", [False, True])
def test_a_state_dict_remembers_the_mode(shown: bool) -> None:
    model, optimizer = made()
    train(model, optimizer, 5)
    if shown:
        optimizer.eval()
    other, taken_up = made()
    other.load_state_dict(model.state_dict())
    taken_up.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for each, its in ((model, optimizer), (other, taken_up)):
        if shown:
            with pytest.raises(UsageError, match=r"call train\(\)"):
                its.step(closure(each, its, 5))
            its.train()
        train(each, its, 3, start=5)
    assert torch.equal(weights(model), weights(other))


def test_shown_goes_from_the_trained_point_to_the_average() -> None:
    w, z = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    states = [z, *torch.zeros(2, dtype=torch.float64)]
    torch_ref.shown(formulas.get("schedule_free_sgd"), w, states, 1, {"momentum": 0.5})
    assert torch.equal(w, torch.full((3,), 2.0, dtype=torch.float64))  # y = ½x + ½z
