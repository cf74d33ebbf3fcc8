"""Parameter groups in a script: the lines that make torch's list of them from the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..formulas import Formula
from ..formulas.opaque import Opaque
from ..formulas.registry import torch_class
from ..population.groups import ParameterGroup, ParameterGroups


def groups_code(groups: ParameterGroups, formula: Formula, lr: float) -> str:
    """The lines that freeze parameters of `model`, and make torch's list of `groups` of the others."""
    usual, lines = {**formula.hyperparameters, "lr": lr}, []
    if groups.frozen:
        lines += [f"for name in {_names(groups.frozen)}:\n    model.get_parameter(name).requires_grad_(False)"]
    if not groups.groups:
        return "\n".join(lines)
    own = [(group.names, _arguments(formula, group, usual)) for group in groups.groups]
    each = (f"    ({_names(names)}, {_dict(arguments)}),\n" for names, arguments in own)
    lines += [f"own = [  # parameters, and what they have of their own\n{''.join(each)}]"]
    if groups.others:
        lines += ["apart = {name for names, _ in own for name in names}"]
        lines += ["others = [p for name, p in model.named_parameters() if p.requires_grad and name not in apart]"]
    sign = "+=" if groups.others else "="
    lines += ['groups = [{"params": others}]'] if groups.others else []
    each = '[{"params": [model.get_parameter(name) for name in names], **numbers} for names, numbers in own]'
    return "\n".join([*lines, f"groups {sign} {each}"])


def _names(names: Sequence[str]) -> str:
    """Names as a list, each on a line of its own where they are many."""
    texts = [*map(json.dumps, names)]
    line = f"[{', '.join(texts)}]"
    return line if len(line) <= 80 else "[\n" + "".join(f"        {text},\n" for text in texts) + "    ]"


def _dict(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f'"{name}": {value!r}' for name, value in values.items()) + "}"


def _arguments(formula: Formula, group: ParameterGroup, usual: Mapping[str, float]) -> dict[str, Any]:
    """What a group has of its own, as the class in the script calls it."""
    arguments = group.arguments(formula, usual)
    chosen = bool(group.forms(formula))  # of which torch.optim knows nothing
    drop_in = None if isinstance(formula, Opaque) or chosen else torch_class(formula)
    if drop_in is None:
        return arguments
    before = drop_in.arguments(formula, **usual)
    return {n: v for n, v in drop_in.arguments(formula, **{**usual, **arguments}).items() if v != before[n]}
