"""A problem's metrics: which end of each is better, and whether they can be computed of its parts.

A metric that is computed inside a population's program is checked like the loss, on the shapes and values that it asks
for. Any other may be any code at all, and many have no value on a few samples: it is tried on all of the validation and
test samples, with the outputs of an untrained model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from .. import losses
from ..errors import ProblemError
from ..language import say
from ..losses.foreign import OWN, Foreign, thresholds
from ..losses.metrics import answers, binary
from ..samples import Samples, Tree, is_tree, known, leaves, scores, take
from .checks import check_mean, check_outputs, check_targets, forward, on_values, tried
from .declaration import Problem

FEW, AT_ONCE = 8, 1024  # samples


def judged_by(problem: Problem, by_metric: Any) -> dict[str, Any]:
    """What a plan is told of the metrics: `directions` of those that their names do not say, `by_metric` as the
    problem calls it, and between which ends the loss lies.

    >>> judged_by(Problem(model=None, train=None, metrics=("F1 score",)), "F1-Score")["by_metric"]
    'f1'
    """
    metrics = problem.metrics if isinstance(problem.metrics, tuple | list) else ()
    each = {losses.name_of(metric): losses.direction(metric) for metric in metrics}
    directions = {name: sign for name, sign in each.items() if sign is not None and losses.direction_of(name) is None}
    told = {"directions": directions, "by_metric": _as_called(by_metric, each)}
    return told | {"loss_scale": losses.get(problem.loss).scale}


def _as_called(by_metric: Any, names: Mapping[str, Any]) -> Any:
    if not isinstance(by_metric, str) or by_metric in ("", "loss", *names):
        return by_metric
    name, colon, end = by_metric.partition(":")
    try:
        label = losses.name_of(name)
    except ProblemError:
        return by_metric
    return f"{label}{colon}{end}" if label in names else by_metric


def check_metrics(metrics: Mapping[str, Any], module: nn.Module, parts: Mapping[str, Samples]) -> None:
    """Refuse metrics that cannot be computed of these parts.

    Args:
        parts: "validation" and "test" → their samples.

    Raises:
        ProblemError: one sentence.
    """
    module.eval()
    for where, part in parts.items() if metrics else ():
        compares = next((n for n, one in metrics.items() if not isinstance(one, Foreign) or one.library != OWN), None)
        if compares is not None and not leaves(part.plain_targets):
            raise ProblemError(
                "the metric {name} compares outputs with targets, and a loss of (model, batch) leaves none in the "
                "{where} data, of type {kind}; give train=(inputs, targets), or leave the metrics out.",
                name=compares,
                where=where,
                kind=type(part.inputs).__name__,
            )
        whole = any(losses.in_program(metric) is None for metric in metrics.values())
        seen = part if whole else part.take(slice(FEW))
        with torch.no_grad():
            made = [known(scores(forward(module, chunk.inputs, where))) for chunk in seen.split(AT_ONCE)]
        outputs = pytree.tree_map(lambda *t: torch.cat(t), *made)
        for name, metric in metrics.items():
            _check(name, metric, outputs, part.plain_targets, leaves(seen.inputs)[0], where)


def _check(name: str, metric: Any, outputs: Tree, targets: Tree, inputs: torch.Tensor, where: str) -> None:
    what = say("the metric {name}", name=name)
    if isinstance(metric, Foreign):
        if losses.sees_model(metric.function):
            raise ProblemError(
                "the metric {name} is a function of the model; let it be one of (outputs, targets).", name=name
            )
        if not is_tree(outputs) and not is_tree(targets) and thresholds(metric) and binary(outputs, targets):
            answers(name, outputs, targets, where, 0.0)
    else:
        check_outputs(outputs, inputs)
        check_targets(what, targets, where)
        metric.check(outputs, targets, where)
        check_mean(what, metric)
    tried(what, lambda: metric(outputs, take(targets, slice(len(inputs)))), on_values(outputs, targets, where))
