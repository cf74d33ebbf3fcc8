"""A study as one HTML file that opens anywhere, without a network, for years.

`page` puts the sections of `contents` into `report.html`, which holds the layout, the styles and the script. Words are
escaped by `pictures.markup`, and `_cell` is the one way from a value of a table into the page. Pictures travel as JSON
inside the page, beside plotly.js itself, and a content security policy in the page forbids it to load or run anything
else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import WorkError
from ..files import put
from ..language import say
from ..pictures import markup
from ..pictures.markup import Markup, joined, piece
from .contents import Parts, contents
from .formats import EMPTY
from .ranking import ranking

if TYPE_CHECKING:
    from ..results import Results
    from .sections import Column, Row, Section


def write(results: Results, path: str | os.PathLike[str], margin: float | None = None) -> Path:
    """Write the report to `path` and return the path; an older report is replaced in one move.

    Missing folders are made.

    Args:
        margin: as `Results.verdict_by` takes it.

    Raises:
        WorkError: the file cannot be written; what was there is left as it was.
    """
    return save(document(results.name, contents(Parts(results, margin))), path)


def save(text: str, path: str | os.PathLike[str]) -> Path:
    """Write a page; what holds for `write` holds here."""
    target = Path(path)
    try:
        put(target, text.encode())
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise WorkError(
            f"The report cannot be written to {str(path)!r} ({reason}): name a file in a folder that may be written to."
        ) from error
    return target


def page(results: Results) -> str:
    """The report as one HTML document; the study may be unfinished, or have nothing finished at all."""
    return document(results.name, contents(Parts(results)))


def document(title: str, sections: Sequence[Section]) -> str:
    """Sections as one HTML document, the first of them its head."""
    from ..pictures import style

    answer, *others = sections
    parts = {
        "title": title,
        "lead": _lead(answer),
        "sections": joined(map(rendered, others), "\n"),
        "dark": markup.embedded(dict(style.DARK)),
    }
    return markup.filled("thalweg.report", "report.html", parts)


def glance(results: Results) -> str:
    """The verdict, what looks like a mistake, and the table, as a piece of another page, such as a notebook's."""
    verdict = results.verdict
    lines = [piece("<p>{}</p>", sign) for sign in verdict.signs]
    table = [_table(ranking(verdict))] if verdict.entries else []
    return str(joined([piece("<p><strong>{}</strong> {}</p>", *_first(verdict.sentence)), *lines, *table], "\n"))


def _lead(answer: Section) -> Markup:
    """The verdict in words, what is unfinished, and the key facts."""
    first, rest = _first(answer.sentence)
    facts = (
        piece("<div><dt>{}</dt><dd>{}</dd></div>", *(_text(c, row) for c in answer.columns)) for row in answer.rows
    )
    return joined(
        [
            piece('<p class="verdict">{}</p>', first),
            *([piece('<p class="rest">{}</p>', rest)] if rest else []),
            *(
                piece('<p class="unfinished" role="note"><strong>{}</strong> {}</p>', *_first(note))
                for note in answer.notes
            ),
            piece('<dl class="facts">{}</dl>', joined(facts)),
        ],
        "\n",
    )


def _first(words: str) -> tuple[str, str]:
    """The first sentence, and the rest."""
    first, *rest = re.split(r"(?<=[.!?])\s+", words, maxsplit=1)
    return first, "".join(rest)


def rendered(section: Section) -> Markup:
    """A section as a piece of a page."""
    ranked = any(column.name == "letters" for column in section.columns)
    template = '<p class="answer"><strong>{}</strong> {}</p>' if ranked else "<p>{}</p>"
    paragraphs = section.sentence.split("\n\n") if section.sentence else []
    body = [piece(template, *(_first(text) if ranked else [text])) for text in paragraphs]
    table = _table(section)
    for figure in section.figures:
        charts = {"wide": figure.draw(False), "narrow": figure.draw(True)}
        body.append(markup.chart(charts, figure.label, figure.caption, table if section.folded else ""))
    if not section.folded:
        body.append(table)
    if glossary := section.glossary:
        terms = (piece("<div><dt>{}</dt><dd>{}</dd></div>", *term) for term in glossary.items())
        body.append(piece('<dl class="terms">{}</dl>', joined(terms)))
    if section.notes:
        body.append(piece("<ul>{}</ul>", joined(piece("<li>{}</li>", note) for note in section.notes)))
    if section.code:
        body.append(piece(_CODE, say("Copy"), section.code))
    return piece(
        '<section id="{}" class="{}" aria-labelledby="{}-title"><h2 id="{}-title">{}</h2>\n{}</section>',
        section.name,
        "ranking" if ranked else "",
        section.name,
        section.name,
        section.title,
        joined(body),
    )


_CODE = (
    '<div class="recipe"><button type="button" class="copy" hidden>{}</button><span role="status"></span>'
    '<pre tabindex="0"><code>{}</code></pre></div>'
)


def _table(section: Section) -> Markup:
    columns = [column for column in section.columns if column.page]
    if not columns:
        return Markup("")
    rows = [[_cell(column, row) for column in columns] for row in section.rows]
    named = (place for place, column in enumerate(columns) if column.format == "name")
    words = sum(column.writes.words and column.name != "letters" and column.name != "standing" for column in columns)
    return markup.table([column.head for column in columns], rows, words=words, lead=next(named, 0))


def _cell(column: Column, row: Row) -> Markup | str:
    """A value in its cell; whatever it holds, it is letters."""
    text = _text(column, row)
    return piece("<b>{}</b>", text) if column.format == "name" else text


def _text(column: Column, row: Row) -> Markup | str:
    value = column.value(row)
    written = EMPTY if column.writes.lacks(value) else column.writes.page(value)
    return written if isinstance(written, str) else piece("{}<small>{}</small>", *written)
