"""What came of running the winner's recipe; `engine/recipe_run.py` runs it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ..language import mark, say
from ..numbers import plain
from ..plan.factors import Level
from ..plan.looks import SEARCH

ROUNDING = 1e-5  # relative: more than this is not rounding, where something else is known to differ
LARGE = 1e-3  # after one pass: more than training makes of rounding


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
        scatter: relative difference of two evaluations of the same weights, which draw random numbers if it is not 0.
        turned: whether the rule goes by eigenvectors.
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
    scatter: float = 0.0
    turned: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers that are not finite are None."""
        return plain(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> RecipeRun:
        values: dict[str, Any] = {f.name: stored[f.name] for f in fields(cls) if f.name in stored}
        values |= {n: math.nan if stored[n] is None else float(stored[n]) for n in ("first", "largest")}
        return cls(**values)

    def __str__(self) -> str:
        """In words."""
        winner = say(
            "the winner ({optimizer}, rate {lr:.3g}, {schedule})",
            optimizer=self.optimizer,
            lr=self.lr,
            schedule=self.schedule,
        )
        if self.reason:
            return say("The recipe of {winner} was not run: {reason}", winner=winner, reason=self.reason)
        means = say("in plain PyTorch") if self.plain else say("in PyTorch with thalweg's optimizer")
        which = mark("seed") if self.stage == SEARCH else mark("fresh seed")
        passes = say("{epochs} epoch{s}", epochs=self.epochs, s="s" * (self.epochs > 1))
        if self.epochs < self.planned:
            passes = say("the first {epochs} of {planned} epochs", epochs=self.epochs, planned=self.planned)
        over = say("over {passes} of {which} {seed}", passes=passes, which=which, seed=self.seed)
        if self.largest == 0:
            return say(
                "The recipe was run: trained alone {means}, {winner} gives the very same losses {over}.",
                means=means,
                winner=winner,
                over=over,
            )
        if not math.isfinite(self.largest):
            return say(
                "The recipe was run: trained alone {means}, {winner} has {compared} losses {over} that "
                "are numbers where those of the study are not, or the other way round.",
                means=means,
                winner=winner,
                compared=mark(self.compared),
                over=over,
            )
        several = self.epochs > 1 and self.compared == "validation" and math.isfinite(self.first)
        first = say(" ({first} after the first)", first=_power(self.first)) if several else ""
        warning, why = self._warning()
        rounding = (
            say(", most at epoch {at}: rounding, which training that is not steady makes grow", at=self.at)
            if self.largest > LARGE > self.first
            else ""
        )
        return say(
            "{warning}The recipe was run: trained alone {means}, {winner} has {compared} losses that "
            "differ by at most {largest} relative{first} {over}{why}.",
            warning=warning,
            means=means,
            winner=winner,
            compared=mark(self.compared),
            largest=_power(self.largest),
            first=first,
            over=over,
            why=why or rounding,
        )

    def _warning(self) -> tuple[str, str]:
        """Where the losses differ by more than rounding: a warning, and why."""
        if self.scatter > 0 and self.largest > ROUNDING:
            return "Warning: ", say(
                ": the problem draws random numbers in evaluation, so that two evaluations of the same "
                "weights differ by {scatter}; let it draw only while self.training",
                scatter=_power(self.scatter),
            )
        if self.first > LARGE and self.turned:
            return "Warning: ", say(
                ": more than rounding, which {optimizer} may have made of it, because it goes by eigenvectors: "
                "where the first gradients of a matrix lack full rank, rounding decides which of them they are",
                optimizer=self.optimizer,
            )
        if self.first > LARGE:
            return "Warning: ", say(
                ": more than rounding. Either something gives other numbers each time, such as random "
                "numbers of the model, the loss or the data that no seed fixes; or a weight has no "
                "influence on the training loss, as a bias has none before batch normalization "
                "(bias=False), and its gradient is rounding alone, which rules like adam make whole "
                "steps of"
            )
        return "", ""


def _power(value: float) -> str:
    """0.0000021 → 2e-6; never less than it is."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(value))
    digit = math.ceil(value / 10.0**exponent * (1 - 1e-12))
    return f"{digit}e{exponent}" if digit < 10 else f"1e{exponent + 1}"


def differences(losses: Sequence[float] | np.ndarray, expected: np.ndarray) -> np.ndarray:
    """|a − b| / max(|a|, |b|) for each pass over the data that both have; infinite where only one is a number."""
    count = min(len(losses), len(expected))
    a, b = np.array(losses[:count], dtype=float), np.asarray(expected[:count], dtype=float)
    larger = np.maximum(np.abs(a), np.abs(b))
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = np.where(a == b, 0.0, np.abs(a - b) / larger)
    return np.nan_to_num(gaps, nan=math.inf)
