"""The program run inside the tests' own process: what it prints, and what it answers to a mistake."""

from __future__ import annotations

from typer.testing import CliRunner

from thalweg.cli.main import app


def run(*words: str, status: int = 0, columns: int = 80, fits: bool = False) -> str:
    """What the program prints; `fits`: no line of a table may be wider than the terminal."""
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, list(words))
    assert result.exit_code == status, result.output
    assert not fits or max(map(len, result.output.splitlines())) <= columns or status or "--json" in words
    return result.output


def refused(*words: str, status: int = 2) -> str:
    """The one sentence that a mistake gets."""
    shown = run(*words, status=status)
    assert shown.startswith("thalweg: ")
    assert shown.count("\n") == 1
    return shown
