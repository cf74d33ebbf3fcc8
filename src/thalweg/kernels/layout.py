"""Which values a kernel reads and writes for each weight, by name: what the sources for CPU and GPU share."""

from __future__ import annotations

from ..formulas.equations import Equations
from .formats import Formats, FusedOptions
from .lower import lower
from .storage import stochastic


class Layout:
    """Only the formula's own names start without an underscore: the weight is w, its moving average _a.

    Attributes:
        form: of the weight, the gradient, each state and the average, the format in memory.
        packed: the states that are int8.
        streams: everything that a segment has an address of; scales come last.
        drawn: what is rounded at random → the number of its random bits.
        passed: the scalars of a row that the loop over weights needs.
    """

    def __init__(self, equations: Equations, formats: Formats, fused: FusedOptions) -> None:
        self.equations, self.formats, self.fused, self.program = equations, formats, fused, lower(equations)
        names = [name for name, _ in self.program.states]
        self.form = {"w": formats.weight, "g": formats.gradient, **dict(zip(names, formats.states, strict=True))}
        if fused.average:
            self.form["_a"] = formats.average
        self.packed = [name for name in names if self.form[name] == "int8"]
        self.streams = (*self.form, *(f"_scale_{name}" for name in self.packed))
        self.drawn = {n: k for k, n in enumerate(n for n in ("w", *names) if stochastic(self.form[n]))}
        self.passed = tuple(map(str, self.program.passed))
