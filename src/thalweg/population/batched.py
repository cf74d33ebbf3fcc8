"""One model's loss and gradient, for many members at once.

`torch.func` turns the model into a function of its weights and `vmap` runs it for a whole stack of
weights; the result is traced once into a flat graph of tensor operations, so that a training step costs
the arithmetic and little else. Where a model cannot be traced, the same function runs untraced.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from .. import losses
from ..errors import TrainingError
from .rewrites import REWRITES

Tensors = tuple[Tensor, ...]
One = Callable[[Tensors, Tensor, Tensor, Tensors], Tensors]

# PyTorch traces for the whole process: of two programs traced at once one may fail, run as it is, and round otherwise.
_TRACING = threading.Lock()


class Batched:
    """The batched gradient and the batched evaluation of one model, loss and metrics.

    Args:
        model: an instance; its own weights are not used, only its structure.
        loss: (outputs, targets) → scalar, which is trained, as `thalweg.losses.get` takes it.
        metrics: name → (outputs, targets) → scalar.
        judge: the loss that evaluations report; the one that is trained unless given.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        metrics: Mapping[str, Callable[[Tensor, Tensor], Tensor]],
        judge: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.model, self.loss, self.metrics = model, losses.get(loss), dict(metrics)
        self.judge = self.loss if judge is None else losses.get(judge)
        self.names = [name for name, p in model.named_parameters() if p.requires_grad]
        self.fixed = [name for name, p in model.named_parameters() if not p.requires_grad]
        self.fixed += [name for name, _ in model.named_buffers()]
        self._lock = threading.RLock()  # the model's mode and weights are swapped while it is called
        self._graphs: dict[tuple, Callable[..., tuple[Tensor, ...]]] = {}

    def gradient(
        self, weights: Sequence[Tensor], inputs: Tensor, targets: Tensor, fixed: Sequence[Tensor] = ()
    ) -> tuple[Tensor, ...]:
        """Gradients like `weights` (members, *shape), then the losses (members,) of one shared batch.

        `fixed` are the members' common tensors that do not train, in the order of the attribute `fixed`.
        """
        return self._run("gradient", self._one_gradient, weights, inputs, targets, fixed)

    def evaluate(
        self, weights: Sequence[Tensor], inputs: Tensor, targets: Tensor, fixed: Sequence[Tensor] = ()
    ) -> tuple[Tensor, ...]:
        """The loss and each metric, (members,) each, in evaluation mode."""
        return self._run("evaluate", self._one_evaluation, weights, inputs, targets, fixed)

    def _call(self, weights: Tensors, inputs: Tensor, fixed: Tensors) -> Tensor:
        held = zip((*self.names, *self.fixed), (*weights, *fixed), strict=True)
        return functional_call(self.model, dict(held), (inputs,))

    def _one_gradient(self, weights: Tensors, inputs: Tensor, targets: Tensor, fixed: Tensors) -> Tensors:
        gradients, loss = grad_and_value(lambda w: self.loss(self._call(w, inputs, fixed), targets))(weights)
        return (*gradients, loss)

    def _one_evaluation(self, weights: Tensors, inputs: Tensor, targets: Tensor, fixed: Tensors) -> Tensors:
        outputs = self._call(weights, inputs, fixed)
        return (self.judge(outputs, targets), *(metric(outputs, targets) for metric in self.metrics.values()))

    def _run(
        self, kind: str, one: One, weights: Sequence[Tensor], x: Tensor, y: Tensor, fixed: Sequence[Tensor]
    ) -> Tensors:
        tensors = (*weights, x, y, *fixed)
        key = (kind, len(weights[0]), x.shape, x.dtype, y.shape, y.dtype)
        graph = self._graphs.get(key)
        if graph is None:
            with _TRACING, self._lock:
                graph = self._graphs.get(key) or self._trace(kind == "gradient", one, tensors)
                self._graphs[key] = graph
        with torch.no_grad():
            return graph(*tensors)

    def _trace(self, training: bool, one: One, tensors: Tensors) -> Callable[..., Tensors]:
        self.model.train(training)
        count = len(self.names)
        batched = vmap(one, in_dims=(0, None, None, None))

        def flat(*tensors: Tensor) -> Tensors:
            return batched(tensors[:count], tensors[count], tensors[count + 1], tensors[count + 2 :])

        def untraced(*tensors: Tensor) -> Tensors:
            with self._lock:
                self.model.train(training)
                return flat(*tensors)

        try:
            flat(*tensors)
        except (RuntimeError, NotImplementedError, ValueError, TypeError, IndexError) as error:
            raise TrainingError(_explain(self.model, error)) from error
        for table in (REWRITES, None):
            # Tracing is an optimisation: what it cannot follow is traced plainly, or runs as it is.
            with suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return make_fx(flat, decomposition_table=table)(*tensors)
        return untraced


def _explain(model: nn.Module, error: Exception) -> str:
    """One sentence for a model that cannot be trained as a population."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    kinds = {type(layer) for layer in model.modules()}
    if any(issubclass(kind, nn.modules.batchnorm._BatchNorm) for kind in kinds):
        return (
            f"{type(model).__name__} has batch normalization, whose running statistics cannot be kept per member "
            "yet; use nn.GroupNorm or nn.LayerNorm, or BatchNorm with track_running_stats=False."
        )
    if "random" in first.lower():
        return (
            f"{type(model).__name__} draws random numbers in its forward pass (dropout?), which members of a "
            "population cannot do yet; set its probability to 0."
        )
    return f"{type(model).__name__} cannot be trained as a population: {first}"
