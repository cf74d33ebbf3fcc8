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

_SCOPES = 32  # w, g and 30 states; what lies beyond is loaded and stored without a promise


def _promise(builder: Any, instruction: Any, scope: int) -> None:
    """Tell LLVM that this access never overlaps one of another scope; equal nodes of a module are one."""
    if scope >= _SCOPES:
        return
    module = builder.module
    domain = module.add_metadata([ir.MetaDataString(module, "thalweg")])
    names = [ir.MetaDataString(module, f"thalweg {k}") for k in range(_SCOPES)]
    scopes = [module.add_metadata([name, domain]) for name in names]
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[scope]]))
    instruction.set_metadata("noalias", module.add_metadata([s for s in scopes if s is not scopes[scope]]))


def _pair(dtype: types.Float, width: ir.Type) -> tuple[Any, Any]:
    @intrinsic(prefer_literal=True)
    def load(typingctx: Any, address: Any, index: Any, scope: Any) -> Any:
        if not isinstance(scope, types.IntegerLiteral):
            raise TypingError("the alias scope must be a constant")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], width.as_pointer())
            value = builder.load(builder.gep(pointer, [arguments[1]], inbounds=True))
            _promise(builder, value, scope.literal_value)
            return value

        return dtype(types.int64, types.int64, scope), generate

    @intrinsic(prefer_literal=True)
    def store(typingctx: Any, address: Any, index: Any, scope: Any, value: Any) -> Any:
        if not isinstance(scope, types.IntegerLiteral):
            raise TypingError("the alias scope must be a constant")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], width.as_pointer())
            instruction = builder.store(arguments[3], builder.gep(pointer, [arguments[1]], inbounds=True))
            _promise(builder, instruction, scope.literal_value)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, scope, dtype), generate

    return load, store


load_float32, store_float32 = _pair(types.float32, ir.FloatType())
load_float64, store_float64 = _pair(types.float64, ir.DoubleType())


@njit(inline="always")
def maximum(a, b):
    """The larger; NaN if either is, as torch.maximum."""
    return a if (a > b or a != a) else b


@njit(inline="always")
def minimum(a, b):
    """The smaller; NaN if either is, as torch.minimum."""
    return a if (a < b or a != a) else b


@njit(inline="always")
def sign(a):
    """−1, 0 or 1; 0 for NaN, as torch.sign."""
    return type(a)((a > 0) - (a < 0))


@njit(inline="always")
def logical_not(a):
    """The opposite of a condition."""
    return not a
