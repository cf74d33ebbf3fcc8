"""`size`: how large a model is, said before anything of it is trained."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .. import formulas
from ..errors import ProblemError, UsageError, unknown
from ..formulas import Formula
from ..problem.builtin import PROBLEMS
from ..problem.data import first_line
from ..problem.declaration import Problem
from ..problem.find import load
from ..problem.prepare import prepare, sample_of_train
from ..problem.source import failed, is_spec, opened
from .known import KNOWN
from .layers import Inputs, Layer, layers
from .memory import Bytes, plain, states

if TYPE_CHECKING:
    import pandas as pd

OWN = "your own is given as file.py:function or package.module:function, which returns a torch.nn.Module"


@dataclass(frozen=True)
class Size:
    """A model's layers and what they take; printed, it is a table.

    Attributes:
        name: of the model.
        layers: every module, containers before their contents.
        input: the shapes that it was called with, batch first; empty where it was not called.
        tensors: (values, trainable) of each parameter; shared ones once.
        buffers: bytes of what is neither trained nor a parameter, such as running statistics, as it is kept.
        optimizers: whose states are counted.
        note: what the numbers of a known model need to be read rightly.
    """

    name: str
    layers: tuple[Layer, ...] = field(repr=False)
    input: tuple[tuple[int, ...], ...]
    tensors: tuple[tuple[int, bool], ...] = field(repr=False)
    buffers: int
    optimizers: tuple[Formula, ...] = field(repr=False)
    note: str = field(default="", repr=False)

    @property
    def parameters(self) -> int:
        """All of them, shared ones once."""
        return sum(count for count, _ in self.tensors)

    @property
    def trainable(self) -> int:
        """Parameters with a gradient."""
        return sum(count for count, own in self.tensors if own)

    @property
    def weights(self) -> int:
        """Parameters without the biases."""
        return sum(layer.weights for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of matrix products and convolutions in one forward pass of the whole batch."""
        return sum(layer.multiply_adds for layer in self.layers)

    def whole(self, layer: Layer) -> tuple[int, int, int]:
        """(weights, biases, multiply-adds) of a layer with everything in it."""
        inside = [o for o in self.layers if not layer.name or f"{o.name}.".startswith(f"{layer.name}.")]
        return (sum(o.weights for o in inside), sum(o.biases for o in inside), sum(o.multiply_adds for o in inside))

    def table(self, depth: int | None = None) -> pd.DataFrame:
        """One row per layer, in the order of the forward pass; every column of numbers adds up to the model's total.

        Args:
            depth: how deep to look; a module at this depth is one row with everything in it.
        """
        import pandas as pd

        deepest = math.inf if depth is None else depth
        rows = []
        for layer in self.layers:
            if layer.depth > deepest:
                continue
            whole = layer.depth == deepest
            own = (layer.weights, layer.biases, layer.multiply_adds)
            weights, biases, multiply_adds = self.whole(layer) if whole else own
            container = any(o.name.startswith(f"{layer.name}.") for o in self.layers) or not layer.name
            if container and len(self.layers) > 1 and not (whole or any(own)):
                continue
            rows.append(
                {
                    "layer": layer.name,
                    "kind": layer.kind,
                    "output": layer.output,
                    "kernel": layer.kernel,
                    "stride": layer.stride,
                    "padding": layer.padding,
                    "groups": layer.groups,
                    "weights": weights,
                    "biases": biases,
                    "parameters": weights + biases,
                    "multiply_adds": multiply_adds,
                }
            )
        return pd.DataFrame(rows)

    def memory(self) -> pd.DataFrame:
        """Bytes of weights, gradients and each optimizer's states, one column per format.

        States and gradients are those of trainable parameters. A step count of 4 bytes per tensor comes on top.
        """
        import pandas as pd

        rows = [{"what": b.what, **_plain(b)} for b in self.bytes()]
        return pd.DataFrame(rows).set_index("what")

    def bytes(self) -> list[Bytes]:
        """The rows of `memory`."""
        trained = [count for count, own in self.tensors if own]
        return [
            plain("weights", [count for count, _ in self.tensors]),
            plain("gradients", trained),
            *(states(formula, trained) for formula in self.optimizers),
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        shown = self.table().astype(object)
        return {
            "name": self.name,
            "input": self.input,
            "parameters": self.parameters,
            "trainable": self.trainable,
            "weights": self.weights,
            "multiply_adds": self.multiply_adds if self.input else None,
            "buffer_bytes": self.buffers,
            "note": self.note,
            "layers": shown.where(shown.notna(), None).to_dict("records"),
            "bytes": [{"what": b.what, **_plain(b)} for b in self.bytes()],
        }

    def __str__(self) -> str:
        from .shown import text

        return text(self)


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
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise UsageError(f"the batch is {batch!r}; give a whole number of samples, 1 or more.")
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


def _plain(row: Bytes) -> dict[str, int]:
    return {"per_weight": row.per_weight, "per_tensor": row.per_tensor, **row.sizes}


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
