"""Compiled code on disk: used by the next process, and made anew where the file is damaged."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from thalweg.programs import compiled as compilation
from thalweg.programs import native

from .harness import compiled, run

PROGRAM = """
import torch
from tests.programs.harness import compiled, run
from thalweg.programs import native
native._optimise = lambda *_: print("compiled")
step = compiled(lambda x: [(x * 1.25).exp() @ x], (3, [torch.ones(3, 3)]), (2, [torch.ones(2, 2)]))
print(float(run(step, [torch.ones(3, 3)], 3)[0].sum()))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path))
    monkeypatch.setattr(native, "cache_folder", lambda: tmp_path)
    return tmp_path


def result() -> torch.Tensor:
    x = torch.linspace(-2, 2, 35).reshape(5, 7)
    step = compiled(lambda t: [t.tanh() * 0.75], (5, [x]), (3, [x[:3]]))
    return run(step, [x], 5)[0]


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("thalweg_step_*.o"))


def test_the_second_compilation_reads_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = result()
    (file,) = files(folder)
    written = file.stat().st_mtime_ns
    monkeypatch.setattr(native, "_optimise", lambda *_: pytest.fail("compiled again"))
    monkeypatch.setattr(compilation, "_lowered", lambda _: pytest.fail("lowered again"))
    assert torch.equal(result(), first)
    assert file.stat().st_mtime_ns == written


def test_code_of_another_version_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = result()
    monkeypatch.setattr(native, "_sources", lambda: b"another")
    assert torch.equal(result(), first)
    assert len(files(folder)) == 2


def multiplied(by: torch.Tensor | float, x: torch.Tensor) -> list[torch.Tensor]:
    return [x * by]


def test_each_constant_has_code_of_its_own(folder: Path) -> None:
    x = torch.ones(3, 2)
    for constant in (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]), torch.tensor(3.0), 4.0, 5.0):
        step = compiled(functools.partial(multiplied, constant), (3, [x]), (2, [x[:2]]))
        assert torch.equal(run(step, [x], 3)[0], x * constant)
    assert len(files(folder)) == 5


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_made_anew(folder: Path, damage: str) -> None:
    first = result()
    (file,) = files(folder)
    content = file.read_bytes()
    middle = len(content) // 2
    worse = {"cut": content[:middle], "empty": b""}.get(damage, content[:middle] + b"\xff" * 8 + content[middle + 8 :])
    file.write_bytes(worse)
    assert torch.equal(result(), first)
    assert file.read_bytes() == content


@pytest.mark.slow
def test_a_second_process_uses_the_file(folder: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    outputs = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=root).stdout.split()
        for _ in range(2)
    ]
    assert outputs[0] == ["compiled", outputs[1][0]]
    assert len(outputs[1]) == 1
