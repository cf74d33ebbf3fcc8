"""A part of what a study says, as data: computed once, and rendered by `html`, by `terminal`, and as JSON.

A section's rows are plain records; a `Column` picks a value of each, and its `Format` says how it is written. Figures
are drawn only when a page asks for them. A new statistic of the ranking is a field of `verdict.entries.Entry` and a
`Column` in `ranking`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..language import say
from ..numbers import plain
from ..plan.factors import words_of
from .formats import FORMATS, Format

if TYPE_CHECKING:
    import plotly.graph_objects as go


Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of a section's table.

    Attributes:
        name: of the value in the rows.
        title: its head on a page.
        format: a name of `formats.FORMATS`.
        of: row → value, where it is not the row's value of that name.
        brief: its head in a terminal, which may have several lines.
        worth: which columns a narrow terminal keeps: those of 0 always, then 1, 2, …; None: only a page has it.
        page: whether a page has it too.
        means: what its values are, in a line that stands below the table.
    """

    name: str
    title: str
    format: str
    of: Callable[[Row], Any] | None = None
    brief: str = ""
    worth: int | None = None
    page: bool = True
    means: str = ""

    @property
    def head(self) -> str:
        return say(self.title)

    @property
    def writes(self) -> Format:
        return FORMATS[self.format]

    def value(self, row: Row) -> Any:
        return row.get(self.name) if self.of is None else self.of(row)


@dataclass(frozen=True)
class Figure:
    """A picture that is drawn when it is needed.

    Attributes:
        draw: whether the page is narrow → the figure.
        label: what it shows, in words, for readers that cannot see it.
    """

    draw: Callable[[bool], go.Figure]
    label: str
    caption: str


@dataclass(frozen=True)
class Section:
    """One part of what a study says.

    Attributes:
        name: for links.
        sentence: what to know first, or how to read the table; an empty line parts paragraphs.
        notes: sentences that stand alone.
        code: a script.
        terms: words of the sentence → what each means, in a line.
        folded: whether the table is the numbers of the figure, to be unfolded.
    """

    name: str
    title: str
    sentence: str = ""
    columns: Sequence[Column] = ()
    rows: Sequence[Row] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    code: str = ""
    terms: Mapping[str, str] = field(default_factory=dict)
    folded: bool = False

    @property
    def glossary(self) -> dict[str, str]:
        """What the columns of its page and the words of its sentence mean; columns that mean the same together."""
        return explained((column.head, column.means) for column in self.columns if column.page) | dict(self.terms)

    def to_json(self) -> list[dict[str, Any]]:
        """The rows as plain values; infinite and missing numbers are None."""
        return [plain(row) for row in self.rows]


def explained(heads: Iterable[tuple[str, str]]) -> dict[str, str]:
    """
    >>> explained([("rate", ""), ("Test loss", "of the test part"), ("Test accuracy", "of the test part")])
    {'Test loss, Test accuracy': 'of the test part'}
    """
    together: dict[str, list[str]] = {}
    for head, meaning in heads:
        together.setdefault(meaning, []).append(head)
    return {", ".join(heads): meaning for meaning, heads in together.items() if meaning}


def level(name: str, format: str = "level", *, worth: int | None = None, page: bool = True) -> Column:
    """The column of a factor's levels; hyperparameters keep their names."""
    words = say(words_of(name))
    title = words if words == name and name not in _CAPITALIZED else words.capitalize()
    return Column(name, title, format, brief=words, worth=worth, page=page)


_CAPITALIZED = ("optimizer", "schedule", "loss", "regularizer")
