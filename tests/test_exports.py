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
    "numbers": {"errors"},
    "arguments": {"errors", "numbers"},
    "calls": {"errors"},
    "calculus": {"errors"},
    "convolution": {"errors"},
    "formulas": {"calls", "errors"},
    "kernels": {"errors", "formulas"},
    "optim": {"errors", "formulas", "kernels"},
    "pictures": set(),
    "schedules": {"arguments", "calls", "errors", "numbers"},
    "losses": {"arguments", "calls", "errors", "numbers"},
    "regularizers": {"arguments", "calls", "errors", "losses", "numbers"},
    "population": {"errors", "formulas", "kernels", "losses", "regularizers", "schedules"},
    "landscapes": {"calculus", "calls", "errors", "formulas", "kernels", "population", "schedules"},
    "problem": {"errors", "formulas", "losses", "population"},
    "plan": {"errors", "formulas", "losses", "population", "problem", "regularizers", "schedules"},
    "store": {"__version__", "errors", "plan"},
    "verdict": {"errors", "plan", "population"},
    "recipe": {"errors", "formulas", "kernels", "losses", "plan", "regularizers", "schedules"},
    "engine": {"errors", "formulas", "kernels", "plan", "population", "problem", "recipe", "store", "verdict"},
    "resampling": {"engine", "errors", "formulas", "losses", "plan", "population", "problem", "regularizers", "study"},
    "probes": {
        *("engine", "errors", "formulas", "landscapes", "plan", "population", "problem", "regularizers", "verdict")
    },
    "sizes": {"errors", "formulas", "kernels", "problem"},
    "report": {"errors", "pictures", "plan", "verdict"},
    "study": {
        *("__version__", "engine", "errors", "formulas", "plan", "problem", "recipe", "report", "schedules", "store"),
        *("verdict", "resampling", "probes"),
    },
    "gallery": {"errors", "formulas", "landscapes", "losses", "pictures", "problem", "schedules", "study"},
}
# The arrows that point back, each inside a function that needs it.
LATER = {
    ("calculus", "pictures"),
    ("convolution", "pictures"),
    ("formulas", "kernels"),
    ("convolution", "calculus"),
    ("landscapes", "pictures"),
    ("probes", "pictures"),
    ("probes", "study"),
    ("resampling", "pictures"),
    ("resampling", "study"),
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
    assert ("kernels", False) in set(imports(Path("formulas/base.py")))
    assert ("errors", True) in set(imports(Path("store/file.py")))
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
