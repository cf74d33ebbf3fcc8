"""Training loops of the user's own as members of a study: each run is a block of one member.

What is known of a run is what it reports. A report is a pass over the data; it becomes an event like those of a block,
so that store, halving, growth, confirmation, resumption and verdict are the same. A run that ends by itself before all
epochs stays at its last values, as one that early stopping has ended; one that diverged has no values from there on. A
run without a checkpoint that is stopped begins anew, with the same numbers.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from ..errors import ThalwegError, TrainingError, raised
from ..language import say
from ..plan.factors import Factor, Setting, shown
from ..plan.plan import Plan
from ..population.batches import RANDOM
from ..population.place import CPU, devices
from ..problem.command import Command
from ..problem.loop import Loop
from ..problem.reports import LOSS, RunEnded
from ..problem.run import Run, random_states
from ..store.file import ENDED, BlockRow
from .block_run import checkpoint_pause
from .memory import out_of_memory
from .messages import Ended, Event, Failed, Job, Passed, Saved, Steps, StopFlag, TooLarge, failed
from .programs import grouped

Tell = Callable[[Event], None]


class Loops:
    """The members of a study of a loop, where a problem has its `Programs`, whose attributes and methods they share."""

    restarts = True  # a run whose checkpoint is missing begins anew
    workers: int | None = None

    def __init__(self, plan: Plan, problem: Loop, text: str | None = None) -> None:
        """
        Args:
            text: of the loop as the study began.
        """
        self.plan, self.problem = plan, problem
        self.text = problem.text if text is None else text
        self.seconds: float | None = None  # of the fastest report in this process; None before one
        self.anew = True  # until one was seen that keeps checkpoints

    @property
    def all(self) -> Mapping[tuple[Any, ...], Sequence[Setting]]:
        return grouped(self.of, self.plan.settings)

    @property
    def notes(self) -> list[str]:
        what = f"Runs are of {self.problem.name}, {self.problem.what}, and a step is one report."
        over = f"{what} Its samples are not seen here, so intervals are over seeds alone, for its validation data."
        if self.text == self.problem.text:
            return [over]
        return [over, f"The text of {self.problem.name} has changed since the study began, so runs before may differ."]

    @property
    def opening(self) -> str:
        """What is known of the runs of the search before one has run."""
        plan, train = self.plan, self.problem.train
        one = say("runs") if plan.epochs == 1 else say("runs of {epochs:,} epochs", epochs=plan.epochs)
        runs = say("{runs:,} {one} for the search", runs=plan.runs, one=one)
        if isinstance(train, Command) and "seed" not in train.places:
            runs += say(", which are not told {seed} and cannot be repeated alike")
        return runs

    def wider(self, plan: Plan) -> Loops:
        other = Loops(plan, self.problem, self.text)
        other.seconds, other.anew, other.workers = self.seconds, self.anew, self.workers
        return other

    @property
    def unknown(self) -> bool:
        """Whether it has to be found out first whether processes are worth it; a command is one anyway."""
        return self.seconds is None and not self.problem.is_command

    @property
    def at_once(self) -> int:
        cores = torch.get_num_threads() if self.plan.device == CPU else len(devices(self.plan.device))
        return self.problem.workers or self.workers or cores

    def step_seconds(self, setting: Setting) -> float:
        return self.seconds or 0.0

    def of(self, setting: Setting) -> tuple[Any, ...]:
        return (self.plan.level(setting, "batch_size"),)

    def alone(self, setting: Setting) -> bool:
        return True

    def steps(self, setting: Setting, fold: int | None = None) -> int:
        return 1

    def fits(self, setting: Setting, members: int) -> bool:
        return True

    def limit(self, setting: Setting, members: int) -> None:
        """A run cannot be made smaller."""

    def blocks(
        self, settings: Sequence[Setting], seeds: Sequence[int], folds: Sequence[int | None] = (None,)
    ) -> list[tuple[int, list[Setting], int | None]]:
        return [(seed, [setting], fold) for seed, fold, setting in itertools.product(seeds, folds, settings)]

    def joined(self, origins: Sequence[tuple[BlockRow, int]], contents: Mapping[int, bytes]) -> tuple[int, bytes]:
        ((row, _),) = origins
        return row.step, contents[row.id]

    def costs(self, rows: Sequence[BlockRow]) -> dict[str, Any]:
        """What `measure_costs` gives: seconds for each report of an optimizer's runs, with everything between."""
        plan, update = self.plan, dict[str, float]()
        for label in plan.optimizers:
            ended = [row for row in rows if row.settings[0].optimizer == label and row.status in ENDED and row.step]
            if ended:
                update[label] = sum(row.seconds for row in ended) / sum(row.step for row in ended)
        regularizer = plan["regularizer"].levels[0]
        programs = [
            {"batch_size": size, "loss": None, "regularizer": regularizer, "seconds": 0.0} for size in plan.batch_sizes
        ]
        return {"seconds_per_step": dict(update), "update_seconds": update, "programs": programs}


