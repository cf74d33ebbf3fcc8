"""Tables are read from frames, records and files; what is not one is refused in a sentence."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import thalweg as tw
from thalweg.errors import ThalwegError, UsageError
from thalweg.ranking.tables import read

from . import tables


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "ndjson", "parquet", "CSV"])
def test_each_form_of_file_gives_the_same_verdict(tmp_path: Path, suffix: str) -> None:
    path, frame = tmp_path / f"runs.{suffix}", tables.mlflow().drop(columns=["start_time", "end_time"])
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow, which reads Parquet, is not installed")
        frame.to_parquet(path)
    elif "json" in suffix:
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    ranked = tw.rank(path)
    assert ranked.name == path.name
    truth = tw.rank(frame)
    assert [str(one.value) for one in ranked.verdict.entries] == [str(one.value) for one in truth.verdict.entries]
    assert ranked.notes == truth.notes


@pytest.mark.parametrize("separator", [",", ";", "\t", "json"])
def test_standard_input_tells_its_form_itself(separator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = tables.plain()
    text = frame.to_json(orient="records", lines=True) if separator == "json" else frame.to_csv(sep=separator)
    data = ("" if separator == "json" else "\ufeff") + str(text)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data.encode())))
    ranked = tw.rank("-")
    assert ranked.name == "these runs"
    assert ranked.columns.settings == ("lr",)
    assert len(ranked.runs.frame) == len(frame)


def test_records_and_columns_are_tables_too() -> None:
    frame = tables.plain()
    for given in (frame.to_dict("records"), frame.to_dict("list")):
        assert tw.rank(given).notes == tw.rank(frame).notes
    assert list(frame.columns) == ["optimizer", "lr", "seed", "val_loss", "val_acc"]


def test_a_line_separator_inside_a_text_does_not_end_a_record(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"optimizer": "a\u2028b", "loss": 1.0}\n\n{"optimizer": "c", "loss": 2.0}', encoding="utf-8")
    assert tw.rank(path).verdict.best.optimizer == "a\\u2028b"


def test_columns_of_several_levels_are_joined() -> None:
    """As Optuna gives them with `multi_index=True`."""
    frame = tables.optuna()
    parts = [("params", n[7:]) if n.startswith("params_") else (n, "") for n in frame.columns]
    assert tw.rank(frame.set_axis(pd.MultiIndex.from_tuples(parts), axis=1)).notes == tw.rank(frame).notes


def test_values_of_every_kind_are_levels() -> None:
    frame = tables.plain()
    kinds: dict[str, Any] = {
        "betas": [[0.9, 0.99]] * len(frame),
        "layers": [{"size": k % 2} for k in frame["seed"]],
        "width": np.where(frame["lr"] > 0.01, np.array([None], dtype=object), 64),
        "nesterov": frame["lr"] > 0.01,
        "kind": pd.Categorical(frame["lr"].map(lambda rate: "small" if rate < 0.05 else "large")),
    }
    changed = frame.assign(
        **kinds, val_loss=frame["val_loss"].astype("Float64"), optimizer=frame["optimizer"].astype("category")
    )
    ranked = tw.rank(changed, settings=["lr", "width", "nesterov", "kind", "betas"])
    best = ranked.verdict.best
    assert (best.optimizer, best.lr) == ("adam", 0.01)
    assert best.further == {"width": 64, "nesterov": False, "kind": "small", "betas": "[0.9, 0.99]"}
    assert tw.rank(changed).columns.settings == ("lr", "layers", "width", "nesterov", "kind")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("runs.csv", b"", "runs.csv is not a table (No columns to parse from file); give .csv, .tsv, "),
        ("runs.csv", b"optimizer,loss\n", "the table has no runs; give one with a row for each."),
        ("runs.csv", b"optimizer,loss\nadam,\xff\xfe\n", "runs.csv is not text in UTF-8; save it as UTF-8."),
        ("runs.csv", b'a,b\n"x,1\n2,3', "runs.csv is not a table ("),
        ("runs.jsonl", b'{"optimizer": "adam"\n', "runs.jsonl is not a table ("),
        ("runs.jsonl", b"[1, 2]\n", "runs.jsonl is not a table (record 1 is [1, 2], not an object)"),
        ("runs.parquet", b"PAR1 and no more", "runs.parquet is not a table ("),
        ("runs.xlsx", b"", "runs.xlsx ends in .xlsx; name a file that ends in .csv, .tsv, .parquet, .jsonl or .ndjson"),
        ("runs", b"", "runs ends in nothing; name a file"),
    ],
)
def test_a_file_that_is_not_a_table_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        tw.rank(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_what_cannot_be_opened_is_a_sentence_and_an_address_is_a_file(tmp_path: Path) -> None:
    for given, said in (
        (tmp_path / "no.csv", "no.csv cannot be read: No such file or directory; name another file."),
        ("https://localhost:1/runs.csv", "cannot be read: No such file or directory"),
        (tmp_path / ("x" * 300 + ".csv"), "cannot be read: File name too long"),
        (3, "runs is of type int, which is not a table"),
        ({"a": [1, 2], "b": [1]}, "runs is of type dict, which is not a table (All arrays must be of the same length"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "the table has two columns 'a'; give each a name of its own."),
    ):
        with pytest.raises(ThalwegError) as error:
            tw.rank(given)  # pyright: ignore[reportArgumentType]
        assert said in str(error.value)


def test_control_characters_are_written_out() -> None:
    frame = tables.plain().rename(columns={"lr": "lr\x1b]0;x\x07"})
    table, name = read(frame)
    assert (list(table.columns)[1], name) == ("lr\\x1b]0;x\\x07", "these runs")
    frame["optimizer"] += "\x1b[31m\u202e\r\n"
    assert tw.rank(frame).verdict.best.optimizer == "adam\\x1b[31m\\u202e\\r\\n"
    assert tw.rank(frame).sentence.isprintable()
