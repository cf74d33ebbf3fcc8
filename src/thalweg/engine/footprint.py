"""The memory that a block takes while it trains, from the sizes of what it is made of: nothing is allocated for it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch.utils.data import DataLoader

from ..formulas import Formula
from ..formulas.opaque import Opaque
from ..formulas.shapes import extent
from ..kernels.lower import lower
from ..plan.factors import Setting
from ..population.block import EVALUATION_BATCH, Task, at_once
from ..population.compiled import Compiled
from ..population.memory import free_memory, shown
from ..problem.parts import dtype_of
from ..regularizers.stopping import EarlyStopping
from .block_run import STEPS_SECONDS
from .members import alone_seconds
from .portable import portable
from .programs import RECOMPUTED, WORTH, Programs

GRADIENTS = 3  # times a layer's outputs that a step of plain PyTorch takes: forward, gradient, and in between


@dataclass(frozen=True)
class Footprint:
    """Bytes of a block at work.

    A checkpoint, which is written now and then, takes a copy of all but gradients, results and batches for a moment.

    Attributes:
        weights, states: of all its members, and of their optimizers.
        further: of all its members: buffers that training moves, averages, and the best weights of early stopping.
        gradients: of one member where members are compiled, else of all.
        results: in between, of one member's step; of all members' where they are stacked.
        batches: drawn at once.
        fresh: a model as it is made and its copy, from which a block begins; the allocator may keep that memory.
    """

    weights: int
    states: int
    further: int
    gradients: int
    results: int
    batches: int
    fresh: int

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


def footprint(
    programs: Programs, settings: Sequence[Setting], fold: int | None = None, step_seconds: float = 0.0
) -> Footprint:
    """What a block of members with these settings takes, in the way that its program is trained.

    Args:
        settings: one for each member.
        fold: that the block trains in.
        step_seconds: of the whole block, which takes several steps at once; 0: as many as it may.
    """
    task, members = programs.task(settings[0], fold), len(settings)
    model, plan = programs.structure(settings[0]), programs.plan
    weights = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    task.batched.find_moving_buffers(task.sample)
    moving = sum(b.nbytes for name, b in model.named_buffers() if name in task.batched.moving)
    shapes = [(tuple(p.shape), p.itemsize) for p in model.parameters() if p.requires_grad]
    states = sum(_states(plan.formula(s), shapes) for s in settings)
    copies = _copies(programs, settings[0]) * members * (weights + moving)
    batch, samples = _batch(programs, settings[0])
    compiled = _compiled(task) is not None
    steps = min(task.batches.steps, at_once(STEPS_SECONDS, step_seconds)) if compiled else 1
    block = Footprint(
        weights=members * weights,
        states=states,
        further=members * moving + copies,
        gradients=weights * (1 if compiled else members),
        results=0,
        batches=steps * batch,
        fresh=2 * (weights + moving),
    )
    if (way := programs.way(settings[0])).name == RECOMPUTED:
        held = block.weights + block.states + block.further + block.gradients
        return replace(block, results=max(0, members * way.size - held))
    return replace(block, results=_results(programs, settings, samples))


Cut = tuple[int, Sequence[Setting], int | None]  # a block as `Programs.blocks` has it


def at_work(programs: Programs, blocks: Sequence[Cut], step_seconds: float = 0.0) -> list[Footprint]:
    """What the largest blocks take, as many as train at once, if they happen to do so together; the largest first.

    Args:
        blocks: of one program.
        step_seconds: of one member; 0 where it is not known.
    """
    each: dict[tuple[Setting, ...], Footprint] = {}
    for _, settings, fold in blocks:
        if (members := tuple(settings)) not in each:
            each[members] = footprint(programs, members, fold, step_seconds * len(members))
    every = (each[tuple(settings)] for _, settings, _ in blocks)
    return heapq.nlargest(workers(programs, blocks), every, key=lambda one: one.total)


def _states(rule: Formula, tensors: Sequence[tuple[tuple[int, ...], int]]) -> int:
    """Bytes that a rule remembers of tensors of these shapes and bytes per value."""
    if isinstance(rule, Opaque):
        return sum(len(rule.states) * math.prod(shape) * size for shape, size in tensors)
    forms = [(rule.of_shape(shape).equations, shape, size) for shape, size in tensors]
    return sum(
        math.prod(extent(form.shape(name), shape, form.batched)) * size
        for form, shape, size in forms
        for name, _ in lower(form).states
    )


def _copies(programs: Programs, setting: Setting) -> int:
    """How often weights and moved buffers are kept beside those that are trained."""
    regularizer = programs.plan["regularizer"].objects[programs.plan.level(setting, "regularizer")]
    parts = () if regularizer is None else regularizer.parts
    return sum((part.share(0, 1, 1) is not None) + isinstance(part, EarlyStopping) for part in parts)


def _batch(programs: Programs, setting: Setting) -> tuple[int, int]:
    """Bytes of a batch, and the samples in it."""
    samples = programs.samples(setting)
    return samples * sum(t[:1].nbytes for t in programs.problem.validation.leaves), samples


def _compiled(task: Task) -> Compiled | None:
    """The program of a task whose members are compiled."""
    program = task.batched
    return program if isinstance(program, Compiled) and program.uncovered is None else None


def _results(programs: Programs, settings: Sequence[Setting], samples: int) -> int:
    task = programs.task(settings[0])
    evaluated = min(EVALUATION_BATCH, programs.problem.validation.size)
    if (program := _compiled(task)) is not None:
        return program.room(samples, evaluated)
    model = programs.structure(settings[0])
    outputs = programs.prepared(settings[0]).activations(model) * max(GRADIENTS * samples, evaluated)
    each = int(outputs) * dtype_of(model).itemsize
    return each if programs.alone(settings[0]) else each * len(settings)


def data_bytes(programs: Programs) -> int:
    """Of the samples in memory; a DataLoader has its own."""
    problem = programs.problem
    parts = [problem.validation, problem.test, *([] if isinstance(problem.train, DataLoader) else [problem.train])]
    return sum(t.nbytes for part in parts for t in part.leaves)


def workers(programs: Programs, blocks: Sequence[Cut]) -> int:
    """How many of these blocks train at once."""
    if programs.workers is not None:
        return min(programs.workers, len(blocks))
    if programs.alone(blocks[0][1][0]):
        several = _processes(programs)
    else:
        several = not isinstance(programs.problem.train, DataLoader)
    return min(torch.get_num_threads() if several else 1, len(blocks))


def _processes(programs: Programs) -> bool:
    """Whether the members that are trained alone are worth processes, by the search, of all programs together."""
    plan = programs.plan
    alone = [settings for settings in programs.all.values() if programs.alone(settings[0])]
    parts = ((settings, fold) for settings in alone for fold in plan.search_folds)
    return alone_seconds(programs, parts, plan.seeds * plan.epochs) >= WORTH and portable(programs) is not None


def too_large(programs: Programs) -> list[str]:
    """A sentence for each program whose blocks do not fit into the memory that is free."""
    free = free_memory(programs.place.device)
    if free is None or programs.workers is not None:  # whose machines have their own
        return []
    sentences = []
    for settings in programs.all.values():
        blocks = programs.blocks(settings, range(programs.plan.seeds), programs.plan.search_folds)
        taken = at_work(programs, blocks)
        need, count = sum(one.total for one in taken), len(taken)
        if need > free:
            members = max(len(block) for _, block, _ in blocks)
            sentences.append(
                f"{count} block{'s' * (count > 1)} of {members} members at once take about {shown(need)}, and "
                f"{shown(free)} are free: give a smaller model or smaller batches, or fewer cores (OMP_NUM_THREADS=1)."
            )
    return list(dict.fromkeys(sentences))
