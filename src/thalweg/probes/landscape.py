"""`landscape`: the loss of a real network, along a line, in a random plane or in the plane of its training path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ProblemError, UsageError, first_line
from ..landscapes.slices import Slices, State, filter_normalised, principal
from ..language import mark, say
from ..numbers import POSITIVE, Range, plain
from ..results import Results
from ..samples import Samples

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from ..plan.factors import Setting
    from ..problem.declaration import Problem

KINDS = ("path", "random", "line")
LINE, GRID = 41, 25  # points from one end to the other, and along each axis of a plane
BEYOND = 4  # a line goes on for a quarter of its length at both ends
MARGIN = 0.2  # of the path's extent, around it


@dataclass(frozen=True, eq=False, repr=False)
class Landscape:
    """A network's loss along one or two directions.

    Attributes:
        name: of the network or the study's member.
        kind: "line", "random" or "path".
        axes: one array of coordinates per direction. On a line 0 is the first solution and 1 the second; in a plane
            the network is at (0, 0), and coordinates are shares of the filters' norms ("random") or distances of
            weights ("path").
        losses: (points,) on a line, else (points of the second axis, points of the first), NaN where not a number.
        ends: the losses of the solutions themselves: two of a line, one of a plane.
        path: (iterates, 2) the projections of a path's points; None without one.
        path_losses: (iterates,) the losses of the points themselves, which lie beside the plane.
        explained: of the path's variance, the share along each axis.
        projection_error: (iterates,) the distance of each point from the plane, as a share of its way to the end.
        loss_name, part, samples, total: what was measured, on how many of how many samples of which part.
        batched: whether many points were evaluated at once, or one after another.
        directions: one per axis, by name of the weight.
    """

    name: str
    kind: str
    axes: tuple[np.ndarray, ...]
    losses: np.ndarray
    ends: tuple[float, ...]
    loss_name: str
    part: str
    samples: int
    total: int
    batched: bool
    directions: tuple[State, ...] = field(default=())
    path: np.ndarray | None = None
    path_losses: np.ndarray | None = None
    explained: np.ndarray | None = None
    projection_error: np.ndarray | None = None

    @property
    def resolution(self) -> tuple[int, ...]:
        """How many points along each axis."""
        return tuple(map(len, self.axes))

    @property
    def barrier(self) -> float:
        """How far the loss between two solutions rises above the straight line of their losses; 0 if it never does.

        max over t in [0, 1] of L((1 − t)·a + t·b) − ((1 − t)·L(a) + t·L(b)), on the points of the line.

        Source: Frankle et al. 2020, section 2.

        Raises:
            UsageError: of a plane.
        """
        if self.kind != "line":
            raise UsageError("a barrier lies between two solutions; give landscape to=, the second one.")
        t = self.axes[0]
        rise = self.losses - ((1 - t) * self.ends[0] + t * self.ends[1])
        return float(np.max(rise[(t >= 0) & (t <= 1)], initial=0.0))

    @property
    def note(self) -> str:
        """What to know when looking at it, in words."""
        which = (
            say("all {total:,}", total=self.total)
            if self.samples == self.total
            else say("{samples:,} of {total:,}", samples=self.samples, total=self.total)
        )
        shape = "×".join(map(str, self.resolution))
        parts = [
            say(
                "{loss} on {which} {part} samples at {shape} points",
                loss=self.loss_name,
                which=which,
                part=mark(self.part),
                shape=shape,
            )
        ]
        if self.kind == "line":
            parts.append(say("the barrier between the ends is {barrier:.4g}", barrier=self.barrier))
        if self.kind == "random":
            parts.append(say("directions are random and filter-normalised, with biases and norms left as they are"))
        if self.explained is not None and self.projection_error is not None:
            each = " + ".join(f"{share:.1%}" for share in self.explained)
            parts.append(
                say(
                    "the plane holds {held:.1%} of the path's variance ({each}); points of the path lie "
                    "beside it by up to {most:.0%} of their way to the end, {median:.0%} in the median",
                    held=self.explained.sum(),
                    each=each,
                    most=self.projection_error.max(),
                    median=np.median(self.projection_error[:-1]),
                )
            )
        return "; ".join(parts) + "."

    def __repr__(self) -> str:
        return f"<Landscape of {self.name}, {self.kind}: {self.note}>"

    def table(self) -> pd.DataFrame:
        """One row per point: its coordinates and its loss."""
        import pandas as pd

        grids = np.meshgrid(*self.axes)
        names = ["t"] if self.kind == "line" else ["x", "y"]
        columns = {name: grid.ravel() for name, grid in zip(names, grids, strict=True)}
        return pd.DataFrame(columns | {"loss": self.losses.ravel()})

    def to_json(self) -> dict[str, Any]:
        """Everything but the directions, as plain data; None where a loss is not a number."""
        facts = {
            "name": self.name,
            "kind": self.kind,
            "note": self.note,
            "loss": self.loss_name,
            "part": self.part,
            "samples": self.samples,
            "ends": np.array(self.ends),
            "axes": self.axes,
            "losses": self.losses,
            "path": self.path,
            "path_losses": self.path_losses,
            "explained": self.explained,
            "projection_error": self.projection_error,
            "barrier": self.barrier if self.kind == "line" else None,
        }
        return plain(facts)

    def picture(self, surface: bool = False) -> go.Figure:
        """The loss along the line, or level lines with the path on them.

        Args:
            surface: draw a plane's loss as a surface that one can turn.
        """
        from ..pictures import slices as pictures

        plane = pictures.sheet if surface else pictures.contours
        draw = pictures.line if self.kind == "line" else plane
        return draw(self, say("The loss of {name}", name=self.name))

    @property
    def labels(self) -> tuple[str, str]:
        """What the two directions of a plane are, in words."""
        if self.explained is None:
            return say("random direction, in norms of the filters"), say("another one")
        first, second = (say("{share:.0%} of the path's variance", share=share) for share in self.explained)
        return say("first direction: {first}", first=first), say("second direction: {second}", second=second)


def landscape(
    model: nn.Module | Results,
    problem: Problem | str | None = None,
    *,
    to: nn.Module | Mapping[str, Tensor] | str | None = None,
    path: Sequence[nn.Module | Mapping[str, Tensor]] | None = None,
    kind: str | None = None,
    optimizer: str | Setting | None = None,
    points: int | None = None,
    span: float = 1.0,
    part: str = "validation",
    samples: int | None = None,
    seed: int = 0,
) -> Landscape:
    """The loss of a network along a line to another solution, in a random plane, or in the plane of its path.

    The network is not changed; a copy is evaluated, without dropout and with the running statistics of
    its norms, for many points at once where it allows that.

    Args:
        model: a trained network; or a study, whose member is trained again from its recipe.
        problem: what it was trained on: data and loss. Of a study: only if it was opened, and was given a
            `tw.Problem` object.
        to: another solution, a network or its state_dict: the line between the two. Of a study: another optimizer.
            Running statistics go along with the weights, and beyond the ends stay those of the nearer one.
        path: the networks or state_dicts that training came by, in order, the network itself last; or, kind="path".
        kind: "path", "random" or "line"; what `to` and `path` imply, else "path" of a study and "random" of a
            network.
        optimizer: of a study, whose chosen setting is shown, or a setting itself; the best unless given.
        points: along each axis of a plane, 25 unless given; between the ends of a line, 41, and a quarter as many on
            beyond each end.
        span: how far a random plane goes in each direction, in norms of the filters.
        part: "validation" or "train".
        samples: how many samples to measure on, drawn by `seed`; all unless given.
        seed: of the random directions and of the samples.

    Raises:
        UsageError, ProblemError: parts that do not fit together.

    >>> import torch, thalweg as tw
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))
    >>> plane = tw.landscape(net, "digits", points=5)
    >>> plane.losses.shape, bool(abs(plane.losses[2, 2] - plane.ends[0]) < 1e-6)
    ((5, 5), True)
    """
    _check(kind, points, span, part, samples)
    has_path = path is not None or isinstance(model, Results)
    chosen = kind or ("line" if to is not None else "path" if has_path else "random")
    _agree(chosen, to is not None, has_path)
    if isinstance(model, Results):
        from .members import solutions

        name, module, ready, states, other = solutions(model, problem, optimizer, to, chosen)
    else:
        if optimizer is not None:
            raise UsageError("optimizer= chooses a member of a study; leave it out for a network.")
        name, module, ready = type(model).__name__, model, _prepared(model, problem)
        states, other = path, to
    chosen_samples, total = _samples(ready, part, samples, seed)
    slices = _slices(module, ready, chosen_samples)
    if chosen == "line":
        facts = _line(slices, other, points)
    elif chosen == "random":
        facts = _random(slices, points, span, seed)
    else:
        facts = _along(slices, states, points)
    measured = {"loss_name": ready.loss_name, "part": part, "samples": chosen_samples.size, "total": total}
    return Landscape(name=name, kind=chosen, batched=slices.batched, **measured, **facts)


def _check(kind: str | None, points: int | None, span: float, part: str, samples: int | None) -> None:
    if kind is not None and kind not in KINDS:
        raise UsageError(
            "the kind is {kind}; give {names} or {last}.", kind=repr(kind), names=", ".join(KINDS[:-1]), last=KINDS[-1]
        )
    for what, value, least in (("points", points, 3), ("samples", samples, 1)):
        if value is not None:
            Range(least, whole=True).check(what, value)
    POSITIVE.check("the span", span)
    if part not in ("validation", "train"):
        raise UsageError(
            "the part is {part}; give validation or train: the test part is for the last word alone.", part=repr(part)
        )


def _agree(kind: str, to: bool, path: bool) -> None:
    if kind == "line" and not to:
        raise UsageError("a line goes from one solution to another; give to=, the second one.")
    if kind == "path" and not path:
        raise UsageError("the plane of a path needs the path; give path=, the state_dicts that training came by.")
    if kind != "line" and to:
        raise UsageError("to= is the end of a line, and kind is {kind}; leave one of them out.", kind=repr(kind))


def _prepared(model: Any, problem: Any) -> Any:
    if not isinstance(model, nn.Module):
        raise UsageError(
            "the model is of type {kind}; give a torch.nn.Module or a tw.Study.", kind=type(model).__name__
        )
    if problem is None:
        raise UsageError("a network has a loss on data alone; give problem=, a tw.Problem or a built-in's name.")
    from ..problem.prepare import prepare

    return prepare(problem)


def _samples(ready: Any, part: str, samples: int | None, seed: int) -> tuple[Samples, int]:
    """The samples to measure on, and how many there are in all."""
    data = ready.validation if part == "validation" else ready.train
    if not isinstance(data, Samples):
        raise UsageError("the train data are a DataLoader, which draws; measure on part='validation'.")
    if samples is None or samples >= data.size:
        return data, data.size
    chosen = torch.randperm(data.size, generator=torch.Generator().manual_seed(seed))[:samples]
    return data.take(chosen), data.size


def _slices(model: nn.Module, ready: Any, samples: Samples) -> Slices:
    try:
        return Slices(model, ready.loss, *samples)
    except Exception as fault:  # whatever a user's forward pass may raise
        raise ProblemError(
            "{kind} fails on the inputs of {name} ({words}); give the problem it was trained on.",
            kind=type(model).__name__,
            name=ready.name,
            words=first_line(fault),
        ) from fault


def _line(slices: Slices, other: Any, points: int | None) -> dict[str, Any]:
    count = (points or LINE) - 1
    t = np.arange(-(count // BEYOND), count + count // BEYOND + 1) / count
    first, second = slices.here(), _state(slices, other, "the second solution")

    def at(place: float) -> Callable[[str], Tensor]:
        def tensor(name: str) -> Tensor:
            share = float(np.clip(place, 0, 1)) if name in slices.moving else place
            if not first[name].is_floating_point():
                return first[name]
            return (1 - share) * first[name] + share * second[name]

        return tensor

    losses = slices.losses([at(place) for place in t])
    ends = slices.losses([first.__getitem__, second.__getitem__])
    direction = {name: second[name] - first[name] for name in slices.names}
    return {"axes": (t,), "losses": losses, "ends": tuple(ends.tolist()), "directions": (direction,)}


def _random(slices: Slices, points: int | None, span: float, seed: int) -> dict[str, Any]:
    axis = np.linspace(-span, span, points or GRID)
    directions = tuple(filter_normalised(slices.model, slices.names, 2 * seed + k) for k in range(2))
    here = slices.here()
    losses, ends = _grid(slices, here, directions, (axis, axis)), slices.losses([here.__getitem__])
    return {"axes": (axis, axis), "losses": losses, "ends": tuple(ends.tolist()), "directions": directions}


def _along(slices: Slices, path: Any, points: int | None) -> dict[str, Any]:
    states = [_state(slices, one, f"point {k} of the path") for k, one in enumerate(path)]
    here = slices.here()
    if not states or any(not torch.equal(states[-1][n], here[n]) for n in here):
        states.append(here)
    plane = principal(states, slices.names)
    if plane is None:
        raise UsageError(
            "a path of {states} points, the network among them, spans fewer than two directions; give "
            "more of its points.",
            states=len(states),
        )
    axes = []
    for values in plane["path"].T:
        room = MARGIN * float(np.ptp(values))
        axes.append(np.linspace(values.min() - room, values.max() + room, points or GRID))
    losses = _grid(slices, here, plane["directions"], (axes[0], axes[1]))
    path_losses = slices.losses([state.__getitem__ for state in states])
    measured = {"losses": losses, "ends": (float(path_losses[-1]),), "path_losses": path_losses}
    return {"axes": tuple(axes), **measured, **plane}


def _grid(slices: Slices, here: State, directions: Sequence[State], axes: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(points of the second axis, points of the first)."""
    first, second = directions

    def at(x: float, y: float) -> Callable[[str], Tensor]:
        def tensor(name: str) -> Tensor:
            return here[name] + x * first[name] + y * second[name] if name in first else here[name]

        return tensor

    points = [at(float(x), float(y)) for y in axes[1] for x in axes[0]]
    return slices.losses(points).reshape(len(axes[1]), len(axes[0]))


def _state(slices: Slices, source: Any, what: str) -> State:
    """The tensors of a network or a state_dict that belong to a point."""
    if not isinstance(source, nn.Module | Mapping):
        raise UsageError(
            "{what} is of type {kind}; give a network or its state_dict.", what=what, kind=type(source).__name__
        )
    state = source.state_dict() if isinstance(source, nn.Module) else source
    here = slices.here()
    for name, tensor in here.items():
        if name not in state or state[name].shape != tensor.shape:
            has = f"{name} of shape {tuple(state[name].shape)}" if name in state else f"no {name}"
            raise UsageError(
                "{what} has {has}, and the network one of shape {shape}; both must be of the same kind.",
                what=what,
                has=has,
                shape=tuple(tensor.shape),
            )
    return {name: state[name].detach().to(tensor) for name, tensor in here.items()}
