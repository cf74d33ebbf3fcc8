"""A section's table in a terminal, with as many columns as there is room for."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len

from ..language import say
from .sections import Column, Row, Section

GAP = 2  # between columns, as `cli.listing.columns` draws them


@dataclass(frozen=True)
class Cells:
    """A column as text: its head, which may have several lines, and a cell for each row."""

    head: str
    cells: list[str]
    left: bool
    worth: int
    means: str

    @property
    def width(self) -> int:
        return GAP + max(map(cell_len, [*self.head.split("\n"), *self.cells]))


def fitting(section: Section, width: int) -> list[Cells]:
    """The columns that must be there, and of the others, the worthier first, those that fit; none without a row.

    Where these and the worthiest of the others have no room, those that say the same in all rows go, the last first.
    """
    must = [column for column in section.columns if column.worth == 0]
    rows = [row for row in section.rows if not any(c.writes.lacks(c.value(row)) for c in must)]
    if not rows:
        return []
    columns = [_cells(column, column.worth, rows) for column in section.columns if column.worth is not None]
    needed = [column for column in columns if column.worth == 0]
    others = [column for column in columns if column.worth and any(column.cells)]
    others.sort(key=lambda column: column.worth)
    most = width + GAP - sum(column.width for column in others[:1])
    for column in reversed([column for column in needed[1:] if len(rows) > 1 and len({*column.cells}) == 1]):
        if sum(one.width for one in needed) > most:
            needed.remove(column)
    left = width - sum(column.width for column in needed) + GAP
    chosen: list[Cells] = []
    for column in others:
        if column.width <= left:
            chosen.append(column)
            left -= column.width
    return [column for column in columns if column in needed or column in chosen]


def _cells(column: Column, worth: int, rows: list[Row]) -> Cells:
    values = [column.value(row) for row in rows]
    cells = ["" if column.writes.lacks(value) else column.writes.terminal(value) for value in values]
    left = column.format in ("interval", "difference") or all(isinstance(value, str) for value in values)
    return Cells(say(column.brief), cells, left, worth, column.means)
