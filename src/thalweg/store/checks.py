"""What a store may hold: its tables, the rows in them, and the JSON of `meta`. Whatever else stands there is damage.

A store is data and may come from anywhere. Only the tables and indexes that thalweg makes are read: a view in the
place of a table could run for ever. Rows are checked by conditions in SQL, values of `meta` by the table of shapes
below, both before anything computes with them. So the code behind trusts what it gets, and an error there is a bug.

A shape is a `Plain` value, a list (any number of one shape), a mapping (fields by name, those with a question mark
optional, others ignored), `Named` (any names, one shape) or a tuple (one of several shapes).
"""

from __future__ import annotations

import functools
import json
import math
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import PlanError
from ..numbers import rounded
from ..plan.criterion import LAST, Criterion
from ..plan.factors import FULL
from ..plan.folds import FOLD
from ..plan.looks import CONFIRMATION, SEARCH, stages
from ..plan.plan import CONSTANT, FINEST, MOST_RUNS
from ..plan.points import SEARCHES
from ..plan.stored import FULL_BUDGET, HALVING, as_now, scales_of
from ..population.place import PRECISIONS

STATUSES = ("waiting", "started", "finished", "stopped")


class Damage(Exception):
    """A store holds what thalweg never writes; the message says what, as a clause."""


# Tables


