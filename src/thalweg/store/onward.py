"""How a study goes on, as sentences advise it: by a command, or in Python where no command can name what it is of."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..plan.factors import FIXED, OPTIMIZER
from ..plan.stored import as_now


def is_object(problem: Mapping[str, Any]) -> bool:
    """Whether what is known of a problem, as a store has it, says that it was given as an object or a function."""
    return problem.get("kind") == "object"


def objects_of(problem: Mapping[str, Any], stored_plan: Mapping[str, Any]) -> tuple[str, ...]:
    """The arguments of `tw.resume` that are to be given again: a store has no name for the objects in them."""
    own = ["problem"] if is_object(problem) else []
    return (*own, *_unnamed(as_now(stored_plan), problem.get("kind") == "command"))


def _unnamed(plan: Mapping[str, Any], of_command: bool) -> Iterator[str]:
    """The arguments of which some label is neither a name nor was given by file; of a command optimizers are words."""
    for kind in (one for one in FIXED if one.named and not (of_command and one is OPTIMIZER)):
        specs = plan.get("specs", {}).get(kind.argument, {})
        for label in plan.get(kind.argument, ()):
            if label is not None and label not in specs and not _is_name(kind.read, label):
                yield kind.argument
                break


def _is_name(read: Any, label: str) -> bool:
    try:
        read(label)
    except UsageError:
        return False
    return True


def to_resume(path: str | Path, objects: Sequence[str]) -> str:
    """
    >>> to_resume("my runs/a.db", ()), to_resume("a.db", ("problem", "optimizers"))
    ("thalweg resume 'my runs/a.db'", "tw.resume('a.db', problem=…, optimizers=…)")
    """
    if not objects:
        return f"thalweg resume {shlex.quote(str(path))}"
    return f"tw.resume({', '.join([repr(str(path)), *(f'{name}=…' for name in objects)])})"


def to_extend(path: str | Path, objects: Sequence[str], what: str, count: float) -> str:
    """
    >>> to_extend("a.db", (), "seeds", 20), to_extend("a.db", ("problem",), "seeds", 20)
    ('thalweg extend a.db --seeds 20', 'study.extend(seeds=20)')
    """
    if objects:
        return f"study.extend({what}={math.ceil(count)})"
    return f"thalweg extend {shlex.quote(str(path))} --{what} {math.ceil(count)}"
