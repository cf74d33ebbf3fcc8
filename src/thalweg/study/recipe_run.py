"""The winner trained once more, alone: the script that a study hands over is run, and compared with the member it
was taken from.

The script itself runs, line by line as `recipe.py` wrote it, except that it gets the problem that is already at
hand. A wrong recipe, or a population that is not what it says, shows as a difference after the first pass over
the data; later passes add what training makes of rounding.
"""

from __future__ import annotations

import ast
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from ..errors import ThalwegError
from ..population.batches import RANDOM
from .data import first_line
from .factors import Level
from .folds import FOLD
from .prepare import Prepared
from .recipe import Recipe, recipe
from .store import Store
from .verdict import Verdict, judge, matching

if TYPE_CHECKING:
    from .programs import Programs

STEPS = 10_000  # of a longer run, the first passes are repeated: as many as begin within these steps
MEMORY = 2**31  # bytes; the script judges all validation samples at once


@dataclass(frozen=True)
class RecipeRun:
    """What came of running the winner's recipe.

    Attributes:
        optimizer, lr, schedule, further: the setting.
        stage, seed: the member whose initial weights and batches the script repeated.
        epochs, planned: passes over the data that were repeated, and those of the member.
        first, largest: relative difference of the validation losses after the first pass, and the largest.
        at: the pass with the largest, counted from 1.
        seconds: of the run.
        plain: whether the script needs nothing but torch.optim to train.
        reason: why it could not be run; the numbers are then NaN.
        compared: which losses; "test" after a cross-validation, whose last runs have no validation part, and meet
            the test part at their end.
    """

    optimizer: str
    lr: float
    schedule: str
    further: Mapping[str, Level] = field(default_factory=dict)
    stage: str = ""
    seed: int = -1
    epochs: int = 0
    planned: int = 0
    first: float = math.nan
    largest: float = math.nan
    at: int = 0
    seconds: float = 0.0
    plain: bool = True
    reason: str = ""
    compared: str = "validation"

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers that are not finite are None."""
        numbers = {"first": self.first, "largest": self.largest}
        return asdict(self) | {n: v if math.isfinite(v) else None for n, v in numbers.items()}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> RecipeRun:
        numbers = {n: math.nan if kept[n] is None else float(kept[n]) for n in ("first", "largest")}
        return cls(**{**kept, **numbers})

    def __str__(self) -> str:
        """In words."""
        who = f"the winner ({self.optimizer}, rate {self.lr:.3g}, {self.schedule})"
        if self.reason:
            return f"The recipe of {who} was not run: {self.reason}"
        means = "in plain PyTorch" if self.plain else "in PyTorch with thalweg's optimizer"
        which = "fresh seed" if self.stage == "confirmation" else "seed"
        passes = f"{self.epochs} {'epoch' if self.epochs == 1 else 'epochs'}"
        if self.epochs < self.planned:
            passes = f"the first {self.epochs} of {self.planned} epochs"
        over = f"over {passes} of {which} {self.seed}"
        if self.largest == 0:
            return f"The recipe was run: trained alone {means}, {who} gives the very same losses {over}."
        several = self.epochs > 1 and self.compared == "validation"
        first = f" ({_power(self.first)} after the first)" if several else ""
        grown = (
            f", most at epoch {self.at}: rounding, which training that is not steady makes grow"
            if self.largest > 1e-3 > self.first
            else ""
        )
        return (
            f"The recipe was run: trained alone {means}, {who} has {self.compared} losses that differ by at most "
            f"{_power(self.largest)} relative{first} {over}{grown}."
        )


def _power(value: float) -> str:
    """0.0000021 → 2e-6; never less than it is."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(value))
    digit = math.ceil(value / 10.0**exponent * (1 - 1e-12))
    return f"{digit}e{exponent}" if digit < 10 else f"1e{exponent + 1}"


