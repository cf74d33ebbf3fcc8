"""Up and down: one cycle over the run, or many; momentum goes the other way."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arguments import choice, flag, optional
from .base import Factor, Schedule, steps_of
from .fields import Length, Number, length, number, part, positive
from .vocabulary import PYTHON, Code, Text

# torch's SGD and RMSprop have a momentum of 0 where they have none, and that is not cycled.
_HAS = Code('bool(optimizer.defaults.get("momentum")) or "betas" in optimizer.defaults')
_RATES = Code('[group["lr"] for group in optimizer.param_groups]')


class Cycle(Schedule):  # not a dataclass: where these arguments stand is for each cycle to say
    """A schedule of the rate that takes the momentum, or beta1, of a rule that has one along."""

    restarts: ClassVar[bool] = False

    cycle_momentum: bool
    base_momentum: Number
    max_momentum: Number

    @abstractmethod
    def momentum(self, t: Any, T: Any, m: Any) -> Factor:
        """The values of the momentum at each step."""

    @property
    def _momenta(self) -> Mapping[str, Any]:
        """As torch's arguments."""
        cycled = _HAS if self.cycle_momentum else False
        return {"cycle_momentum": cycled, "base_momentum": self.base_momentum, "max_momentum": self.max_momentum}

    def on(self, hyperparameters: Iterable[str]) -> Mapping[str, Schedule]:
        available = set(hyperparameters) if self.cycle_momentum else set()
        names = [name for name in ("momentum", "beta1") if name in available]
        return {"lr": self, **{name: Opposite(self) for name in names[:1]}}


@dataclass(frozen=True, eq=False)
class Opposite(Schedule, listed=False):
    """The momentum that belongs to a one-cycle or cyclic schedule: high where the rate is low.

    >>> Opposite(OneCycle()).factor(range(4), 4).round(4)
    array([0.95  , 0.8688, 0.9217, 0.95  ])
    """

    name: ClassVar[str] = "opposite"
    absolute: ClassVar[bool] = True
    schedule: Cycle = part(alone=False)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return self.schedule.momentum(t, T, m)


@dataclass(frozen=True, eq=False)
class OneCycle(Cycle):
    """From η/div_factor up to η, then down to η/(div_factor·final_div_factor); momentum from high to low and back.

    Args: those of torch's OneCycleLR, with its defaults; the peak, its max_lr, is η.
        pct_start: share of the run that rises.
        anneal_strategy: cos or linear, the shape of each part.
        cycle_momentum, base_momentum, max_momentum: whether momentum (or beta1) falls from the one to the other.
        three_phase: down to η/div_factor as long as up, then on to the end.

    >>> OneCycle(div_factor=4).factor(range(5), 5).round(4)
    array([0.25  , 0.9505, 0.6113, 0.1883, 0.    ])

    Source: Smith & Topin 2018, Super-convergence, section 3.
    """

    name: ClassVar[str] = "one_cycle"
    counterpart: ClassVar[str] = "OneCycleLR"
    pct_start: Number = number(0.3, 0.0, 1.0)
    anneal_strategy: str = choice("cos", "linear")
    cycle_momentum: bool = flag(True)
    base_momentum: Number = number(0.85, 0.0, 1.0)
    max_momentum: Number = number(0.95, 0.0, 1.0)
    div_factor: Number = positive(25.0)
    final_div_factor: Number = positive(1e4)
    three_phase: bool = flag(False)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        low = 1 / self.div_factor
        last = low / self.final_div_factor
        middle = (1.0, low) if self.three_phase else ()
        return self._along(t, T, m, [low, 1.0, *middle[1:], last])

    def momentum(self, t: Any, T: Any, m: Any) -> Factor:
        low, high = self.base_momentum, self.max_momentum
        return self._along(t, T, m, [high, low, high, *([high] if self.three_phase else [])])

    def _along(self, t: Any, T: Any, m: Any, points: list[Any]) -> Factor:
        """From point to point, the ends of the phases between them."""
        rise = self.pct_start * T
        ends = [0.0, rise - 1, *([2 * rise - 2] if self.three_phase else []), T - 1]
        t = m.minimum(t, T - 1)
        value = None
        for k in reversed(range(len(points) - 1)):
            # 1e-12: a phase without length is left at its end
            share = m.minimum((t - ends[k]) / m.maximum(ends[k + 1] - ends[k], 1e-12), 1.0)
            here = self._between(points[k], points[k + 1], share, m)
            value = here if value is None else m.where(t <= ends[k + 1], here, value)
        return value

    def _between(self, start: Any, end: Any, share: Any, m: Any) -> Any:
        if self.anneal_strategy == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2 * (m.cos(m.pi * share) + 1)

    def torch_arguments(self, T: Text) -> Mapping[str, Any]:
        shape = {"pct_start": self.pct_start, "anneal_strategy": self.anneal_strategy}
        ends = {name: getattr(self, name) for name in ("div_factor", "final_div_factor", "three_phase")}
        return {"max_lr": _RATES, "total_steps": T, **shape, **self._momenta, **ends}


