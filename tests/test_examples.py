"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import thalweg

_TRAINING = ("study.study", "study.rerun", "results", "suites.suite", "resampling", "probes")  # which take seconds


def examples() -> list[str]:
    """The modules that have examples."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = [module.name for module in pkgutil.walk_packages(thalweg.__path__, "thalweg.")]
    return [name for name in names if any(one.examples for one in finder.find(importlib.import_module(name)))]


@pytest.mark.everyday(of=3)
@pytest.mark.parametrize(
    "module",
    [
        pytest.param(
            name, marks=[pytest.mark.slow] * any(part in name for part in _TRAINING), id=name.partition(".")[2]
        )
        for name in examples()
    ],
)
def test_examples(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples() -> None:
    assert len(examples()) > 100
    assert {"thalweg.study.study", "thalweg.formulas.base", "thalweg.optim", "thalweg.verdict.pairs"} <= {*examples()}
