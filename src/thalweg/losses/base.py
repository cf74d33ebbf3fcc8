"""What a loss is: a small frozen object, called with the outputs of a model and the targets of one batch.

`compute` is torch's own function; everything else follows from it: the mean, the sum, one value per sample,
the mean with a weight for every sample, and a label that a store can keep and `losses.get` reads back. All
of it runs under `torch.func.vmap`: tensors in, tensors out, no branch on a value.
Read next: `regression.py` (the smallest family), `fit.py` (what is refused), `registry.py`.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from torch import Tensor

from .. import calls
from ..errors import ProblemError, unknown
from . import fit

Measure = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Loss(ABC):
    """A loss: ``loss(outputs, targets)``.

    Args:
        reduction: ``mean`` (over all values, the default, as in torch), ``sum`` or ``none``.

    An argument may also be a tensor, with one value per member of a population inside `torch.func.vmap`,
    where its class says so; tensors are taken as they are, unchecked.
    """

    name: ClassVar[str]
    reductions: ClassVar[tuple[str, ...]] = ("mean", "sum", "none")
    reduction: str = field(default="mean", kw_only=True)

    def __post_init__(self) -> None:
        if self.reduction not in self.reductions:
            raise ProblemError(unknown("reduction", str(self.reduction), self.reductions))

    @abstractmethod
    def compute(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        """Torch's function of this loss under that reduction."""

    @abstractmethod
    def fit(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        """Refuse shapes that torch would fail on or silently broadcast.

        Raises:
            ProblemError: one sentence; `where` says whose targets they are.
        """

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        """Refuse shapes, types and values that make no sense; a study asks this once, before training.

        `outputs` may be of the first few samples, to which the shapes of all targets are compared.

        Raises:
            ProblemError: one sentence; `where` says whose targets they are.
        """
        self.fit(outputs, targets, where)

    def __call__(self, outputs: Tensor, targets: Any, weights: Tensor | None = None) -> Tensor:
        """The loss of a batch; a scalar unless the reduction is ``none``.

        Args:
            outputs: (samples, …), what the model made.
            targets: (samples, …), in the form the loss asks for.
            weights: (samples,), how much each sample counts: the mean is Σ wᵢ lᵢ / Σ wᵢ. Ones change nothing.

        Raises:
            ProblemError: for shapes that do not fit.
        """
        self.fit(outputs, targets)
        fit.as_many(outputs, targets, weights)
        if weights is None:
            return self.compute(outputs, targets, self.reduction)
        if self.reduction in ("sum", "none"):
            values = self.compute(outputs, targets, "none")
            values = values * weights.reshape(-1, *[1] * (values.ndim - 1))
            return values.sum() if self.reduction == "sum" else values
        rows, counts = self._rows(outputs, targets), self.counts(targets)
        counted = weights if counts is None else weights * counts.to(rows.dtype)
        return (weights * rows).sum() / counted.sum()

    def per_sample(self, outputs: Tensor, targets: Any) -> Tensor:
        """One value per sample, (samples,): torch's ``reduction="none"``, averaged over a sample's own values."""
        self.fit(outputs, targets)
        fit.as_many(outputs, targets, None)
        return self._rows(outputs, targets)

    def _rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        values = self.compute(outputs, targets, "none")
        return values.flatten(1).mean(1) if values.ndim > 1 else values

    def counts(self, targets: Tensor) -> Tensor | None:
        """How much each sample counts in the mean, (samples,), which is Σ per_sample / Σ counts; None for 1 each."""
        return None

    @property
    def label(self) -> str:
        """The call that makes it, with what differs from the defaults; `losses.get` reads it back."""
        changed = {f.name: _plain(getattr(self, f.name)) for f in fields(self)}
        return calls.write(self.name, {k: v for k, v in changed.items() if v != _default(type(self), k)})

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.label == other.label  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self.label)

    def __str__(self) -> str:
        return self.label


def number(
    owner: str, name: str, value: Any, low: float, high: float = sys.float_info.max, *, above: bool = False
) -> None:
    """Refuse what is not a number from `low` to `high`, or `above` `low`; tensors pass.

    Raises:
        ProblemError: one sentence.
    """
    if isinstance(value, Tensor):
        return
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not low <= value <= high or (above and value == low):
        least = f"{'above' if above else 'at least'} {low:g}"
        allowed = f"from {low:g} to {high:g}" if high < sys.float_info.max else least
        raise ProblemError(f"{owner}: {name} is {calls.short(repr(value))}; give a number {allowed}.")


def truth(owner: str, name: str, value: Any) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise ProblemError(f"{owner}: {name} is {calls.short(repr(value))}; give True or False.")


def _default(kind: type[Loss], name: str) -> Any:
    (found,) = (f for f in fields(kind) if f.name == name)
    return _plain(found.default_factory() if callable(found.default_factory) else found.default)


def _plain(value: Any) -> Any:
    """As literals: tensors and lists as tuples, classes as their names."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return value.__name__ if isinstance(value, type) else value
