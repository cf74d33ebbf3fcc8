"""What the settings of a plan are trained by: the programs of a problem, or a loop of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..plan.factors import Setting
from .loops import Loops
from .programs import Programs

Members = Programs | Loops


def alone_seconds(programs: Members, parts: Iterable[tuple[Sequence[Setting], int | None]], passes: int) -> float:
    """Of one core, for so many passes of members that are trained alone.

    Args:
        parts: settings of one program, and their fold.
    """
    return passes * sum(
        len(settings) * programs.steps(settings[0], fold) * programs.step_seconds(settings[0])
        for settings, fold in parts
    )
