"""Stacked members in less memory: what a step needs twice is computed twice (activation checkpointing).

The flat graph of a batched step is rewritten by `programs/recompute.py`; everything else is as for any stacked program,
and so are the results, to the bit. The graph is traced with tensors that have no memory, so that a step of which not
even one member would fit as it was can be rewritten.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from ..programs.recompute import peak, recomputed
from ..programs.trace import in_place, noting, out_of_place
from .batched import UNTRACEABLE, Batched, Tensors

Taken = tuple[int, int]


class Recomputed(Batched):
    """`Batched` whose steps of training compute most activations twice.

    Attributes:
        taken: bytes of the values between a step's inputs and its results, of one member, if all activations are stored
            and if they are computed twice; None until a step has been traced, or where it cannot be.
    """

    spares_memory = True
    taken: Taken | None = None

    def _traced(
        self, flat: Callable[..., Tensors], example: Sequence[Tensor], training: bool
    ) -> Callable[..., Tensors]:
        if not training:
            return super()._traced(flat, example, training)
        try:
            module = _out_of_place(flat, example)
        except UNTRACEABLE:
            self._try(flat, example, training)
            raise
        members = len(example[0])
        twice = recomputed(module, len(self.names))
        self.taken = peak(module.graph) // members, peak(twice.graph) // members
        return twice


def _out_of_place(flat: Callable[..., Tensors], example: Sequence[Tensor]) -> fx.GraphModule:
    """The call as operations that may be repeated."""
    with warnings.catch_warnings(), noting():
        warnings.simplefilter("ignore")
        traced = make_fx(flat, tracing_mode="fake")(*example)
        module = out_of_place(traced, example, mode="fake")
    if any(map(in_place, module.graph.nodes)):
        raise RuntimeError("an operation in place cannot be repeated")
    module.graph.eliminate_dead_code()
    return module
