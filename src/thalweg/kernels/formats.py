"""What a kernel is compiled for beside its equations: how values lie in memory, and what is fused into the pass.

Every backend reads these (`backends.py`); the formats themselves are in `storage.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..formulas.equations import Equations
from .lower import lower
from .storage import stochastic


@dataclass(frozen=True)
class FusedOptions:
    """What a kernel does in the same loop beside the update: options fused into the optimizer's pass.

    Attributes:
        factor: multiply the gradient by a number: −1 to go up, 1 / loss scale, the norm's clipping.
        bound: keep the gradient's elements within ± a number, after the factor.
        average: keep a moving average of the weights, a ← a + share·(w − a), behind the states.
        zero: leave zeros in the gradient.
    """

    factor: bool = False
    bound: bool = False
    average: bool = False
    zero: bool = False

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numbers a row needs for it, in the order of `Kernel.launch`'s `fused`."""
        switches = {"_factor": self.factor, "_bound": self.bound, "_share": self.average}
        return tuple(name for name, on in switches.items() if on)

    def before(self) -> list[str]:
        """What is done to the gradient."""
        lines = ["g = g*_factor"] if self.factor else []
        return [*lines, "g = _minimum(_maximum(g, -_bound), _bound)"] if self.bound else lines


UPDATE_ONLY = FusedOptions()


@dataclass(frozen=True)
class Formats:
    """How what the kernel reads and writes lies in memory; formats are those of `storage.py`.

    Attributes:
        weight, gradient: of the weights and their gradients; the computation is float64 where the
            weights are, else float32.
        states: of the formula's states, those that are one number aside.
        average: of the moving average of the weights.
    """

    weight: str
    gradient: str
    states: tuple[str, ...]
    average: str

    @classmethod
    def plain(cls, equations: Equations, dtype: str) -> Formats:
        """Everything in the dtype of the weights."""
        return cls(dtype, dtype, (dtype,) * len(lower(equations).states), dtype)

    @property
    def computed(self) -> str:
        return "float64" if self.weight == "float64" else "float32"

    @property
    def noisy(self) -> bool:
        """Whether anything is rounded at random."""
        return any(map(stochastic, (self.weight, *self.states)))
