"""What one process does to a store takes no lock away that another connection of it has."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from thalweg.errors import StoreError
from thalweg.store.file import Store, kind_of

CLOSES = (
    "import sys, sqlite3; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM meta').fetchall(); db.close()"
)


@pytest.mark.parametrize("look", [kind_of, lambda path: Store.open(path).close()], ids=["kind_of", "open"])
def test_looking_at_a_store_that_is_being_written(look: object, tmp_path: Path) -> None:
    """Another process that closes the store would remove the log of a writer without its locks."""
    path = tmp_path / "study.db"
    writer = Store.create(path, {})
    with writer.writing():
        writer.set_meta("note", 1)
        assert callable(look)
        look(path)
        subprocess.run([sys.executable, "-c", CLOSES, path], check=True)
        assert path.with_name("study.db-wal").exists()
        assert path.with_name("study.db-shm").exists()
        writer.set_meta("note", 2)
        reader = Store.open(path)
        assert reader.meta("note") == 2
        reader.close()
    writer.close()


def test_who_has_written_and_who_reads_leave_one_file(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Store.create(path, {}) as writer, writer.writing():
        writer.set_meta("note", 1)
    with Store.open(path) as reader:
        assert reader.meta("note") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["study.db"]


def test_a_store_of_two_names_is_left_as_it_was(tmp_path: Path) -> None:
    """Its log may lie beside the other name, and is lost if the file no longer says that there is one."""
    path = tmp_path / "study.db"
    with Store.create(path, {}):
        pass
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    (tmp_path / "other.db").hardlink_to(path)
    before = path.read_bytes()
    refused = pytest.raises(StoreError, match="has 2 names")
    with Store.open(path, write=True) as store, refused, store.writing():
        pass
    assert path.read_bytes() == before


def test_whoever_reads_meanwhile_goes_on_reading(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Store.create(path, {"note": 0}) as writer, Store.open(path) as reader:
        for k in range(3):
            with writer.writing():
                writer.set_meta("note", k)
                assert reader.meta("note") == k
            assert reader.meta("note") == k
    with Store.open(path) as reader, Store.open(path, write=True) as writer, writer.writing():
        writer.set_meta("note", 3)
        assert reader.meta("note") == 3
