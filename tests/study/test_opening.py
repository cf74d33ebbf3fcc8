"""What is said, and asked, before a study begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thalweg.cli.asking import asks
from thalweg.engine.forecast import Forecast
from thalweg.errors import StoreError, WorkError
from thalweg.study import opening
from thalweg.study.study import Study, compare

from ..studies import TINY

SHOWN: dict[str, Any] = {**TINY, "progress": None}


@pytest.mark.slow
def test_a_study_opens_with_what_it_takes_and_is_the_same_study(
    tiny: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = compare(**SHOWN, store=tmp_path / "a.db")
    first, *others = capfd.readouterr().err.splitlines()
    assert first.startswith("breast-cancer: 16 runs of 12 steps for the search, at most ")
    assert not any("hour" in line for line in others)
    assert study.curves().equals(tiny.curves())
    compare(**SHOWN, store=tmp_path / "a.db")
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_long_one_is_asked_about_before_anything_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[Forecast] = []

    def no(would: Forecast) -> bool:
        asked.append(would)
        return False

    assert compare(**TINY, store=tmp_path / "short.db", ask=no).finished
    assert asked == []
    monkeypatch.setattr(opening, "HOUR", 0.0)
    with pytest.raises(WorkError, match="nothing was trained, and nothing is stored; a time"):
        compare(**TINY, store=tmp_path / "a.db", ask=no)
    assert [(would.problem, would.stages[0].runs) for would in asked] == [("breast-cancer", 16)]
    assert not any(file.name.startswith("a.db") for file in tmp_path.iterdir())
    assert compare(**TINY, store=tmp_path / "a.db", ask=lambda would: True).finished
    assert capfd.readouterr().err == ""
    assert compare(**SHOWN, store=tmp_path / "b.db").finished
    assert "(minutes=30, --minutes 30)" in capfd.readouterr().err.splitlines()[1]


def test_a_store_that_cannot_be_written_is_refused_before_steps_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thalweg.study.study.opened", lambda *_: pytest.fail("steps were tried"))
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "a.db", tmp_path):
        with pytest.raises(StoreError, match=r"name another|name a file"):
            compare(**SHOWN, store=place)


def test_only_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asks(yes=False, quiet=False) is None
    assert asks(yes=True, quiet=True) is None
    would: Any = None
    yes = asks(yes=True, quiet=False)
    assert yes is not None
    assert yes(would)
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda question, default, err: bool(question) and default)
    question = asks(yes=False, quiet=False)
    assert question is not None
    assert not question(would)
