"""Tables that commands print fit a terminal of 80 columns, and keep the columns that matter."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

import thalweg as tw
from tests.studies import PROGRAM

from ..report_study import made_study

Printed = Callable[..., list[str]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_study(tmp_path_factory.mktemp("width") / "a.db", rates=5).path


def printed(*words: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", "TERM": "dumb"},
    )
    assert done.returncode == 0, done.stderr
    return [line.rstrip() for line in done.stdout.splitlines()]


COMMANDS = {
    "show": ("show a.db", ["optimizer", "validation loss", "regret"]),
    "show by schedule": ("show a.db --by schedule", ["schedule", "validation loss"]),
    "show by metric": ("show a.db --by-metric accuracy", ["optimizer", "accuracy"]),
    "rank": ("rank runs.csv", ["optimizer", "loss"]),
    "problems": ("problems", ["digits"]),
    "formulas": ("formula", ["adam"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_lines_are_at_most_80_columns_wide(name: str, store: Path) -> None:
    command, wanted = COMMANDS[name]
    if name == "rank":
        tw.Study.open(store).table().to_csv(store.with_name("runs.csv"), index=False)
    lines = printed(*shlex.split(command), folder=store.parent)
    wide = [line for line in lines if cell_len(line) > 80]
    assert not wide
    text = " ".join(lines)
    assert [word for word in wanted if word.lower() not in text.lower()] == []
