"""Metrics agree with scikit-learn and torchmetrics, by name and as they are, for every layout of classes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import sklearn.metrics as sk
import torch
import torch.nn.functional as F
from torch import Tensor

from thalweg import losses
from thalweg.errors import ProblemError

from .cases import draw, ids

torchmetrics = pytest.importorskip("torchmetrics")
COUNT = 60


def scored(classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Scores that know something of the classes."""
    targets = ids(seed, COUNT, high=classes)
    return draw(seed, COUNT, classes) + 2 * F.one_hot(targets, classes), targets


def answered(columns: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    targets = ids(seed, COUNT, columns, high=2).double()
    return draw(seed, COUNT, columns) + 2 * targets - 1, targets


def chances(outputs: Tensor) -> Any:
    return outputs.softmax(1).numpy()


OF_CLASSES: dict[str, Callable[[Any, Any], float]] = {
    "accuracy": lambda x, y: sk.accuracy_score(y, x.argmax(1)),
    "top_k(k=2)": lambda x, y: sk.top_k_accuracy_score(y, x.numpy(), k=2),
    "f1": lambda x, y: sk.f1_score(y, x.argmax(1), average="macro"),
    "f1(average='micro')": lambda x, y: sk.f1_score(y, x.argmax(1), average="micro"),
    "f1(average='weighted')": lambda x, y: sk.f1_score(y, x.argmax(1), average="weighted"),
    "auc": lambda x, y: sk.roc_auc_score(y, chances(x), multi_class="ovr"),
    "perplexity": lambda x, y: float(torch.tensor(sk.log_loss(y, chances(x))).exp()),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("label", OF_CLASSES)
def test_of_classes_as_scikit_learn(label: str, seed: int) -> None:
    outputs, targets = scored(4, seed)
    assert float(losses.get_metric(label)(outputs, targets)) == pytest.approx(OF_CLASSES[label](outputs, targets))


@pytest.mark.parametrize(
    ("label", "truth"),
    [
        ("f1", lambda x, y: sk.f1_score(y, x.argmax(1))),
        ("f1(average='macro')", lambda x, y: sk.f1_score(y, x.argmax(1), average="macro")),
        ("auc", lambda x, y: sk.roc_auc_score(y, chances(x)[:, 1])),
    ],
)
def test_of_two_classes(label: str, truth: Any) -> None:
    outputs, targets = scored(2)
    assert float(losses.get_metric(label)(outputs, targets)) == pytest.approx(truth(outputs, targets))


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize(
    ("label", "truth"),
    [
        ("accuracy", lambda x, y: sk.accuracy_score(y.flatten(), (x > 0).flatten())),
        ("f1", lambda x, y: sk.f1_score(y, x > 0, average="macro" if x.shape[1] > 1 else "binary")),
        ("f1(average='micro')", lambda x, y: sk.f1_score(y.flatten(), (x > 0).flatten())),
        ("auc", lambda x, y: sk.roc_auc_score(y, x)),
        ("accuracy(threshold=1)", lambda x, y: sk.accuracy_score(y.flatten(), (x > 1).flatten())),
    ],
)
def test_of_yes_and_no(label: str, truth: Any, columns: int) -> None:
    outputs, targets = answered(columns)
    expected = truth(outputs, targets)
    for form in (targets, targets.long()):
        assert float(losses.get_metric(label)(outputs, form)) == pytest.approx(expected)


def test_ties_count_half_and_a_missing_class_has_no_area() -> None:
    outputs, targets = draw(0, COUNT, 1).round(), ids(1, COUNT, 1, high=2)
    assert float(losses.AUC()(outputs, targets)) == pytest.approx(sk.roc_auc_score(targets, outputs))
    assert losses.AUC()(outputs, torch.ones_like(targets)).isnan()


def test_r2_as_scikit_learn() -> None:
    outputs, targets = draw(0, COUNT, 3), draw(1, COUNT, 3) + draw(0, COUNT, 3) + 100
    assert float(losses.R2()(outputs, targets)) == pytest.approx(sk.r2_score(targets, outputs))
    assert losses.R2()(outputs[:, :1], torch.ones(COUNT, 1)).isnan()


@pytest.mark.parametrize("label", ["cross_entropy", "nll", *OF_CLASSES])
def test_classes_on_the_last_axis_are_those_on_axis_1(label: str) -> None:
    """(samples, positions, classes) as language models have it, with positions that do not count."""
    outputs, targets = draw(0, 10, 6, 4).log_softmax(-1), ids(0, 10, 6)
    targets[2, 3:] = -100
    measure: Any = losses.get(label) if label in losses.LOSSES else losses.get_metric(label)
    last = measure(outputs, targets)
    torch.testing.assert_close(last, measure(outputs.movedim(-1, 1), targets))
    valid = targets.flatten() >= 0
    torch.testing.assert_close(last, measure(outputs.flatten(0, 1)[valid], targets.flatten()[valid]))


@pytest.mark.parametrize("label", ["cross_entropy", "nll", "accuracy", "f1", "auc", "perplexity", "top_k(k=2)"])
def test_square_outputs_ask_which_axis_holds_the_classes(label: str) -> None:
    outputs, targets = draw(0, 10, 4, 4).log_softmax(-1), ids(0, 10, 4)
    look_up: Any = losses.get if label in losses.LOSSES else losses.get_metric
    with pytest.raises(
        ProblemError, match=r"cannot tell which axis of the outputs \(samples, 4, 4\) holds the classes"
    ):
        look_up(label)(outputs, targets)
    name, _, rest = label.rstrip(")").partition("(")
    last, first = (look_up(f"{name}({rest}{', ' * bool(rest)}axis={axis})") for axis in (-1, 1))
    torch.testing.assert_close(last(outputs, targets), first(outputs.movedim(-1, 1), targets))
    assert not torch.allclose(last(outputs, targets), first(outputs, targets))


SCIKIT = {
    "log_loss": (sk.log_loss, lambda x, y: sk.log_loss(y, chances(x))),
    "f1_score": (
        functools.partial(sk.f1_score, average="macro"),
        lambda x, y: sk.f1_score(y, x.argmax(1), average="macro"),
    ),
    "balanced_accuracy_score": (sk.balanced_accuracy_score, lambda x, y: sk.balanced_accuracy_score(y, x.argmax(1))),
    "matthews_corrcoef": (sk.matthews_corrcoef, lambda x, y: sk.matthews_corrcoef(y, x.argmax(1))),
    "roc_auc_score": (
        functools.partial(sk.roc_auc_score, multi_class="ovo"),
        lambda x, y: sk.roc_auc_score(y, chances(x), multi_class="ovo"),
    ),
    "hinge_loss": (sk.hinge_loss, lambda x, y: sk.hinge_loss(y, x.numpy())),
}


@pytest.mark.parametrize("name", SCIKIT)
def test_functions_of_scikit_learn_are_given_what_they_ask_for(name: str) -> None:
    function, truth = SCIKIT[name]
    outputs, targets = scored(4)
    assert losses.name_of(function) == name
    assert float(losses.get_metric(function)(outputs, targets)) == pytest.approx(truth(outputs, targets))


@pytest.mark.parametrize(
    ("function", "truth"),
    [
        (sk.f1_score, lambda p, y: sk.f1_score(y, p > 0.5)),
        (sk.roc_auc_score, lambda p, y: sk.roc_auc_score(y, p)),
        (sk.average_precision_score, lambda p, y: sk.average_precision_score(y, p)),
        (sk.brier_score_loss, lambda p, y: sk.brier_score_loss(y, p)),
        (sk.log_loss, lambda p, y: sk.log_loss(y, p)),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_functions_of_scikit_learn_on_two_classes_and_on_one_score(function: Any, truth: Any) -> None:
    outputs, targets = scored(2)
    metric = losses.get_metric(function)
    assert float(metric(outputs, targets)) == pytest.approx(truth(chances(outputs)[:, 1], targets.numpy()))
    score, yes = answered(1)
    expected = truth(score.sigmoid().flatten().numpy(), yes.flatten().numpy())
    assert float(metric(score, yes)) == float(metric(score[:, 0], yes[:, 0].long())) == pytest.approx(expected)


def test_functions_of_scikit_learn_on_values() -> None:
    outputs, targets = draw(0, COUNT, 2), draw(1, COUNT, 2)
    for function in (sk.r2_score, sk.median_absolute_error, sk.mean_squared_error):
        assert float(losses.get_metric(function)(outputs, targets)) == pytest.approx(function(targets, outputs))


def test_metrics_of_torchmetrics_as_they_are() -> None:
    of = torchmetrics.classification
    outputs, targets = scored(4)
    for metric, truth in (
        (of.MulticlassF1Score(4), sk.f1_score(targets, outputs.argmax(1), average="macro")),
        (of.MulticlassAUROC(4), sk.roc_auc_score(targets, chances(outputs), multi_class="ovr")),
        (torchmetrics.Accuracy(task="multiclass", num_classes=4), sk.accuracy_score(targets, outputs.argmax(1))),
    ):
        ours = losses.get_metric(metric)
        values = [float(ours(outputs, targets)) for _ in range(2)]  # it keeps nothing of the first call
        assert values == pytest.approx([truth, truth])
    functional = functools.partial(torchmetrics.functional.classification.multiclass_f1_score, num_classes=4)
    assert losses.name_of(functional) == "multiclass_f1_score"
    last = outputs.reshape(20, 3, 4), targets.reshape(20, 3)
    expected = sk.f1_score(targets, outputs.argmax(1), average="macro")
    assert float(losses.get_metric(functional)(*last)) == pytest.approx(expected)
    score, yes = answered(1)
    low = 0.5 + 0.01 * score, yes  # scores from 0 to 1, which torchmetrics alone would take for probabilities
    assert float(losses.get_metric(of.BinaryF1Score())(*low)) == pytest.approx(sk.f1_score(yes, low[0] > 0))
    assert float(losses.get_metric(of.BinaryAUROC())(*scored(2))) == pytest.approx(float(losses.AUC()(*scored(2))))
    values = draw(0, COUNT, 1), draw(1, COUNT, 1)
    assert float(losses.get_metric(torchmetrics.R2Score())(*values)) == pytest.approx(
        float(losses.R2()(*values)), rel=1e-4
    )
    words = draw(0, 5, 6, 4).float(), ids(0, 5, 6)
    perplexity = losses.get_metric(torchmetrics.text.Perplexity())(*words)
    assert float(perplexity) == pytest.approx(float(losses.Perplexity()(*words)))


def test_which_end_is_better_is_known_where_something_says_so() -> None:
    higher = ["accuracy", "F1 score", "auc", "r2", "top_k(k=3)", sk.f1_score, functools.partial(sk.roc_auc_score)]
    lower = ["mae", "mse", "perplexity", "bce", "huber(delta=0.5)", sk.log_loss, sk.mean_squared_error]
    of = torchmetrics.classification
    assert [losses.direction(m) for m in [*higher, of.MulticlassF1Score(4), torchmetrics.R2Score()]] == [-1.0] * 9
    assert [losses.direction(m) for m in [*lower, torchmetrics.MeanSquaredError()]] == [1.0] * 8
    for unknown in (lambda x, y: x, sk.matthews_corrcoef, torchmetrics.functional.mean_squared_error):
        assert losses.direction(unknown) is None


def test_own_metrics_may_give_numbers_and_values_per_sample() -> None:
    outputs, targets = draw(0, COUNT, 2), draw(1, COUNT, 2)
    for own in (lambda x, y: float((x - y).abs().mean()), lambda x, y: (x - y).abs().mean(1), torch.nn.L1Loss()):
        assert float(losses.get_metric(own)(outputs, targets)) == pytest.approx(float(F.l1_loss(outputs, targets)))
    with pytest.raises(ProblemError, match="it returned something of type str"):
        losses.get_metric(lambda x, y: "a")(outputs, targets)
    with pytest.raises(ProblemError, match=r"it returned a tensor of shape \(2,\); it must return one number"):
        losses.get_metric(lambda x, y: x.mean(0))(outputs, targets)
