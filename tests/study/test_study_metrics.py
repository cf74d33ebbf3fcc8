"""Losses and metrics in whole small studies: the same stacked, compiled and alone, and metrics that only watch."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import PlanError, ProblemError
from thalweg.problem.prepare import prepare
from thalweg.study.study import Study

torchmetrics = pytest.importorskip("torchmetrics")
WAYS = {"stacked": "stacked", "compiled": "compiled", "alone": False}
FEW: dict[str, Any] = {
    "optimizers": ["sgd", "adam"],
    "rates": [0.01, 0.1],
    "schedules": ["constant"],
    "seeds": 2,
    "epochs": 2,
    "confirmation": 2,
    "progress": False,
}


def picky(outputs: Tensor, targets: Tensor) -> Any:
    """A branch on its data, which no program follows."""
    return outputs.mean() if outputs.mean() > 0 else float(targets.double().mean())


class Words(nn.Module):
    """(samples, positions) → scores (samples, positions, classes), as language models have them."""

    def __init__(self, normal: bool = False) -> None:
        super().__init__()
        self.normal = normal
        self.embed, self.layer = nn.Embedding(7, 8), nn.Linear(8, 7)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.layer(self.embed(x))
        return scores.log_softmax(-1) if self.normal else scores


def problems() -> dict[str, tw.Problem]:
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(240, 5)).astype(np.float32)
    noise = draw.normal(size=(240, 2))
    yes = (inputs[:, :1] + noise[:, :1] > 0).astype(np.float32)
    both = (inputs[:, :2] + noise > 0).astype(int)
    words = draw.integers(0, 7, (240, 6))
    after = np.where(draw.random((240, 6)) < 0.5, (words + 1) % 7, draw.integers(0, 7, (240, 6)))
    f1 = torchmetrics.classification.BinaryF1Score()
    return {
        "bce": tw.Problem(
            lambda: nn.Linear(5, 1), (inputs, yes), loss="BCEWithLogitsLoss",
            metrics=("accuracy", "auc", sk.average_precision_score, f1, picky),
        ),
        "labels": tw.Problem(
            lambda: nn.Linear(5, 2), (inputs, both), loss="bce(pos_weight=(1, 2))", metrics=("f1", "auc", "accuracy")
        ),
        "words": tw.Problem(Words, (words, after), metrics=("accuracy", "perplexity", "top_k(k=3)", "f1")),
        "nll": tw.Problem(
            functools.partial(Words, True), (words, after), loss="NLLLoss",
            metrics=("accuracy", "cross_entropy", functools.partial(sk.f1_score, average="macro")),
        ),
        "values": tw.Problem(
            lambda: nn.Linear(5, 1), (inputs, 3 * inputs[:, :1] + noise[:, :1].astype(np.float32)), loss="MSELoss",
            metrics=("r2", "MAE", sk.r2_score, torchmetrics.R2Score()),
        ),
    }  # fmt: skip


StudyOf = Callable[[str, str], Study]
NAMES = ["bce", "words", *(pytest.param(name, marks=pytest.mark.slow) for name in ("labels", "nll", "values"))]


@pytest.fixture(scope="module")
def study_of(tmp_path_factory: pytest.TempPathFactory) -> StudyOf:
    """A problem's study in one of the ways."""
    folder, given = tmp_path_factory.mktemp("ways"), problems()

    @functools.cache
    def study(name: str, way: str) -> Study:
        return tw.compare(given[name], **FEW, batched=WAYS[way], store=folder / f"{name}-{way}.db")

    return study


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_same_in_each_way(study_of: StudyOf, name: str) -> None:
    tables = {way: study_of(name, way).table() for way in WAYS}
    numbers = [c for c in tables["stacked"] if c.startswith(("validation_", "test_"))]
    assert len(numbers) == 2 * (1 + len(problems()[name].metrics))
    for way in ("compiled", "alone"):
        each = tables["stacked"], tables[way]
        ordered = [t.sort_values(["optimizer", "lr", "seed", "stage"])[numbers] for t in each]
        pd.testing.assert_frame_equal(*(t.reset_index(drop=True) for t in ordered), rtol=2e-3, atol=1e-5)
    validation = [column for column in numbers if column.startswith("validation_")]
    assert np.isfinite(tables["stacked"][validation]).all(axis=None)
    assert study_of(name, "compiled").batching == []


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_plain_torchs(study_of: StudyOf, name: str) -> None:
    """The winner's recipe, run alone in plain PyTorch, ends where its member did."""
    run = study_of(name, "compiled").recipe_run
    assert run is not None
    assert run.largest < 1e-3


