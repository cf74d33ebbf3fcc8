"""What a run reports: the names and numbers of a report, and how a run is ended by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import TrainingError, short

PARTS = ("train_", "validation_", "test_")
LOSS = "validation_loss"


class RunEnded(BaseException):
    """The run is to end here: it has lost, diverged, or time is up."""


def column(name: str) -> str:
    """The column of the study's tables for what is reported under a name.

    >>> column("accuracy"), column("train_loss"), column("loss")
    ('validation_accuracy', 'train_loss', 'validation_loss')
    """
    return name if name.startswith(PARTS) else f"validation_{name}"


def reported(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The values under a study's names, where those of the validation part begin otherwise.

    >>> reported({"val_loss": 1.0, "train_loss": 2.0}, "val_")
    {'validation_loss': 1.0, 'train_loss': 2.0}
    """
    return {f"validation_{n.removeprefix(prefix)}" if n.startswith(prefix) else n: v for n, v in values.items()}


def number(name: str, value: Any) -> float:
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(f"{name}={short(repr(value))} was reported, which is not a number.") from error
