"""How a hyperparameter changes over a run: a factor for every step, written once.

A schedule is a pure function of the step (counted from 0) and of the total; the population multiplies a
member's rate by it, and `torch` hands the same schedule to a plain PyTorch optimizer. `get` finds one by its name
and arguments. Read next: `base.py` (what a schedule is), then any family, e.g. `cosine.py`.
"""

from .base import Epochs, RobbinsMonro, Schedule
from .constant import Constant
from .cosine import Cosine
from .linear import Linear, Polynomial
from .stairs import MultiStep, Step, StepDecay
from .exponential import Exponential, ExponentialDecay
from .inverse import InverseSqrt, InverseTime, OneOverT
from .warmup import Warmup, WarmupStableDecay
from .restarts import WarmRestarts
from .cyclic import Cyclic, OneCycle
from .plateau import Plateau
from .ramp import Ramp
from .composed import Chained, Sequential
from .functions import Lambda, Multiplicative
from .several import Given, Several, get
from .names import SCHEDULES, example, names, own_function, shown

__all__ = [
    "SCHEDULES",
    "Chained",
    "Constant",
    "Cosine",
    "Cyclic",
    "Epochs",
    "Exponential",
    "ExponentialDecay",
    "Given",
    "InverseSqrt",
    "InverseTime",
    "Lambda",
    "Linear",
    "MultiStep",
    "Multiplicative",
    "OneCycle",
    "OneOverT",
    "Plateau",
    "Polynomial",
    "Ramp",
    "RobbinsMonro",
    "Schedule",
    "Sequential",
    "Several",
    "Step",
    "StepDecay",
    "WarmRestarts",
    "Warmup",
    "WarmupStableDecay",
    "example",
    "get",
    "names",
    "own_function",
    "shown",
]
