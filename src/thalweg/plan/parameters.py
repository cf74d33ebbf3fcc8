"""What the parameters of a model are called, and which of them a pattern fits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from ..errors import PlanError, short
from ..unknown import unknown

BIASES, NORMS, BOTH = "biases", "norms", "biases and norms"


class Names:
    """The names of a model's parameters; one that is shared has several, of which the first is its own."""

    def __init__(self, model: nn.Module) -> None:
        self.first = {id(p): name for name, p in model.named_parameters()}
        self.every = {name: self.first[id(p)] for name, p in model.named_parameters(remove_duplicate=False)}
        self.training = [name for name, p in model.named_parameters() if p.requires_grad]
        norms = {name for name, module in model.named_modules() if _is_norm(module)}
        self.norms = [name for name in self.every if name.rpartition(".")[0] in norms]
        self.biases = [name for name in self.every if {"bias", "biases"} & {*name.rpartition(".")[2].split("_")}]

    def fitting(self, pattern: Any) -> list[str]:
        """The parameters that train and that a pattern fits."""
        if not isinstance(pattern, str):
            raise PlanError(
                "groups: the pattern {pattern} is not text; give names such as 'head.*'.", pattern=repr(pattern)
            )
        words = {BIASES: self.biases, NORMS: self.norms, BOTH: [*self.biases, *self.norms]}
        names = words.get(pattern) or [name for name in self.every if fnmatchcase(name, pattern)]
        fits = {self.every[name] for name in names}
        if not fits:
            raise PlanError(f"groups: {unknown('parameter of this model', pattern, self.every)}")
        if not (trains := [name for name in self.training if name in fits]):
            raise PlanError(
                "groups: what {pattern} fits does not train ({fits}); leave it out.",
                pattern=repr(pattern),
                fits=few(sorted(fits)),
            )
        return trains


def shown(value: Any) -> str:
    """What was given, on one line."""
    return short(" ".join(repr(value).split()))


def few(names: Sequence[str]) -> str:
    return ", ".join([*names[:6], *["…"] * (len(names) > 6)])


def _is_norm(module: nn.Module) -> bool:
    """Whether it normalizes, by the name of its class: LayerNorm, BatchNorm2d, LlamaRMSNorm."""
    return re.search(r"norm(\dd)?$", type(module).__name__.lower()) is not None
