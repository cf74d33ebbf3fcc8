"""`Size`: a model's layers and what they take, as tables and as text in 80 columns: a tree, then the bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ..formulas import Formula
from ..language import mark, say, wrapped
from .layers import Layer
from .memory import FORMATS, Bytes, plain, states

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Size:
    """A model's layers and what they take; printed, it is a table.

    Attributes:
        name: of the model.
        layers: every module, containers before their contents.
        input: the shapes that it was called with, batch first; empty where it was not called.
        tensors: (shape, trainable) of each parameter; shared ones once.
        buffers: bytes of what is neither trained nor a parameter, such as running statistics, as it is kept.
        optimizers: whose states are counted.
        note: what the numbers of a known model need to be read rightly.
    """

    name: str
    layers: tuple[Layer, ...] = field(repr=False)
    input: tuple[tuple[int, ...], ...]
    tensors: tuple[tuple[tuple[int, ...], bool], ...] = field(repr=False)
    buffers: int
    optimizers: tuple[Formula, ...] = field(repr=False)
    note: str = field(default="", repr=False)

    @property
    def parameters(self) -> int:
        """All of them, shared ones once."""
        return sum(math.prod(shape) for shape, _ in self.tensors)

    @property
    def trainable(self) -> int:
        """Parameters with a gradient."""
        return sum(math.prod(shape) for shape, trainable in self.tensors if trainable)

    @property
    def weights(self) -> int:
        """Parameters without the biases."""
        return sum(layer.weights for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of matrix products and convolutions in one forward pass of the whole batch."""
        return sum(layer.multiply_adds for layer in self.layers)

    def whole(self, layer: Layer) -> tuple[int, int, int]:
        """(weights, biases, multiply-adds) of a layer with everything in it."""
        inside = [_counts(o) for o in self.layers if not layer.name or f"{o.name}.".startswith(f"{layer.name}.")]
        weights, biases, multiply_adds = map(sum, zip(*inside, strict=True))
        return weights, biases, multiply_adds

    def table(self, depth: int | None = None) -> pd.DataFrame:
        """One row per layer, in the order of the forward pass; every column of numbers adds up to the model's total.

        Args:
            depth: how deep to look; a module at this depth is one row with everything in it.
        """
        import pandas as pd

        deepest = math.inf if depth is None else depth
        rows = []
        for layer in self.layers:
            if layer.depth > deepest:
                continue
            whole = layer.depth == deepest
            weights, biases, multiply_adds = self.whole(layer) if whole else _counts(layer)
            container = any(o.name.startswith(f"{layer.name}.") for o in self.layers) or not layer.name
            if container and len(self.layers) > 1 and not (whole or any(_counts(layer))):
                continue
            row = {key: getattr(layer, key) for key in ("kind", "output", "kernel", "stride", "padding", "groups")}
            counts = {"weights": weights, "biases": biases, "parameters": weights + biases}
            rows.append({"layer": layer.name, **row, **counts, "multiply_adds": multiply_adds})
        return pd.DataFrame(rows)

    def memory(self) -> pd.DataFrame:
        """Bytes of weights, gradients and each optimizer's states, one column per format.

        States and gradients are those of trainable parameters. A step count of 4 bytes per tensor comes on top.
        """
        import pandas as pd

        return pd.DataFrame(map(_plain, self.bytes())).set_index("what")

    def bytes(self) -> list[Bytes]:
        """The rows of `memory`."""
        trainable = [shape for shape, trainable in self.tensors if trainable]
        counts, trained = [math.prod(shape) for shape, _ in self.tensors], list(map(math.prod, trainable))
        per_rule = [states(formula, trainable) for formula in self.optimizers]
        return [plain(mark("weights"), counts), plain(mark("gradients"), trained), *per_rule]

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        table, keys = self.table().astype(object), ("name", "input", "parameters", "trainable", "weights")
        return {
            **{key: getattr(self, key) for key in keys},
            "multiply_adds": self.multiply_adds if self.input else None,
            "buffer_bytes": self.buffers,
            "note": self.note,
            "layers": table.where(table.notna(), None).to_dict("records"),
            "bytes": list(map(_plain, self.bytes())),
        }

    def __str__(self) -> str:
        return text(self)


def _counts(layer: Layer) -> tuple[int, int, int]:
    """(weights, biases, multiply-adds) of a layer without what is in it."""
    return layer.weights, layer.biases, layer.multiply_adds


def _plain(row: Bytes) -> dict[str, Any]:
    return {"what": row.what, "per_weight": row.per_weight, "per_tensor": row.per_tensor, **row.sizes}


def text(size: Size, depth: int | None = None, width: int = 80) -> str:
    """All of it.

    Args:
        depth: how deep the tree goes; what lies deeper is counted in the row above it.
        width: in characters.
    """
    lines = [*_printed(_layers(size, depth), width), _totals(size), "", *_printed(_bytes(size), width), ""]
    if size.buffers:
        taken = _stored(size.buffers)
        lines.append(say("Buffers, such as running statistics, take another {bytes} as they are.", bytes=taken))
    called = f"{say(_CALLED)} " if size.input else ""
    lines += wrapped(called + say(_LEGEND, more=_more(size)), width)
    if size.note:
        lines += ["", *wrapped(f"{size.name}: {say(size.note)}", width)]
    return "\n".join(lines)


