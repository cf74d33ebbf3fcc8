"""Several hyperparameters, each with a schedule of its own: ``lr: cosine; momentum: ramp(end=0.95)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import PlanError
from .base import RobbinsMonro, Schedule, checked_total
from .vocabulary import Text

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


def _read(what: str, value: Any) -> tuple[tuple[str, Schedule], ...]:
    from .names import get

    pairs = tuple(value.items()) if isinstance(value, Mapping) else tuple(value)
    if not pairs:
        raise PlanError(f"{what} is empty; give hyperparameters and schedules, e.g. {{'lr': 'cosine'}}.")
    found = []
    for name, one in pairs:
        if not isinstance(name, str) or not name.isidentifier():
            raise PlanError(f"{what} has {name!r} where the name of a hyperparameter belongs, e.g. 'momentum'.")
        schedule = get(one)
        if isinstance(schedule, Several):
            raise PlanError(f"{what} gives {name} a schedule of several hyperparameters; give it one of its own.")
        if name == "lr":
            schedule.on(("lr",))  # refuses what is no factor
        found.append((name, schedule))
    if len({name for name, _ in found}) < len(found):
        raise PlanError(f"{what} names a hyperparameter twice; name each once.")
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Several(Schedule):
    """Each hyperparameter by a schedule of its own; the others stay as they are.

    Args:
        schedules: hyperparameter → schedule, or its name. A rule that lacks one of them goes without it.

    >>> both = Several({"lr": "cosine", "momentum": "ramp(start=0.5, end=0.99)"})
    >>> both.label
    'lr: cosine; momentum: ramp'
    """

    name: ClassVar[str] = "several"
    schedules: tuple[tuple[str, Schedule], ...] = field(metadata={"kind": "mapping", "read": _read})

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return tuple(schedule for _, schedule in self.schedules)

    @property
    def closed(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return any(part.closed for part in self.parts)

    @property
    def _rate(self) -> Schedule:
        from .constant import Constant

        return dict(self.schedules).get("lr", Constant())

    def formula(self, t: Any, T: Any, m: Any) -> Any:
        raise PlanError(f"{self.label} moves several hyperparameters; ask each schedule for its own factor.")

    @property
    def decay(self) -> float | None:
        return self._rate.decay

    @property
    def robbins_monro(self) -> RobbinsMonro:
        return self._rate.robbins_monro

    def on(self, hyperparameters: Iterable[str]) -> Mapping[str, Schedule]:
        known = set(hyperparameters)
        moved = dict(self._rate.on(known))
        return moved | {name: one for name, one in self.schedules if name in known and name != "lr"}

    def written(self, T: Text) -> str:
        if not self.writable:
            raise PlanError(f"{self.label} has a function of your own, which no script can find again.")
        return f"tw.schedules.get({self.label!r}).torch(optimizer, {T})"

    def torch(self, optimizer: Optimizer, total_steps: int, hyperparameter: str = "lr") -> LRScheduler:
        from .scheduler import Scheduler

        self.check(checked_total(total_steps))
        # torch's SGD and RMSprop have a momentum of 0 where they have none.
        momentum = ["momentum"] if optimizer.defaults.get("momentum") else []
        beta1 = ["beta1"] if "betas" in optimizer.defaults else []
        moved = {**self._rate.on(momentum + beta1), **{n: one for n, one in self.schedules if n != "lr"}}
        return Scheduler(optimizer, moved, total_steps)

    def within(self, hyperparameters: Iterable[str]) -> Schedule:
        """The same for a rule that has these alone."""
        from .constant import Constant

        known = {"lr", *hyperparameters}
        kept = [(name, one) for name, one in self.schedules if name in known]
        return Several(kept) if kept else Constant()  # pyright: ignore[reportArgumentType]
