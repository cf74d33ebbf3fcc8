"""Several trained models that answer as one, and how far they disagree.

The members' weights are stacked on a leading axis, and one batched call of the model gives the outputs of all of
them. How they become one answer depends on what they were trained for:

    bagging, seeds     classes: the mean of the members' probabilities, or the class most of them vote for;
                       values: the mean of their outputs
    boosting, classes  the class with the largest sum of the weights of the members that vote for it
    boosting, values   where it began, plus the sum of all members, each times its weight

Read next: `bagging.py` and `boosting.py`, which train them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils import _pytree as pytree

from .. import losses
from ..errors import PlanError, ProblemError, StoreError, first_line
from ..files import put
from ..population.batches import RANDOM
from ..population.block import EVALUATION_BATCH
from ..problem.declaration import Problem
from ..problem.find import load
from ..problem.prepare import Prepared, prepare
from ..samples import Samples, Tree, call, known, scores, with_tensors

FORMAT = "thalweg ensemble 1"


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Members that answer as one.

    Attributes:
        kind: "bagging", "seeds" or "boosting".
        model: a function that returns the module whose weights `state` holds.
        state: name → (members, *shape) of every parameter and buffer.
        weights: (members,) what each member counts, of a boosting; equal for the others.
        start: what a boosting of values begins with; None otherwise.
        classes: how many, where the targets are class ids; None for values.
        loss: the problem's own, by which `score` judges; `metrics` too.
        out_of_bag: loss and metrics of the training samples, each answered by the members that did not draw it;
            "samples" says how many those are. Empty where no samples are drawn.
        rows: one row per member: its seed, its setting, what it was worth when it was trained.
        name: of the problem.
    """

    kind: str
    model: Callable[[], nn.Module] = field(repr=False)
    state: Mapping[str, Tensor] = field(repr=False)
    weights: Tensor = field(repr=False)
    start: Tensor | None = field(repr=False)
    classes: int | None
    loss: losses.Measure = field(repr=False)
    metrics: Mapping[str, losses.Measure] = field(repr=False)
    out_of_bag: Mapping[str, float]
    rows: pd.DataFrame = field(repr=False)
    name: str = ""

    def __len__(self) -> int:
        return len(self.weights)

    def table(self) -> pd.DataFrame:
        """One row per member: its seed, optimizer, lr and schedule, and what it was worth when it was trained."""
        return self.rows.copy()

    def outputs(self, inputs: Any) -> Tensor:
        """What every member answers alone, (members, samples, …), in evaluation mode."""
        return torch.cat(list(self._answers(inputs)), dim=1)

    def _answers(self, inputs: Any) -> Iterator[Tensor]:
        """The same, for a few samples at a time."""
        with RANDOM, torch.random.fork_rng(devices=[]):
            module = self.model()
        yield from outputs_of(module, self.state, self._inputs(inputs))

    def predict(self, inputs: Any, vote: bool = False) -> Tensor:
        """The ensemble's answer: class ids (samples, …), or values (samples, …).

        Args:
            vote: the class that most members vote for, the first of several, in place of the one with the highest
                mean probability; a boosting always votes.

        Raises:
            PlanError: values cannot be voted on.
        """
        if vote and self.classes is None:
            raise PlanError("vote=True is for classes, and this ensemble predicts values; leave it out.")
        combine = self._sum if self.classes is None else self._votes if vote else self._probabilities
        answer = torch.cat([combine(answers) for answers in self._answers(inputs)])
        return answer if self.classes is None else answer.argmax(1)

    def predict_proba(self, inputs: Any) -> Tensor:
        """The probability of each class, (samples, classes, …); rows sum to 1.

        Outputs are taken to be scores whose softmax are probabilities. A mean of probabilities, or, for a boosting,
        the softmax of its votes over K − 1 (Zhu et al. 2009, section 2.4).

        Raises:
            PlanError: the ensemble predicts values.
        """
        if self.classes is None:
            raise PlanError("predict_proba is for classes, and this ensemble predicts values; use predict.")
        return torch.cat([self._probabilities(answers) for answers in self._answers(inputs)])

    def uncertainty(self, inputs: Any) -> dict[str, Tensor]:
        """How sure each prediction is, (samples, …) each.

        For classes ``disagreement``, the share of members that vote for another class than the most voted one, and
        three entropies in nats: ``total`` of the mean probabilities, ``expected`` of one member's own, which no number
        of members takes away, and their difference ``information``, by which members differ (Depeweg et al. 2018,
        equation 4). For values ``std`` over members.

        Raises:
            PlanError: stages of a boosting correct one another, so their spread says nothing of doubt.
        """
        if self.kind == "boosting":
            raise PlanError(
                "the members of a boosting correct one another, so how they differ says nothing of how sure "
                'it is; use kind="bagging" or "seeds".'
            )
        if len(self) < 2:
            raise PlanError("one member agrees with itself; train several to see how they differ.")
        spreads = [self._spread(answers) for answers in self._answers(inputs)]
        return {name: torch.cat([spread[name] for spread in spreads]) for name in spreads[0]}

    def _spread(self, answers: Tensor) -> dict[str, Tensor]:
        if self.classes is None:
            return {"std": answers.std(0)}
        each = answers.softmax(2)
        total, expected = _entropy(each.mean(0), 1), _entropy(each, 2).mean(0)
        return {
            "disagreement": 1 - self._votes(answers).amax(1),
            "total": total,
            "expected": expected,
            "information": (total - expected).clamp_min(0),
        }

    def score(self, inputs: Any, targets: Any) -> dict[str, float]:
        """Loss and metrics of the ensemble's answer, by the problem's own measures."""
        outputs = torch.cat([self.combined(answers) for answers in self._answers(inputs)])
        return self.judged(outputs, self._targets(targets))

    def combined(self, answers: Tensor) -> Tensor:
        """The members' answers (members, samples, …) as those of one model: log probabilities, or values."""
        return self._sum(answers) if self.classes is None else self._probabilities(answers).log()

    def judged(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Loss and metrics of one model's outputs."""
        return {name: float(measure(outputs, targets)) for name, measure in {"loss": self.loss, **self.metrics}.items()}

    def _sum(self, answers: Tensor) -> Tensor:
        weights = self.weights.to(answers.dtype)
        total = torch.tensordot(weights, answers, 1)
        return total if self.start is None else total + self.start.to(answers.dtype)

    def _votes(self, answers: Tensor) -> Tensor:
        """(samples, classes, …) the share of the votes that each class has."""
        assert self.classes is not None
        chosen = nn.functional.one_hot(answers.argmax(2), self.classes).movedim(-1, 2)
        weights = (self.weights / self.weights.sum()).to(answers.dtype)
        return torch.tensordot(weights, chosen.to(answers.dtype), 1)

    def _probabilities(self, answers: Tensor) -> Tensor:
        if self.kind != "boosting":
            return answers.softmax(2).mean(0)
        # A vote counts 1 for its class and −1/(K − 1) for each other: shares v become (K v − 1)/(K − 1).
        assert self.classes is not None
        decision = (self.classes * self._votes(answers) - 1) / (self.classes - 1)
        return (decision / (self.classes - 1)).softmax(1)

    def _inputs(self, inputs: Any) -> Tree:
        """As tensors, floats in the dtype of the weights."""
        floats = [t.dtype for t in self.state.values() if t.is_floating_point()]

        def ready(values: Any) -> Tensor:
            tensor = torch.as_tensor(values)
            return tensor.to(floats[0]) if tensor.is_floating_point() and floats else tensor

        if isinstance(inputs, tuple | Mapping):
            return pytree.tree_map(ready, known(inputs))
        return ready(inputs)

    def _targets(self, targets: Any) -> Tensor:
        tensor = torch.as_tensor(targets)
        return self._inputs(tensor) if tensor.is_floating_point() else tensor.to(torch.int64)

    def save(self, path: str | Path) -> Path:
        """Write the ensemble to one safetensors file, by a temporary name that is then renamed.

        What is in it is data: weights, and a description in JSON. The model is not; `load` is given it again.

        Raises:
            StoreError: the file cannot be written.
        """
        from safetensors.torch import save

        target = Path(path)
        tensors = {f"state.{name}": t.contiguous() for name, t in self.state.items()}
        tensors["weights"] = self.weights
        tensors |= {} if self.start is None else {"start": self.start.contiguous()}
        about = {
            "format": FORMAT,
            "kind": self.kind,
            "classes": self.classes,
            "name": self.name,
            "loss": losses.name_of(self.loss),
            "metrics": [losses.name_of(m) for m in self.metrics.values()],
            "out_of_bag": dict(self.out_of_bag),
            "rows": self.rows.to_dict("list"),
        }
        content = save(tensors, {"thalweg": json.dumps(about)})
        try:
            put(target, content)
        except OSError as error:
            raise StoreError(
                "{path} cannot be written: {error}; name a file in a folder you can write to.",
                path=path,
                error=error.strerror or error,
            ) from error
        return target

    @classmethod
    def load(cls, path: str | Path, model: Problem | str | Callable[[], nn.Module]) -> Ensemble:
        """The ensemble in a file that `save` wrote.

        Args:
            model: the function that returns the module, or the problem it was trained on, as `compare` takes it,
                whose loss and metrics `score` then uses. Of a function alone, a loss or metric of the user's own is
                unknown, and the ensemble judges by those that have names.

        Raises:
            StoreError: the file is missing or damaged, or holds something else or another model.

        >>> import thalweg as tw, tempfile
        >>> bag = tw.bag("breast-cancer", "adam", lr=0.01, members=3, epochs=2)
        >>> path = bag.save(tempfile.mkdtemp() + "/bag.safetensors")
        >>> again = tw.Ensemble.load(path, model="breast-cancer")
        >>> inputs = tw.prepare("breast-cancer").test[0]
        >>> bool((again.predict(inputs) == bag.predict(inputs)).all())
        True
        """
        tensors, about = _read(Path(path))
        problem = load(model) if isinstance(model, str | Problem) else None
        given: Any = model if problem is None else problem.model
        if problem is not None and isinstance(given, str):  # a network that the data say the size of
            given = prepare(problem).model
        if not callable(given):
            raise ProblemError(
                "the model is of type {kind}; give the function that returns the module.", kind=type(given).__name__
            )
        function: Any = given
        state = {name.removeprefix("state."): t for name, t in tensors.items() if name.startswith("state.")}
        _same_model(path, function, state)
        loss, metrics = _measures(about, problem)
        values = {name: about[name] for name in ("kind", "classes", "out_of_bag", "name")}
        values |= {"weights": tensors["weights"], "start": tensors.get("start"), "rows": pd.DataFrame(about["rows"])}
        return cls(model=function, state=state, loss=loss, metrics=metrics, **values)


def assemble(
    kind: str,
    problem: Prepared,
    state: Mapping[str, Tensor],
    weights: Tensor,
    classes: int | None,
    rows: pd.DataFrame,
    start: Tensor | None = None,
) -> Ensemble:
    """The ensemble of members that were trained on this problem."""
    measures = (problem.loss, problem.metrics)
    return Ensemble(kind, problem.model, state, weights, start, classes, *measures, {}, rows, problem.name)


def outputs_of(module: nn.Module, state: Mapping[str, Tensor], inputs: Tree) -> Iterator[Tensor]:
    """(members, samples, …) the outputs in evaluation mode with each member's weights, for a few samples at a time."""
    module.eval()
    for x, _ in Samples(inputs).split(EVALUATION_BATCH):
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")
            every = vmap(lambda tensors, x=x: with_tensors(module, dict(tensors), lambda m: scores(call(m, x))))(
                dict(state)
            )
        yield every


def _entropy(probabilities: Tensor, axis: int) -> Tensor:
    return -torch.xlogy(probabilities, probabilities).sum(axis)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("thalweg", "{}"))
            if about.get("format") != FORMAT:
                raise StoreError(
                    "{path} is not an ensemble of thalweg; name a file that Ensemble.save wrote.", path=path
                )
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except FileNotFoundError as error:
        raise StoreError("{path} does not exist; name a file that Ensemble.save wrote.", path=path) from error
    except (OSError, SafetensorError, ValueError, AttributeError) as error:
        raise StoreError(
            "{path} cannot be read ({error}); it is damaged, or not an ensemble.", path=path, error=first_line(error)
        ) from error


def _same_model(path: Any, model: Callable[[], nn.Module], state: Mapping[str, Tensor]) -> None:
    with RANDOM, torch.random.fork_rng(devices=[]):
        module = model()
    here = {name: tuple(t.shape) for name, t in (*module.named_parameters(), *module.named_buffers())}
    there = {name: tuple(t.shape[1:]) for name, t in state.items()}
    for name in {**here, **there}:
        if here.get(name) != there.get(name):
            raise StoreError(
                f"{path} holds an ensemble of another model ({name} is {there.get(name) or 'not'} there, and "
                f"{here.get(name) or 'not'} in the model given); give the model it was trained with."
            )


def _measures(about: Mapping[str, Any], problem: Problem | None) -> tuple[losses.Measure, Mapping[str, losses.Measure]]:
    """Loss and metrics, by their objects where there is a problem, else by their names."""
    if problem is not None:
        return losses.get(problem.loss), {losses.name_of(m): losses.get_metric(m) for m in problem.metrics}
    metrics = {name: losses.get_metric(name) for name in about["metrics"] if losses.direction_of(name) is not None}
    try:
        return losses.get(about["loss"]), metrics
    except ProblemError:
        return losses.get("mse" if about["classes"] is None else "cross_entropy"), metrics