@dataclass(frozen=True, eq=False)
class Cyclic(Cycle):
    """Between low·η and η, in triangles: up in `up` steps, down in `down`, over and over; momentum inversely.

    Args:
        low: the lowest rate as a share of η; a quarter by default.
        up, down: steps, or shares of the run; a tenth by default, and `down` as `up`.
        mode: triangular; triangular2, each cycle half as high; exp_range, γᵗ times as high.
        gamma: γ of exp_range.
        cycle_momentum, base_momentum, max_momentum: whether momentum (or beta1) falls from the one to the other.

    >>> Cyclic(low=0.5, up=2).factor(range(6))
    array([0.5 , 0.75, 1.  , 0.75, 0.5 , 0.75])

    Source: Smith 2017, Cyclical learning rates, section 3.
    """

    name: ClassVar[str] = "cyclic"
    counterpart: ClassVar[str] = "CyclicLR"
    elsewhere: ClassVar[Mapping[str, str]] = {"step_size_up": "up", "step_size_down": "down"}
    low: Number = number(0.25, 0.0, 1.0)
    up: Length = length(0.1)
    down: Length | None = optional(length())
    mode: str = choice("triangular", "triangular2", "exp_range")
    gamma: Number = positive(1.0)
    cycle_momentum: bool = flag(True)
    base_momentum: Number = number(0.8, 0.0, 1.0)
    max_momentum: Number = number(0.9, 0.0, 1.0)

    def formula(self, t: Any, T: Any, m: Any) -> Factor:
        return self.low + (1 - self.low) * self._height(t, T, m)

    def momentum(self, t: Any, T: Any, m: Any) -> Factor:
        return self.max_momentum - (self.max_momentum - self.base_momentum) * self._height(t, T, m)

    def _height(self, t: Any, T: Any, m: Any) -> Factor:
        """How high in the triangle: from 0 to 1 at first."""
        up, down = self._sizes(T, m)
        size = up + down
        within = t % size
        height = m.where(within <= up, within / up, (size - within) / down)
        if self.mode == "triangular2":
            return height * 0.5 ** (t // size)
        return height * self.gamma**t if self.mode == "exp_range" else height

    def _sizes(self, T: Any, m: Any) -> tuple[Any, Any]:
        return steps_of(self.up, T, m), steps_of(self.up if self.down is None else self.down, T, m)

    @property
    def decay(self) -> float:
        falls = self.mode == "triangular2" or (self.mode == "exp_range" and np.max(self.gamma) < 1)
        return float("inf") if falls and np.max(self.low) == 0 else 0.0

    def torch_arguments(self, T: Text) -> Mapping[str, Any]:
        up, down = self._sizes(T, PYTHON)
        low = Code(f'[{self.low!r} * group["lr"] for group in optimizer.param_groups]')
        rates = {"base_lr": low, "max_lr": _RATES, "step_size_up": up, "step_size_down": down}
        return {**rates, "mode": self.mode, "gamma": self.gamma, **self._momenta}
