"""A plan as a store has it: older ones in today's form, and whether its parts fit together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import PlanError
from ..population.place import CPU, FLOAT32
from .criterion import LAST
from .factors import FIXED
from .hyperparameters import COLUMNS
from .looks import as_mappings
from .margin import MARGIN
from .points import GRID

FULL_BUDGET, HALVING = "full", "halving"


def check_stored(plain: Mapping[str, Any]) -> None:
    """Refuse a stored plan whose parts, each of its shape, do not fit together."""
    for kind in FIXED:
        levels = plain[kind.argument]
        if len(set(levels)) < len(levels):
            raise PlanError(f"{kind.many} are listed twice")
    for name, labels in (("states", "optimizers"), ("equations", "optimizers"), ("applies", "hyperparameters")):
        if missing := [label for label in plain[labels] if label not in plain[name]]:
            raise PlanError(f"{name} lacks {missing[0]}")
    if columns := [name for name in plain["hyperparameters"] if name in COLUMNS]:
        raise PlanError(f"{columns[0]} is not a hyperparameter")
    if strange := [name for name in plain["usual"] if name not in plain["hyperparameters"]]:
        raise PlanError(f"{strange[0]} is tuned and not among the hyperparameters")
    if any({*usual} != {*plain["applies"].get(name, ())} for name, usual in plain["usual"].items()):
        raise PlanError("usual values are not of the optimizers that are tuned")


def scales_of(plain: Mapping[str, Any]) -> dict[str, float]:
    """optimizer → by what the rates of a stored plan are multiplied for it, where it has rates of its own."""
    scales, common = {}, plain["rates"]
    for label, own in plain["own_rates"].items():
        if label not in plain["optimizers"] or len(own) != len(common):
            raise PlanError(f"the rates of {label} are not as many as those of the others")
        scales[label] = float(f"{own[0] / common[0]:.9g}")
        if any(not math.isclose(scales[label] * a, b, rel_tol=1e-6) for a, b in zip(common, own, strict=True)):
            raise PlanError(f"the rates of {label} lie apart in another way than those of the others")
    return scales


def as_now(stored_plan: Mapping[str, Any]) -> dict[str, Any]:
    """A store's plan in today's form: what the first schema did not know has its one default level."""
    plain = dict(stored_plan)
    if "batch_size" in plain:
        plain["batch_sizes"] = [plain.pop("batch_size")]
        plain |= {"losses": [None], "hyperparameters": {}, "applies": {}}
        plain["specs"] = {"optimizers": plain["specs"]} if plain.get("specs") else {}
    usual = {"regularizers": ["none"], "folds": None, "defaults": {}, "budget": FULL_BUDGET, "grow": 0, "grown": []}
    usual |= {"looks": [], "refine": 0, "refined": [], "untuned": {}, "search": GRID, "points": []}
    usual |= {"by_metric": "loss", "judge": LAST, "confirmation_epochs": None, "swaps": None, "directions": {}}
    usual |= {"models": [None], "groups": None, "usual": {}, "loss_scale": [None, None]}
    usual |= {"grow_total": None, "refine_total": None, "narrow": [], "margin": MARGIN}
    usual |= {"device": CPU, "precision": FLOAT32, "own_rates": {}}
    plain = {**usual, **plain}
    return plain | {"looks": as_mappings(plain["looks"], plain.get("epochs"))}
