"""Pictures and tables as pieces of a web page: words escaped, numbers that are not finite as null.

Words come from a study and may hold anything, so they are escaped by construction: a piece of a page is a `Markup`,
made by `piece` from a text that stands in this program, by `Markup.join`, or by `embedded` for JSON; whatever else is
put into a piece is escaped, and so is whatever else is put into a page by `filled`. The page brings plotly.js, and
its content security policy names the scripts of the template by their hashes, so that no other script runs.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, LiteralString

from markupsafe import Markup, escape

from ..language import language, say

if TYPE_CHECKING:
    import plotly.graph_objects as go


def piece(template: LiteralString, *values: object) -> Markup:
    """A piece of a page: the values stand in the place of each ``{}``, escaped unless they are pieces themselves.

    >>> piece("<b>{}</b>", "a < b")
    Markup('<b>a &lt; b</b>')
    """
    return Markup(template).format(*values)


def joined(pieces: Iterable[object], between: LiteralString = "") -> Markup:
    """Pieces one after the other."""
    return Markup(between).join(pieces)  # pyright: ignore[reportArgumentType]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: int, lead: int = 0) -> Markup:
    """A table in a container that scrolls by itself; the first `words` columns are words, column `lead` names a row."""
    kinds = ["word" if place < words else "number" for place in range(len(heads))]
    hidden = piece("<span class=unseen>{}</span>", say("Rank"))
    top = joined(
        piece('<th scope="col" class="{}">{}</th>', kind, head or hidden)
        for kind, head in zip(kinds, heads, strict=True)
    )
    body = []
    for row in rows:
        cells = [
            piece('<th scope="row" class="{}">{}</th>' if place == lead else '<td class="{}">{}</td>', kind, cell)
            for place, (kind, cell) in enumerate(zip(kinds, row, strict=True))
        ]
        body.append(piece("<tr>{}</tr>", joined(cells)))
    lines = piece("<thead><tr>{}</tr></thead>\n<tbody>{}</tbody>", top, joined(body, "\n"))
    return piece(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table>{}</table></div>', say("Table"), lines
    )


def chart(figures: Mapping[str, go.Figure], label: str, caption: str, data: Markup | str) -> Markup:
    """A figure, drawn `wide` or `narrow` as there is room, its caption, and its numbers to unfold."""
    packed = embedded({kind: figure.to_plotly_json() for kind, figure in figures.items()})
    height = next(iter(figures.values())).layout.height
    numbers = ""
    if data:
        numbers = piece("<details><summary>{}</summary>{}</details>", say("The numbers of this chart"), data)
    frame = '<div class="chart" role="img" aria-label="{}" style="min-height:{}px">{}</div>'
    drawing = piece(frame, label, height, piece('<script type="application/json">{}</script>', packed))
    return piece("<figure>{}<figcaption>{}</figcaption>{}</figure>", drawing, caption, numbers)


WORDS = re.compile(r"\{\{(?:say ([^{}]+)|(\w+))\}\}")


def filled(package: LiteralString, template: LiteralString, parts: Mapping[str, object]) -> str:
    """The page of a template, each ``{{name}}`` replaced by that part, which is escaped unless it is a piece.

    ``{{say words}}`` is replaced by these words in the chosen language.
    """
    text = resources.files(package).joinpath(template).read_text(encoding="utf-8")
    values = {**parts, "language": language()}
    if "{{plotly}}" in text:
        from plotly.offline import get_plotlyjs

        values["plotly"] = Markup(get_plotlyjs())

    def fill(part: str) -> str:
        # one pass, so that braces inside a study's own words stay what they are
        return WORDS.sub(lambda found: escape(say(found[1]) if found[1] else values[found[2]]), part)

    # Of the template alone: a script that comes with a study is not among them, and a browser refuses it.
    hashes = map(_hash, map(fill, re.findall("<script>(.*?)</script>", text, re.DOTALL)))
    values["scripts"] = joined(map(Markup, hashes), " ")
    return fill(text)


def _hash(script: str) -> str:
    """As a content security policy names a script, whose lines a browser ends in its own way."""
    lines = script.replace("\r\n", "\n").replace("\r", "\n")
    return f"'sha256-{base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()}'"


def embedded(value: Any) -> Markup:
    """JSON that may stand inside a script element: no `<`, and null where a number is not finite.

    >>> import numpy as np
    >>> print(embedded({"</script>": [1.5, float("nan")]}), embedded(np.array([[1.5, np.inf]])))
    {"\\u003c/script\\u003e":[1.5,null]} [[1.5,null]]
    """
    from plotly.utils import PlotlyJSONEncoder

    text = PlotlyJSONEncoder(separators=(",", ":")).encode(value)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
