"""Activation checkpointing of a traced step: less memory, for values that are computed twice.

A step's graph has the forward pass up to the loss, and the backward pass after it, which uses values of the forward
pass: the activations. Here the forward pass is cut into segments. Values that a later segment needs are stored, as are
those of the last segment; all others are freed, and computed again from what is stored when the backward pass first
needs one of their segment (Chen et al. 2016, "Training deep nets with sublinear memory cost"). They are the same
operations on the same values, random numbers among them, so the results are the same to the bit.

Where to cut follows from the sizes in the graph, whatever the model's modules are: between two blocks of a network few
values are alive. Several counts of segments are tried, and memory is counted in each as the graph would run.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

SEGMENTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
# An operation that is given memory which nothing else uses, and returns it: a view, though its schema does not say so.
UNSAFE_VIEW = torch.ops.aten._unsafe_view.default
# Arguments that an operation moves in place, though its schema does not say so: a mean and a variance.
MOVED: dict[Any, tuple[int, ...]] = {
    torch.ops.aten.native_batch_norm.default: (3, 4),
    torch.ops.aten.cudnn_batch_norm.default: (3, 4),
}


def recomputed(module: fx.GraphModule, loss: int) -> fx.GraphModule:
    """The same step in the least memory that computing values twice gives.

    Args:
        module: without operations in place; each node's `meta["val"]` has its shape and dtype.
        loss: which of the results is the loss.
    """
    storages = Storages(module.graph)
    turn = storages.nodes.index(_results(module.graph)[loss])
    graphs = [module.graph]
    cuts: list[list[int]] = []
    for count in SEGMENTS:
        if (places := _cuts(storages, turn, count)) and places not in cuts:
            cuts.append(places)
            graphs.append(_rewritten(storages, turn, places))
    return fx.GraphModule(module, min(graphs, key=peak))


def peak(graph: fx.Graph) -> int:
    """Bytes of all values that are alive at once while the graph runs, its inputs aside."""
    storages = Storages(graph)
    changes = [0] * (len(storages.nodes) + 1)
    for root, last in storages.last_uses(len(storages.nodes)).items():
        if root.op == "call_function":
            changes[storages.place[root]] += storages.bytes[root]
            changes[last + 1] -= storages.bytes[root]
    return max(itertools.accumulate(changes))


class Storages:
    """Which nodes of a graph share memory.

    Attributes:
        nodes: in order; `place`: where in it each is.
        root: the node that allocated the memory in which a node's value lies.
        bytes: that it allocated.
    """

    def __init__(self, graph: fx.Graph) -> None:
        self.nodes = list(graph.nodes)
        self.place = {node: k for k, node in enumerate(self.nodes)}
        self.root: dict[fx.Node, fx.Node] = {}
        self.bytes: dict[fx.Node, int] = {}
        for node in self.nodes:
            viewed = _viewed(node)
            self.root[node] = node if viewed is None else self.root[viewed]
            value = node.meta.get("val")
            self.bytes[node] = value.nbytes if viewed is None and isinstance(value, Tensor) else 0

    def last_uses(self, end: int) -> dict[fx.Node, int]:
        """Where each root, or a view of it, is last used before the place `end`; where it was made if nowhere."""
        last = {root: self.place[root] for root in self.root.values()}
        for k, node in enumerate(self.nodes[:end]):
            for used in node.all_input_nodes:
                last[self.root[used]] = k
        return last


def _viewed(node: fx.Node) -> fx.Node | None:
    """The node whose memory this one's value shares."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or not node.all_input_nodes:
        return None
    shares = any(result.alias_info is not None for result in schema.returns)
    first = node.all_input_nodes[0]
    return first if shares or node.target is UNSAFE_VIEW else None


def _results(graph: fx.Graph) -> Sequence[Any]:
    (output,) = (node for node in graph.nodes if node.op == "output")
    return output.args[0]


def _cuts(storages: Storages, turn: int, count: int) -> list[int]:
    """Places before which a segment begins: about equal bytes of activations in each, and little alive in between."""
    forward, used = storages.last_uses(turn + 1), storages.last_uses(len(storages.nodes))
    alive = [0] * (turn + 2)  # bytes that what comes from a place on, until the loss, has from before it
    made = [0] * (turn + 1)  # bytes of activations that begin at a place
    for root, last in forward.items():
        begin = storages.place[root]
        if root.op == "call_function" and begin <= turn:
            alive[begin + 1] += storages.bytes[root]
            alive[last + 1] -= storages.bytes[root]
            made[begin] += storages.bytes[root] if used[root] > turn else 0
    alive = [*itertools.accumulate(alive)]
    share, cuts, begun, held = sum(made) / count, list[int](), 0, 0
    for k, size in enumerate(made):
        held += size
        places = [one for one in range(begun + 1, k + 1) if storages.nodes[one].target is not operator.getitem]
        if held > share and places:
            begun = min(places, key=lambda one: (alive[one], -one))
            cuts.append(begun)
            held = sum(made[begun : k + 1])
    return cuts


def _rewritten(storages: Storages, turn: int, cuts: Sequence[int]) -> fx.Graph:
    """The graph with what does not cross a cut computed again, the last segment aside."""
    nodes, root, place = storages.nodes, storages.root, storages.place
    forward, ends = storages.last_uses(turn + 1), [*cuts, turn + 1]
    results = {root[node] for node in nodes[-1].all_input_nodes}
    segment = [sum(cut <= k for cut in cuts) for k in range(turn + 1)]

    def stored(node: fx.Node) -> bool:
        """Whether the backward pass finds the value that the forward pass made."""
        one = root[node]
        if one.op != "call_function" or place[node] > turn or one in results:
            return True
        k = segment[place[one]]
        return k == len(cuts) or forward[one] >= ends[k]

    wanted = [list[fx.Node]() for _ in ends]
    for k, node in enumerate(nodes[: turn + 1]):
        if not stored(node) and any(place[user] > turn for user in node.users):
            wanted[segment[k]].append(node)
    new, now = fx.Graph(), dict[fx.Node, fx.Node]()
    again = set[int]()
    for k, node in enumerate(nodes):
        for used in node.all_input_nodes if k > turn else ():
            if not stored(used) and segment[place[used]] not in again:
                again.add(segment[place[used]])
                for one in sorted(_needed(wanted[segment[place[used]]], stored), key=place.__getitem__):
                    now[one] = new.node_copy(one, now.__getitem__)
                    _spare(new, now[one])
        now[node] = new.node_copy(node, now.__getitem__)
    new.eliminate_dead_code()
    return new


def _spare(graph: fx.Graph, node: fx.Node) -> None:
    """Give an operation that moves statistics copies of them: they have been moved, and its result is of the batch."""
    for place in MOVED.get(node.target, ()):
        if isinstance(given := node.args[place], fx.Node):
            with graph.inserting_before(node):
                node.update_arg(place, graph.call_function(torch.ops.aten.clone.default, (given,)))


def _needed(wanted: Sequence[fx.Node], stored: Callable[[fx.Node], bool]) -> set[fx.Node]:
    """What has to be computed for these, from what is stored."""
    needed, ahead = set[fx.Node](), [*wanted]
    while ahead:
        node = ahead.pop()
        if node not in needed and not stored(node):
            needed.add(node)
            ahead += node.all_input_nodes
    return needed
