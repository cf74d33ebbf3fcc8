"""What a schedule is: a formula in t and T, written once, from which its numbers and its code are made.

An *open* schedule is a function of the step alone and has a `factor`; a *closed-loop* one follows a measured loss
(`plateau.py`). A schedule multiplies its hyperparameter, unless it is `absolute` and gives the values themselves.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import calls
from ..arguments import Declared
from ..errors import PlanError
from ..language import mark, say
from ..numbers import Range
from .vocabulary import NUMBERS, PYTHON, Code, Text, listed

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

Factor = Any  # an array, or Text
LENGTHS = ("length", "milestones")  # kinds of fields that may be in epochs


@dataclass(frozen=True)
class Epochs:
    """A length in passes over the data; how many steps that is, a run with its epochs says.

    >>> Epochs(10), Epochs(0.5)
    (10 epochs, 0.5 epochs)
    """

    count: float

    def __repr__(self) -> str:
        return f"{self.count:g} epochs"

    def __lt__(self, other: Epochs) -> bool:
        return self.count < other.count

    def of(self, epochs: int, total: Any) -> Any:
        """In steps of a run of so many epochs and steps; of a text, text."""
        if isinstance(total, Text):
            return Text.of(PYTHON.round(self.count * total / epochs))
        return max(1, round(self.count * total / epochs))


@dataclass(frozen=True)
class RobbinsMonro:
    """Whether Ση = ∞ and Ση² < ∞, under which stochastic approximation converges; true if both hold.

    Source: Robbins & Monro 1951, A stochastic approximation method, eqs. 26 and 27.
    """

    sum_diverges: bool | None
    squares_converge: bool | None
    message: str
    values: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.sum_diverges and self.squares_converge)

    def __str__(self) -> str:
        return f"{say('yes') if self else say('no')}: {say(self.message, **self.values)}"

    @property
    def reason(self) -> str:
        """In English."""
        return self.message.format(**self.values)


@dataclass(frozen=True, eq=False)
class Schedule(Declared, ABC):
    """A factor on a hyperparameter, as a function of the step (counted from 0) and of the total.

    Attributes:
        counterpart: the class of torch.optim.lr_scheduler that it agrees with, if there is one.
        sample: a function to show it with, where it is made of one.
        closed: whether it follows a measured loss, and so has no `factor`.
        absolute: whether it gives the hyperparameter's values and not factors on them.
        restarts: whether torch's own class of it may follow another in a SequentialLR.
        multiplies: whether torch's own class of it multiplies what it finds, as ChainedScheduler needs.
        exponent: its `decay`, where that is the same whatever the arguments.
    """

    error = PlanError
    registry: ClassVar[dict[str, type[Schedule]]] = {}
    counterpart: ClassVar[str] = ""
    sample: ClassVar[Callable[[int], float] | None] = None
    closed: ClassVar[bool] = False
    absolute: ClassVar[bool] = False
    restarts: ClassVar[bool] = True
    multiplies: ClassVar[bool] = False
    exponent: ClassVar[float | None] = None

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key == getattr(other, "_key", None)

    def __hash__(self) -> int:
        return hash((type(self), self._key))

    @property
    def _key(self) -> tuple[Any, ...]:
        """The arguments with their types: one step is not the whole run, though 1 == 1.0."""
        values = [getattr(self, f.name) for f in fields(self)]
        return tuple((type(value), value) for value in values)

    @abstractmethod
    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        """The factor at step `t` of `T`, in the operators and functions of the vocabulary `m`."""

    @property
    def decay(self) -> float | None:
        """p if the rate falls like t⁻ᵖ in a run without end (0 if not at all, ∞ if faster than any power);
        None if the schedule ends with the run, nan if it cannot be known."""
        return self.exponent

    def factor(self, step: Any, total: int | None = None) -> np.ndarray:
        """The factor at each step (counted from 0) of a run of `total` steps; float64.

        Shaped like `step`, after (members,) if an argument has a value for each member.

        Raises:
            PlanError: a negative step, a total that is missing where it is needed, or does not fit.
        """
        t = np.asarray(step, dtype=np.float64)
        if (t < 0).any():
            raise PlanError("step {step} is not allowed: steps are counted from 0.", step=f"{t.min():g}")
        T = _Missing(self) if total is None else checked_total(total)
        if total is not None:
            self.check(total)
        with np.errstate(all="ignore"):  # branches that `where` does not take
            factors = self._columns(t.ndim).formula(t, T, NUMBERS)
        shape = np.broadcast_shapes(np.shape(factors), t.shape)
        return np.array(np.broadcast_to(factors, shape), dtype=np.float64)

    def over(self, epochs: int, total: Any) -> Schedule:
        """Itself with lengths in epochs as steps of a run of so many epochs and steps in all.

        >>> from thalweg.schedules import get
        >>> get("step(size=10 epochs)").over(epochs=30, total=600)
        Step(size=200, gamma=0.1)
        """

        def resolved(kind: str, value: Any) -> Any:
            if isinstance(value, tuple):
                several = tuple(resolved(kind, one) for one in value)
                return several if any(a is not b for a, b in zip(several, value, strict=True)) else value
            if isinstance(value, Schedule):
                return value.over(epochs, total)
            return value.of(epochs, total) if isinstance(value, Epochs) else value

        return self._changed(resolved, _source=(self, epochs))

    def _changed(self, change: Callable[[str, Any], Any], **more: Any) -> Any:
        """Itself with what `change` makes of the kind and the value of each argument; no copy where all stay."""
        given = {f.name: (f.metadata["kind"], getattr(self, f.name)) for f in fields(self)}
        changed = {name: new for name, (kind, value) in given.items() if (new := change(kind, value)) is not value}
        if not changed:
            return self
        copied = copy.copy(self)
        for name, value in {**changed, **more}.items():
            object.__setattr__(copied, name, value)
        return copied

    def code(self, total: str = "total_steps", epochs: int | None = None) -> str:
        """The same schedule of the rate as a torch.optim.lr_scheduler expression in `optimizer` and `total_steps`.

        torch's own class where it has one that is equal, else LambdaLR with the formula.

        Args:
            epochs: of the run, for lengths in epochs.
        """
        T = Text.name(total)
        return (self if epochs is None else self.over(epochs, T)).written(T)

    def written(self, T: Text) -> str:
        """`code` for a run whose length is this text."""
        self.for_one_member()
        if not self.writable:
            raise PlanError(
                f"{self.label} has a function of your own, which no script can find again; "
                "hand it to a torch optimizer with schedule.torch(optimizer, total_steps)."
            )
        if self.absolute:
            return self.by_label(T)
        return self.own_class(T) or f"lr_scheduler.LambdaLR(optimizer, lambda t: {self.text(T)})"

    def text(self, T: Text) -> Text:
        """The formula as Python text in ``t``."""
        return Text.of(self.formula(Text.name("t"), T, PYTHON))

    def own_class(self, T: Text) -> str | None:
        """torch's own class as code, where it has one that is equal."""
        arguments = self.torch_arguments(T)
        if arguments is None:
            return None
        pairs = (f"{name}={v if isinstance(v, Text | Code) else repr(v)}" for name, v in arguments.items())
        return f"lr_scheduler.{self.counterpart}(optimizer, {', '.join(pairs)})"

    def torch_arguments(self, T: Text) -> Mapping[str, Any] | None:
        """Those of the counterpart, where it is equal: the same, under the names that it has for them."""
        if not self.counterpart or not self.writable:
            return None
        values = {f.name: _in_steps(getattr(self, f.name), f.metadata["kind"], T) for f in fields(self)}
        renamed = {theirs: values.pop(ours) for theirs, ours in self.elsewhere.items()}
        return {**renamed, **values}

    def by_label(self, T: Text) -> str:
        """The code of what thalweg alone can say."""
        given, epochs = getattr(self, "_source", (self, 0))
        return f"tw.schedules.get({given.label!r}).torch(optimizer, {T}{f', epochs={epochs}' if epochs else ''})"

    def torch(
        self, optimizer: Optimizer, total_steps: int, hyperparameter: str = "lr", epochs: int | None = None
    ) -> LRScheduler:
        """The same schedule for a torch optimizer; call its `step()` after every `optimizer.step()`.

        Args:
            hyperparameter: of the parameter groups, e.g. momentum, weight_decay, or beta2 of ``betas``.
            epochs: of the run, for lengths in epochs.
        """
        checked_total(total_steps)
        if epochs is not None:
            return self.over(epochs, total_steps).torch(optimizer, total_steps, hyperparameter)
        self.check(total_steps)
        return self.scheduler(optimizer, total_steps, hyperparameter)

    def scheduler(self, optimizer: Optimizer, total: int, hyperparameter: str) -> LRScheduler:
        """`torch` for a run that the schedule fits into."""
        if hyperparameter != "lr" or self.absolute or not self.writable:
            from .scheduler import Scheduler

            return Scheduler(optimizer, {hyperparameter: self}, total)
        from torch.optim import lr_scheduler

        names: dict[str, Any] = {"lr_scheduler": lr_scheduler, "math": math}
        names |= {"optimizer": optimizer, "total_steps": total}
        return eval(self.code(), names)  # text that this package wrote, of numbers that it checked

    def on(self, hyperparameters: Iterable[str]) -> Mapping[str, Schedule]:
        """Which hyperparameters of a rule that has these it moves, and how each."""
        if self.absolute:
            raise PlanError(
                f"{self.label} gives values, not factors on the rates that are compared; name the hyperparameter "
                f"it is for, e.g. 'momentum: {self.label}', or take linear for the rate."
            )
        return {"lr": self}

    def within(self, hyperparameters: Iterable[str]) -> Schedule:
        """The same for a rule that has these alone."""
        return self

    def check(self, total: int) -> None:
        """Refuse a run that the schedule does not fit into."""
        for part in self.parts:
            part.check(total)

    @property
    def parts(self) -> tuple[Schedule, ...]:
        """The schedules it is made of."""
        given = (getattr(self, f.name) for f in fields(self) if f.metadata["kind"] == "part")
        return tuple(part for value in given for part in (value if isinstance(value, tuple) else (value,)))

    @property
    def depth(self) -> int:
        """How many schedules are within each other."""
        return 1 + max((part.depth for part in self.parts), default=0)

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """Those that it names itself, beside those that `on` moves."""
        return ()

    @property
    def writable(self) -> bool:
        """Whether it can be said in code: a function of your own cannot."""
        return all(part.writable for part in self.parts)

    @property
    def label(self) -> str:
        """Name and what differs from the defaults; `thalweg.schedules.get` finds the schedule again by it."""
        inside, usual = [], True
        for f in fields(self):
            value, kind = getattr(self, f.name), f.metadata["kind"]
            differs = value != f.default or type(value) is not type(f.default)
            usual = usual and not differs
            if kind == "part":
                inside += [part.label for part in (value if isinstance(value, tuple) else (value,))]
            elif kind == "function":
                inside.append(getattr(value, "__qualname__", type(value).__name__))
            elif differs:  # a length has its point, because 1.0 is the whole run and 1 a step
                inside.append(f"{f.name}={repr(value) if kind in LENGTHS else calls.literal(value)}")
        return self.name if usual else f"{self.name}({', '.join(inside)})"

    def __str__(self) -> str:
        return self.label

    @property
    def robbins_monro(self) -> RobbinsMonro:
        """Whether a run without end under it would satisfy Ση = ∞ and Ση² < ∞, with the reason."""
        p = self.decay
        if p is None:
            return RobbinsMonro(None, None, mark("ends with the run, and the conditions speak of one without end"))
        if math.isnan(p):
            return RobbinsMonro(None, None, mark("a function of your own, of which this cannot be known"))
        if p == math.inf:
            return RobbinsMonro(False, True, mark("falls so fast that Ση is finite"))
        if p == 0:
            return RobbinsMonro(True, False, mark("does not fall to 0, so that Ση² = ∞"))
        how = "1/t" if p == 1 else "1/√t" if p == 0.5 else f"t^−{p:g}"
        sums = {"sum": "Ση = ∞" if p <= 1 else "Ση < ∞", "squares": "Ση² < ∞" if p > 0.5 else "Ση² = ∞"}
        return RobbinsMonro(p <= 1, p > 0.5, mark("falls like {how}: {sum} and {squares}"), {"how": how, **sums})

    def _columns(self, axes: int) -> Any:
        """Itself with every (members,) argument as a column against the axes of the steps."""

        def column(kind: str, value: Any) -> Any:
            if kind == "part":
                return tuple(one._columns(axes) for one in value) if isinstance(value, tuple) else value._columns(axes)
            return np.array(value).reshape(-1, *[1] * axes) if kind == "number" and isinstance(value, tuple) else value

        return self._changed(column)

    def for_one_member(self) -> None:
        """Refuse a schedule of several members where one is needed."""
        for f in fields(self):
            value = getattr(self, f.name)
            if f.metadata["kind"] == "number" and isinstance(value, tuple):
                raise PlanError(
                    "{label}: {f} has a value for each of {count} members, and code and pictures are for one; "
                    "give it one value.",
                    label=self.label,
                    f=f.name,
                    count=len(value),
                )
        for part in self.parts:
            part.for_one_member()


