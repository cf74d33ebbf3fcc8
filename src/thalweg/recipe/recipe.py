"""The winner as plain PyTorch: torch.optim, torch.optim.lr_scheduler, and nothing else to install.

A rule of the catalogue that torch.optim lacks is a class in the script, printed from its formula (`plain.py`); one of
the user's own is made by `tw.optim.from_formula`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .. import losses, schedules
from ..errors import FormulaError, PlanError, ProblemError
from ..formulas import Formula
from ..formulas.opaque import Opaque, needs_closure
from ..formulas.registry import catalogued, torch_class
from ..formulas.typed import is_text
from ..kernels.lower import lower
from ..losses.sampling import apart, estimating
from ..plan.factors import FULL, Level, Setting
from ..plan.plan import Plan
from ..regularizers.base import Regularizer
from .groups import groups_code
from .plain import class_of, copied
from .script import Script
from .standalone import standalone
from .table import Loading, loading

# a script has those of these that it needs
_EVERY_IMPORT = """
import importlib, math, runpy
import thalweg as tw
import torch
from torch.optim import lr_scheduler
"""


@dataclass(frozen=True)
class Recipe:
    """How to train with a setting outside of thalweg.

    Attributes:
        code: a runnable script.
        optimizer: the line that makes the optimizer from `model`.
        scheduler: the line that makes its schedule from `optimizer` and `total_steps`.
        groups: lines that make `groups`, which the optimizer is given, from `model`; empty without parameter groups.
        classes: the class of the optimizer, where it is one of the script's own.
    """

    code: str
    optimizer: str
    scheduler: str
    groups: str = ""
    classes: str = ""

    def build(self, model: nn.Module, total_steps: int) -> tuple[Optimizer, LRScheduler]:
        """The optimizer and its scheduler for your model; call `scheduler.step()` after each step.

        One that follows the loss needs it after each pass over the data, as in the script."""
        scope: dict[str, Any] = {"model": model, "total_steps": total_steps}
        exec(f"{_EVERY_IMPORT}\n{self.classes}\n{self.groups}", scope)
        scope["optimizer"] = eval(self.optimizer, scope)
        return scope["optimizer"], eval(self.scheduler, scope)


def recipe(
    plan: Plan, problem: Mapping[str, Any], setting: Setting, seed: int = 0, passes: int | None = None
) -> Recipe:
    """The script that repeats one member of a study, unbatched.

    Args:
        problem: as the store has it: name, spec, kind, loader, and whether the model draws random numbers.
        seed: of the member; the script's initial weights, batches and random numbers are that member's.
        passes: over the data, at most, of a script that is run with `problem` at hand; its losses are in `losses`.
    """
    formula = plan.formula(setting)
    spec = plan["optimizer"].specs.get(setting.optimizer)
    changes = plan.changes(setting)
    parameters = "groups" if plan.groups is not None and plan.groups.groups else "model.parameters()"
    name, classes = _own_class(formula, () if plan.groups is None else plan.groups.forms(formula))
    if classes:
        optimizer = f"{name}({parameters}, {_arguments({**formula.hyperparameters, 'lr': setting.lr})})"
    else:
        optimizer = optimizer_line(formula, setting.lr, spec, changes, parameters)
    groups = "" if plan.groups is None else groups_code(plan.groups, formula, setting.lr)
    schedule = plan.schedule(setting).within(formula.hyperparameters)
    scheduler = schedule.code(epochs=plan.epochs)
    size = plan.level(setting, "batch_size")
    regularizer: Regularizer | None = plan["regularizer"].objects[plan.level(setting, "regularizer")]
    ours = optimizer.startswith("tw.")
    means = "PyTorch with thalweg's optimizer" if ours else "plain PyTorch"
    against = f", {regularizer.label}" if regularizer else ""
    against += f", model {plain_words(str(plan.level(setting, 'model')))}" if plan["model"].varied else ""
    after_step, after_pass = _scheduler_calls(schedule)
    # After a cross-validation a script trains on training and validation samples, and is judged on none.
    data = "train" if plan.folds is None else "pool"
    wrapped = any(part.lines().criterion != "{}" for part in (regularizer.parts if regularizer else ()))
    # A script reads a table itself, and has the lines of a problem that stands alone.
    model = plan.level(setting, "model")
    made = (loading(problem, data) or standalone(problem, data, model, wrapped)) if passes is None else None
    script = Script(
        title=f"{plain_words(formula.label)} at {setting.lr:g}, {setting.schedule} schedule{against}: chosen on "
        f"{plain_words(problem['name'])}, in {means}.",
        uses=_uses(ours, regularizer is not None, made is None),
        loading=made or Loading("import torch", "" if passes is not None else _loading(problem, model), alone=False),
        batches=_loader("inputs" in problem) if problem.get("loader") else _tensors(size, data, "inputs" in problem),
        seed=seed,
        epochs=plan.epochs,
        passes=plan.epochs if passes is None else min(passes, plan.epochs),
        optimizer=optimizer,
        classes=classes,
        groups=groups,
        scheduler=scheduler,
        steps=_steps(problem, size, data),
        loss=_loss_line(plan, setting),
        after_step=after_step,
        after_pass=after_pass,
        closure=_needs_closure(formula),
        **(_sampled(plan, problem, setting) if formula.equations.sampled else {}),
        shows=formula.equations.shown is not None,
        device=plan.device,
        precision=plan.precision,
        draws=problem.get("draws", False),
        judged_on=("validation", "validation loss") if plan.folds is None else ("pool", "loss on what it trains on"),
        value=_value(problem),
        regularizers=[part.lines() for part in (regularizer.parts if regularizer else ())],
    )
    return Recipe(str(script), optimizer, scheduler, groups, classes)


def _uses(optimizer: bool, regularizer: bool, problem: bool) -> str:
    """What the script needs thalweg for; `problem` is whether for the model, the data and the loss too."""
    parts = [name for name, used in (("the optimizer", optimizer), ("the regularizer", regularizer)) if used]
    if not problem:
        return f"for {' and '.join(parts) or 'the loss'}"
    rest = "the model, the data and the loss"
    words = f"for {' and '.join(parts)}; and for {rest}" if parts else f"for {rest} alone"
    return f"{words}: put your own in their place"


def _own_class(formula: Formula, by_group: Collection[str]) -> tuple[str, str]:
    """Name and text of a class for a rule that torch.optim lacks, as it does options that groups choose; or empty."""
    if isinstance(formula, Opaque) or (torch_class(formula) is not None and not by_group):
        return "", ""
    return class_of(formula, by_group) or ("", "")


def _arguments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _loss_line(plan: Plan, setting: Setting) -> str:
    """The expression of the loss that the setting trains with; empty for the problem's own."""
    label = plan.level(setting, "loss")
    if label is None:
        return ""
    if spec := plan["loss"].specs.get(label):
        return f"tw.losses.get({from_spec(spec)})"
    try:
        losses.get(label)
    except ProblemError as error:
        raise PlanError(
            "the loss {label} was given as an object that a script cannot find again, so it has no "
            "recipe: name it as file.py:name.",
            label=label,
        ) from error
    return f"tw.losses.get({label!r})"


