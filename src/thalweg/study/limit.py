"""The time that a study has: ``minutes=30`` or ``until="18:00"``, and the plan that fits into it."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..errors import PlanError, short
from ..language import say
from ..numbers import Range
from ..plan.plan import Plan
from ..plan.shorter import left_out, shorter
from ..plan.stored import FULL_BUDGET

if TYPE_CHECKING:
    from ..engine.forecast import Forecast
    from ..engine.members import Members

FILLED = 0.8  # of the time, at most, by what is planned: the rest is for growth, and for what was not foreseen
UNHALVED = 0.4  # by a plan without halving, which can leave less out once it has begun
_FORMS = "give HH:MM, e.g. 18:00, or a date and time, e.g. 2030-01-31T18:00"


@dataclass(frozen=True)
class Limit:
    """A time that was asked for.

    Attributes:
        minutes, until: as given; one of them.
        end: by `time.monotonic`.
    """

    minutes: float | None
    until: str | None
    end: float

    @property
    def asked(self) -> dict[str, Any]:
        return {"minutes": self.minutes, "until": self.until}

    def __str__(self) -> str:
        if self.until is not None:
            return say("the time until {until}", until=self.until)
        return _counted(self.minutes)

    def to_json(self, asked: Plan, words: Sequence[str]) -> dict[str, Any]:
        """What a store keeps of it."""
        return {**self.asked, "asked": digest(asked), "words": [*words]}


def digest(plan: Plan) -> str:
    """What tells the plan that was asked for from others."""
    trained = {name: value for name, value in plan.to_json().items() if name != "margin"}
    return hashlib.sha256(json.dumps(trained, sort_keys=True).encode()).hexdigest()


def limit_of(minutes: Any, until: Any) -> Limit | None:
    """The time that the arguments give, from now on; None for neither.

    Raises:
        PlanError: both are given, or one is not a time to come.
    """
    if minutes is not None and until is not None:
        raise PlanError(
            "both minutes={minutes} and until={until} are given; give one of them.",
            minutes=repr(minutes),
            until=repr(until),
        )
    if minutes is not None:
        allowed = Range(0, 10**7, above=True)
        return Limit(float(allowed.check("minutes", minutes, PlanError)), None, time.monotonic() + 60 * minutes)
    if until is None:
        return None
    now = datetime.now()
    moment = _moment(until, now)
    return Limit(None, moment.isoformat(timespec="minutes"), time.monotonic() + (moment - now).total_seconds())


def _moment(until: Any, now: datetime) -> datetime:
    """The next moment of that name.

    >>> print(_moment("18:00", datetime(2030, 1, 31, 12, 0)), _moment("9:30", datetime(2030, 1, 31, 12, 0)))
    2030-01-31 18:00:00 2030-02-01 09:30:00
    """
    moment = until
    for form in ("%H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M") if isinstance(until, str) else ():
        with suppress(ValueError):
            moment = datetime.strptime(until.strip(), form)
            if form == "%H:%M":
                moment = datetime.combine(now.date(), moment.time())
                moment += timedelta(days=moment <= now)
    if not isinstance(moment, datetime):
        raise PlanError(f"until is {short(repr(until))}; {_FORMS}.")
    if moment.tzinfo is not None:
        moment = moment.astimezone().replace(tzinfo=None)
    if moment <= now:
        raise PlanError(
            "until is {until}, and it is {now:%Y-%m-%dT%H:%M} now; give a time to come.", until=until, now=now
        )
    return moment


def fitted(programs: Members, would: Forecast, limit: Limit) -> tuple[Members, Forecast, list[str]]:
    """The largest plan that fits, its forecast, and in words what it leaves out.

    Raises:
        PlanError: even the least does not fit.
    """
    from ..engine.forecast import duration
    from ..engine.foresee import smaller

    asked, left = programs.plan, limit.end - time.monotonic()
    plan = asked
    for plan in shorter(asked):
        narrower = programs.wider(plan)
        would = smaller(narrower, would)
        share = UNHALVED if plan.budget == FULL_BUDGET and plan.epochs > 1 else FILLED
        if would.seconds <= share * left:
            words = ", ".join(left_out(asked, plan))
            said = (
                say("To fit into {limit}: {words}.", limit=limit, words=words)
                if words
                else say("It fits into {limit} as it is.", limit=limit)
            )
            return narrower, would, [said]
    words = ", ".join(left_out(asked, plan)) or say("the plan as it is")
    enough = _enough(limit, would.seconds / FILLED, left)
    raise PlanError(
        f"{limit} {'is' if limit.until or limit.minutes == 1 else 'are'} too short: even the least that says something "
        f"({words}) takes about {duration(would.seconds)}; give {enough}, fewer optimizers or schedules, or fewer "
        "epochs."
    )


def _enough(limit: Limit, seconds: float, left: float) -> str:
    """What time would do; of the minutes some are over already."""
    if limit.minutes is None:
        return f"{(datetime.now() + timedelta(seconds=seconds)):%Y-%m-%dT%H:%M} or later"
    return _counted(math.ceil(10 * (limit.minutes + (seconds - left) / 60)) / 10)


def _counted(minutes: float | None) -> str:
    return say("1 minute") if minutes == 1 else say("{minutes:g} minutes", minutes=minutes)
