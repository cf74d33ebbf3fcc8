"""The programs of a study: what members must share to be trained in one block, and how they are."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from safetensors.torch import load, save
from torch import nn
from torch.utils.data import DataLoader

from ..formulas.opaque import Opaque
from ..language import mark
from ..plan.factors import FULL, Level, Setting
from ..plan.plan import Plan
from ..population.batched import Batched
from ..population.batches import RANDOM, Batches, LoaderBatches, TensorBatches
from ..population.block import Block, Task, arranged
from ..population.compiled import Compiled
from ..population.groups import Freezing, ParameterGroups
from ..population.member import Member
from ..population.memory import free_memory
from ..population.one_by_one import OneByOne
from ..population.place import CPU, Place, check_device, devices
from ..population.recomputed import Recomputed
from ..population.sizing import MEMORY, block_size
from ..problem.prepare import Prepared
from ..samples import Samples
from ..store.file import BlockRow

Program = tuple[Any, ...]
T = TypeVar("T")
WORTH = 15.0  # seconds that must be saved: processes take some to start
FEW = 8  # members in a block whose members are trained one by one, so that each process has several blocks


COMPILED, STACKED, RECOMPUTED, ALONE = map(mark, ("compiled", "stacked", "recomputed", "alone"))
KINDS: dict[str, type[Batched]] = {COMPILED: Compiled, STACKED: Batched, RECOMPUTED: Recomputed, ALONE: OneByOne}


class Way(NamedTuple):
    """How members of a program are trained.

    Attributes:
        name: compiled, one after the other; stacked, as one batched program; recomputed, as one that computes most
            activations twice; or alone, in plain PyTorch.
        why: it is not the first of these; None where it is, or as was asked.
        seconds: that a step of one member takes; 0 where members are not alone.
        size: bytes of a member, as measured on a GPU, or as counted where activations are computed twice; 0 elsewhere.
    """

    name: str
    why: str | None = None
    seconds: float = 0.0
    size: int = 0


def grouped(of: Callable[[T], Program], items: Iterable[T]) -> dict[Program, list[T]]:
    """The items of each program, which `of` tells."""
    groups: dict[Program, list[T]] = {}
    for item in items:
        groups.setdefault(of(item), []).append(item)
    return groups


class Programs:
    """The programs of a study: one for each model, batch size, loss and kind of regularizer.

    Members whose settings differ in nothing else share a program, so only a block whose members share one
    can be trained as one.

    Attributes:
        restarts: whether a run whose checkpoint is missing may begin anew where members are put together.
        anew: whether one that was stopped at a rung begins anew to go on.
        workers: of a cluster that trains them; None for this machine.
    """

    restarts = anew = False
    workers: int | None = None

    def __init__(self, plan: Plan, problem: Prepared, ways: Sequence[Sequence[Any]] = ()) -> None:
        self.plan, self.problem = plan, with_frozen(problem, plan.groups)
        self.devices = devices(check_device(plan.device))
        self.place = Place(self.devices[0], plan.precision)
        self._all: dict[Program, list[Setting]] | None = None
        self._of: dict[Setting, Program] = {}  # which each report of progress asks for
        self._structures: dict[Level, nn.Module] = {}
        self._batched: dict[Any, Batched] = {}
        self._tasks: dict[tuple[Program, int | None, str], Task] = {}
        self._limits: dict[Program, int] = {}
        self._lock = threading.Lock()
        folds = plan.folds or plan.swaps
        self._folds = folds.rows(problem) if folds else []
        self._fitted: dict[int | None, tuple[Samples, Samples]] = {}
        self._there: dict[int, tuple[Samples, Samples]] = {}
        self.train_as(ways)

    def wider(self, plan: Plan) -> Programs:
        """The programs of a plan that has more settings; what is traced and compiled is shared."""
        other = copy.copy(self)
        other.plan = plan
        other._all, other._of = None, {}  # what the narrower plan gave
        other.train_as(self.ways)
        return other

    def train_as(self, ways: Sequence[Sequence[Any]]) -> None:
        """Train the members of each of `all` in one of the ways; stacked where none is given."""
        self.ways = [Way(*way) for way in ways]
        self._ways = dict(zip(self.all, self.ways, strict=False))

    def way(self, setting: Setting) -> Way:
        """How members of the setting are trained."""
        return self._ways.get(self.of(setting), Way(STACKED))

    def alone(self, setting: Setting) -> bool:
        """Whether its members are trained one by one."""
        return self.way(setting).name == ALONE

    @property
    def all(self) -> Mapping[Program, Sequence[Setting]]:
        """The settings of each program."""
        if self._all is None:
            self._all = grouped(self.of, self.plan.settings)
        return self._all

    def prepared(self, setting: Setting) -> Prepared:
        """The problem with the setting's model."""
        return self.problem.with_model(self.plan.level(setting, "model"))

    def structure(self, setting: Setting) -> nn.Module:
        """The setting's model, for its structure."""
        model = self.plan.level(setting, "model")
        if model not in self._structures:
            self._structures[model] = built(self.problem.with_model(model))
        return self._structures[model]

    def of(self, setting: Setting) -> Program:
        """What tells the setting's program from others."""
        if setting not in self._of:
            self._of[setting] = self._program(setting)
        return self._of[setting]

    def _program(self, setting: Setting) -> Program:
        size, loss, model, label = (
            self.plan.level(setting, name) for name in ("batch_size", "loss", "model", "regularizer")
        )
        regularizer = self.plan["regularizer"].objects[label]
        own = isinstance(self.plan.formula(setting), Opaque)  # whose members step one by one
        return size, loss, model, None if regularizer is None else regularizer.program, own

    def task(self, setting: Setting, fold: int | None = None, way: str | None = None) -> Task:
        """The problem as the setting's block trains it: in that fold, or, in a plan with folds, on all samples.

        Args:
            way: of `KINDS`; the program's unless given.
        """
        program = size, loss, model, *_ = self.of(setting)
        way = way or self.way(setting).name
        key = program, fold, way
        with self._lock:
            if key not in self._tasks:
                batches, validation = self._data(size, fold)
                self._tasks[key] = Task(
                    self.prepared(setting).model, self.gradients(loss, model, way), batches, validation
                )
            return self._tasks[key]

    def gradients(self, loss: Any, model: Level, way: str = STACKED) -> Batched:
        """Programs that differ in batch size alone share what is traced; what cannot be compiled there is stacked."""
        way = STACKED if way == COMPILED and not self.place.compiles else way
        if (loss, model, way) not in self._batched:
            problem, kind = self.problem.with_model(model), KINDS[way]
            trained = problem.loss if loss is None else self.plan["loss"].objects[loss]
            self._batched[loss, model, way] = kind(built(problem), trained, problem.metrics, problem.loss, self.place)
        return self._batched[loss, model, way]

    @property
    def notes(self) -> list[str]:
        """What stacked programs say of how they run, e.g. untraced, and all of metrics that fail; each once."""
        together = [(program, way.name) for program, way in self._ways.items() if way.name in (STACKED, RECOMPUTED)]
        stacked = {(*program[1:3], way) for program, way in together}
        batched = [one for key, one in self._batched.items() if key in stacked]
        failures = [sentence for program in self._batched.values() for sentence in program.failures]
        return [*dict.fromkeys([*(sentence for program in batched for sentence in program.notes), *failures])]

    def _data(self, size: int | str, fold: int | None) -> tuple[Batches, Samples | None]:
        """What to train on, and what to judge on."""
        problem = self.problem
        if isinstance(problem.train, DataLoader):
            return LoaderBatches(problem.train, problem.given), self.there(problem.validation)
        if fold is None and self.plan.folds is None:
            train, validation = self.there(problem.train), self.there(problem.validation)
            return TensorBatches(*train, samples_per_step(size, train.size)), validation
        pool = self.there(self._parts(fold)[0])
        if fold is None:
            return TensorBatches(*pool, samples_per_step(size, pool.size)), None
        training, judging = self._folds[fold]
        return TensorBatches(*pool, samples_per_step(size, len(training)), training), pool.take(judging)

    def there(self, samples: Samples) -> Samples:
        """The samples where members are trained, to which they are brought once."""
        _, there = self._there.setdefault(id(samples), (samples, samples.to(self.place.device)))
        return there

    def test(self, fold: int | None) -> Samples:
        """The test part as a member meets it that was trained in that fold; see `task`."""
        return self.problem.test if fold is None and self.plan.folds is None else self._parts(fold)[1]

    def _parts(self, fold: int | None) -> tuple[Samples, Samples]:
        """All samples of training and validation, and the test part, preprocessed for what the fold trains on."""
        if self.problem.preprocessing is None:
            return self.problem.pool, self.problem.test
        if fold not in self._fitted:
            self._fitted[fold] = self.problem.fitted(None if fold is None else self._folds[fold][0])
        return self._fitted[fold]

    def samples(self, setting: Setting) -> int:
        """Samples in the largest batch of the setting."""
        batches = self.task(setting).batches
        if isinstance(batches, TensorBatches):
            return batches.batch_size
        return getattr(self.problem.train, "batch_size", None) or 1

    def steps(self, setting: Setting, fold: int | None = None) -> int:
        """Steps in a pass over the data with this setting."""
        return self.task(setting, fold).batches.steps

    def limit(self, setting: Setting, members: int) -> None:
        """Note that no more members than these fit into memory at once."""
        program = self.of(setting)
        with self._lock:
            self._limits[program] = min(members, self._limits.get(program, members))

    def fits(self, setting: Setting, members: int) -> bool:
        """Whether nothing is known against a block of so many members."""
        return members <= self._limits.get(self.of(setting), members)

    @property
    def at_once(self) -> int:
        """How many processes may train members that are alone; or any, on a cluster."""
        if self.workers is not None:
            return self.workers
        return torch.get_num_threads() if self.place.device.type == CPU else len(self.devices)

    def step_seconds(self, setting: Setting) -> float:
        """Of one member that is trained alone."""
        return self.way(setting).seconds

    def joined(self, origins: Sequence[tuple[BlockRow, int]], contents: Mapping[int, bytes]) -> tuple[int, bytes]:
        """The step and the checkpoint of a block of members that go on from where they stand in other blocks.

        Args:
            origins: the block and the place in it that each member comes from; the blocks share seed, fold and program.
            contents: the checkpoint of each of those blocks, by its number.
        """
        plan, (first, _) = self.plan, origins[0]
        epochs = plan.epochs_of(first.stage)
        task = self.task(first.settings[0], first.fold)
        block = Block(task, [plan.member(row.settings[at], row.seed) for row, at in origins], epochs)
        for row in {row.id: row for row, _ in origins}.values():
            old = Block(task, [plan.member(s, row.seed) for s in row.settings], epochs)
            old.load(load(contents[row.id]))
            block.adopt(old, [(k, at) for k, (source, at) in enumerate(origins) if source.id == row.id])
        return block.step, save(block.tensors())

    def blocks(
        self, settings: Sequence[Setting], seeds: Sequence[int], folds: Sequence[int | None] = (None,)
    ) -> list[tuple[int, list[Setting], int | None]]:
        """Each seed's and fold's settings, cut into blocks of about equal size that share a program: small enough for
        the cache, and at least as many as there are cores. Those with the most steps come first, so that no long
        one is begun last, and the very last are smaller, so that no core is left without one in the last turn."""
        plan, groups = self.plan, grouped(self.of, settings)
        repeats = list(itertools.product(seeds, folds))
        states = max(map(plan.states_of, settings))
        cores = 1 if isinstance(self.problem.train, DataLoader) else self.at_once

        def cuts(group: list[Setting], fewest: int = cores // (len(repeats) * len(groups))) -> list[list[Setting]]:
            size = self.most(group[0], states)
            size = min(size, self._limits.get(self.of(group[0]), size), FEW if self.alone(group[0]) else size)
            return [[group[k] for k in places] for places in cut([plan.member(s, 0) for s in group], size, fewest)]

        *longer, shortest = sorted(groups.values(), key=lambda g: -self.steps(g[0], folds[0]))
        before, usual = [block for group in longer for block in cuts(group)], cuts(shortest)
        spare = -len(repeats) * (len(before) + len(usual)) % cores
        blocks = [[*before, *usual]] * (len(repeats) - 1) + [[*before, *cuts(shortest, len(usual) + spare)]]
        return [(seed, block, fold) for (seed, fold), some in zip(repeats, blocks, strict=True) for block in some]

    def most(self, setting: Setting, states: int) -> int:
        """Members of a block whose optimizers keep so many states per weight."""
        problem = self.prepared(setting)
        outputs = problem.activations(self.structure(setting))
        activations = int(self.samples(setting) * outputs)
        return block_size(problem.weights, states, activations, self.room(), self.way(setting).size)

    def room(self) -> int | None:
        """Bytes that a block has on a GPU, or of the batches of a DataLoader, which are loaded once for all of its
        members; None else on a CPU, whose cache matters."""
        device = self.place.device
        if device.type != CPU:
            return free_memory(device) or 0
        return (free_memory() or MEMORY) // 2 if isinstance(self.problem.train, DataLoader) else None


def cut(members: Sequence[Member], size: int, fewest: int = 1) -> list[list[int]]:
    """The places of members that share a program, cut into blocks of about equal size with those of a formula side by
    side: at most `size` in each, and `fewest` blocks at least where there are as many members."""
    order = arranged(members)
    count = min(len(order), max(-(-len(order) // size), fewest))
    ends = np.linspace(0, len(order), count + 1).round().astype(int).tolist()
    return [order[a:b] for a, b in itertools.pairwise(ends)]


def samples_per_step(size: int | str, samples: int) -> int:
    return samples if size == FULL else int(size)


def built(problem: Prepared) -> nn.Module:
    """A model for its structure; the same each time, and no random state changes."""
    with RANDOM, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return problem.model()


def with_frozen(problem: Prepared, groups: ParameterGroups | None) -> Prepared:
    """The problem with a model that does not train what the groups freeze."""
    if groups is None:
        return problem  # several models have none
    structure = built(problem)
    groups.check(structure)
    if not groups.frozen:
        return problem
    less = sum(structure.get_parameter(name).numel() for name in groups.frozen)
    return replace(problem, model=Freezing(problem.model, groups.frozen), weights=problem.weights - less)
