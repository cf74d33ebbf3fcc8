"""Reports in what a command prints or writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thalweg.problem.printed import Lines, base_of, reader_of


def reports(lines: list[str], metric: str = "loss") -> list[dict[str, float]]:
    found: list[dict[str, float]] = []
    Lines(metric, found.append).read(lines)
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("val_loss=0.31", {"validation_loss": 0.31}),
        ("epoch 3: train loss 0.25, val loss 0.31, val acc 91.5", {"train_loss": 0.25, "validation_loss": 0.31}),
        ("Epoch 3 | Validation loss: 3.1e-1 | lr: 0.1", {"validation_loss": 0.31}),
        ("[1/5] - loss: 0.25 - val_loss: 0.31 - val_accuracy: .9", {"train_loss": 0.25, "validation_loss": 0.31}),
        ('{"eval/loss": 0.31, "global_step": 40, "note": "x"}', {"validation_loss": 0.31, "step": 40.0}),
        ("INFO 12:00:01 eval_loss=0.31 (best 0.2)", {"validation_loss": 0.31}),
        ("loss: 0.31", {"validation_loss": 0.31}),
        ("50%|###  | loss=9\r100%|#####| val_loss=0.31\n", {"validation_loss": 0.31}),
        ("dev-loss = 0.31;", {"validation_loss": 0.31}),
    ],
)
def test_lines_that_people_print(line: str, expected: dict[str, float]) -> None:
    (report,) = reports([line])
    assert expected.items() <= report.items()


@pytest.mark.parametrize(
    "line",
    [
        "train_loss=0.3",
        "Best val loss: 0.2",
        "val_loss=0.31.5",
        "interval_loss=0.3",
        "val_loss",
        "",
        "{",
        "[0.3]",
        '{"val_loss": "low"}',
        '{"val_loss": true}',
    ],
)
def test_lines_that_are_no_reports(line: str) -> None:
    assert reports([line]) == []


def test_a_value_that_is_not_a_number_is_one_that_diverged() -> None:
    assert [str(r["validation_loss"]) for r in reports(["val_loss=nan", "val_loss: -inf", '{"val_loss": NaN}'])] == [
        "nan",
        "-inf",
        "nan",
    ]


def test_another_metric() -> None:
    assert base_of("val_acc") == "accuracy"
    (report,) = reports(["val_loss=0.31 val_acc=0.9 top5=0.99"], "accuracy")
    assert report == {"validation_loss": 0.31, "validation_accuracy": 0.9}


def rows(file: Path, pieces: list[str]) -> list[list[dict[str, float]]]:
    """What is found after each piece that is written, and at the end."""
    found: list[dict[str, float]] = []
    reader, each = reader_of(file, Lines("loss", found.append)), []
    for k, piece in enumerate(pieces):
        with file.open("a") as stream:
            stream.write(piece)
        reader.read([], end=k == len(pieces) - 1)
        each.append(list(found))
        found.clear()
    return each


def test_files_as_they_grow(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.csv", ["epoch,train_loss,val_loss\n0,0.5,\n0,,0.4\n1,,0.", "3\n2,,0.2"]) == [
        [{"validation_loss": 0.4}],
        [{"validation_loss": 0.3}, {"validation_loss": 0.2}],
    ]
    assert rows(tmp_path / "a.tsv", ["val_loss\tval_acc\n0.4\t0.9\n", ""]) == [
        [{"validation_loss": 0.4, "validation_accuracy": 0.9}],
        [],
    ]
    assert rows(tmp_path / "a.jsonl", ['{"val_loss": 0.4}\n{"val_l', 'oss": 0.3}', ""]) == [
        [{"validation_loss": 0.4}],
        [],
        [{"validation_loss": 0.3}],
    ]
    assert rows(tmp_path / "a.log", ["val_loss=0.4\nval_lo", "ss=0.3\n"]) == [
        [{"validation_loss": 0.4}],
        [{"validation_loss": 0.3}],
    ]


@pytest.mark.parametrize("content", [{"val_loss": 0.3, "name": "x"}, [{"val_loss": 0.4}, {"val_loss": 0.3}, 5]])
def test_one_json_at_the_end(content: Any, tmp_path: Path) -> None:
    half = json.dumps(content, indent=1)
    each = rows(tmp_path / "a.json", [half[:5], half[5:]])
    assert each[0] == []
    assert each[1][-1] == {"validation_loss": 0.3}


def test_a_file_that_is_missing_or_binary(tmp_path: Path) -> None:
    for name in ("none.csv", "none.json", "none.log"):
        reader_of(tmp_path / name, Lines("loss", print)).read([], end=True)
    (tmp_path / "a.csv").write_bytes(bytes(range(256)) * 50)
    (tmp_path / "a.json").write_bytes(b"[" * 100_000)
    (tmp_path / "a.log").write_bytes(b"\xff\xfe\n" * 10)
    for name in ("a.csv", "a.json", "a.log"):
        found: list[dict[str, float]] = []
        reader_of(tmp_path / name, Lines("loss", found.append)).read([], end=True)
        assert found == []
