"""Whether model, data, loss and metrics fit together, each misfit in one sentence.

The checks run the model, the loss and the metrics on a few samples, because that is the only way to know; what torch
would silently broadcast or read as another class is looked at before it is run. Used by `prepare.py` alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from .. import losses
from ..errors import ProblemError, first_line, line_of, raised
from ..language import say
from ..losses import fit
from ..samples import Samples, Tree, call, is_tree, leaves, scores


def labelled(models: Any) -> dict[str | int | float, Any]:
    """Label → function of several models that are compared.

    Raises:
        ProblemError: there is none, or a label or a function of another kind.
    """
    if isinstance(models, list | tuple) and all(map(callable, models)):
        names = [getattr(one, "__name__", type(one).__name__) for one in models]
        if twice := [name for k, name in enumerate(names) if name in names[:k]]:
            raise ProblemError(
                "two models are called {twice}; give a mapping of labels to functions.", twice=repr(twice[0])
            )
        models = dict(zip(names, models, strict=True))
    if not isinstance(models, Mapping) or not models:
        raise ProblemError(
            "several models are a mapping of labels to functions that return a fresh module, or a list "
            "of such functions, {{'plain': plain, 'batch norm': normed}}, not {models}.",
            models=repr(models),
        )
    for label in models:
        if isinstance(label, bool) or not isinstance(label, str | int | float) or label == "":
            raise ProblemError("a model is called {label}; give it a name, or a number.", label=repr(label))
    return dict(models)


def build(model: Any) -> nn.Module:
    """A fresh module from the user's function, checked.

    Raises:
        ProblemError: if it is not a function, fails, or returns something that cannot be trained.
    """
    if isinstance(model, nn.Module):
        raise ProblemError(
            "the model is a module of type {kind}; give a function that returns a fresh one, e.g. model=lambda: "
            "{kind}(...), since every member starts anew.",
            kind=type(model).__name__,
        )
    if not callable(model):
        raise ProblemError(
            "the model is of type {kind}; give a function without arguments that returns a fresh module.",
            kind=type(model).__name__,
        )
    try:
        module, another = model(), model()
    except Exception as error:  # whatever a user's function may raise
        raise ProblemError(
            "the model function fails with {error}; it must run without arguments and return a fresh module.",
            error=raised(error),
        ) from error
    if not isinstance(module, nn.Module) or not isinstance(another, nn.Module):
        raise ProblemError(
            "the model function returned something of type {kind}; it must return a torch.nn.Module.",
            kind=type(module).__name__,
        )
    if module is another or {id(p) for p in module.parameters()} & {id(p) for p in another.parameters()}:
        raise ProblemError(
            "the model function returned the same parameters twice; it must build a fresh module each time."
        )
    _check_parameters(module)
    return module.cpu()


def _check_parameters(module: nn.Module) -> None:
    parameters = list(module.parameters())
    if any(nn.parameter.is_lazy(p) or p.is_meta for p in parameters):
        raise ProblemError(
            "the model has parameters without values (lazy or on the meta device); give its layers their sizes."
        )
    if not any(p.requires_grad for p in parameters):
        raise ProblemError(
            "the model has {count} parameters and none that is trainable; give it a layer whose "
            "parameters require gradients.",
            count=len(parameters),
        )
    dtypes = sorted({fit.dtype(p) for p in parameters})
    if len(dtypes) > 1:
        raise ProblemError(
            "the model's parameters are of mixed types ({names}); make them one, e.g. with .float() or .double().",
            names=", ".join(dtypes),
        )
    if not parameters[0].is_floating_point():
        raise ProblemError("the model's parameters are {dtypes}; make them real, e.g. with .float().", dtypes=dtypes[0])


def forward(module: nn.Module, inputs: Tree, where: str) -> Any:
    """What the model makes of a few samples."""
    try:
        return call(module, inputs)
    except Exception as error:  # whatever a user's model may raise
        floats = all(t.is_floating_point() for t in leaves(inputs))
        ids = "" if floats or is_tree(inputs) else "; integer inputs are taken as ids, so make measurements floats"
        raise ProblemError(
            "the model cannot take the {where} inputs, of {inputs} ({error}){line}; make its first "
            "layer and the data fit{ids}.",
            where=where,
            inputs=described(inputs),
            error=first_line(error),
            line=line_of(error),
            ids=ids,
        ) from error


def described(inputs: Any) -> str:
    if not is_tree(inputs):
        return f"shape {fit.shape(inputs)} and type {fit.dtype(inputs)}"
    tensors = [t for t in leaves(inputs) if isinstance(t, torch.Tensor)]
    return f"type {type(inputs).__name__} with {', '.join(f'{fit.shape(t)} {fit.dtype(t)}' for t in tensors)}"


def check_outputs(outputs: Any, inputs: torch.Tensor) -> torch.Tensor:
    """Refuse outputs that are not one tensor, (samples, …), which is what losses and metrics with a name take."""
    outputs = scores(outputs)
    if not isinstance(outputs, torch.Tensor):
        raise ProblemError(
            "the model returns something of type {kind}; let it return a single tensor or an object with "
            "`logits`, or give a loss and metrics of your own that take what it returns.",
            kind=type(outputs).__name__,
        )
    if outputs.ndim == 0 or len(outputs) != len(inputs) or not outputs.is_floating_point():
        raise ProblemError(
            "the model makes outputs of shape {shape} and type {dtype} from {count} samples; it must "
            "return floats with one row per sample.",
            shape=tuple(outputs.shape),
            dtype=fit.dtype(outputs),
            count=len(inputs),
        )
    return outputs


def check_loss(spec: Any, module: nn.Module, few: Samples, part: Samples, where: str) -> None:
    """Refuse a model and samples on which this loss would fail, or be broadcast into nonsense.

    Args:
        few: samples to run it on.
        part: all of them, whose values are looked at.
    """
    name, measure = losses.name_of(spec), losses.get(spec)
    what = say("the loss {name}", name=name)
    if isinstance(measure, losses.OfModel):
        on = say(" on the {where} samples", where=where)
        _check_value(name, tried(what, lambda: measure.function(module, few.batch), on, ProblemError), few)
        return
    outputs, targets = forward(module, few.inputs, where), few.plain_targets
    if not isinstance(measure, losses.Custom) or not is_tree(outputs):
        outputs = check_outputs(outputs, leaves(few.inputs)[0])
    if not isinstance(measure, losses.Custom):
        check_targets(what, targets, where)
    measure.check(outputs, part.plain_targets, where)
    check_mean(what, measure)
    weighted = few.targets is not targets
    given = measure if weighted or not callable(spec) else spec
    on = on_values(outputs, targets, where)
    value = tried(what, lambda: given(outputs, few.targets), on, ProblemError)
    _check_value(name, value, few)


def check_targets(what: str, targets: Any, where: str) -> None:
    """Refuse several tensors of targets."""
    if is_tree(targets):
        raise ProblemError(
            "{what} compares outputs with one tensor of targets, and the {where} targets are {count} tensors "
            "in one {kind}; give a function (outputs, targets) of your own.",
            what=what,
            where=where,
            kind=type(targets).__name__,
            count=len(leaves(targets)),
        )


def check_mean(what: str, measure: Any) -> None:
    """Refuse a loss or a metric that adds up where others take means."""
    if getattr(measure, "reduction", "mean") not in ("mean", "batchmean"):
        raise ProblemError(
            "{what} is not a mean, and a study compares means over samples; leave reduction= away.", what=what
        )


def on_values(outputs: Any, targets: Any, where: str) -> str:
    """Of what something fails, as words that follow."""
    return say(
        " on outputs of {outputs} and {where} targets of {targets}",
        outputs=described(outputs),
        where=where,
        targets=described(targets),
    )


def tried(what: str, call: Callable[[], Any], on: str, said: type[Exception] | tuple[()] = ()) -> Any:
    """What a loss or a metric gives, whatever it raises in one sentence; errors of type `said` are one already."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Using a target size")  # torch is about to broadcast
            return call()
    except said:
        raise
    except Exception as error:  # whatever a user's loss or metric may raise
        raise ProblemError(
            "{what} fails{on} ({error}){line}; make them fit.",
            what=what,
            on=on,
            error=first_line(error),
            line=line_of(error),
        ) from error


def _check_value(name: str, value: Any, few: Samples) -> None:
    if not isinstance(value, torch.Tensor):
        raise ProblemError(
            "the loss {name} returned something of type {kind}; it must return a tensor, a scalar or one value "
            "per sample.",
            name=name,
            kind=type(value).__name__,
        )
    if value.ndim and len(value) != few.size:
        raise ProblemError(
            "the loss {name} returned a tensor of shape {shape} for {size} samples; it must return a "
            "scalar or one value per sample.",
            name=name,
            shape=tuple(value.shape),
            size=few.size,
        )
    if not value.requires_grad:
        raise ProblemError(
            "the loss {name} does not depend on the model's parameters; compute it from outputs, without detach().",
            name=name,
        )
