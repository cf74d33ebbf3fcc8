"""Finding a problem by name, module or file, and the sentence for each way in which that fails."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from thalweg.errors import ProblemError
from thalweg.problem.declaration import Problem
from thalweg.problem.find import load
from thalweg.problem.prepare import prepare

GOOD = """
    import torch
    from thalweg.problem.declaration import Problem

    def line():
        inputs = torch.linspace(-1, 1, 50).reshape(50, 1)
        return Problem(model=lambda: torch.nn.Linear(1, 1), train=(inputs, inputs), loss="mse")
"""


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def test_a_file_keeps_name_and_source(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    problem = load(f"{path}:line")
    text = path.read_text()
    assert problem.name == "line"
    assert problem.source == {
        "kind": "file",
        "spec": f"{path}:line",
        "text": text,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    assert prepare(problem).source == problem.source
    assert str(tmp_path) not in sys.path


def test_a_file_read_again_after_an_edit_is_the_edited_one(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    before = prepare(f"{path}:line").fingerprint
    write(tmp_path, GOOD.replace("50", "60"))
    assert prepare(f"{path}:line").fingerprint != before


def test_a_file_imports_its_own_neighbours(tmp_path: Path) -> None:
    text = GOOD.replace("import torch\n", "import torch\n    import net_beside\n", 1).replace(
        "torch.nn.Linear(1, 1)", "net_beside.make()"
    )
    for folder, width in (("a", 3), ("b", 5)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, text)
        layers = f"torch.nn.Sequential(torch.nn.Linear(1, {width}), torch.nn.Linear({width}, 1))"
        write(tmp_path / folder, f"import torch\ndef make():\n    return {layers}\n", "net_beside.py")
        assert prepare(f"{tmp_path / folder / 'mine.py'}:line").weights == 3 * width + 1
    assert "net_beside" not in sys.modules


def test_a_module_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_package").mkdir()
    write(tmp_path / "their_package", "", "__init__.py")
    path = write(tmp_path / "their_package", GOOD, "lines.py")
    monkeypatch.chdir(tmp_path)
    problem = load("their_package.lines:line")
    assert (problem.source["kind"], problem.source["text"]) == ("module", path.read_text())
    with pytest.raises(ProblemError, match=r"no module their_package\.nothing; check its spelling"):
        load("their_package.nothing:line")
    for name in [name for name in sys.modules if name.startswith("their_package")]:
        monkeypatch.delitem(sys.modules, name)


def make_line() -> nn.Module:
    return nn.Linear(1, 1)


def test_an_object_is_given_back_with_its_source() -> None:
    problem = Problem(model=make_line, train=None)
    loaded = load(problem)
    assert (loaded.name, loaded.source["kind"]) == ("problem", "object")
    assert "nn.Linear(1, 1)" in loaded.source["text"]
    assert load(loaded) is loaded
    assert load(dataclasses.replace(problem, name="mine")).name == "mine"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("digit", r"'digit' is not a problem: did you mean digits.*file\.py:function"),
        ("mine.py", r"names a file and no function in it; write mine\.py:function"),
        (":line", r"is not a problem: your own is given as"),
        ("nowhere.py:line", r"there is no file nowhere\.py; check the path"),
        ("no_such_package.lines:line", r"there is no module no_such_package; check its spelling"),
        (3, r"the problem is of type int; give a tw\.Problem, .* or a name \(digits"),
    ],
)
def test_what_cannot_be_found(spec: str, words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        load(spec)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("def line", "def lines"), r"'line' is not a function or formula there: did you mean lines"),
        ("line = 3", r"line is of type int; give a function"),
        ("def line():\n    return 3", r"function line returned something of type int; it must return a tw\.Problem"),
        ("def line():\n    return 1 / 0", r"ZeroDivisionError \(division by zero\) at .*mine\.py, line 2; repair"),
        ("def line(a, b):\n    pass", r"function line fails with TypeError .*missing 2 required"),
        ("def line(:", r"file mine\.py fails with SyntaxError at line 1"),
        ("import nowhere_to_be_found", r"fails with ModuleNotFoundError \(No module named 'nowhere"),
        ("raise SystemExit(3)", r"file mine\.py fails with SystemExit \(3\) at .*mine\.py, line 1; repair it"),
    ],
)
def test_files_that_fail(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    modules = set(sys.modules)
    with pytest.raises(ProblemError, match=words) as caught:
        load(f"{path}:line")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in sys.path
    left = [name for name in set(sys.modules) - modules if name.startswith("thalweg_file_")]
    assert len(left) == ("file mine" not in words and "ModuleNotFound" not in words)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProblemError, match=r"file mine\.py fails with"):
        load(f"{path}:line")


def test_problems_are_compared_by_identity() -> None:
    inputs = torch.zeros(3, 1)
    assert Problem(model=make_line, train=(inputs, inputs)) != Problem(model=make_line, train=(inputs, inputs))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nowhere_to_be_found", r"module {} fails with ModuleNotFoundError \(No module named 'nowhere"),
        ("raise SystemExit(3)", r"module {} fails with SystemExit \(3\) at .*\.py, line 1; repair it"),
        ("half = 1 / 0", r"module {} fails with ZeroDivisionError \(division by zero\)"),
    ],
)
def test_modules_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    name = f"failing_{text.split()[0].lower()}"
    write(tmp_path, text, f"{name}.py")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProblemError, match=words.format(name)):
        load(f"{name}:line")
