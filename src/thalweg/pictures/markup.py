"""Pictures and tables as pieces of a web page: words escaped, numbers that are not finite as null.

Words come from a study and may hold anything, so all of them go through `escape`; JSON inside a page goes through
`embedded`. Used by the report; the page that loads these pieces brings plotly.js and draws them.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import plotly.graph_objects as go


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: int, lead: int = 0) -> str:
    """A table in a container that scrolls by itself; the first `words` columns are words, column `lead` names a row."""
    kinds = ["word" if place < words else "number" for place in range(len(heads))]
    top = "".join(
        f'<th scope="col" class="{kind}">{escape(head) or "<span class=unseen>Rank</span>"}</th>'
        for kind, head in zip(kinds, heads, strict=True)
    )
    body = []
    for row in rows:
        cells = [
            f'<th scope="row" class="{kind}">{cell}</th>' if place == lead else f'<td class="{kind}">{cell}</td>'
            for place, (kind, cell) in enumerate(zip(kinds, row, strict=True))
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>'
        f"<thead><tr>{top}</tr></thead>\n<tbody>{chr(10).join(body)}</tbody></table></div>"
    )


def chart(figures: Mapping[str, go.Figure], label: str, caption: str, data: str) -> str:
    """A figure, drawn `wide` or `narrow` as there is room, its caption, and its numbers to unfold."""
    packed = embedded({kind: figure.to_plotly_json() for kind, figure in figures.items()})
    height = next(iter(figures.values())).layout.height
    unfold = f"<details><summary>The numbers of this chart</summary>{data}</details>" if data else ""
    return (
        f'<figure><div class="chart" role="img" aria-label="{escape(label)}" style="min-height:{height}px">'
        f'<script type="application/json">{packed}</script></div>'
        f"<figcaption>{caption}</figcaption>{unfold}</figure>"
    )


def embedded(value: Any) -> str:
    """JSON that may stand inside a script element: no `<`, and null where a number is not finite.

    >>> embedded({"</script>": [1.5, float("nan")]}), embedded(np.array([[1.5, np.inf]]))
    ('{"\\\\u003c/script\\\\u003e":[1.5,null]}', '[[1.5,null]]')
    """
    from plotly.utils import PlotlyJSONEncoder

    text = json.dumps(_finite(value), cls=PlotlyJSONEncoder, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def escape(words: object) -> str:
    """Words as text or as an attribute of HTML."""
    return html.escape(str(words), quote=True)
