"""LaTeX as MathML for the page: trees of plain values, of which the page makes elements one by one.

A tree is ``[tag, {attribute: value}, [child, …]]`` with texts as leaves. Tags and attributes are those of a list, so
that nothing that a name contains becomes more than letters.
"""

from __future__ import annotations

import functools
import html
from typing import Any
from xml.etree.ElementTree import Element

_TAGS = {
    *("math", "mi", "mn", "mo", "mtext", "mspace", "mrow", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup"),
    *("mover", "munder", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded"),
}
_ATTRIBUTES = {"stretchy", "fence", "form", "accent", "mathvariant", "width", "columnalign", "displaystyle"}

Tree = list[Any]


@functools.lru_cache(512)
def equations(latex: str) -> list[Tree]:
    """The rows of aligned equations, each a row of two cells that meet at the sign between them."""
    body = latex.removeprefix("\\begin{aligned}").removesuffix("\\end{aligned}").strip()
    return [_row(line) for line in body.split("\\\\\n")]


def _row(line: str) -> Tree:
    left, _, right = line.partition("&")
    return ["mtr", {}, [["mtd", {}, [_side(left)]], ["mtd", {}, [_side(right)]]]]


def _side(latex: str) -> Tree:
    from latex2mathml.converter import convert_to_element

    root = convert_to_element(latex.strip(), display="block")
    return ["mrow", {}, [_tree(child) for child in root]]


def _tree(element: Element) -> Tree:
    tag = element.tag if element.tag in _TAGS else "mrow"
    attributes = {name: value for name, value in element.attrib.items() if name in _ATTRIBUTES}
    text = [html.unescape(element.text)] if element.text else []
    return [tag, attributes, [*text, *(_tree(child) for child in element)]]
