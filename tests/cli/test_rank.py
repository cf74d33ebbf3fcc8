"""`thalweg rank`: how the table was read, the answer, the ranking and notes; or all of it as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import thalweg as tw
from thalweg.cli import main

from ..ranking import tables


def call(*words: object, **more: str) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(main.app, [str(word) for word in words], **more)


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    path = tmp_path / "trials.csv"
    tables.optuna().to_csv(path, index=False)
    return path


def test_the_first_line_says_how_the_table_was_read(trials: Path, tmp_path: Path) -> None:
    done = call("rank", trials, "--report", tmp_path / "report.html")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    plain = " ".join(" ".join(lines).split())
    ranked = tw.rank(trials)
    assert plain.startswith(f"{ranked.columns.sentence} {ranked.sentence} ")
    for words in ("value not told", "[95% interval]", "sgd 0.01", *ranked.notes):
        assert words in plain
    assert lines[-1] == f"report: {tmp_path / 'report.html'}"
    assert "All settings" in (tmp_path / "report.html").read_text()


def test_each_column_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "runs.tsv"
    table = tables.plain().rename(columns={"optimizer": "model", "seed": "draw"}).assign(ended="ok", final=True)
    table.to_csv(path, sep="\t", index=False)
    words = "--by model,lr --metric val_acc --maximize --seed draw --status ended --confirmation none --margin 0.05"
    result = json.loads(call("rank", path, *words.split(), "--json").stdout)
    assert result["columns"]["by"] == ["model", "lr"]
    assert (result["columns"]["higher_is_better"], result["columns"]["seed"]) == (True, "draw")
    assert (result["columns"]["status"], result["columns"]["confirmation"]) == ("ended", None)
    assert (result["verdict"]["margin"], result["verdict"]["factor"], result["report"]) == (0.05, "model × lr", None)
    told = json.loads(
        call("rank", path, "--candidates", "model", "--settings", "lr", "--seed", "none", "--json").stdout
    )
    assert (told["paired"], told["columns"]["settings"]) == (False, ["lr"])
    lower = json.loads(call("rank", path, "--by", "model", "--metric", "val_acc", "--minimize", "--json").stdout)
    assert not lower["columns"]["higher_is_better"]


def test_standard_input() -> None:
    text = tables.plain().to_csv(index=False)
    assert "adam (rate 0.01) is best on these runs" in call("rank", "-", input=text).stdout


def test_hostile_text_controls_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    table = tables.plain(3)
    table["optimizer"] += "\x1b]0;owned\x07[red]\u202e"
    table = table.rename(columns={"lr": "lr\x1b[2J"})
    table.to_json(path, orient="records", lines=True)
    shown = call("rank", path).stdout
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert "adam\\x1b]0;owned\\x07[red]\\u202e" in "".join(shown.split("\n"))


def test_mistakes_are_one_sentence(trials: Path, tmp_path: Path) -> None:
    for words, status, said in (
        (["rank", tmp_path / "no.csv"], 1, "cannot be read: No such file or directory"),
        (["rank", trials, "--by", "optimzer"], 2, "'optimzer' is not a column of this table: did you mean"),
        (["rank", trials, "--metric", "number"], 2, "'number' does not say which values are better"),
        (["rank", trials, "--margin", "-1"], 2, "margin is -1.0; give a number of at least 0."),
        (["rank", trials, "--report", tmp_path], 2, "is a folder; name a file for the report"),
        (["rank", tmp_path], 2, "ends in nothing; name a file that ends in .csv"),
    ):
        done = call(*words)
        assert done.exit_code == status, done.output
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