def train(job: Job, loops: Loops, stop: StopFlag, tell: Tell) -> None:
    """Call the user's function for the one member of a block, and tell what it reports."""
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]).step()  # what PyTorch imports now is not the loop's time
    loop, reporter = loops.problem, _Reporter(job, loops, stop, tell)
    try:
        try:
            if loop.is_command:
                loop.train(reporter.run)
            else:
                with _alone(), loop.importable():
                    reporter.run.train(loop.train)
        except RunEnded:
            reporter.paused = not reporter.finished
        reporter.end()
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        tell(TooLarge() if out_of_memory(error) else Failed(_failure(error, loop), "repair it, then "))
    else:
        tell(Ended())


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Random states that are put back, one thread, and nothing on standard output, which belongs to the verdict."""
    with RANDOM:
        restore, threads = random_states(), torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            torch.set_num_threads(threads)
            restore()


class _Reporter:
    """Turns the reports of one run into events."""

    def __init__(self, job: Job, loops: Loops, stop: StopFlag, tell: Tell) -> None:
        self.job, self.loops, self.plan, self.stop, self.tell = job, loops, loops.plan, stop, tell
        plan, setting = self.plan, job.settings[0]
        self.run = Run(
            plan.formulas[setting.optimizer],
            setting.lr,
            plan.schedule(setting),
            job.seed,
            job.epochs,
            plan.level(setting, "batch_size"),
            plan.changes(setting),
            plan.device,
        )
        self.run._tell, self.run.stopping = self.heard, stop.is_set
        if job.checkpoint is not None:
            self.run._saved = load(job.checkpoint)
        self.paused = self.finished = self.begun = False
        self.values: dict[str, float] = {}
        self.last = self.last_saved = time.monotonic()
        self.pause = checkpoint_pause(job)

    def heard(self, run: Run) -> bool:
        """Tell a report, and whether the run goes on."""
        self.check()
        if not self.begun:
            self.begun = True
            self.tell(Steps(run.done - 1, 1))
        self.loops.seconds = min(self.loops.seconds or math.inf, time.monotonic() - self.last)
        tested = "test" in self.job.parts  # by no other run are values of the test part recorded
        self.values = {n: value for n, value in run.reports[-1].items() if tested or not n.startswith("test_")}
        judged = [self.values[name] for name in {self.plan.criterion.column, LOSS} if name in self.values]
        lost = not all(map(math.isfinite, judged))
        self.finished = lost or run.done == self.job.epochs
        self._pass(run.done, run.done if lost else -1, run.done == self.job.epochs)
        if lost:
            self._fill(dict.fromkeys(self.values, math.nan), run.done)
        if self.finished:
            return False
        self.paused = run.done == self.job.until or self.stop.is_set()
        if run.kept and (self.paused or time.monotonic() - self.last_saved > self.pause):
            self._save()
        return not self.paused

    def end(self) -> None:
        """The function has returned, or was ended."""
        run = self.run
        if not (run.done or self.paused):
            raise TrainingError("it ends without a report; call run.report(validation_loss=…) after each epoch")
        self._check_use()
        if not (self.finished or self.paused):  # by itself
            self._fill(self.values | {"trained_steps": self.values.get("trained_steps", run.done)}, -1)

    def check(self) -> None:
        """Refuse reports that lack what runs are judged by."""
        column, reported = self.plan.criterion.column, self.run.reports[-1]
        if column not in reported:
            names = ", ".join(reported)
            metric = next((n.removeprefix("validation_") for n in reported if n.startswith("validation_")), "loss")
            raise TrainingError(
                f"it reports {names} and not {column}, by which runs are judged; report that, or give "
                f"by_metric={metric!r}."
            )

    def _check_use(self) -> None:
        """Refuse a loop that leaves something unused that the study varies: its levels would all be trained alike."""
        optimizer = self.job.settings[0].optimizer
        for factor in self.plan.factors:
            if factor.varied and factor.applies(optimizer) and factor.name not in self.run.used:
                raise TrainingError(_unused(factor))

    def _pass(self, step: int, diverged: int, finished: bool) -> None:
        now = time.monotonic()
        values = {name: np.array([value]) for name, value in self.values.items()}
        self.tell(Passed(step, values, np.array([diverged]), now - self.last, finished))
        self.tell(Steps(step, int(diverged < 0)))
        self.last = now

    def _fill(self, values: dict[str, float], diverged: int) -> None:
        """The values of all epochs that the run does not have."""
        done, self.values = self.run.done, values
        for step in range(done + 1, self.job.epochs + 1):
            self._pass(step, done if diverged >= 0 else -1, step == self.job.epochs)
        self.finished = True

    def _save(self) -> None:
        start = time.monotonic()
        content = save(self.run.saved())
        self.tell(Saved(self.run.done, content))
        self.last_saved = time.monotonic()
        self.pause = checkpoint_pause(self.job, self.last_saved - start, len(content))


_USES = {
    "optimizer": ("run.optimizer(params)", "name one optimizer"),
    "lr": ("run.optimizer(params), nor reads run.lr", "give one rate"),
    "schedule": ("run.scheduler(optimizer)", "give schedules=['constant']"),
    "batch_size": ("run.batch_size", "give one batch size"),
}


def _unused(factor: Factor) -> str:
    usual = (f"run.hyperparameters[{factor.name!r}]", f"leave {factor.name} out of hyperparameters")
    call, instead = _USES.get(factor.name, usual)
    levels = ", ".join(map(shown, factor.levels[:3])) + ", …" * (len(factor.levels) > 3)
    return f"it never asks for {call}, so {factor.kind.many} {levels} are trained alike; ask for it, or {instead}."


def _failure(error: BaseException, loop: Loop) -> TrainingError:
    """What the user's function raised, with its own file and line."""
    if isinstance(error, ThalwegError):
        return failed(f"a run of {loop.name} failed: {str(error).rstrip('.')}", error.__cause__)
    return failed(f"{loop.name} fails with {raised(error)}", error)
