"""The examples in the docstrings of formulas and kernels run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import thalweg.formulas
import thalweg.kernels

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (thalweg.formulas, thalweg.kernels)
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [e for m in MODULES for e in finder.find(importlib.import_module(m)) if e.examples]
    assert {"thalweg.formulas.base.formula", "thalweg.kernels.torch_ref.update"} <= {e.name for e in found}
