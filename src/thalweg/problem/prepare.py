"""A problem made ready to train: data as tensors, loss as a function, every part checked against the others.

`prepare` is the one gate. It builds the model once and runs it on a few samples, so that whatever does not
fit is said in one sentence before a population is planned, and nothing after it has to check again.
Read next: `data.py` (reading and splitting), `checks.py` (what must fit), `../losses.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from .. import losses
from ..errors import ProblemError, TrainingError
from ..numbers import Range
from ..population.draws import recorded
from ..population.sizing import activations_of
from ..samples import Samples, Weighted, call, is_tree, leaves, stars, structure
from . import checks
from .checks import build
from .code import code_of, settings
from .data import SAMPLES, check_finite, sample_of, tensors_of
from .declaration import Problem
from .facts import facts_of
from .find import load
from .layout import USUAL, Layout, given, layout_of
from .metrics import check_metrics
from .networks import fitting
from .parts import Parts, dtype_of, in_order, parts_of
from .preprocessing import Preprocessing
from .reading import reading_of
from .tables import Table, opened

_SEED = Range(0, 2**32 - 1, whole=True)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A checked problem, as the population trains it.

    Attributes:
        name: the problem's.
        model: a function that returns a fresh module.
        loss: (outputs, targets) → scalar, or, `over` a model, samples → scalar; runs under `torch.func.vmap`.
        loss_name: what tables call it.
        metrics: name → (outputs, targets) → scalar.
        train: `Samples`, which are (inputs, targets), or the user's DataLoader.
        validation, test: `Samples`, one row per sample.
        fingerprint: sha256 over data, model and loss; equal for equal problems.
        code: what the user's own code of model, loss and metrics does; see `code`.
        weights: number of trainable parameters.
        source: where the problem came from: kind, spec, text and sha256.
        draws: whether the model draws random numbers in training, as dropout does.
        form: how a script calls the model and the loss, where that is not ``loss(model(inputs), targets)``: ``inputs``
            one, several (positional) or named; ``judged`` the model's outputs, their logits, logits by name, or the
            model on a batch that is a pair, a triple with weights, or a whole.
        order: where the rows of train, and then of validation, stood in the data as given; None for a DataLoader.
        drawn: which of test and validation were split off at random → whether with the proportions of the classes.
        groups: a label for each sample of the pool, if the problem has groups.
        noise, truth: the problem's.
        table, preprocessing: of a problem that was given tables, or something to fit on its training rows.
        reading: how a script without thalweg reads the samples; empty where it cannot.
        models: label → the same problem with that model, where several are compared; empty for one.
        layout: how inputs and targets lie in a batch of a DataLoader.
    """

    name: str
    model: Callable[[], nn.Module]
    loss: losses.Loss = field(repr=False)
    loss_name: str
    metrics: Mapping[str, losses.Measure] = field(repr=False)
    train: Samples | DataLoader[Any] = field(repr=False)
    validation: Samples = field(repr=False)
    test: Samples = field(repr=False)
    fingerprint: str
    weights: int
    source: Mapping[str, str] = field(repr=False)
    code: str = ""
    draws: bool = False
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    order: np.ndarray | None = field(default=None, repr=False)
    drawn: Mapping[str, bool] = field(default_factory=dict)
    groups: np.ndarray | None = field(default=None, repr=False)
    noise: float | None = None
    truth: Callable[[Any], Any] | None = field(default=None, repr=False)
    table: Table | None = field(default=None, repr=False)
    preprocessing: Preprocessing | None = field(default=None, repr=False)
    reading: Mapping[str, Any] = field(default_factory=dict, repr=False)
    models: Mapping[Any, Prepared] = field(default_factory=dict, repr=False)
    layout: Layout = USUAL

    def with_model(self, label: Any) -> Prepared:
        """The problem with the model of that label; None for the only one."""
        return self if label is None else self.models[label]

    @cached_property
    def pool(self) -> Samples:
        """All samples of training and validation, in the order given; preprocessing is fitted on all of them."""
        return self.fitted()[0]

    def fitted(self, training: torch.Tensor | None = None) -> tuple[Samples, Samples]:
        """All samples of training and validation, in the order given, and those of the test part.

        Args:
            training: rows of the first on which preprocessing, if there is any, is fitted; all of them unless given.
        """
        if isinstance(self.train, DataLoader) or self.order is None:
            raise ProblemError("the train data are a DataLoader, which cannot be joined with the validation part.")
        if self.preprocessing is not None:
            return self.preprocessing.fitted(training)
        return in_order(self.train.joined(self.validation), self.order), self.test

    @property
    def facts(self) -> dict[str, Any]:
        """What a store keeps of a problem's tables, or of how its samples were read, in plain values."""
        return facts_of(self.table, self.preprocessing, self.model, self.drawn) | (
            {"reading": self.reading} if self.reading else {}
        )

    def given(self, batch: Any) -> Samples:
        """What the user's DataLoader yields, as samples."""
        return given(batch, "train", self.layout)

    def activations(self, model: nn.Module) -> float:
        """Outputs of the model's layers per sample."""
        return activations_of(model, _first(self.validation), self.loss)


