"""How the members of each program are trained: tried out before the study begins.

Compiled, one after another (`population/compiled.py`): where every operation of the model has a rule, the numbers are
those of a plain loop, and it is no slower. Else stacked, as one batched program (`population/batched.py`), at the size
that blocks will have; where memory holds few members of it, and more if their activations are computed twice, they are
(`population/recomputed.py`). Else one by one in plain PyTorch (`population/one_by_one.py`), each block in a process of
its own (`processes.py`): where a batched program cannot be built or run, gives other numbers than the loop, or takes
more time for a member's step than it does, by so much that processes pay. Members learn the same in each way, to float
rounding. What was decided, and why, is kept in the store: a study that is resumed goes on as it began.
"""

from __future__ import annotations

import functools
import timeit
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import PlanError, TrainingError, first_line
from ..plan.factors import Setting
from ..population.batched import Extra, Groups
from ..population.block import EVALUATION_BATCH, Block
from ..population.compiled import Compiled
from ..population.place import GPU
from ..population.recomputed import Recomputed
from ..population.sizing import fitting
from ..programs.native import single_threaded
from ..samples import Samples
from .memory import out_of_memory
from .programs import ALONE, COMPILED, FEW, KINDS, RECOMPUTED, STACKED, WORTH, Programs, Way

AUTO = "auto"
STEPS = 3  # that are timed; the fastest counts
COMPARED = 2  # members whose gradients must be the same in each way
SLOWER = 1.25  # times the plain loop's time, beyond which a batched program counts as slow
SAME = 1e-2  # relative difference of gradients that rounding may make
ASKED = "as asked"


def check_batched(batched: Any) -> None:
    """Refuse anything but "auto", the name of a way, True and False."""
    if batched not in (AUTO, *KINDS, True, False):
        raise PlanError(
            "batched is {batched}; give {names}, True for any of the first three, or {auto} for what suits the model.",
            batched=repr(batched),
            names=", ".join(map(repr, KINDS)),
            auto=repr(AUTO),
        )


def decide(programs: Programs, batched: Any) -> list[Way]:
    """For each program of the plan how its members are best trained, as is measured now."""
    with single_threaded():
        return [_Trial(programs, settings).best(batched) for settings in programs.all.values()]


def ways_of(batching: Mapping[str, Any]) -> list[Way]:
    """What a store holds of how its members are trained; older ones know stacked and alone."""
    reasons = [Way(STACKED) if one is None else Way(ALONE, *one) for one in batching.get("reasons", ())]
    return [Way(*one) for one in batching["ways"]] if "ways" in batching else reasons


