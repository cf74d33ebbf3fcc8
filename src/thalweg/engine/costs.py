"""What a step of one run costs, measured from blocks that were trained and updates that were timed."""

from __future__ import annotations

import timeit
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..formulas import Formula
from ..formulas.opaque import Opaque
from ..kernels.stacks import Rows
from ..population.member import Member
from ..population.place import Place
from ..population.sizing import CACHE
from ..population.tensor_updates import update_of
from ..store.file import ENDED, BlockRow
from ..verdict.verdict import chosen_settings, seconds_per_step
from .programs import Programs, grouped

ROWS = 16  # members whose update is timed at once
GRADIENT = 1e-3  # so small that sums of its products are no harder to decompose than those of training


def measure_costs(programs: Programs, rows: Sequence[BlockRow], members: pd.DataFrame) -> dict[str, Any]:
    """Seconds per member and step: an equal share of the batched program, plus the formula's own update.

    `seconds_per_step` is each optimizer's at its chosen setting; `programs` holds the share for each
    program, and `update_seconds` the update of each optimizer, from which any setting's follows.

    Args:
        rows: the blocks of the search.
        members: the table of all runs.
    """
    plan = programs.plan
    chosen = {str(o): s for o, (s, _) in chosen_settings(plan, members).items()}
    rules = {o: plan.formula(s) for o, s in chosen.items()}
    kernels = {o: rule for o, rule in rules.items() if not isinstance(rule, Opaque)}
    update = {o: _update_seconds(rule, programs.structure(chosen[o]), programs.place) for o, rule in kernels.items()}
    known = [seconds for seconds in update.values() if not np.isnan(seconds)]
    usual = float(np.mean(known)) if known else 0.0
    shares: dict[tuple[Any, ...], float] = {}
    # Those with kernels first: the share of a program is theirs to say, and what is left of a step the optimizer's own.
    ended = (row for row in rows if row.status in ENDED and row.seconds > 0)
    groups = grouped(lambda row: programs.of(row.settings[0]), ended)
    for (size, loss, model, _, own), blocks in sorted(groups.items(), key=lambda one: one[0][-1]):
        steps = sum(row.step * len(row.settings) for row in blocks)
        # A block's time is one thread's: what a member costs on one core.
        seconds = sum(row.seconds for row in blocks) / steps if steps else float("nan")
        for label in sorted({plan.level(s, "regularizer") for row in blocks for s in row.settings}):
            share = shares.setdefault((size, loss, label, model), 0.0 if own else max(0.0, seconds - usual))
            if own:
                update |= {str(s.optimizer): max(0.0, seconds - share) for row in blocks for s in row.settings}
    names = ("batch_size", "loss", "regularizer", "model")
    programs_ = [{**dict(zip(names, kind, strict=True)), "seconds": share} for kind, share in shares.items()]
    costs = {"update_seconds": update, "programs": programs_}
    return {"seconds_per_step": {o: seconds_per_step(plan, costs, s) for o, s in chosen.items()}, **costs}


def _update_seconds(formula: Formula, structure: nn.Module, place: Place) -> float:
    """The median time of one member's update there, among a few that share a launch as in a block; NaN where it fails,
    because what was trained is complete without it."""
    try:
        return _median_seconds(formula, structure, place)
    except Exception:
        return float("nan")


def _median_seconds(formula: Formula, structure: nn.Module, place: Place) -> float:
    parameters = {name: p for name, p in structure.named_parameters() if p.requires_grad}
    each = sum(p.nbytes for p in parameters.values()) * (2 + len(formula.states))
    rows = max(1, min(ROWS, CACHE // each))  # so that a large model takes less memory here than in training
    weights, gradients = (
        [p.new_full((rows, *p.shape), value, device=place.device) for p in parameters.values()]
        for value in (1.0, GRADIENT)
    )
    part = update_of([Member(formula)] * rows, 0, weights, total=1, parameters=list(parameters))
    now, active = np.ones((2, rows)), np.ones(rows, dtype=bool)
    given = (*now, active, part.table, part.row_states)
    t, loss, mask, table, states = (torch.from_numpy(one).to(place.device) for one in given)
    launch = part.stacked(Rows(t, loss, mask, table, states, part.place, part.width))

    def step() -> None:
        launch.run(gradients)
        place.wait()

    with torch.no_grad(), place.at_work():
        return float(np.median(timeit.repeat(step, repeat=9, number=1))) / rows
