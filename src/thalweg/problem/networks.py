"""Networks by name, for tables: as wide as the data ask for.

``linear`` is one layer, which is linear or logistic regression; ``mlp(width=64, layers=2)`` has hidden
layers with ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from .. import calls
from ..errors import ProblemError
from ..numbers import Range
from ..samples import Samples
from ..unknown import unknown

WIDTH, LAYERS = 64, 2


def network(inputs: int, outputs: int, width: int = WIDTH, layers: int = LAYERS) -> nn.Sequential:
    """Layers with ReLU between them, `layers` of them hidden.

    >>> [tuple(p.shape) for p in network(4, 3, width=8, layers=1).parameters()]
    [(8, 4), (8,), (3, 8), (3,)]
    """
    parts: list[nn.Module] = []
    for k in range(layers):
        parts += [nn.Linear(width if k else inputs, width), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width if layers else inputs, outputs))


def shape_of(text: str) -> dict[str, int]:
    """Width and number of hidden layers of the network of that name.

    Raises:
        ProblemError: there is none of that name, or its numbers are out of range.

    >>> shape_of("mlp(width=32)"), shape_of("linear")
    ({'width': 32, 'layers': 2}, {'width': 64, 'layers': 0})
    """
    name, arguments = calls.parse(text, ProblemError, "mlp(width=64, layers=2)")
    if name not in ("mlp", "linear"):
        raise ProblemError(
            unknown("model with a name", name, ("mlp", "linear")).removesuffix(".")
            + "; any other is given as a function that returns a fresh module."
        )
    known = {"width": WIDTH, "layers": LAYERS} if name == "mlp" else {}
    if more := [key for key in arguments if key not in known]:
        raise ProblemError(f"the model {name} has no argument {more[0]}; it has {', '.join(known) or 'none'}.")
    whole = Range(1, 100_000, whole=True)
    checked = {key: int(whole.check(f"{name}'s {key}", value, ProblemError)) for key, value in arguments.items()}
    return {"width": WIDTH, "layers": LAYERS if name == "mlp" else 0} | checked


def fitting(text: str, train: Any, classes: Sequence[str]) -> Callable[[], nn.Module]:
    """The function that makes the network of that name for these samples.

    Args:
        classes: the targets' labels, where they have any.

    Raises:
        ProblemError: the samples are not a table of numbers.
    """
    shape = shape_of(text)
    inputs, targets = (train.inputs, train.plain_targets) if isinstance(train, Samples) else (None, None)
    table = inputs if isinstance(inputs, Tensor) and inputs.ndim == 2 and inputs.is_floating_point() else None
    if table is None or not isinstance(targets, Tensor):
        raise ProblemError(
            "the model is the name {text}, whose size a table of numbers says, and the train data are "
            "not one; give a function that returns a fresh module.",
            text=repr(text),
        )
    ids = not targets.is_floating_point()
    outputs = max(len(classes), int(targets.max()) + 1) if ids else targets[0].numel()
    return partial(network, table.shape[1], outputs, **shape)
