"""The race as one HTML file that needs no server and no network: the same scripts, one after the other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from graphlib import TopologicalSorter

from markupsafe import Markup

from ..kernels import javascript
from ..language import LANGUAGES
from ..pictures.markup import embedded, filled
from .catalogue import facts, module
from .words import scripts

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (const (\w+))", re.MULTILINE)


def race() -> str:
    """The page, in the chosen language; the others can be chosen on it."""
    pages = scripts()
    texts = {name.removesuffix(".js"): text for name, text in pages.items() if name.endswith(".js")}
    texts |= {"special": javascript.special(), "data": module()}
    parts = {
        "style": Markup(pages["style.css"]),
        "script": Markup(bundled(texts, "alone")),
        "facts": embedded({each: facts(each) for each in LANGUAGES}),
    }
    return filled("thalweg.studio", "race.html", parts)


def bundled(texts: Mapping[str, str], first: str) -> str:
    """Modules as one classic script, each a function of its own, those first that others import."""
    needed, waiting = {}, [first]
    while waiting:
        name = waiting.pop()
        needed[name] = [found[2] for found in _IMPORT.finditer(texts[name])]
        waiting += [other for other in needed[name] if other not in needed]
    order = TopologicalSorter(needed).static_order()
    return "\n".join(['"use strict";', "const modules = {};", *(_wrapped(name, texts[name]) for name in order)])


def _wrapped(name: str, text: str) -> str:
    names = [found[2] for found in _EXPORT.finditer(text)]
    body = _EXPORT.sub(r"\1", _IMPORT.sub(lambda found: f"const {found[1]} = modules.{found[2]};", text))
    return f"modules.{name} = (() => {{\n{body}\nreturn {{ {', '.join(names)} }};\n}})();"
