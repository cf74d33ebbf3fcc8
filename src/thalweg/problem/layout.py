"""How inputs, targets and weights lie in a sample, or in all of them together, as a user gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from .. import losses
from ..errors import ProblemError
from ..language import mark
from ..samples import Samples, Weighted, known
from .source import required_arguments

FORMS = mark(
    "a pair (inputs, targets) of tensors, arrays or trees of them, a triple with weights of samples, a dict with "
    "labels, a torch Dataset or a DataLoader"
)
TARGETS = ("labels", "label", "targets", "target", "y")  # names of the targets in a dict
PAIR, TRIPLE, FLAT, WHOLE = "pair", "triple", "flat", "whole"  # forms; one of the names in a dict is a form too


class Layout(NamedTuple):
    """What a problem's loss and model say of its samples.

    Attributes:
        whole: whether the loss sees the model and a batch as it is, so that targets need not be told apart.
        inputs: arguments that the model's `forward` needs: as many of a flat tuple of tensors are inputs.
    """

    whole: bool = False
    inputs: int = 1


USUAL = Layout()


def layout_of(loss: Any, module: nn.Module | None) -> Layout:
    """The layout of a problem's samples.

    >>> class Two(nn.Module):
    ...     def forward(self, first, second, mask=None): ...
    >>> layout_of("mse", Two()), layout_of(lambda model, batch: None, nn.Linear(1, 1))
    (Layout(whole=False, inputs=2), Layout(whole=True, inputs=1))
    """
    return Layout(losses.sees_model(loss), 1 if module is None else max(1, required_arguments(module.forward)))


def form_of(item: Any, layout: Layout = USUAL) -> str:
    """How inputs and targets lie in it: "pair", "triple" with weights, "flat", "whole", or in a dict the name of the
    targets; empty if unknown.

    Flat are tensors side by side, (a, b, y, c), of a model whose `forward` needs several: as many are inputs, and all
    others are targets.

    >>> a = b = y = 0
    >>> form_of((a, y)), form_of(((a, b), y)), form_of((a, b, y)), form_of((a, b, y), Layout(inputs=2))
    ('pair', 'pair', 'triple', 'flat')
    """
    if isinstance(item, tuple | list) and not hasattr(item, "_fields"):
        flat = len(item) > layout.inputs > 1 and not any(isinstance(one, tuple | list | Mapping) for one in item)
        if flat and not layout.whole:
            return FLAT
        if len(item) in (2, 3):
            return PAIR if len(item) == 2 else TRIPLE
    if layout.whole:
        return WHOLE
    names = [name for name in TARGETS if name in item] if isinstance(item, Mapping) else []
    return names[0] if len(names) == 1 else ""


def given(item: Any, where: str, layout: Layout = USUAL) -> Samples:
    """Samples in any form that a user may give.

    Raises:
        ProblemError: it is none of these.
    """
    if isinstance(item, Samples):
        return item
    form = form_of(item, layout)
    if form == PAIR:
        return Samples(*map(known, item))
    if form == TRIPLE:
        return Samples(known(item[0]), Weighted(known(item[1]), item[2]))
    if form == FLAT:
        inputs, targets = tuple(item[: layout.inputs]), tuple(item[layout.inputs :])
        return Samples(inputs, targets[0] if len(targets) == 1 else targets)
    if form == WHOLE:
        return Samples(known(item))
    if form:
        return Samples({name: known(value) for name, value in item.items() if name != form}, known(item[form]))
    if isinstance(item, Mapping):
        raise ProblemError(
            "the {where} data are a dict of {names}; call the targets one of {names2}, or give (inputs, targets).",
            where=where,
            names=", ".join(map(repr, item)),
            names2=", ".join(TARGETS),
        )
    size = f" of {len(item)}" if isinstance(item, tuple | list) else ""
    raise ProblemError(
        "the {where} data are of type {kind}{size}; give {forms}.",
        where=where,
        kind=type(item).__name__,
        size=size,
        forms=FORMS,
    )
