"""What the shell is told, as it asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from thalweg.cli.main import app


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("sh", {"show", "sharpness"}),
        ("formula adamw", {"adamw"}),
        ("compare digits --optimizers sgd,adamw", {"sgd,adamw"}),
        ("compare x --schedules cosine_r", {"cosine_restarts"}),
        ("range breast", {"breast-cancer"}),
        ("show r", {"runs/a.db"}),
        ("show --mar", {"--margin"}),
        ("size alexnet-2", {"alexnet-2gpu"}),
    ],
)
def test_names_and_stores_are_completed(
    words: str, offered: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.db").write_text("")
    asked = {
        "_THALWEG_COMPLETE": "complete_bash",
        "COMP_WORDS": f"thalweg {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    told = CliRunner().invoke(app, [], prog_name="thalweg", env=asked)
    assert offered <= set(told.output.split()) - {"runs/"}, told.output


def test_the_program_alone_shows_its_help() -> None:
    assert "Usage" in CliRunner().invoke(app, []).output
