"""The parts of an error: as NumPy and the truth have them, and adding up to the error within their interval."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.pictures.files import write
from thalweg.problem.builtin import NOISE, crest
from thalweg.problem.prepare import prepare
from thalweg.resampling.bias_variance import BiasVariance, _interval, entropies, squares
from thalweg.study.study import Study

_DRAWN = torch.Generator().manual_seed(1)
INPUTS = torch.randn(80, 3, generator=_DRAWN)
CLASSES = (INPUTS + 0.5 * torch.randn(80, 3, generator=_DRAWN)).argmax(1)


def net(width: int) -> Any:
    return lambda: nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1))


def classes(**changes: Any) -> tw.Problem:
    return tw.Problem(**{"model": lambda: nn.Linear(3, 3), "train": (INPUTS, CLASSES), "name": "three", **changes})


@pytest.fixture(scope="module")
def sizes() -> BiasVariance:
    """Two models of `wave`: one too stiff for it, one that can follow."""
    return tw.bias_variance("wave", rates=[0.03], models={1: net(1), 16: net(16)}, members=12, epochs=40)


# The formulas


def test_the_parts_of_a_squared_error_are_unbiased_and_add_up() -> None:
    """Answers f + bias + spread of a known size; the estimates' mean over many studies is the truth."""
    rng, found, covered = np.random.default_rng(0), [], []
    for _ in range(400):
        truth = rng.normal(size=(60, 1))
        targets = truth + 0.5 * rng.normal(size=(60, 1))
        answers = truth + 0.3 + 0.4 * rng.normal(size=(5, 60, 1))
        parts = squares(answers, targets, truth, 0.25)
        found.append([parts[name].mean() for name in ("error", "bias", "variance", "noise")])
        rest = parts["bias"] + parts["variance"] + parts["noise"] - parts["error"]
        ends = dict(_interval("rest", rest))
        covered.append(ends["rest_low"] <= 0 <= ends["rest_high"])
    error, bias, variance, noise = np.mean(found, axis=0)
    assert bias == pytest.approx(0.09, abs=0.004)  # without its correction it would be 0.09 + 0.16/5
    assert variance == pytest.approx(0.16, abs=0.003)
    assert error == pytest.approx(0.09 + 0.16 + 0.25, abs=0.01)
    assert noise == 0.25
    assert 0.92 <= np.mean(covered) <= 0.98


def test_without_the_truth_the_bias_holds_the_noise_unless_it_is_known() -> None:
    rng = np.random.default_rng(1)
    answers, targets = rng.normal(size=(4, 30, 2)), rng.normal(size=(30, 2))
    unknown, known = squares(answers, targets, None, None), squares(answers, targets, None, 0.5)
    error = ((answers - targets) ** 2).mean((0, 2))
    np.testing.assert_allclose(unknown["error"], error)
    np.testing.assert_allclose(unknown["bias"] + unknown["variance"], error)
    assert np.isnan(unknown["noise"]).all()
    np.testing.assert_allclose(known["bias"] + 0.5, unknown["bias"])


def test_the_parts_of_a_cross_entropy_are_what_the_divergences_say() -> None:
    rng = np.random.default_rng(2)
    chances = rng.dirichlet(np.ones(4), size=(6, 25))  # (members, samples, classes)
    targets = rng.integers(0, 4, 25)
    parts = entropies(np.log(chances), targets, None)
    middle = np.exp(np.log(chances).mean(0))
    middle /= middle.sum(1, keepdims=True)
    divergence = (middle * (np.log(middle) - np.log(chances))).sum(2).mean(0)
    np.testing.assert_allclose(parts["variance"], divergence, rtol=1e-9)
    np.testing.assert_allclose(parts["bias"], -np.log(middle[np.arange(25), targets]), rtol=1e-9)
    np.testing.assert_allclose(parts["error"], -np.log(chances[:, np.arange(25), targets]).mean(0), rtol=1e-9)
    np.testing.assert_allclose(parts["bias"] + parts["variance"], parts["error"], rtol=1e-9)
    positions = entropies(np.log(chances)[..., None].repeat(3, -1), targets[:, None].repeat(3, 1), 0.1)
    np.testing.assert_allclose(positions["bias"] + 0.1, parts["bias"], rtol=1e-9)


# Models


def test_the_noise_of_wave_is_what_it_says() -> None:
    ready = prepare("wave")
    inputs, targets = ready.test
    left = targets - crest(inputs)
    assert ready.noise == NOISE**2
    assert float(left.var()) == pytest.approx(NOISE**2, rel=0.1)
    assert abs(float(left.mean())) < 0.03


