"""Landscapes: surfaces to go down, the ways rules go down them, and where they end.

`get`, `names` and `surface` find a surface; `tw.descend` walks on it and gives a `Path`,
`tw.basins` maps which start falls into which minimum.
"""

from .basins import Basins
from .path import Path
from .surface import Surface
from .surfaces import SURFACES, get, names, surface

__all__ = ["SURFACES", "Basins", "Path", "Surface", "get", "names", "surface"]
