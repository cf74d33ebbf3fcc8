"""What an extension asks for, as a plan: more fresh seeds, more samples that judge, or more epochs."""

from __future__ import annotations

from typing import Any

from ..errors import PlanError
from ..numbers import COUNT
from ..plan.plan import Plan
from ..plan.swaps import swapped
from ..problem.loop import Loop
from ..problem.prepare import Prepared

SEEDS = 10  # unless anything is asked for


def extended(plan: Plan, ready: Prepared | Loop, seeds: Any, samples: Any, epochs: Any) -> Plan:
    """The plan with what is asked for beyond what its confirmation has.

    Args:
        seeds, samples, epochs: as `Study.extend` takes them.

    Raises:
        PlanError: a number is not a whole one, or not above what there is; or it cannot be had.
    """
    if seeds is samples is epochs is None:
        seeds = SEEDS
    more = 0 if seeds is None else COUNT.check("seeds", seeds, PlanError)
    if not (more or plan.confirmation):
        raise PlanError("nothing of this study was confirmed with fresh seeds; give seeds as well.")
    if epochs is not None:
        present = plan.confirmation_epochs or plan.epochs
        if COUNT.check("epochs", epochs, PlanError) <= present:
            raise PlanError(
                "epochs={epochs}, and the runs have {present:,} already; give more.",
                epochs=f"{epochs:,}",
                present=present,
            )
    if samples is None:
        return plan.extended(more, epochs)
    if isinstance(ready, Loop):
        raise PlanError(
            "{ready} is {what}, whose samples are not known, so none can be added; give more seeds.",
            ready=ready.name,
            what=ready.what,
        )
    if plan.folds is not None:
        raise PlanError(
            "this study has folds, which say what samples judge, so samples cannot be added; give more seeds."
        )
    return plan.extended(more, epochs, swapped(samples, ready, plan.swaps))
