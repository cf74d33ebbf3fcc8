"""`thalweg loss` and `thalweg regularizer`: every one listed, shown and computed by the course's numbers."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest

from tests.cli import asked
from tests.cli.asked import refused
from thalweg.losses import LOSSES
from thalweg.regularizers import REGULARIZERS

run = partial(asked.run, fits=True)


@pytest.mark.parametrize(("command", "names"), [("loss", [*LOSSES, "entropy"]), ("regularizer", list(REGULARIZERS))])
def test_the_catalogue_holds_every_one(command: str, names: list[str]) -> None:
    first = [line.split()[0] for line in run(command).splitlines() if line.strip()]
    assert [name for name in names if name not in first] == []
    facts = json.loads(run(command, "--json"))
    assert [one["name"] for one in facts] == names
    assert all(one["formula"] for one in facts)
    for name in names:
        shown, one = run(command, name), next(one for one in facts if one["name"] == name)
        assert shown.startswith(f"{name}: {one['formula'][:20]}")
        assert all(f"    {argument} " in shown for argument in one["arguments"])


def test_what_an_entry_says() -> None:
    shown = run("loss", "Huber")
    assert 'Huber 1964, "Robust estimation of a location parameter".' in shown
    assert "    delta      1.0      δ > 0, in units of the targets" in shown
    mse = run("loss", "l2")
    assert mse.startswith("mse: (x − y)², the squared error")
    assert "−log likelihood of  Normal" in mse
    assert "also called         MSELoss, mean squared error, L2" in mse
    ridge = run("regularizer", "ridge")
    assert ridge.startswith("l2: (α/2) ‖W‖²")
    assert "acts on      a term added to the loss" in ridge


def test_where_regularizers_act() -> None:
    acts = {one["name"]: one["acts on"] for one in json.loads(run("regularizer", "--json"))}
    assert acts["mixup"] == acts["flip"] == acts["input_noise"] == "the batch"
    assert acts["dropout"] == "the model in training"
    assert acts["weight_noise"] == "the point of the gradient"
    assert acts["clip_norm"] == "the gradient"
    assert acts["swa"] == "the weights that are evaluated"
    assert acts["early_stopping"] == "the length of the run"


@pytest.mark.parametrize(
    ("words", "losses", "mean"),
    [
        (("l1", "--values", "3,11", "--targets", "1,1"), [2, 10], 6),  # |3 − 1|, |11 − 1|
        (("mse", "--values", "3,11", "--targets", "1,1"), [4, 100], 52),
        (("huber(delta=0.5)", "--values", "0.25,4", "--targets", "0,0"), [0.03125, 1.875], 0.953125),
        (("bce", "--values", "0,0", "--targets", "1,0"), [math.log(2)] * 2, math.log(2)),
        (("cross_entropy", "--values", "0,0;0,0", "--targets", "0,1"), [math.log(2)] * 2, math.log(2)),
        (("cross_entropy", "--values", "0,0,0,0", "--targets", "3"), [math.log(4)], math.log(4)),
        (("cross_entropy", "--values", "0,0", "--targets", "0.3,0.7"), [math.log(2)], math.log(2)),
        (("nll", "--values", "-1,-2", "--targets", "1"), [2], 2),
        (("triplet_margin", "--values", "0,0;3,0;0,3.5"), [0.5], 0.5),
    ],
)
def test_values_by_hand(words: tuple[str, ...], losses: list[float], mean: float) -> None:
    facts = json.loads(run("loss", *words, "--json"))
    assert facts["losses"] == pytest.approx(losses, abs=1e-5)
    assert (facts["mean"], facts["sum"]) == pytest.approx((mean, sum(losses)), abs=1e-5)


def test_values_in_the_terminal() -> None:
    lines = [line.split() for line in run("loss", "mse", "--values", "3,11", "--targets", "1,1").splitlines()]
    assert lines[0] == ["sample", "values", "targets", "mse"]
    assert lines[2:] == [["0", "3", "1", "4"], ["1", "11", "1", "100"], ["mean", "52,", "sum", "104"]]


def test_entropy_and_divergence_of_distributions() -> None:
    coin = run("loss", "entropy", "--values", "0.5,0.5").splitlines()
    assert coin[2].split()[-2:] == ["0.69315", "1"]
    die = json.loads(run("loss", "entropy", "--values", "5/6,1/6", "--json"))
    assert die["nats"]["H(P) = −Σ p log p"] == pytest.approx([0.45056], abs=5e-6)
    p, q = (0.36, 0.48, 0.16), (1 / 3, 1 / 3, 1 / 3)
    facts = json.loads(run("loss", "kl", "--targets", "0.36,0.48,0.16", "--values", "1/3,1/3,1/3", "--json"))["nats"]
    forward = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    reverse = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert (forward, reverse) == pytest.approx((0.0853, 0.0975), abs=5e-5)
    assert facts["D(P‖Q), forward"] == pytest.approx([forward])
    assert facts["D(Q‖P), reverse"] == pytest.approx([reverse])
    assert facts["H(P, Q) = −Σ p log q"][0] - facts["H(P) = −Σ p log p"][0] == pytest.approx(forward)
    logs = ("kl_div(outputs='log_probabilities', reverse=True)", "--values", "-1,-1", "--targets", "0.5,0.5")
    reverse = [math.exp(-1) * (-1 - math.log(0.5)) * 2]
    assert json.loads(run("loss", *logs, "--json"))["losses"] == pytest.approx(reverse)
    gone = json.loads(run("loss", "kl", "--values", "1,0", "--targets", "0.5,0.5", "--json"))["nats"]
    assert gone["D(P‖Q), forward"] == [None]  # infinite: Q is 0 where P is not


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("loss", "mseee"), "did you mean mse"),
        (("loss", "--values", "3"), "the loss to compute is missing"),
        (("loss", "mse", "--values", "3"), "compares --values with --targets; give both"),
        (("loss", "mse", "--targets", "3"), "--targets are compared with --values"),
        (("loss", "mse", "--values", "3,4", "--targets", "1"), "there are 2 outputs, and for targets 1"),
        (("loss", "mse", "--values", "3,x", "--targets", "1,1"), "'x' is not a number"),
        (("loss", "mse", "--values", "3,nan", "--targets", "1,1"), "is not of finite numbers alone"),
        (("loss", "mse", "--values", "1,2;3", "--targets", "1,1"), "has rows of 2, 1 numbers"),
        (("loss", "mse", "--values", "none.csv", "--targets", "1"), "none.csv does not exist"),
        (("loss", "entropy", "--values", "0.5,0.6"), "is not a distribution"),
        (("loss", "entropy", "--values", "1", "--targets", "1"), "entropy is of one distribution"),
        (("loss", "kl", "--values", "0.5,0.5", "--targets", "1,0,0"), "give two of one shape"),
        (("loss", "triplet_margin", "--values", "1,2"), "takes three rows"),
        (("loss", "nll", "--values", "1,2", "--targets", "0"), "needs log-probabilities"),
        (("loss", "cross_entropy", "--values", "1,2", "--targets", "5"), "5"),
        (("regularizer", "mixupp"), "did you mean mixup"),
    ],
)
def test_wrong_use_is_one_sentence(words: tuple[str, ...], said: str) -> None:
    assert said in refused(*words)


def test_a_file_without_numbers_is_one_sentence(tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    said = refused("loss", "mse", "--values", str(empty), "--targets", "1")
    assert said.count("the list of values") == 1
    assert "is not of finite numbers alone; give numbers separated by commas" in said
