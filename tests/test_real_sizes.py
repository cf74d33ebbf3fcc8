"""The examples of real size in docs/examples: their weights, and that members of them can be stacked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from thalweg.population.batched import Batched
from thalweg.samples import Samples

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
MILLIONS = {"resnet18": 11.2, "transformer": 10.5}


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", MILLIONS)
def test_members_of_real_size_can_be_stacked(name: str) -> None:
    problem = example(name).problem(samples=24)
    torch.manual_seed(0)
    model = problem.model()
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == MILLIONS[name]
    inputs, targets = (part[:2] for part in problem.train)
    batched = Batched(model, F.cross_entropy, {})
    batched.find_moving_buffers(Samples(inputs, targets))
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    fixed = [tensors[each].detach() for each in batched.fixed]
    weights, moving = (
        [torch.stack([tensors[each].detach()] * 2) for each in names] for names in (batched.names, batched.moving)
    )
    gradients = batched.gradient(weights, inputs, targets, fixed, moving)
    loss = F.cross_entropy(model.train()(inputs), targets)
    loss.backward()
    torch.testing.assert_close(gradients[len(weights)], loss.detach().expand(2), rtol=1e-4, atol=1e-4)
    for each, stacked in zip(batched.names, gradients, strict=False):
        alone = model.get_parameter(each).grad
        assert alone is not None
        assert (stacked[1] - alone).norm() <= 1e-3 * alone.norm() + 1e-6
