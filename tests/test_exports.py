"""The public names, and that imports go one way."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import thalweg

ROOT = Path(thalweg.__file__).parent
MODULES = sorted(p.relative_to(ROOT) for p in ROOT.rglob("*.py"))

# package → the packages and modules of thalweg it may import at module level, itself apart
ALLOWED = {
    "errors": set(),
    "calls": {"errors"},
    "calculus": {"errors"},
    "convolution": {"errors"},
    "formulas": {"calls", "errors"},
    "kernels": {"errors", "formulas"},
    "optim": {"errors", "formulas", "kernels"},
    "pictures": set(),
    "schedules": {"calls", "errors"},
    "losses": {"calls", "errors"},
    "regularizers": {"calls", "errors", "losses"},
    "population": {"errors", "formulas", "kernels", "losses", "regularizers", "schedules"},
    "landscapes": {"calculus", "calls", "errors", "formulas", "kernels", "population", "schedules"},
    "problems": {"errors", "losses", "study"},
    "study": {"__version__", "errors", "formulas", "kernels", "losses", "population", "regularizers", "schedules"},
    "sizes": {"errors", "formulas", "kernels", "study"},
    "gallery": {"errors", "formulas", "landscapes", "losses", "pictures", "schedules", "study"},
    "report": {"__version__", "errors", "formulas", "kernels", "pictures", "schedules", "study"},
}
# The arrows that point back, each inside a function that needs it.
LATER = {
    ("calculus", "pictures"),
    ("convolution", "pictures"),
    ("convolution", "calculus"),
    ("landscapes", "pictures"),
    ("landscapes", "study"),
    ("study", "landscapes"),
    ("sizes", "problems"),
    ("landscapes", "pictures"),
    ("study", "pictures"),
    ("study", "problems"),
    ("study", "report"),
}


def package(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(part of thalweg, whether at module level) for each import in a file; type checking does not count."""
    tree = ast.parse((ROOT / path).read_text())
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    typing = {
        id(n)
        for i in ast.walk(tree)
        if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.unparse(i.test)
        for n in ast.walk(i)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.ImportFrom):
            here = ["thalweg", *path.parts[:-1]]
            base = here[: len(here) - node.level + 1] if node.level else []
            full = [*base, *(node.module or "").split(".")] if node.module else base
            names = [[*full, a.name] for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name.split(".") for a in node.names]
        else:
            continue
        for name in names:
            if name[0] == "thalweg" and len(name) > 1:
                yield name[1], id(node) not in inside


def test_every_public_name_can_be_imported_and_is_documented() -> None:
    assert len(set(thalweg.__all__)) == len(thalweg.__all__)
    for name in thalweg.__all__:
        thing = getattr(thalweg, name)
        if name != "__version__":
            assert inspect.getdoc(thing), name
            assert len(inspect.getdoc(thing) or "") > 20, name
    assert dir(thalweg) == sorted(thalweg.__all__)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'thalweg' has no attribute 'nope'"):
        thalweg.nope  # noqa: B018


def test_types_and_table_agree() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    (block,) = [n for n in tree.body if isinstance(n, ast.If)]
    typed = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.name == alias.asname
            typed[alias.name] = node.module
    modules = {name for name, module in typed.items() if module is None}
    assert modules == set(thalweg._MODULES)
    assert {n: m for n, m in typed.items() if m is not None} == thalweg._WHERE
    assert list(thalweg._WHERE) == sorted(thalweg._WHERE)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_go_one_way(path: Path) -> None:
    own = package(path)
    if own in ("__init__", "cli", "__main__"):
        return
    assert own in ALLOWED, f"{own} is new: say in this table what it may import"
    for part, at_module_level in imports(path):
        if part != own and part not in ALLOWED[own]:
            assert (own, part) in LATER, f"{path} imports {part}"
            assert not at_module_level, f"{path} imports {part} at module level"
            assert part != "cli"


def test_the_check_of_imports_sees_them() -> None:
    assert ("study", False) in set(imports(Path("cli/compare.py")))
    assert ("report", False) in set(imports(Path("study/study.py")))
    assert ("errors", True) in set(imports(Path("study/store.py")))
    assert ("errors", True) in set(imports(Path("schedules/base.py")))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_names_say_what_is_inside(path: Path) -> None:
    assert not {"utils", "helpers", "common", "misc"} & {part.removesuffix(".py") for part in path.parts}
    if path.name != "__init__.py":
        module = importlib.import_module(".".join(["thalweg", *path.with_suffix("").parts]))
        assert inspect.getdoc(module), f"{path} has no docstring"


def test_import_costs_nothing() -> None:
    code = "import sys, thalweg; print({'torch', 'sympy', 'numba', 'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
