"""Whether code does the same as before."""

from __future__ import annotations

import functools
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchmetrics
from torch import nn

from thalweg.problem.code import LARGE, code_of, differs, settings


def made(text: str, name: str = "thing") -> Any:
    """What a module of this text has under the name."""
    module = types.ModuleType("mine")
    exec(text, vars(module))
    return vars(module)[name]


BASE = "def thing(x): return x * 2"
NET = "from torch import nn\nclass thing(nn.Module):\n    def forward(self, x): return {}"


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (BASE, BASE, True),
        (BASE, "# a comment\ndef thing( x ):\n    return (x * 2)  # twice", True),
        (BASE, "def thing(x): return x * 3", False),
        (BASE, "def thing(x, y=1): return x * 2", False),
        ("def thing(x, y=1): return x * y", "def thing(x, y=2): return x * y", False),
        ("def f(x): return x\ndef thing(x): return f(x)", "def f(x): return -x\ndef thing(x): return f(x)", False),
        ("A = 1\ndef thing(x): return A * x", "A = 2\ndef thing(x): return A * x", False),
        ("A = 1\ndef thing(x): return x", "A = 2\ndef thing(x): return x", True),
        ("A = {'a': 1}\ndef thing(x): return A['a']", "A = {'a': 2}\ndef thing(x): return A['a']", False),
        ("A = []\ndef thing(x): A.append(x)", "A = [3]\ndef thing(x): A.append(x)", True),
        (NET.format("x"), NET.format("x"), True),
        (NET.format("x"), NET.format("x * 0"), False),
        ("thing = lambda x: x", "thing = lambda x: -x", False),
        ("def make(a):\n    return lambda x: a * x\nthing = make(2)", "thing = lambda x: 3 * x", False),
        (
            "def f(a):\n    return lambda x: a * x\nthing = f(2)",
            "def f(a):\n    return lambda x: a * x\nthing = f(3)",
            False,
        ),
        ("def thing(x): return thing(x)", "def thing(x): return thing(x)", True),
    ],
)
def test_code_is_the_same_as_long_as_it_does_the_same(before: str, after: str, same: bool) -> None:
    assert (code_of(made(before)) == code_of(made(after))) is same


@pytest.mark.parametrize(
    ("make", "first", "second"),
    [
        (lambda w: nn.BCEWithLogitsLoss(pos_weight=torch.tensor([w])), 1.0, 50.0),
        (lambda w: nn.CrossEntropyLoss(label_smoothing=w), 0.0, 0.5),
        (lambda w: nn.CrossEntropyLoss(ignore_index=w), -100, 0),
        (lambda w: functools.partial(torch.nn.functional.huber_loss, delta=w), 1.0, 2.0),
        (lambda w: {"a": [w]}, 1, 2),
    ],
)
def test_settings_of_a_loss_are_told_apart(make: Callable[[Any], Any], first: Any, second: Any) -> None:
    assert code_of(make(first)) == code_of(make(first))
    assert code_of(make(first)) != code_of(make(second))


def test_what_training_moves_and_what_a_metric_has_counted_is_no_code() -> None:
    metric = torchmetrics.Accuracy(task="binary")
    before = code_of(metric)
    metric(torch.rand(4), torch.randint(0, 2, (4,)))
    assert code_of(metric) == before
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
    before = code_of(*settings(model))
    model(torch.randn(4, 2))
    nn.init.ones_(model[1].weight)
    assert code_of(*settings(model.eval())) == before
    assert code_of(*settings(nn.Sequential(nn.BatchNorm1d(2, eps=1), nn.Linear(2, 1)))) != before


def test_large_tensors_are_data() -> None:
    zeros, ones = torch.zeros(LARGE + 1), torch.ones(LARGE + 1)
    assert code_of(zeros) == code_of(ones)
    assert code_of(zeros[:9]) != code_of(ones[:9])


@pytest.mark.slow
def test_another_process_finds_the_same(tmp_path: Path) -> None:
    text = (
        "import torch\nclass A:\n    b = frozenset({'x', 'y', 'z'})\n    def f(self, x): return x in {'p', 'q', 'r'}\n"
    )
    (tmp_path / "mine.py").write_text(f"{text}def thing(x): return A().f(x)")
    script = "import mine; from thalweg.problem.code import code_of; print(code_of(mine.thing))"
    runs = [
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_codes_of_two_versions_of_python_are_not_compared() -> None:
    assert not differs("3.11 aa", "3.12 bb")
    assert not differs("3.11 aa", None)
    assert differs("3.11 aa", "3.11 bb")
