"""Several hyperparameters, each with a schedule of its own: ``lr: cosine; momentum: ramp(end=0.95)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..arguments import declared
from ..errors import PlanError, UsageError
from .base import RobbinsMonro, Schedule
from .constant import Constant
from .names import one
from .vocabulary import Text

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

Given = str | Schedule | Mapping[str, Any]  # what a user may call a schedule by


def get(given: Given) -> Schedule:
    """The schedule of that name; with arguments, ``step(size=30, gamma=0.1)`` or ``warmup(cosine, steps=100)``.

    A mapping, or ``lr: cosine; momentum: ramp(end=0.95)``, gives each hyperparameter a schedule of its own.

    Raises:
        PlanError: an unknown name, or an argument that is not allowed.

    >>> get("cosine"), get("warmup(cosine, steps=100)").label
    (Cosine(end=0.0), 'warmup(cosine, steps=100)')
    """
    if isinstance(given, Mapping):
        return Several(given)  # pyright: ignore[reportArgumentType]
    if isinstance(given, str) and ":" in given:
        pairs = [pair.partition(":") for pair in given.split(";")]
        return Several([(name.strip(), schedule.strip()) for name, _, schedule in pairs])  # pyright: ignore
    return one(given)


def _read(what: str, value: Any, error: type[UsageError]) -> tuple[tuple[str, Schedule], ...]:
    pairs = tuple(value.items()) if isinstance(value, Mapping) else tuple(value)
    if not pairs:
        raise error(f"{what} is empty; give hyperparameters and schedules, e.g. {{'lr': 'cosine'}}.")
    schedules = {}
    for name, given in pairs:
        if not isinstance(name, str) or not name.isidentifier():
            raise error(
                "{what} has {name} where the name of a hyperparameter belongs, e.g. 'momentum'.",
                what=what,
                name=repr(name),
            )
        if isinstance(given, Several | Mapping) or (isinstance(given, str) and ":" in given):
            raise error(f"{what} gives {name} a schedule of several hyperparameters; give it one of its own.")
        if name in schedules:
            raise error(f"{what} names a hyperparameter twice; name each once.")
        schedules[name] = one(given)
        if name == "lr":
            schedules[name].on(("lr",))  # refuses values where factors are needed
    return tuple(schedules.items())


@dataclass(frozen=True, eq=False)
class Several(Schedule, listed=False):
    """Each hyperparameter by a schedule of its own; the others stay as they are.

    Args:
        schedules: hyperparameter → schedule, or its name. A rule that lacks one of them goes without it.

    >>> both = Several({"lr": "cosine", "momentum": "ramp(start=0.5, end=0.99)"})
    >>> both.label
    'lr: cosine; momentum: ramp'
    """

    name: ClassVar[str] = "several"
    schedules: tuple[tuple[str, Schedule], ...] = declared(_read, kind="mapping")

    @property
    def label(self) -> str:
        return "; ".join(f"{name}: {schedule.label}" for name, schedule in self.schedules)

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.schedules)

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return tuple(schedule for _, schedule in self.schedules)

    @property
    def closed(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return any(part.closed for part in self.parts)

    @property
    def _rate(self) -> Schedule:
        return dict(self.schedules).get("lr", Constant())

    def formula(self, t: Any, T: Any, m: Any) -> Any:
        raise PlanError(f"{self.label} moves several hyperparameters; ask each schedule for its own factor.")

    @property
    def robbins_monro(self) -> RobbinsMonro:
        return self._rate.robbins_monro

    def on(self, hyperparameters: Iterable[str]) -> Mapping[str, Schedule]:
        names = set(hyperparameters)
        others = {name: schedule for name, schedule in self.schedules if name in names and name != "lr"}
        return {**self._rate.on(names), **others}

    def own_class(self, T: Text) -> str:
        return self.by_label(T)

    def scheduler(self, optimizer: Optimizer, total: int, hyperparameter: str) -> LRScheduler:
        from .scheduler import Scheduler

        # torch's SGD and RMSprop have a momentum of 0 where they have none.
        momentum = ["momentum"] if optimizer.defaults.get("momentum") else []
        beta1 = ["beta1"] if "betas" in optimizer.defaults else []
        schedules = {**self._rate.on(momentum + beta1), **{n: one for n, one in self.schedules if n != "lr"}}
        return Scheduler(optimizer, schedules, total)

    def within(self, hyperparameters: Iterable[str]) -> Schedule:
        names = {"lr", *hyperparameters}
        pairs = [(name, schedule) for name, schedule in self.schedules if name in names]
        return Several(pairs) if pairs else Constant()  # pyright: ignore[reportArgumentType]
