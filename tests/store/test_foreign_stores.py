"""Stores from anywhere: whatever stands in one, every command says one sentence, soon, and changes nothing.

Each case is the store of a finished tiny study, changed by SQL. Whether a change is refused or does not matter, no
command may fail with anything but an error of thalweg's.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import StoreError, ThalwegError
from thalweg.store.file import Store
from thalweg.study.study import Study, resume

from ..cases import WHOLE, mostly_slow
from ..hangs import no_hang

FINISHED = Path(__file__).parent / "stores" / "schema-3.db"
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
DELETED = object()
WRONG: list[Any] = [
    None,
    True,
    -1,
    -0.5,
    1e300,
    2**70,
    "x",
    "\ud800",
    [],
    {},
    [[1]],
    {"a": [1]},
    float("nan"),
    float("inf"),
]
CELLS: list[Any] = [None, -1, 2**60, -1.5, 9e999, "x", b"\xff\xfe", '{"a": [1]}', '{"seed": 1}', "[" * 5000]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "foreign.db"
    target.write_bytes(FINISHED.read_bytes())
    return target


def changed(path: Path, *statements: str, values: tuple[Any, ...] = ()) -> bytes:
    """Change a store by SQL; its bytes afterwards."""
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement, values if "?" in statement else ())
        db.commit()
    return path.read_bytes()


def set_meta(path: Path, key: str, text: str) -> bytes:
    return changed(path, "UPDATE meta SET value = ? WHERE key = ?", values=(text, key))


def read(path: Path) -> None:
    """All that `show` and `export` read."""
    study = Study.open(path)
    _ = study.finished, study.provenance, study.batching, str(study.recipe_run), study.specs
    _ = study.table(), study.curves()
    json.dumps(study.verdict.to_json())


COMMANDS: dict[str, Callable[[Path], object]] = {
    "show": read,
    "recipe": lambda path: Study.open(path).recipe(),
    "export": lambda path: Study.open(path).export(path.with_name("runs.csv")),
    "report": lambda path: Study.open(path).report(path.with_name("report.html")),
    "resume": lambda path: resume(path, progress=False),
}


def refused(path: Path, before: bytes, words: str, commands: Sequence[str] = tuple(COMMANDS)) -> None:
    """Every command says in a sentence that the store is damaged, and leaves it as it was."""
    for name in commands:
        words_are = rf"(?s)\A\S+foreign\.db .*{words}.*left as it was"
        with pytest.raises(StoreError, match=words_are) as caught, no_hang():
            COMMANDS[name](path)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


OTHER_TABLES = {
    "a view for curves": ["DROP TABLE curves", f"CREATE VIEW curves AS {ENDLESS} SELECT x block FROM n"],
    "a view for members": ["DROP TABLE members", f"CREATE VIEW members AS {ENDLESS} SELECT x id FROM n"],
    "a view for meta": ["DROP TABLE meta", f"CREATE VIEW meta AS {ENDLESS} SELECT x key, x value FROM n"],
    "another view": [f"CREATE VIEW other AS {ENDLESS} SELECT x FROM n"],
    "a trigger": ["CREATE TRIGGER t AFTER UPDATE ON blocks BEGIN DELETE FROM curves; END"],
    "another table": ["CREATE TABLE other (x)"],
    "another index": ["CREATE INDEX i ON members (abs(lr))"],
    "a column more": ["ALTER TABLE blocks ADD COLUMN other"],
    "a generated column": ["ALTER TABLE members ADD COLUMN slow AS (length(zeroblob(900000000)))"],
    "another column": ["ALTER TABLE meta RENAME COLUMN value TO other"],
    "a table that is missing": ["DROP TABLE curves"],
    "a view for parts": ["DROP TABLE parts", f"CREATE VIEW parts AS {ENDLESS} SELECT x block FROM n"],
}


@pytest.mark.parametrize("name", OTHER_TABLES)
def test_other_tables_are_refused(name: str, path: Path) -> None:
    refused(path, changed(path, *OTHER_TABLES[name]), "(what thalweg makes|no such table)")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


LONG = {
    "deep": ("[" * 100_000 + "]" * 100_000, "is not JSON"),
    "long": (json.dumps("x" * 50_000_000), "too big"),
    "a number of many digits": ("1" * 100_000, "is not JSON"),
    "no JSON": ("{", "is not JSON"),
    "another type": ("3", "not named values"),
}


@pytest.mark.parametrize("key", ["plan", "problem"])
@pytest.mark.parametrize("name", LONG)
def test_a_value_that_is_too_much(name: str, key: str, path: Path) -> None:
    text, words = LONG[name]
    read_by = ["show", "recipe", "report"] if key == "problem" else list(COMMANDS)
    refused(path, set_meta(path, key, text), words, read_by)


ROWS = {
    "a negative rate": "UPDATE members SET lr = -1",
    "an infinite rate": "UPDATE members SET lr = 9e999",
    "a rate in words": "UPDATE members SET lr = 'much'",
    "a negative step": "UPDATE blocks SET step = -6 WHERE id = 2",
    "an unknown status": "UPDATE blocks SET status = 'lost'",
    "an unknown stage": "UPDATE blocks SET stage = 'test'",
    "a stage out of the plan": "UPDATE blocks SET stage = 'confirmation at 9 epochs' WHERE stage = 'confirmation'",
    "a stage of other words": "UPDATE blocks SET stage = 'confirmation at <b> epochs' WHERE stage = 'confirmation'",
    "a fold out of the plan": "UPDATE members SET further = '{\"fold\": 0}' WHERE block = 1",
    "an optimizer out of the plan": "UPDATE members SET optimizer = 'radam' WHERE id = 1",
    "the same run twice": "UPDATE members SET lr = 0.1",
    "a factor that is a column": "UPDATE members SET further = '{\"seed\": 1}'",
    "levels that are no levels": "UPDATE members SET further = '[[1]]'",
    "a value cut off": "UPDATE curves SET value = substr(value, 1, 12)",
    "no value": "UPDATE curves SET value = x''",
    "one value more": "UPDATE curves SET value = value || x'0000000000000000'",
    "a metric of no part": "UPDATE curves SET metric = 'status' || metric",
    "members out of order": "UPDATE members SET position = position + 1 WHERE block = 1",
    "members of no block": "UPDATE members SET block = 99 WHERE block = 1",
    "a block without members": "DELETE FROM members WHERE block = 1",
    "curves of no block": "UPDATE curves SET block = 99 WHERE block = 1",
    "parts cut off": "UPDATE parts SET value = substr(value, 1, 12)",
    "no parts": "UPDATE parts SET value = x''",
    "one part more": "UPDATE parts SET value = value || x'0000000000000000'",
    "parts of other numbers": "UPDATE parts SET value = substr(value, 1, length(value) / 2) "
    "WHERE block = (SELECT max(block) FROM parts)",
    "parts of a metric of no part": "UPDATE parts SET metric = 'train' || metric",
    "parts of no block": "UPDATE parts SET block = 99 WHERE block = (SELECT max(block) FROM parts)",
    "parts at no step": "UPDATE parts SET step = -1",
    "a checkpoint with a path": "UPDATE blocks SET checkpoint = '../../x'",
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_no_study_has(name: str, path: Path) -> None:
    # no command but those with a verdict reads values on parts of the samples
    refused(path, changed(path, ROWS[name]), "it is damaged", ["show"] if "parts" in ROWS[name] else ["show", "export"])


def test_what_sqlite_counted_is_no_damage(path: Path) -> None:
    changed(path, "ANALYZE")
    read(path)


# Each field, each wrong value


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a value of JSON; of a list the first alone."""
    yield at
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*at, name))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*at, 0))


