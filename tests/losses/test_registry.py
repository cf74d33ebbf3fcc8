"""Losses and metrics by name: sentences for what is unknown, labels that are read back, functions of the user's."""

from __future__ import annotations

import dataclasses
import functools
import pickle
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import losses
from thalweg.errors import ProblemError

from .cases import batch

LABELS = [
    *losses.LOSSES,
    "huber(delta=0.5)",
    "cross_entropy(label_smoothing=0.1)",
    "triplet_margin(margin=0.2, swap=True)",
    "cross_entropy(weight=(1, 2, 0.25, 0), ignore_index=3)",
    "cross_entropy(axis=-1, label_smoothing=0.1)",
    "nll(weight=(1, 2, 0.25, 0), axis=-1)",
    "bce(pos_weight=3)",
    "bce(pos_weight=(1, 2, 0.5, 0))",
    "kl_div(reverse=True, outputs='logits')",
    "kl_div(outputs='logits', log_target=True)",
    "mse(reduction='sum')",
    "negative_log_likelihood(distribution='Laplace', fixed={'scale': 0.5})",
    "negative_log_likelihood(outputs=('loc', 'scale'), fixed={}, transform=True)",
]


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_read_back(label: str) -> None:
    loss = losses.get(label)
    again = losses.get(loss.label)
    assert sorted(loss.label) == sorted(label)  # the order of arguments is the class's
    assert again == loss
    assert hash(again) == hash(loss)
    assert str(loss) == losses.name_of(loss) == losses.name_of(label) == loss.label
    assert losses.get(loss) is loss
    assert pickle.loads(pickle.dumps(loss)) == loss


def test_losses_differ_where_their_arguments_do() -> None:
    found = {losses.get(label) for label in LABELS}
    assert len(found) == len(LABELS)
    assert losses.Huber() != losses.L1()
    assert losses.Huber() == losses.get("huber()") == losses.get(" huber ( delta = 1 ) ")
    assert losses.CrossEntropy(torch.tensor([1.0, 2.0])) == losses.CrossEntropy([1, 2])


def test_labels_keep_every_digit() -> None:
    assert losses.get(losses.Huber(0.1 + 0.2).label) == losses.Huber(0.1 + 0.2) != losses.Huber(0.3)


def test_functions_of_torch_are_the_losses_of_that_name() -> None:
    names = {"cross_entropy": F.cross_entropy, "mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}
    names |= {"nll": F.nll_loss, "bce": F.binary_cross_entropy_with_logits}
    for name, function in names.items():
        assert losses.get(function) is losses.get(name)
        assert losses.name_of(function) == name
        outputs, targets = batch(name)
        assert torch.equal(losses.get(name)(outputs, targets), function(outputs, targets))


@pytest.mark.parametrize("kind", ["loss", "metric"])
def test_an_unknown_name_is_answered_with_near_ones(kind: str) -> None:
    look_up, wrong, near = {
        "loss": (losses.get, "crosentropy", "cross_entropy"),
        "metric": (losses.get_metric, "acuracy", "accuracy"),
    }[kind]
    with pytest.raises(ProblemError, match=rf"'{wrong}' is not a {kind}: did you mean {near}"):
        look_up(wrong)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("huber(beta=1)", r"'beta' is not an argument of huber: did you mean delta\? Known: reduction, delta"),
        ("huber(delta=-1)", r"huber: delta is -1; give a number above 0"),
        ("huber(0.5)", r"'huber\(0\.5\)' is not of the form name\(argument=value, …\), e\.g\. cross_entropy\(label_"),
        ("huber(delta=print())", r"is not of the form"),
        ("huber(delta=" + "9" * 3000 + ")", r"huber: delta is 9{60}…; give a number above 0"),
        ("mse(", r"is not of the form"),
        ("", r"'' is not a loss"),
        ("x" * 10_000, r"'x{60}…' is not a loss"),
        ("cross_entropy(weight='ab')", r"the class weights are 'ab'"),
        ("negative_log_likelihood(distribution='os')", r"'os' is not a distribution of torch\.distributions"),
        ("negative_log_likelihood(outputs=3)", r"give outputs= as the name of a parameter of Normal"),
        ("kl_div(outputs=[])", r"kl_div: outputs is \[\]; give 'log_probabilities' or"),
        ("mse(reduction=[])", r"mse: reduction is \[\]; give 'mean' or 'sum' or 'none'"),
        ("negative_log_likelihood(transform='x')", r"transform is 'x'; give True or False"),
        ("negative_log_likelihood(dim=0.5)", r"dim is 0\.5; give a whole number from -64 to 64"),
    ],
)
def test_texts_that_make_no_loss(text: str, words: str) -> None:
    with pytest.raises(ProblemError, match=words) as caught:
        losses.get(text)
    assert len(str(caught.value)) < 1500
    assert "\n" not in str(caught.value)


