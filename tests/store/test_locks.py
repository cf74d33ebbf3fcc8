"""What one process does to a store takes no lock away that another connection of it has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from thalweg.store.file import Store, kind_of

CLOSES = (
    "import sys, sqlite3; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM meta').fetchall(); db.close()"
)


@pytest.mark.parametrize("look", [kind_of, lambda path: Store.open(path).close()], ids=["kind_of", "open"])
def test_looking_at_a_store_that_is_being_written(look: object, tmp_path: Path) -> None:
    """Another process that closes the store would remove the log of a writer without its locks."""
    path = tmp_path / "study.db"
    writer = Store.create(path, {})
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
