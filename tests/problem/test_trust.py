"""A store from elsewhere runs no code before a yes, and one that began here needs none."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import thalweg as tw
from tests.warm import ran
from thalweg.cli.asking import ask_to_run
from thalweg.cli.result import finish
from thalweg.errors import PlanError, ThalwegError
from thalweg.problem import trust
from thalweg.store.file import Store
from thalweg.study.study import Study, compare, resume

CODE = """
import pathlib
import torch, thalweg as tw

pathlib.Path(__file__).with_name("ran").touch()

def line():
    x = torch.linspace(-1, 1, 40).reshape(40, 1)
    return tw.Problem(model=lambda: torch.nn.Linear(1, 1), train=(x, 2 * x), loss="mse")

@tw.formula()
def slow(w, g, *, lr=0.1):
    return tw.Update(lr * g / 2)
"""


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store whose problem and formula lie in a file that has never run on this machine; it is unfinished."""
    (tmp_path / "net.py").write_text(CODE)
    spec = str(tmp_path / "net.py")
    small: dict[str, Any] = {"seeds": 1, "epochs": 1, "confirmation": 1, "grow": 0, "progress": False}
    compare(f"{spec}:line", ["sgd", f"{spec}:slow"], [0.1], ["constant"], store=tmp_path / "s.db", **small)
    store = Store.open(tmp_path / "s.db", write=True)
    store.set_meta("recipe_run", None)  # so that it is unfinished
    store.close()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(trust, "_session", set())
    (tmp_path / "ran").unlink()
    return tmp_path / "s.db"


def test_what_only_shows_runs_nothing(foreign: Path) -> None:
    study = Study.open(foreign)
    _ = study.verdict, study.table(), study.curves(), study.sensitivity(), study.generalization(), study.recipe("sgd")
    _ = study.expected_best(), study.importance(), study.leaders()
    study.report(foreign.with_name("report.html"))
    study.export(foreign.with_name("runs.csv"))
    finish(study, None, as_json=True)
    with pytest.raises(PlanError, match="never ran on this machine"):
        study.recipe("slow")
    assert not foreign.with_name("ran").exists()


def test_what_trains_runs_it_only_after_a_yes(foreign: Path) -> None:
    for attempt in (lambda: resume(foreign, progress=False), lambda: Study.open(foreign).sharpness()):
        with pytest.raises(ThalwegError, match=r"names .*net\.py:\w+, which never ran .* trust=True in Python\.$"):
            attempt()
    assert not foreign.with_name("ran").exists()
    assert resume(foreign, progress=False, trust=True).finished
    assert foreign.with_name("ran").exists()
    assert tw.rerun(foreign, progress=False).same_curves  # once is enough


def test_a_source_that_changed_is_asked_for_again(foreign: Path) -> None:
    spec = f"{foreign.with_name('net.py')}:line"
    trust.remember([spec])
    assert trust.unknown([spec, "digits"]) == []
    foreign.with_name("net.py").write_text(CODE + "# changed\n")
    assert trust.unknown([spec]) == [spec]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', "[" * 100_000])
def test_a_memory_that_cannot_be_read_trusts_nothing(content: str, foreign: Path) -> None:
    file = foreign.with_name("state") / "thalweg" / "trusted.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    spec = f"{foreign.with_name('net.py')}:line"
    assert trust.unknown([spec]) == [spec]
    trust.remember([spec])
    assert json.loads(file.read_text())[0][0] == spec


def test_a_memory_that_cannot_be_written_lasts_as_long_as_the_process(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    spec = f"{foreign.with_name('net.py')}:line"
    trust.remember([spec])
    assert trust.unknown([spec]) == []


def test_a_module_is_found_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "foreign_package"
    package.mkdir()
    for name in ("__init__", "net"):
        (package / f"{name}.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    spec = "foreign_package.net:line"
    assert trust.unknown([spec, "no_such_module:line", "sgd"]) == [spec]
    trust.remember([spec])
    assert trust.unknown([spec]) == []
    (package / "__init__.py").write_text("print()")  # an import would run it first
    assert trust.unknown([spec]) == [spec]


@pytest.mark.slow
def test_without_a_terminal_the_command_is_refused(foreign: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return ran("resume", foreign, "-q", *words)  # nothing stands at its input

    refused = run()
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "say so with --trust" in refused.stderr
    assert not foreign.with_name("ran").exists()
    assert run("--trust").returncode == 0


def test_on_a_terminal_a_yes_decides_for_each_and_a_word_for_all(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    study, specs = Study.open(copied), ["one.py:f", "two.py:g"]
    monkeypatch.setattr(Study, "specs", specs)
    remembered: list[str] = []
    monkeypatch.setattr(trust, "unknown", lambda given: [spec for spec in given if spec not in remembered])
    monkeypatch.setattr(trust, "remember", remembered.extend)
    monkeypatch.setattr(sys, "stdin", Terminal("n\ny\n"))
    ask_to_run(study, trust=False)
    assert remembered == ["two.py:g"]
    assert f"{copied} names one.py:f, which never ran on this machine as it is now. Run it? [y/N]" in " ".join(
        capsys.readouterr().err.split()
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # which is not a terminal
    ask_to_run(study, trust=False)
    assert remembered == ["two.py:g"]
    ask_to_run(study, trust=True)
    assert remembered == ["two.py:g", *specs]
