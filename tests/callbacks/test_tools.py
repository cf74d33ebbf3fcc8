"""What TensorBoard, MLflow and Weights & Biases read of a study that was logged to them, offline."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.studies import TINY
from thalweg.callbacks.journal import called
from thalweg.callbacks.mlflow import MLflow
from thalweg.callbacks.tensorboard import TensorBoard
from thalweg.callbacks.wandb import WandB
from thalweg.plan.factors import Setting
from thalweg.study.study import Study, compare

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "WANDB_ERROR_REPORTING": "false"}
# What these packages warn of is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")
NAMED: dict[str, Any] = TINY | {"optimizers": ["sgd", "adam(beta2=0.99)"], "schedules": ["constant"]}


def confirmed(study: Study) -> dict[str, Setting]:
    runs = study.table()
    rows = runs[runs["stage"] == "confirmation"].to_dict("records")
    settings = [Setting(row["optimizer"], row["lr"], row["schedule"]) for row in rows]
    return {called(setting): setting for setting in settings}


def test_tensorboard(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    study = compare(**NAMED, store=tmp_path / "a.db", callbacks=[TensorBoard(tmp_path / "tb")])
    (folder,) = (tmp_path / "tb").iterdir()
    assert {place.name for place in folder.iterdir()} == {"study", *confirmed(study)}

    def read(name: str) -> Any:
        events = accumulator.EventAccumulator(str(folder / name))
        events.Reload()
        return events

    best = study.verdict.best
    events = read(called(best.setting))
    assert [point.step for point in events.Scalars("validation_loss/seed 2")] == [6, 12]
    assert events.Scalars("result/validation_loss")[0].value == pytest.approx(
        events.Scalars("validation_loss/mean")[-1].value
    )
    start = HParamsPluginData.FromString(events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
    assert start.session_start_info.hparams["lr"].number_value == best.lr
    whole = read("study")
    (words,) = whole.Tensors("verdict")
    assert study.verdict.sentence in words.tensor_proto.string_val[0].decode()
    assert whole.Scalars(f"best validation_loss so far/{best.optimizer}")


@pytest.mark.slow
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)  # where artifacts go
    study = compare(**NAMED, store=tmp_path / "a.db", callbacks=[MLflow("sqlite:///ml.db", experiment="mine")])
    study.extend(seeds=1, progress=False)  # in the same runs
    client = mlflow.MlflowClient(tracking_uri="sqlite:///ml.db")
    experiment = client.get_experiment_by_name("mine")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {"a", *confirmed(study)}
    whole, best = runs["a"], runs[called(study.verdict.best.setting)]
    assert {run.data.tags.get("mlflow.parentRunId") for run in runs.values()} == {None, whole.info.run_id}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert whole.data.tags["mlflow.note.content"] == str(study.verdict)
    assert {file.path for file in client.list_artifacts(whole.info.run_id)} == {
        "ranking.csv",
        "runs.csv",
        "verdict.txt",
    }
    assert float(best.data.params["lr"]) == study.verdict.best.lr
    for seed in (2, 3, 4):
        points = client.get_metric_history(best.info.run_id, f"validation_loss/seed {seed}")
        assert [point.step for point in points] == [6, 12]
    runs_now = study.table()
    mine = runs_now[(runs_now["stage"] == "confirmation") & (runs_now["optimizer"] == study.verdict.best.optimizer)]
    mine = mine[mine["lr"] == study.verdict.best.lr]
    assert best.data.metrics["result/validation_loss"] == pytest.approx(mine["validation_loss"].mean())
    assert any(name.startswith("best validation_loss so far/adam_beta2_0.99_") for name in whole.data.metrics)


def contents(log: bytes) -> Iterator[bytes]:
    """The records of one of wandb's files, a log like LevelDB's: 7 bytes of header, and blocks of 32 KiB in which each
    piece has a checksum (4 bytes), a length (2) and a kind (1: whole, 2: first, 3: middle, 4: last)."""
    at, record = 7, b""
    while at + 7 <= len(log):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", log, at + 4)
        record += log[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


@pytest.mark.slow
def test_weights_and_biases(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    study = compare(**NAMED, store=tmp_path / "a.db", callbacks=[WandB("p", "offline", str(tmp_path / "w"))])
    books: dict[str, list[Any]] = {}
    for file in (tmp_path / "w").rglob("*.wandb"):
        records = [Record.FromString(data) for data in contents(file.read_bytes())]
        (first,) = [r.run for r in records if r.WhichOneof("record_type") == "run"][:1]
        books[first.display_name] = records
    assert books.keys() == {"a", *confirmed(study)}

    def values(records: list[Any], kind: str) -> list[dict[str, Any]]:
        rows = [getattr(r, kind) for r in records if r.WhichOneof("record_type") == kind]
        items = [row.item if kind == "history" else row.update for row in rows]
        return [{i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in some} for some in items]

    best = study.verdict.best
    history = values(books[called(best.setting)], "history")
    curve = [(row["step"], row["validation_loss/seed 2"]) for row in history if "validation_loss/seed 2" in row]
    assert [step for step, _ in curve] == [6, 12]
    summary = {name: value for row in values(books["a"], "summary") for name, value in row.items()}
    assert summary["optimizer"] == best.optimizer
    assert summary["validation_loss"] == pytest.approx(best.value.mean)
    assert study.verdict.sentence in summary["verdict"]
    tables = {name.partition("/")[0] for row in values(books["a"], "history") for name in row if name.endswith("nrows")}
    assert tables == {"ranking", "runs"}
