"""The file a study lives in: what it refuses, and that what it holds survives whatever happens."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load, save

from thalweg.errors import StoreError
from thalweg.plan.plan import Setting
from thalweg.store import file as store_module
from thalweg.store.file import Compacted, Store, kind_of
from thalweg.study.study import Study, compare, resume

from ..warm import ran

SETTINGS = [Setting("sgd", 0.1, "constant"), Setting("adam", 1 / 3, "cosine"), Setting("adam", 0.5, "cosine")]
ALIVE = np.array([-1, -1, -1])


def values(loss: list[float], accuracy: list[float] | None = None) -> dict[str, np.ndarray]:
    found = {"train_loss": np.array(loss) / 2, "validation_loss": np.array(loss)}
    return found if accuracy is None else found | {"validation_accuracy": np.array(accuracy)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "study.db"


@pytest.fixture
def store(path: Path) -> Any:
    made = Store.create(path, {"note": {"é": [1, 2.5, None]}, "problem": {"name": "hills"}})
    made.add_blocks("search", [(0, SETTINGS), (1, SETTINGS[:2])])
    yield made
    made.close()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def elsewhere(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run code in another process."""
    return ran(*words, program=code)


# Round trip


def test_what_is_written_is_read(store: Store, path: Path) -> None:
    store.close()
    again = Store.open(path)
    assert again.meta("note") == {"é": [1, 2.5, None]}
    assert again.meta("nothing") is None
    assert again.meta("nothing", 3) == 3
    first, second = again.blocks()
    assert (first.id, first.stage, first.seed, first.status, first.step) == (1, "search", 0, "waiting", 0)
    assert first.settings == tuple(SETTINGS)
    assert second.settings == tuple(SETTINGS[:2])
    assert again.blocks("confirmation") == []
    again.close()
    assert kind_of(path) == "store"


def test_curves_and_members(store: Store) -> None:
    tiny, huge = 5e-324, 1.7976931348623157e308
    store.record(1, 4, values([0.1, huge, 3]), ALIVE, 0.5)
    store.record(1, 8, values([tiny, np.nan, np.inf], [1, np.nan, 0]), np.array([-1, 6, -1]), 0.5, finished=True)
    curves = store.curves()
    assert list(curves.columns) == ["member", "step", "metric", "value"]
    assert [str(t) for t in curves.dtypes] == ["int64", "int64", "category", "float64"]
    assert len(curves) == 3 * 5
    loss = curves[curves["metric"] == "validation_loss"].set_index(["step", "member"])["value"]
    np.testing.assert_array_equal(loss.to_numpy(), [0.1, huge, 3, tiny, np.nan, np.inf])
    assert list(loss.index) == [(4, 1), (4, 2), (4, 3), (8, 1), (8, 2), (8, 3)]
    members = store.members()
    assert list(members.columns) == [
        "member",
        "stage",
        "optimizer",
        "lr",
        "schedule",
        "seed",
        "status",
        "step",
        "train_loss",
        "validation_loss",
        "validation_accuracy",
    ]
    assert members["status"].tolist() == ["finished", "diverged", "finished", "waiting", "waiting"]
    assert members["step"].tolist() == [8, 6, 8, 0, 0]
    assert members["seed"].tolist() == [0, 0, 0, 1, 1]
    assert members["lr"].tolist() == [0.1, 1 / 3, 0.5, 0.1, 1 / 3]
    assert members["member"].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(members["validation_loss"], [tiny, np.nan, np.inf, np.nan, np.nan])
    assert members["validation_loss"].dtype == np.float64
    assert store.blocks()[0].seconds == 1.0


def test_an_empty_store_has_empty_tables(path: Path) -> None:
    store = Store.create(path, {})
    assert len(store.members()) == len(store.curves()) == len(store.blocks()) == 0
    assert [str(t) for t in store.curves().dtypes][:2] == ["int64", "int64"]
    store.close()


def test_a_block_that_repeats_its_steps_replaces_its_points(store: Store) -> None:
    store.record(1, 4, values([1, 2, 3]), ALIVE, 0)
    store.record(1, 8, values([1, 2, 3]), ALIVE, 0)
    store.record(1, 4, values([4, 5, 6]), ALIVE, 0)  # begun afresh
    assert store.blocks()[0].step == 8
    assert len(store.curves()) == 12
    curves = store.curves().query("metric == 'validation_loss' and step == 4")
    assert curves["value"].tolist() == [4, 5, 6]


# Refusals


def text(path: Path, good: bytes) -> None:
    path.write_text("dear diary\n" * 50)


