"""How commands print catalogues: a table that fits the terminal, and one entry, read from its docstring.

Losses and regularizers are dataclasses whose docstring holds the formula in its first paragraph and what each argument
means under ``Args:``; nothing is said of them a second time here. It is English, which the catalogues of messages
translate where it is printed.
"""

from __future__ import annotations

import inspect
import math
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ..language import say, wrapped

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from ..report.terminal import Cells

_LEFT_OUT = ("Raises:", ">>>", "...")


def terminal() -> Console:
    """Where results are printed; a file or a pipe lacks a width."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120
    return Console(width=width, markup=False, highlight=False)


def columns(
    names: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Collection[str] = (),
    whole: Collection[str] = (),
    title: str = "",
) -> Table:
    """A table whose cells are text as it stands.

    Args:
        right: columns of numbers.
        whole: columns that are never wrapped.
        title: above the table.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), show_header=any(names))
    if title:
        table.title, table.title_justify, table.title_style = Text(title, no_wrap=True, overflow="ignore"), "left", ""
    for name in names:
        table.add_column(
            Text(say(name)), justify="right" if name in right else "left", no_wrap=name in whole, overflow="fold"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def columns_of(
    frame: pd.DataFrame, headings: Mapping[str, str], shares: Collection[str] = (), intervals: bool = False
) -> Table:
    """Columns of a data frame, numbers to the right, and nothing where one is missing.

    Args:
        headings: column → what stands above it; the others are left out.
        shares: columns that are shown in percent.
        intervals: numbers with a column ``…_high`` beside them get how far that is away, ± half the width.
    """
    from ..pictures.numbers import short

    def cell(row: Mapping[str, Any], name: str) -> str:
        value = row[name]
        if not isinstance(value, int | float):
            return str(value)
        if math.isnan(value):
            return ""
        if name in shares:
            return f"{value:.1%}"
        half = row.get(f"{name}_high", math.nan) - value if intervals else math.nan
        return short(value) + (f" ± {short(half, 2)}" if math.isfinite(half) and half > 0 else "")

    rows = [[cell(row, name) for name in headings] for row in frame.to_dict("records")]
    numbers = [words for name, words in headings.items() if frame[name].dtype.kind in "iuf"]
    return columns(list(headings.values()), rows, right=numbers)


def table_of(fitted: Sequence[Cells]) -> Table:
    """Columns of a study's table, as `report.terminal.fitting` chooses them."""
    right = [column.head for column in fitted if not column.left]
    return columns([column.head for column in fitted], zip(*(one.cells for one in fitted), strict=True), right)


def print_table(table: Table) -> None:
    """The table, without colours of its own."""
    from rich.console import Console

    Console(highlight=False).print(table)


def fact_lines(facts: Mapping[str, str]) -> list[str]:
    """Headings with words beside them, in lines of the terminal's width."""
    from rich.cells import cell_len, set_cell_size

    margin = max(map(cell_len, facts), default=0) + 2
    return [
        line
        for name, words in facts.items()
        for line in wrapped(set_cell_size(name, margin) + words, terminal().width, " " * margin)
    ]


def print_words(text: str) -> None:
    """Sentences, in lines of the terminal's width."""
    print("\n".join(wrapped(text, terminal().width)))


@dataclass(frozen=True)
class Entry:
    """A class of a catalogue.

    Attributes:
        name: as a text calls it.
        formula: the first paragraph of the docstring.
        words: the paragraphs after it, up to the example.
        options: argument → (default, what it means).
        facts: further lines, heading → words.
    """

    name: str
    formula: str
    words: tuple[str, ...]
    options: Mapping[str, tuple[Any, str]]
    facts: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Lines of at most the terminal's width."""
        width = terminal().width
        lines = [*wrapped(f"{self.name}: {say(self.formula)}", width, "    ")]
        for paragraph in self.words:
            lines += ["", *wrapped(say(paragraph), width)]
        lines += [""] * bool(self.facts)
        lines += fact_lines({say(heading): each_said(words) for heading, words in self.facts.items()})
        if self.options:
            lines += ["", say("arguments, with what they are unless given:")]
        margin = max(map(len, self.options), default=0) + 6
        for name, (default, words) in self.options.items():
            head = f"    {name:<{margin - 4}}{default!r:<8} "
            lines += wrapped(f"{head}{say(words)}".rstrip(), width, " " * (margin + 9))
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """In plain values."""
        plain = (int, float, str, type(None))
        options = {
            name: {"default": default if isinstance(default, plain) else str(default), "words": words}
            for name, (default, words) in self.options.items()
        }
        about = {"name": self.name, "formula": self.formula, "words": list(self.words)}
        return about | dict(self.facts) | {"arguments": options}


def entry(kind: type[Any], facts: Mapping[str, str]) -> Entry:
    """What a registered dataclass says of itself."""
    defaults = {f.name: None if f.default is MISSING else f.default for f in fields(kind) if f.init}
    return documented(kind.name, kind, defaults, facts)


def documented(name: str, thing: Any, defaults: Mapping[str, Any], facts: Mapping[str, str]) -> Entry:
    """What a docstring says of a thing and of its arguments, by name with their defaults."""
    paragraphs = [p for p in re.split(r"\n\s*\n", inspect.getdoc(thing) or "") if p]
    arguments = next((p for p in paragraphs if p.startswith("Args:")), "")
    formula, *others = [_line(p) for p in paragraphs if p != arguments and not p.startswith(_LEFT_OUT)]
    meanings = _arguments(arguments)
    options = {argument: (default, meanings.get(argument, "")) for argument, default in defaults.items()}
    return Entry(name, formula.removesuffix("."), tuple(others), options, {k: v for k, v in facts.items() if v})


def _line(paragraph: str) -> str:
    return " ".join(paragraph.split()).replace("`", "")


def _arguments(paragraph: str) -> dict[str, str]:
    """``Args:`` as name → words; names that share a line share its words.

    >>> _arguments("Args:\\n    a, b: one\\n        two.\\n    c: three.")
    {'a': 'one two.', 'b': 'one two.', 'c': 'three.'}
    """
    meanings = {}
    for names, words in re.findall(r"^    (\w[\w, ]*): (.*(?:\n {8}.*)*)", paragraph, re.MULTILINE):
        meanings |= {name.strip(): _line(words) for name in names.split(",")}
    return meanings


def each_said(words: str) -> str:
    """A list in words, separated by commas, in the reader's language."""
    return ", ".join(map(say, words.split(", ")))


def headline(thing: Any) -> str:
    """The first line of a docstring, in English."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def also_called(kind: str, name: str) -> str:
    """Other names of an entry, separated by commas."""
    from ..aliases import WRITTEN

    return WRITTEN.get(kind, {}).get(name, "")
