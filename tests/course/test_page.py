"""The course page: every command runs and prints what the page shows, in each language in its words."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thalweg.cli.main import app
from thalweg.gallery import PICTURES

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SECTION = re.compile(r"^#{2,3} .*$", re.MULTILINE)


def sections(page: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Headings with their blocks: (language, text)."""
    words = (DOCS / page).read_text(encoding="utf-8")
    starts = [*SECTION.finditer(words)]
    ends = [*(one.start() for one in starts[1:]), len(words)]
    return [(one[0], BLOCK.findall(words[one.end() : end])) for one, end in zip(starts, ends, strict=True)]


def test_both_languages_have_the_same_sections_commands_and_pictures() -> None:
    english, korean = sections("course.md"), sections("course.ko.md")
    assert [program(blocks) for _, blocks in english] == [program(blocks) for _, blocks in korean]
    links = {"course.md": r"gallery\.md#([\w-]+)", "course.ko.md": r"gallery\.ko\.md#([\w-]+)"}
    drawn = [re.findall(link, (DOCS / page).read_text(encoding="utf-8")) for page, link in links.items()]
    assert drawn[0] == drawn[1]
    assert {*drawn[0]} <= {*PICTURES}
    exercises = [re.findall(word, (DOCS / page).read_text()) for word, page in EXERCISES.items()]
    assert len(exercises[0]) == len(exercises[1]) > 20


def program(blocks: list[tuple[str, str]]) -> list[tuple[str, int]]:
    """Commands, each with how many lines are shown of it, and code."""
    code = [(text, 0) for language, text in blocks if language == "python"]
    return code + [(line, len(shown)) for line, shown in commands(blocks)]


EXERCISES = {r"\*Exercise:": "course.md", r"\*연습:": "course.ko.md"}


def commands(blocks: list[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """The commands of a section, each with the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for language, text in blocks:
        for line in text.splitlines() if language == "console" else ():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip() not in ("", "…"):
                found[-1][1].append(line)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("page", "language"), [("course.md", "en"), ("course.ko.md", "ko")])
def test_every_command_prints_what_the_page_shows(
    page: str, language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the top to the bottom in one folder, as a student would; in Korean what needs nothing before it."""
    monkeypatch.chdir(tmp_path)
    run = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "THALWEG_LANGUAGE": language})
    every = [command for _, blocks in sections(page) for command in commands(blocks)]
    assert len(every) > 50
    for line, shown in every:
        if language == "ko" and not shown:
            continue
        name, *words = shlex.split(line)
        assert name == "thalweg"
        result = run.invoke(app, words)
        assert result.exit_code == 0, (line, result.output)
        printed = {" ".join(part.split()) for part in result.output.splitlines()}
        for part in shown:
            assert " ".join(part.split()) in printed, (line, part, result.output)
