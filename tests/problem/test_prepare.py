"""The gate before training: splits, conversions, and one sentence for each thing that does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from thalweg.errors import ProblemError
from thalweg.problem.data import HELD_OUT, hold_out, tensors_of
from thalweg.problem.declaration import Problem
from thalweg.problem.prepare import Prepared, prepare

GENERATOR = np.random.default_rng(0)
INPUTS = GENERATOR.normal(size=(60, 4))
CLASSES = np.arange(60) % 3
VALUES = INPUTS[:, :1] * 2
X, Y = torch.tensor(INPUTS, dtype=torch.float32), torch.tensor(CLASSES)


def network() -> nn.Module:
    return nn.Linear(4, 3)


def regression() -> nn.Module:
    return nn.Linear(4, 1)


class Rows(Dataset):
    """A map-style data set of numpy rows and python numbers."""

    def __init__(self, inputs: Any = INPUTS, targets: Any = CLASSES) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.inputs[index], self.targets[index].item()


GOOD = Problem(model=network, train=(INPUTS, CLASSES), metrics=("accuracy",))


def change(**changes: Any) -> Problem:
    return dataclasses.replace(GOOD, **changes)


def refused(problem: Problem, words: str) -> None:
    with pytest.raises(ProblemError, match=words) as caught:
        prepare(problem)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def tensors(ready: Prepared) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    assert isinstance(ready.train, tuple)
    return ready.train, ready.validation, ready.test


# Splits


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(count=st.integers(3, 80), classes=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_a_split_is_a_partition_fixed_by_its_seed(count: int, classes: int, seed: int) -> None:
    rows, targets = np.arange(count), np.arange(count) % classes
    rest, held_out = hold_out(targets, HELD_OUT, seed, "train")
    assert sorted([*rest, *held_out]) == list(rows)
    assert len(rest)
    assert len(held_out)
    again = hold_out(targets, HELD_OUT, seed, "train")
    assert all(np.array_equal(one, other) for one, other in zip((rest, held_out), again, strict=True))


def test_a_class_of_one_sample_prevents_stratifying_and_nothing_else() -> None:
    targets = np.array([0] * 29 + [1])
    assert sum(map(len, hold_out(targets, HELD_OUT, 0, "train"))) == 30


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_values_of_any_dtype_are_split(dtype: torch.dtype) -> None:
    ready = prepare(Problem(lambda: regression().to(dtype), (INPUTS, VALUES), loss="mse"))
    assert [len(part[1]) for part in (ready.train, ready.validation, ready.test)] == [38, 10, 12]
    assert ready.test[1].dtype == dtype


def test_missing_parts_are_split_off_by_seed_and_stratified() -> None:
    one, again, other = prepare(GOOD), prepare(GOOD), prepare(change(seed=1))
    assert [len(x) for x, _ in tensors(one)] == [38, 10, 12]
    assert np.bincount(one.test[1]).tolist() == [4, 4, 4]
    assert torch.equal(one.test[0], again.test[0])
    assert not torch.equal(one.test[0], other.test[0])
    assert one.fingerprint == again.fingerprint != other.fingerprint
    rows = torch.cat([x for x, _ in tensors(one)])
    assert torch.equal(rows.sort(0).values, X.sort(0).values)


def test_given_parts_are_kept() -> None:
    ready = prepare(change(test=(INPUTS[:7], CLASSES[:7])))
    assert [len(x) for x, _ in tensors(ready)] == [48, 12, 7]
    ready = prepare(change(validation=(INPUTS[:7], CLASSES[:7])))
    assert [len(x) for x, _ in tensors(ready)] == [48, 7, 12]


# Forms and dtypes


@pytest.mark.parametrize(
    "train",
    [(INPUTS, CLASSES), (X, Y), [X, CLASSES], TensorDataset(X, Y), Rows()],
    ids=["arrays", "tensors", "mixed", "tensor-dataset", "dataset"],
)
def test_every_form_of_the_same_data_is_the_same_problem(train: Any) -> None:
    assert prepare(change(train=train)).fingerprint == prepare(GOOD).fingerprint


def test_validation_loaders_are_read_through_once() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=7)
    ready = prepare(change(validation=loader, test=loader))
    assert torch.equal(ready.validation[0], X)
    assert torch.equal(ready.test[1], Y)


def test_floats_take_the_dtype_of_the_model_and_integers_int64() -> None:
    assert {x.dtype for x, _ in tensors(prepare(GOOD))} == {torch.float32}
    double = prepare(change(model=lambda: network().double(), train=(INPUTS, CLASSES.astype(np.int16))))
    assert {x.dtype for x, _ in tensors(double)} == {torch.float64}
    assert {y.dtype for _, y in tensors(double)} == {torch.int64}
    assert set(double.test[0][:, 0].tolist()) <= set(INPUTS[:, 0].tolist())  # no digit was lost
    values = prepare(change(model=regression, train=(INPUTS, VALUES), loss="mse", metrics=("mae",)))
    assert values.test[1].dtype is torch.float32
    words = prepare(
        change(
            model=lambda: nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(12, 3)),
            train=(CLASSES[:, None] + np.arange(4), CLASSES),
        )
    )
    assert words.test[0].dtype is torch.int64


def test_awkward_arrays_are_copied_and_the_originals_left_alone() -> None:
    swapped = INPUTS.astype(">f8")[::-1]
    swapped.flags.writeable = False
    ready = prepare(change(train=(swapped, CLASSES[::-1])))
    assert sorted(torch.cat([x for x, _ in tensors(ready)])[:, 0].tolist()) == sorted(X[:, 0].tolist())


def test_a_train_loader_is_used_as_it_is_and_not_advanced() -> None:
    def loader() -> DataLoader[Any]:
        return DataLoader(
            TensorDataset(X, Y), 8, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(3)
        )

    mine, untouched = loader(), loader()
    ready = prepare(change(train=mine, validation=(X, Y), test=(X, Y)))
    assert ready.train is mine
    for (x, _), (y, _) in zip(mine, untouched, strict=True):
        assert torch.equal(x, y)
    again = prepare(change(train=loader(), validation=(X, Y), test=(X, Y)))
    assert again.fingerprint == ready.fingerprint
    halves = prepare(change(train=loader(), validation=(X, Y)))
    assert (len(halves.validation[0]), len(halves.test[0])) == (30, 30)


def test_a_loader_of_random_data_has_one_fingerprint() -> None:
    class Noisy(Rows):
        def __getitem__(self, index: int) -> tuple[Any, Any]:
            return X[index] + GENERATOR.random(), int(CLASSES[index])

    found = {prepare(change(train=DataLoader(Noisy(), 8), validation=(X, Y), test=(X, Y))).fingerprint for _ in "ab"}
    assert len(found) == 1


def test_the_random_state_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    prepare(GOOD)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "changed",
    [
        {"train": (INPUTS + np.eye(60, 4), CLASSES)},
        {"train": (INPUTS, (CLASSES + 1) % 3)},
        {"model": lambda: nn.Sequential(nn.Linear(4, 3))},
        {"loss": lambda outputs, targets: outputs.sum(1)},
    ],
    ids=["inputs", "targets", "model", "loss"],
)
def test_the_fingerprint_sees_every_part(changed: dict[str, Any]) -> None:
    assert prepare(change(**changed)).fingerprint != prepare(GOOD).fingerprint


def test_what_is_prepared() -> None:
    ready = prepare(change(loss=lambda o, t: nn.functional.cross_entropy(o, t, reduction="none")))
    assert (ready.name, ready.loss_name, ready.weights, list(ready.metrics)) == ("problem", "lambda", 15, ["accuracy"])
    outputs = ready.model()(X)
    assert torch.allclose(ready.loss(outputs, Y), nn.functional.cross_entropy(outputs, Y))
    frozen = prepare(change(model=lambda: nn.Sequential(nn.Linear(4, 4).requires_grad_(False), network())))
    assert frozen.weights == 15


def test_probabilities_are_targets_of_cross_entropy() -> None:
    soft = np.full((60, 3), 1 / 3)
    assert prepare(change(train=(INPUTS, soft), metrics=())).train[1].shape == (38, 3)  # pyright: ignore


# What does not fit: data


def spoiled(value: float) -> np.ndarray:
    inputs = INPUTS.copy()
    inputs[3:5, 0] = value
    return inputs


class Failing(Rows):
    def __getitem__(self, index: int) -> tuple[Any, Any]:
        raise OSError("disk on fire")


class Trees(Rows):
    """Samples of which the last holds a tensor more."""

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        inputs, target = super().__getitem__(index)
        return ((inputs, inputs) if index == len(self) - 1 else (inputs,)), target


BAD_DATA: dict[str, tuple[Any, str]] = {
    "nan": ((spoiled(np.nan), CLASSES), r"train inputs hold 2 values of 240 that are NaN or infinite"),
    "infinite": ((spoiled(np.inf), CLASSES), r"train inputs hold 2 values"),
    "too large": ((spoiled(1e300), CLASSES), r"train inputs as float32 hold 2 values"),
    "nan targets": ((INPUTS, np.full(60, np.nan)), r"train targets hold 60 values of 60"),
    "empty": ((INPUTS[:0], CLASSES[:0]), r"train inputs are empty, of shape \(0, 4\); give at least one"),
    "lengths": ((INPUTS, CLASSES[:50]), r"60 inputs and 50 targets; give one target for each input"),
    "none": (None, r"train data are of type NoneType; give a pair \(inputs, targets\)"),
    "four": (
        (INPUTS, CLASSES, CLASSES, CLASSES),
        r"train data are of type tuple of 4; give a pair \(inputs, targets\)",
    ),
    "weights below 0": ((INPUTS, CLASSES, -np.ones(60)), r"train weights must be 0 or more, and one of them"),
    "all weights 0": ((INPUTS, CLASSES, np.zeros(60)), r"train weights must be 0 or more, and one of them"),
    "weights of values": ((INPUTS, CLASSES, INPUTS), r"train weights are of shape \(60, 4\); give one number"),
    "few weights": ((INPUTS, CLASSES, np.ones(50)), r"60 inputs and 50 weights; give one row for each sample"),
    "ragged lists": (([[1.0], [1.0, 2.0]] * 30, CLASSES), r"train inputs differ in length .*pad or crop"),
    "two inputs": (((X, X), Y), r"cannot take the train inputs, of type tuple with .*make its first layer"),
    "two lengths": (((X, X[:50]), Y), r"60 inputs\[0\] and 50 inputs\[1\]; give one row for each sample"),
    "no targets": ({"a": X, "b": X}, r"are a dict of 'a', 'b'; call the targets one of labels"),
    "two kinds of targets": ({"a": X, "y": Y, "labels": Y}, r"call the targets one of labels"),
    "an object inside": (({"a": X, "b": object()}, Y), r"train inputs\['b'\] are of type object; give a tensor"),
    "nan inside": (({"a": X * torch.nan}, Y), r"train inputs\['a'\] hold 240 values of 240"),
    "no tensor": (((), Y), r"train data hold no tensor"),
    "trees that differ": (Trees(), r"train samples differ in what they hold \(a tree of 2 .* and a tree of 3"),
    "text": ((np.array(["a"] * 60), CLASSES), r"train inputs are an array of <U1; give floats or integers"),
    "booleans": ((X > 0, Y), r"train inputs are bool; convert them"),
    "sparse": ((X.to_sparse(), Y), r"train inputs are sparse_coo; convert them to dense"),
    "one sample": ((X[:1], Y[:1]), r"too few to split \(1 sample\); give validation="),
    "dictionary": (Rows([{"a": 1}] * 9, CLASSES), r"cannot take the train inputs, of type dict"),
    "ragged": (Rows([np.zeros(i + 1) for i in range(9)], CLASSES), r"samples differ in shape .*pad or crop"),
    "failing": (Failing(), r"to the end \(disk on fire\) at .*test_prepare.py, line \d+; repair the dataset"),
    "high class": ((INPUTS, CLASSES + 1), r"train targets run from 1 to 3, .*allows classes 0 to 2"),
    "negative class": ((INPUTS, CLASSES - 100), r"train targets run from -99 to -98"),
    "float classes": ((INPUTS, CLASSES * 1.0), r"cross_entropy needs integer class ids .*convert them"),
    "column": ((INPUTS, CLASSES[:, None]), r"needs class ids of shape \(samples,\), and .* \(samples, 1\)"),
    "width": ((INPUTS[:, :3], CLASSES), r"cannot take the train inputs, of .*\(samples, 3\).*mat1 and"),
    "integers": ((CLASSES[:, None] + np.arange(4), CLASSES), r"integer inputs are taken as ids"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_do_not_fit(case: str) -> None:
    train, words = BAD_DATA[case]
    refused(change(train=train), words)


@pytest.mark.parametrize("where", ["validation", "test"])
def test_the_other_parts_are_checked_too(where: str) -> None:
    refused(change(**{where: (spoiled(np.nan), CLASSES)}), rf"the {where} inputs hold 2 values")
    refused(change(**{where: (INPUTS, CLASSES + 1)}), rf"the {where} targets run from 1 to 3")
    refused(change(**{where: (INPUTS[:, :2], CLASSES)}), rf"cannot take the {where} inputs")


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        (DataLoader(TensorDataset(X, Y + 1), 8), r"train targets run from 1 to 3"),
        (DataLoader(TensorDataset(X * torch.nan, Y), 8), r"train inputs hold 240 values of 240"),
        (DataLoader(Rows(), 8), r"cannot take the train inputs, .* float64"),
        (DataLoader(Failing(), 8), r"first samples of the train DataLoader's dataset fails .*disk on fire.*line"),
        (DataLoader(Rows([], [])), r"the train DataLoader has no samples"),
        (DataLoader(TensorDataset(X), 8), r"train data are of type list of 1; give a pair \(inputs, targets\)"),
    ],
    ids=["classes", "nan", "double", "failing", "empty", "single"],
)
def test_train_loaders_that_do_not_fit(loader: DataLoader[Any], words: str) -> None:
    refused(change(train=loader, validation=(X, Y), test=(X, Y)), words)


def test_nothing_is_split_off_a_train_loader() -> None:
    refused(change(train=DataLoader(TensorDataset(X, Y), 8)), r"are a DataLoader, .*give validation= and test=")


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True])
def test_seeds_that_are_none(seed: Any) -> None:
    refused(change(seed=seed), r"seed is .*; give a whole number from 0")


# What does not fit: model


def broken() -> nn.Module:
    raise RuntimeError("no such layer\nand more")


SHARED = network()
BAD_MODELS: dict[str, tuple[Any, str]] = {
    "instance": (network(), r"the model is a module of type Linear; give a function .*model=lambda: Linear"),
    "not callable": (3, r"the model is of type int; give a function without arguments"),
    "failing": (
        broken,
        r"model function fails with RuntimeError \(no such layer\) at .*test_prepare\.py, line \d+; it must run",
    ),
    "arguments": (nn.Linear, r"model function fails with TypeError .*missing"),
    "something else": (
        lambda: [3],
        r"model function returned something of type list; it must return a torch\.nn\.Module",
    ),
    "same module": (lambda: SHARED, r"same parameters twice; it must build a fresh module"),
    "same layer": (lambda: nn.Sequential(SHARED), r"same parameters twice"),
    "no parameters": (nn.ReLU, r"0 parameters and none that is trainable"),
    "frozen": (lambda: network().requires_grad_(False), r"2 parameters and none that is trainable"),
    "mixed": (lambda: nn.Sequential(nn.Linear(4, 4), network().double()), r"mixed types \(float32, f"),
    "complex": (lambda: network().to(torch.complex64), r"parameters are complex64; make them real"),
    "lazy": (lambda: nn.LazyLinear(3), r"parameters without values"),
    "meta": (lambda: nn.Linear(4, 3, device="meta"), r"parameters without values"),
    "tuple": (lambda: nn.LSTM(4, 3), r"model returns something of type tuple; let it return a single tensor"),
    "no rows": (lambda: nn.Sequential(network(), nn.Flatten(0)), r"shape \(24,\) .*from 8 samples; .*row"),
}


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.filterwarnings("ignore:Complex modules")
@pytest.mark.parametrize("case", BAD_MODELS)
def test_models_that_do_not_fit(case: str) -> None:
    model, words = BAD_MODELS[case]
    refused(change(model=model), words)


def test_the_error_of_the_model_function_is_chained() -> None:
    with pytest.raises(ProblemError) as caught:
        prepare(change(model=broken))
    assert isinstance(caught.value.__cause__, RuntimeError)


# What does not fit: loss and metrics


def fails(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    raise KeyError("weight")


VECTOR = VALUES[:, 0]
MSE = nn.MSELoss()
BAD_MEASURES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"loss": "cross"}, r"'cross' is not a loss: did you mean"),
    "failing": ({"loss": fails}, r"the loss fails fails on outputs of shape \(samples, 3\).*'weight'"),
    "number": ({"loss": lambda o, t: 3.0}, r"loss lambda returned something of type float; it must return a tensor"),
    "shape": ({"loss": lambda o, t: o.sum(0)}, r"shape \(3,\) for 8 samples; it must return a scalar or one"),
    "detached": ({"loss": lambda o, t: o.detach().sum()}, r"does not depend on the model's parameters"),
    "metric": ({"metrics": ("accurate",)}, r"'accurate' is not a metric: did you mean accuracy"),
    "metric fails": ({"metrics": (fails,)}, r"the metric fails fails"),
    "metrics text": ({"metrics": "accuracy"}, r"metrics are 'accuracy'; give a tuple"),
    "metric twice": ({"metrics": ("accuracy", "accuracy")}, r"two metrics are called 'accuracy'"),
    "vector": (
        {"train": (INPUTS, VECTOR), "model": regression, "loss": "mse", "metrics": ()},
        r"outputs are \(samples, 1\) where the train targets are \(samples,\); reshape the",
    ),
    "vector own": (
        {"train": (INPUTS, VECTOR), "model": regression, "loss": MSE, "metrics": ()},
        r"the loss MSELoss fails .*Using a target size",
    ),
    "wide": (
        {"train": (INPUTS, INPUTS), "model": regression, "loss": "huber", "metrics": ()},
        r"huber needs outputs and targets of one shape.*change the model or the targets",
    ),
    "counts": (
        {"model": regression, "train": (INPUTS, CLASSES[:, None]), "loss": "l1", "metrics": ()},
        r"l1 compares numbers, and the train targets are int64; convert them to floats",
    ),
    "mae on classes": ({"metrics": ("mae",)}, r"mae compares numbers"),
    "accuracy of values": (
        {"train": (INPUTS, VALUES), "model": regression, "loss": "mse"},
        r"accuracy of outputs shaped like the targets asks for targets of 0 and 1, and the validation",
    ),
    "no classes": ({"model": lambda: nn.Sequential(regression(), nn.Flatten(0))}, r"needs scores of shape"),
}


@pytest.mark.parametrize("case", BAD_MEASURES)
def test_measures_that_do_not_fit(case: str) -> None:
    changes, words = BAD_MEASURES[case]
    refused(change(**changes), words)


def test_torch_functions_are_checked_like_their_names() -> None:
    loss: Callable[..., Any] = nn.functional.cross_entropy
    refused(change(train=(INPUTS, CLASSES - 100), loss=loss), r"run from -99 to -98")


def test_a_loader_of_a_part_of_a_part_has_the_rows_it_would_draw() -> None:
    data = TensorDataset(torch.arange(12.0)[:, None], torch.arange(12))
    part = Subset(Subset(data, [7, 3, 9, 1, 5]), [4, 0, 2])
    pair = tensors_of(DataLoader(part))
    assert pair is not None
    inputs, targets = pair
    assert targets.tolist() == [int(part[k][1]) for k in range(3)] == [5, 7, 9]
    assert inputs[:, 0].tolist() == [5, 7, 9]
    assert tensors_of(DataLoader(Subset(TensorDataset(torch.zeros(3)), [0]))) is None


def test_metrics_of_data_without_targets_are_refused() -> None:
    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return nn.functional.cross_entropy(model(batch["input_ids"]), batch["labels"])

    whole = change(train={"input_ids": X, "labels": Y}, loss=loss)
    refused(
        whole,
        r"the metric accuracy compares outputs with targets, and a loss of \(model, batch\) leaves none .* type dict; "
        r"give train=\(inputs, targets\), or leave the metrics out",
    )
    assert prepare(dataclasses.replace(whole, metrics=())).loss_name == "loss"
    pair = change(train=(X, Y), loss=lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]))
    assert list(prepare(pair).metrics) == ["accuracy"]
