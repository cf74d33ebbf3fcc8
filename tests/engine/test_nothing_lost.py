"""Nothing is lost: whatever happens to a process, its disk or its files, a study is carried on as if nothing had
been, or refused and left as it was."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from thalweg.engine import block_run, execute
from thalweg.errors import StoreError
from thalweg.store.file import Store
from thalweg.study.study import Study, compare, resume

from ..cases import mostly_slow, times
from ..studies import TINY
from ..warm import ran

KILLS = "import runpy; runpy.run_module('tests.engine.kills', run_name='__main__')"


def killed(study: str, folder: Path, count: int, seed: int) -> dict[str, Any]:
    """What `kills.py` found, where each study came to the end of one that nobody killed."""
    done = ran(study, folder, count, seed, program=KILLS)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["studies"]) == count
    for one in found["studies"]:
        assert one["ended"][0] == 9, one
        assert one["finished"], one
        assert (one["table"], one["curves"], one["recipe"], one["weights"]) == (True, True, True, []), one
        assert one["after"] == ["study.db"], one
    return found


@pytest.mark.slow
def test_killed_at_many_instants(tmp_path: Path) -> None:
    """SIGKILL in the middle of a step, of a checkpoint's write, between its flush, its rename and its entry in the
    store, and within transactions; then carried on to the very bits of an uninterrupted study."""
    count = times(30)
    found = killed("full", tmp_path, count, seed=0)
    assert found["events"]["step"] == 8 * 18
    assert found["points"] > 100
    # The instants are what they are said to be.
    once = [study for study in found["studies"] if len(study["ended"]) == 1]
    half = [study["before"] for study in once if study["kind"] == "half written"]
    assert half
    assert all(any(name.endswith(".tmp") for name in before) for before in half)
    assert any(".new" in name for study in found["studies"] for name in study["before"])
    assert sum(study["blocks"] > 0 for study in found["studies"]) > 2 * count / 3
    assert sum(len(study["ended"]) for study in found["studies"]) == count * 4 // 3  # every third one twice


@pytest.mark.slow
def test_killed_while_settings_are_stopped_and_the_grid_grows(tmp_path: Path) -> None:
    found = killed("halving", tmp_path, times(7, of=3), seed=0)
    assert (found["grown"], found["rungs"]) == (1, 4)  # two rungs, met again by the rate that was added


# Disks


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def same(one: Study, other: Study) -> None:
    assert one.table().equals(other.table())
    assert one.curves().equals(other.curves())


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Ctrl-C after so many steps, and a checkpoint of the block at work."""
    right, taken = block_run.Block._advance, itertools.count(1)  # which several threads may share

    def step(self: Any, *batch: Any) -> None:
        if next(taken) == steps:
            raise KeyboardInterrupt
        time.sleep(0.02)  # compiled steps are quick: every block at work is to take some
        right(self, *batch)

    monkeypatch.setattr(block_run.Block, "_advance", step)
    monkeypatch.setattr(block_run, "STEPS_SECONDS", 0.0)  # one at a time


@pytest.fixture
def unfinished(tmp_path: Path, cores: Callable[[int], None]) -> Path:
    """The tiny study, stopped in the middle of its search: of two blocks at work one fails, and the other is saved."""
    cores(2)
    path = tmp_path / "half" / "study.db"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 9)
        with pytest.raises(KeyboardInterrupt):
            compare(**TINY, store=path)
    return path


