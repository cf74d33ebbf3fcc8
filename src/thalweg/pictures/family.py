"""The family of rules: a tree that says which grew from which and when, and a table of where each steps and how far."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..language import mark, say, wrapped
from .layout import bold, dress
from .marks import line, points, words
from .style import GRID, INK, MUTED, SHADE, STYLES, Style, text

Rule = Mapping[str, Any]
ROW, LETTER = 27, 0.29  # pixels; columns that a letter of a name takes
COLUMN, LINE = 17, 0.72  # letters in a column of the table; height of a line in a cell
_PLAIN = Style(MUTED, marker="circle")


def family_tree(rules: Sequence[Rule], title: str = mark("The family of optimizers")) -> go.Figure:
    """Each rule on a row of its own, the later the farther right; a line leads to it from its first parent, a dotted
    one from others. At the right, the idea that it added.

    Args:
        rules: each has `name`, `year`, `parents`, names of other rules, and perhaps `idea`. One without a year is named
            below the title.
        title: above the tree.

    Years are evenly spaced, whatever lies between them, because half of the rules are from the last few.

    >>> figure = family_tree([{"name": "sgd", "year": 1951, "parents": ()},
    ...                       {"name": "momentum", "year": 1964, "parents": ("sgd",)}])
    >>> [(trace.x, trace.y) for trace in figure.data if trace.mode == "markers+text"]
    [((0,), (0,)), ((1,), (1,))]
    """
    by_name = {rule["name"]: rule for rule in rules if rule["year"]}
    years = sorted({rule["year"] for rule in by_name.values()})
    column = {name: years.index(rule["year"]) for name, rule in by_name.items()}
    rows = {name: row for row, name in enumerate(_order(by_name, column))}
    figure = go.Figure()
    for name, rule in by_name.items():
        for count, parent in enumerate(p for p in rule["parents"] if p in by_name):
            figure.add_trace(_branch(column, rows, parent, name, first=count == 0))
    label = {"mode": "markers+text", "textposition": "middle right", "textfont": {"size": 10.5, "color": INK}}
    for name, rule in by_name.items():
        style = STYLES.get(name, _PLAIN)  # colours computed from names would tell unlike rules alike
        parents = text(", ".join(rule["parents"]) or say("nothing before"))
        said = say("{name} {year}<br>from {parents}", name=bold(name), year=rule["year"], parents=parents)
        more = {"hover": said, "text": [_dated(rule)], **label}
        figure.add_trace(points([column[name]], [rows[name]], style, 11, name=text(name), showlegend=False, **more))
    ideas = {rows[name]: text(say(rule["idea"])) for name, rule in by_name.items() if rule.get("idea")}
    right = max((column[name] + LETTER * len(_dated(rule)) for name, rule in by_name.items()), default=0.0) + 1
    figure.add_trace(words([right] * len(ideas), list(ideas), list(ideas.values()), MUTED, 10.5))
    figure.update_xaxes(range=[-0.4, right + 0.65 * len(years) * bool(ideas)], visible=False)
    figure.update_yaxes(range=[len(rows) - 0.4, -0.6], visible=False)
    dress(figure, 100 + ROW * len(rows), title, _note(rules), t=66)
    return figure.update_layout(meta={"least": 720 if ideas else 460})


def _note(rules: Sequence[Rule]) -> str:
    note = say("A line comes from the rule it grew from, a dotted one from a second parent. Years are evenly spaced.")
    undated = ", ".join(rule["name"] for rule in rules if not rule["year"])
    return note + (say(" Without a year: {rules}.", rules=undated) if undated else "")


def _dated(rule: Rule) -> str:
    return f"{text(rule['name'])} {rule['year'] or ''}".strip()


def _order(rules: Mapping[str, Rule], column: Mapping[str, int]) -> list[str]:
    """Each rule above its children; a family below those its second parents are in, older ones first."""
    first = {name: next((p for p in rule["parents"] if p in rules), None) for name, rule in rules.items()}

    def needs(members: Sequence[str], others: Sequence[str]) -> bool:
        return any(parent in others for name in members for parent in rules[name]["parents"])

    def family(name: str | None) -> list[str]:
        waiting = {child: [child, *family(child)] for child in rules if first[child] == name}
        order: list[str] = []
        while waiting:
            free = [c for c in waiting if not any(needs(waiting[c], o) for n, o in waiting.items() if n != c)]
            child = min(free or waiting, key=lambda n: (column[n], n))
            order += waiting.pop(child)
        return order

    return family(None)


def _branch(column: Mapping[str, int], rows: Mapping[str, int], parent: str, child: str, *, first: bool) -> go.Scatter:
    """Down from the parent, then to the right, where no label is."""
    x, y = [column[parent], column[parent], column[child]], [rows[parent], rows[child], rows[child]]
    style = Style(MUTED, "solid" if first else "dot")
    return line(x, y, style, 1.4, hoverinfo="skip", showlegend=False, name=f"{parent}–{child}")


def rule_table(rules: Sequence[Rule], title: str = mark("Where rules step, and how far")) -> go.Figure:
    """What each rule follows (columns) against how its rate is set (rows), with years.

    Args:
        rules: each has `name`, `year`, `direction` and `rate`.

    >>> figure = rule_table([{"name": "sgd", "year": 1951, "direction": "gradient", "rate": "constant"}])
    >>> [word for trace in figure.data for word in trace.text]
    ['direction →<br>rate ↓', 'gradient', 'constant', 'sgd 1951']
    """
    directions, rates = (list(dict.fromkeys(rule[key] for rule in rules)) for key in ("direction", "rate"))
    cells = {(d, r): [] for d in directions for r in rates}
    for rule in rules:
        cells[rule["direction"], rule["rate"]] += _in_column(_dated(rule))
    lines = [max(2.0, *(0.8 + LINE * len(cells[d, rate]) for d in directions)) for rate in rates]
    tops = np.cumsum([3.0, *lines])
    middles, left, width = (tops[:-1] + np.array(lines) / 2).tolist(), 0.04, len(directions) + 1
    columns = [k + 1.06 for k in range(len(directions))]
    figure = go.Figure(words([left], [1.5], [say("direction →<br>rate ↓")], MUTED))
    figure.add_trace(words(columns, [1.5] * len(directions), [_lines(say(direction)) for direction in directions]))
    figure.add_trace(words([left] * len(rates), middles, [_lines(say(rate)) for rate in rates]))
    for (direction, rate), names in cells.items():
        if names:
            x, y = columns[directions.index(direction)], middles[rates.index(rate)]
            figure.add_trace(words([x], [y], ["<br>".join(names)]))
    for row, top in enumerate(tops):
        colour = MUTED if row == 0 else GRID
        figure.add_shape(type="line", x0=0, x1=width, y0=top, y1=top, line={"color": colour, "width": 1})
    box = {"type": "rect", "x0": 0, "x1": 1, "y0": 0, "y1": float(tops[-1]), "fillcolor": SHADE, "layer": "below"}
    figure.add_shape(**box, line={"width": 0})
    figure.update_xaxes(range=[0, width], visible=False).update_yaxes(range=[float(tops[-1]), 0], visible=False)
    dress(figure, round(66 + 21 * tops[-1]), title, t=44)
    return figure.update_layout(showlegend=False, meta={"least": 150 * width})


def _in_column(name: str) -> list[str]:
    """Lines of a name that is longer than a column is wide: it is broken behind an underscore.

    >>> _in_column("adam 2014"), _in_column("schedule_free_adamw 2024")
    (['adam 2014'], ['schedule_free_', 'adamw 2024'])
    """
    lines = [""]
    for part in re.split(r"(?<=_)", name):
        lines = [*lines, part] if lines[-1] and len(lines[-1] + part) > COLUMN else [*lines[:-1], lines[-1] + part]
    return lines


def _lines(words: str) -> str:
    return "<br>".join(text(line) for line in wrapped(words, COLUMN))
