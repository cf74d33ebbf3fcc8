"""The batched programs of a study: what members must share to be trained as one."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from ..population.batched import Batched
from ..population.batches import RANDOM, Batches, LoaderBatches, TensorBatches
from ..population.block import Task
from .factors import FULL, Setting
from .plan import Plan
from .prepare import Prepared

Program = tuple[Any, ...]


class Programs:
    """The batched programs of a study: one for each batch size, loss and kind of regularizer.

    Members whose settings differ in nothing else share a program, so only a block whose members share one
    can be trained as one.
    """

    def __init__(self, plan: Plan, problem: Prepared) -> None:
        self.plan, self.problem = plan, problem
        self._batched: dict[Any, Batched] = {}
        self._tasks: dict[Program, Task] = {}
        self._lock = threading.Lock()

    def of(self, setting: Setting) -> Program:
        """What tells the setting's program from others."""
        found = self.plan["regularizer"].found[self.plan.level(setting, "regularizer")]
        kind = None if found is None else found.program
        return self.plan.level(setting, "batch_size"), self.plan.level(setting, "loss"), kind

    def task(self, setting: Setting) -> Task:
        """The problem as the setting's block trains it."""
        program = size, loss, _ = self.of(setting)
        with self._lock:
            if program not in self._tasks:
                self._tasks[program] = Task(
                    self.problem.model, self._gradients(loss), self._batches(size), self.problem.validation
                )
            return self._tasks[program]

    def _gradients(self, loss: Any) -> Batched:
        """Programs that differ in batch size alone share what is traced."""
        if loss not in self._batched:
            problem = self.problem
            trained = problem.loss if loss is None else self.plan["loss"].found[loss]
            self._batched[loss] = Batched(built(problem), trained, problem.metrics, problem.loss)
        return self._batched[loss]

    def _batches(self, size: int | str) -> Batches:
        train = self.problem.train
        if isinstance(train, DataLoader):
            return LoaderBatches(train)
        return TensorBatches(*train, len(train[0]) if size == FULL else int(size))

    def samples(self, setting: Setting) -> int:
        """Samples in the largest batch of the setting."""
        batches = self.task(setting).batches
        if isinstance(batches, TensorBatches):
            return batches.batch_size
        return getattr(self.problem.train, "batch_size", None) or 1


def built(problem: Prepared) -> nn.Module:
    """A model for its structure; the same each time, and nobody's random numbers change."""
    with RANDOM, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return problem.model()


def dtype_of(problem: Prepared) -> torch.dtype:
    return next(p for p in built(problem).parameters() if p.requires_grad).dtype
