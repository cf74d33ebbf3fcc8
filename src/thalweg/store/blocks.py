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
        origins: (block, position) of each member in the old ones.
    """

    id: int
    origins: Sequence[tuple[int, int]]
    status: str
    checkpoint: str | None = None


_ARRAYS = {"curves": checks.curve, "parts": checks.parts}  # tables of arrays with a row for each member


class _Contents:
    """A block with everything the store holds of it; its members lack their ids, which are given anew.

    Attributes:
        arrays: (table, step, metric) → the value.
    """

    def __init__(self, db: sqlite3.Connection, row: BlockRow, tables: Sequence[str]) -> None:
        self.row = row
        rows = db.execute("SELECT * FROM members WHERE block = ? ORDER BY position", (row.id,))
        names = [column[0] for column in rows.description]
        self.members = [dict(zip(names[1:], values[1:], strict=True)) for values in rows]
        self.arrays = {
            (table, step, metric): _ARRAYS[table](value, len(self.members), metric, step)
            for table in tables
            for step, metric, value in db.execute(f"SELECT step, metric, value FROM {table} WHERE block = ?", (row.id,))
        }


def compact(db: sqlite3.Connection, rows: Sequence[BlockRow], new: Sequence[Compacted], tables: Sequence[str]) -> None:
    """Replace blocks by new ones; what these leave of an old one is stopped.

    Args:
        tables: those of arrays that the store has.
    """
    contents = {row.id: _Contents(db, row, tables) for row in rows}
    for table, column in (("members", "block"), *((table, "block") for table in tables), ("blocks", "id")):
        db.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(row.id,) for row in rows])
    moved = {origin for block in new for origin in block.origins}
    for row in rows:
        if rest := [(row.id, k) for k in range(len(row.settings)) if (row.id, k) not in moved]:
            _insert(db, Compacted(row.id, rest, "stopped"), contents)
    for block in new:
        _insert(db, block, contents)


def _insert(db: sqlite3.Connection, new: Compacted, contents: Mapping[int, _Contents]) -> None:
    """A block of members that come from others, with their curves and their share of the time."""
    sources = [(contents[block], place) for block, place in new.origins]
    row, arrays = sources[0][0].row, sources[0][0].arrays
    seconds = sum(source.row.seconds / len(source.members) for source, _ in sources)
    values = (new.id, row.stage, row.seed, new.status, row.step, seconds, new.checkpoint)
    db.execute(
        "INSERT INTO blocks (id, stage, seed, status, step, seconds, checkpoint) VALUES (?, ?, ?, ?, ?, ?, ?)", values
    )
    for k, (source, place) in enumerate(sources):
        member = source.members[place] | {"block": new.id, "position": k}
        marks = ", ".join("?" * len(member))
        db.execute(f"INSERT INTO members ({', '.join(member)}) VALUES ({marks})", list(member.values()))
    for table, step, metric in arrays:
        array = np.array([source.arrays[table, step, metric][place] for source, place in sources])
        db.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", (new.id, step, metric, array.tobytes()))