@pytest.mark.slow
def test_metrics_of_other_libraries_are_those_of_this_one(study_of: StudyOf) -> None:
    values, words = study_of("values", "compiled").table(), study_of("nll", "compiled").table()
    np.testing.assert_allclose(values["validation_r2"], values["validation_r2_score"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(values["validation_r2"], values["validation_R2Score"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(words["validation_cross_entropy"], words["validation_loss"], rtol=1e-5)
    text = study_of("words", "compiled").table()
    np.testing.assert_allclose(text["validation_perplexity"], np.exp(text["validation_loss"]), rtol=1e-5)


@pytest.mark.slow
def test_a_metric_changes_nothing_of_how_a_model_is_trained(tmp_path: Path) -> None:
    watched = problems()["bce"]
    plain = replace(watched, metrics=())
    studies = [tw.compare(p, **FEW, store=tmp_path / f"{k}.db") for k, p in enumerate((watched, plain))]
    assert studies[0].batching == studies[1].batching == []  # compiled
    losses = [study.table()["validation_loss"] for study in studies]
    assert losses[0].equals(losses[1])


def test_the_ranking_knows_which_end_of_a_metric_is_better(study_of: StudyOf) -> None:
    study = study_of("bce", "compiled")
    metrics = study.verdict.entries[0].metrics
    assert set(metrics) == {"accuracy", "auc", "average_precision_score", "BinaryF1Score"}  # of picky nothing is known
    for name in ("average_precision_score", "BinaryF1Score"):
        verdict = study.verdict_by("optimizer", by_metric=name)
        means = [entry.value.mean for entry in verdict.entries]
        assert means == sorted(means, reverse=True)
    with pytest.raises(PlanError, match=r"the metric 'picky' leaves open which values are better"):
        study.verdict_by("optimizer", by_metric="picky")


def test_intervals_of_a_metric_that_is_no_mean_include_the_samples(study_of: StudyOf) -> None:
    """Two fresh seeds alone agree far better than so few validation samples allow."""
    study = study_of("bce", "compiled")
    runs = study.table().query("stage == 'confirmation'")
    for entry in study.verdict.entries:
        auc = entry.metrics["auc"].value
        values = runs[(runs["optimizer"] == entry.optimizer) & (runs["lr"] == entry.lr)]["validation_auc"]
        assert auc.mean == pytest.approx(values.mean(), rel=1e-6)
        assert auc.high - auc.low > 0.05
        assert entry.test["auc"].high - entry.test["auc"].low > 0.05


@pytest.mark.parametrize("by_metric", ["AUC", "average_precision_score"])
def test_settings_are_chosen_by_any_metric(by_metric: str, tmp_path: Path) -> None:
    problem = problems()["bce"]
    study = tw.compare(problem, **{**FEW, "confirmation": 0}, by_metric=by_metric, store=tmp_path / "by.db")
    again = tw.compare(problem, **{**FEW, "confirmation": 0}, by_metric=by_metric, store=study.path)
    criterion = Study.open(study.path).plan.criterion
    assert (criterion.metric.lower(), criterion.higher) == (by_metric.lower(), True)
    assert again.verdict.entries[0].value.mean == study.verdict.entries[0].value.mean


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "BCELoss"}, r"BCELoss is of probabilities, and bce of scores: leave the sigmoid out"),
        ({"loss": "bce(pos_weight=-1)"}, r"bce: pos_weight is -1; give a number of at least 0, or one"),
        ({"loss": "bce(pos_weight=(1, 2))"}, r"bce has 2 positive weights, and the outputs are \(samples, 1\)"),
        ({"metrics": ("auc", "ROC_AUC")}, r"two metrics are called 'auc'"),
        ({"metrics": ("r2d2",)}, r"'r2d2' is not a metric: did you mean r2"),
        (
            {"metrics": (sk.top_k_accuracy_score, sk.confusion_matrix)},
            r"the metric confusion_matrix fails .* one number",
        ),
        ({"model": lambda: nn.Sequential(nn.Linear(5, 1), nn.Sigmoid())}, r"lie between 0 and 1, as probabilities do"),
    ],
)
def test_what_does_not_fit_is_said(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ProblemError, match=words) as caught:
        prepare(replace(problems()["bce"], **{"metrics": ("f1",), **change}))
    assert "\n" not in str(caught.value)


def test_targets_of_bce_are_from_0_to_1() -> None:
    problem = problems()["values"]
    with pytest.raises(ProblemError, match=r"bce needs targets from 0 to 1, and the train targets run from"):
        prepare(replace(problem, loss="bce"))


def test_scores_are_no_log_probabilities() -> None:
    with pytest.raises(ProblemError, match=r"nll needs log-probabilities, which are at most 0, and the outputs reach"):
        prepare(replace(problems()["words"], loss="nll"))


def test_a_metric_that_fails_in_training_is_missing_and_said(tmp_path: Path) -> None:
    seen = []

    def tired(outputs: Tensor, targets: Tensor) -> float:
        seen.append(len(outputs))
        if len(seen) > 10:
            raise ArithmeticError("enough")
        return 1.0

    problem = replace(problems()["bce"], metrics=(tired, "accuracy"))
    study = tw.compare(problem, **{**FEW, "confirmation": 0}, store=tmp_path / "tired.db")
    assert study.table()["validation_tired"].isna().any()
    assert study.table()["validation_accuracy"].notna().all()
    (said,) = study.batching
    assert re.fullmatch(
        r"the metric tired is missing where it fails \(enough\) at \S*test_study_metrics\.py, line \d+\.", said
    )