def test_something_that_is_neither_name_nor_function_is_refused() -> None:
    with pytest.raises(ProblemError, match=r"loss is of type int; give one of cross_entropy, nll, bce, mse, l1, huber"):
        losses.get(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ProblemError, match=r"metric is of type int; give one of .*mae"):
        losses.get_metric(3)  # pyright: ignore[reportArgumentType]


def test_values_per_sample_are_averaged_and_scalars_kept() -> None:
    outputs, targets = batch("mse")
    per_sample = losses.get(lambda o, t: ((o - t) ** 2).mean(dim=1))
    torch.testing.assert_close(per_sample(outputs, targets), F.mse_loss(outputs, targets))
    assert torch.equal(losses.get(torch.nn.MSELoss())(outputs, targets), F.mse_loss(outputs, targets))


def test_own_losses_are_weighed_if_they_give_values_per_sample() -> None:
    outputs, targets = batch("mse")
    weights = torch.tensor([1.0, 1, 1, 0, 0, 0], dtype=torch.float64)
    squares = losses.get(torch.nn.MSELoss(reduction="none"))
    torch.testing.assert_close(squares(outputs, targets, weights), F.mse_loss(outputs[:3], targets[:3]))
    assert squares.per_sample(outputs, targets).shape == (6,)
    with pytest.raises(ProblemError, match=r"MSELoss gives one number for the whole batch, so samples cannot be wei"):
        losses.get(torch.nn.MSELoss())(outputs, targets, weights)


def test_names_of_functions_modules_and_partials() -> None:
    def tilted(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - targets).relu()

    assert losses.name_of(tilted) == losses.name_of(losses.get(tilted)) == "tilted"
    assert losses.name_of(functools.partial(tilted)) == "tilted"
    assert losses.name_of(torch.nn.CrossEntropyLoss()) == "CrossEntropyLoss"
    assert losses.name_of(lambda outputs, targets: outputs) == "lambda"
    assert losses.name_of("mae") == losses.name_of(losses.get_metric("mae")) == "mae"


def test_accuracy_by_hand_with_and_without_positions() -> None:
    outputs = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0], [0.0, 1.0]])
    targets = torch.tensor([0, 1, 1, 1])
    assert losses.accuracy(outputs, targets).item() == 0.75
    by_position = outputs.T.unsqueeze(0)  # (1, classes, positions)
    assert losses.accuracy(by_position, targets.unsqueeze(0)).item() == 0.75


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 20), cut=st.integers(1, 19), seed=st.integers(0, 100))
@pytest.mark.parametrize("name", ["accuracy", "mae", "mse", "top_k(k=2)"])
def test_metrics_of_chunks_average_to_the_metric_of_all(name: str, count: int, cut: int, seed: int) -> None:
    cut = min(cut, count - 1)
    outputs, targets = batch(name, seed, count)
    metric = losses.get_metric(name)
    chunks = metric(outputs[:cut], targets[:cut]) * cut + metric(outputs[cut:], targets[cut:]) * (count - cut)
    torch.testing.assert_close(chunks / count, metric(outputs, targets))


def test_the_page_lists_every_loss() -> None:
    page = (Path(__file__).parents[2] / "docs" / "losses.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)", page, re.MULTILINE))
    assert rows == {*losses.LOSSES, *losses.METRICS}
    for name, loss in {**losses.METRICS, **losses.LOSSES}.items():
        (row,) = re.findall(rf"^\| `{name}(?:\((.*?)\))?` ", page, re.MULTILINE)
        own = [f.name for f in dataclasses.fields(loss) if f.name != "reduction"]
        assert [part.partition("=")[0] for part in row.split(", ") if part] == own


def test_a_class_in_place_of_an_object_is_refused_with_what_makes_one() -> None:
    words = r"CrossEntropyLoss is a class; give an object of it, nn\.CrossEntropyLoss\(\)\."
    for read in (losses.get, losses.get_metric):
        with pytest.raises(ProblemError, match=words):
            read(torch.nn.CrossEntropyLoss)
    with pytest.raises(ProblemError, match=r"an object of it, tw\.losses\.Huber\(\)\."):
        losses.get(losses.Huber)
    torchmetrics = pytest.importorskip("torchmetrics")
    with pytest.raises(ProblemError, match=r"give an object of it, Accuracy\(…\)\.") as caught:
        losses.get_metric(torchmetrics.Accuracy)
    assert "\n" not in str(caught.value)
