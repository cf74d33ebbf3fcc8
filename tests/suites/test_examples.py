"""The examples in the docstrings of suites run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import thalweg.suites

MODULES = [f"thalweg.suites.{module.name}" for module in pkgutil.iter_modules(thalweg.suites.__path__)]


@pytest.mark.parametrize("module", [*MODULES, "thalweg.cli.compare"])
def test_examples(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples() -> None:
    assert doctest.testmod(importlib.import_module("thalweg.suites.ranks")).attempted > 2
