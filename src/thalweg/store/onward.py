"""How a study goes on, as sentences advise it: by a command, or in Python where no command can name the problem."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def is_object(problem: Mapping[str, Any]) -> bool:
    """Whether what is known of a problem, as a store has it, says that it was given as an object or a function."""
    return problem.get("kind") == "object"


def to_resume(path: str | Path, of_object: bool) -> str:
    """
    >>> to_resume("my runs/a.db", False), to_resume("a.db", True)
    ("thalweg resume 'my runs/a.db'", "tw.resume('a.db', problem=…)")
    """
    return f"tw.resume({str(path)!r}, problem=…)" if of_object else f"thalweg resume {shlex.quote(str(path))}"


def to_extend(path: str | Path, of_object: bool, what: str, count: float) -> str:
    """
    >>> to_extend("a.db", False, "seeds", 20), to_extend("a.db", True, "seeds", 20)
    ('thalweg extend a.db --seeds 20', 'study.extend(seeds=20)')
    """
    if of_object:
        return f"study.extend({what}={math.ceil(count)})"
    return f"thalweg extend {shlex.quote(str(path))} --{what} {math.ceil(count)}"
