"""The losses and metrics thalweg knows by name, and how a name, a text or a function becomes one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from .. import calls
from ..aliases import called
from ..arguments import build
from ..errors import ProblemError
from ..samples import Samples, call, scores
from ..unknown import plain, unknown
from .base import ANY, Loss, Measure, Scale
from .foreign import Foreign
from .likelihood import NegativeLogLikelihood
from .metrics import Accuracy, Mean, Metric
from .regression import MAE, MSE


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of right answers, `Accuracy` with its defaults.

    >>> import torch
    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), torch.tensor([0, 1, 1]))
    tensor(0.6667)
    """
    return METRICS["accuracy"](outputs, targets)


LOSSES: dict[str, Loss] = {name: kind() for name, kind in Loss.registry.items()}
NAMED: dict[str, type[Loss | Metric]] = {"mae": MAE, "mse": MSE, **Metric.registry}
METRICS: dict[str, Loss | Metric] = {"accuracy": Accuracy(), **{name: NAMED[name]() for name in sorted(NAMED)}}

# Of probabilities, where `bce` takes scores: silently one for the other would train something else.
_OF_PROBABILITIES = ("bceloss", "binarycrossentropy")


@dataclass(frozen=True, eq=False)
class Custom(Loss, listed=False):
    """A function or module of the user's, (outputs, targets) → a scalar or one value per sample."""

    name: ClassVar[str] = "own"
    of_classes: ClassVar[bool] = True
    function: Callable[[Tensor, Tensor], Tensor]

    def compute(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        values = self.function(outputs, targets)
        return values.mean() if values.ndim and reduction == "mean" else values

    def fit(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        """Nothing is known of what it asks for."""

    def _rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        values = super()._rows(outputs, targets)
        if not values.ndim:
            raise ProblemError(
                "{label} gives one number for the whole batch, so samples cannot be weighed; let it return "
                "one value per sample.",
                label=self.label,
            )
        return values

    def over(self, model: nn.Module, samples: Samples, criterion: Measure | None = None) -> Tensor:
        return (criterion or self)(call(model, samples.inputs), samples.targets)

    @property
    def label(self) -> str:
        return name_of(self.function)


@dataclass(frozen=True, eq=False)
class OfModel(Custom, listed=False):
    """A function of the user's that sees the model: (model, batch) → a scalar or one value per sample."""

    of_classes: ClassVar[bool] = False
    function: Callable[[nn.Module, Any], Tensor]

    def __call__(self, model: Any, batch: Any, weights: Tensor | None = None) -> Tensor:
        values = self.function(model, batch)
        return values.mean() if values.ndim else values

    def over(self, model: nn.Module, samples: Samples, criterion: Measure | None = None) -> Tensor:
        return self(model, samples.batch)

    def total(self, samples: Samples) -> float:
        return float(samples.size)


def seen(measure: Measure, outputs: Any) -> Any:
    """What a measure is given of a model's outputs: all of them if it is the user's own, else the scores."""
    return outputs if isinstance(measure, Custom) else scores(outputs)


def sees_model(loss: object) -> bool:
    """Whether a loss is a function of (model, batch): its first argument is called `model`, `module` or `net`."""
    try:
        first = next(iter(inspect.signature(loss).parameters), "")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return first in ("model", "module", "net")


def get(loss: str | Measure) -> Loss:
    """The loss of that name, of that text with arguments, or made of that callable.

    A callable (outputs, targets) may return a scalar or one value per sample; the latter are averaged. One whose
    first argument is called `model` is given the model, and the batch as the user gave it. Torch's own functions are
    the losses of the same name.

    Raises:
        ProblemError: for an unknown name or argument, or something that is neither a name nor callable.

    >>> import torch
    >>> get("huber")(torch.tensor([0.0, 3.0]), torch.tensor([0.5, 0.0]))
    tensor(1.3125)
    >>> get("cross_entropy(label_smoothing=0.1)")
    CrossEntropy(reduction='mean', weight=None, ignore_index=-100, axis=None, label_smoothing=0.1)
    >>> get(lambda outputs, targets: (outputs - targets).abs())(torch.tensor([1.0, 4.0]), torch.zeros(2))
    tensor(2.5000)
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        name, arguments = _call("loss", loss, Loss.registry)
        return build(Loss, "loss", name, arguments) if arguments or name not in LOSSES else LOSSES[name]
    if inspect.isclass(loss) or not callable(loss):
        raise _neither("loss", loss, list(LOSSES))
    if (same := _of_torch(loss)) is not None:
        return same
    return OfModel(cast(Any, loss)) if sees_model(loss) else Custom(loss)


def get_metric(metric: str | Measure) -> Loss | Metric | Foreign:
    """The metric of that name, of that text with arguments, or the callable, as (outputs, targets) → scalar.

    Losses are metrics too. A function of `sklearn.metrics`, an object or a function of torchmetrics and a function
    (outputs, targets) are taken as they are; see `foreign.py`.

    >>> import torch
    >>> get_metric("mae")(torch.tensor([1.0, 4.0]), torch.zeros(2))
    tensor(2.5000)
    >>> get_metric("top_k(k=2)").label, get_metric("F1 score").label
    ('top_k(k=2)', 'f1')
    """
    if isinstance(metric, Loss | Metric | Foreign):
        return metric
    if isinstance(metric, str):
        name, arguments = _call("metric", metric, list({**METRICS, **LOSSES}))
        if not arguments and name in METRICS:
            return METRICS[name]
        return build(Metric if name in Metric.registry else Loss, "metric", name, arguments)
    if inspect.isclass(metric) or not callable(metric):
        raise _neither("metric", metric, list(METRICS))
    return METRICS["accuracy"] if metric is accuracy else _of_torch(metric) or Foreign.of(metric)


def in_program(measure: Loss | Metric | Foreign) -> Loss | Mean | None:
    """The metric, if it is computed inside a population's program: a mean over samples that every program covers."""
    own = isinstance(measure, Mean | Loss) and not isinstance(measure, Custom | NegativeLogLikelihood)
    return measure if own else None  # type: ignore[return-value]


def direction(measure: str | Measure) -> float | None:
    """−1 where higher values of a metric are better, 1 where lower ones are, None where nothing says so.

    >>> import sklearn.metrics
    >>> direction("auc"), direction("mse"), direction(sklearn.metrics.f1_score), direction(lambda x, y: x)
    (-1.0, 1.0, -1.0, None)
    """
    found = get_metric(measure)
    if isinstance(found, Foreign):
        return found.sign
    return -1.0 if isinstance(found, Metric) and found.higher else 1.0


def direction_of(name: str) -> float | None:
    """The `direction` of the metric that tables call so; None where it is none of this package's."""
    try:
        return direction(name)
    except ProblemError:
        return None


def scale_of(name: str, loss: Scale = ANY) -> Scale:
    """The lowest and the highest value of the metric that tables call so; `ANY` where it is none of this package's.

    `loss` is that of the problem's own loss, which every table calls "loss".

    >>> scale_of("mse"), scale_of("accuracy"), scale_of("own")
    ((0.0, inf), (0.0, 1.0), (-inf, inf))
    """
    if name == "loss":
        return loss
    try:
        found = get_metric(name)
    except ProblemError:
        return ANY
    return ANY if isinstance(found, Foreign) else found.scale


def name_of(measure: str | Measure) -> str:
    """What a loss or metric is called in tables: its label, or the callable's own name.

    >>> import torch
    >>> name_of(torch.nn.functional.cross_entropy), name_of("huber(delta=0.50)"), name_of(torch.nn.CrossEntropyLoss())
    ('cross_entropy', 'huber(delta=0.5)', 'CrossEntropyLoss')
    """
    if isinstance(measure, str):
        measure = get_metric(measure)
    if isinstance(measure, Loss | Metric):
        return measure.label
    if isinstance(measure, Foreign):
        return name_of(measure.function)
    if (same := _of_torch(measure)) is not None:
        return same.label
    if isinstance(measure, functools.partial):
        return name_of(measure.func)
    return getattr(measure, "__name__", type(measure).__name__).strip("<>")


def _call(kind: str, text: str, names: Collection[str]) -> tuple[str, dict[str, Any]]:
    """The name that a text means, however it is written, and the arguments it gives."""
    given, bracket, rest = text.strip().partition("(")
    given = given.strip()
    if (name := called(kind, given, names)) is None and plain(given) in _OF_PROBABILITIES:
        raise ProblemError(
            "{given} is of probabilities, and bce of scores: leave the sigmoid out of the model and give "
            "'bce', or give torch.nn.BCELoss() itself.",
            given=given,
        )
    if name is None:
        raise ProblemError(unknown(kind, given, names))
    return calls.parse(f"{name}{bracket}{rest}", ProblemError, "cross_entropy(label_smoothing=0.1)")


def _of_torch(measure: Any) -> Loss | None:
    """The loss whose counterpart this function is."""
    return next((loss for loss in LOSSES.values() if measure is type(loss).counterpart), None)


def _neither(kind: str, value: Any, names: list[str]) -> ProblemError:
    if inspect.isclass(value):
        place = {"torch": "nn.", "thalweg": "tw.losses."}.get(value.__module__.partition(".")[0], "")
        made = f"{place}{value.__name__}({'…' if _asks(value) else ''})"
        return ProblemError("{name} is a class; give an object of it, {made}.", name=value.__name__, made=made)
    return ProblemError(
        f"the {kind} is of type {type(value).__name__}; give one of {', '.join(names)}, "
        "or a function (outputs, targets) -> scalar or per-sample values."
    )


def _asks(kind: type) -> bool:
    """Whether a class cannot be called without arguments."""
    try:
        own = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):  # of what is not written in Python
        return True
    return any(p.default is p.empty and p.kind < p.VAR_POSITIONAL for p in own)