class _Trial:
    """A few steps of a program in each of the ways."""

    def __init__(self, programs: Programs, settings: Sequence[Setting]) -> None:
        self.programs, self.settings = programs, settings
        self.name = type(programs.structure(settings[0])).__name__
        plan = programs.plan
        (_, self.members, self.fold), *_ = programs.blocks(settings, range(plan.seeds), plan.search_folds)
        self._seen: dict[tuple[str, int, int], tuple[list[Tensor], float]] = {}

    def measured(self, way: str, members: int, steps: int = STEPS) -> tuple[list[Tensor], float]:
        """The first members' gradients and losses of the first step, and the seconds of a member's step."""
        if (asked := (way, members, steps)) not in self._seen:
            self._seen[asked] = self._measured(*asked)
        return self._seen[asked]

    def _measured(self, way: str, members: int, steps: int) -> tuple[list[Tensor], float]:
        plan, task = self.programs.plan, self.programs.task(self.members[0], self.fold, way)
        block = Block(task, [plan.member(s, 0) for s in self.members[:members]], plan.epochs)
        with self.programs.place.at_work():
            tensors, seconds = _measured(block, steps)
        return tensors, seconds / len(block.members)

    def best(self, batched: Any) -> Way:
        way = self._best(batched)
        if way.name == STACKED and batched != STACKED:
            way = self.unless_few(way)
        if way.name == RECOMPUTED:
            _, twice = self.counted
            return way._replace(size=self.size(RECOMPUTED) or twice)
        return way._replace(size=self.size()) if way.name == STACKED else way

    def unless_few(self, way: Way) -> Way:
        """With activations computed twice, where few members fit into memory otherwise, and more do then."""
        programs, wanted = self.programs, min(FEW, len(self.settings))
        most = programs.most(self.settings[0], max(map(programs.plan.states_of, self.settings)))
        if 1 < most >= wanted:
            return way
        try:
            each = self.counted
        except PlanError:
            return way
        few, more = (min(len(self.settings), fitting(size, programs.room())) for size in each)
        return way if more <= few else Way(RECOMPUTED, f"{more} members fit into memory at once, and {few} otherwise")

    @functools.cached_property
    def counted(self) -> tuple[int, int]:
        """Bytes of a member at work, if its activations are stored and if they are computed twice.

        Raises:
            PlanError: its step cannot be traced.
        """
        plan = self.programs.plan
        task = self.programs.task(self.members[0], self.fold, RECOMPUTED)
        largest = sorted(self.members, key=plan.states_of)[-COMPARED:]
        block, batched = Block(task, [plan.member(s, 0) for s in largest], plan.epochs), task.batched
        assert isinstance(batched, Recomputed)
        _, groups, extra = _first_step(block)
        batched.program(groups, extra)
        if batched.taken is None:
            raise PlanError(
                f"{self.name} cannot be trained with activations computed twice, because {batched.notes[-1]} Give "
                "batched='auto' to train it in another way."
            )
        held = sum(t.nbytes for t in block.tensors().values()) // len(largest)
        stored, twice = batched.taken
        return held + stored, held + twice

    def size(self, way: str = STACKED) -> int:
        """Bytes that a member takes on a GPU, and each further one; 0 elsewhere, or where not even a few fit."""
        device = self.programs.place.device
        if device.type != GPU:
            return 0
        taken = []
        for members in (1, FEW):
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            try:
                self._measured(way, members, 1)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                return 0
            taken.append(torch.cuda.max_memory_allocated(device) - before)
        few = min(FEW, len(self.members))
        return -(-(taken[1] - taken[0]) // (few - 1)) if few > 1 else taken[0]

    def _best(self, batched: Any) -> Way:
        if batched in (False, ALONE):
            return Way(ALONE, ASKED, self.measured(ALONE, 1, 1)[1])
        if batched == RECOMPUTED:
            return Way(RECOMPUTED, ASKED)
        tried = batched == COMPILED or (batched != STACKED and self.programs.place.compiles)
        why = self.against_compiled(batched) if tried else None
        if tried and why is None:
            return Way(COMPILED)
        if batched == COMPILED:
            raise PlanError(
                "{name} cannot be compiled: {why}; give batched='auto' to train it in another way.",
                name=self.name,
                why=why,
            )
        return Way(STACKED, why) if batched in (True, STACKED) else self.stacked_or_alone(why)

    def against_compiled(self, batched: Any) -> str | None:
        """Why a program is better not compiled; None where it is."""
        if not (place := self.programs.place).compiles:
            return f"compiled members are trained in float32 on the CPU, and these on {place}"
        try:
            compiled, seconds = self.measured(COMPILED, COMPARED)
        except Exception as error:  # whatever a user's model may raise: it is said where it is trained
            return first_line(error)
        task = self.programs.task(self.members[0], self.fold, COMPILED)
        if isinstance(task.batched, Compiled) and task.batched.uncovered is not None:
            return task.batched.uncovered
        try:
            alone, alone_seconds = self.measured(ALONE, COMPARED)
        except Exception as error:
            return first_line(error)
        if not _alike(compiled, alone):
            return "it gives other numbers than plain PyTorch"
        if batched == COMPILED or seconds < alone_seconds / 2:
            return None
        try:
            _, stacked_seconds = self.measured(STACKED, len(self.members))
        except Exception:
            stacked_seconds = alone_seconds
        fastest = min(stacked_seconds, alone_seconds)
        if seconds <= fastest:
            return None
        return f"a step takes {_time(seconds)} for a member, and {_time(fastest)} otherwise"

    def stacked_or_alone(self, why: str | None) -> Way:
        try:
            together, seconds = self.measured(STACKED, len(self.members))
        except Exception as error:  # whatever a user's model may raise under vmap
            return self.unless_alone(error, why)
        alone, alone_seconds = self.measured(ALONE, COMPARED)
        if not _alike(together, alone):
            return Way(ALONE, f"because {self.name} gives other numbers in a batched program", alone_seconds)
        plan, programs = self.programs.plan, self.programs
        steps = plan.seeds * len(plan.search_folds) * len(self.settings) * plan.epochs
        saving = steps * programs.steps(self.members[0], self.fold) * (seconds - alone_seconds)
        if seconds > SLOWER * alone_seconds and saving / torch.get_num_threads() > WORTH:
            each = f"{_time(seconds)} for each of {len(self.members)} members, and {_time(alone_seconds)} alone"
            slow = f"because {self.name} is slow in a batched program: a step takes {each}"
            return Way(ALONE, slow, alone_seconds)
        return Way(STACKED, why)

    def unless_alone(self, error: Exception, why: str | None) -> Way:
        """Alone, where a batched program failed with this error."""
        if out_of_memory(error):
            return Way(STACKED, why)  # which halves the block when it is trained
        try:
            _, seconds = self.measured(ALONE, 1, 1)
        except Exception:
            return Way(STACKED, why)  # nor can it be trained alone, which is said when it is
        cause = error.__cause__ if isinstance(error, TrainingError) and error.__cause__ else error
        return Way(ALONE, f"because {self.name} cannot be batched ({_short(cause)})", seconds)


def _measured(block: Block, count: int) -> tuple[list[Tensor], float]:
    """The first members' gradients and losses of the first step, and the time of the fastest of a few such steps."""
    batched, task = block.task.batched, block.task
    batch, _, extra = _first_step(block)

    def step() -> tuple[Tensor, ...]:
        results = batched.gradient(block.weights, *batch, block.fixed, block.moving, extra)
        batched.place.wait()
        return results

    first = [t[:COMPARED].clone() for t in step()[: len(block.weights) + 1]]  # the rest takes memory as a block does
    if task.validation is not None:
        block.evaluate(*Samples(*task.validation).take(slice(EVALUATION_BATCH)))
    return first, min(timeit.repeat(step, repeat=count, number=1))


def _first_step(block: Block) -> tuple[Samples, Groups, Extra]:
    """A batch, and what a program is given for it."""
    batch = next(iter(block.task.batches.epoch(block.seed, 0))).to(block.device)
    for part in block.regularized.parts:
        part.fits(block.task.batched.loss, batch)
    return batch, *block.given(0, batch)


def _alike(together: Sequence[Tensor], alone: Sequence[Tensor]) -> bool:
    """Whether the first members' gradients and losses are the same but for rounding."""
    count = len(alone[0])
    a, b = (
        torch.cat([t[:count].double().unsqueeze(1).flatten(1) for t in tensors], 1) for tensors in (together, alone)
    )
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        return torch.equal(torch.isfinite(a), torch.isfinite(b))
    return bool((a - b).norm() <= SAME * b.norm())


def _short(error: BaseException) -> str:
    """The first clause of what PyTorch says."""
    text = first_line(error).removeprefix("vmap: ").rstrip(".")
    return text if len(text) <= 100 else text[:99].rsplit(" ", 1)[0] + " …"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2g} ms"
