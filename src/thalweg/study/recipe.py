"""The winner as plain PyTorch: torch.optim, torch.optim.lr_scheduler, and nothing else to install.

A rule that torch.optim has not is made by `tw.optim.from_formula`, and takes its place in the same script.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .. import losses, schedules
from ..errors import PlanError, ProblemError
from ..formulas import FORMULAS, Formula
from ..formulas.drop_in import DropIn
from ..kernels.lower import lower
from ..regularizers.base import Regularizer
from .factors import FULL, Setting
from .plan import Plan
from .training_loop import training_loop


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
        """The optimizer and its scheduler for your model; call `scheduler.step()` after each step.

        One that follows the loss wants it after each pass over the data, as the script does."""
        import importlib
        import math
        import runpy

        import torch
        from torch.optim import lr_scheduler

        import thalweg as tw

        scope: dict[str, Any] = {"torch": torch, "model": model, "tw": tw}
        scope |= {"runpy": runpy, "importlib": importlib}
        optimizer = eval(self.optimizer, scope)
        scope = {"lr_scheduler": lr_scheduler, "optimizer": optimizer, "total_steps": total_steps}
        scope |= {"math": math, "tw": tw}
        return optimizer, eval(self.scheduler, scope)


def recipe(plan: Plan, problem: Mapping[str, Any], setting: Setting, seed: int = 0) -> Recipe:
    """The script that repeats one member of a study, unbatched.

    Args:
        problem: what the store knows of it: name, spec, kind, loader, and whether the model draws random numbers.
        seed: of the member; the script's initial weights, batches and random numbers are that member's.
    """
    formula = plan.formula(setting)
    spec = plan["optimizer"].specs.get(setting.optimizer)
    optimizer = optimizer_line(formula, setting.lr, spec, plan.changes(setting))
    schedule = plan.schedule(setting)
    if isinstance(schedule, schedules.Several):
        schedule = schedule.within(formula.hyperparameters)
    scheduler = schedule.code()
    batch_size = "len(inputs)" if (size := plan.level(setting, "batch_size")) == FULL else str(size)
    loss = _loss_line(plan, setting)
    regularizer: Regularizer | None = plan["regularizer"].found[plan.level(setting, "regularizer")]
    ours = optimizer.startswith("tw.")
    code = _SCRIPT.format(
        label=_words(formula.label),
        lr=f"{setting.lr:g}",
        schedule=setting.schedule,
        name=_words(problem["name"]),
        loading=_loading(problem),
        seed=seed,
        epochs=plan.epochs,
        optimizer=optimizer,
        scheduler=scheduler,
        batches=(_LOADER if problem["loader"] else _TENSORS).format(batch_size=batch_size),
        steps=_steps(problem["loader"], size),
        imports=_imports(f"{optimizer} {scheduler} {loss}"),
        **_stepping(schedule),
        means="PyTorch with thalweg's optimizer" if ours else "plain PyTorch",
        against=f", {regularizer.label}" if regularizer else "",
        uses=_uses(ours, regularizer is not None),
        loss=f"loss = {loss}  # trains; the problem's own judges\n" if loss else "",
        step=(_CLOSURE if _needs_closure(formula) else _STEP).format(loss="loss" if loss else "problem.loss"),
    )
    if regularizer is not None or problem.get("draws"):
        head = code[: code.index("\nfor epoch in range(EPOCHS):")]
        code = head + training_loop(
            regularizer,
            "loss" if loss else "problem.loss",
            _needs_closure(formula),
            problem.get("draws", False),
            _told(schedule),
        )
    return Recipe(_on_all_samples(code) if plan.folds is not None else code, optimizer, scheduler)


def _on_all_samples(code: str) -> str:
    """The script after a cross-validation, which trains on training and validation samples, and judges on none."""
    for part in ("train", "validation"):
        code = code.replace(f"problem.{part}", "problem.pool")
    return code.replace("validation loss", "loss on what it trains on")


def _uses(optimizer: bool, regularizer: bool) -> str:
    """What the script needs thalweg for."""
    own = [name for name, used in (("the optimizer", optimizer), ("the regularizer", regularizer)) if used]
    return (
        f"for {' and '.join(own)}; and for the model, the data and the loss"
        if own
        else ("for the model, the data and the loss alone")
    )


def _loss_line(plan: Plan, setting: Setting) -> str:
    """The expression of the loss that the setting trains with; empty for the problem's own."""
    label = plan.level(setting, "loss")
    if label is None:
        return ""
    if spec := plan["loss"].specs.get(label):
        return f"tw.losses.get({_from_spec(spec)})"
    try:
        losses.get(label)
    except ProblemError as error:
        raise PlanError(
            f"the loss {label} was given as an object that a script cannot find again, so it has no recipe: "
            "name it as file.py:name."
        ) from error
    return f"tw.losses.get({label!r})"