_CALLED = mark(
    "An indented row is a part of the row above it. Kernel /stride +padding. Multiply-adds are those of convolutions "
    "and matrix products in one forward pass; rows that hold nothing and keep the shape are left out."
)
_LEGEND = mark(
    "int8: a byte per value and a float32 scale per block of 256. States are those of trainable weights; per tensor, "
    "a step count of 4 bytes comes on top{more}."
)


def _more(size: Size) -> str:
    """Which rules keep further numbers for a whole tensor, those with as many together."""
    keep = sorted((row for row in size.bytes() if row.per_tensor), key=attrgetter("per_tensor"))
    words = [
        f"{count} ({', '.join(row.what for row in rows)})" for count, rows in groupby(keep, attrgetter("per_tensor"))
    ]
    return say(", and further numbers of 8 bytes: {words}", words=", ".join(words)) if words else ""


def amount(count: int, unit: str = "", whole: float = 1e6) -> str:
    """A count in four digits.

    Args:
        unit: what is counted.
        whole: up to here every digit is shown.

    >>> amount(61706), amount(60965224), amount(999_999_999), amount(4816, "B", 1e3)
    ('61,706', '60.97 M', '1 G', '4.816 kB')
    """
    if count < whole:
        return f"{count:,} {unit}".rstrip()
    for size, name in ((1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"), (1e15, "P")):
        digits = float(f"{count / size:.4g}")
        if digits < 1000 and size >= whole:
            return f"{digits:g} {name}{unit}"
    return f"{count:.3g} {unit}".rstrip()


def _layers(size: Size, depth: int | None) -> Any:
    heads = map(mark, ("layer", "", "output", "kernel")), map(mark, ("weights", "biases", "mult-adds"))
    table = _table(*heads)
    before: Any = size.input[0] if len(size.input) == 1 else None
    for layer in size.layers:
        part = layer.depth or len(size.layers) == 1  # or the model, which has a row for what is not in its parts
        whole = size.whole(layer) if part else _counts(layer)
        if not (part or any(whole)) or (depth is not None and layer.depth > depth):
            continue
        quiet = not any(whole) and not layer.shared and not layer.kernel
        if size.input and quiet and layer.output in (before, None):
            continue
        before = layer.output or before
        name = layer.name.rpartition(".")[2] or say("(itself)")
        kind = layer.kind + (f" ×{layer.calls}" if layer.calls > 1 else "")
        output = "×".join(map(str, (layer.output or ())[1:]))
        weights, biases = (f"{n:,}" if n else "" for n in whole[:2])
        weights, multiply_adds = weights or say("shared") * bool(layer.shared), amount(whole[2]) if whole[2] else ""
        row = "  " * max(layer.depth - 1, 0) + name, kind, output, _window(layer), weights, biases, multiply_adds
        table.add_row(*row)
    return table


def _window(layer: Layer) -> str:
    """Kernel, stride and padding in a word: ``11×11 /4 +2``."""
    if layer.kernel is None:
        return ""
    words = "×".join(map(str, layer.kernel))
    if layer.stride and set(layer.stride) != {1}:
        words += f" /{_axes(layer.stride)}"
    if isinstance(layer.padding, str):
        words += f" {layer.padding}"
    elif layer.padding and set(layer.padding) != {0}:
        words += f" +{_axes(layer.padding)}"
    return words


def _axes(values: Sequence[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else ",".join(map(str, values))


def _totals(size: Size) -> str:
    words = say(
        "{parameters:,} parameters, {weights:,} without biases", parameters=size.parameters, weights=size.weights
    )
    if size.trainable != size.parameters:
        words += say("; {count:,} of them trainable", count=size.trainable)
    if not size.input:
        return words + say("; give an input to see shapes and multiply-adds")
    inputs = say(" and ").join("×".join(map(str, shape)) for shape in size.input)
    return f"{words};\n" + say("{count:,} multiply-adds for {inputs}", count=size.multiply_adds, inputs=inputs)


def _stored(count: int) -> str:
    return amount(count, "B", 1e3)


def _bytes(size: Size) -> Any:
    table = _table((mark("bytes"),), FORMATS)
    weights, gradients, *rules = size.bytes()
    rows = [(say(weights.what), weights), (say(gradients.what), gradients)]
    per_weight = attrgetter("per_weight")
    for count, group in groupby(sorted(rules, key=per_weight), per_weight):
        alike = list(group)
        names = ", ".join(row.what for row in alike)
        words = say("states, {count} per weight: {names}", count=f"{count:g}" if count else say("none"), names=names)
        rows.append((words, min(alike, key=attrgetter("per_tensor"))))
    for words, row in rows:
        table.add_row(words, *(_stored(row.sizes[form]) for form in FORMATS))
    return table


def _table(left: Iterable[str], right: Iterable[str]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in left:
        table.add_column(say(name), overflow="fold")
    for name in right:
        table.add_column(say(name), justify="right", overflow="fold")
    return table


def _printed(table: Any, width: int) -> list[str]:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=width, highlight=False, markup=False, color_system=None).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]
