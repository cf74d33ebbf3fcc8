"""`Size`: a model's layers and what they take, as tables and as text in 80 columns: a tree, then the bytes."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..formulas import Formula
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
        tensors: (values, trainable) of each parameter; shared ones once.
        buffers: bytes of what is neither trained nor a parameter, such as running statistics, as it is kept.
        optimizers: whose states are counted.
        note: what the numbers of a known model need to be read rightly.
    """

    name: str
    layers: tuple[Layer, ...] = field(repr=False)
    input: tuple[tuple[int, ...], ...]
    tensors: tuple[tuple[int, bool], ...] = field(repr=False)
    buffers: int
    optimizers: tuple[Formula, ...] = field(repr=False)
    note: str = field(default="", repr=False)

    @property
    def parameters(self) -> int:
        """All of them, shared ones once."""
        return sum(count for count, _ in self.tensors)

    @property
    def trainable(self) -> int:
        """Parameters with a gradient."""
        return sum(count for count, own in self.tensors if own)

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
        inside = [o for o in self.layers if not layer.name or f"{o.name}.".startswith(f"{layer.name}.")]
        return (sum(o.weights for o in inside), sum(o.biases for o in inside), sum(o.multiply_adds for o in inside))

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
            own = (layer.weights, layer.biases, layer.multiply_adds)
            weights, biases, multiply_adds = self.whole(layer) if whole else own
            container = any(o.name.startswith(f"{layer.name}.") for o in self.layers) or not layer.name
            if container and len(self.layers) > 1 and not (whole or any(own)):
                continue
            rows.append(
                {
                    "layer": layer.name,
                    "kind": layer.kind,
                    "output": layer.output,
                    "kernel": layer.kernel,
                    "stride": layer.stride,
                    "padding": layer.padding,
                    "groups": layer.groups,
                    "weights": weights,
                    "biases": biases,
                    "parameters": weights + biases,
                    "multiply_adds": multiply_adds,
                }
            )
        return pd.DataFrame(rows)

    def memory(self) -> pd.DataFrame:
        """Bytes of weights, gradients and each optimizer's states, one column per format.

        States and gradients are those of trainable parameters. A step count of 4 bytes per tensor comes on top.
        """
        import pandas as pd

        rows = [{"what": b.what, **_plain(b)} for b in self.bytes()]
        return pd.DataFrame(rows).set_index("what")

    def bytes(self) -> list[Bytes]:
        """The rows of `memory`."""
        trained = [count for count, own in self.tensors if own]
        return [
            plain("weights", [count for count, _ in self.tensors]),
            plain("gradients", trained),
            *(states(formula, trained) for formula in self.optimizers),
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        shown = self.table().astype(object)
        return {
            "name": self.name,
            "input": self.input,
            "parameters": self.parameters,
            "trainable": self.trainable,
            "weights": self.weights,
            "multiply_adds": self.multiply_adds if self.input else None,
            "buffer_bytes": self.buffers,
            "note": self.note,
            "layers": shown.where(shown.notna(), None).to_dict("records"),
            "bytes": [{"what": b.what, **_plain(b)} for b in self.bytes()],
        }

    def __str__(self) -> str:
        return text(self)


def _plain(row: Bytes) -> dict[str, int]:
    return {"per_weight": row.per_weight, "per_tensor": row.per_tensor, **row.sizes}


def text(size: Size, depth: int | None = None, width: int = 80) -> str:
    """All of it.

    Args:
        depth: how deep the tree goes; what lies deeper is counted in the row above it.
        width: in characters.
    """
    out = io.StringIO()
    _print(out, _layers(size, depth), width)
    out.write(_totals(size) + "\n\n")
    _print(out, _bytes(size), width)
    out.write("\n")
    if size.buffers:
        out.write(f"Buffers, such as running statistics, take another {_stored(size.buffers)} as they are.\n")
    out.write(textwrap.fill(_CALLED * bool(size.input) + _LEGEND.format(more=_more(size)), width) + "\n")
    if size.note:
        out.write("\n" + textwrap.fill(f"{size.name}: {size.note}", width) + "\n")
    return out.getvalue().rstrip("\n")


_CALLED = (
    "An indented row is a part of the row above it. Kernel /stride +padding. Multiply-adds are those of convolutions "
    "and matrix products in one forward pass; rows that hold nothing and keep the shape are left out. "
)
_LEGEND = (
    "int8: a byte per value and a float32 scale per block of 256. States are those of trainable weights; per tensor, "
    "a step count of 4 bytes comes on top{more}."
)


def _more(size: Size) -> str:
    """Which rules keep further numbers for a whole tensor."""
    keep = [(row.what, row.per_tensor) for row in size.bytes() if row.per_tensor]
    words = [f"{count} number{'s' * (count > 1)} of 8 bytes for {what}" for what, count in keep]
    return f", and {' and '.join(words)}" if words else ""


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
    table = _table(
        ("layer", "left"),
        ("", "left"),
        ("output", "left"),
        ("kernel", "left"),
        ("weights", "right"),
        ("biases", "right"),
        ("mult-adds", "right"),
    )
    before: Any = size.input[0] if len(size.input) == 1 else None
    top = [layer for layer in size.layers if layer.depth or len(size.layers) == 1 or _holds(layer)]
    for layer in top:
        if depth is not None and layer.depth > depth:
            continue
        whole = (
            size.whole(layer)
            if layer.depth or len(size.layers) == 1
            else (layer.weights, layer.biases, layer.multiply_adds)
        )
        quiet = not any(whole) and not layer.shared and not layer.kernel
        if size.input and quiet and layer.output in (before, None):
            continue
        before = layer.output or before
        weights, biases, multiply_adds = (f"{n:,}" if n else "" for n in whole)
        name = layer.name.rpartition(".")[2] or "(itself)"
        table.add_row(
            "  " * max(layer.depth - 1, 0) + name,
            layer.kind + (f" ×{layer.calls}" if layer.calls > 1 else ""),
            "×".join(map(str, (layer.output or ())[1:])),
            _window(layer),
            weights or ("shared" if layer.shared else ""),
            biases,
            amount(whole[2]) if multiply_adds else "",
        )
    return table


def _holds(layer: Layer) -> bool:
    return bool(layer.weights or layer.biases or layer.multiply_adds)


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
    words = f"{size.parameters:,} parameters, {size.weights:,} without biases"
    if size.trainable != size.parameters:
        words += f"; {size.trainable:,} of them trainable"
    if not size.input:
        return words + "; give an input to see shapes and multiply-adds"
    return (
        f"{words};\n{size.multiply_adds:,} multiply-adds for {' and '.join('×'.join(map(str, s)) for s in size.input)}"
    )


def _stored(count: int) -> str:
    return amount(count, "B", 1e3)


def _bytes(size: Size) -> Any:
    table = _table(("bytes", "left"), *((form, "right") for form in FORMATS))
    rows = size.bytes()
    for row in rows[:2]:
        table.add_row(row.what, *(_stored(row.sizes[form]) for form in FORMATS))
    alike: dict[int, list[Bytes]] = {}
    for row in rows[2:]:
        alike.setdefault(row.per_weight, []).append(row)
    for per_weight, group in sorted(alike.items()):
        values = f"{per_weight} per weight" if per_weight else "none per weight"
        least = min(group, key=lambda row: row.per_tensor)
        table.add_row(
            f"states, {values}: {', '.join(row.what for row in group)}",
            *(_stored(least.sizes[form]) for form in FORMATS),
        )
    return table


def _table(*columns: tuple[str, Any]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name, side in columns:
        table.add_column(name, justify=side, overflow="fold", no_wrap=False)
    return table


def _print(out: io.StringIO, table: Any, width: int) -> None:
    from rich.console import Console

    shown = io.StringIO()
    Console(file=shown, width=width, highlight=False, markup=False, color_system=None).print(table)
    out.write("\n".join(line.rstrip() for line in shown.getvalue().splitlines()) + "\n")