@functools.cache
def _schema_entries(schema: str) -> set[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(schema)
        return _entries(db)


def _entries(db: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Type, name, table and statement of whatever is defined in a database, apart from what ANALYZE counted."""
    rows = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
    return {(*row, " ".join(str(text).split())) for *row, text in rows if not str(row[1]).startswith("sqlite_stat")}


def check_tables(db: sqlite3.Connection, schemas: Mapping[int, str]) -> None:
    """Refuse a database that defines anything but one of these schemas, by version; an index may be missing."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    expected, entries = _schema_entries(schemas[version]), _entries(db)
    for kind, name, *_ in sorted(entries - expected, key=repr):
        raise Damage(f"the {kind} {str(name)[:40]!r} in it is not what thalweg makes")
    for kind, name, *_ in expected - entries:
        if kind == "table":
            raise Damage(f"no such table: {name}")


# Rows

_WHOLE = "typeof({0}) = 'integer' AND {0} BETWEEN {1} AND 9007199254740992"
# "confirmation at 40 epochs": nothing but a number stands in the place of the 40.
_LONGER = f"stage = '{CONFIRMATION} at ' || CAST(substr(stage, {len(CONFIRMATION) + 5}) AS INTEGER) || ' epochs'"
_TEXT = "typeof({0}) = 'text' AND length({0}) <= 10000"
_COLUMNS = {
    "blocks": {
        "id": _WHOLE.format("id", 1),
        "stage": f"stage IN {(SEARCH, CONFIRMATION)} OR {_LONGER}",
        "seed": _WHOLE.format("seed", 0),
        "status": f"status IN {STATUSES}",
        "step": _WHOLE.format("step", 0),
        "seconds": "typeof(seconds) = 'real' AND seconds BETWEEN 0 AND 1e15",
        "checkpoint": "checkpoint IS NULL OR checkpoint NOT GLOB '*[^-.0-9a-z]*' "
        "AND length(checkpoint) BETWEEN 1 AND 200 AND length(checkpoint) = length(CAST(checkpoint AS BLOB))",
    },
    "members": {
        "id": _WHOLE.format("id", 1),
        "block": "block IN (SELECT id FROM blocks)",
        "position": _WHOLE.format("position", 0),
        "optimizer": _TEXT.format("optimizer"),
        "lr": "typeof(lr) = 'real' AND lr > 0 AND lr < 9e999",
        "schedule": _TEXT.format("schedule"),
        "further": _TEXT.format("further"),
        "seed": "seed = (SELECT seed FROM blocks WHERE blocks.id = block)",
        "diverged": _WHOLE.format("diverged", -1),
    },
}
# Members of a block are numbered from 0 in the order of their ids, and both without gaps.
_PLACES = (
    "SELECT block FROM members GROUP BY block "
    "HAVING min(position) <> 0 OR max(position) <> count(*) - 1 OR max(id - position) <> min(id - position)"
)
_EMPTY = "SELECT id FROM blocks WHERE id NOT IN (SELECT block FROM members)"


def check_rows(db: sqlite3.Connection, absent: str = "") -> None:
    """Refuse blocks and members that no study has, or that are not in the plan, if there is one.

    Args:
        absent: a column that the first schema lacks.
    """
    for table, columns in _COLUMNS.items():
        columns = {name: fits for name, fits in columns.items() if name != absent}
        wrong = " OR ".join(f"({fits}) IS NOT 1" for fits in columns.values())
        if row := db.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE {wrong} LIMIT 1").fetchone():
            for value, (name, fits) in zip(row, columns.items(), strict=True):
                where = f"rowid = {row[0]} AND ({fits}) IS NOT 1"
                if db.execute(f"SELECT 1 FROM {table} WHERE {where}").fetchone():
                    raise Damage(f"{table} has {_short(value)} as {name}")
    for words, query in (("members out of their order", _PLACES), ("no members", _EMPTY)):
        if row := db.execute(query).fetchone():
            raise Damage(f"block {row[0]} has {words}")
    if row := db.execute("SELECT value FROM meta WHERE key = 'plan'").fetchone():
        plan = as_now(meta("plan", *row))
        _check_levels(db, plan)
        if not absent:
            _check_folds(db, plan)


def _check_levels(db: sqlite3.Connection, plan: Mapping[str, Any]) -> None:
    """Refuse members whose optimizer, rate, schedule or stage is not in the plan."""
    common = {*plan["rates"], *plan["grown"]}
    rates = common | {default["lr"] for default in plan["defaults"].values()}
    rates |= {rounded(rate * scale) for scale in _scales(plan) for rate in common}
    rates |= {setting["lr"] for one in plan["refined"] for settings in one.values() for setting in settings}
    levels = {"optimizer": {*plan["optimizers"]}, "lr": rates, "schedule": {*plan["schedules"], CONSTANT}}
    for name, allowed in levels.items():
        for (level,) in db.execute(f"SELECT DISTINCT {name} FROM members"):
            if level not in allowed:
                raise Damage(f"members has {_short(level)} as {name}, which is not in the plan")
    for (stage,) in db.execute("SELECT DISTINCT stage FROM blocks"):
        if stage not in stages(plan):
            raise Damage(f"blocks has {_short(stage)} as stage, which is not in the plan")


def _scales(plan: Mapping[str, Any]) -> Iterable[float]:
    try:
        return scales_of(plan).values()
    except PlanError as error:
        raise Damage(f"the plan cannot be read ({error})") from error


def _check_folds(db: sqlite3.Connection, plan: Mapping[str, Any]) -> None:
    """Refuse runs of folds that the plan has not, and runs of the search that have none where they should."""
    count = plan["folds"]["count"] if plan["folds"] else 0
    swaps = plan["swaps"]["used"] if plan["swaps"] else 0
    rows = db.execute(
        f"SELECT DISTINCT b.stage = '{SEARCH}', json_extract(m.further, '$.{FOLD}') "
        "FROM members m JOIN blocks b ON b.id = m.block"
    )
    for searched, fold in rows:
        none = fold is None and not (searched and count)
        if not none and not (isinstance(fold, int) and 0 <= fold < (count if searched else count or swaps)):
            raise Damage(f"members has {_short(fold)} as {FOLD}, which is not in the plan")


def curve(value: Any, count: int | None, metric: Any, step: Any) -> np.ndarray:
    """One point of a block's curve, a value for each of its members.

    Args:
        count: of the block's members; None for a block that the store lacks.
    """
    _check_point("curves", r"(train|validation|test)_.{1,200}|trained_steps", metric, step)
    if count is None or not isinstance(value, bytes) or len(value) != 8 * count:
        raise Damage(f"curves has a value of {metric} that is not one number for each member of its block")
    return np.frombuffer(value, "<f8")


def _check_point(table: str, names: str, metric: Any, step: Any) -> None:
    if not isinstance(metric, str) or not re.fullmatch(names, metric, re.DOTALL):
        raise Damage(f"{table} has {_short(metric)} as metric")
    if not isinstance(step, int) or not 0 <= step <= 2**53:
        raise Damage(f"{table} has {_short(step)} as step")


def parts(value: Any, count: int | None, metric: Any, step: Any) -> np.ndarray:
    """A metric on each part of the samples, (members, parts).

    Args:
        count: of the block's members; None for a block that the store lacks.
    """
    _check_point("parts", r"(validation|test)_.{1,200}", metric, step)
    if not count or not isinstance(value, bytes) or not value or len(value) % (8 * count):
        raise Damage(f"parts has a value of {metric} that is not so many numbers for each member of its block")
    return np.frombuffer(value, "<f8").reshape(count, -1)


# The JSON of meta


@dataclass(frozen=True)
class Plain:
    """A shape of values that hold no others."""

    words: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Named:
    """A mapping of any names to values of one shape."""

    of: Any


def _whole(least: int, most: int = 2**53) -> Plain:
    words = f"a whole number from {least} to {most}" if most < 2**53 else f"a whole number of at least {least}"
    return Plain(words, lambda value: type(value) is int and least <= value <= most)


def _number(value: Any) -> bool:
    return (type(value) is float and math.isfinite(value)) or (type(value) is int and abs(value) <= 2**53)


TEXT = Plain("text", lambda value: isinstance(value, str) and not re.search("[\ud800-\udfff]", value))
YES_NO = Plain("true or false", lambda value: isinstance(value, bool))
NONE = Plain("null", lambda value: value is None)
NUMBER = Plain("a number", _number)
RATE = Plain("a positive number", lambda value: _number(value) and value > 0)
GAP = Plain("a number of at least 0", lambda value: _number(value) and value >= 0)
SECONDS = Plain("a number of at least 0", lambda value: value != value or GAP.fits(value))
COUNT, POSITIVE = _whole(0), _whole(1)
FEW, SEVERAL = _whole(0, MOST_RUNS), _whole(1, MOST_RUNS)
ANY = Plain("anything", lambda value: True)
EMPTY = Plain("{}", lambda value: value == {})
LEVEL = (NONE, YES_NO, NUMBER, TEXT)
FULL_BATCH = Plain("'full'", lambda value: value == FULL)
BATCH = (FULL_BATCH, COUNT)
REASON = Plain(
    "[why, seconds]",
    lambda value: isinstance(value, list) and len(value) == 2 and TEXT.fits(value[0]) and SECONDS.fits(value[1]),
)
WAYS = ("compiled", "stacked", "recomputed", "alone")
WAY = Plain(
    "[compiled, stacked, recomputed or alone, why, seconds, bytes]",
    lambda value: (
        isinstance(value, list)
        and len(value) in (3, 4)
        and value[0] in WAYS
        and (NONE.fits(value[1]) if value[0] == "compiled" else TEXT.fits(value[1]) or NONE.fits(value[1]))
        and (value[0] not in ("recomputed", "alone") or TEXT.fits(value[1]))
        and SECONDS.fits(value[2])
        and all(map(COUNT.fits, value[3:]))
    ),
)


def _ends(scale: Any) -> bool:
    """Whether these are the lowest and the highest value of a loss, None where there is no such end."""
    if not isinstance(scale, list) or len(scale) != 2:
        return False
    low, high = scale
    plain = all(end is None or (isinstance(end, int | float) and math.isfinite(end)) for end in scale)
    return plain and (low is None or high is None or low < high)


def _judges(by_metric: Any, judge: Any) -> bool:
    try:
        Criterion.of(by_metric, judge)
    except PlanError:
        return False
    return True


_ARGUMENTS = Named((*LEVEL, [(NUMBER, TEXT)]))
_FOLDS = {"splitter": TEXT, "arguments": _ARGUMENTS, "count": SEVERAL, "overlap": SECONDS, "digest": TEXT}
_GROUP = {"names": [TEXT], "values": Named((NUMBER, YES_NO)), "factors": Named(GAP)}
_GROUPS = {"label": TEXT, "groups": [_GROUP], "frozen": [TEXT], "others": COUNT, "idle?": [TEXT]}
# Of a plan as this thalweg has it, see `plan.as_now`.
_PLAN = {
    **{name: [TEXT] for name in ("optimizers", "schedules", "regularizers")},
    **{name: [RATE] for name in ("rates", "grown")},
    "own_rates": Named([RATE]),
    "looks": [{"seeds": SEVERAL, "epochs": POSITIVE, "swaps": FEW}],
    "confirmation_epochs": (NONE, POSITIVE),
    "losses": [(NONE, TEXT)],
    "models": [LEVEL],
    "batch_sizes": [BATCH],
    "hyperparameters": Named([LEVEL[1:]]),
    **dict.fromkeys(("applies", "equations", "untuned"), Named([TEXT])),
    "seeds": SEVERAL,
    "epochs": POSITIVE,
    **dict.fromkeys(("confirmation", "grow"), FEW),
    **dict.fromkeys(("grow_total", "refine_total"), (NONE, FEW)),
    "narrow": [[COUNT]],
    "margin": GAP,
    "device": Plain("a device", lambda v: isinstance(v, str) and bool(re.fullmatch(r"cpu|cuda(:\d{1,3})?", v))),
    "precision": Plain("a precision", lambda value: value in PRECISIONS),
    "usual": Named(Named(NUMBER)),
    "refine": _whole(0, FINEST),
    "refined": [Named([{"optimizer": TEXT, "lr": RATE, "schedule": TEXT, "further": Named(LEVEL)}])],
    "specs": Named(Named(TEXT)),
    "states": Named(COUNT),
    "budget": Plain("'full' or 'halving'", lambda value: value in (FULL_BUDGET, HALVING)),
    "by_metric": Plain("a metric", lambda value: _judges(value, LAST)),
    "directions": Named(Plain("1 or -1", lambda value: value in (1.0, -1.0))),
    "loss_scale": Plain("two ends", lambda value: _ends(value)),
    "judge": Plain("the epochs that judge", lambda value: _judges("loss", value)),
    "search": Plain("'grid', 'random' or 'sobol'", lambda value: value in SEARCHES),
    "points": [Named(LEVEL[1:])],
    "folds": (NONE, _FOLDS),
    "swaps": (NONE, {**_FOLDS, "sizes": [SEVERAL], "used": SEVERAL}),
    "defaults": Named({"lr": RATE, "?": LEVEL}),
    "groups": (NONE, _GROUPS),
}
_SESSION = {"started?": TEXT, "?": LEVEL}
_PROGRAM = {"batch_size": BATCH, "loss": (NONE, TEXT), "seconds": SECONDS, "regularizer?": TEXT, "model?": LEVEL}
_RECIPE_RUN = {
    **dict.fromkeys(("optimizer", "schedule", "stage", "reason", "compared?"), TEXT),
    "lr": RATE,
    "further?": Named(LEVEL),
    "seed": _whole(-1),
    **dict.fromkeys(("epochs", "planned", "at"), COUNT),
    **dict.fromkeys(("first", "largest"), (NONE, GAP)),
    "seconds": SECONDS,
    "scatter?": GAP,
    "plain": YES_NO,
}
_READING = {
    **{name: [TEXT] for name in ("drawn", "stratified", "dataclasses?")},
    "parts?": Named([TEXT]),
    **dict.fromkeys(("seed", "inputs?", "axis?"), COUNT),
    **dict.fromkeys(("tree?", "grouped?"), YES_NO),
    "loss?": TEXT,
}
REQUIRED = ("plan", "problem", "provenance")
SHAPES = {
    "plan": _PLAN,
    "problem": {
        "name": TEXT,
        **dict.fromkeys(("kind?", "spec?", "fingerprint?", "loss?", "text?"), TEXT),
        **dict.fromkeys(("loader?", "stream?", "draws?"), YES_NO),
        **dict.fromkeys(("weights?", "validation_samples?"), COUNT),
        **{name: [TEXT] for name in ("metrics?", "columns?", "classes?", "numbers?", "words?", "left_out?", "made?")},
        "stratified?": [YES_NO],
        **dict.fromkeys(("reading?", "pairs?"), _READING),
        "guess?": NUMBER,
        "ignored_step?": YES_NO,
        **{name: [NUMBER] for name in ("input_sizes?", "target_sums?")},
        "network?": [COUNT],
        "?": LEVEL,
    },
    "provenance": _SESSION,
    "sessions": [_SESSION],
    "costs": (
        NONE,
        EMPTY,
        {**dict.fromkeys(("seconds_per_step", "update_seconds?"), Named(SECONDS)), "programs?": [_PROGRAM]},
    ),
    "batching": {
        "asked?": (Plain("'auto' or one of the ways", lambda value: value in ("auto", *WAYS)), YES_NO),
        "reasons?": [(NONE, REASON)],
        "ways?": [WAY],
        "notes?": [TEXT],
    },
    "recipe_run": (NONE, EMPTY, _RECIPE_RUN),
    "rungs": [[COUNT]],
    "callbacks": [TEXT],
    "unheard": [TEXT],
    "limit": {"minutes": (NONE, RATE), "until": (NONE, TEXT), "asked": TEXT, "words": [TEXT]},
    "revision": COUNT,
}


def meta(key: str, text: Any) -> Any:
    """The value of that key, of its shape."""
    value = _parsed(text, f"its {key}")
    _check(as_now(value) if key == "plan" and isinstance(value, dict) else value, SHAPES.get(key, ANY), f"its {key}")
    return value


def levels(text: str) -> dict[str, Any]:
    """The levels of a member's further factors."""
    further = _parsed(text, "a further level")
    _check(further, {f"{FOLD}?": COUNT, "?": LEVEL}, "a further level")
    if columns := [name for name in further if name in (*_COLUMNS["members"], "member", "stage", "status", "step")]:
        raise Damage(f"members has a further level of {columns[0]}")
    return further


def _parsed(text: Any, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:  # the parser stops at a thousand levels
        raise Damage(f"{where} is not JSON that thalweg writes") from error


def _check(value: Any, shape: Any, where: str) -> None:
    """Refuse a value that is not of that shape.

    Args:
        where: what the value is, in words.
    """
    match shape:
        case Plain():
            if not shape.fits(value):
                raise _other(value, shape.words, where)
        case tuple():
            for other in shape[:-1]:
                with suppress(Damage):
                    _check(value, other, where)
                    return
            _check(value, shape[-1], where)
        case list():
            if not isinstance(value, list):
                raise _other(value, "a list", where)
            for item in value:
                _check(item, shape[0], where)
        case Named():
            _check_fields(value, {"?": shape.of}, where)
        case _:
            _check_fields(value, shape, where)


def _check_fields(value: Any, shape: Mapping[str, Any], where: str) -> None:
    if not isinstance(value, dict):
        raise _other(value, "named values", where)
    if missing := [name for name in shape if not name.endswith("?") and name not in value]:
        raise Damage(f"{where} has no {missing[0]}")
    for name, item in value.items():
        field = shape.get(name, shape.get(f"{name}?", shape.get("?", ANY)))
        if not TEXT.fits(name):
            raise _other(name, "text", f"a name in {where}")
        _check(item, field, f"{name[:40]} in {where}" if field is not shape.get("?") else where)


def _other(value: Any, words: str, where: str) -> Damage:
    return Damage(f"{where} is {_short(value)}, not {words}")


def _short(value: Any) -> str:
    """What stands in the place of a value, in a few letters."""
    if isinstance(value, list | dict | bytes):
        return {list: "a list", dict: "named values", bytes: "bytes"}[type(value)]
    return ascii(value if not isinstance(value, str) else value[:40])[:60]
