"""Samples of any form: several inputs, dicts, dataclasses, several targets, weights, and losses that see the model.

Each problem is trained compiled, stacked and alone, with the same curves; and its recipe, a plain PyTorch script,
comes to the same losses as its member.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import thalweg as tw
from thalweg.errors import PlanError, ProblemError
from thalweg.problem.prepare import prepare
from thalweg.samples import Samples, Weighted

from ..cases import mostly_slow

DOUBLE = torch.float64
_draw = torch.Generator().manual_seed(0)
A, B = torch.randn(90, 6, generator=_draw, dtype=DOUBLE), torch.randn(90, 3, generator=_draw, dtype=DOUBLE)
Y = (A[:, 0] * B[:, 0]).unsqueeze(1)
C = (Y[:, 0] > 0).long()
MASK = torch.rand(90, 6, generator=_draw) > 0.2
WEIGHTS = torch.rand(90, generator=_draw, dtype=DOUBLE)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 5, dtype=DOUBLE), nn.Linear(3, 5, dtype=DOUBLE)
        self.value, self.scores = nn.Linear(5, 1, dtype=DOUBLE), nn.Linear(5, 2, dtype=DOUBLE)

    def hidden(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.tanh(self.a(a)) * self.b(b)


class Classes(Net):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.scores(self.hidden(a, b))


class ByName(Net):
    def forward(self, first: Tensor, second: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.scores(self.hidden(first if mask is None else first * mask, second))


class OnePair(Net):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return self.scores(self.hidden(*pair))


class OneDict(Net):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.scores(self.hidden(batch["first"], batch["second"]))


class Fields(NamedTuple):
    first: Tensor
    second: Tensor


@dataclass
class Parts:
    first: Tensor
    second: Tensor


class OneObject(Net):
    def forward(self, batch: Any) -> Tensor:
        return self.scores(self.hidden(batch.first, batch.second))


class Both(Net):
    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(a, b)
        return self.value(hidden), self.scores(hidden)


class Three(Both):
    def forward(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore
        return super().forward(a, b)


@dataclass
class Output:
    logits: Tensor
    hidden: Tensor


class Named(Net):
    def forward(self, a: Tensor, b: Tensor) -> Output:
        hidden = self.hidden(a, b)
        return Output(self.scores(hidden), hidden)


class Variational(nn.Module):
    """A small VAE; it draws in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.spread = nn.Linear(6, 2, dtype=DOUBLE), nn.Linear(6, 2, dtype=DOUBLE)
        self.decode = nn.Linear(2, 6, dtype=DOUBLE)

    def elbo(self, x: Tensor) -> Tensor:
        mean, spread = self.mean(x), self.spread(x)
        noise = torch.randn_like(mean) if self.training else 0
        again = self.decode(mean + noise * (spread / 2).exp())
        return ((again - x) ** 2).sum(1) - 0.5 * (1 + spread - mean**2 - spread.exp()).sum(1)


def both(outputs: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
    return F.mse_loss(outputs[0], targets[0]) + F.cross_entropy(outputs[1], targets[1])


def of_either(outputs: tuple[Tensor, Tensor], targets: Any) -> Tensor:
    return outputs[0].square().mean()


def both_by_name(outputs: tuple[Tensor, Tensor], targets: dict[str, Tensor]) -> Tensor:
    return both(outputs, (targets["value"], targets["class"]))


def of_batch(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch["first"], batch["second"]), batch["labels"], reduction="none")


def of_triple(model: nn.Module, batch: tuple[Any, Tensor, Tensor]) -> Tensor:
    inputs, targets, weights = batch
    return (weights * F.cross_entropy(model(*inputs), targets, reduction="none")).mean()


class Rows(Dataset):
    def __init__(self, row: Callable[[int], Any]) -> None:
        self.row = row

    def __len__(self) -> int:
        return len(A)

    def __getitem__(self, index: int) -> Any:
        return self.row(index)


def row(k: int) -> dict[str, Tensor]:
    return {"first": A[k], "second": B[k], "labels": C[k]}


def loaded() -> dict[str, Any]:
    return {"train": DataLoader(Rows(row), 16, shuffle=True), "validation": Rows(row), "test": Rows(row)}


