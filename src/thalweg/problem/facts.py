"""What a store keeps of a problem's tables, in plain values, and a reader is told in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from .networks import network
from .preprocessing import Preprocessing
from .tables import Table, few


def facts_of(
    table: Table | None, preprocessing: Preprocessing | None, model: Callable[[], nn.Module], drawn: Mapping[str, bool]
) -> dict[str, Any]:
    """Names of columns and classes, how inputs are made of them, and the network that was chosen for them.

    ``network`` is inputs, outputs, width and hidden layers; ``stratified`` whether the test and the validation part
    were split off with the proportions of the classes; ``data`` says it in words.
    """
    if table is None:
        return {}
    facts: dict[str, Any] = {"columns": list(table.columns), "target": table.target, "classes": list(table.classes)}
    facts["stratified"] = [drawn.get(part, False) for part in ("test", "validation")]
    if preprocessing is not None:
        facts |= {"preprocess": preprocessing.described, "scaled_target": preprocessing.scaled}
        if (kinds := preprocessing.columns) is not None:
            left_out = [f"{name} ({why})" for name, why in kinds.left_out.items()]
            facts |= {"numbers": kinds.numbers, "words": kinds.words, "left_out": left_out}
            facts["made"] = [str(name) for name in preprocessing.names]
    if isinstance(model, partial) and model.func is network:
        facts["network"] = [*model.args, *model.keywords.values()]
    facts["data"] = _words(table, preprocessing)
    return facts


def _words(table: Table, preprocessing: Preprocessing | None) -> str:
    target = f"Target {table.target}" if table.target else "Targets"
    if table.classes:
        target += f": {len(table.classes)} classes ({few(table.classes)})"
    elif preprocessing is not None and preprocessing.scaled:
        target += ": numbers, with mean 0 and standard deviation 1 over the training rows"
    else:
        target += ": numbers"
    columns = f"{len(table.columns)} columns" if table.columns else "columns"
    if preprocessing is None:
        return f"{target}. Inputs: {columns}, unchanged."
    how = f": {preprocessing.columns}" if preprocessing.columns is not None else f" through {preprocessing.short}"
    return f"{target}. Inputs: {columns}{how}; fitted on the training rows alone."
