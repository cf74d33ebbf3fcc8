"""A loss made from a noise distribution: its negative log-likelihood.

Maximum likelihood asks for the weights under which the targets are most probable, argmax Π p(y|w); the
logarithm turns the product into a sum, and its negative into something to minimise: −Σ log p(y|w). Which
loss that is depends on the noise alone: Laplace noise makes it L1, Gaussian noise makes it squared error.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints, transform_to

from ..aliases import called
from ..arguments import declared, flag, optional, whole
from ..errors import ProblemError, UsageError, first_line, short
from ..numbers import Range
from ..unknown import unknown
from . import fit
from .base import Loss

Fixed = Mapping[str, Any]


def _distribution(what: str, kind: Any, error: type[UsageError]) -> type[Any]:
    if isinstance(kind, str):
        names = [n for n in torch.distributions.__all__ if _is_distribution(getattr(torch.distributions, n))]
        if (name := called("distribution of torch.distributions", kind, names)) is None:
            raise error(unknown("distribution of torch.distributions", kind, names))
        kind = getattr(torch.distributions, name)
    if not isinstance(kind, type) or getattr(kind, "log_prob", None) in (None, Distribution.log_prob):
        name = kind.__name__ if isinstance(kind, type) else repr(kind)
        raise error(f"{short(name)} has no log_prob; give a class that has, such as torch.distributions.Laplace.")
    return kind


def _is_distribution(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, Distribution) and thing.log_prob is not Distribution.log_prob


def _free(constraint: Any) -> bool:
    while hasattr(constraint, "base_constraint"):
        constraint = constraint.base_constraint
    return constraint is constraints.real


def _check_fixed(what: str, value: Any) -> None:
    """Numbers, in lists as torch makes tensors of them; tensors pass."""
    if isinstance(value, list | tuple) and value:
        for one in value:
            _check_fixed(what, one)
        try:
            torch.as_tensor(value)
        except ValueError as failure:  # rows of unequal length
            raise ProblemError(
                "{what} is {value}; give rows of one length.", what=what, value=short(repr(value))
            ) from failure
    elif not isinstance(value, bool | Tensor | Distribution):
        Range().check(what, value, ProblemError)


@dataclass(frozen=True, eq=False)
class NegativeLogLikelihood(Loss):
    """−log p(y | parameters), with `torch.distributions` for p; `from_distribution` makes it.

    Args:
        distribution: a class with `log_prob`, or the name of one in `torch.distributions`.
        outputs: the parameter that the model's outputs are, or several, stacked along axis `dim` of the
            outputs in this order.
        fixed: the other parameters: numbers, or lists of them for tensors.
        transform: True puts each output through `torch.distributions.transform_to` of its parameter's
            constraint, e.g. exp for a scale; False takes outputs as they are, because the model already
            keeps to the constraint. It must be said where a constraint is more than "a real number".
        dim: the axis of several parameters; 1, after the samples.

    The targets have the shape of one draw for each sample.

    >>> x, y = torch.tensor([1.0, 4.0]), torch.tensor([0.5, 2.0])
    >>> NegativeLogLikelihood()(x, y), (0.5 * (x - y) ** 2).mean() + 0.5 * torch.tensor(2 * torch.pi).log()
    (tensor(1.9814), tensor(1.9814))
    """

    name: ClassVar[str] = "negative_log_likelihood"
    likelihood: ClassVar[str] = "any of torch.distributions"
    of_classes: ClassVar[bool] = True
    distribution: str | type[Any] = declared(_distribution, "Normal")
    outputs: str | Sequence[str] = "loc"
    fixed: Fixed = field(default_factory=lambda: {"scale": 1.0})
    transform: bool | None = optional(flag(False))
    dim: int = whole(1, -64, 64)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.outputs, list):
            object.__setattr__(self, "outputs", tuple(self.outputs))
        self._check_parameters()
        if self.transform is None:
            for name in self._names:
                if not _free(self._constraint(name)):
                    raise ProblemError(
                        "{name} of {called} must be {constraint}: say transform=True to bring the outputs there, "
                        "or transform=False if the model keeps to it already.",
                        name=name,
                        called=self._called,
                        constraint=self._constraint(name),
                    )
        elif self.transform:
            for name in self._names:
                self._to(name)

    @property
    def _names(self) -> tuple[str, ...]:
        return (self.outputs,) if isinstance(self.outputs, str) else tuple(map(str, self.outputs))

    @property
    def _called(self) -> str:
        return getattr(self.distribution, "__name__", str(self.distribution))

    @property
    def _accepted(self) -> list[str]:
        return [p for p in inspect.signature(self.distribution).parameters if p != "validate_args"]  # type: ignore[arg-type]

    def _check_parameters(self) -> None:
        if not isinstance(self.outputs, str | tuple) or not self.outputs or not isinstance(self.fixed, Mapping):
            raise ProblemError(
                f"{self.name}: give outputs= as the name of a parameter of {self._called} or several, and fixed= "
                'as a dictionary, e.g. outputs="loc", fixed={"scale": 1.0}.'
            )
        for parameter in (*self._names, *self.fixed):
            if parameter not in self._accepted:
                raise ProblemError(unknown("parameter", str(parameter), self._accepted, self._called))
        twice = {p for p in self._names if p in self.fixed or self._names.count(p) > 1}
        if twice:
            raise ProblemError(
                "{called} is given {twice} twice; make it an output or fix it.",
                called=self._called,
                twice=sorted(twice)[0],
            )
        for parameter, needed in inspect.signature(self.distribution).parameters.items():  # type: ignore[arg-type]
            missing = parameter not in (*self._names, *self.fixed)
            if needed.default is needed.empty and needed.kind is needed.POSITIONAL_OR_KEYWORD and missing:
                raise ProblemError(
                    "{called} needs {parameter} too; name it in outputs= or give it in fixed=.",
                    called=self._called,
                    parameter=parameter,
                )
        for parameter, value in self.fixed.items():
            if parameter == "dim":  # of the matrices of LKJCholesky
                Range(2, 1000, whole=True).check(f"{self.name} of {self._called}: dim", value, ProblemError)
            _check_fixed(f"{self.name} of {self._called}: {parameter}", value)

    def _constraint(self, parameter: str) -> Any:
        by_name = getattr(self.distribution, "arg_constraints", {})
        return by_name.get(parameter, constraints.real) if isinstance(by_name, Mapping) else constraints.real

    def _to(self, parameter: str) -> Any:
        try:
            return transform_to(self._constraint(parameter))
        except NotImplementedError as error:
            raise ProblemError(
                "torch.distributions has no transform to {parameter} of {called}; say transform=False and let "
                "the model keep to its constraint.",
                parameter=parameter,
                called=self._called,
            ) from error

    def made(self, outputs: Tensor) -> Distribution:
        """The distribution of the targets that these outputs say."""
        names = self._names
        if isinstance(self.outputs, str):
            parts: Sequence[Tensor] = (outputs,)
        else:
            if outputs.ndim <= abs(self.dim) or outputs.shape[self.dim] != len(names):
                raise ProblemError(
                    "{called} takes {count} parameters ({names}) along axis {dim} of the outputs, which are "
                    "{outputs}; let the model return {count} there.",
                    called=self._called,
                    count=len(names),
                    names=", ".join(names),
                    dim=self.dim,
                    outputs=fit.shape(outputs),
                )
            parts = outputs.unbind(self.dim)
        values: dict[str, Any] = {
            name: self._to(name)(part) if self.transform else part for name, part in zip(names, parts, strict=True)
        }
        for name, value in self.fixed.items():
            plain = isinstance(value, int | float | bool)
            values[name] = value if plain else torch.as_tensor(value, dtype=outputs.dtype, device=outputs.device)
        kind: Any = self.distribution
        checks = {"validate_args": False} if "validate_args" in inspect.signature(kind).parameters else {}
        return kind(**values, **checks)  # a check of values could not run under vmap

    def compute(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        values = -self.made(outputs).log_prob(targets)
        return values if reduction == "none" else getattr(values, reduction)()

    def fit(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        distribution = self.made(outputs)
        draw = (*distribution.batch_shape, *distribution.event_shape)
        if len(draw) != targets.ndim or draw[1:] != tuple(targets.shape[1:]):
            raise ProblemError(
                "{called} of outputs {outputs} draws {draw}, and the {where}targets are {targets}; reshape "
                "the targets or the outputs.",
                called=self._called,
                outputs=fit.shape(outputs),
                draw=fit.shape(outputs.new_empty(draw)),
                where=where + " " if where else "",
                targets=fit.shape(targets),
            )

    def check(self, outputs: Tensor, targets: Tensor, where: str = "") -> None:
        with self._refusing(outputs):
            self.fit(outputs, targets, where)
            self._check_support(outputs, targets, where)
            self.compute(outputs, targets[: len(outputs)], "none")

    def _check_support(self, outputs: Tensor, targets: Tensor, where: str) -> None:
        support = self.made(outputs).support
        if support is None:
            return
        try:
            allowed = support.check(targets)
        except RuntimeError:  # its bounds are those of the few samples at hand
            allowed = support.check(targets[: len(outputs)])
        if not bool(torch.as_tensor(allowed).all()):
            over = short(" ".join(str(support).split()))
            raise ProblemError(
                "{called} is a distribution over {over}, and the {where}targets run from {smallest} to "
                "{largest}; change the distribution or the targets.",
                called=self._called,
                over=over,
                where=where + " " if where else "",
                smallest=f"{float(targets.min()):g}",
                largest=f"{float(targets.max()):g}",
            )

    @contextmanager
    def _refusing(self, outputs: Tensor) -> Iterator[None]:
        """What torch.distributions says of parameters that do not go together, as one sentence."""
        try:
            yield
        except ProblemError:
            raise
        except (AttributeError, RuntimeError, TypeError, ValueError) as failure:
            raise ProblemError(
                "{called} cannot be made of {names} {outputs} and fixed={fixed}: {failure}; change outputs= or fixed=.",
                called=self._called,
                names=", ".join(self._names),
                outputs=fit.shape(outputs),
                fixed=short(repr(dict(self.fixed))),
                failure=first_line(failure),
            ) from failure


def from_distribution(
    distribution: str | type[Any],
    outputs: str | Sequence[str] = "loc",
    *,
    fixed: Fixed | None = None,
    transform: bool | None = None,
    dim: int = 1,
    reduction: str = "mean",
) -> NegativeLogLikelihood:
    """The negative log-likelihood −log p(y | parameters) of a distribution as a loss.

    ``Laplace`` with a scale of 1 gives |x − y| + log 2, which is L1; ``Normal`` with a scale of 1 gives
    ½ (x − y)² + ½ log 2π, which is half the squared error: minima and directions are the same.

    Args:
        distribution, outputs, transform, dim: see `NegativeLogLikelihood`.
        fixed: parameters that are not learned, e.g. ``{"scale": 1.0}``; none unless given.

    Raises:
        ProblemError: for a class without `log_prob`, a parameter it does not have, or a constraint that
            neither the model nor `transform` meets.

    >>> loss = from_distribution(torch.distributions.Laplace, fixed={"scale": 1.0})
    >>> loss(torch.tensor([1.0, 4.0]), torch.tensor([0.5, 2.0])) - torch.tensor(2.0).log()
    tensor(1.2500)
    >>> loss.label
    "negative_log_likelihood(distribution='Laplace')"
    >>> both = from_distribution("Normal", ("loc", "scale"), transform=True)  # exp of the second output is the scale
    >>> both(torch.tensor([[0.0, 0.0], [1.0, 2.0]]), torch.tensor([1.0, 1.0]))
    tensor(2.1689)
    """
    return NegativeLogLikelihood(
        distribution, outputs, {} if fixed is None else fixed, transform, dim, reduction=reduction
    )
