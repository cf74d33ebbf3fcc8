"""`size`: how large a model is, said before anything of it is trained."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .. import formulas
from ..errors import ProblemError, UsageError, first_line, unknown
from ..formulas import Formula
from ..numbers import Range
from ..problem.builtin import PROBLEMS
from ..problem.declaration import Problem
from ..problem.find import load
from ..problem.prepare import prepare, sample_of_train
from ..problem.source import failed, is_spec, opened
from .known import KNOWN
from .layers import Inputs, layers
from .shown import Size

OWN = "your own is given as file.py:function or package.module:function, which returns a torch.nn.Module"


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
            or a name: ``lenet``, ``alexnet``, ``alexnet-2gpu``, a built-in problem, ``"file.py:function"`` or
            ``"package.module:function"``.
        input: the shape of one sample without the batch, ``(3, 224, 224)``; with a dtype, ``"32:int64"``; a list of
            shapes for a model with several inputs; a mapping of them by name; or tensors, with their batch. Known
            models and problems have one. Without any, parameters alone are counted.
        batch: samples at once; multiply-adds grow with it, parameters do not.
        optimizers: whose states to count, by name, with options if need be (``"adam(amsgrad=True)"``); every rule of
            `tw.formulas` unless given.

    Raises:
        UsageError: there is no such model, or it fails on the input.

    >>> import thalweg as tw
    >>> found = tw.size("alexnet-2gpu")
    >>> [row.weights for row in found.table(depth=1).itertuples() if row.weights]
    [34848, 307200, 884736, 663552, 442368, 177209344, 16777216, 4096000]
    >>> found.memory().loc["adam", "float32"] == 2 * 4 * found.parameters
    True
    """
    batch = Range(1, whole=True, unit="samples").check("the batch", batch)
    chosen = tuple(formulas.get(f) for f in (formulas.FORMULAS.values() if optimizers is None else optimizers))
    name, module, example, note = _found(model)
    inputs = example if input is None else _inputs(input, batch, _dtype(module))
    if input is None and isinstance(example, _Shape):
        inputs = _inputs(example.text, batch, _dtype(module))
    counted, made = layers(module, inputs, _words(inputs))
    return Size(
        name,
        tuple(counted),
        _shapes(inputs),
        tuple((p.numel(), p.requires_grad) for p in made.parameters()),
        sum(b.numel() * b.element_size() for b in made.buffers()),
        chosen,
        note,
    )


@dataclass(frozen=True)
class _Shape:
    """The shape of one sample, as `size` takes it."""

    text: str


def _found(model: Any) -> tuple[str, nn.Module, Any, str]:
    """(name, module, its input as a `_Shape` or as it is called or None, note)."""
    if isinstance(model, nn.Module):
        return type(model).__name__, model, None, ""
    if isinstance(model, Problem):
        return _of_problem(model)
    if callable(model):
        return _returned(getattr(model, "__name__", type(model).__name__), model)
    if not isinstance(model, str):
        raise UsageError(
            f"the model is a {type(model).__name__}; give a torch.nn.Module, a function that returns one, a "
            "tw.Problem or a name."
        )
    if model in KNOWN:
        known = KNOWN[model]
        with torch.device("meta"):
            return model, known.make(), _Shape(",".join(map(str, known.input))), known.note
    if is_spec(model):
        with opened(model, UsageError) as found:
            return _returned(found.name, found.get(), model)
    if model in PROBLEMS:
        return _of_problem(load(model))
    if model.endswith(".py"):
        raise UsageError(f"{model!r} names a file and no function in it; write {model}:function.")
    raise UsageError(unknown("model", model, [*KNOWN, *PROBLEMS]).removesuffix(".") + f"; {OWN}.")


