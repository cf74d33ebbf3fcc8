"""README and docs: the Python in them runs as it stands, and they speak of what exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thalweg.cli.main import app

from .cases import mostly_slow
from .verdict.test_method import tables

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
# Python, and what is said to come out of it, where that is the same on every machine.
BLOCKS = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
PYTHON = {path: found for path in DOCUMENTS if (found := BLOCKS.findall(path.read_text())) and ".ko." not in path.name}


def test_there_are_examples_to_run() -> None:
    assert {path.name for path in PYTHON} >= {"README.md", "your-own-rule.md"}
    assert any(output for found in PYTHON.values() for _, output in found)


@pytest.mark.filterwarnings("ignore:.*does not have many workers which may be a bottleneck")  # Lightning's
@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
@pytest.mark.parametrize("path", mostly_slow(PYTHON, ROOT / "docs" / "store.md"), ids=lambda p: p.name)
def test_python_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """From the top to the bottom, as a reader would."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}
    for block, output in PYTHON[path]:
        exec(compile(block, "example", "exec"), names)
        printed = capsys.readouterr().out
        assert printed.strip()
        assert not output or printed == output


KOREAN = [path for path in DOCUMENTS if ".ko." in path.name and BLOCKS.search(path.read_text())]


@pytest.mark.parametrize("path", KOREAN, ids=lambda p: p.name)
def test_what_the_korean_pages_run_is_what_the_english_ones_do(path: Path) -> None:
    """The same code, and the same commands without their comments."""
    english = path.with_name(path.name.replace(".ko.", ".")).read_text()
    code = [block for block, _ in BLOCKS.findall(path.read_text())]
    assert code
    assert all(block in english for block in code)
    command = re.compile(r"^(?:\$ )?(thalweg \S.*?)(?:\s+#.*)?$", re.MULTILINE)
    commands = command.findall(path.read_text())
    assert len(commands) > 10
    assert {*commands} <= {*command.findall(english)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_and_pictures_exist(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert target.startswith("http") or (path.parent / target).exists(), target


@pytest.mark.slow
def test_commands_in_the_readme_exist_with_their_options() -> None:
    fences = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    plain = "".join(text for language, text in fences if not language)
    lines = re.findall(r"^thalweg (.+?)(?:\s+#.*)?$", plain, re.MULTILINE)
    assert lines
    for line in lines:
        command, *words = shlex.split(line.partition(">")[0])
        shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, [command, "--help"])
        assert shown.exit_code == 0, line
        for option in (w for w in words if w.startswith("--")):
            assert option in re.sub(r"\x1b\[[0-9;]*m", "", shown.output), line


def test_the_readme_is_as_fast_as_the_tables_say() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    rows = {row[0]: row for row in tables("population")[0]}

    def shown(cell: str) -> str:
        ratio = float(cell.partition("×")[0])
        return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"

    digits = rows["MLP 64-64-10 (digits)"]
    plain = {name: shown(rows[name][6]) for name in ("digits-cnn", "diabetes", "GRU", "text")}
    assert (
        f"{shown(digits[6])} the training steps per second on `digits`, {plain['digits-cnn']} on `digits-cnn`, "
        f"{plain['diabetes']} on `diabetes`, {plain['GRU']} for a GRU, {plain['text']} for the transformer `text`; "
        f"{shown(digits[7])} a program for `digits` written by hand in JAX"
    ) in text
    other = {row[0]: row for row in tables("population_another_machine")[0]}
    ratios = [float(other[name][6].partition("×")[0]) for name in (digits[0], *plain)]
    assert f"{shown(other[digits[0]][6])} on `digits`, and {min(ratios):.1f}× to {max(ratios):.0f}×, on" in text
    whole = {row[0]: float(row[4]) for row in tables("matrix_rules")[0]}
    there = {row[0]: float(row[4]) for row in tables("matrix_rules_another_machine")[0]}
    assert (
        f"{whole['Muon']:.1f}× torch's Muon, {whole['Adafactor']:.1f}× its Adafactor; {there['Muon']:.1f}× and "
        f"{there['Adafactor']:.1f}× on [another machine]"
    ) in text