@pytest.mark.parametrize("where", mostly_slow(["checkpoint", "flush", "rename"], "flush"))
def test_a_disk_that_is_full_at_a_checkpoint(
    where: str, tiny: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> None:
            self.file.write(data[:100])
            full()

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: Any) -> None:
            self.file.close()

    monkeypatch.setattr(block_run, "CHECKPOINT_SECONDS", 0)
    right = Path.open
    if where == "checkpoint":

        def opened(path: Path, mode: str = "r", *given: Any, **more: Any) -> Any:
            file = right(path, mode, *given, **more)
            return Full(file) if path.suffix == ".tmp" else file

        monkeypatch.setattr(Path, "open", opened)
    else:
        monkeypatch.setattr(os, {"flush": "fsync", "rename": "replace"}[where], full)
    path = tmp_path / "study.db"
    with pytest.raises(StoreError, match=r"checkpoints cannot be written: No space left on device; what .* is safe"):
        compare(**TINY, store=path)
    monkeypatch.undo()
    same(resume(path, progress=False), tiny)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
def test_a_disk_that_is_full_within_a_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own limit of pages, reached while curves are written."""
    right, asked = Store.__init__, {**TINY, "epochs": 12, "seeds": 1}

    def small(self: Store, path: Path, connection: sqlite3.Connection) -> None:
        right(self, path, connection)
        connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0]}")

    monkeypatch.setattr(Store, "__init__", small)
    with pytest.raises(
        StoreError, match=r"cannot be written \(database or disk is full\); what it held before is safe"
    ):
        compare(**asked, store=tmp_path / "study.db")
    monkeypatch.undo()
    same(resume(tmp_path / "study.db", progress=False), compare(**asked, store=tmp_path / "whole.db"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.slow
def test_a_real_disk_that_is_full(small_disk: Path, tiny: Study) -> None:
    words = [
        "compare",
        "breast-cancer",
        "--optimizers",
        "sgd,adam",
        "--rates",
        "0.01,0.1",
        "--seeds",
        "2",
        "--epochs",
        "2",
        "--confirmation",
        "2",
        "-q",
    ]
    store = small_disk / "study.db"
    done = ran(*words, "--store", store)
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr
    subprocess.run(["mount", "-o", "remount,size=10m", small_disk], check=True)
    same(resume(store, progress=False) if store.exists() else compare(**TINY, store=store), tiny)


AS_NOBODY = """
import os, sys
from thalweg.errors import StoreError
from thalweg.engine import block_run, execute
from thalweg.problem.prepare import prepare
from thalweg.study.study import Study, resume
prepare("breast-cancer")  # all that has to be imported
os.setgroups([]), os.setgid(65534), os.setuid(65534)
for path in sys.argv[1:]:
    study = Study.open(path)
    print(study.verdict.sentence, len(study.curves()))
    try:
        resume(path, progress=False)
    except StoreError as error:
        print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become another user")