def checked_total(total: Any) -> int:
    """The number of steps of a run, or a sentence."""
    return Range(1, whole=True, unit="steps").check(say("the total"), total, PlanError)


def steps_of(length: Any, T: Any, m: Any) -> Any:
    """A length in steps: itself, or a share of the run, rounded, at least one step."""
    if isinstance(length, Epochs):
        raise PlanError(
            "{length} cannot be turned into steps before the epochs of the run are known; give epochs= or --epochs.",
            length=length,
        )
    return length if isinstance(length, int | Text) else T if length == 1 else m.maximum(m.round(length * T), 1)


def _in_steps(value: Any, kind: str, T: Text) -> Any:
    """An argument as torch has it: lengths and milestones in steps."""
    if kind == "milestones":
        return Code(listed(steps_of(one, T, PYTHON) for one in value))
    return steps_of(value, T, PYTHON) if kind == "length" else value


class _Missing:
    """A total that was not given: the first formula that counts on it says so."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def __sub__(self, other: Any) -> _Missing:
        return self

    def _refuse(self, *other: Any) -> Any:
        raise PlanError(
            "{label} needs the total number of steps; give total=, e.g. epochs × steps per epoch.",
            label=self.schedule.label,
        )

    __array_ufunc__ = None  # so that NumPy asks this class
    __add__ = __radd__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __lt__ = __ge__ = __gt__ = __le__ = _refuse
    __floordiv__ = __rfloordiv__ = __rsub__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _refuse
