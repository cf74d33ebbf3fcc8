"""Whether an error is a lack of memory: a block that does not fit goes on as two halves, with the same results."""

from __future__ import annotations

import torch

_SIGNS = ("can't allocate memory", "not enough memory", "out of memory")


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is a lack of memory."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False
