"""One run of a training loop of the user's own: what it is to train with, and where it reports.

The engine makes a `Run` for each member and calls the user's function with it; anybody may make one to try the function
out, or to train with a setting that a study has chosen. Each report is the end of an epoch. Where the run is to end
there, because it has lost or time is up, `report` raises `RunEnded`, which no `except Exception` catches.
"""

from __future__ import annotations

import random
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .. import formulas, schedules
from ..errors import PlanError, TrainingError
from ..formulas import Formula
from ..formulas.opaque import Opaque, needs_closure
from ..formulas.registry import torch_class
from ..language import say
from ..numbers import COUNT, Range
from ..optim.classes import from_formula
from ..population.packing import packed, unpacked
from ..population.place import CPU, check_device, devices
from ..schedules import Given
from .reports import RunEnded, column, number


class Run:
    """What a training loop of your own is given: the candidate's optimizer, schedule and numbers, and `report`.

    Global seeds (Python, NumPy, PyTorch) are those of `seed` when the function is called; members of one seed start
    alike.

    Args:
        optimizer: a name, formula, class or function (params, lr) → optimizer, as `tw.compare` takes them.
        lr: the learning rate.
        schedule: a name or schedule, as `tw.compare` takes them.
        seed: of the run.
        epochs: reports that a whole run makes.
        batch_size: samples per step, for a loop that asks for it.
        hyperparameters: those of the optimizer and of your own.
        device: as `tw.compare` takes it; of several GPUs the first.

    Attributes:
        device: ``torch.device``; where the loop is to train.
        lr, seed, batch_size, hyperparameters: as given.
        epochs: ``range`` of the epochs that are still to be trained: all of them, or after a restored `checkpoint`
            the rest.
        reports: those made so far, as mappings of numbers by name.
        stopping: a function that says whether the study is being stopped, so that the next report ends the run.

    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> run = Run("adam", lr=0.1, schedule="cosine", epochs=2)
    >>> optimizer = run.optimizer([weight])
    >>> scheduler = run.scheduler(optimizer)
    >>> for epoch in run.epochs:
    ...     optimizer.zero_grad()
    ...     (weight**2).sum().backward()
    ...     optimizer.step()
    ...     scheduler.step()
    ...     run.report(validation_loss=(weight**2).sum())
    >>> type(optimizer).__name__, [round(report["validation_loss"], 4) for report in run.reports]
    ('Adam', [1.62, 1.4457])
    """

    def __init__(
        self,
        optimizer: str | Formula | Any = "adam",
        lr: float = 1e-3,
        schedule: Given = "constant",
        seed: int = 0,
        epochs: int = 20,
        batch_size: int | str = 64,
        hyperparameters: Mapping[str, Any] | None = None,
        device: str = CPU,
    ) -> None:
        named = isinstance(optimizer, str | Formula)
        self._formula = formulas.get(optimizer) if named else formulas.of(optimizer)
        self._schedule = schedules.get(schedule)
        self._lr, self.seed, self._size = Range(0).check("lr", lr, PlanError), seed, batch_size
        self._epochs = COUNT.check("epochs", epochs, PlanError)
        self._hyperparameters = dict(hyperparameters or {})
        self.device = devices(check_device(device))[0]
        self.reports: list[dict[str, float]] = []
        self.used: set[str] = set()  # factors of the study that the function has asked for
        self.ended = False
        self._things: tuple[Any, ...] = ()
        self._saved: Mapping[str, Tensor] | None = None
        self._done = 0  # epochs before the checkpoint
        self._tell: Callable[[Run], bool] = lambda _: True
        self.stopping: Callable[[], bool] = bool

    @property
    def told(self) -> dict[str, Any]:
        """All that a run is told, by name: optimizer and schedule as they are called, lr, seed, epochs, batch_size and
        hyperparameters."""
        names = {"optimizer": self._formula.label, "lr": self._lr, "schedule": self._schedule.label, "seed": self.seed}
        return {**names, "epochs": self._epochs, "batch_size": self._size, **self._hyperparameters}

    @property
    def lr(self) -> float:
        """The learning rate."""
        self.used.add("lr")
        return self._lr

    @property
    def batch_size(self) -> int | str:
        """Samples per step; "full" for all of them."""
        self.used.add("batch_size")
        return self._size

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The values of what the study varies beyond optimizer, rate, schedule and batch size."""
        self.used |= self._hyperparameters.keys()
        return _Told(self._hyperparameters)

    @property
    def epochs(self) -> range:
        """The epochs that are still to be trained, counted from 0."""
        return range(self._done, self._epochs)

    def optimizer(self, params: Iterable[Any]) -> Optimizer:
        """The candidate's optimizer of these parameters, or groups of them: torch.optim's class where it has one that
        is the same rule, `tw.optim`'s for others, or your own."""
        rule = self._formula
        changes = {n: v for n, v in self._hyperparameters.items() if n in rule.arguments}
        rule = rule.with_(**changes) if changes else rule
        self.used |= {"optimizer", "lr", *rule.arguments}  # also those at their defaults
        if isinstance(rule, Opaque):
            return _asking(rule.build(list(params), lr=self._lr))
        drop_in = torch_class(rule)
        if drop_in is not None:
            return getattr(torch.optim, drop_in.name)(params, **drop_in.arguments(rule, lr=self._lr))
        return from_formula(rule)(params, lr=self._lr)

    def scheduler(self, optimizer: Optimizer, total_steps: int | None = None) -> LRScheduler:
        """The candidate's schedule of that optimizer, as torch's own class where it has one that is equal.

        Args:
            total_steps: how often the loop calls `step()` of it in a whole run; once for each epoch unless given.
        """
        self.used.add("schedule")
        schedule = self._schedule.within(self._formula.hyperparameters)
        steps = self._epochs if total_steps is None else total_steps
        return schedule.torch(optimizer, steps, epochs=self._epochs)

    def checkpoint(self, *things: Any) -> bool:
        """Go on where a run that was stopped has left off, and keep these things with every report from now on.

        `epochs` is then the rest. Global random states are kept as well. Call it once, before the loop.

        Args:
            things: whatever has `state_dict` and `load_state_dict` (model, optimizer, scheduler), and dicts of numbers,
                words and tensors, which are updated in place.

        Returns:
            Whether there was something to go on from.

        Raises:
            TrainingError: a thing that has no state to keep.
        """
        for thing in things:
            if not (isinstance(thing, dict) or hasattr(thing, "load_state_dict")):
                raise TrainingError(
                    "run.checkpoint was given something of type {kind}; give what has a state_dict, or a dict.",
                    kind=type(thing).__name__,
                )
        self._things = things
        if self._saved is None:
            return False
        *states, own = unpacked(self._saved)
        for thing, state in zip(things, states, strict=True):
            if isinstance(thing, dict):
                thing.clear()
                thing.update(state)
            else:
                thing.load_state_dict(state)
        self._done = own["done"]
        _set_random(own["random"])
        return True

    def train(self, function: Callable[[Run], Any]) -> list[dict[str, float]]:
        """Seed the global generators and call the function with this run; its reports."""
        seed_all(self.seed)
        function(self)
        return self.reports

    def lightning_callback(self, monitor: str = "val_loss") -> Any:
        """For ``Trainer(max_epochs=len(run.epochs), callbacks=[…])`` of Lightning: reports what the module has logged
        after each epoch with a validation, and lets the Trainer stop where the run is to end.

        ``configure_optimizers`` returns ``run.optimizer(self.parameters())``. Names beginning with val_ are of the
        validation part, those beginning with train_ of the training part.

        Args:
            monitor: the name of the validation loss.

        Raises:
            WorkError: Lightning is missing.
        """
        from . import lightning

        return lightning.callback(self, monitor)

    def transformers_callback(self) -> Any:
        """For ``Trainer(…, callbacks=[…])`` of transformers: reports each evaluation during training, and lets the
        Trainer stop where the run is to end.

        Its arguments are ``num_train_epochs=len(run.epochs), eval_strategy="epoch"``, and its ``optimizers``
        ``(optimizer, run.scheduler(optimizer, total_steps))`` of ``optimizer = run.optimizer(model.parameters())``.

        Raises:
            WorkError: transformers is missing.
        """
        from . import transformers

        return transformers.callback(self)

    @property
    def left(self) -> int:
        """Reports that are still to be made."""
        return self._epochs - self.done

    @property
    def kept(self) -> bool:
        """Whether the loop keeps checkpoints."""
        return bool(self._things)

    def saved(self) -> dict[str, Tensor]:
        """What `checkpoint` restores, as named tensors."""
        states = [dict(thing) if isinstance(thing, dict) else thing.state_dict() for thing in self._things]
        own = {"done": self.done, "random": _random()}
        return {name: t.cpu().contiguous().clone() for name, t in packed([*states, own]).items()}

    @property
    def done(self) -> int:
        """Epochs that are trained."""
        return self._done + len(self.reports)

    def report(self, step: int | None = None, **values: Any) -> None:
        """The values after an epoch: a `validation_loss`, and whatever else is to be seen: `accuracy`, `train_loss`.

        A name without train_, validation_ or test_ is of the validation part. Values of the test part are kept for the
        fresh runs of a confirmation alone. A value that is not finite, of what the study judges by, is a run that
        diverged, and ends it.

        Args:
            step: of the optimizer, where that is to be seen too.
            values: numbers, or tensors of one.

        Raises:
            RunEnded: the run is to end here. Let it pass.
            TrainingError: more reports than epochs, or a value that is not a number.
        """
        if self.ended:
            raise RunEnded
        if self.done >= self._epochs:
            raise TrainingError(
                f"it reports {self.done + 1} times, and a run has {self._epochs} epochs; report once for each epoch of "
                f"run.epochs, or give epochs={self.done + 1}."
            )
        numbers = {column(name): number(name, value) for name, value in values.items()}
        if not numbers:
            raise TrainingError("run.report was given no values; give it a validation_loss.")
        if step is not None:
            numbers["trained_steps"] = number("step", step)
        self.reports.append(numbers)
        if not self._tell(self):
            self.ended = True
            raise RunEnded


