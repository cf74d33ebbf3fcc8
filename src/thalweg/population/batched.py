"""One model's loss and gradient, for many members at once.

`torch.func` turns the model into a function of its weights and `vmap` runs it for a whole stack of
weights; the result is traced once into a flat graph of tensor operations, so that a training step costs
the arithmetic and little else. Where a model cannot be traced, the same function runs untraced.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from .. import losses
from ..errors import BatchingError, TrainingError, first_line, line_of
from ..regularizers.base import Regularizer, criterion
from ..samples import Samples, Tree, call, known, scores, with_tensors
from .draws import Draw, Replayed, numbers, recorded
from .moving import cumulative, moving_buffers
from .place import HOST, Place

Tensors = tuple[Tensor, ...]
Groups = Sequence[Sequence[Tensor]]


@dataclass(frozen=True)
class Extra:
    """What a step with a regularizer needs beside the weights and the batch.

    Attributes:
        parts: the regularizers; their strengths do not count.
        amounts: for each part, what its hooks are given, (members,) each.
        draws: for each part, its random numbers: common to the members, or (members, …).
        seeds: of the random numbers that the model draws: one common to the members, or one for each.
        per_member: whether inputs, targets, fixed tensors and random numbers are each member's, (members, …).
        sampled: whether the gradient is on targets that are drawn from the model's own outputs (`Loss.sampled`). What
            regularizers make of the batch and where they take the gradient stays; what they make of the loss and of the
            gradient does not, because the curvature is that of the loss.
    """

    parts: tuple[Regularizer, ...] = ()
    amounts: tuple[Tensors, ...] = ()
    draws: tuple[Tensors, ...] = ()
    seeds: tuple[int, ...] = (0,)
    per_member: bool = False
    sampled: bool = False

    def of(self, rows: slice) -> Extra:
        """The same for these members alone."""
        amounts = tuple(tuple(a[rows] for a in part) for part in self.amounts)
        if not self.per_member:
            return replace(self, amounts=amounts)
        draws = tuple(tuple(d[rows] for d in part) for part in self.draws)
        return replace(self, amounts=amounts, draws=draws, seeds=self.seeds[rows])

    @property
    def program(self) -> tuple[Hashable, ...]:
        """What steps must have in common to be one program."""
        return (self.sampled, *(part.program for part in self.parts))

    def criterion(self, loss: losses.Loss, amounts: Sequence[Tensors]) -> losses.Measure:
        """What is trained in place of the loss, or what curvature is estimated by."""
        return loss.sampled if self.sampled else criterion(loss, self.parts, amounts)

    @property
    def data(self) -> int | None:
        """vmap's in_dim of data: 0 if per member."""
        return 0 if self.per_member else None


PLAIN = Extra()


class _Graph(NamedTuple):
    """A batched program, and what its model draws at each step."""

    call: Callable[..., Tensors]
    draws: list[Draw]


class Layout:
    """Where in one flat list of tensors each kind of them stands; the traced graph takes and gives such lists."""

    def __init__(self, *groups: Sequence[object]) -> None:
        self.sizes = [len(group) for group in groups]

    def split(self, tensors: Sequence[Tensor]) -> list[Tensors]:
        ends = list(itertools.accumulate(self.sizes))
        return [tuple(tensors[end - size : end]) for size, end in zip(self.sizes, ends, strict=True)]


# What a model may make the tracer raise: control flow that depends on data, operations without a rule, its own checks.
UNTRACEABLE = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError)
SLOW = "There is a performance drop"  # how vmap warns of an operation that it takes member by member
# PyTorch traces for the whole process: of two programs traced at once one may fail, run untraced, and round otherwise.
TRACING = threading.Lock()


