"""Landscapes: surfaces to go down, the ways rules go down them, and where they end.

`get`, `names` and `surface` find a surface; `tw.descend` walks on it and gives a `Path`,
`tw.basins` maps which start falls into which minimum, and `convergence` at which rates a rule converges.
"""

from .basins import Basins
from .convergence import Convergence, convergence
from .path import Path
from .surface import Surface
from .surfaces import SURFACES, get, names, surface

__all__ = ["SURFACES", "Basins", "Convergence", "Path", "Surface", "convergence", "get", "names", "surface"]
