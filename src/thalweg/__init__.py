"""thalweg: train every candidate at once, learn which is best and how sure that is.

The public names, nothing else. Each is imported when it is first used, so that `import thalweg` and
`thalweg --help` cost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from . import calculus as calculus
    from . import callbacks as callbacks
    from . import formulas as formulas
    from . import landscapes as landscapes
    from . import losses as losses
    from . import optim as optim
    from . import regularizers as regularizers
    from . import schedules as schedules
    from .calculus import Function as Function
    from .calculus import derivative as derivative
    from .calculus import function as function
    from .calculus import gradient as gradient
    from .calculus import hessian as hessian
    from .calculus import minimum as minimum
    from .convolution import convolve as convolve
    from .errors import ThalwegError as ThalwegError
    from .formulas import Formula as Formula
    from .formulas import Update as Update
    from .formulas import formula as formula
    from .landscapes.basins import basins as basins
    from .landscapes.descents import descend as descend
    from .languages import use_language as use_language
    from .plan.plan import log_range as log_range
    from .probes.landscape import landscape as landscape
    from .probes.range_test import range_test as range_test
    from .probes.sharpness import sharpness as sharpness
    from .problem.command import command as command
    from .problem.declaration import Problem as Problem
    from .problem.of_table import table as table
    from .problem.prepare import prepare as prepare
    from .problem.run import Run as Run
    from .ranking.rank import rank as rank
    from .resampling.bagging import bag as bag
    from .resampling.bias_variance import bias_variance as bias_variance
    from .resampling.boosting import boost as boost
    from .resampling.ensemble import Ensemble as Ensemble
    from .sizes.size import size as size
    from .study.forecast import forecast as forecast
    from .study.population import Population as Population
    from .study.rerun import rerun as rerun
    from .study.study import Study as Study
    from .study.study import compare as compare
    from .study.study import resume as resume
    from .suites.suite import suite as suite

_MODULES = ("calculus", "callbacks", "formulas", "landscapes", "losses", "optim", "regularizers", "schedules")
_WHERE = {
    "Ensemble": "resampling.ensemble",
    "Formula": "formulas",
    "Function": "calculus",
    "Population": "study.population",
    "Problem": "problem.declaration",
    "Run": "problem.run",
    "Study": "study.study",
    "ThalwegError": "errors",
    "Update": "formulas",
    "bag": "resampling.bagging",
    "basins": "landscapes.basins",
    "bias_variance": "resampling.bias_variance",
    "boost": "resampling.boosting",
    "command": "problem.command",
    "compare": "study.study",
    "convolve": "convolution",
    "derivative": "calculus",
    "descend": "landscapes.descents",
    "forecast": "study.forecast",
    "formula": "formulas",
    "function": "calculus",
    "gradient": "calculus",
    "hessian": "calculus",
    "landscape": "probes.landscape",
    "log_range": "plan.plan",
    "minimum": "calculus",
    "prepare": "problem.prepare",
    "range_test": "probes.range_test",
    "rank": "ranking.rank",
    "rerun": "study.rerun",
    "resume": "study.study",
    "sharpness": "probes.sharpness",
    "size": "sizes.size",
    "suite": "suites.suite",
    "table": "problem.of_table",
    "use_language": "languages",
}

__all__ = ["__version__", *_MODULES, *_WHERE]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'thalweg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
