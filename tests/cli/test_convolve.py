"""`thalweg convolve`: numbers, files and formulas, printed, drawn, refused."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import thalweg as tw
from tests.cli import asked

run = partial(asked.run, "convolve")


def test_each_sum_is_written_out() -> None:
    shown = run("1,2,3", "0,1,0.5", "--padding", "full")
    assert "convolution: the kernel is flipped" in shown
    assert "3 with 3 gives 5; stride 1, zeros 2+2" in shown
    rows = [line.split() for line in shown.splitlines()[-5:]]
    assert [float(row[-1]) for row in rows] == np.convolve([1, 2, 3], [0, 1, 0.5]).tolist() == [0, 1, 2.5, 4, 1.5]
    assert rows[2] == ["2", "1·0.5", "+", "2·1", "+", "3·0", "2.5"]
    assert "1·2 + 2·(−1)" in run("1,2", "2,-1", "--cross-correlation")


def test_an_image_and_a_kernel() -> None:
    words = ("1,2,3;4,5,6;7,8,10", "1,0;0,-1")
    assert json.loads(run(*words, "--cross-correlation", "--json"))["values"] == [[-4, -4], [-4, -5]]
    assert json.loads(run(*words, "--json"))["values"] == [[4, 4], [4, 5]]
    shown = run(*words)
    assert [line.split() for line in shown.splitlines()[-2:]] == [["4", "4"], ["4", "5"]]
    assert "3 × 3 with 2 × 2 gives 2 × 2; stride 1, 1, zeros 0+0, 0+0" in shown
    strided = json.loads(run(*words, "--stride", "2,1", "--padding", "1,0", "--json"))["values"]
    assert (
        strided
        == tw.convolve(
            [[1, 2, 3], [4, 5, 6], [7, 8, 10]], [[1, 0], [0, -1]], stride=(2, 1), padding=(1, 0)
        ).values.tolist()
    )
    assert "The first 12 along each axis" in run(",".join(["1"] * 40), "1,1")


def test_files(tmp_path: Path) -> None:
    image = np.arange(30, dtype=np.uint8).reshape(5, 6)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.savetxt(tmp_path / "a.csv", image, delimiter=",")
    np.save(tmp_path / "a.npy", image)
    means = ",".join(["1/9"] * 3)
    for ending in ("png", "csv", "npy"):
        values = json.loads(run(str(tmp_path / f"a.{ending}"), ";".join([means] * 3), "--json"))["values"]
        np.testing.assert_allclose(values, image[1:-1, 1:-1])  # of a plane the mean around a place is its value
    np.savetxt(tmp_path / "row.csv", [[1, 2, 3]], delimiter=",")
    assert json.loads(run(str(tmp_path / "row.csv"), "1,1", "--json"))["values"] == [3, 5]


def test_channels_in_a_file_are_drawn(tmp_path: Path) -> None:
    signal, kernel = np.arange(48).reshape(3, 4, 4), np.ones((1, 3, 3, 3), dtype=int)
    np.save(tmp_path / "x.npy", signal)
    np.save(tmp_path / "k.npy", kernel)
    words = (str(tmp_path / "x.npy"), str(tmp_path / "k.npy"))
    by_hand = [[[int(signal[:, i : i + 3, j : j + 3].sum()) for j in range(2)] for i in range(2)]]
    assert json.loads(run(*words, "--json"))["values"] == by_hand
    assert run(*words, "-o", str(tmp_path / "a.html")).strip() == str(tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size > 1000


def test_formulas() -> None:
    facts = json.loads(run("exp(-x^2)", "exp(-x^2)", "--at", "0,1", "--json"))
    assert facts["values"] == pytest.approx([math.sqrt(math.pi / 2), math.sqrt(math.pi / 2) * math.exp(-0.5)])
    assert "(e^(−x²)) ∗ (e^(−x²)), error at most" in run("exp(-x^2)", "exp(-x^2)", "--at", "0,1")
    bounded = json.loads(run("x", "x", "--at", "1", "--over", "0:1", "--json"))
    assert bounded["values"] == pytest.approx([1 / 6])  # ∫₀¹ τ(1 − τ) dτ


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("1,2", "1,2,3"), "a kernel of 3 is longer than the 2 elements"),
        (("1,2;3", "1"), "rows of 2, 1 numbers"),
        (("a.csv", "1"), "the signal a.csv does not exist"),
        (("1,1e999", "1"), "the signal '1,1e999' is not of finite numbers alone"),
        (("1,2", "exp(-x)"), "'exp(-x)' is read as a function"),
        (("1,nan", "1"), "the signal '1,nan' is not of finite numbers alone"),
        (("1,2", "1", "--padding", "round"), "the padding is 'round'"),
        (("1,a", "1"), "the signal '1,a' cannot be read: 'a' is not a number"),
        (("1,2;3", "1"), "has rows of 2, 1 numbers; give as many in each"),
        (("1,2", "1", "--padding", "1e12"), "the padding is 1000000000000; give a whole number from 0 to 100,000,000"),
        (("1,2", "1", "--padding", "1e8"), "would have 200,000,002 numbers; at most 100,000,000 are allowed"),
        (("1,2", "1", "--stride", "0"), "the stride is 0"),
        (("1,2", "1", "--at", "0"), "at= is for functions"),
        (("x", "x", "--over", "3"), "cannot be read as bounds"),
        (("1,2", "1", "-o", "a.pdf"), "cannot name a picture"),
    ],
)
def test_wrong_use_is_one_sentence(words: tuple[str, ...], said: str) -> None:
    shown = run(*words, status=2)
    assert said in shown
    assert shown.startswith("thalweg: ")
    assert shown.count("\n") == 1