def test_a_store_that_one_may_only_read(tiny: Study, unfinished: Path) -> None:
    """It is shown as ever, in a folder where nothing can be made; to carry it on is refused."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder, sources = Path(name), [tiny.path, unfinished]
        paths = [folder / "finished.db", folder / "half.db"]
        for path, source in zip(paths, sources, strict=True):
            path.write_bytes(source.read_bytes())
            path.chmod(0o444)
        before = content(folder)
        folder.chmod(0o555)
        done = ran(*paths, program=AS_NOBODY)
        folder.chmod(0o755)
        assert (done.returncode, done.stderr) == (0, "")
        shown = [f"{Study.open(p).verdict.sentence} {len(Study.open(p).curves())}" for p in sources]
        assert done.stdout.splitlines() == [
            *shown,
            (
                f"{paths[1]} cannot be written: permission denied, or the disk is read-only; copy it to "
                "where you can write."
            ),
        ]
        assert content(folder) == before


@pytest.mark.slow
def test_a_second_process_is_refused(unfinished: Path, tiny: Study) -> None:
    """Locks are between open files, so that this process can play both."""
    store = Store.open(unfinished, write=True)
    with store.writing():
        before = unfinished.read_bytes()
        with pytest.raises(StoreError, match="is being written by another process; wait for it, or stop it"):
            resume(unfinished, progress=False)
        assert unfinished.read_bytes() == before
    store.close()
    same(resume(unfinished, progress=False), tiny)


# Files


def lengths(size: int) -> list[int]:
    return [0, 1, 15, 16, 99, 100, 101, 4095, 4096, 4097, *range(8192, size, size // 12), size - 4096, size - 1]


@pytest.mark.parametrize("state", mostly_slow(["finished", "unfinished"], "finished"))
def test_a_store_that_was_cut_off(state: str, tiny: Study, unfinished: Path, tmp_path: Path) -> None:
    """At any length: refused in a sentence, untouched, and nothing is made beside it."""
    good = (tiny.path if state == "finished" else unfinished).read_bytes()
    folder = tmp_path / "cut"
    folder.mkdir()
    path = folder / "study.db"
    for length in lengths(len(good)):
        path.write_bytes(good[:length])
        for attempt in (Study.open, lambda p: resume(p, progress=False), lambda p: compare(**TINY, store=p)):
            with pytest.raises(StoreError, match="left as it was") as caught:
                attempt(path)
            assert "\n" not in str(caught.value)
            assert content(folder) == {"study.db": good[:length]}, length


def picture(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)


def foreign(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE meta (key, value); CREATE TABLE blocks (id); INSERT INTO meta VALUES (1, 2)")
    db.close()


def foreign_wal(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA user_version=2; CREATE TABLE members (id)")
    db.close()


def loop(path: Path) -> None:
    path.symlink_to(path)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def folder_there(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def empty(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize(
    "make", [picture, foreign, foreign_wal, loop, dangling, folder_there, pipe, empty], ids=lambda m: m.__name__
)
def test_what_is_no_store(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    make(path)
    before, names = content(tmp_path), sorted(os.listdir(tmp_path))
    for attempt in (Study.open, lambda p: resume(p, progress=False), lambda p: compare(**TINY, store=p)):
        with pytest.raises(StoreError) as caught:
            attempt(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    assert (content(tmp_path), sorted(os.listdir(tmp_path))) == (before, names)


def test_a_broken_symlink_says_so(tmp_path: Path) -> None:
    dangling(tmp_path / "study.db")
    with pytest.raises(StoreError, match=r"study\.db is a broken symlink; it is left as it was: name another file\.$"):
        Study.open(tmp_path / "study.db")


def test_a_checkpoint_that_was_cut_off_costs_nothing_but_time(unfinished: Path, tiny: Study) -> None:
    (file,) = unfinished.with_name("study.db.checkpoints").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-7])
    same(resume(unfinished, progress=False), tiny)
    assert not file.parent.exists()


def test_checkpoints_become_rarer_where_they_cost_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one that took a second, the next waits for forty."""
    clock, saved = 0.0, []

    def monotonic() -> float:
        nonlocal clock
        clock += 0.5
        return clock

    def slow(self: Store, block: int, step: int, tensors: Any) -> None:
        nonlocal clock
        saved.append((block, step))
        clock += 1.0

    monkeypatch.setattr(block_run.time, "monotonic", monotonic)
    monkeypatch.setattr(block_run, "STEPS_SECONDS", 0.0)  # one step at a time
    monkeypatch.setattr(Store, "save_checkpoint", slow)
    monkeypatch.setattr(block_run, "CHECKPOINT_SECONDS", 2.0)
    asked = {**TINY, "optimizers": ["sgd"], "rates": [0.1], "schedules": ["constant"], "seeds": 1, "confirmation": 0}
    compare(**{**asked, "epochs": 40}, store=tmp_path / "study.db")
    gaps = [b[1] - a[1] for a, b in itertools.pairwise(saved)]
    assert saved[0][1] < 10
    assert gaps
    assert min(gaps) > 40


def test_a_second_interrupt_stops_at_once_and_a_thread_has_none() -> None:
    before = signal.getsignal(signal.SIGINT)
    with execute._interrupts() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        assert stop.interrupted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    inside: list[object] = []

    def work() -> None:
        with execute._interrupts() as stop:
            inside.extend([stop.is_set(), signal.getsignal(signal.SIGINT)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [False, before]