def replaced(value: Any, at: tuple[Any, ...], other: Any) -> Any:
    if not at:
        return other
    copy, (first, *rest) = value.copy(), at
    if not rest and other is DELETED:
        del copy[first]
    else:
        copy[first] = replaced(value[first], tuple(rest), other)
    return copy


def stored_meta() -> dict[str, Any]:
    db = sqlite3.connect(f"{FINISHED.as_uri()}?immutable=1", uri=True)
    values = {key: json.loads(text) for key, text in db.execute("SELECT key, value FROM meta")}
    db.close()
    return values


def survives(path: Path, case: object, commands: list[str]) -> None:
    """No command fails with anything but an error of ours, or hangs."""
    for name in commands:
        try:
            with no_hang():
                COMMANDS[name](path)
        except ThalwegError:
            pass
        except Exception as error:
            raise AssertionError(f"{name} of a store with {case!r}: {error!r}") from error
        for file in path.parent.glob("runs*"):
            file.unlink()


def sweep_meta(path: Path, key: str, commands: list[str], every: int = 1) -> None:
    good, whole = FINISHED.read_bytes(), stored_meta()[key]
    cases = [(at, other) for at in places(whole) if at[-1:] != ("text",) for other in (*WRONG, DELETED)]
    for at, other in cases[:: every if len(cases) > every else 1]:
        if at or other is not DELETED:
            path.write_bytes(good)
            set_meta(path, key, json.dumps(replaced(whole, at, other)))
            survives(path, (key, at, other), commands)


