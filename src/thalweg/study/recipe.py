"""The winner as plain PyTorch: torch.optim, torch.optim.lr_scheduler, and nothing else to install."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .. import schedules
from ..errors import PlanError
from ..formulas import FORMULAS, Formula
from .plan import Plan, Setting

# formula → (class in torch.optim, arguments by hyperparameter)
_TORCH: dict[str, tuple[str, dict[str, str]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": "momentum={momentum}"}),
    "nesterov": ("SGD", {"momentum": "momentum={momentum}, nesterov=True"}),
    "adagrad": ("Adagrad", {}),
    "adadelta": ("Adadelta", {}),
    "rmsprop": ("RMSprop", {}),
    "adam": ("Adam", {"beta1": "betas=({beta1}, {beta2})", "beta2": ""}),
    "adamw": ("AdamW", {"beta1": "betas=({beta1}, {beta2})", "beta2": ""}),
}


@dataclass(frozen=True)
class Recipe:
    """How to train with a setting outside of thalweg.

    Attributes:
        code: a runnable script.
        optimizer: the line that makes the optimizer from `model`.
        scheduler: the line that makes its schedule from `optimizer` and `total_steps`.
    """

    code: str
    optimizer: str
    scheduler: str

    def build(self, model: nn.Module, total_steps: int) -> tuple[Optimizer, LRScheduler]:
        """The optimizer and its scheduler for your model; call `scheduler.step()` after each step."""
        import torch
        from torch.optim import lr_scheduler

        scope: dict[str, Any] = {"torch": torch, "model": model}
        optimizer = eval(self.optimizer, scope)
        scope = {"lr_scheduler": lr_scheduler, "optimizer": optimizer, "total_steps": total_steps}
        return optimizer, eval(self.scheduler, scope)


def recipe(plan: Plan, problem: Mapping[str, Any], setting: Setting, seed: int = 0) -> Recipe:
    """The script that repeats one member of a study, unbatched.

    Args:
        problem: what the store knows of it: name, spec, kind, loader.
        seed: of the member; the script's initial weights and batches are that member's.
    """
    optimizer = torch_optimizer(plan.formulas[setting.optimizer], setting.lr)
    scheduler = schedules.get(setting.schedule).code()
    shape = _LOADER if problem["loader"] else _TENSORS
    code = _SCRIPT.format(
        label=setting.optimizer, lr=f"{setting.lr:g}", schedule=setting.schedule, name=_words(problem["name"]),
        loading=_loading(problem), seed=seed, epochs=plan.epochs, optimizer=optimizer, scheduler=scheduler,
        batches=shape.format(batch_size=plan.batch_size), steps=_steps(problem["loader"], plan.batch_size),
    )  # fmt: skip
    return Recipe(code, optimizer, scheduler)


def torch_optimizer(formula: Formula, lr: float) -> str:
    """``torch.optim.…(model.parameters(), …)`` for a formula that torch.optim has too."""
    name, arguments = _TORCH.get(formula.name, ("", {}))
    known = FORMULAS.get(formula.name)
    if not name or known is None or known.equations != formula.equations:
        raise PlanError(
            f"{formula.label} is not in torch.optim, so it has no plain-PyTorch recipe; its equations are in the report."
        )
    values = {**formula.hyperparameters, "lr": lr}
    parts = [arguments.get(key, f"{key}={{{key}}}").format_map(_Shown(values)) for key in values]
    return f"torch.optim.{name}(model.parameters(), {', '.join(filter(None, parts))})"


class _Shown(dict[str, float]):
    def __getitem__(self, key: str) -> str:  # type: ignore[override]
        return repr(super().__getitem__(key))


def _words(text: str) -> str:
    """Text that may stand in a docstring: a name from a store must not become code."""
    return "".join(c if c.isprintable() and c not in '"\\' else " " for c in text)


def _loading(problem: Mapping[str, Any]) -> str:
    if problem["kind"] == "object":
        return "problem = tw.prepare(YOUR_PROBLEM)  # the tw.Problem that the study was given"
    return f"problem = tw.prepare({problem['spec']!r})"


def _steps(loader: bool, batch_size: int) -> str:
    return "len(problem.train)" if loader else f"-(-len(problem.train[0]) // {batch_size})"


_TENSORS = """
    inputs, targets = problem.train
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(1_000_003 * SEED + epoch))
    for chosen in order.split({batch_size}):
        yield inputs[chosen], targets[chosen]
""".strip("\n")

_LOADER = """
    torch.manual_seed(1_000_003 * SEED + epoch)
    if problem.train.generator is not None:
        problem.train.generator.manual_seed(1_000_003 * SEED + epoch)
    yield from problem.train
""".strip("\n")

_SCRIPT = '''"""{label} at {lr}, {schedule} schedule: chosen on {name}, in plain PyTorch."""

import torch
from torch.optim import lr_scheduler

import thalweg as tw  # for the model, the data and the loss alone: put your own in their place

SEED, EPOCHS = {seed}, {epochs}
{loading}


def batches(epoch):
{batches}


torch.manual_seed(SEED)
model = problem.model()
optimizer = {optimizer}
total_steps = EPOCHS * {steps}
scheduler = {scheduler}

for epoch in range(EPOCHS):
    model.train()
    for inputs, targets in batches(epoch):
        optimizer.zero_grad()
        problem.loss(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
    model.eval()
    with torch.no_grad():
        inputs, targets = problem.validation
        print(f"epoch {{epoch + 1:3d}}  validation loss {{problem.loss(model(inputs), targets).item():.6f}}")
'''
