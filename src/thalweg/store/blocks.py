"""The blocks of a store: their rows, and how members of several are put together in a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..plan.factors import Setting
from . import checks


@dataclass(frozen=True)
class BlockRow:
    """One line of the table of blocks, with its members' settings in their order."""

    id: int
    stage: str
    seed: int
    status: str
    step: int
    seconds: float
    checkpoint: str | None
    settings: tuple[Setting, ...]
    fold: int | None = None


@dataclass(frozen=True)
class Compacted:
    """A block put together from members of others.

    Attributes:
        id: of the new block.
        origins: (block, position) of each member in the old ones.
        status: of the new block.
        checkpoint: its name, if it has one.
    """

    id: int
    origins: Sequence[tuple[int, int]]
    status: str
    checkpoint: str | None = None


class _Contents:
    """A block with everything the store holds of it; its members lack their ids, which are given anew."""

    def __init__(self, db: sqlite3.Connection, row: BlockRow) -> None:
        self.row = row
        rows = db.execute("SELECT * FROM members WHERE block = ? ORDER BY position", (row.id,))
        names = [column[0] for column in rows.description]
        self.members = [dict(zip(names[1:], values[1:], strict=True)) for values in rows]
        curves = db.execute("SELECT step, metric, value FROM curves WHERE block = ?", (row.id,))
        self.curves = {(s, metric): checks.curve(value, len(self.members), metric, s) for s, metric, value in curves}
        self.parts: dict[tuple[int, str], np.ndarray] = {}
        if has_parts(db):
            tables = db.execute("SELECT step, metric, value FROM parts WHERE block = ?", (row.id,))
            self.parts = {(s, metric): checks.parts(v, len(self.members), metric, s) for s, metric, v in tables}


def compact(db: sqlite3.Connection, rows: Sequence[BlockRow], new: Sequence[Compacted]) -> None:
    """Replace blocks by new ones; what these leave of an old one is stopped."""
    contents = {row.id: _Contents(db, row) for row in rows}
    ids = [(row.id,) for row in rows]
    tables = {"members": "block", "curves": "block", "blocks": "id"} | ({"parts": "block"} if has_parts(db) else {})
    for table, column in tables.items():
        db.executemany(f"DELETE FROM {table} WHERE {column} = ?", ids)
    moved = {origin for block in new for origin in block.origins}
    for row in rows:
        if rest := [(row.id, k) for k in range(len(row.settings)) if (row.id, k) not in moved]:
            _insert(db, Compacted(row.id, rest, "stopped"), contents)
    for block in new:
        _insert(db, block, contents)


def _insert(db: sqlite3.Connection, new: Compacted, contents: Mapping[int, _Contents]) -> None:
    """A block of members that come from others, with their curves and their share of the time."""
    sources = [(contents[block], place) for block, place in new.origins]
    row, curves = sources[0][0].row, sources[0][0].curves
    seconds = sum(source.row.seconds / len(source.members) for source, _ in sources)
    values = (new.id, row.stage, row.seed, new.status, row.step, seconds, new.checkpoint)
    db.execute(
        "INSERT INTO blocks (id, stage, seed, status, step, seconds, checkpoint) VALUES (?, ?, ?, ?, ?, ?, ?)", values
    )
    for k, (source, place) in enumerate(sources):
        member = source.members[place] | {"block": new.id, "position": k}
        marks = ", ".join("?" * len(member))
        db.execute(f"INSERT INTO members ({', '.join(member)}) VALUES ({marks})", list(member.values()))
    for table, keys in (("curves", curves), ("parts", sources[0][0].parts)):
        for key in keys:
            array = np.array([getattr(source, table)[key][place] for source, place in sources])
            db.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", (new.id, *key, array.tobytes()))


def has_parts(db: sqlite3.Connection) -> bool:
    """Whether the store is of a schema with values on parts of the samples."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return version >= 3