def _sampled(plan: Plan, problem: Mapping[str, Any], setting: Setting) -> dict[str, str]:
    """The loss on sampled targets, and the functions that it needs."""
    loss = losses.get(plan.level(setting, "loss") or problem["loss"])
    sampler = type(loss).sampler
    assert sampler is not None  # or the plan would have been refused
    texts, name = [copied(function) for function in (apart, estimating, sampler)], sampler.__name__
    if given := _arguments(loss.sampling):
        texts.append(f"def sampled_loss(outputs, targets):\n    return {name}(outputs, targets, {given})")
        name = "sampled_loss"
    return {"sampled": name, "sampler": "\n\n\n".join(texts)}


def optimizer_line(
    formula: Formula,
    lr: float,
    spec: str | None = None,
    changes: Mapping[str, Any] | None = None,
    parameters: str = "model.parameters()",
) -> str:
    """The line that makes the optimizer from `model`.

    ``torch.optim.…(model.parameters(), …)`` for a rule that torch.optim has too, else
    ``tw.optim.from_formula(…)(model.parameters(), lr=…)``.

    Args:
        spec: the file.py:name, package.module:name or text that the formula was given as.
        changes: hyperparameters in which the formula differs from the one there.
        parameters: the expression of what the optimizer is given.

    Raises:
        PlanError: the formula was given as an object, which no script can find again.
    """
    if isinstance(formula, Opaque):
        return _own_line(formula, lr, spec, parameters)
    if (drop_in := torch_class(formula)) is not None:
        return f"torch.optim.{drop_in.name}({parameters}, {_arguments(drop_in.arguments(formula, lr=lr))})"
    if catalogued(formula):
        rule = repr(formula.written((name, value) for name, value in formula.changed if name != "lr"))
    elif spec is not None:
        rule = from_spec(spec)
        if changes:
            rule += f".with_({_arguments(changes)})"
    else:
        raise PlanError(
            "{formula} was given as an object that a script cannot find again, so it has no recipe: "
            "name it as file.py:name, or make it with tw.optim.from_formula.",
            formula=formula.label,
        )
    return f"tw.optim.from_formula({rule})({parameters}, lr={lr!r})"


