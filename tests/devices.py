"""What a GPU would run, on the CPU: kernels by Triton's interpreter, and steps that are captured and replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.kernels import backends, triton_gpu
from thalweg.population.stacked import Stepper
from thalweg.population.tensor_updates import TensorUpdates

# What a stream that is captured refuses: the host reads a value, or makes one.
REFUSED = ("aten::_local_scalar_dense", "aten::is_nonzero", "aten::lift_fresh", "aten::nonzero", "aten::equal")
REFUSED += ("aten::_linalg_eigh", "aten::linalg_qr")  # which ask the host how they went


def on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of the CPU are trained as those of a GPU."""
    monkeypatch.setitem(backends.BACKENDS, "cpu", triton_gpu.Gpu)
    monkeypatch.setattr(TensorUpdates, "programs", None)  # which are compiled for the CPU
    monkeypatch.setattr(triton_gpu, "capturing", lambda device: bool(Tape.running))
    launch = triton_gpu._launch

    def launched(function: Any, instances: int, arguments: Any, **options: int) -> None:
        for tape in Tape.running:
            tape.calls.append(lambda: launch(function, instances, arguments, **options))
        if not Tape.running:
            launch(function, instances, arguments, **options)

    monkeypatch.setattr(triton_gpu, "_launch", launched)
    prepare = Stepper.__init__

    def prepared(self: Stepper, block: Any, batched: Any) -> None:
        prepare(self, block, batched)
        self.capture = captured if batched.replays else None

    monkeypatch.setattr(Stepper, "__init__", prepared)


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """As `stacked.captured`: what is repeated are operations on memory, and nothing that the host computed."""
    tape = Tape()
    with tape:
        step()
    return tape.replay


class Tape(TorchDispatchMode):
    """Operations, noted without being carried out; results have memory of their own, as in a graph."""

    running: list[Tape] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], object]] = []

    def __enter__(self) -> Tape:
        self.running.append(self)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.running.remove(self)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.name() not in REFUSED, f"the host would wait for the device: {func.name()}"
        given = kwargs or {}
        if func.is_view:
            return func(*args, **given)
        changes = any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments)
        if changes:
            self.calls.append(lambda: func(*args, **given))
            return args[0]
        result = func(*args, **given)  # for its shapes and its memory

        def again() -> None:
            for old, new in zip(pytree.tree_leaves(result), pytree.tree_leaves(func(*args, **given)), strict=True):
                if isinstance(old, Tensor):
                    old.copy_(new)

        self.calls.append(again)
        return result

    def replay(self) -> None:
        with torch.no_grad():
            for call in self.calls:
                call()