FORMS: dict[str, dict[str, Any]] = {
    "several inputs": {"model": Classes, "train": ((A, B), C)},
    "a list of inputs": {"model": Classes, "train": ([A, B], C)},
    "inputs by name": {"model": ByName, "train": ({"second": B, "first": A}, C), "metrics": ("accuracy",)},
    "a mask beside them": {"model": ByName, "train": ({"first": A, "second": B, "mask": MASK}, C)},
    "a tuple as it is": {"model": OnePair, "train": ((A, B), C)},
    "a dict as it is": {"model": OneDict, "train": ({"first": A, "second": B}, C)},
    "a named tuple": {"model": OneObject, "train": (Fields(A, B), C)},
    "a dataclass": {"model": OneObject, "train": (Parts(A, B), C)},
    "two targets": {"model": Both, "train": ((A, B), (Y, C)), "loss": both},
    "flat": {"model": Both, "train": (A, B, Y, C), "loss": both},
    "targets by name": {"model": Both, "train": ((A, B), {"value": Y, "class": C}), "loss": both_by_name},
    "an output with logits": {"model": Named, "train": ((A, B), C), "metrics": ("accuracy",)},
    "weights": {"model": Classes, "train": ((A, B), C, WEIGHTS), "metrics": ("accuracy",)},
    "weights of one input": {"model": lambda: nn.Linear(6, 2, dtype=DOUBLE), "train": (A, C, WEIGHTS)},
    "a dict with labels": {"model": ByName, "train": {"first": A, "second": B, "labels": C}},
    "a dataset of dicts": {"model": ByName, "train": Rows(row)},
    "a loader of dicts": {"model": ByName, **loaded()},
    "a loss of the model": {"model": ByName, "train": {"first": A, "second": B, "labels": C}, "loss": of_batch},
    "a loader for a loss of the model": {"model": ByName, **loaded(), "loss": of_batch},
    "a loss of the model and weights": {"model": Classes, "train": ((A, B), C, WEIGHTS), "loss": of_triple},
    "no targets": {"model": Variational, "train": A, "loss": lambda model, batch: model.elbo(batch)},
}


def study(problem: tw.Problem, store: Path, **asked: Any) -> tw.Study:
    asked = {"optimizers": ["sgd", "adam"], "rates": [1e-2], "epochs": 2, "seeds": 1, "confirmation": 1} | asked
    return tw.compare(problem, store=store, progress=False, **asked)


EVERYDAY = ("inputs by name", "no targets")


@pytest.mark.slow
@pytest.mark.share(of=4)
@pytest.mark.parametrize("form", mostly_slow(FORMS, *EVERYDAY))
def test_every_form_trains_alike_in_every_way(form: str, tmp_path: Path) -> None:
    problem, curves = tw.Problem(**FORMS[form], name="form"), {}
    for way, name in (("compiled", "compiled"), ("stacked", "stacked"), (False, "alone")):
        done = study(problem, tmp_path / f"{name}.db", batched=way)
        curves[name] = done.curves().sort_values(["member", "metric", "step"])["value"].to_numpy()
        assert [way[0] for way in done._meta("batching")["ways"]] == [name]
        run = done.recipe_run
        assert run is not None
        assert not run.reason
        assert run.largest < 1e-9, run
    assert np.isfinite(curves["alone"]).any()
    np.testing.assert_allclose(curves["compiled"], curves["alone"], rtol=1e-9, equal_nan=True)
    np.testing.assert_allclose(curves["stacked"], curves["alone"], rtol=1e-9, equal_nan=True)


def test_weights_count_in_training_and_in_judging(tmp_path: Path) -> None:
    """A sample of weight 2 is two samples; one of weight 0 is none."""
    twice = torch.tensor([0, 1, 2] * 30)
    rows = torch.repeat_interleave(torch.arange(90), twice)
    model = lambda: nn.Linear(6, 2, dtype=DOUBLE)  # noqa: E731
    parts = ("train", "validation", "test")
    weighted = tw.Problem(model=model, **dict.fromkeys(parts, (A, C, twice.double())), name="w")
    repeated = tw.Problem(model=model, **dict.fromkeys(parts, (A[rows], C[rows])), name="r")
    one, other = (
        study(problem, tmp_path / f"{problem.name}.db", batch_sizes=["full"], optimizers=["momentum"])
        for problem in (weighted, repeated)
    )
    for metric in ("train_loss", "validation_loss"):
        curves = [s.curves() for s in (one, other)]
        a, b = (c[c["metric"] == metric]["value"].to_numpy() for c in curves)
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "cross_entropy(weight=(1.0, 3.0))"])
def test_chunks_count_as_the_weights_of_their_samples(loss: str) -> None:
    """What an evaluation makes of chunks is what the loss of all samples at once is."""
    measure, model, samples = tw.losses.get(loss), nn.Linear(6, 2, dtype=DOUBLE), Samples(A, Weighted(C, WEIGHTS))
    chunks = [(measure.total(chunk), measure.over(model, chunk).item()) for chunk in samples.split(40)]
    together = sum(total * value for total, value in chunks) / sum(total for total, _ in chunks)
    assert together == pytest.approx(measure.over(model, samples).item(), rel=1e-12)


@pytest.mark.slow
def test_folds_and_resamples_are_drawn_from_trees(tmp_path: Path) -> None:
    problem = tw.Problem(**FORMS["inputs by name"], name="form")
    folded = study(problem, tmp_path / "folds.db", folds=3)
    assert folded.table()["fold"].nunique() == 3
    bag = tw.bag(problem, "adam", lr=0.01, members=3, epochs=2)
    test = prepare(problem).test
    assert bag.predict(test.inputs).shape == (test.size,)
    assert (
        bag.predict({name: t.numpy() for name, t in test.inputs.items()}).tolist() == bag.predict(test.inputs).tolist()
    )
    assert bag.out_of_bag["samples"] > 0


