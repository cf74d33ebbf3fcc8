"""Directions through the weights of a network, and its loss along them.

A network has too many weights to be drawn; a slice through its loss along one or two directions can be. Which
directions are taken decides what is seen:

- between two solutions, a straight line;
- about one solution, random directions. A network with ReLU does not change when the weights of a layer are doubled
  and those of the next halved, so a step of one length means nothing; each filter of a direction is given the norm of
  the filter it belongs to;
- along a training path, the two directions in which the path goes furthest.

Source: Goodfellow et al. 2015 (the line); Li et al. 2018, sections 4 (filter normalisation) and 7 (the path's plane).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..errors import TrainingError
from ..losses import Measure
from ..population.batched import Batched
from ..population.block import EVALUATION_BATCH
from ..population.sizing import activations_of, block_size
from ..samples import Samples, Tree, with_tensors

State = dict[str, Tensor]  # weights, and buffers that training moves, by name
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def filter_normalised(model: nn.Module, names: Sequence[str], seed: int) -> State:
    """A random direction whose filters have the norms of the model's own: dᵢⱼ ← dᵢⱼ / ‖dᵢⱼ‖ · ‖wᵢⱼ‖.

    A filter is what makes one output: a row of a linear layer, a kernel over all channels of a convolution. Biases and
    the parameters of norms stay where they are, as in the paper's own pictures.

    Args:
        names: of the weights that move.
    """
    generator = torch.Generator().manual_seed(seed)
    owners = {
        f"{place}.{name}".lstrip("."): module
        for place, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
    }
    parameters = dict(model.named_parameters())
    direction: State = {}
    for name in names:
        weight = parameters[name].detach()
        drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        if weight.ndim < 2 or isinstance(owners[name], _NORMS):
            direction[name] = torch.zeros_like(weight)
            continue
        across = int(bool(getattr(owners[name], "transposed", False)))  # the axis of the outputs
        rest = [axis for axis in range(weight.ndim) if axis != across]
        size, length = (torch.linalg.vector_norm(t, dim=rest, keepdim=True) for t in (weight.double().cpu(), drawn))
        direction[name] = (drawn / length * size).to(weight)
    return direction


def principal(path: Sequence[Mapping[str, Tensor]], names: Sequence[str]) -> dict[str, Any] | None:
    """The plane in which a path's weights go furthest, through its last point; None where they span less than one.

    `directions`, two, of length 1 and at right angles; `path`, (iterates, 2), each iterate's projection, the last at
    (0, 0); `explained`, the share of the path's variance along each direction; `projection_error`, (iterates,) how far
    each iterate lies from the plane, as a share of its way to the last.

    The eigenvectors of the iterates' inner products give them, so that nothing larger than the path is ever built.
    """
    stacked = {n: torch.stack([state[n].detach().double().cpu().flatten() for state in path]) for n in names}
    last = {n: rows[-1] for n, rows in stacked.items()}
    about = {n: rows - rows.mean(0) for n, rows in stacked.items()}
    inner = sum(rows @ rows.T for rows in about.values())
    assert isinstance(inner, Tensor)
    values, vectors = torch.linalg.eigh(inner)
    values = values.flip(0).clamp(min=0)
    if len(values) < 3 or values[1] <= 1e-12 * values[0]:
        return None
    chosen = vectors.flip(1)[:, :2] / values[:2].sqrt()
    flat = [{n: rows.T @ chosen[:, k] for n, rows in about.items()} for k in range(2)]
    away = {n: rows - last[n] for n, rows in stacked.items()}
    coordinates = torch.stack([_dot(away, one) for one in flat], dim=1)  # (iterates, 2)
    signs = torch.where(coordinates[0] < 0, -1.0, 1.0).double()
    coordinates = coordinates * signs
    directions = [
        {n: (sign * part).reshape(path[-1][n].shape).to(path[-1][n]) for n, part in one.items()}
        for sign, one in zip(signs, flat, strict=True)
    ]
    whole = _dot(away, away)
    outside = (whole - coordinates.square().sum(1)).clamp(min=0)
    errors = torch.where(whole > 0, (outside / whole.clamp(min=1e-300)).sqrt(), 0.0)
    facts = {"path": coordinates, "explained": values[:2] / values.sum(), "projection_error": errors}
    return {"directions": tuple(directions), **{name: tensor.numpy() for name, tensor in facts.items()}}


def _dot(rows: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Tensor:
    """(iterates,) the inner products of each iterate with a direction, or with an iterate."""
    parts = [rows[n] @ v if v.ndim == 1 else (rows[n] * v).sum(1) for n, v in other.items()]
    return torch.stack(parts).sum(0)


class Slices:
    """A network's loss at many points of its weights, many at a time where the network allows it.

    The network itself is never touched: a copy in evaluation mode is called, with the weights of each point in place
    of its own.

    Args:
        model: the network; what of it does not train stays as it is.
        loss: (outputs, targets) → scalar.
        inputs, targets: what the loss is measured on.

    Attributes:
        names: weights that a point has.
        moving: buffers that training moves, such as running statistics; a point has them too.
        batched: whether many points are evaluated at once; known after the first.
    """

    def __init__(self, model: nn.Module, loss: Measure, inputs: Tree, targets: Tree) -> None:
        self.model = copy.deepcopy(model)
        if not any(p.requires_grad for p in self.model.parameters()):
            self.model.requires_grad_(True)
        device = next(self.model.parameters()).device
        self.samples = Samples(inputs, targets).map(lambda t: t.to(device))
        self.engine = Batched(self.model, loss, {})
        with torch.random.fork_rng(devices=[]):
            self.engine.find_moving_buffers(self.samples.take(slice(2)))
            activations = activations_of(self.model.eval(), self.samples.take(slice(8)), self.engine.loss)
        self.names, self.moving = self.engine.names, self.engine.moving
        tensors = self._all()
        self.fixed = [tensors[n].detach() for n in self.engine.fixed]
        weights = sum(tensors[n].numel() for n in self.names)
        self.chunk = block_size(weights, 0, int(activations * min(self.samples.size, EVALUATION_BATCH)))
        self.batched = True

    def _all(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters()) | dict(self.model.named_buffers())

    def here(self) -> State:
        """Where the network itself stands."""
        tensors = self._all()
        return {n: tensors[n].detach().clone() for n in (*self.names, *self.moving)}

    def losses(self, points: Sequence[Callable[[str], Tensor]]) -> np.ndarray:
        """The mean loss at each point, float64; a point gives the tensor of each name."""
        losses: list[float] = []
        for first in range(0, len(points), self.chunk):
            chunk = list(points[first : first + self.chunk])
            if self.batched and len(points) > 1:
                try:
                    padding = [chunk[-1]] * (min(self.chunk, len(points)) - len(chunk))
                    losses += self._together([*chunk, *padding])[: len(chunk)]
                    continue
                except TrainingError:
                    self.batched = False
            losses += [self._alone(point) for point in chunk]
        return np.array(losses)

    def _together(self, points: Sequence[Callable[[str], Tensor]]) -> list[float]:
        weights, moving = (
            [torch.stack([point(name) for point in points]) for name in names] for names in (self.names, self.moving)
        )
        return self._mean(
            lambda chunk: self.engine.evaluate(weights, *chunk, self.fixed, moving)[0].double().cpu().numpy()
        ).tolist()

    def _alone(self, point: Callable[[str], Tensor]) -> float:
        tensors = {n: point(n) for n in (*self.names, *self.moving)}

        def value(chunk: Samples) -> np.ndarray:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                return np.array(
                    float(with_tensors(self.model, tensors, lambda model: self.engine.judge.over(model, chunk)))
                )

        return float(self._mean(value))

    def _mean(self, value: Callable[[Samples], np.ndarray]) -> np.ndarray:
        """Over all samples, in batches; where samples count unequally each batch counts as its samples do."""
        total, samples = np.zeros(()), 0.0
        for chunk in self.samples.split(EVALUATION_BATCH):
            if count := self.engine.judge.total(chunk):
                total, samples = total + count * value(chunk), samples + count
        return total / samples