def _own_line(rule: Opaque, lr: float, spec: str | None, parameters: str) -> str:
    """The line of an optimizer without equations: a class of torch.optim, or what stands in a file."""
    numbers = {"lr": lr} | {name: rule.typed(name, value) for name, value in rule.changed}
    given = _arguments(numbers)
    if spec is None and rule.source.startswith("torch.optim."):
        return f"torch.optim.{rule.maker.__name__}({parameters}, {given})"
    if spec is None:
        raise PlanError(
            "{rule} was given as an object that a script cannot find again, so it has no recipe: name "
            "it as file.py:name.",
            rule=rule.label,
        )
    return f"{from_spec(spec)}(list({parameters}), {given if rule.by_name else repr(lr)})"


def from_spec(spec: str) -> str:
    """The expression of what was given as file.py:name or package.module:name, or as the text of a rule."""
    if is_text(spec):
        return repr(spec)
    place, _, name = spec.rpartition(":")
    if place.endswith(".py"):
        return f"runpy.run_path({place!r})[{name!r}]"
    return f"importlib.import_module({place!r}).{name}"


def _needs_closure(formula: Formula) -> bool:
    """Whether its step has to compute the gradient itself, to know the loss, to look ahead or to take a second one."""
    if isinstance(formula, Opaque):
        parameter = nn.Parameter(torch.zeros(2, 2))
        try:
            return needs_closure(formula.build([parameter]))
        except FormulaError:  # it wants other parameters
            return False
    equations = formula.equations
    return equations.at is not None or equations.again is not None or lower(equations).uses_loss


def _scheduler_calls(schedule: schedules.Schedule) -> tuple[str, str]:
    """The scheduler's calls in the loop: after each step, and after each pass with its validation loss."""
    if isinstance(schedule, schedules.Plateau):
        return "", "scheduler.step(value)"
    return "scheduler.step()", "scheduler.observe(value)" if schedule.closed else ""


def plain_words(text: str) -> str:
    """Text that may stand in a docstring: a name from a store must not become code."""
    return "".join(c if c.isprintable() and c not in '"\\' else " " for c in text)


def _loading(problem: Mapping[str, Any], model: Level) -> str:
    chosen = "" if model is None else f".with_model({model!r})"
    if problem["kind"] == "object":
        return f"problem = tw.prepare(YOUR_PROBLEM){chosen}  # the tw.Problem that the study was given"
    return f"problem = tw.prepare({problem['spec']!r}){chosen}"


def _steps(problem: Mapping[str, Any], batch_size: Level, data: str) -> str:
    if problem.get("stream"):
        return f"sum(1 for _ in problem.{data})"
    if problem.get("loader"):
        return f"len(problem.{data})"
    samples = f"len(tree_leaves(problem.{data})[0])" if "inputs" in problem else f"len(problem.{data}[0])"
    return "1" if batch_size == FULL else f"-(-{samples} // {batch_size})"


CALLS = {"one": "{model}(inputs)", "several": "{model}(*inputs)", "named": "{model}(**inputs)"}
SCORES = {"logits": ".logits", "logits by name": "['logits']"}
BATCHES = {"pair": "(inputs, targets)", "triple": "(inputs, *targets)", "whole": "inputs"}


def _value(problem: Mapping[str, Any]) -> str:
    """The loss of a batch, as the problem calls its model and its loss."""
    judged = problem.get("judged", "outputs")
    if judged in BATCHES:
        return f"{{loss}}({{model}}, {BATCHES[judged]})"
    outputs = CALLS.get(problem.get("inputs", "one"), CALLS["one"])
    return f"{{loss}}({outputs}{SCORES.get(judged, '')}, targets)"


def _tensors(batch_size: Level, data: str, tree: bool) -> str:
    """The body of `batches(epoch)`; `tree` is whether inputs or targets are several tensors."""
    samples = "len(tree_leaves(inputs)[0])" if tree else "len(inputs)"
    size = samples if batch_size == FULL else str(batch_size)
    each = "tree_map(lambda t, rows=chosen: t[rows], (inputs, targets))"
    chosen = each if tree else "inputs[chosen], targets[chosen]"
    return f"""
inputs, targets = problem.{data}
order = torch.randperm({samples}, generator=torch.Generator().manual_seed(1_000_003 * SEED + epoch))
for chosen in order.split({size}):
    yield {chosen}
""".strip()


def _loader(tree: bool) -> str:
    return f"""
torch.manual_seed(1_000_003 * SEED + epoch)
if problem.train.generator is not None:
    problem.train.generator.manual_seed(1_000_003 * SEED + epoch)
yield from {"map(problem.given, problem.train)" if tree else "problem.train"}
""".strip()
