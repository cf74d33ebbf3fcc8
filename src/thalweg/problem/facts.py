"""What a store keeps of a problem's tables, in plain values, and a reader is told in words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from .data import HELD_OUT, stratified
from .networks import network
from .preprocessing import Preprocessing
from .tables import Table, few


def facts_of(
    table: Table | None, preprocessing: Preprocessing | None, model: Callable[[], nn.Module]
) -> dict[str, Any]:
    """Names of columns and classes, how inputs are made of them, and the network that was chosen for them.

    ``network`` is inputs, outputs, width and hidden layers; ``stratified`` whether the test and the validation part
    are, or would be, split off with the proportions of the classes; ``data`` says it in words.
    """
    if table is None:
        return {}
    facts: dict[str, Any] = {"columns": list(table.columns), "target": table.target, "classes": list(table.classes)}
    if preprocessing is not None:
        facts |= {"preprocess": preprocessing.described, "scaled_target": preprocessing.scaled}
        facts["stratified"] = _stratified(preprocessing)
        if (kinds := preprocessing.columns) is not None:
            left_out = [f"{name} ({why})" for name, why in kinds.left_out.items()]
            facts |= {"numbers": kinds.numbers, "words": kinds.words, "left_out": left_out}
            facts["made"] = [str(name) for name in preprocessing.names]
    if isinstance(model, partial) and model.func is network:
        facts["network"] = [*model.args, *model.keywords.values()]
    facts["data"] = _words(table, preprocessing)
    return facts


def _stratified(preprocessing: Preprocessing) -> list[bool]:
    pool, test = (part.plain_targets for part in (preprocessing.pool, preprocessing.test))
    if not isinstance(pool, type(test)) or not hasattr(pool, "numpy") or pool.is_floating_point():
        return [False, False]
    return [stratified(targets, HELD_OUT) for targets in (np.concatenate([pool, test]), pool.numpy())]


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
