"""What the shell completes beyond options: the names that a command looks up, and the stores that are there.

`thalweg --install-completion` sets it up for the shell at hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import get_args

from typer.models import ParameterInfo

_FILES = {"problem": ("*.csv", "*.py", "*.toml"), "store": ("*.db", "runs/*.db"), "runs": ("*.csv",)}


def _of(module: str, table: str) -> Callable[[], Iterable[str]]:
    return lambda: getattr(import_module(module, __package__), table)


_NAMES = {  # by parameter, or by command where its argument is a name
    "optimizer": _of("..formulas", "FORMULAS"),
    "schedule": _of("..schedules", "SCHEDULES"),
    "loss": _of("..losses", "LOSSES"),
    "regularizer": _of("..regularizers", "REGULARIZERS"),
    "problem": _of("..problem.builtin", "PROBLEMS"),
    "surface": _of("..landscapes.surfaces", "SURFACES"),
    "picture": _of("..gallery.registry", "PICTURES"),
    "model": _of("..sizes.known", "KNOWN"),
}
_CALLED = {"losses": "loss", "formula": "optimizer"}
_CALLED |= {f"{name}s": name for name in ("optimizer", "schedule", "regularizer", "problem")}


def add_completion(command: str, parameter: inspect.Parameter) -> None:
    """Let a command's parameter complete what it looks up."""
    kind = command if parameter.name == "name" else parameter.name
    kind = _CALLED.get(kind, kind)
    for info in get_args(parameter.annotation)[1:]:
        if isinstance(info, ParameterInfo) and (kind in _NAMES or kind in _FILES):
            info.autocompletion = lambda incomplete: completed(kind, incomplete)


def completed(kind: str, incomplete: str) -> list[str]:
    """All that a word may become; of a list separated by commas its last part.

    >>> completed("optimizer", "sgd,ada")[:3]
    ['sgd,adagrad', 'sgd,adadelta', 'sgd,adam']
    """
    before, comma, last = incomplete.rpartition(",")
    names = [name for name in _NAMES.get(kind, tuple)() if name.startswith(last)]
    files = [str(p) for pattern in _FILES.get(kind, ()) for p in sorted(Path().glob(pattern))]
    if kind in _FILES:
        files += [str(p) + "/" * p.is_dir() for p in sorted(Path().glob(f"{last}*"))] if last else []
    return [before + comma + word for word in dict.fromkeys([*names, *files]) if word.startswith(last)]
