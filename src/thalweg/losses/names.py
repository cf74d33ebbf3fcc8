"""The name of a loss or a metric, however it is written."""

from __future__ import annotations

from collections.abc import Collection

from ..aliases import called, plain
from ..errors import ProblemError
from ..unknown import unknown

# Of probabilities, where `bce` takes scores: silently one for the other would train something else.
_OF_PROBABILITIES = ("bceloss", "binarycrossentropy")


def resolved(kind: str, given: str, names: Collection[str]) -> str:
    """The name that is meant.

    Args:
        kind: loss or metric, for the sentence.
        given: a name without arguments.

    Raises:
        ProblemError: nothing is called that.

    >>> resolved("loss", "BCEWithLogitsLoss", ["bce", "mse"])
    'bce'
    """
    if (name := called(kind, given, names)) is not None:
        return name
    if plain(given) in _OF_PROBABILITIES:
        raise ProblemError(
            "{given} is of probabilities, and bce of scores: leave the sigmoid out of the model and give "
            "'bce', or give torch.nn.BCELoss() itself.",
            given=given,
        )
    raise ProblemError(unknown(kind, given, names))