def prepare(problem: Problem | str) -> Prepared:
    """Read the data, build the model once, run it on a few samples and check that all parts fit.

    The global random state is left as it was.

    Raises:
        ProblemError: one sentence on the first part that does not fit.

    >>> ready = prepare("digits")
    >>> ready.weights, tuple(ready.train[0].shape), ready.loss_name
    (4810, (1149, 64), 'cross_entropy')
    """
    problem = load(problem)
    problem = replace(problem, seed=_SEED.check("the problem's seed", problem.seed, ProblemError))
    if isinstance(problem.model, Mapping):
        return _several(problem)
    loss, metrics = losses.get(problem.loss), _metrics(problem)
    problem, table = opened(problem)
    draws = False
    with torch.random.fork_rng(devices=[]):
        name = problem.model if isinstance(problem.model, str) else None
        module = build(problem.model) if name is None else None
        dtype = torch.get_default_dtype() if module is None else dtype_of(module)
        layout = layout_of(problem.loss, module)
        data = parts_of(problem, table, dtype, layout)
        if name is not None:
            problem = replace(problem, model=fitting(name, data.train, () if table is None else table.classes))
        module = build(problem.model) if module is None else module  # some have a length
        if table is not None and table.values:
            data = data.shaped(module)
        train, validation, test = data[:3]
        if isinstance(train, DataLoader):
            sample, train_data = sample_of(train, layout), tensors_of(train)
            for what, part in zip(("inputs", "targets"), train_data or sample, strict=True):
                for tensor in leaves(part):
                    check_finite(tensor, f"train {what}")
        else:
            sample, train_data = _first(train), train
        parts = {"train": train_data or sample, "validation": validation, "test": test}
        for name, few in {**{n: _first(p) for n, p in parts.items()}, "train": sample}.items():
            module.train(name == "train")
            checks.check_loss(problem.loss, module, few, parts[name], name)
            if name == "train":
                draws = _draws(lambda few=few: loss.over(module, few))
        check_metrics(metrics, module, {"validation": validation, "test": test})
        form = _form(loss, module, _first(validation))
        by_itself = table is None and data.preprocessing is None
        reading = reading_of(problem, data, layout, module) if by_itself else {}
    return Prepared(
        **{name: getattr(problem, name) for name in ("name", "model", "source", "noise", "truth")},
        loss=loss,
        loss_name=losses.name_of(loss),
        metrics=metrics,
        **data._asdict(),
        fingerprint=_fingerprint(problem, module, data, train_data, table),
        code=code_of(problem.model, *settings(module), problem.loss, problem.metrics),
        weights=sum(p.numel() for p in module.parameters() if p.requires_grad),
        draws=draws,
        form=form,
        layout=layout,
        table=table,
        reading=reading,
    )


def _several(problem: Problem) -> Prepared:
    """The problem with each of its models, all on the same samples; with the first one where one is needed."""
    ready: dict[Any, Prepared] = {}
    for label, model in checks.labelled(problem.model).items():
        try:
            ready[label] = prepare(replace(problem, model=model))
        except ProblemError as error:
            raise ProblemError("of the models, {label}: {error}", label=label, error=error) from error
    (first, base), *_ = ready.items()
    for label, one in ready.items():
        if [t.dtype for t in one.validation.leaves] != [t.dtype for t in base.validation.leaves]:
            raise ProblemError(
                "the parameters of {first} and {label} are of different types, so they cannot learn from "
                "the same samples; make both float32, e.g. with .float().",
                first=first,
                label=label,
            )
        if structure(one.validation) != structure(base.validation):
            raise ProblemError(
                "{first} takes {inputs} of a sample's tensors as inputs and {label} {inputs2}; give samples "
                "as ((a, b), y).",
                first=first,
                inputs=base.layout.inputs,
                label=label,
                inputs2=one.layout.inputs,
            )
    own = ("model", "weights", "draws", "form")
    models = {label: replace(base, **{name: getattr(one, name) for name in own}) for label, one in ready.items()}
    names = "\n".join(f"{label!r} {one.fingerprint}" for label, one in ready.items())
    digest = hashlib.sha256(names.encode()).hexdigest()
    draws = any(one.draws for one in ready.values())
    code = code_of(*(one.code for one in ready.values()))
    return replace(base, fingerprint=digest, code=code, models=models, draws=draws)