def test_what_changes_a_batch_changes_its_floats(tmp_path: Path) -> None:
    """Images beside ids are moved, alone as in a population; of two tensors of floats none is chosen."""
    images, ids = torch.rand(90, 1, 5, 5, generator=_draw, dtype=DOUBLE), torch.arange(90) % 4

    class Seen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image, self.id = nn.Linear(25, 2, dtype=DOUBLE), nn.Embedding(4, 2, dtype=DOUBLE)

        def forward(self, image: Tensor, id: Tensor) -> Tensor:
            return self.image(image.flatten(1)) + self.id(id)

    problem = tw.Problem(model=Seen, train=({"id": ids, "image": images}, C), name="seen")
    done = study(problem, tmp_path / "moved.db", regularizers=["shift(1)"])
    plain = study(problem, tmp_path / "plain.db")
    assert done.recipe_run.largest < 1e-9
    assert not np.array_equal(done.table()["validation_loss"], plain.table()["validation_loss"])
    for name, words in (
        ("input_noise(0.1)", "changes one tensor of floats, and the inputs hold 2"),
        ("mixup", "mixes inputs"),
    ):
        with pytest.raises(PlanError, match=words):
            study(tw.Problem(**FORMS["several inputs"]), tmp_path / "no.db", regularizers=[name])
    with pytest.raises(PlanError, match="spreads classes, and the targets are of type tuple"):
        study(tw.Problem(**FORMS["two targets"]), tmp_path / "no.db", regularizers=["label_smoothing"])


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "two targets for a loss with a name": (
        {"model": Classes, "train": ((A, B), (Y, C))},
        "compares outputs with one tensor",
    ),
    "outputs without scores": (
        {"model": Both, "train": ((A, B), C)},
        "model returns something of type tuple; .*`logits`",
    ),
    "a loss that gives a tree": (
        {"model": Both, "train": ((A, B), (Y, C)), "loss": lambda outputs, targets: outputs},
        "loss lambda returned something of type tuple; it must return a tensor",
    ),
    "a loss of the model that fails": (
        {"model": Classes, "train": ((A, B), C), "loss": lambda model, batch: model.nothing(batch)},
        "loss lambda fails on the train samples .*nothing",
    ),
    "a loss that is one number, with weights": (
        {"model": Classes, "train": ((A, B), C, WEIGHTS), "loss": lambda outputs, targets: outputs.mean()},
        "lambda gives one number for the whole batch, so samples cannot be weighed",
    ),
    "a metric of the model": (
        {"model": Classes, "train": ((A, B), C), "metrics": (of_batch,)},
        "metric of_batch is a function of the model",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_one_sentence(case: str) -> None:
    given, words = REFUSED[case]
    with pytest.raises(ProblemError, match=words) as caught:
        prepare(tw.Problem(**given))
    assert str(caught.value).count("\n") == 0


def test_an_ensemble_joins_answers_to_one_tensor() -> None:
    with pytest.raises(PlanError, match="several tensors of targets"):
        tw.bag(tw.Problem(**FORMS["two targets"]), "adam", lr=0.01, members=2, epochs=1)
    with pytest.raises(PlanError, match="a loss that sees the model"):
        tw.bag(tw.Problem(**FORMS["no targets"]), "adam", lr=0.01, members=2, epochs=1)


@pytest.mark.slow
def test_probes_take_trees() -> None:
    problem = tw.Problem(**FORMS["inputs by name"])
    torch.manual_seed(0)
    model = ByName()
    assert tw.landscape(model, problem, points=3).losses.shape == (3, 3)
    assert tw.sharpness(model, problem).eigenvalue > 0
    assert tw.range_test(problem, "adam", rates=3, steps=2).losses.shape[0] == 3


def test_samples_are_cut_and_joined() -> None:
    samples = Samples({"first": A, "second": B}, (Y, C))
    few, rest = samples.take(slice(4)), samples.take(slice(4, None))
    assert [t.shape for t in few.joined(rest).leaves] == [t.shape for t in samples.leaves]
    assert [part.size for part in samples.split(40)] == [40, 40, 10]
    assert Samples(A).batch is A
    assert Samples(A, C).batch == (A, C)


def test_flat_samples_are_cut_where_the_inputs_of_the_model_end() -> None:
    ready = prepare(tw.Problem(**FORMS["flat"]))
    assert [t.shape[1:] for t in ready.validation.leaves] == [(6,), (3,), (1,), ()]
    with pytest.raises(ProblemError, match="of type tuple of 4; give a pair"):
        prepare(tw.Problem(model=OnePair, train=(A, B, Y, C), loss=both))
    with pytest.raises(ProblemError, match="two takes 2 of a sample's tensors as inputs and three 3; give samples as"):
        prepare(tw.Problem(model={"two": Both, "three": Three}, train=(A, B, Y, C), loss=of_either))
