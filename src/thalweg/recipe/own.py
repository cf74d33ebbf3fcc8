"""The winner of a study of a training loop of the user's own, or of a command: called once more with its setting."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..plan.factors import Setting
from ..plan.plan import Plan
from ..problem.command import OUT, Command, parsed
from .recipe import Recipe, from_spec, optimizer_line, plain_words


def loop_recipe(plan: Plan, problem: Mapping[str, Any], setting: Setting, seed: int = 0) -> Recipe:
    """The script that calls the loop, and the lines that stand in the place of `run.optimizer` and `run.scheduler`.

    Args:
        problem: as the store has it: name, kind and spec of the loop.
        seed: of the run that the script repeats.
    """
    formula = plan.formula(setting)
    schedule = plan.schedule(setting).within(formula.hyperparameters)
    spec = plan["optimizer"].specs.get(setting.optimizer)
    changes = {name: value for name, value in plan.changes(setting).items() if name in formula.hyperparameters}
    optimizer = optimizer_line(formula, setting.lr, spec, changes)
    scheduler = schedule.code(epochs=plan.epochs)
    rule = from_spec(spec) if spec is not None else repr(setting.optimizer)
    given = {
        "lr": setting.lr,
        "schedule": schedule.label,
        "seed": seed,
        "epochs": plan.epochs,
        "batch_size": plan.level(setting, "batch_size"),
        "hyperparameters": plan.changes(setting),
    }
    arguments = ", ".join([rule, *(f"{name}={value!r}" for name, value in given.items())])
    name = problem["name"] if problem["name"].isidentifier() else "train"
    loop = (
        from_spec(problem["spec"])
        if problem["kind"] in ("file", "module")
        else "YOUR_FUNCTION  # that the study was given"
    )
    folder = str(Path(problem["spec"].rpartition(":")[0]).parent)
    path = f"sys.path.insert(0, {folder!r})\n" if problem["kind"] == "file" else ""  # whose neighbours it may import
    modules = [module for module in ("importlib", "runpy", "sys") if f"{module}." in f"{rule} {loop} {path}"]
    imports = "".join(f"import {module}\n" for module in modules) + "\n" * bool(modules)
    title = (
        f"{plain_words(formula.label)} at {setting.lr:g}, {plain_words(setting.schedule)} schedule: chosen for {name}."
    )
    code = f'''"""{title}"""

{imports}import thalweg as tw

# Without thalweg these lines stand in the place of run.optimizer and run.scheduler, where total_steps is how often
# scheduler.step() is called in a whole run:
#     optimizer = {optimizer}
#     scheduler = {scheduler}
{path}{name} = {loop}
run = tw.Run({arguments})
for epoch, report in enumerate(run.train({name}), start=1):
    print(f"epoch {{epoch:3d}}  " + "  ".join(f"{{name}} {{value:.6f}}" for name, value in report.items()))
'''
    return Recipe(code, optimizer, scheduler)


def command_line(made: Command, plan: Plan, setting: Setting, seed: int = 0) -> list[str]:
    """The words of a run, whose own folder is called out."""
    told = {**setting.levels, "seed": seed, "epochs": plan.epochs, "batch_size": plan.level(setting, "batch_size")}
    return made.filled({**told, **plan.changes(setting), OUT: OUT})


def command_recipe(plan: Plan, problem: Mapping[str, Any], setting: Setting, seed: int = 0) -> Recipe:
    """The script that runs the command with the chosen setting; arguments as of `loop_recipe`."""
    made = parsed(problem["spec"])
    line = command_line(made, plan, setting, seed)
    title = f"{problem['name']} at {setting.lr:g}: chosen of {len(plan.settings):,} settings."
    folder = f"os.makedirs({OUT!r}, exist_ok=True)\n" if OUT in made.places else ""
    code = f'''"""{title}"""

import os
import subprocess

os.chdir({made.folder!r})
{folder}COMMAND = {line!r}
print(" ".join(COMMAND))
subprocess.run(COMMAND, check=True)
'''
    return Recipe(code, shlex.join(line), "")
