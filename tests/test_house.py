"""How the house is built: rooms on one staircase, no circle among files, and no room too large.

Every import counts: at the top of a file, inside a function, for types alone.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import thalweg

ROOT = Path(thalweg.__file__).parent
# From the ground up: a room's files import from their own room and from those before it.
_ROOMS = """
    aliases language errors languages unknown typeset files version numbers arguments calls samples pictures calculus
    convolution formulas kernels optim schedules losses regularizers programs population landscapes problem plan store
    verdict recipe results engine callbacks resampling probes report ranking study suites sizes __init__ gallery
    studio cli
"""
ROOMS = tuple(_ROOMS.split())
LARGEST = 0.12  # share of a room in all lines

Files = Mapping[Path, str]  # the text of each file, by its place in the package
Imports = Mapping[Path, set[Path]]


def house(texts: Mapping[str, str]) -> Files:
    return {Path(name): text for name, text in texts.items()}


@pytest.fixture(scope="module")
def files() -> Files:
    return {path.relative_to(ROOT): path.read_text() for path in ROOT.rglob("*.py")}


@pytest.fixture(scope="module")
def imports(files: Files) -> Imports:
    return imports_of(files)


def room(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def imports_of(files: Files) -> Imports:
    return {path: {*_imported(path, files)} - {path} for path in files}


def _imported(path: Path, files: Files) -> Iterator[Path]:
    here = ["thalweg", *path.parts[:-1]]
    for node in ast.walk(ast.parse(files[path])):
        if isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            continue
        for top, *rest in names:
            if top == "thalweg":
                # x.y is the file x/y.py, the package x/y, or a name in the file or package x
                ends = [rest, rest[:-1]] if rest else [rest]
                places = [Path(*end[:-1], name) for end in ends for name in _names(end)]
                yield next(place for place in places if place in files)


def _names(end: list[str]) -> list[str]:
    return [f"{end[-1]}.py", f"{end[-1]}/__init__.py"] if end else ["__init__.py"]


def upward(imports: Imports) -> list[str]:
    """Imports from a room further up."""
    return [
        f"{path} imports {other}"
        for path, others in imports.items()
        for other in others
        if ROOMS.index(room(other)) > ROOMS.index(room(path))
    ]


def circle(imports: Imports) -> list[str]:
    """Files that import each other in a ring, the first repeated at the end; empty where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return [str(path) for path in error.args[1]]
    return []


def too_large(files: Files) -> set[str]:
    lines = Counter[str]()
    for path, text in files.items():
        lines[room(path)] += text.count("\n")
    return {name for name, count in lines.items() if count > LARGEST * lines.total()}


def test_every_room_has_its_place(files: Files) -> None:
    assert sorted({room(path) for path in files}) == sorted(ROOMS)


def test_the_map_of_the_house_is_complete() -> None:
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    table, changes = text.split("| room |")[1].split("\n\n")[0], text.split("| what | where |")[1].split("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert named == [name for name in ROOMS if name != "__init__"]
    assert len(changes.splitlines()) > 10
    files = re.findall(r"`(\w+/\w+\.py)`", changes)
    assert len(files) > 8
    for file in files:
        assert (ROOT / file).exists() or (ROOT.parents[1] / file).exists(), file


def test_imports_go_down(imports: Imports) -> None:
    assert upward(imports) == []


def test_files_are_free_of_circles(imports: Imports) -> None:
    assert circle(imports) == []


def test_no_room_is_too_large(files: Files) -> None:
    assert too_large(files) == set()


@pytest.mark.parametrize(
    "line", ["from .{} import x", "def f():\n    from .{} import x", "if TYPE_CHECKING:\n    import thalweg.{}"]
)
def test_an_import_is_seen_wherever_it_stands(line: str) -> None:
    down = imports_of(house({"errors.py": "", "calls.py": line.format("errors")}))
    assert (upward(down), circle(down)) == ([], [])
    up = imports_of(house({"errors.py": line.format("calls"), "calls.py": ""}))
    assert (upward(up), circle(up)) == (["errors.py imports calls.py"], [])
    ring = imports_of(
        house({"plan/a.py": line.format("b").replace("thalweg.", "thalweg.plan."), "plan/b.py": "from .a import x"})
    )
    assert upward(ring) == []
    assert set(circle(ring)) == {"plan/a.py", "plan/b.py"}


def test_packages_and_their_names_are_seen() -> None:
    texts = {"__init__.py": "", "study/__init__.py": "", "errors.py": "from . import study\nimport thalweg as tw"}
    assert sorted(upward(imports_of(house(texts)))) == [
        "errors.py imports __init__.py",
        "errors.py imports study/__init__.py",
    ]


def test_a_large_room_is_seen() -> None:
    assert too_large(
        house({"a.py": "\n" * 13, "b/c.py": "\n" * 6, "b/d.py": "\n" * 7, **{f"{k}.py": "\n" * 11 for k in range(7)}})
    ) == {"a", "b"}
