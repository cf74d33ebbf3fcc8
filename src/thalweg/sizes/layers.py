"""A model's layers, one by one: what they give, what they hold, and how often they multiply and add.

The model itself is never run, but a shadow of it: the same modules around tensors that have a shape and lack values
(torch's meta device); so a model of any size is counted in milliseconds and nothing of it changes. Where a forward
pass needs values, a copy is run. Multiply-adds are those of the matrix products and convolutions that are really
called, as `torch.utils.flop_counter` sees them below autograd, whatever module or function they come from.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from ..errors import UsageError, first_line

Inputs = tuple[tuple[Any, ...], Mapping[str, Any]]  # what the model is called with
_PER_AXIS = ("kernel_size", "stride", "padding")


@dataclass(frozen=True)
class Layer:
    """One module of a model.

    Attributes:
        name: where it stands, ``features.0``; empty for the model itself.
        kind: its class.
        output: the shape of what it gave last, the first tensor of several; None where it was not called.
        kernel, stride, padding: of convolutions and pooling, one number per axis, or torch's word ("same").
        groups: of a convolution.
        weights, biases: its parameters without those of the modules in it or shared with a module before it.
        shared: parameters that it has from a module before it.
        multiply_adds: made in it and not in the modules in it.
        calls: how often a forward pass comes by.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None
    kernel: tuple[int, ...] | None
    stride: tuple[int, ...] | None
    padding: tuple[int, ...] | str | None
    groups: int | None
    weights: int
    biases: int
    shared: int
    multiply_adds: int
    calls: int

    @property
    def depth(self) -> int:
        """How many modules it stands in; 0 for the model itself."""
        return self.name.count(".") + 1 if self.name else 0


def layers(model: nn.Module, inputs: Inputs | None, words: str = "this input") -> tuple[list[Layer], nn.Module]:
    """Every module of a model in the order of its forward pass, and the model with all its parameters, lazy ones too.

    Args:
        inputs: what to call it with; None counts parameters alone, in the order of declaration.
        words: what the inputs are, for the message if the model fails on them.

    Raises:
        UsageError: the model has parameters whose shape only an input tells, or fails on the input.
    """
    if inputs is None:
        if any(is_lazy(p) for p in model.parameters()):
            raise UsageError(
                "{kind} makes its weights at its first call; give input=, the shape of one sample, so that it "
                "can be called.",
                kind=type(model).__name__,
            )
        return _described(model, _Trace()), model
    faults = []
    for shadow in (_shadow, copy.deepcopy):
        trace = _Trace()
        try:
            twin = shadow(model).eval()
            trace.watch(twin, inputs)
        except Exception as fault:  # whatever a user's forward pass may raise
            faults.append(fault)
        else:
            return _described(twin, trace), twin
    raise UsageError(
        "{kind} fails on {words} ({lines}); give the shape of one sample without the batch, "
        "3,224,224, and with a dtype where the model reads numbers of words or classes, 32:int64.",
        kind=type(model).__name__,
        words=words,
        lines=first_line(faults[-1])[:200],
    ) from faults[-1]


def _shadow(model: nn.Module) -> nn.Module:
    """A copy of the modules with tensors on the meta device; what is shared stays shared."""
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        if is_lazy(tensor):
            raise UsageError("lazy weights lack a shape, so a copy is run")
        empty = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(model, memo)


class _Trace:
    """What one forward pass shows of each module, by its identity."""

    def __init__(self) -> None:
        self.output: dict[int, tuple[int, ...]] = {}
        self.multiply_adds: Counter[int] = Counter()
        self.calls: Counter[int] = Counter()  # in the order of the first calls

    def watch(self, model: nn.Module, inputs: Inputs) -> None:
        """Call the model; what is counted between two events belongs to the innermost module at work."""
        stack: list[int] = []
        before = 0

        def settle() -> None:
            nonlocal before
            total = counter.get_total_flops()
            if stack:
                self.multiply_adds[stack[-1]] += (total - before) // 2
            before = total

        def enter(module: nn.Module, *_: Any) -> None:
            settle()
            stack.append(id(module))
            self.calls[id(module)] += 1

        def leave(module: nn.Module, _: Any, output: Any) -> None:
            settle()
            stack.pop()
            tensors = [t for t in pytree.tree_leaves(output) if isinstance(t, Tensor)]
            if tensors:
                self.output[id(module)] = tuple(tensors[0].shape)

        for module in model.modules():
            module.register_forward_pre_hook(enter, prepend=True)
            module.register_forward_hook(leave)
        device = next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))
        arguments, named = pytree.tree_map_only(Tensor, lambda t: t.to(device), inputs)
        with _plain(), FlopCounterMode(display=False, custom_mapping=_VECTORS) as counter:
            model(*arguments, **named)


@contextmanager
def _plain() -> Iterator[None]:
    """Torch's plain operations, which can be counted, in place of its fused ones; the random state kept."""
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of a copy, and of changing the flags of an accelerator that is not there
        stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        yield


# Products with a vector, which torch's counter leaves out: each element of the matrix is multiplied once.
_VECTORS: dict[Any, Callable[..., int]] = {
    torch.ops.aten.mv: lambda matrix, *_, **__: 2 * math.prod(matrix),
    torch.ops.aten.dot: lambda vector, *_, **__: 2 * math.prod(vector),
    torch.ops.aten.addmv: lambda _, matrix, *__, **___: 2 * math.prod(matrix),
}


def _described(model: nn.Module, trace: _Trace) -> list[Layer]:
    """The modules, containers before their contents, siblings in the order they were called in."""
    counted: set[int] = set()
    place = {identity: k for k, identity in enumerate(trace.calls)}
    return [_layer(name, module, trace, counted) for name, module in _walk("", model, place, set())]


def _walk(name: str, module: nn.Module, place: Mapping[int, int], visited: set[int]) -> Iterator[tuple[str, nn.Module]]:
    """A module that stands in several places is met once, at the first."""
    visited.add(id(module))
    yield name, module
    first = {id(c): min(place.get(id(m), len(place)) for m in c.modules()) for c in module.children()}
    for key, child in sorted(module.named_children(), key=lambda pair: first[id(pair[1])]):
        if id(child) not in visited:
            yield from _walk(f"{name}.{key}" if name else key, child, place, visited)


def _layer(name: str, module: nn.Module, trace: _Trace, counted: set[int]) -> Layer:
    counts = {"weights": 0, "biases": 0, "shared": 0}
    for key, parameter in module.named_parameters(recurse=False):
        where = "shared" if id(parameter) in counted else "biases" if "bias" in key else "weights"
        counts[where] += parameter.numel()
        counted.add(id(parameter))
    axes, identity = _axes(module), id(module)
    kernel, stride, padding = (_spread(getattr(module, key, None), axes) for key in _PER_AXIS)
    groups, output = getattr(module, "groups", None) if kernel else None, trace.output.get(identity)
    counts |= {"multiply_adds": trace.multiply_adds[identity], "calls": trace.calls[identity]}
    return Layer(name, type(module).__name__, output, kernel, stride, padding, groups, **counts)


def _axes(module: nn.Module) -> int:
    """Over how many axes a kernel slides: the digit of ``Conv2d``, ``MaxPool3d``, …"""
    digits = [c for c in type(module).__name__ if c in "123"]
    size = getattr(module, "kernel_size", None)
    return len(size) if isinstance(size, tuple) else int(digits[0]) if digits else 1


def _spread(value: Any, axes: int) -> Any:
    """One number per axis."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,) * axes
    return tuple(value) if isinstance(value, list | tuple) else value if isinstance(value, str) else None
