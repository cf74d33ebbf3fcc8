"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from thalweg.files import draft, put, put_new


def test_a_file_is_replaced_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    for content in (b"one", b"two"):
        put(path, content)
        assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == {"b.txt": content}


def test_what_fails_leaves_the_older_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "b.txt"
    put(path, b"one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        put(path, b"two")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"b.txt": b"one"}


def test_a_draft_that_is_a_folder_is_removed_with_all_in_it(tmp_path: Path) -> None:
    with draft(tmp_path / "runs") as place:
        (place / "inner").mkdir(parents=True)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a" * 255, "가" * 85])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, b"one")
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_new_file_never_replaces_one(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    for content in (b"one", b"two"):
        (tmp_path / content.decode()).write_bytes(content)
    path = tmp_path / "new"
    put_new(tmp_path / "one", path)
    with pytest.raises(FileExistsError):
        put_new(tmp_path / "two", path)
    assert path.read_bytes() == b"one"
