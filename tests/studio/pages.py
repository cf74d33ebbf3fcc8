"""The page's modules in a folder where Node finds them, as the server would serve them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.javascript import run
from thalweg.kernels import javascript
from thalweg.studio.catalogue import module
from thalweg.studio.words import scripts


def modules(folder: Path) -> Path:
    (folder / "package.json").write_text('{"type": "module"}')
    for name, text in {**scripts(), "special.js": javascript.special(), "data.js": module()}.items():
        (folder / name).write_text(text)
    return folder


def in_node(folder: Path, names: str, body: str, data: Any = None, place: Path | None = None) -> Any:
    """What the body returns that uses these exports, "walk from descent; rules surfaces from data"."""
    lines = []
    for part in names.split(";"):
        exports, _, file = part.partition(" from ")
        lines.append(f'import {{ {", ".join(exports.split())} }} from "{folder}/{file.strip()}.js";')
    return run(place or folder, "\n".join(lines), body, data)
