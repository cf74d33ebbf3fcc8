"""A torch scheduler of any hyperparameter, for what torch's own classes cannot move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..errors import PlanError
from ..unknown import unknown

_PLACES = {"beta1": 0, "beta2": 1, "beta3": 2}  # in a parameter group's ``betas``


class Scheduler(LRScheduler):
    """Moves hyperparameters of an optimizer's groups by schedules; `step()` after every `optimizer.step()`.

    Like torch's own it writes into the parameter groups and has a `state_dict` of plain values. Where one of
    the schedules follows the loss, `observe(loss)` tells it, after each pass over the data.

    Args:
        schedules: hyperparameter → schedule.
        total: steps of the run.
    """

    def __init__(self, optimizer: Optimizer, schedules: Mapping[str, Any], total: int) -> None:
        self.schedules, self.total = dict(schedules), total
        groups = optimizer.param_groups
        for group in groups:
            for name in self.schedules:
                group.setdefault(f"initial_{name}", float(_read(group, name)))  # a tensor would move with the steps
        self.loops = {
            name: one.start(np.array([float(group[f"initial_{name}"]) for group in groups])).tolist()
            for name, one in self.schedules.items()
            if one.closed
        }
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """The rates of this step; the other hyperparameters are written on the way, as torch's OneCycleLR does."""
        rates: list[float | Tensor] = []
        for k, group in enumerate(self.optimizer.param_groups):
            now = {name: self._value(name, k, group) for name in self.schedules}
            rates.append(now.pop("lr", group["lr"]))
            for name, value in now.items():
                _write(group, name, value)
        return rates

    def _value(self, name: str, place: int, group: dict[str, Any]) -> float:
        schedule = self.schedules[name]
        if schedule.closed:
            return self.loops[name][0][place]
        factor = float(schedule.factor(self.last_epoch, self.total))
        return factor if schedule.absolute else group[f"initial_{name}"] * factor

    def observe(self, loss: float) -> None:
        """Tell the schedules that follow the loss what it is after a pass over the data."""
        for name, state in self.loops.items():
            self.loops[name] = self.schedules[name].observe(np.array(state), np.array(float(loss))).tolist()
        for k, group in enumerate(self.optimizer.param_groups):
            for name in self.loops:
                _write(group, name, self._value(name, k, group))

    def state_dict(self) -> dict[str, Any]:
        """Plain values; the schedules themselves are those it is made with."""
        return {name: value for name, value in super().state_dict().items() if name != "schedules"}


def _read(group: dict[str, Any], name: str) -> Any:
    if name in group:
        return group[name]
    if name in _PLACES and "betas" in group:
        return group["betas"][_PLACES[name]]
    numbers = [key for key in group if key != "params" and isinstance(group[key], int | float)]
    betas = [key for key, place in _PLACES.items() if place < len(group.get("betas", ()))]
    raise PlanError(unknown("hyperparameter of this optimizer", name, [*numbers, *betas]))


def _write(group: dict[str, Any], name: str, value: float) -> None:
    if name in group:
        if isinstance(group[name], Tensor):
            group[name].fill_(value)
        else:
            group[name] = value
    else:
        betas, place = group["betas"], _PLACES[name]
        group["betas"] = (*betas[:place], value, *betas[place + 1 :])
