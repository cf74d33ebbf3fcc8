"""`thalweg picture`: listed, drawn into every kind of file, its code printed, wrong use refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli.asked import run
from thalweg.cli.main import app
from thalweg.gallery import PICTURES, names
from thalweg.language import language, speaking
from thalweg.pictures.still import fonts


def test_the_list_names_every_picture_in_eighty_columns() -> None:
    shown = run("picture")
    assert [line.split()[0] for line in shown.splitlines() if line[:1].isalpha()][1:-1] == [*names(), "race"]
    assert max(len(line.rstrip()) for line in shown.splitlines()[:-1]) <= 80


@pytest.mark.parametrize(
    ("ending", "magic"),
    [("html", b"<!doctype html>"), ("png", b"\x89PNG"), ("svg", b"<?xml"), ("gif", b"GIF8"), ("mp4", b"\0\0\0 ftyp")],
)
def test_drawn_into_a_file(ending: str, magic: bytes, tmp_path: Path) -> None:
    file = tmp_path / "new" / f"a.{ending}"
    assert run("picture", "entropy", "-o", str(file)).strip() == str(file)
    assert file.read_bytes().startswith(magic)


def test_words_are_english_in_a_picture_that_no_font_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And Korean where the reader's program brings the font, or a font is installed."""
    monkeypatch.setattr(fonts, "_installed", dict)
    drawn = {name: tmp_path / name for name in ("en.png", "ko.png", "ko.svg")}
    for name, file in drawn.items():
        shown = run("picture", "entropy", "-o", str(file), "--language", name[:2])
        assert ("한글 글꼴" in shown and "fonts-noto-cjk" in shown) == (name == "ko.png")
    assert drawn["ko.png"].read_bytes() == drawn["en.png"].read_bytes()
    assert "동전" in drawn["ko.svg"].read_text(encoding="utf-8")
    with_hangul = {"Malgun Gothic": fonts._path(fonts.BUILT_IN)}
    monkeypatch.setattr(fonts, "_installed", lambda: with_hangul)
    monkeypatch.setattr(fonts, "_letters", lambda path: frozenset("가힣"))
    with speaking("ko"), fonts.readable("ko.png"):
        assert language() == "ko"


def test_without_a_file_a_page_is_made_and_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("picture", "entropy").strip() == "entropy.html"
    made = (tmp_path / "entropy.html").read_bytes()
    assert b"How much a coin can surprise" in made
    shown = run("picture", "entropy", status=2)
    assert "entropy.html exists already; say where to draw with -o." in shown
    assert (tmp_path / "entropy.html").read_bytes() == made


def test_code_and_json() -> None:
    assert run("picture", "family-tree", "--code").strip() == PICTURES["family-tree"].code
    assert json.loads(run("picture", "entropy", "--json"))["code"] == PICTURES["entropy"].code
    assert [one["name"] for one in json.loads(run("picture", "--json"))] == names()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["famly-tree"], "did you mean family-tree"),
        (["entropy", "-o", "a.jpg"], "must end in .html"),
        (["-o", "a.png"], "the picture to draw is missing"),
        (["--code"], "the picture to draw is missing"),
        (["entropy", "-o", "."], "must end in"),
        (["entropy", "-o", "/dev/null/a.png"], "not a folder"),
    ],
)
def test_wrong_use_is_one_sentence(words: list[str], message: str) -> None:
    shown = run("picture", *words, status=2)
    assert message in shown
    assert shown.startswith("thalweg: ")
    assert shown.count("\n") == 1


def test_an_mp4_without_its_extra_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    shown = run("picture", "entropy", "-o", str(tmp_path / "a.mp4"), status=2)
    assert "pip install 'thalweg[video]', or name a .gif" in shown


def test_a_picture_that_takes_a_minute_says_so_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the second stream: the first holds the file's name alone. Nothing is said of a file that is refused."""
    name = "sharp-and-flat-minima"
    monkeypatch.setitem(PICTURES, name, replace(PICTURES[name], make=PICTURES["entropy"].make))
    said = CliRunner().invoke(app, ["picture", name, "-o", str(tmp_path / "a.svg")])
    assert said.stdout.strip() == str(tmp_path / "a.svg")
    assert said.stderr.strip() == f"{name} trains its models first, which takes about a minute."
    assert "trains" not in CliRunner().invoke(app, ["picture", name, "-o", str(tmp_path / "a.txt")]).output
    assert CliRunner().invoke(app, ["picture", "entropy", "-o", str(tmp_path / "b.svg")]).stderr == ""
