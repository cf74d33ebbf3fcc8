"""What is to be learned: `Problem`.

A problem is only declared here; nothing is read or run until `prepare.prepare` checks it. What a problem
was made from (the text of its file or function) travels with it, so that a store can say it years later.
Read next: `find.py`, `prepare.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Problem:
    """Model, data, loss and metrics: what every member of a study learns.

    Args:
        model: a function without arguments that returns a fresh `torch.nn.Module`. A function, because
            each member starts from an initialisation of its own seed. For tables also ``"linear"`` or
            ``"mlp(width=64, layers=2)"``, as wide as the data ask for. Several to compare are a mapping of labels to
            such functions, ``{"plain": plain, "batch norm": normed}``; where one is needed, the first one stands.
        train: a pair (inputs, targets) of tensors or arrays with one row per sample, inputs
            (samples, …); a triple with a weight for each sample, (samples,), so that losses are Σ wᵢ lᵢ / Σ wᵢ; a
            dict with labels; a torch Dataset of such samples, which is read into memory; or a DataLoader, which is used
            unchanged (its own order, batch size, drop_last and dtypes). Inputs and targets may be trees of tensors:
            tuples, lists, dicts, named tuples and dataclasses. The model is called as its `forward` is written:
            ``model(*inputs)``, ``model(**inputs)`` or ``model(inputs)``.
        validation, test: the same forms; a DataLoader is read through once. A missing test part is 20% of
            the training data, a missing validation part 20% of what is left, drawn by `seed` and
            stratified by class where possible. Nothing can be split off a train DataLoader: it needs
            `validation`, half of which becomes the test part if `test` is missing.
        loss: a name of `tw.losses`, with arguments if need be (``huber(delta=0.5)``), one of its objects, or
            a function (outputs, targets) → scalar or per-sample values; or one whose first argument is called `model`,
            (model, batch) → the same, which is given the model and a batch as `train` gives it. Cross-entropy by
            default, as for most networks: outputs (samples, classes, …) or (samples, …, classes), or an object with
            such `logits`, and class ids (samples, …).
        metrics: names (``accuracy``, ``f1``, ``auc``, ``top_k(k=5)``, ``r2``, ``perplexity``, …, or of a loss),
            functions of `sklearn.metrics`, metrics of torchmetrics, or functions (outputs, targets) → a number or
            per-sample values; reported, never minimised.
        groups: one label for each sample of `train`, and then of `validation` if that is given: the patient, the
            speaker, the day; or the name of a table's column. Samples of one group never stand on both sides of a
            split, drawn here or by ``folds=``.
        target: where parts are tables, the name of the column to be learned, or a list of several names. Words (and
            whole numbers under cross-entropy) become class ids, in the order of the alphabet, or of a category.
        preprocess: for tables, a transformer of scikit-learn (a Pipeline, a ColumnTransformer, …), fitted on the rows
            that are trained on and on no others: in each fold anew. ``"plain"`` scales numbers, one-hot encodes words
            and fills what is missing; None takes columns of numbers unchanged.
        scale_target: whether targets that are numbers get mean 0 and standard deviation 1 over the rows trained on, so
            that a mean squared error of 1 is that of guessing the mean. Losses and metrics are in these units.
        noise: the irreducible part of the loss, where it is known: the variance of the targets around their mean for
            given inputs, or the entropy of classes in nats.
        truth: inputs → the mean of the targets for these inputs, where it is known, as for simulated data.
        name: what tables and reports call it.
        seed: of the split alone; members have their own seeds.
        source: filled in by `load`: kind, spec, text and sha256 of where the problem came from.

    Floats are converted to the dtype of the model's parameters, integers to int64.

    Raises:
        ProblemError: when a study prepares it, if its parts do not fit together.

    >>> import torch, thalweg as tw
    >>> inputs = torch.linspace(-1, 1, 100).reshape(100, 1)
    >>> line = Problem(model=lambda: torch.nn.Linear(1, 1), train=(inputs, 2 * inputs + 1), loss="mse")
    >>> from thalweg.problem.prepare import prepare
    >>> [len(inputs) for inputs, _ in (prepare(line).train, prepare(line).validation, prepare(line).test)]
    [64, 16, 20]
    """

    model: Callable[[], Any] | str | Mapping[Any, Callable[[], Any] | str]
    train: Any = field(repr=False)
    validation: Any = field(default=None, repr=False)
    test: Any = field(default=None, repr=False)
    loss: str | Callable[..., Any] = "cross_entropy"
    metrics: tuple[str | Callable[..., Any], ...] = ()
    name: str = ""
    seed: int = 0
    source: Mapping[str, str] = field(default_factory=dict, repr=False)
    groups: Any = field(default=None, repr=False)
    noise: float | None = None
    truth: Callable[[Any], Any] | None = field(default=None, repr=False)
    target: Any = None
    preprocess: Any = field(default=None, repr=False)
    scale_target: bool = False
