"""The public names, and what the names of files say."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import thalweg

ROOT = Path(thalweg.__file__).parent
MODULES = sorted(p.relative_to(ROOT) for p in ROOT.rglob("*.py"))


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


def test_names_say_what_is_inside() -> None:
    for path in MODULES:
        assert not {"utils", "helpers", "common", "misc"} & {part.removesuffix(".py") for part in path.parts}
        if path.name != "__init__.py":
            module = importlib.import_module(".".join(["thalweg", *path.with_suffix("").parts]))
            assert inspect.getdoc(module), f"{path} has no docstring"


def test_import_costs_nothing() -> None:
    code = "import sys, thalweg; print({'torch', 'sympy', 'numba', 'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
