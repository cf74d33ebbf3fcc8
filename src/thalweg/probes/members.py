"""Members of a study as they trained: each is trained again, alone, and its weights are kept on the way.

A block of one member has the same initial weights, batches and kernels as the block it was trained in, so it follows
the same path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import PlanError, StoreError, UsageError
from ..landscapes.slices import State
from ..population.block import Block

if TYPE_CHECKING:
    from ..engine.programs import Programs
    from ..problem.declaration import Problem
    from ..problem.prepare import Prepared
    from ..study.study import Study

KEPT = 60  # points of a path, evenly spaced over its steps


def solutions(
    study: Study, problem: Problem | str | None, optimizer: str | None, to: Any, kind: str
) -> tuple[str, nn.Module, Prepared, list[State], State | None]:
    """(name, the trained network, its problem, its path, the network of another optimizer or None)."""
    from ..engine.programs import Programs

    ready = study.prepared(problem)
    programs = Programs(study.plan, ready)
    label = optimizer or _best(study)
    states = _path(study, programs, label, KEPT if kind == "path" else 1)
    module = _module(ready, states[-1])
    if to is None:
        return f"{label} on {ready.name}", module, ready, states, None
    if not isinstance(to, str):
        raise UsageError(f"to= of a study is another optimizer's label, and was given as a {type(to).__name__}.")
    other = _path(study, programs, to, 1)[-1]
    return f"{label} to {to} on {ready.name}", module, ready, states, other


def _best(study: Study) -> str:
    entries = study.verdict.entries
    if not entries:
        raise StoreError(f"{study.path} has no complete seed yet; `thalweg resume {study.path}`.")
    return entries[0].optimizer


def _path(study: Study, programs: Programs, label: str, kept: int) -> list[State]:
    """The weights of one run of an optimizer's chosen setting, from the first step to the last."""
    from ..verdict.verdict import matching

    verdict, table = study.verdict, study.table()
    entries = {entry.optimizer: entry for entry in verdict.entries}
    if label not in entries:
        raise PlanError(f"{label!r} is not among this study's optimizers: {', '.join(entries)}.")
    setting = entries[label].setting
    own = table[matching(table, setting) & (table["status"] == "finished")]
    if own.empty:
        raise UsageError(f"all runs of {label} diverged, so there is no network to look at; choose another optimizer.")
    last = "confirmation" if "confirmation" in set(own["stage"]) else "search"
    run_seed = int(own[own["stage"] == last]["seed"].min())
    block = Block(programs.task(setting), [study.plan.member(setting, run_seed)], study.plan.epochs)
    every = max(1, -(-block.total // kept))
    states = [_state(block)] if kept > 1 else []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for passed in block.train():
            if passed is None and kept > 1 and block.step % every == 0 and block.step < block.total:
                states.append(_state(block))
    finally:
        torch.set_num_threads(threads)
    return [*states, _state(block)]


def _state(block: Block) -> State:
    weights, moving = block.regularized.evaluated
    names = (*block.task.batched.names, *block.task.batched.moving)
    return {name: tensor[0].clone() for name, tensor in zip(names, (*weights, *moving), strict=True)}


def _module(ready: Prepared, state: State) -> nn.Module:
    from ..engine.programs import built

    module = built(ready)
    module.load_state_dict(state, strict=False)
    return module
