"""`thalweg landscape`: says what was measured, draws it, and gives it as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from thalweg.cli.main import app
from thalweg.study.study import Study


def run(*words: object) -> Any:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, ["landscape", *map(str, words)])


@pytest.mark.slow
def test_a_study_drawn(tiny: Study, tmp_path: Path) -> None:
    file = tmp_path / "line.png"
    done = run(tiny.path, "--optimizer", "adam", "--to", "sgd", "--points", 5, "-o", file)
    assert done.exit_code == 0
    assert file.read_bytes()[:4] == b"\x89PNG"
    assert "adam to sgd on breast-cancer: cross_entropy on all" in done.output
    assert "the barrier between the ends is" in done.output


def test_as_json(tiny: Study) -> None:
    found = json.loads(run(tiny.path, "--points", 3, "--samples", 10, "--json").output)
    assert (found["kind"], found["samples"], len(found["losses"])) == ("path", 10, 3)
    assert found["path"][-1] == [0, 0]
    assert 0 < sum(found["explained"]) <= 1


def test_refused(tiny: Study, tmp_path: Path) -> None:
    for words, sentence in (
        ((tiny.path, "--kind", "pca"), "the kind is 'pca'"),
        ((tiny.path, "-o", tmp_path / "a.txt"), "cannot name a picture"),
        ((tmp_path / "none.db",), "none.db"),
    ):
        done = run(*words)
        assert done.exit_code in (1, 2)
        assert sentence in done.output
        assert done.output.count("\n") == 1