class _Told(dict[str, Any]):
    """Hyperparameters by name; one that is not there says how to declare it."""

    def __missing__(self, name: str) -> Any:
        raise TrainingError(
            "run.hyperparameters has no {name} (declared: {names}); declare it in compare, "
            "hyperparameters={{{name}: […, …]}}, or in tw.Run, hyperparameters={{{name}: …}}.",
            name=repr(name),
            names=", ".join(self) or say("none"),
        )


def _asking(optimizer: Optimizer) -> Optimizer:
    """The optimizer, whose step says so where it lacks the closure that it needs."""
    if not needs_closure(optimizer):
        return optimizer
    step = optimizer.step

    def asked(_: Optimizer, *given: Any, **named: Any) -> Any:
        if not (given or named):
            raise TrainingError(
                "{name} computes the loss itself, several times a step; give it a function that clears the "
                "gradients, computes the loss, calls backward() and returns the loss: optimizer.step(closure).",
                name=type(optimizer).__name__,
            )
        return step(*given, **named)

    optimizer.step = types.MethodType(asked, optimizer)  # a method, as torch's schedulers expect
    return optimizer


def seed_all(seed: int) -> None:
    """Seed the global generators of Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002, which users' code draws from
    torch.manual_seed(seed)


def _random() -> dict[str, Any]:
    """The state of the global generators, as plain values and tensors."""
    version, internal, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {
        "python": [version, list(internal), gauss],
        "numpy": [str(kind), np.asarray(keys).tolist(), *rest],
        "torch": [torch.get_rng_state(), *devices],
    }


def _set_random(state: Mapping[str, Any]) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    first, *devices = state["torch"]
    torch.set_rng_state(first)
    if devices and len(devices) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(devices)


def random_states() -> Callable[[], None]:
    """A function that puts the global generators back to where they are now."""
    state = _random()
    return lambda: _set_random(state)