def optimizer_line(
    formula: Formula, lr: float, spec: str | None = None, changes: Mapping[str, Any] | None = None
) -> str:
    """The line that makes the optimizer from `model`.

    ``torch.optim.…(model.parameters(), …)`` for a rule that torch.optim has too, else
    ``tw.optim.from_formula(…)(model.parameters(), lr=…)``.

    Args:
        spec: the file.py:name or package.module:name that the formula was given as.
        changes: hyperparameters in which the formula differs from the one there.

    Raises:
        PlanError: the formula was given as an object, which no script can find again.
    """
    known = _catalogued(formula)
    if known and (drop_in := _in_torch(formula)):
        arguments = ", ".join(f"{name}={value!r}" for name, value in drop_in.arguments(formula, lr=lr).items())
        return f"torch.optim.{drop_in.name}(model.parameters(), {arguments})"
    if known:
        changed = ", ".join(f"{name}={value!r}" for name, value in formula.changed if name != "lr")
        found = repr(f"{formula.name}({changed})" if changed else formula.name)
    elif spec is not None:
        found = _from_spec(spec)
        if changes:
            found += f".with_({', '.join(f'{name}={value!r}' for name, value in changes.items())})"
    else:
        raise PlanError(
            f"{formula.label} was given as an object that a script cannot find again, so it has no recipe: "
            "name it as file.py:name, or make it with tw.optim.from_formula."
        )
    return f"tw.optim.from_formula({found})(model.parameters(), lr={lr!r})"


def _from_spec(spec: str) -> str:
    """The expression of what was given as file.py:name or package.module:name."""
    place, _, name = spec.rpartition(":")
    if place.endswith(".py"):
        return f"runpy.run_path({place!r})[{name!r}]"
    return f"importlib.import_module({place!r}).{name}"


def _catalogued(formula: Formula) -> bool:
    """Whether it is the catalogue's formula of that name, whatever was changed by `with_`."""
    known = FORMULAS.get(formula.name)
    if known is None or known.function is not formula.function:
        return False
    return known.with_(**dict(formula.changed)).equations == formula.equations


def _in_torch(formula: Formula) -> DropIn | None:
    """The class of torch.optim that has this form of it."""
    usual = FORMULAS[formula.name]
    return next((d for d in usual.drop_ins if d.in_torch and d.means(formula, usual)), None)


def _needs_closure(formula: Formula) -> bool:
    """Whether its step has to compute the gradient itself, to know the loss or to look ahead."""
    return formula.equations.at is not None or lower(formula.equations).uses_loss


def _imports(lines: str) -> str:
    return "".join(f"import {name}\n\n" for name in ("math", "runpy", "importlib") if f"{name}." in lines)


def _told(schedule: schedules.Schedule) -> tuple[str, str]:
    """What the loop tells the scheduler after each step, and after each pass with its validation loss."""
    if isinstance(schedule, schedules.Plateau):
        return "", "scheduler.step(value)"
    return "scheduler.step()", "scheduler.observe(value)" if schedule.closed else ""


def _stepping(schedule: schedules.Schedule) -> dict[str, str]:
    """The same as lines of the plain script."""
    step, passed = _told(schedule)
    return {"after_step": step and f"\n        {step}", "after_pass": passed and f"\n    {passed}"}


def _words(text: str) -> str:
    """Text that may stand in a docstring: a name from a store must not become code."""
    return "".join(c if c.isprintable() and c not in '"\\' else " " for c in text)


def _loading(problem: Mapping[str, Any]) -> str:
    if problem["kind"] == "object":
        return "problem = tw.prepare(YOUR_PROBLEM)  # the tw.Problem that the study was given"
    return f"problem = tw.prepare({problem['spec']!r})"


def _steps(loader: bool, batch_size: int | str) -> str:
    if loader:
        return "len(problem.train)"
    return "1" if batch_size == FULL else f"-(-len(problem.train[0]) // {batch_size})"


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

_STEP = """
        optimizer.zero_grad()
        {loss}(model(inputs), targets).backward()
        optimizer.step()
""".strip("\n")

_CLOSURE = """
        def closure(inputs=inputs, targets=targets):
            optimizer.zero_grad()
            value = {loss}(model(inputs), targets)
            value.backward()
            return value

        optimizer.step(closure)
""".strip("\n")

_SCRIPT = '''"""{label} at {lr}, {schedule} schedule{against}: chosen on {name}, in {means}."""

{imports}import torch
from torch.optim import lr_scheduler

import thalweg as tw  # {uses}: put your own in their place

SEED, EPOCHS = {seed}, {epochs}
{loading}


def batches(epoch):
{batches}


torch.manual_seed(SEED)
model = problem.model()
optimizer = {optimizer}
{loss}total_steps = EPOCHS * {steps}
scheduler = {scheduler}

for epoch in range(EPOCHS):
    model.train()
    for inputs, targets in batches(epoch):
{step}{after_step}
    model.eval()
    with torch.no_grad():
        inputs, targets = problem.validation
        value = problem.loss(model(inputs), targets).item()
    print(f"epoch {{epoch + 1:3d}}  validation loss {{value:.6f}}"){after_pass}
'''
