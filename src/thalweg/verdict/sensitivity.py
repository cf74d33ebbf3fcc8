"""How much a rate matters: how wide the valley of each optimizer is, and how many rates diverge.

A best loss alone says nothing of how hard it was to find. The width is how many decades of learning rate keep the mean
validation loss (or what else the study judges by) within 1%, 5% or 10% of the optimizer's best, everything else as
chosen. Between two rates of the grid the loss is taken to lie on a straight line over the logarithm of the rate; a rate
at which a seed diverged ends the valley at its last good neighbour. Where the grid ends inside of the valley, or a rate
was stopped before its end, the width is at least so much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..plan.factors import Setting
from ..plan.plan import Plan
from .losses import by_setting, search_losses
from .verdict import chosen_settings

SHARES = (0.01, 0.05, 0.1)


@dataclass(frozen=True)
class Valley:
    """The rates around the best whose loss is within a share of it.

    Attributes:
        low, high: its ends.
        open_below, open_above: whether what is known ends there and not the valley.
    """

    low: float
    high: float
    open_below: bool
    open_above: bool

    @property
    def decades(self) -> float:
        return math.log10(self.high / self.low)

    @property
    def bounded(self) -> bool:
        """Whether what is known ends inside of it, so that the width is at least so much."""
        return self.open_below or self.open_above


def valley(rates: np.ndarray, losses: np.ndarray, share: float) -> Valley | None:
    """Where the loss is at most its lowest plus that share of it; None if every rate diverged.

    Args:
        rates: (rates,), ascending.
        losses: (rates,), inf where a seed diverged, nan where runs were stopped before their end.

    >>> rates, losses = np.array([0.01, 0.1, 1.0, 10.0]), np.array([1.4, 1.0, 1.2, np.inf])
    >>> ten_percent = valley(rates, losses, 0.1)
    >>> print(f"{ten_percent.decades:.2f}", ten_percent.open_below, ten_percent.open_above)
    0.75 False False
    """
    if not np.isfinite(losses).any():
        return None
    best = int(np.nanargmin(losses))
    limit = losses[best] + share * abs(losses[best])
    place = np.log10(rates)
    above, open_above = _end(place[best:], losses[best:], limit)
    below, open_below = _end(place[best::-1], losses[best::-1], limit)
    return Valley(10.0**below, 10.0**above, open_below, open_above)


def _end(place: np.ndarray, losses: np.ndarray, limit: float) -> tuple[float, bool]:
    """How far from the first the losses stay within the limit, and whether that is as far as they go."""
    beyond = np.flatnonzero(~(losses <= limit))
    if not len(beyond):
        return float(place[-1]), True
    last, first = beyond[0] - 1, beyond[0]
    if not math.isfinite(losses[first]):  # the loss of one that was stopped is unknown
        return float(place[last]), math.isnan(losses[first])
    way = (limit - losses[last]) / (losses[first] - losses[last])
    return float(place[last] + way * (place[first] - place[last])), False


def sensitivity(plan: Plan, members: pd.DataFrame) -> pd.DataFrame:
    """One row per optimizer, best first; see `Study.sensitivity`."""
    losses = search_losses(plan, members)
    means = dict(zip(losses.settings, losses.values.mean(axis=(1, 2)), strict=True)) if losses.settings else {}
    lost = {*by_setting(plan, members[(members["stage"] == "search") & (members["status"] == "diverged")])}
    rows = [_row(plan, setting, means, lost) for setting, _ in chosen_settings(plan, members).values()]
    rows.sort(key=lambda row: plan.criterion.sign * row[plan.criterion.column])
    return pd.DataFrame(rows)


def _row(plan: Plan, setting: Setting, means: dict[Setting, float], lost: set[Setting]) -> dict[str, Any]:
    setting = plan.on_grid(setting)
    rates = np.array(plan.rates_of(setting))
    losses = np.array([means.get(replace(setting, lr=rate), math.nan) for rate in rates.tolist()])
    grid = plan["lr"].of(setting.optimizer)
    shared = plan.rates_of(setting) if plan.points else grid  # without what only some were tried at
    diverged = [replace(setting, lr=rate) in lost for rate in shared]
    row: dict[str, Any] = {
        "optimizer": setting.optimizer,
        "schedule": setting.schedule,
        **dict(setting.further),
        "lr": setting.lr,
        plan.criterion.column: plan.criterion.sign * means[setting],
    }
    for share in SHARES:
        around, name = valley(rates, losses, share), f"{share:.0%}".rstrip("%")
        row[f"decades_{name}"] = math.nan if around is None else around.decades
        row[f"low_{name}"], row[f"high_{name}"] = (None, None) if around is None else (around.low, around.high)
        row[f"at_least_{name}"] = around is not None and around.bounded
    return row | {"rates": len(shared), "diverged": float(np.mean(diverged))}
