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
            raise ProblemError(f"two models are called {twice[0]!r}; give a mapping of labels to functions.")
        models = dict(zip(names, models, strict=True))
    if not isinstance(models, Mapping) or not models:
        raise ProblemError(
            "several models are a mapping of labels to functions that return a fresh module, or a list of such "
            f"functions, {{'plain': plain, 'batch norm': normed}}, not {models!r}."
        )
    for label in models:
        if isinstance(label, bool) or not isinstance(label, str | int | float) or label == "":
            raise ProblemError(f"a model is called {label!r}; give it a name, or a number.")
    return dict(models)


def build(model: Any) -> nn.Module:
    """A fresh module from the user's function, checked.

    Raises:
        ProblemError: if it is not a function, fails, or returns something that cannot be trained.
    """
    if isinstance(model, nn.Module):
        raise ProblemError(
            f"the model is a {type(model).__name__} module; give a function that returns a fresh one, "
            f"e.g. model=lambda: {type(model).__name__}(...), since every member starts anew."
        )
    if not callable(model):
        raise ProblemError(
            f"the model is a {type(model).__name__}; give a function without arguments that returns a fresh module."
        )
    try:
        module, another = model(), model()
    except Exception as error:  # whatever a user's function may raise
        raise ProblemError(
            f"the model function fails with {raised(error)}; it must run without arguments and return a fresh module."
        ) from error
    if not isinstance(module, nn.Module) or not isinstance(another, nn.Module):
        raise ProblemError(f"the model function returned a {type(module).__name__}; it must return a torch.nn.Module.")
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
            f"the model has {len(parameters)} parameters and none that is trainable; "
            "give it a layer whose parameters require gradients."
        )
    dtypes = sorted({fit.dtype(p) for p in parameters})
    if len(dtypes) > 1:
        raise ProblemError(
            f"the model's parameters are of mixed types ({', '.join(dtypes)}); "
            "make them one, e.g. with .float() or .double()."
        )
    if not parameters[0].is_floating_point():
        raise ProblemError(f"the model's parameters are {dtypes[0]}; make them real, e.g. with .float().")


def forward(module: nn.Module, inputs: Tree, where: str) -> Any:
    """What the model makes of a few samples."""
    try:
        return call(module, inputs)
    except Exception as error:  # whatever a user's model may raise
        floats = all(t.is_floating_point() for t in leaves(inputs))
        ids = "" if floats or is_tree(inputs) else "; integer inputs are taken as ids, so make measurements floats"
        raise ProblemError(
            f"the model cannot take the {where} inputs, of {described(inputs)} "
            f"({first_line(error)}){line_of(error)}; make its first layer and the data fit{ids}."
        ) from error


def described(inputs: Any) -> str:
    if not is_tree(inputs):
        return f"shape {fit.shape(inputs)} and type {fit.dtype(inputs)}"
    tensors = [t for t in leaves(inputs) if isinstance(t, torch.Tensor)]
    return f"a {type(inputs).__name__} of {', '.join(f'{fit.shape(t)} {fit.dtype(t)}' for t in tensors)}"


def check_outputs(outputs: Any, inputs: torch.Tensor) -> torch.Tensor:
    """Refuse outputs that are not one tensor, (samples, …), which is what losses and metrics with a name take."""
    outputs = scores(outputs)
    if not isinstance(outputs, torch.Tensor):
        raise ProblemError(
            f"the model returns a {type(outputs).__name__}; let it return a single tensor or an object with `logits`, "
            "or give a loss and metrics of your own that take what it returns."
        )
    if outputs.ndim == 0 or len(outputs) != len(inputs) or not outputs.is_floating_point():
        raise ProblemError(
            f"the model makes outputs of shape {tuple(outputs.shape)} and type {fit.dtype(outputs)} "
            f"from {len(inputs)} samples; it must return floats with one row per sample."
        )
    return outputs


def check_loss(spec: Any, module: nn.Module, few: Samples, part: Samples, where: str) -> None:
    """Refuse a model and samples on which this loss would fail, or be broadcast into nonsense.

    Args:
        few: samples to run it on.
        part: all of them, whose values are looked at.
    """
    name = losses.name_of(spec)
    measure = losses.get(spec)
    if isinstance(measure, losses.OfModel):
        _check_value(name, _tried(name, lambda: measure.function(module, few.batch), f" on the {where} samples"), few)
        return
    outputs, targets = forward(module, few.inputs, where), few.plain_targets
    if not isinstance(measure, losses.Custom) or not is_tree(outputs):
        outputs = check_outputs(outputs, leaves(few.inputs)[0])
    if not isinstance(measure, losses.Custom):
        check_targets(f"the loss {name}", targets, where)
    measure.check(outputs, part.plain_targets, where)
    if measure.reduction not in ("mean", "batchmean"):
        raise ProblemError(
            f"the loss {name} is not a mean, and a study compares means over samples; leave reduction= away."
        )
    weighted = few.targets is not targets
    value = _tried(
        name,
        lambda: measure(outputs, few.targets) if weighted else (spec if callable(spec) else measure)(outputs, targets),
        f" on outputs of {described(outputs)} and {where} targets of {described(targets)}",
    )
    _check_value(name, value, few)


def check_targets(what: str, targets: Any, where: str) -> None:
    """Refuse several tensors of targets."""
    if is_tree(targets):
        raise ProblemError(
            f"{what} compares outputs with one tensor of targets, and the {where} targets are a "
            f"{type(targets).__name__} of {len(leaves(targets))}; give a function (outputs, targets) of your own."
        )


def _tried(name: str, call: Callable[[], Any], on: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Using a target size")  # torch is about to broadcast
            return call()
    except ProblemError:
        raise
    except Exception as error:  # whatever a user's loss may raise
        raise ProblemError(
            f"the loss {name} fails{on} ({first_line(error)}){line_of(error)}; make them fit."
        ) from error


def _check_value(name: str, value: Any, few: Samples) -> None:
    if not isinstance(value, torch.Tensor):
        raise ProblemError(
            f"the loss {name} returned a {type(value).__name__}; it must return a tensor, "
            "a scalar or one value per sample."
        )
    if value.ndim and len(value) != few.size:
        raise ProblemError(
            f"the loss {name} returned a tensor of shape {tuple(value.shape)} for {few.size} samples; "
            "it must return a scalar or one value per sample."
        )
    if not value.requires_grad:
        raise ProblemError(
            f"the loss {name} does not depend on the model's parameters; compute it from outputs, without detach()."
        )
