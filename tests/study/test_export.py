"""A study's tables as other tools read them: written, and read back with those tools."""

from __future__ import annotations

import builtins
import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from thalweg.cli.main import app
from thalweg.errors import PlanError, WorkError
from thalweg.plan.plan import plan
from thalweg.store.file import Store
from thalweg.study import export
from thalweg.study.study import Study, compare


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Levels of every kind, some of which do not apply, and a run that diverged."""
    return compare(
        "breast-cancer",
        ["sgd", "adam"],
        [0.1, 1e30],
        ["constant"],
        seeds=1,
        epochs=2,
        confirmation=1,
        batch_sizes=[64, "full"],
        hyperparameters={"beta2": [0.9, 0.99], "amsgrad": [True, False]},
        store=tmp_path_factory.mktemp("export") / "varied.db",
        progress=False,
    )


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_parquet_is_read_back(varied: Study, tmp_path: Path) -> None:
    runs, curves = varied.export(tmp_path / "new" / "runs.parquet")
    assert (runs.name, curves.name) == ("runs.parquet", "runs.curves.parquet")
    table, read = varied.table(), pd.read_parquet(runs)
    assert list(read.columns) == list(table.columns)
    assert read["batch_size"].tolist() == [str(size) for size in table["batch_size"]]
    for name in ("member", "lr", "optimizer", "seed", "status", "step", "beta2", "validation_loss", "test_loss"):
        pd.testing.assert_series_equal(read[name], table[name], check_exact=True, check_dtype=name != "optimizer")
    assert (read["status"] == "diverged").any()
    assert [None if pd.isna(v) else bool(v) for v in read["amsgrad"]] == [
        None if pd.isna(v) else v for v in table["amsgrad"]
    ]
    pd.testing.assert_frame_equal(pd.read_parquet(curves), varied.curves(), check_exact=True, check_categorical=False)
    about = json.loads(parquet.read_schema(runs).metadata[b"thalweg"])
    assert (about["schema"], about["study"], about["finished"]) == (1, "breast-cancer", True)
    kinds = {field.name: str(field.type) for field in parquet.read_schema(curves)}
    assert (kinds["member"], kinds["step"], kinds["value"]) == ("int64", "int64", "double")
    assert sorted(p.name for p in runs.parent.iterdir()) == ["runs.curves.parquet", "runs.parquet"]


def test_csv_is_read_back_to_the_last_bit(varied: Study, tmp_path: Path) -> None:
    runs, curves = varied.export(tmp_path / "runs.csv")
    read = list(csv.DictReader(runs.read_text().splitlines()))
    losses = [float(row["validation_loss"] or "nan") for row in read]
    np.testing.assert_array_equal(losses, varied.table()["validation_loss"])
    assert [float(row["lr"]) for row in read] == varied.table()["lr"].tolist()
    points = list(csv.DictReader(curves.read_text().splitlines()))
    np.testing.assert_array_equal([float(p["value"] or "nan") for p in points], varied.curves()["value"])
    assert list(points[0]) == ["member", "step", "metric", "value"]


def test_tensorboard_reads_its_events(varied: Study, tmp_path: Path) -> None:
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
    from tensorboard.util.tensor_util import make_ndarray

    (folder,) = varied.export(tmp_path / "logs")
    found = plugin_event_multiplexer.EventMultiplexer()
    found.AddRunsFromDirectory(str(folder))
    found.Reload()
    table, curves = varied.table().set_index("member"), varied.curves()
    assert len(found.Runs()) == len(table)
    for run, held in found.Runs().items():
        member = int(run.rpartition("#")[2])
        own = curves[curves["member"] == member]
        assert {tag for tag in held["tensors"] if tag[0] != "_"} == set(own["metric"])
        for metric, points in own.groupby("metric", observed=True):
            events = found.Tensors(run, metric)
            assert [event.step for event in events] == points["step"].tolist()
            values = [make_ndarray(event.tensor_proto).item() for event in events]
            np.testing.assert_array_equal(values, points["value"].astype(np.float32))
    provider = data_provider.MultiplexerDataProvider(found, str(folder))
    page = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    asked = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=1000)
    asked.allowed_statuses.append(api_pb2.STATUS_UNKNOWN)
    groups = list_session_groups.Handler(context.RequestContext(), page, "study", asked).run().session_groups
    assert len(groups) == len(table)
    for group in groups:
        row, shown = table.loc[int(group.name)], group.hparams
        assert shown["optimizer"].string_value == row["optimizer"]
        assert (shown["lr"].number_value, shown["seed"].number_value) == (row["lr"], row["seed"])
        assert shown["batch_size"].string_value == str(row["batch_size"])
        assert shown["status"].string_value == row["status"]
        assert ("beta2" in shown) == (row["optimizer"] == "adam")
        if row["optimizer"] == "adam":
            assert shown["beta2"].number_value == row["beta2"]
            assert shown["amsgrad"].bool_value is row["amsgrad"]


def test_an_empty_folder_may_be_filled(tiny: Study, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (folder,) = tiny.export(tmp_path / "logs")
    assert len(list(folder.iterdir())) == len(tiny.table())
    assert [p.name for p in tmp_path.iterdir()] == ["logs"]


@pytest.mark.parametrize("name", ["runs.parquet", "runs.curves.parquet", "runs.csv", "runs.curves.csv", "logs"])
def test_nothing_is_replaced(name: str, tiny: Study, tmp_path: Path) -> None:
    there = tmp_path / name
    if name == "logs":
        there.mkdir()
        there = there / "mine"
    there.write_text("mine")
    before = content(tmp_path)
    with pytest.raises(WorkError, match=r"is already there, and is left as it was; name another place, or remove"):
        tiny.export(tmp_path / name.replace(".curves", ""))
    assert content(tmp_path) == before


def test_one_that_appears_meanwhile_is_not_replaced(
    tiny: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = export._csv

    def slow(table: pd.DataFrame, path: Path, study: Study) -> None:
        before(table, path, study)
        (tmp_path / "runs.curves.csv").write_text("mine")

    monkeypatch.setitem(export._TABLES, ".csv", slow)
    with pytest.raises(WorkError, match=r"runs\.curves\.csv is already there"):
        tiny.export(tmp_path / "runs.csv")
    assert content(tmp_path) == {"runs.curves.csv": b"mine"}


def test_a_disk_that_is_full_leaves_nothing(tiny: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(table: pd.DataFrame, path: Path, study: Study) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(export._TABLES, ".csv", full)
    with pytest.raises(WorkError, match=r"runs.csv cannot be written: No space left on device; name a place"):
        tiny.export(tmp_path / "runs.csv")
    assert content(tmp_path) == {}


@pytest.mark.parametrize(("name", "package"), [("runs.parquet", "pyarrow"), ("logs", "tensorboard")])
def test_a_missing_package_is_a_sentence(
    name: str, package: str, tiny: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = builtins.__import__

    def without(module: str, *rest: Any, **more: Any) -> Any:
        if module.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return right(module, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WorkError, match=rf"needs the package {package}; run pip install 'thalweg\[export\]'"):
        tiny.export(tmp_path / name)
    monkeypatch.undo()
    assert content(tmp_path) == {}


def test_what_cannot_be_meant(tiny: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError, match=r"ends in \.xlsx, which is not a form of export: name a \.parquet or"):
        tiny.export(tmp_path / "runs.xlsx")
    monkeypatch.setattr(export, "MOST_RUNS", 10)
    with pytest.raises(PlanError, match=r"has 26 runs, and TensorBoard shows 10 at most; name a \.parquet file"):
        tiny.export(tmp_path / "logs")
    assert content(tmp_path) == {}


def test_a_study_that_has_just_begun(tmp_path: Path) -> None:
    facts = {"problem": {"name": "hills"}, "plan": plan(["sgd"]).to_json(), "provenance": {"started": "2026-01-01"}}
    Store.create(tmp_path / "new.db", facts).close()
    runs, curves = Study.open(tmp_path / "new.db").export(tmp_path / "runs.parquet")
    assert (len(pd.read_parquet(runs)), len(pd.read_parquet(curves))) == (0, 0)


def test_on_the_command_line(tiny: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["export", str(tiny.path), "-o", "runs.parquet"])
    assert (done.exit_code, done.output) == (0, "runs: runs.parquet\ncurves: runs.curves.parquet\n")
    again = CliRunner().invoke(app, ["export", str(tiny.path), "-o", "runs.parquet"])
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)
    folder = CliRunner().invoke(app, ["export", str(tiny.path), "-o", f"logs{os.sep}"])
    assert folder.output == "runs: logs (look at them with `tensorboard --logdir logs`)\n"
    assert CliRunner().invoke(app, ["export", str(tiny.path), "-o", "runs.txt"]).exit_code == 2