def empty(path: Path, good: bytes) -> None:
    path.write_bytes(b"")


def foreign(path: Path, good: bytes) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE meta (key, value)")
    db.commit()
    db.close()


def half(path: Path, good: bytes) -> None:
    path.write_bytes(good[: len(good) // 2])


def ten_bytes(path: Path, good: bytes) -> None:
    path.write_bytes(good[:10])


def page_lost(path: Path, good: bytes) -> None:
    path.write_bytes(good[:4096] + bytes(4096) + good[8192:])


def schema_lost(path: Path, good: bytes) -> None:
    path.write_bytes(good[:100] + b"\xff" * 3996 + good[4096:])


def other_version(path: Path, good: bytes) -> None:
    path.write_bytes(good[:60] + (7).to_bytes(4, "big") + good[64:])


DAMAGES = [text, empty, foreign, half, ten_bytes, page_lost, schema_lost, other_version]
WORDS = {
    text: "is not a thalweg store",
    empty: "is not a thalweg store",
    foreign: "is another program's database",
    half: "cannot be read as a store",
    ten_bytes: "is not a thalweg store",
    page_lost: "cannot be read as a store",
    schema_lost: "cannot be read as a store",
    other_version: "is a store of version 7, and this thalweg reads versions 1 to 3",
}


@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_refused_and_left_as_it_was(
    damage: Callable[[Path, bytes], None], write: bool, tiny: Study, tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    damage(path, tiny.path.read_bytes())
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"study.db {WORDS[damage]}.*left as it was") as caught:
        Store.open(path, write).meta("plan")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    with pytest.raises(StoreError, match=r"study\.db "):
        Store.create(path, {})
    assert path.read_bytes() == before
    assert not [name for name in snapshot(tmp_path) if "new" in name or "lock" in name]


def test_damage_anywhere_is_a_sentence(tiny: Study, tmp_path: Path) -> None:
    """Overwrite sixteen bytes here and there: reading works or says that it does not, and never crashes."""
    good, path = tiny.path.read_bytes(), tmp_path / "study.db"
    rng, refused = np.random.default_rng(0), 0
    for start in rng.integers(100, len(good) - 16, 40).tolist():
        path.write_bytes(good[:start] + rng.bytes(16) + good[start + 16 :])
        try:
            study = Study.open(path)
            study.table(), study.curves(), study.finished, study.plan, study.provenance
        except StoreError:
            refused += 1
        for rest in tmp_path.glob("study.db-*"):
            rest.unlink()
    assert refused > 0


def test_a_store_is_written_only_where_sqlite_finds_it_whole(tiny: Study, tmp_path: Path) -> None:
    good, path = tiny.path.read_bytes(), tmp_path / "study.db"
    rng, subtle = np.random.default_rng(0), 0
    for start in rng.integers(4096, len(good) - 16, 60).tolist():
        path.write_bytes(good[:start] + rng.bytes(16) + good[start + 16 :])
        try:
            Store.open(path).close()
        except StoreError:
            continue
        finally:
            for rest in tmp_path.glob("study.db-*"):
                rest.unlink()
        db = sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)
        whole = db.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        db.close()
        if not whole:
            subtle += 1
            with pytest.raises(StoreError, match="cannot be read as a store"):
                Store.open(path, write=True)
    assert subtle > 0


def test_folder_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder, not a store"):
        Store.open(tmp_path)
    with pytest.raises(StoreError, match="is a folder, not a store"):
        Store.create(tmp_path, {})
    with pytest.raises(StoreError, match="does not exist; `thalweg compare` makes a store"):
        Store.open(tmp_path / "none.db")
    assert snapshot(tmp_path) == {}


def test_existing_study_is_not_replaced(store: Store, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(StoreError, match="already holds a study; name another file"):
        Store.create(path, {})
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["file/study.db", "file/deep/study.db", "/proc/nowhere/study.db"])
def test_a_place_that_cannot_be_written(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = snapshot(tmp_path)
    with pytest.raises(StoreError, match=r"cannot be written: .*name a file in a folder you can write to"):
        Store.create(tmp_path / place, {})
    assert snapshot(tmp_path) == before


def test_a_store_opened_for_reading_is_not_written(store: Store, path: Path) -> None:
    reader = Store.open(path)
    with pytest.raises(StoreError, match=r"cannot be written .*what it held before is safe"):
        reader.set_meta("plan", 1)
    reader.close()
    assert store.meta("note") == {"é": [1, 2.5, None]}


# Processes


WRITER = """
import sys
from thalweg.errors import StoreError
from thalweg.store.file import Store
store = Store.open(sys.argv[1], write=True)
try:
    with store.writing():
        store.set_meta("who", "other")
except StoreError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
def test_two_writers(store: Store, path: Path) -> None:
    with store.writing():
        second = elsewhere(WRITER, path)
        assert second.returncode == 1
        assert second.stderr.strip().endswith("is being written by another process; wait for it, or stop it.")
        assert store.meta("who") is None
    third = elsewhere(WRITER, path)
    assert (third.returncode, third.stderr) == (0, "")
    assert store.meta("who") == "other"
    assert not path.with_name("study.db.lock").exists()


@pytest.mark.slow
@pytest.mark.parametrize("through", ["file", "folder"])
def test_two_writers_through_a_symlink(through: str, store: Store, path: Path) -> None:
    link = path.with_name("link.db") if through == "file" else path.parent.with_name("link") / path.name
    link.symlink_to(path) if through == "file" else link.parent.symlink_to(path.parent)
    other = Store.open(link, write=True)
    with store.writing():
        assert "is being written by another process" in elsewhere(WRITER, link).stderr
    with other.writing():
        assert "is being written by another process" in elsewhere(WRITER, path).stderr
        other.save_checkpoint(1, 4, save({"w": torch.ones(2)}))
    (row, _) = store.blocks()
    assert store.load_checkpoint(row) is not None
    assert path.with_name(f"{path.name}.checkpoints").is_dir()
    assert not list(link.parent.glob("link.db?*"))
    other.close()


def test_a_store_with_two_names_is_not_written(store: Store, path: Path) -> None:
    twin = path.with_name("twin.db")
    store.close()
    twin.hardlink_to(path)
    before = path.read_bytes()
    for name in (path, twin):
        with pytest.raises(StoreError, match=r"has 2 names \(hard links\), .* copy it or remove the other"):
            Store.open(name, write=True).writing().__enter__()
        assert Store.open(name).meta("problem") == {"name": "hills"}
    assert path.read_bytes() == before
    twin.unlink()
    with Store.open(path, write=True).writing():
        pass


@pytest.mark.parametrize("length", [236, 244, 251, 255, 300])
def test_a_name_that_is_too_long(length: int, tmp_path: Path) -> None:
    name = "s" * (length - 3) + ".db"
    if length == 236:  # every file beside the store has room
        made = Store.create(tmp_path / name, {})
        made.add_blocks("search", [(0, SETTINGS)])
        made.save_checkpoint(1, 4, save({"w": torch.ones(2)}))
        return
    with pytest.raises(StoreError, match="File name too long"):
        Store.create(tmp_path / name, {})
    assert os.listdir(tmp_path) == []


READER = """
import json, sys
from thalweg.store.file import Store
store = Store.open(sys.argv[1])
print(json.dumps([len(store.curves()), store.curves().query("metric == 'validation_loss'")["value"].tolist()]))
"""


@pytest.mark.slow
def test_another_process_reads_while_one_writes(store: Store, path: Path) -> None:
    store.record(1, 4, values([1, 2, 3]), ALIVE, 0)
    with store._transaction() as db:
        db.execute("UPDATE blocks SET step = 99")
        db.execute("DELETE FROM curves")
        seen = elsewhere(READER, path)
        assert (seen.returncode, seen.stderr) == (0, "")
        assert json.loads(seen.stdout) == [6, [1, 2, 3]]
    assert json.loads(elsewhere(READER, path).stdout) == [0, []]


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_transactions(store: Store, path: Path) -> None:
    code = """
import os, signal, sys
import numpy as np
from thalweg.store.file import Store
store = Store.open(sys.argv[1], write=True)
store.record(1, 4, {"validation_loss": np.ones(3)}, np.array([-1, -1, -1]), 1.0)
with store._transaction() as db:
    db.execute("DELETE FROM curves")
    db.execute("UPDATE blocks SET status = 'finished'")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    store.close()
    assert elsewhere(code, path).returncode == -9
    again = Store.open(path)
    assert [b.status for b in again.blocks()] == ["started", "waiting"]
    assert again.curves()["value"].tolist() == [1, 1, 1]
    again.close()


def test_a_transaction_that_fails_midway_changes_nothing(store: Store) -> None:
    store.record(1, 4, values([1, 2, 3]), ALIVE, 1)
    before = store.curves(), store.members(), store.blocks()
    store._db.execute("CREATE TRIGGER full BEFORE UPDATE ON blocks BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(StoreError, match=r"cannot be written \(disk full\); what it held before is safe"):
        store.record(1, 8, values([4, 5, 6]), np.array([5, 5, 5]), 1, finished=True)
    after = store.curves(), store.members(), store.blocks()
    pd.testing.assert_frame_equal(before[0], after[0])
    pd.testing.assert_frame_equal(before[1], after[1])
    assert before[2] == after[2]
    store._db.execute("DROP TRIGGER full")
    store.record(1, 8, values([4, 5, 6]), ALIVE, 1, finished=True)
    assert store.blocks()[0].status == "finished"


def test_blocks_are_read_whole_while_one_is_halved(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store.blocks()[0]
    halves = [Compacted(first.id, [(first.id, 0)], "waiting"), Compacted(9, [(first.id, 1), (first.id, 2)], "waiting")]
    worker = threading.Thread(target=lambda: store.compact([first], halves, {}))
    read = store_module._levels

    def meanwhile(further: str) -> Any:  # between the two queries
        if not worker.ident:
            worker.start()
            worker.join(timeout=0.5)  # it has to wait for the reader
        return read(further)

    monkeypatch.setattr(store_module, "_levels", meanwhile)
    assert store.blocks()[0] == first
    worker.join()
    assert [(row.id, row.settings) for row in store.blocks()] == [
        (1, tuple(SETTINGS[:1])),
        (2, tuple(SETTINGS[:2])),
        (9, tuple(SETTINGS[1:])),
    ]


def test_values_on_parts_of_the_samples_move_with_their_members(store: Store) -> None:
    first = store.blocks()[0]
    tables = {step: np.arange(6.0).reshape(3, 2) + step for step in (4, 8)}
    for step, table in tables.items():
        store.record(first.id, step, values([1, 2, 3]), ALIVE, 1, parts={"validation_loss": table})
    before = store.parts()["validation_loss"]
    assert before.to_numpy().tolist() == tables[8].tolist()
    halves = [Compacted(first.id, [(first.id, 1)], "waiting"), Compacted(9, [(first.id, 2), (first.id, 0)], "waiting")]
    store.compact([first], halves, {})
    after = store.parts()["validation_loss"]
    assert sorted(after.to_numpy().tolist()) == sorted(before.to_numpy().tolist())
    losses = store.members().set_index("member")["validation_loss"]
    assert after[0].tolist() == [(loss - 1) * 2 + 8 for loss in losses[after.index]]  # as recorded


# Checkpoints


STATE = {"weight.0": torch.arange(6.0).reshape(2, 3), "step": torch.tensor(7)}


def saved(store: Store) -> dict[str, torch.Tensor] | None:
    content = store.load_checkpoint(store.blocks()[0])
    return None if content is None else load(content)


def test_checkpoint_round_trip_and_replacement(store: Store) -> None:
    assert saved(store) is None
    store.save_checkpoint(1, 7, save(STATE))
    store.save_checkpoint(2, 7, save(STATE))
    store.save_checkpoint(1, 9, save({**STATE, "step": torch.tensor(9)}))
    found = saved(store)
    assert found is not None
    assert found["step"] == 9
    assert torch.equal(found["weight.0"], STATE["weight.0"])
    assert len(list(store.checkpoints.iterdir())) == 2
    store.record(1, 9, {}, np.array([-1, -1]), 0.1, finished=True)
    assert [p.name[:3] for p in store.checkpoints.iterdir()] == ["2-7"]
    store.record(2, 9, {}, np.array([-1, -1]), 0.1, finished=True)
    assert not store.checkpoints.exists()


def test_a_draft_left_behind_by_a_killed_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save_checkpoint(1, 7, save(STATE))

    def killed(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(SystemExit):
        store.save_checkpoint(1, 9, save({**STATE, "step": torch.tensor(9)}))
    monkeypatch.undo()
    assert list(store.checkpoints.glob("*.tmp"))
    found = saved(store)
    assert found is not None
    assert found["step"] == 7
    with store.writing():  # the next process
        assert not list(store.checkpoints.glob("*.tmp"))


def test_a_checkpoint_that_is_lost_or_damaged_is_none(store: Store) -> None:
    store.save_checkpoint(1, 7, save(STATE))
    (file,) = store.checkpoints.iterdir()
    content = file.read_bytes()
    flipped = bytearray(content)
    flipped[-3] ^= 1  # one bit of one number
    for bad in (b"", content[: len(content) // 2], bytes(flipped), b"x" * len(content)):
        file.write_bytes(bad)
        assert saved(store) is None
    file.write_bytes(content)
    assert saved(store) is not None
    file.unlink()
    assert saved(store) is None
    row = store.blocks()[0]
    outside = store.path.parent / "outside.safetensors"
    outside.write_bytes(save(STATE))
    assert store.load_checkpoint(replace(row, checkpoint="../outside.safetensors")) is None


def test_the_folder_may_go_while_a_checkpoint_is_begun(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made, tries = store_module._make_folder, []

    def taken(folder: Path) -> None:  # another worker drops the last checkpoint right after
        made(folder)
        tries.append(folder)
        if len(tries) < 3:
            folder.rmdir()

    monkeypatch.setattr(store_module, "_make_folder", taken)
    store.save_checkpoint(1, 7, save(STATE))
    assert len(tries) == 3
    assert saved(store) is not None


def test_checkpoints_that_cannot_be_written(store: Store) -> None:
    store.checkpoints.write_text("in the way")
    with pytest.raises(StoreError, match=r"checkpoints cannot be written: .*is a file; what .* holds is safe"):
        store.save_checkpoint(1, 7, save(STATE))
    assert store.checkpoints.read_text() == "in the way"


# The first schema


FIRST = Path(__file__).parent / "stores" / "schema-1.db"  # sgd and adam(beta2=0.99), made before other factors varied


@pytest.fixture
def first(tmp_path: Path) -> Path:
    target = tmp_path / "first.db"
    target.write_bytes(FIRST.read_bytes())
    return target


@pytest.mark.slow
def test_a_store_of_the_first_schema_reads_as_it_did(first: Path) -> None:
    study = Study.open(first)
    assert study.finished
    made = study.plan
    assert (made.optimizers, made.schedules) == (("sgd", "adam(beta2=0.99)"), ("cosine", "constant"))
    assert (made.batch_sizes, made["loss"].levels, made.hyperparameters) == ((64,), (None,), ())
    table = study.table()
    assert list(table.columns)[:7] == ["member", "stage", "optimizer", "lr", "schedule", "seed", "status"]
    assert len(table) == 20
    verdict = study.verdict
    assert verdict.sentence == (
        "adam(beta2=0.99) (rate 0.1, cosine) has the lowest validation loss 0.1546 [0.02259, 0.3838] on breast-cancer, "
        "over 2 fresh seeds; sgd may be as good. adam(beta2=0.99) is the safest choice: whichever is truly best, it "
        "costs at most 31% more loss. This is about other seeds on this very split of the data."
    )
    assert all(e.seconds_per_step > 0 for e in verdict.entries)
    along = study.verdict_by("schedule")  # which was not confirmed then
    assert (along.confirmed, along.best.schedule) == (False, "cosine")
    assert "batches of 64" in study.report(first.with_name("report.html")).read_text()
    assert "betas=(0.9, 0.99)" in study.recipe().code
    assert first.read_bytes() == FIRST.read_bytes()


def test_a_study_of_the_first_schema_is_the_same_study(first: Path) -> None:
    asked: dict[str, Any] = {"seeds": 2, "epochs": 2, "confirmation": 2, "store": first, "progress": False}
    one = compare("breast-cancer", ["sgd", "adam(beta2=0.99)"], [0.01, 0.1], ["cosine", "constant"], **asked)
    assert len(one.table()) == 20
    with pytest.raises(StoreError, match=r"already holds another study \(with other batch sizes\)"):
        compare(
            "breast-cancer",
            ["sgd", "adam(beta2=0.99)"],
            [0.01, 0.1],
            ["cosine", "constant"],
            batch_sizes=[16, 64],
            **asked,
        )


@pytest.mark.slow
def test_a_store_of_the_first_schema_is_carried_on_in_it(first: Path) -> None:
    before = Study.open(first).table()
    db = sqlite3.connect(first)
    db.execute("DELETE FROM curves WHERE block IN (SELECT id FROM blocks WHERE stage = 'confirmation')")
    db.execute("DELETE FROM members WHERE block IN (SELECT id FROM blocks WHERE stage = 'confirmation')")
    db.execute("DELETE FROM blocks WHERE stage = 'confirmation'")
    db.execute("DELETE FROM meta WHERE key = 'costs'")
    db.commit()
    db.close()
    assert not Study.open(first).finished
    after = resume(first, progress=False)
    assert after.finished
    table = after.table()
    key = ["stage", "optimizer", "lr", "schedule", "seed"]
    both = before.merge(table, on=key, suffixes=("_before", "_after"))
    assert len(both) == 20
    np.testing.assert_allclose(both["validation_loss_before"], both["validation_loss_after"], rtol=1e-4)
    assert after.verdict_by("schedule").confirmed  # now it is
    assert int.from_bytes(first.read_bytes()[60:64], "big") == 1