def run_recipe(store: Store, programs: Programs) -> RecipeRun | None:
    """Run the winner's recipe for a member of the finished study; None where no winner was found."""
    plan, members = programs.plan, store.members()
    verdict = judge(plan, programs.problem.name, members, store.meta("costs", {}))
    if not verdict.entries:
        return None
    setting = verdict.best.setting
    winner: dict[str, Any] = {
        "optimizer": setting.optimizer,
        "lr": setting.lr,
        "schedule": setting.schedule,
        "further": dict(setting.further),
        "compared": "validation" if plan.folds is None else "test",
    }
    if plan.folds is not None:
        if not plan.confirmation:
            return RecipeRun(**winner, reason="nothing was confirmed, so no run had all samples, as the recipe has.")
        members = members[members[FOLD].isna()]
    row = _member(verdict, members)
    if row is None:
        return RecipeRun(**winner, reason="all its runs diverged.")
    try:
        made = recipe(plan, store.meta("problem", {}), setting, int(row["seed"]))
        _check_memory(programs.problem)
        begun = time.perf_counter()
        losses, model = _run(made, programs.problem, -(-STEPS // programs.task(setting).batches.steps))
    except ThalwegError as error:
        return RecipeRun(**winner, reason=str(error))
    except Exception as error:  # whatever a user's model, loss or loader may raise
        return RecipeRun(**winner, reason=f"it fails with {type(error).__name__} ({first_line(error)}).")
    if plan.folds is not None:
        return _at_the_end(
            RecipeRun(**winner, stage="confirmation", seed=int(row["seed"])),
            losses,
            model,
            programs,
            float(row["test_loss"]),
            begun,
            made,
        )
    expected = store.curve(int(row["member"]), "validation_loss")
    gaps = differences(losses, expected)
    return RecipeRun(
        **winner,
        stage=str(row["stage"]),
        seed=int(row["seed"]),
        epochs=len(gaps),
        planned=len(expected),
        first=float(gaps[0]),
        largest=float(gaps.max()),
        at=int(gaps.argmax()) + 1,
        seconds=time.perf_counter() - begun,
        plain="tw." not in made.optimizer,
    )


def _at_the_end(
    run: RecipeRun,
    losses: list[float],
    model: nn.Module,
    programs: Programs,
    expected: float,
    begun: float,
    made: Recipe,
) -> RecipeRun:
    """The comparison of a run that is judged once, on the test part."""
    epochs, problem = programs.plan.epochs, programs.problem
    if len(losses) < epochs:
        return replace(run, reason=f"it takes more than {STEPS:,} steps, and its end alone could be compared.")
    with torch.no_grad():
        found = float(problem.loss(model.eval()(problem.test[0]), problem.test[1]))
    (gap,) = differences([found], np.array([expected])).tolist()
    return replace(
        run,
        epochs=epochs,
        planned=epochs,
        first=gap,
        largest=gap,
        at=epochs,
        seconds=time.perf_counter() - begun,
        plain="tw." not in made.optimizer,
    )


def differences(losses: Sequence[float] | np.ndarray, expected: np.ndarray) -> np.ndarray:
    """|a − b| / max(|a|, |b|) for each pass over the data that both have; infinite where only one is a number."""
    count = min(len(losses), len(expected))
    a, b = np.array(losses[:count], dtype=float), np.asarray(expected[:count], dtype=float)
    larger = np.maximum(np.abs(a), np.abs(b))
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = np.where(a == b, 0.0, np.abs(a - b) / larger)
    return np.nan_to_num(gaps, nan=math.inf)


def _member(verdict: Verdict, members: pd.DataFrame) -> Any:
    """A run of the winner that did not diverge: of the first fresh seed, or of the first there is."""
    own = members[matching(members, verdict.best.setting) & (members["stage"] == verdict.stage)]
    rows = own[own["status"] == "finished"].sort_values("seed")
    return None if rows.empty else rows.iloc[0]


def _check_memory(problem: Prepared) -> None:
    from ..population.sizing import activations_of
    from .programs import built

    inputs, _ = problem.validation
    need = activations_of(built(problem), inputs[:8]) * len(inputs) * inputs.element_size()
    if need > MEMORY:
        raise ThalwegError(
            f"it judges all {len(inputs):,} validation samples at once, which would take up to {need / 2**30:.0f} GiB."
        )


class _Enough(Exception):
    """As many passes as were wanted have been made."""


def _run(made: Recipe, problem: Prepared, epochs: int) -> tuple[list[float], nn.Module]:
    """The validation loss after each pass over the data, and the model that is judged; the caller's random state is
    left as it was.

    On one thread, as the blocks of a study: threads that share such small operations wait for one another.
    """
    losses: list[float] = []
    scope: dict[str, Any] = {"problem": problem}

    def said(line: str) -> None:
        if not line.startswith("epoch"):  # the best weights, which stand for the last pass
            losses[-1] = scope["value"]
            return
        losses.append(scope["value"])
        if len(losses) >= epochs < scope["EPOCHS"]:
            raise _Enough

    scope["print"] = said
    script = ast.parse(made.code)
    script.body = [line for line in script.body if not _loads(line)]
    generator = problem.train.generator if isinstance(problem.train, DataLoader) else None
    before = None if generator is None else generator.get_state()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with RANDOM, torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the user's own code, which has been heard
        try:
            exec(compile(script, "recipe", "exec"), scope)
        except _Enough:
            pass
        finally:
            torch.set_num_threads(threads)
            if generator is not None and before is not None:
                generator.set_state(before)
    return losses, scope.get("judged", scope["model"])


def _loads(line: ast.stmt) -> bool:
    """Whether it is the line that prepares the problem."""
    return isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "problem"