def test_bias_variance_and_noise_add_up_to_the_error_within_the_interval(sizes: BiasVariance) -> None:
    table = sizes.table()
    assert len(table) == 2
    for row in table.to_dict("records"):
        whole = row["bias"] + row["variance"] + row["noise"]
        assert row["rest"] == pytest.approx(whole - row["error"], abs=1e-9)
        assert row["rest_low"] < 0 < row["rest_high"]
        assert row["error_low"] < whole < row["error_high"]
        assert row["noise"] == NOISE**2
    stiff, free = table.to_dict("records")
    assert (stiff["model"], free["model"]) == (1, 16)
    assert stiff["bias_low"] > free["bias_high"]
    assert "noise 0.09" in str(sizes)
    assert "at model 16, over 12 resamples, is bias² " in str(sizes)


def test_every_setting_sees_the_same_resamples_and_only_validation_judges() -> None:
    """Twice the same setting under two names gives the same numbers; the test part may be anything."""
    whole = tw.bias_variance(classes(), ["sgd", "sgd(weight_decay=0.0)"], rates=[0.1], members=4, epochs=3)
    one, other = whole.table().to_dict("records")
    for name in ("error", "bias", "variance"):
        assert one[name] == pytest.approx(other[name], rel=1e-5)
    ready = prepare(classes())
    broken = classes(train=ready.train, validation=ready.validation, test=(INPUTS[:2] * 1e6, CLASSES[:2]))
    again = tw.bias_variance(broken, ["sgd"], rates=[0.1], members=4, epochs=3)
    assert again.table()["error"][0] == one["error"]


def test_classes_and_an_unknown_noise() -> None:
    found = tw.bias_variance(classes(), ["adam"], rates=[0.001, 0.1], members=5, epochs=3)
    table = found.table()
    assert found.measure == "cross-entropy"
    assert not found.known
    assert table["noise"].isna().all()
    np.testing.assert_allclose(table["bias"] + table["variance"], table["error"], rtol=1e-6)
    assert (table["variance"] > 0).all()
    assert "is bias and noise" in str(found)


def test_a_setting_that_diverged_is_shown() -> None:
    found = tw.bias_variance("wave", ["sgd"], rates=[0.01, 1e30], members=3, epochs=2)
    calm, wild = found.table().to_dict("records")
    assert math.isfinite(calm["error"])
    assert (wild["error"], wild["diverged"]) == (math.inf, 3)
    assert math.isnan(wild["bias"])
    assert str(found).startswith("wave: squared error 0.642 at rate 0.01")
    every = replace(found, rows=found.rows.assign(error=math.inf))
    assert str(every) == "Every setting diverged on some resample of wave; try lower rates."


def test_a_study_takes_its_settings_apart(tiny: Study) -> None:
    found = tiny.bias_variance(members=3)
    assert len(found.table()) == len(tiny.plan.settings)
    assert found.varied == ["optimizer", "lr", "schedule"]
    assert len(found.picture("lr").data[1].x) == 2  # type: ignore[attr-defined]


def test_the_picture(sizes: BiasVariance, tmp_path: Path) -> None:
    figure = sizes.picture()
    names = [trace.name for trace in figure.data if trace.name]  # type: ignore[attr-defined]
    assert names == ["error", "bias²", "variance", "noise", "sum of the parts"]
    lines = {trace.name: trace for trace in figure.data}  # type: ignore[attr-defined]
    assert list(lines["error"].x) == ["1", "16"]
    table = sizes.table()
    assert list(lines["sum of the parts"].y) == pytest.approx(list(table["bias"] + table["variance"] + table["noise"]))
    assert write(figure, tmp_path / "parts.png").stat().st_size > 10_000


def test_what_cannot_be_is_a_sentence(sizes: BiasVariance) -> None:
    loader = classes(train=DataLoader(TensorDataset(INPUTS, CLASSES)), validation=(INPUTS, CLASSES))
    for call, words in [
        (lambda: tw.bias_variance(loader), "a DataLoader, which draws its own samples"),
        (lambda: tw.bias_variance("wave", members=1), "members is 1; give a whole number of at least 2"),
        (lambda: tw.bias_variance("wave", noise=-1), "noise is -1; give a number of at least 0"),
        (lambda: tw.bias_variance("wave", models={}), "several models are a mapping of labels to functions"),
        (lambda: sizes.picture("lr"), "'lr' does not vary here; name one of model"),
        (lambda: tw.bias_variance("wave", members=2, epochs=1).picture(), "0 things vary .none."),
    ]:
        with pytest.raises(UsageError, match=words) as caught:
            call()
        assert str(caught.value).endswith(".")
