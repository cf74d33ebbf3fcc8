"""The examples in calculus's docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import thalweg.calculus

MODULES = [f"{thalweg.calculus.__name__}.{module.name}" for module in pkgutil.iter_modules(thalweg.calculus.__path__)]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples() -> None:
    assert doctest.testmod(importlib.import_module("thalweg.calculus.function")).attempted > 5
