"""`size`: how large a model is, said before anything of it is trained."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .. import formulas
from ..errors import UsageError, first_line
from ..formulas import Formula
from ..language import mark, say
from ..losses import fit
from ..numbers import Range
from ..problem.builtin import PROBLEMS
from ..problem.declaration import Problem
from ..problem.find import load
from ..problem.prepare import prepare, sample_of_train
from ..problem.source import is_spec, opened
from ..unknown import unknown
from .known import KNOWN
from .layers import Inputs, layers
from .shown import Size

YOURS = mark("your own is given as file.py:function or package.module:function, which returns a torch.nn.Module")


def size(
    model: nn.Module | Callable[[], Any] | Problem | str,
    input: Any = None,
    batch: int = 1,
    optimizers: Sequence[str | Formula] | None = None,
) -> Size:
    """Output shape, kernel, parameters and multiply-adds of every layer; bytes of weights, gradients and states.

    The model is not run and not changed: a copy of it without values is. Multiply-adds are those of matrix products
    and convolutions, in a forward pass in evaluation mode; additions of biases, norms, activations and pooling are
    not among them.

    Args:
        model: an `nn.Module`; a function that returns one, or (module, example input), or a `tw.Problem`; a problem;
            or a name: ``lenet``, ``alexnet``, ``alexnet-2gpu``, ``googlenet``, ``bottleneck``, a built-in problem,
            ``"file.py:function"`` or ``"package.module:function"``.
        input: the shape of one sample without the batch, ``(3, 224, 224)``; with a dtype, ``"32:int64"``; a list of
            shapes for a model with several inputs; a mapping of them by name; or tensors, with their batch. Known
            models and problems have one. Without any, parameters alone are counted.
        batch: samples at once; multiply-adds grow with it, parameters do not.
        optimizers: whose states to count, by name, with options if need be (``"adam(amsgrad=True)"``); by default
            every rule of `tw.formulas`.

    Raises:
        UsageError: an unknown model, or one that fails on the input.

    >>> import thalweg as tw
    >>> alexnet = tw.size("alexnet-2gpu")
    >>> [row.weights for row in alexnet.table(depth=1).itertuples() if row.weights]
    [34848, 307200, 884736, 663552, 442368, 177209344, 16777216, 4096000]
    >>> bool(alexnet.memory().loc["adam", "float32"] == 2 * 4 * alexnet.parameters)
    True
    """
    batch = Range(1, whole=True, unit="samples").check(say("the batch"), batch)
    rules = tuple(formulas.known(f) for f in (formulas.FORMULAS.values() if optimizers is None else optimizers))
    name, module, example, note = _resolved(model)
    shape = example if input is None and isinstance(example, str) else input
    inputs: Any = example if shape is None else _inputs(shape, batch, _dtype(module))
    tensors = [leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)]
    words = say(" and ").join(f"{'×'.join(map(str, t.shape))} {fit.dtype(t)}" for t in tensors)
    rows, counted = layers(module, inputs, say("an input of {words}", words=words) if tensors else say("this input"))
    parameters = tuple((tuple(p.shape), p.requires_grad) for p in counted.parameters())
    buffers = sum(b.numel() * b.element_size() for b in counted.buffers())
    return Size(name, tuple(rows), tuple(tuple(t.shape) for t in tensors), parameters, buffers, rules, note)


# Name, module, its input (the shape of a sample as text, what to call it with, or None), note.
Resolved = tuple[str, nn.Module, str | Inputs | None, str]


def _resolved(model: Any) -> Resolved:
    if isinstance(model, nn.Module):
        return type(model).__name__, model, None, ""
    if isinstance(model, Problem):
        return _of_problem(model)
    if callable(model):
        name = getattr(model, "__name__", type(model).__name__)
        return _made(name, _returned(name, model), name)
    if not isinstance(model, str):
        raise UsageError(
            "the model is of type {kind}; give a torch.nn.Module, a function that returns one, a tw.Problem or a name.",
            kind=type(model).__name__,
        )
    if model in KNOWN:
        entry = KNOWN[model]
        with torch.device("meta"):
            return model, entry.make(), ",".join(map(str, entry.input)), entry.note
    if is_spec(model):
        with opened(model, UsageError) as definition, torch.random.fork_rng(devices=[]):
            thing = definition.get()
            return _made(definition.name, thing if isinstance(thing, nn.Module) else definition.call(), model)
    if model in PROBLEMS:
        return _of_problem(load(model))
    if model.endswith(".py"):
        raise UsageError("{spec} names a file and no function in it; write {spec}:function.", spec=model)
    raise UsageError(unknown("model", model, [*KNOWN, *PROBLEMS]).removesuffix(".") + f"; {say(YOURS)}.")


def _returned(name: str, function: Callable[[], Any]) -> Any:
    """What a user's function gives."""
    try:
        with torch.random.fork_rng(devices=[]):
            return function()
    except (Exception, SystemExit) as fault:  # whatever a user's function may raise
        raise UsageError(
            "{name}() fails with {kind} ({fault}); give a function without arguments that returns a torch.nn.Module.",
            name=name,
            kind=type(fault).__name__,
            fault=first_line(fault),
        ) from fault


