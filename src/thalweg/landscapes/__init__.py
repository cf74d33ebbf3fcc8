"""Landscapes: surfaces to go down, the ways rules go down them, and where they end.

`get`, `names` and `surface` find a surface; `tw.descend` walks on it and gives a `Path`,
`tw.basins` maps which start falls into which minimum, and `convergence` at which rates a rule converges.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .surface import Surface
from .surfaces import SURFACES, get, names, surface

if TYPE_CHECKING:
    from .basins import Basins
    from .converging import Convergence, convergence
    from .path import Path

__all__ = ["SURFACES", "Basins", "Convergence", "Path", "Surface", "convergence", "get", "names", "surface"]

# What walks imports torch, which surfaces alone do without.
_WALKS = {"Basins": "basins", "Convergence": "converging", "Path": "path", "convergence": "converging"}


def __getattr__(name: str) -> Any:
    if name in _WALKS:
        return getattr(importlib.import_module(f".{_WALKS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
