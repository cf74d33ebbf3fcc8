"""The examples in the docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import thalweg.landscapes

MODULES = [f"thalweg.landscapes.{module.name}" for module in pkgutil.iter_modules(thalweg.landscapes.__path__)]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {e.name for m in MODULES for e in finder.find(importlib.import_module(m)) if e.examples}
    assert {"thalweg.landscapes.descents.descend", "thalweg.landscapes.basins.basins"} <= found