class Batched:
    """The batched gradient and the batched evaluation of one model, loss and metrics.

    Args:
        model: an instance; its own weights are not used, only its structure.
        loss: (outputs, targets) → scalar, which is trained, as `thalweg.losses.get` takes it.
        metrics: name → a metric, as `thalweg.losses.get_metric` takes it.
        judge: the loss that evaluations report; the one that is trained unless given.
        place: the device that it runs on, and how precisely it computes there.

    Attributes:
        inside: of the metrics, the means over samples that the program computes; the others are computed of its
            outputs, so that a metric never changes how a model is trained (`measured.py`).
        failures: sentences on metrics that had no value somewhere; each once.
        notes: sentences for the user about how it runs, e.g. that the model could not be traced; each once.
        extra_programs: programs of the same model that are traced elsewhere, by what tells them apart.
    """

    several = False  # whether a block's members are taken through several steps before the host looks at them
    replays = True  # whether a step can be captured as one graph of operations
    spares_memory = False  # at the cost of time

    def __init__(
        self,
        model: nn.Module,
        loss: losses.Measure,
        metrics: Mapping[str, Any],
        judge: losses.Measure | None = None,
        place: Place = HOST,
    ) -> None:
        self.place, self.device = place, place.device
        self.several = self.several or self.device.type != "cpu"
        self.model, self.loss = model.to(self.device), losses.get(loss)
        self.metrics = {name: losses.get_metric(metric) for name, metric in metrics.items()}
        self.inside = {name: mean for name, m in self.metrics.items() if (mean := losses.in_program(m)) is not None}
        self.judge = self.loss if judge is None else losses.get(judge)
        self.names = [name for name, p in model.named_parameters() if p.requires_grad]
        self.fixed = [name for name, p in model.named_parameters() if not p.requires_grad]
        self.fixed += [name for name, _ in model.named_buffers()]
        self.moving: list[str] = []
        self.notes: list[str] = []
        self.failures: list[str] = []
        self._knows_moving = False
        self._lock = threading.RLock()  # the model's mode and weights are swapped while it is called
        self._graphs: dict[tuple, _Graph] = {}
        self._forms: dict[Any, pytree.TreeSpec] = {}  # of samples in training and in evaluations, and of outputs
        self.extra_programs: dict[tuple, Callable[..., Tensors]] = {}

    def find_moving_buffers(self, samples: Samples) -> None:
        """Move the names of the buffers that training changes from `fixed` to `moving`; a few samples show which."""
        with self._lock:
            if not self._knows_moving:
                try:
                    self.moving = moving_buffers(self.model, self.loss, samples, self._watched)
                except Exception as error:  # whatever a user's model may raise
                    raise BatchingError(_explain(self.model, error)) from error
                self.fixed = [name for name in self.fixed if name not in self.moving]
                self._knows_moving = True

    def _watched(self, forward: Callable[[], object]) -> None:
        """Run this; PyTorch's random state stays as it was."""
        recorded(forward)

    def gradient(
        self,
        weights: Sequence[Tensor],
        inputs: Tree,
        targets: Tree,
        fixed: Sequence[Tensor] = (),
        moving: Sequence[Tensor] = (),
        extra: Extra = PLAIN,
    ) -> Tensors:
        """Gradients like `weights` (members, *shape), the losses (members,) of one shared batch, then the
        moving buffers after it.

        Args:
            fixed: the members' common tensors that do not train, in the order of the attribute `fixed`.
            moving: (members, *shape) buffers that training moves, in the order of the attribute `moving`.
        """
        return self._run(self.groups(weights, Samples(inputs, targets), fixed, moving, extra), extra, extra.data)

    def groups(
        self,
        weights: Sequence[Tensor],
        samples: Samples,
        fixed: Sequence[Tensor] = (),
        moving: Sequence[Tensor] = (),
        extra: Extra = PLAIN,
    ) -> Groups:
        """What a step of training is given, by kinds; arguments as of `gradient`."""
        amounts = [a for part in extra.amounts for a in part]
        draws = [d for part in extra.draws for d in part]
        return weights, moving, amounts, self.flat(samples, training=True), fixed, draws

    def program(self, groups: Groups, extra: Extra) -> Callable[..., Tensors]:
        """What `gradient` calls with the tensors that `given` lists."""
        return self._graph(groups, extra, extra.data).call

    def given(self, groups: Groups, extra: Extra | None) -> list[Tensor]:
        """All tensors of a step, with the numbers that the model draws in it."""
        draws: Sequence[Tensor] = ()
        if extra is not None and (drawn := self._graph(groups, extra, extra.data).draws):
            each = [numbers(drawn, seed) for seed in extra.seeds]
            draws = [torch.stack(one) for one in zip(*each, strict=True)] if extra.per_member else each[0]
        return [*(t for group in groups for t in group), *draws]

    def evaluate(
        self,
        weights: Sequence[Tensor],
        inputs: Tree,
        targets: Tree,
        fixed: Sequence[Tensor] = (),
        moving: Sequence[Tensor] = (),
        per_member: bool = False,
    ) -> Tensors:
        """The loss and each mean of `inside`, (members,) each, in evaluation mode; then, if there are other metrics,
        the tensors of the outputs, (members, samples, …). `per_member`: fixed are (members, *shape)."""
        data = self.flat(Samples(inputs, targets), training=False)
        return self._run((weights, moving, (), data, fixed, ()), None, 0 if per_member else None)

    def flat(self, samples: Samples, training: bool) -> list[Tensor]:
        """The tensors of samples, which a program takes in this order; how they stand in trees is noted."""
        tensors, self._forms[training] = pytree.tree_flatten(tuple(samples))
        return tensors

    def _samples(self, tensors: Tensors, training: bool) -> Samples:
        """The samples that `flat` took apart."""
        return Samples(*pytree.tree_unflatten(tensors, self._forms[training]))

    def outputs(self, tensors: Tensors) -> Tree:
        """The outputs that an evaluation gave as tensors."""
        return pytree.tree_unflatten(tensors, self._forms["outputs"])

    def _run(self, groups: Groups, extra: Extra | None, fixed: int | None) -> Tensors:
        """A step of training with `extra`, or an evaluation without it; `fixed` is vmap's in_dim of fixed tensors."""
        with torch.no_grad():
            return self._graph(groups, extra, fixed).call(*self.given(groups, extra))

    def _with(
        self, weights: Tensors, buffers: dict[str, Tensor], fixed: Tensors, use: Callable[[nn.Module], Any]
    ) -> Any:
        """What `use` makes of the model with these weights; buffers that the model moves are moved in `buffers`."""
        buffers |= zip((*self.names, *self.fixed), (*weights, *fixed), strict=True)
        with self.place.autocast():
            return with_tensors(self.model, buffers, use)

    def _member(self, extra: Extra | None, groups: Groups) -> Tensors:
        """One member's gradients, loss and moved buffers; without `extra` its loss, metrics and outputs."""
        return self._one_evaluation(groups) if extra is None else self._one_gradient(extra, groups)

    def _one_gradient(self, extra: Extra, groups: Groups) -> Tensors:
        weights, moving, amounts, data, fixed, draws = map(tuple, groups)
        inputs, y = self._samples(data, True)
        amount, draw = Layout(*extra.amounts).split(amounts), Layout(*extra.draws).split(draws)
        parts = list(zip(extra.parts, draw, amount, strict=True))
        point = weights
        for part, random, strengths in parts:
            inputs, y = part.on_batch(inputs, y, random, strengths)
            point = part.point(point, random, strengths)
        loss, after = extra.criterion(self.loss, amount), [] if extra.sampled else parts

        def objective(w: Tensors) -> tuple[Tensor, Tensors]:
            buffers = {name: b.clone() for name, b in zip(self.moving, moving, strict=True)}
            value = self._with(w, buffers, fixed, lambda model: self.loss.over(model, Samples(inputs, y), loss))
            for part, _, strengths in after:
                added = part.penalty(w, strengths)
                value = value if added is None else value + added
            return value, tuple(buffers[name].detach() for name in self.moving)

        gradients, value, buffers = self._derive(objective, point)
        for part, _, strengths in after:
            gradients = part.gradient(gradients, strengths)
        return (*gradients, value, *buffers)

    def _derive(
        self, objective: Callable[[Tensors], tuple[Tensor, Tensors]], point: Tensors
    ) -> tuple[Tensors, Tensor, Tensors]:
        """The gradients, the value, and what comes with it."""
        gradients, (value, buffers) = grad_and_value(objective, has_aux=True)(point)
        return gradients, value, buffers

    def _one_evaluation(self, groups: Groups) -> Tensors:
        weights, moving, _, data, fixed, _ = map(tuple, groups)
        samples = self._samples(data, False)

        def judged(model: nn.Module) -> Tensors:
            if isinstance(self.judge, losses.OfModel):
                value, outputs = self.judge.over(model, samples), call(model, samples.inputs) if self.metrics else None
            else:
                outputs = call(model, samples.inputs)
                value = self.judge(losses.seen(self.judge, outputs), samples.targets)
            answers, targets = known(scores(outputs)), samples.plain_targets
            means = [
                m.mean(answers, targets) if isinstance(m, losses.Mean) else m(answers, targets)
                for m in self.inside.values()
            ]
            if not self.outside:
                return (value, *means)
            tensors, self._forms["outputs"] = pytree.tree_flatten(answers)
            return (value, *means, *tensors)

        return self._with(weights, dict(zip(self.moving, moving, strict=True)), fixed, judged)

    @property
    def outside(self) -> dict[str, Any]:
        """The metrics that are computed of the outputs."""
        return {name: metric for name, metric in self.metrics.items() if name not in self.inside}

    def fail(self, metric: str, error: Exception) -> None:
        """Note that a metric has no value somewhere."""
        sentence = f"the metric {metric} is missing where it fails ({first_line(error)}){line_of(error)}."
        if sentence not in self.failures:
            self.failures.append(sentence)

    def _graph(self, groups: Groups, extra: Extra | None, fixed: int | None) -> _Graph:
        programs = None if extra is None else extra.program
        key = (len(groups[0][0]), *((t.shape, t.dtype) for t in groups[3]), programs, fixed)
        graph = self._graphs.get(key)
        if graph is None:
            with TRACING, self._lock:
                graph = self._graphs.get(key) or self._trace(groups, extra, fixed)
                self._graphs[key] = graph
        return graph

    def _trace(self, groups: Groups, extra: Extra | None, fixed: int | None) -> _Graph:
        draws = [] if extra is None else self._draws(groups, extra)
        each = extra is not None and extra.per_member
        example = [t for group in groups for t in group]
        example += [n.expand(len(groups[0][0]), *n.shape) if each else n for n in numbers(draws, 0)]
        layout = Layout(*groups, draws)
        random = "error" if not draws else "different" if each else "same"

        def one(*member: Tensors) -> Tensors:
            return self._member(extra, member)

        batched = vmap(one, in_dims=axes(extra, fixed), randomness=random)

        def flat(*tensors: Tensor) -> Tensors:
            *stacks, random_numbers = layout.split(tensors)
            with Replayed(random_numbers) if draws else nullcontext():
                return batched(*stacks)

        def untraced(*tensors: Tensor) -> Tensors:
            with self._lock, self._mode(extra), warnings.catch_warnings():
                warnings.filterwarnings("ignore", SLOW)
                return flat(*tensors)

        with self._mode(extra):
            try:  # Tracing is an optimisation: what it cannot follow runs untraced.
                return _Graph(self._traced(flat, example, extra is not None), draws)
            except UNTRACEABLE as error:
                self._note(f"{type(self.model).__name__} runs untraced, which is slower: {first_line(error)}.")
        return _Graph(untraced, draws)

    def _traced(
        self, flat: Callable[..., Tensors], example: Sequence[Tensor], training: bool
    ) -> Callable[..., Tensors]:
        """The call as a flat graph of operations."""
        self._try(flat, example, training)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make_fx(flat)(*example)

    def _try(self, call: Callable[..., object], tensors: Sequence[Tensor], training: bool) -> None:
        """Call it once; what a population cannot do becomes a sentence."""
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", SLOW)
                call(*tensors)
        except TrainingError:
            raise
        except (RuntimeError, NotImplementedError, ValueError, TypeError, IndexError) as error:
            raise BatchingError(_explain(self.model, error, training)) from error

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _draws(self, groups: Groups, extra: Extra) -> list[Draw]:
        """What the first member draws by itself in a forward pass."""
        weights, moving, _, data, fixed, _ = groups
        if extra.per_member:
            data, fixed = [t[0] for t in data], [f[0] for f in fixed]
        samples = self._samples(tuple(data), True)
        buffers = {name: b[0].clone() for name, b in zip(self.moving, moving, strict=True)}
        first = tuple(w[0].detach().clone().requires_grad_() for w in weights)

        def forward() -> None:
            loss = extra.criterion(self.loss, ()) if extra.sampled else None
            self._with(first, buffers, tuple(fixed), lambda model: self.loss.over(model, samples, loss))

        with self._mode(extra):
            try:
                return recorded(forward)
            except TrainingError:
                raise
            except Exception:  # what fails alone fails as a population, and is explained there
                return []

    @contextmanager
    def _mode(self, extra: Extra | None) -> Iterator[None]:
        """The model in training or evaluation mode, as regularizers want it."""
        self.model.train(extra is not None)
        with ExitStack() as stack:
            stack.enter_context(cumulative(self.model))
            for part in extra.parts if extra is not None else ():
                stack.enter_context(part.inside(self.model))
            yield


def axes(extra: Extra | None, fixed: int | None) -> tuple[int | None, ...]:
    """vmap's in_dims of the groups: weights, moving buffers, amounts, data, fixed tensors, random numbers."""
    data = None if extra is None else extra.data
    return 0, 0, 0, data, fixed, data


def _explain(model: nn.Module, error: Exception, training: bool = True) -> str:
    """One sentence for a model that cannot be trained as a population."""
    first = first_line(error)
    if "random" in first.lower() and not training:
        return (
            f"{type(model).__name__} draws random numbers in evaluation mode (F.dropout with training=True?), so its "
            "validation loss would never be the same twice; draw only while self.training."
        )
    return f"{type(model).__name__} cannot be trained as a population: {first}."
