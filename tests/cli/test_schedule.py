"""`thalweg schedule` and `thalweg range`: listed, drawn, printed, refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.cli import asked
from thalweg import schedules

run = partial(asked.run, columns=160)

ROOT = Path(__file__).parents[2]


def test_the_list_holds_every_schedule_with_its_robbins_monro_answer() -> None:
    lines = run("schedule").splitlines()
    first = {line.split()[0]: line for line in lines if line.strip()}
    assert set(schedules.names()) <= set(first)
    assert [name for name in schedules.names() if "yes: " in first[name]] == ["one_over_t", "inverse_time"]
    facts = {one["name"]: one for one in json.loads(run("schedule", "--json"))}
    assert [n for n, one in facts.items() if one["robbins_monro"]["satisfied"]] == ["one_over_t", "inverse_time"]


def test_values_as_json() -> None:
    shown = json.loads(run("schedule", "one_cycle", "--steps", "50", "--rate", "0.1", "--json"))
    moved = schedules.get("one_cycle").on({"lr", "momentum"})
    assert shown["values"]["lr"] == (0.1 * moved["lr"].factor(np.arange(50), 50)).tolist()
    assert shown["values"]["momentum"] == moved["momentum"].factor(np.arange(50), 50).tolist()
    assert shown["code"] == schedules.get("one_cycle").code()


def test_one_in_the_terminal() -> None:
    shown = run("schedule", "lr: linear; weight_decay: step(size=50)", "--steps", "120")
    assert "lr              ████" in shown
    assert "1 … 0.008333, from 0.008333 to 1" in shown
    assert "weight_decay ×  " in shown
    assert max(len(line.split()[1]) for line in shown.splitlines() if "█" in line) == 60


@pytest.mark.parametrize(("ending", "magic"), [("html", b"<!doctype html>"), ("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_drawn_into_a_file(ending: str, magic: bytes, tmp_path: Path) -> None:
    file = tmp_path / "new" / f"a.{ending}"
    assert run("schedule", "one_cycle", "-o", str(file)).strip() == str(file)
    content = file.read_bytes()
    assert content.startswith(magic)
    if ending == "html":
        assert b"one_cycle" in content
        assert b"cdn.plot" not in content.split(b"<script")[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cosin"], "did you mean cosine"),
        (["cosine", "--steps", "0"], "the total is 0; give a whole number of steps, at least 1"),
        (["cosine", "--steps", "-5"], "give a whole number of steps"),
        (["cosine", "--rate", "0"], "the rate is 0; give a number above 0"),
        (["warmup(steps=100)", "--steps", "100"], "leaves nothing of a run of 100"),
        (["plateau"], "follows the validation loss, and none is at hand"),
        (["cosine", "-o", "a.gif"], "must end in .html"),
        (["-o", "a.svg"], "needs a schedule to draw"),
        (["ramp"], "name the hyperparameter it is for"),
    ],
)
def test_wrong_use_is_one_sentence(words: list[str], message: str) -> None:
    shown = run("schedule", *words, status=2)
    assert message in shown
    assert shown.startswith("thalweg: ")
    assert shown.count("\n") == 1


def test_range(tmp_path: Path) -> None:
    grid = ["--low", "1e-3", "--high", "1", "--rates", "4", "--seeds", "2", "--steps", "10"]
    shown = run("range", "breast-cancer", *grid, "-o", str(tmp_path / "r.svg"))
    assert shown.startswith("Begin adam on breast-cancer with rate")
    assert shown.count("←") == 1
    assert (tmp_path / "r.svg").read_bytes().startswith(b"<?xml")
    facts = json.loads(run("range", "breast-cancer", *grid, "--json"))
    assert len(facts["rates"]) == 4
    assert f"rate {facts['suggestion']:.3g}:" in facts["sentence"]
    assert "must end in" in run("range", "breast-cancer", "-o", "a.gif", status=2)


def test_the_page_of_schedules_names_each() -> None:
    page = (ROOT / "docs" / "schedules.md").read_text()
    for name in schedules.names():
        assert f"\n| `{name}` |" in page, name
    row = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    for name, kind in schedules.SCHEDULES.items():
        assert row[name].split("|")[4].strip() == (kind.counterpart or ("" if kind.absolute else "LambdaLR")), name
    assert [name for name in row if "**yes**" in row[name]] == ["one_over_t", "inverse_time"]
