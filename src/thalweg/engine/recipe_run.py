"""The winner trained again, alone: the script that a study hands over is run, and compared with its member.

The script itself runs, line by line as `recipe.py` wrote it, except that it gets the problem already prepared. A wrong
recipe, or a population that is not what it says, shows as a difference after the first pass over the data; later passes
add what training makes of rounding.
"""

from __future__ import annotations

import contextlib
import io
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from ..errors import ThalwegError, raised
from ..formulas import Formula
from ..formulas.opaque import Opaque
from ..formulas.operations import eigenvectors
from ..plan.factors import Setting
from ..population.batches import RANDOM
from ..problem.prepare import Prepared
from ..programs.native import single_threaded
from ..recipe.recipe import Recipe, recipe
from ..recipe.run import RecipeRun, differences
from ..verdict.losses import fold_codes, matching
from ..verdict.verdict import winner
from .programs import Programs, built

STEPS = 10_000  # of a longer run, the first passes are repeated: as many as begin within these steps
MEMORY = 2**31  # bytes; the script judges all validation samples at once


def run_recipe(
    programs: Programs,
    members: pd.DataFrame,
    facts: Mapping[str, Any],
    curve: Callable[[int, str], np.ndarray],
    parts: Mapping[str, pd.DataFrame],
) -> RecipeRun | None:
    """Run the winner's recipe for a member of the finished study; None without a winner.

    Args:
        members, facts: the table of all runs, and what the store knows of the problem.
        curve: member and metric → its values, in the order of the steps.
        parts: `Store.parts()`.
    """
    plan = programs.plan
    best = winner(plan, members, parts)
    if best is None:
        return None
    setting, epochs, stage = best
    plan = replace(plan, epochs=epochs)
    told: dict[str, Any] = {
        "optimizer": setting.optimizer,
        "lr": setting.lr,
        "schedule": setting.schedule,
        "further": dict(setting.further),
        "compared": "validation" if plan.folds is None else "test",
    }
    if plan.folds is not None and not plan.confirmation:
        return RecipeRun(**told, reason="nothing was confirmed, so no run had all samples, as the recipe has.")
    row = _member(setting, stage, members[fold_codes(members) < 0])
    if row is None:
        return RecipeRun(**told, reason="all its runs diverged.")
    passes = min(plan.epochs, -(-STEPS // programs.task(setting).batches.steps))
    try:
        script = recipe(plan, facts, setting, int(row["seed"]), passes)
        _check_memory(programs.problem)
        start = time.perf_counter()
        losses, model = _run(script, programs.prepared(setting))
    except ThalwegError as error:
        return RecipeRun(**told, reason=str(error))
    except Exception as error:  # whatever a user's model, loss or loader may raise
        return RecipeRun(**told, reason=f"it fails with {raised(error)}.")
    run = RecipeRun(
        **told,
        stage=str(row["stage"]),
        seed=int(row["seed"]),
        seconds=time.perf_counter() - start,
        plain="tw." not in script.optimizer,
        scatter=_scatter(model, programs.problem),
        turned=_turned(plan.formula(setting)),
    )
    if plan.folds is None:
        return _compared(run, losses, curve(int(row["member"]), "validation_loss"))
    if passes < plan.epochs:
        return replace(run, reason=f"it takes more than {STEPS:,} steps, and its end alone could be compared.")
    problem = programs.problem
    with torch.no_grad():
        test = float(problem.loss.over(model.eval(), programs.test(None)))
    ran = _compared(run, [test], np.array([float(row["test_loss"])]))
    return replace(ran, epochs=plan.epochs, planned=plan.epochs, at=plan.epochs)


def _turned(formula: Formula) -> bool:
    """Whether a rule goes by eigenvectors."""
    if isinstance(formula, Opaque):
        return False
    values = (formula.equations.step, *(value for _, value in formula.equations.states))
    return any(value.has(eigenvectors) for value in values)


def _scatter(model: nn.Module, problem: Prepared) -> float:
    """The relative difference of two evaluations of the same weights."""
    part = problem.validation if problem.validation.size else problem.test
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        one, other = (float(problem.loss.over(model.eval(), part)) for _ in range(2))
    gap = float(differences([one], np.array([other]))[0])
    return gap if math.isfinite(gap) else 0.0


def _compared(run: RecipeRun, losses: Sequence[float], expected: np.ndarray) -> RecipeRun:
    gaps = differences(losses, expected)
    first, largest, at = float(gaps[0]), float(gaps.max()), int(gaps.argmax()) + 1
    return replace(run, epochs=len(gaps), planned=len(expected), first=first, largest=largest, at=at)


def _member(winner: Setting, stage: str, members: pd.DataFrame) -> Any:
    """A run of the winner that did not diverge: of the first fresh seed, or of the first there is."""
    finished = (members["stage"] == stage) & (members["status"] == "finished")
    rows = members[matching(members, winner) & finished].sort_values("seed")
    return None if rows.empty else rows.iloc[0]


def _check_memory(problem: Prepared) -> None:
    model, samples = built(problem), problem.validation.size
    need = problem.activations(model) * samples * next(model.parameters()).element_size()
    if need > MEMORY:
        raise ThalwegError(
            f"it judges all {samples:,} validation samples at once, which would take up to {need / 2**30:.0f} GiB."
        )


def _run(script: Recipe, problem: Prepared) -> tuple[list[float], nn.Module]:
    """The validation loss after each pass, and the model that is judged; the caller's random state stays unchanged.

    On one thread, as the blocks of a study: threads that share such small operations wait for one another.
    """
    scope: dict[str, Any] = {"problem": problem}
    generator = problem.train.generator if isinstance(problem.train, DataLoader) else None
    before = None if generator is None else generator.get_state()
    with RANDOM, torch.random.fork_rng(devices=[]), warnings.catch_warnings(), single_threaded():
        warnings.simplefilter("ignore")  # of the user's own code, which were shown in training
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(script.code, "recipe", "exec"), scope)
        finally:
            if generator is not None and before is not None:
                generator.set_state(before)
    return scope["losses"], scope["judged"]
