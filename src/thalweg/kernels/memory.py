"""Loads and stores by address, for compiled kernels.

`load(address, i, k)` and `store(address, i, k, value)` carry LLVM alias metadata: what goes through scope
`k` never overlaps what goes through another scope. Without it LLVM must compare every pair of pointers
at run time, and gives up vectorising beyond three or four arrays; with it a rule with many states runs as
wide as one with none.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core.errors import TypingError
from numba.extending import intrinsic

_SCOPES = 16


def _metadata(module: ir.Module, scope: int) -> tuple[Any, Any]:
    """(alias.scope, noalias) nodes for one scope; nodes with equal content are one node in a module."""
    domain = module.add_metadata([ir.MetaDataString(module, "thalweg")])
    scopes = [module.add_metadata([ir.MetaDataString(module, f"thalweg {k}"), domain]) for k in range(_SCOPES)]
    return module.add_metadata([scopes[scope]]), module.add_metadata([s for s in scopes if s is not scopes[scope]])


def _pair(dtype: types.Float, width: ir.Type) -> tuple[Any, Any]:
    @intrinsic(prefer_literal=True)
    def load(typingctx: Any, address: Any, index: Any, scope: Any) -> Any:
        if not isinstance(scope, types.IntegerLiteral):
            raise TypingError("the alias scope must be a constant")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], width.as_pointer())
            value = builder.load(builder.gep(pointer, [arguments[1]], inbounds=True))
            own, others = _metadata(builder.module, scope.literal_value)
            value.set_metadata("alias.scope", own)
            value.set_metadata("noalias", others)
            return value

        return dtype(types.int64, types.int64, scope), generate

    @intrinsic(prefer_literal=True)
    def store(typingctx: Any, address: Any, index: Any, scope: Any, value: Any) -> Any:
        if not isinstance(scope, types.IntegerLiteral):
            raise TypingError("the alias scope must be a constant")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], width.as_pointer())
            instruction = builder.store(arguments[3], builder.gep(pointer, [arguments[1]], inbounds=True))
            own, others = _metadata(builder.module, scope.literal_value)
            instruction.set_metadata("alias.scope", own)
            instruction.set_metadata("noalias", others)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, scope, dtype), generate

    return load, store


load_float32, store_float32 = _pair(types.float32, ir.FloatType())
load_float64, store_float64 = _pair(types.float64, ir.DoubleType())


@njit(inline="always")
def maximum(a, b):  # noqa: ANN001, ANN201 - compiled, typed by its use
    """The larger; NaN if either is, as torch.maximum."""
    return a if (a > b or a != a) else b


@njit(inline="always")
def minimum(a, b):  # noqa: ANN001, ANN201
    """The smaller; NaN if either is, as torch.minimum."""
    return a if (a < b or a != a) else b


@njit(inline="always")
def sign(a):  # noqa: ANN001, ANN201
    """−1, 0 or 1; 0 for NaN, as torch.sign."""
    return type(a)((a > 0) - (a < 0))
