"""Members whose rule looks beyond one weight, against the same run by the reference alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg import formulas
from thalweg.kernels import torch_ref
from thalweg.population.batched import Batched
from thalweg.population.batches import TensorBatches
from thalweg.population.block import Block, Task
from thalweg.population.member import Member
from thalweg.population.tensor_updates import TensorUpdates

INPUTS = torch.randn(20, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
TARGETS = INPUTS.sum(1, keepdim=True)
EPOCHS = 5


class Scaled(nn.Module):
    """A line times a number without axes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.line = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.line(x)


def alone(rule: str, lr: float) -> list[float]:
    """The validation losses of the run in float64, one step with all samples in each epoch."""
    formula = formulas.get(rule)
    torch.manual_seed(5)
    model = Scaled().double()
    weights = [*model.parameters()]
    states = [torch_ref.initial_states(formula, w, {}) for w in weights]
    losses = [F.mse_loss(model(INPUTS), TARGETS)]
    for t in range(1, EPOCHS + 1):
        gradients = torch.autograd.grad(losses[-1], weights)
        with torch.no_grad():
            torch_ref.update_model(formula, weights, gradients, states, t, {"lr": lr})
        losses.append(F.mse_loss(model(INPUTS), TARGETS))
    return [loss.item() for loss in losses]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-3)], ids=str)
@pytest.mark.parametrize("rule", ["prodigy(d0=0.01)", "dadapt_adam(d0=0.01)"])
def test_a_number_of_the_model_is_one_beside_a_parameter_without_axes(
    rule: str, dtype: torch.dtype, tolerance: float, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(TensorUpdates, "programs", None)
    inputs, targets = INPUTS.to(dtype), TARGETS.to(dtype)
    task = Task(
        lambda: Scaled().to(dtype),
        Batched(Scaled().to(dtype), F.mse_loss, {}),
        TensorBatches(inputs, targets, len(inputs)),
        (inputs, targets),
    )
    rates = (0.5, 1.0)
    block = Block(task, [Member(formulas.get(rule), {"lr": lr}, {}, 5) for lr in rates], EPOCHS)
    epochs = [epoch.values["validation_loss"] for epoch in block.train() if epoch is not None]
    for losses, lr in zip(zip(*epochs, strict=True), rates, strict=True):
        assert losses == pytest.approx(alone(rule, lr)[-len(losses) :], rel=tolerance)
