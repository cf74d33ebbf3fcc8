"""Tables that commands print fit a terminal of 80 columns, and keep the columns that matter."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

import thalweg as tw
from tests.warm import ran
from thalweg.cli.main import app
from thalweg.language import tell
from thalweg.report.sections import Column, Section
from thalweg.report.terminal import fitting

from ..cases import mostly_slow
from ..report_study import made_study

Printed = Callable[..., list[str]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_study(tmp_path_factory.mktemp("width") / "a.db", rates=5).path


def printed(*words: str, folder: Path) -> list[str]:
    done = ran(*words, cwd=folder, COLUMNS="80", TERM="dumb")
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


@pytest.mark.slow
@pytest.mark.share(of=2)
@pytest.mark.parametrize("name", mostly_slow(COMMANDS, "show"))
def test_lines_are_at_most_80_columns_wide(name: str, store: Path) -> None:
    command, wanted = COMMANDS[name]
    if name == "rank":
        tw.Study.open(store).table().to_csv(store.with_name("runs.csv"), index=False)
    lines = printed(*shlex.split(command), folder=store.parent)
    wide = [line for line in lines if cell_len(line) > 80]
    assert not wide
    text = " ".join(lines)
    assert [word for word in wanted if word.lower() not in text.lower()] == []


@pytest.mark.parametrize(
    "words",
    ["schedule step --steps 100000", "schedule momentum:ramp", "loss kl_div --values 0.5,0.5 --targets 0.9,0.1"],
)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_values_fit_eighty_columns(words: str, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(app, [*words.split(), "--language", language])
    assert max(map(cell_len, done.output.splitlines())) <= 80, done.output


def test_triplets_and_headings_are_written_as_they_are_given() -> None:
    done = CliRunner().invoke(app, ["loss", "triplet", "--values", "0,0;1,0;0,1.5", "--language", "ko"])
    assert [line.split() for line in done.output.splitlines() if "0, 0; 1, 0; 0, 1.5" in line], done.output
    assert done.output.split()[:2] == ["샘플", "값"]


@pytest.mark.parametrize("terminal", [True, False])
def test_sentences_on_standard_error_fit_a_terminal_and_are_one_line_elsewhere(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    sentence = "breast-cancer: 6 runs of 251 steps for the search, at most 10 of confirmation; 학습률 하나에 하나씩."
    tell(sentence)
    lines = capsys.readouterr().err.splitlines()
    assert " ".join(lines) == sentence
    assert max(map(cell_len, lines)) <= 60 if terminal else len(lines) == 1


def test_columns_that_say_the_same_in_all_rows_make_room_for_those_that_differ() -> None:
    heads = {"level": 0, "optimizer": 0, "schedule": 0, "value": 0, "letters": 1}
    columns = [Column(name, name, "name", None, name, worth) for name, worth in heads.items()]
    rows = [
        {"level": level, "optimizer": "adam", "schedule": "constant", "value": f"0.1{level}", "letters": level}
        for level in "ab"
    ]
    section = Section("ranking", "Ranking", columns=columns, rows=rows)
    shown = {width: [column.head for column in fitting(section, width)] for width in (60, 36, 26)}
    assert shown[60] == [*heads]
    assert shown[36] == ["level", "optimizer", "value", "letters"]
    assert shown[26] == ["level", "value", "letters"]


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize(("command", "columns"), [("compare", "80"), ("descend", "60"), ("suite", "100")])
def test_help_is_wrapped_and_never_cut(command: str, columns: str, language: str) -> None:
    done = CliRunner(env={"COLUMNS": columns}).invoke(app, ["--language", language, command, "--help"])
    assert done.exit_code == 0
    assert [line for line in done.output.splitlines() if line.rstrip().endswith("… │")] == []