def check_loss(ready: Prepared, loss: losses.Measure) -> None:
    """Refuse a loss that this problem cannot be trained with.

    Raises:
        ProblemError: it does not fit the model's outputs or the targets.
    """
    sample = sample_of_train(ready)
    data = tensors_of(ready.train) if isinstance(ready.train, DataLoader) else ready.train
    with torch.random.fork_rng(devices=[]):
        checks.check_loss(loss, build(ready.model).train(), sample, data or sample, "train")


def sample_of_train(ready: Prepared) -> Samples:
    """A few of the training samples."""
    if isinstance(ready.train, DataLoader):
        with torch.random.fork_rng(devices=[]):
            return sample_of(ready.train, ready.layout)
    return _first(ready.train)


def _form(loss: losses.Loss, module: nn.Module, few: Samples) -> dict[str, str]:
    """What `Prepared.form` says, of a few samples."""
    if isinstance(loss, losses.OfModel):
        weighted = isinstance(few.targets, Weighted)
        judged = "triple" if weighted else "pair" if few.batch is not few.inputs else "whole"
    else:
        with torch.no_grad():
            outputs = call(module, few.inputs)
        by_name = "logits by name" if isinstance(outputs, Mapping) else "logits"
        judged = "outputs" if losses.seen(loss, outputs) is outputs else by_name
    named = {"": "one", "*": "several", "**": "named"}[stars(module, few.inputs)]
    tree = is_tree(few.inputs) or is_tree(few.targets)
    return {} if (named, judged, tree) == ("one", "outputs", False) else {"inputs": named, "judged": judged}


def _draws(call: Callable[[], object]) -> bool:
    """Whether random numbers are drawn; what cannot be repeated is refused when it is trained."""
    try:
        return bool(recorded(call))
    except TrainingError:
        return True


def _metrics(problem: Problem) -> dict[str, losses.Measure]:
    if isinstance(problem.metrics, str) or not isinstance(problem.metrics, tuple | list):
        raise ProblemError(
            "the metrics are {metrics}; give a tuple of names or functions, e.g. ('accuracy',).",
            metrics=repr(problem.metrics),
        )
    metrics: dict[str, losses.Measure] = {}
    for metric in problem.metrics:
        measure, name = losses.get_metric(metric), losses.name_of(metric)
        if name in metrics:
            raise ProblemError("two metrics are called {name}; give each a name of its own.", name=repr(name))
        metrics[name] = measure
    return metrics


def _first(part: Samples) -> Samples:
    return part.take(slice(SAMPLES))


def _fingerprint(
    problem: Problem, module: nn.Module, data: Parts, train_data: Samples | None, table: Table | None
) -> str:
    """Equal for equal problems, in this process and the next: nothing that holds an address goes in."""
    train, parts, digest = data.train, [train_data, data.validation, data.test], hashlib.sha256()
    model = re.sub(r" at 0x[0-9a-f]+", "", repr(module))
    described = [f"{name} {tuple(p.shape)} {p.dtype} {p.requires_grad}" for name, p in module.named_parameters()]
    if isinstance(train, DataLoader):
        described += [type(train.dataset).__qualname__, type(train.sampler).__qualname__]
        described += [str(train.batch_size), str(train.drop_last)]
    digest.update("\n".join([model, losses.name_of(losses.get(problem.loss)), *described]).encode())
    if table is not None:
        digest.update(repr((table.columns, table.target, table.classes)).encode())
    if (made := data.preprocessing) is not None:  # whose last digits may differ from version to version
        digest.update(made.digest())
        parts = [made.pool, made.test, Samples(torch.from_numpy(data.order))]
    for tensor in (tensor for part in parts if part is not None for tensor in part.leaves):
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    if data.groups is not None:
        digest.update(np.unique(data.groups, return_inverse=True)[1].astype("<i8").tobytes())
    return digest.hexdigest()
