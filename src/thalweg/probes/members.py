"""Members of a study as they trained: each is trained again, alone, and its weights on the way are retained.

A block of one member has the same initial weights, batches and kernels as the block it was trained in, so it follows
the same path.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from ..engine.programs import Programs, built
from ..errors import UsageError
from ..landscapes.slices import State
from ..language import say
from ..plan.factors import Setting
from ..population.block import Block
from ..problem.declaration import Problem
from ..problem.prepare import Prepared
from ..programs.native import single_threaded
from ..results import Results
from ..verdict.losses import ENDED, matching

POINTS = 60  # points of a path, evenly spaced over its steps


def solutions(
    results: Results, problem: Problem | str | None, optimizer: str | Setting | None, to: Any, kind: str
) -> tuple[str, nn.Module, Prepared, list[State], State | None]:
    """(name, the trained network, its problem, its path, the network of another optimizer or None)."""
    programs = Programs(results.judged_plan.anywhere, results.prepared(problem))
    setting = results.chosen(optimizer)
    ready = programs.prepared(setting)  # without what parameter groups freeze
    states = _path(results, programs, setting, POINTS if kind == "path" else 1)
    module = built(ready)
    module.load_state_dict(states[-1], strict=False)
    if to is None:
        name = say("{optimizer} on {problem}", optimizer=setting.optimizer, problem=ready.name)
        return name, module, ready, states, None
    if not isinstance(to, str):
        raise UsageError(
            "to= of a study is another optimizer's label, and this one is of type {kind}.", kind=type(to).__name__
        )
    other = _path(results, programs, results.chosen(to), 1)[-1]
    name = say("{optimizer} to {to} on {problem}", optimizer=setting.optimizer, to=to, problem=ready.name)
    return name, module, ready, states, other


def _path(results: Results, programs: Programs, setting: Setting, points: int) -> list[State]:
    """The weights of one run of a setting, from the first step to the last."""
    table = results.table()
    runs = table[matching(table, setting) & (table["status"] == "finished")]
    if runs.empty:
        if not table[matching(table, setting)]["status"].isin(ENDED).all():
            raise UsageError(
                "no run of {optimizer} has ended yet; its network can be looked at once one has.",
                optimizer=setting.optimizer,
            )
        raise UsageError(
            "all runs of {optimizer} diverged, so no network can be looked at; choose another optimizer.",
            optimizer=setting.optimizer,
        )
    judged = runs[runs["stage"] == results.verdict.stage]
    run_seed = int((runs if judged.empty else judged)["seed"].min())
    block = Block(programs.task(setting), [programs.plan.member(setting, run_seed)], programs.plan.epochs)
    every = max(1, -(-block.total // points))
    states = [_state(block)] if points > 1 else []
    with single_threaded():
        for passed in block.train():
            if passed is None and points > 1 and block.step % every == 0 and block.step < block.total:
                states.append(_state(block))
    return [*states, _state(block)]


def _state(block: Block) -> State:
    return {name: tensor[0].clone() for name, tensor in block.state().items()}
