"""What a confirmation has each time its runs are judged: fresh seeds, epochs, and the parts of the data that judge.

A study that is extended keeps all its runs: those of more seeds, and those judged on further samples, stand beside the
runs before them in one stage; those of more epochs are trained anew, in a stage of their own that names the epochs.
Each state that was judged is a look at the evidence, and each further look is tested at a smaller level
(`verdict/comparisons.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import PlanError

SEARCH, CONFIRMATION = "search", "confirmation"  # the stages of a study that was not trained for longer


@dataclass(frozen=True)
class Look:
    """What the runs of a confirmation are, or were when they were judged.

    Attributes:
        seeds: fresh ones, behind those of the search.
        epochs: of each run.
        swaps: so many parts of the training samples judge beside the validation part.
    """

    seeds: int
    epochs: int
    swaps: int = 0

    def within(self, other: Look) -> bool:
        """Whether the other has all that this one has, and more."""
        more = self.seeds <= other.seeds and self.epochs <= other.epochs and self.swaps <= other.swaps
        return self != other and more


def stage_of(epochs: int, searched: int) -> str:
    """The stage of confirming runs.

    Args:
        epochs: of these runs.
        searched: of the runs of the search.

    >>> stage_of(20, 20), stage_of(40, 20)
    ('confirmation', 'confirmation at 40 epochs')
    """
    return CONFIRMATION if epochs == searched else f"{CONFIRMATION} at {epochs} epochs"


def read_looks(stored: Sequence[Mapping[str, int]]) -> tuple[Look, ...]:
    """Those of a store, each its fields by name."""
    return tuple(Look(look["seeds"], look["epochs"], look["swaps"]) for look in stored)


def as_mappings(stored: Any, epochs: Any) -> Any:
    """Looks of a store in today's form: older ones are numbers of seeds."""
    if not isinstance(stored, list):
        return stored
    return [{"seeds": look, "epochs": epochs, "swaps": 0} if isinstance(look, int) else look for look in stored]


def check_looks(looks: Sequence[Look], epochs: int) -> None:
    """Refuse looks that no study has.

    Args:
        looks: the present state last.
        epochs: of the search.
    """
    if not all(before.within(after) for before, after in itertools.pairwise(looks)):
        raise PlanError("looks do not have less and less of what the confirmation has")
    if looks and looks[0].epochs < epochs:
        raise PlanError("the confirmation has fewer epochs than the search")


def stages(plan: Mapping[str, Any]) -> list[str]:
    """The stages of a stored plan in today's form (`plan.as_now`), in their order."""
    if not plan["confirmation"]:
        return [SEARCH]
    epochs = [*(look["epochs"] for look in plan["looks"]), plan["confirmation_epochs"] or plan["epochs"]]
    return [SEARCH, *dict.fromkeys(stage_of(count, plan["epochs"]) for count in epochs)]