@pytest.mark.everyday(of=4)
@pytest.mark.parametrize("key", sorted(stored_meta()))
def test_a_wrong_value_somewhere(key: str, path: Path) -> None:
    sweep_meta(path, key, ["recipe"] if key in ("plan", "problem", "costs") else ["show"], every=23)


@pytest.mark.share(of=3)
@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(stored_meta()))
def test_each_place_with_wrong_values(key: str, path: Path) -> None:
    sweep_meta(path, key, ["show", "recipe", "export", "resume"], every=4 if WHOLE else 16)


@pytest.mark.slow
def test_runs_of_a_finer_search_that_the_plan_lacks(path: Path) -> None:
    at = ("refined", 0, "optimizer", 0)
    set_meta(path, "plan", json.dumps(replaced(stored_meta()["plan"], at, DELETED)))
    survives(path, at, ["show", "report"])


@pytest.mark.parametrize("key", sorted(stored_meta()))
def test_a_value_that_is_missing(key: str, path: Path) -> None:
    changed(path, f"DELETE FROM meta WHERE key = '{key}'")
    survives(path, key, ["show", "export"])


@pytest.mark.share(of=3)
@pytest.mark.slow
@pytest.mark.parametrize("table", ["blocks", "members", "curves"])
def test_each_wrong_cell(table: str, path: Path) -> None:
    good, db = FINISHED.read_bytes(), sqlite3.connect(f"{FINISHED.as_uri()}?immutable=1", uri=True)
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    db.close()
    for column, value in ((column, value) for column in columns for value in CELLS):
        path.write_bytes(good)
        with suppress(sqlite3.IntegrityError):
            changed(path, f"UPDATE OR REPLACE {table} SET {column} = ?", values=(value,))
            survives(path, (table, column, value), ["show", "export", "recipe"])


# Processes


@pytest.mark.slow
@pytest.mark.parametrize("words", mostly_slow([["show"], ["show", "--json"]], ["show"]), ids=" ".join)
def test_on_the_command_line(words: list[str], path: Path, started: Callable[..., subprocess.Popen[str]]) -> None:
    before = changed(path, *OTHER_TABLES["a view for curves"])
    process = started(*words, path)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error.count("Traceback")) == (1, 0)
    assert "is not what thalweg makes" in " ".join(error.split())
    assert path.read_bytes() == before


def test_an_error_of_ours_is_not_called_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr("thalweg.store.file._spread", fails)
    with pytest.raises(KeyError, match="ours"):
        Store.open(path).members()