def _made(name: str, model: Any, given: str) -> Resolved:
    """Of what a user's function has returned: a module, a module and an example input, or a problem."""
    if isinstance(model, Problem):
        return _of_problem(model, name)
    example = None
    if isinstance(model, tuple) and len(model) == 2 and isinstance(model[0], nn.Module):
        model, example = model[0], _arguments(model[1])
    if not isinstance(model, nn.Module):
        raise UsageError(
            "{given} returned something of type {kind}; it must return a torch.nn.Module, a pair (module, example "
            "input) or a tw.Problem.",
            given=given,
            kind=type(model).__name__,
        )
    return name, model, example, ""


def _of_problem(problem: Problem, name: str = "") -> Resolved:
    ready = prepare(problem)
    sample = sample_of_train(ready)[0]
    shape = f"{','.join(map(str, sample.shape[1:]))}:{fit.dtype(sample)}"
    with torch.random.fork_rng(devices=[]):
        return problem.name or name, ready.model(), shape, ""


def _dtype(module: nn.Module) -> torch.dtype:
    """What the model's numbers are; float32 where it has none."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)


_SHAPE = re.compile(r"\s*(\d+(?:\s*,\s*\d+)*)?\s*(?::\s*(\w+)\s*)?")


def _inputs(input: Any, batch: int, dtype: torch.dtype) -> Inputs:
    """What to call the model with, from shapes or tensors."""
    if isinstance(input, list | tuple) and all(isinstance(n, int) for n in input):
        input = [input]  # one shape
    arguments, named = _arguments(input)
    by_name = {str(name): _tensor(value, batch, dtype) for name, value in named.items()}
    return tuple(_tensor(value, batch, dtype) for value in arguments), by_name


def _arguments(input: Any) -> Inputs:
    if isinstance(input, Mapping):
        return (), dict(input)
    return (tuple(input) if isinstance(input, list | tuple) else (input,)), {}


def _tensor(value: Any, batch: int, dtype: torch.dtype) -> Tensor:
    """The tensor itself; of a shape, zeros without memory, which every embedding can look up."""
    if isinstance(value, Tensor):
        if batch != 1:
            raise UsageError("a tensor has its batch already; give either a shape and a batch, or the tensor alone.")
        return value
    text = ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    match = _SHAPE.fullmatch(text)
    kind = getattr(torch, match[2], None) if match and match[2] else dtype
    sizes = [int(n) for n in (match[1] or "").split(",") if n.strip()] if match else []
    if match is None or not isinstance(kind, torch.dtype) or 0 in sizes:
        raise UsageError(
            "{text} is not the shape of an input: give the sizes of one sample, without the batch, as "
            "3,224,224, with a dtype after a colon if it is not that of the weights, as 32:int64.",
            text=repr(text),
        )
    return torch.zeros(1, dtype=kind).expand(batch, *sizes)
