"""Every word of a store, made hostile: a report shows it as letters, and runs none of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly.offline
import pytest

import thalweg as tw
from tests.test_report import Page
from thalweg.pictures import markup
from thalweg.report import html
from thalweg.study.study import Study

MARK = """'"><svg/onload=alert(1)><a href="//evil">&lt;</script>"""
NAMES = {"beta2", "breast-cancer", "constant", "cross_entropy", "python", "thalweg"}
TEXTS = {
    "meta": ("key", "value"),
    "blocks": ("stage", "status", "checkpoint"),
    "members": ("optimizer", "schedule", "further"),
    "curves": ("metric",),
}


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with something in every section of its report."""
    path = tmp_path_factory.mktemp("hostile") / "study.db"
    varied: dict[str, Any] = {"hyperparameters": {"beta2": [0.9, 0.99]}, "batch_sizes": [64, "full"]}
    small: dict[str, Any] = {"seeds": 2, "epochs": 1, "confirmation": 1, "grow": 0, "progress": False}
    tw.compare("breast-cancer", ["sgd", "adam"], [0.1], ["constant"], store=path, **small, **varied)
    return path


def strings(value: Any) -> Iterator[str]:
    """Every string in a value of JSON, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


def renamed(value: Any, words: list[str]) -> Any:
    if isinstance(value, dict):
        return {renamed(key, words): renamed(one, words) for key, one in value.items()}
    if isinstance(value, list):
        return [renamed(one, words) for one in value]
    return value + MARK if value in words else value


def parsed(text: str | None) -> Any:
    return json.loads(text) if text and (text[0] in '{["' or text.isdigit()) else text


def words_of(path: Path) -> list[str]:
    db = sqlite3.connect(path)
    cells = [row[0] for table, names in TEXTS.items() for n in names for row in db.execute(f"SELECT {n} FROM {table}")]
    db.close()
    # Words of the program itself, such as the keys of the plan, would only make the store unreadable.
    own = {w for file in Path(tw.__file__).parent.rglob("*.py") for w in re.findall(r'"(\w+)"', file.read_text())}
    return sorted({word for cell in cells for word in strings(parsed(cell)) if word not in own or word in NAMES})


def with_mark(path: Path, target: Path, words: list[str]) -> None:
    """A copy of the store with the mark after those words wherever they stand."""
    target.write_bytes(path.read_bytes())
    db = sqlite3.connect(target, isolation_level=None)
    db.execute("BEGIN")
    for table, names in TEXTS.items():
        for name in names:
            for (old,) in db.execute(f"SELECT DISTINCT {name} FROM {table}").fetchall():
                new = renamed(parsed(old), words)
                if new != parsed(old):
                    text = new if isinstance(new, str) and old[0] != '"' else json.dumps(new)
                    db.execute(f"UPDATE OR REPLACE {table} SET {name} = ? WHERE {name} = ?", (text, old))
    db.execute("COMMIT")
    db.close()


def safe(page: str, kinds: set[str]) -> bool:
    """Whether no element, attribute or text of a picture comes from the mark; it stands in the page as letters."""
    seen = Page(page)
    assert {tag for tag, _ in seen.elements} <= kinds
    assert not any(name.startswith("on") or name == "href" for _, found in seen.elements for name in found)
    assert not [word for chart in seen.json for word in strings(chart) if "<svg" in word or "<a " in word]
    assert MARK not in page
    return "onload" in page


@pytest.mark.slow
def test_no_word_of_a_store_becomes_an_element(varied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotly.offline, "get_plotlyjs", lambda: "var Plotly;")
    kinds = {tag for tag, _ in Page(html.page(Study.open(varied))).elements}
    assert {"section", "b", "small"} <= kinds
    words = words_of(varied)
    assert set(words) >= NAMES
    with_mark(varied, tmp_path / "a.db", words)
    page = html.page(Study.open(tmp_path / "a.db"))
    assert safe(page, kinds)
    text = Page(page).text
    assert {word for word in NAMES if f"{word}{MARK}" not in text} == set()


@pytest.mark.slow
def test_the_page_names_its_scripts_and_a_browser_runs_no_other(varied: Path) -> None:
    page = html.page(Study.open(varied))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    (allowed,) = re.findall(r"script-src ([^;]*);", policy[1])
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.replace("\r", "").encode()).digest()).decode() for text in scripts]
    assert allowed == " ".join(f"'sha256-{one}'" for one in hashes)
    assert len(hashes) == 2
    assert page.count("<script") == 2 + page.count('<script type="application/json"')


def test_a_piece_escapes_what_is_no_piece() -> None:
    bold = markup.piece("<b>{}</b>", "<i>")
    assert bold == "<b>&lt;i&gt;</b>"
    assert markup.joined([bold, "<i>"]) == "<b>&lt;i&gt;</b>&lt;i&gt;"
    table = markup.table(["<h>"], [[bold], ["<c>"]], words=1)
    assert "&lt;h&gt;" in table
    assert "&lt;c&gt;" in table
    assert bold in table