def _returned(name: str, function: Any, spec: str = "") -> tuple[str, nn.Module, Any, str]:
    """What a user's function gives: a module, a module and an example input, or a problem."""
    if isinstance(function, nn.Module):
        return name, function, None, ""
    if not callable(function):
        raise UsageError(f"{spec!r}: {name} is a {type(function).__name__}; give a function.")
    try:
        with torch.random.fork_rng(devices=[]):
            made = function()
    except (Exception, SystemExit) as fault:  # whatever a user's function may raise
        if spec:
            raise failed(spec, f"function {name}", fault, UsageError) from fault
        raise UsageError(
            f"{name}() fails with {type(fault).__name__} ({first_line(fault)}); give a function without arguments "
            "that returns a torch.nn.Module."
        ) from fault
    if isinstance(made, Problem):
        return _of_problem(made, name)
    example = None
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module):
        made, example = made
        example = _called(example)
    if not isinstance(made, nn.Module):
        raise UsageError(
            f"{spec or name} returned a {type(made).__name__}; it must return a torch.nn.Module, a pair (module, "
            "example input) or a tw.Problem."
        )
    return name, made, example, ""


def _of_problem(problem: Problem, name: str = "") -> tuple[str, nn.Module, Any, str]:
    try:
        ready = prepare(problem)
    except ProblemError as fault:
        raise UsageError(str(fault)) from fault
    sample = sample_of_train(ready)[0]
    with torch.random.fork_rng(devices=[]):
        shape = ",".join(map(str, sample.shape[1:]))
        return problem.name or name, ready.model(), _Shape(f"{shape}:{_name(sample.dtype)}"), ""


def _dtype(module: nn.Module) -> torch.dtype:
    """What the model's numbers are; float32 where it has none."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


_SHAPE = re.compile(r"\s*(\d+(?:\s*,\s*\d+)*)?\s*(?::\s*(\w+)\s*)?")


def _inputs(given: Any, batch: int, dtype: torch.dtype) -> Inputs:
    """What to call the model with, from shapes or tensors."""
    if isinstance(given, Mapping):
        return (), {str(key): _tensor(value, batch, dtype) for key, value in given.items()}
    if isinstance(given, list | tuple) and not all(isinstance(n, int) for n in given):
        return tuple(_tensor(one, batch, dtype) for one in given), {}
    return (_tensor(given, batch, dtype),), {}


def _called(example: Any) -> Inputs:
    if isinstance(example, Mapping):
        return (), dict(example)
    return (tuple(example) if isinstance(example, list | tuple) else (example,)), {}


def _tensor(given: Any, batch: int, dtype: torch.dtype) -> Tensor:
    """A tensor as it is; of a shape, zeros without memory, which every embedding can look up."""
    if isinstance(given, Tensor):
        if batch != 1:
            raise UsageError("a tensor has its batch already; give either a shape and a batch, or the tensor alone.")
        return given
    text = given if isinstance(given, str) else ",".join(map(str, given)) if isinstance(given, Sequence) else str(given)
    match = _SHAPE.fullmatch(text)
    kind = getattr(torch, match[2], None) if match and match[2] else dtype
    sizes = [int(n) for n in (match[1] or "").split(",") if n.strip()] if match else []
    if match is None or not isinstance(kind, torch.dtype) or 0 in sizes:
        raise UsageError(
            f"{text!r} is not the shape of an input: give the sizes of one sample, without the batch, as 3,224,224, "
            "with a dtype after a colon if it is not that of the weights, as 32:int64."
        )
    return torch.zeros(1, dtype=kind).expand(batch, *sizes)


def _shapes(inputs: Inputs | None) -> tuple[tuple[int, ...], ...]:
    leaves = pytree.tree_leaves(inputs) if inputs is not None else []
    return tuple(tuple(t.shape) for t in leaves if isinstance(t, Tensor))


def _words(inputs: Inputs | None) -> str:
    leaves = pytree.tree_leaves(inputs) if inputs is not None else []
    tensors = [f"{'×'.join(map(str, t.shape))} {_name(t.dtype)}" for t in leaves if isinstance(t, Tensor)]
    return f"an input of {' and '.join(tensors)}" if tensors else "this input"
