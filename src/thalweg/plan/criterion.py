"""By what a run is judged: a metric of the validation part, and at which of its epochs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import PlanError
from ..language import Word, mark, say
from ..losses.base import ANY, Scale
from ..losses.registry import METRICS, direction_of, scale_of
from ..unknown import unknown

LAST, BEST = "last", "best"
_AVERAGE = re.compile(r"average of the last (\d{1,9})")
_SAID = tuple(map(mark, ("validation", "test", "loss", "accuracy", "perplexity")))  # that sentences have words for
_DIRECTIONS = {"min": 1.0, "max": -1.0}


@dataclass(frozen=True)
class Criterion:
    """A metric, which of two values of it is better, and the epochs whose values count.

    Attributes:
        metric: "loss", or the name of one of the problem's metrics.
        sign: −1 where higher is better, else 1: times it a value is the lower the better.
        epochs: so many of the last, over which values are averaged; 0 for the best one of each run.
        part: of the data that it is measured on; empty where the metric's name says all that is known.
        scale: the lowest and the highest value that the metric can have.
    """

    metric: str = "loss"
    sign: float = 1.0
    epochs: int = 1
    part: str = "validation"
    scale: Scale = ANY

    @classmethod
    def of(
        cls,
        by_metric: str = "loss",
        judge: str = LAST,
        directions: Mapping[str, float] = MappingProxyType({}),
        loss_scale: Scale = ANY,
    ) -> Criterion:
        """What the arguments of `compare` say.

        Args:
            by_metric: a metric; one whose direction is not known with it, ``"f1:max"``.
            judge: "last", "best" or "average of the last k", with a number.
            directions: what else is known: metric → −1 where higher is better, else 1.
            loss_scale: the lowest and the highest value that the problem's loss can have.

        Raises:
            PlanError: the direction is missing or unknown, or `judge` is none of the three.

        >>> Criterion.of("accuracy"), Criterion.of("f1:max", "average of the last 3").epochs
        (Criterion(metric='accuracy', sign=-1.0, epochs=1, part='validation', scale=(0.0, 1.0)), 3)
        """
        if not isinstance(by_metric, str) or not by_metric:
            raise PlanError(
                "by_metric is {by_metric}; give a metric's name, e.g. 'accuracy', or 'f1:max'.",
                by_metric=repr(by_metric),
            )
        metric, colon, direction = by_metric.rpartition(":") if ":" in by_metric else (by_metric, "", "")
        known = directions.get(metric, _known(metric))
        if not colon and known is None:
            raise PlanError(
                "the metric {shown} leaves open which values are better, since it is not one of {known}; give "
                "'{metric}:max' if the higher, '{metric}:min' if the lower.",
                shown=repr(metric),
                known=", ".join(["loss", *METRICS]),
                metric=metric,
            )
        if colon and direction not in _DIRECTIONS:
            raise PlanError(
                "by_metric={by_metric} ends in {direction}; give '{metric}:max' or '{metric}:min'.",
                by_metric=repr(by_metric),
                direction=repr(direction),
                metric=metric,
            )
        sign = _DIRECTIONS[direction] if colon else known
        assert sign is not None
        if known is not None and sign != known:
            raise PlanError(
                "by_metric={by_metric}: of {metric} the other end is the better one; give {metric2}.",
                by_metric=repr(by_metric),
                metric=metric,
                metric2=repr(metric),
            )
        return cls(metric, sign, _epochs(judge), scale=scale_of(metric, loss_scale))

    @property
    def by_metric(self) -> str:
        """The metric with its direction, as `of` takes it."""
        return self.metric if _known(self.metric) is not None else f"{self.metric}:{'max' if self.higher else 'min'}"

    @property
    def judge(self) -> str:
        """The epochs, as `of` takes them."""
        return {0: BEST, 1: LAST}.get(self.epochs, f"average of the last {self.epochs}")

    @property
    def higher(self) -> bool:
        return self.sign < 0

    @property
    def floor(self) -> float:
        """The least that any mean can be, of values that are the lower the better."""
        return min(self.sign * end for end in self.scale)

    @property
    def column(self) -> str:
        """Of the table of members."""
        return f"validation_{self.metric}"

    @property
    def words(self) -> str:
        """
        >>> Criterion.of("accuracy").words
        'validation accuracy'
        """
        return say("{part} {metric}", part=mark(self.part), metric=mark(self.metric)).lstrip()

    @property
    def when(self) -> str:
        """Of which epochs, as words that follow; none of the last one.

        >>> Criterion.of(judge="average of the last 3").when
        ' (mean of the last 3 epochs)'
        """
        mean = say(" (mean of the last {epochs} epochs)", epochs=self.epochs)
        return {0: say(" (each run at its best epoch)"), 1: ""}.get(self.epochs, mean)

    @property
    def extreme(self) -> Word:
        """What the best has: the lowest value, or the highest."""
        return mark("highest") if self.higher else mark("lowest")

    def first(self, epoch: int) -> int:
        """The first epoch whose value counts at the end of that one, counted from 1."""
        return 1 if self.epochs == 0 else max(1, epoch - self.epochs + 1)

    def shares(self, values: np.ndarray) -> np.ndarray:
        """By how much each epoch counts, of a whole of 1.

        Args:
            values: (epochs, runs) of the metric.

        >>> Criterion(epochs=0).shares(np.array([[3.0, 2.0], [2.0, np.nan]])).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
        """
        shares = np.zeros(values.shape)
        if self.epochs:
            shares[-self.epochs :] = 1 / len(shares[-self.epochs :])
        else:
            bad = np.where(np.isfinite(values), self.sign * values, np.inf)
            shares[bad.argmin(axis=0), np.arange(values.shape[1])] = 1.0
        return shares

    def badness(self, values: np.ndarray) -> np.ndarray:
        """What each run is judged by, (runs,), the lower the better; `values` as `shares` takes them.

        >>> Criterion.of("accuracy", "best").badness(np.array([[0.9], [0.8]])).tolist()
        [-0.9]
        """
        shares = self.shares(values)
        return self.sign * np.where(shares > 0, shares * values, 0.0).sum(axis=0)

    def directions(self, names: Iterable[str], more: Mapping[str, float] = MappingProxyType({})) -> dict[str, float]:
        """Of these metrics and the loss, this one apart, those of which it is known whether higher is better.

        Args:
            more: what is known of metrics that are not this package's.

        >>> Criterion.of("accuracy").directions(["accuracy", "mae", "own"])
        {'loss': 1.0, 'mae': 1.0}
        """
        signs = {name: more.get(name, _known(name)) for name in ("loss", *names)}
        return {name: sign for name, sign in signs.items() if sign is not None and name != self.metric}


def check_metric(by_metric: Any, names: Iterable[str], kind: str = "metric", owner: str = "") -> None:
    """Refuse a metric that is none of these, before `Criterion.of` asks which values of it are better.

    Raises:
        PlanError: names those there are.
    """
    if not isinstance(by_metric, str) or not by_metric:  # which `Criterion.of` refuses
        return
    if not {by_metric, metric := by_metric.rpartition(":")[0] or by_metric} & {*names}:
        raise PlanError(unknown(kind, metric, names, owner))


def _known(name: str) -> float | None:
    return 1.0 if name == "loss" else direction_of(name)


FINAL_LOSS = Criterion()


def _epochs(judge: str) -> int:
    if judge in (LAST, BEST):
        return int(judge == LAST)
    number = _AVERAGE.fullmatch(judge) if isinstance(judge, str) else None
    if number is None or int(number[1]) < 2:
        raise PlanError(
            "judge is {judge}; give {last}, {best} or 'average of the last k' with k of at least 2, "
            "e.g. 'average of the last 3'.",
            judge=repr(judge),
            last=repr(LAST),
            best=repr(BEST),
        )
    return int(number[1])


def weighted(values: Mapping[int, np.ndarray], shares: Mapping[int, np.ndarray]) -> np.ndarray | None:
    """The values of the epochs that count, times their shares; None where one of them is missing.

    Args:
        values: step → (members, …).
        shares: step → (members,), 0 where that epoch does not count for a member.
    """
    if any(share.any() and step not in values for step, share in shares.items()):
        return None
    total = 0.0
    for step, share in shares.items():
        if share.any():
            each = share.reshape(-1, *[1] * (values[step].ndim - 1))
            total = total + np.where(each > 0, each * values[step], 0.0)
    return np.asarray(total)
