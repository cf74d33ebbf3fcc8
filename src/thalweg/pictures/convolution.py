"""A kernel on its way over a signal, place by place: bars for sequences, cells for images, lines for functions.

What is under the kernel, the kernel (flipped for a convolution), and the values so far, with those to come in grey; one
frame for each place, or for every second, third, … where there are more than can be watched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..language import mark, say
from .layout import dress, one_scale, panels
from .marks import line, points, words
from .moving import animated
from .numbers import short
from .style import BLUE, GRID, INK, MUTED, ORANGE, PURPLE, SHADE, SURFACE, VERMILION, Style, faded

FRAMES = 120  # that can be watched
CELLS = 300_000  # numbers that all frames of one picture may hold
READ = 12  # cells of at most so many rows and columns have their numbers written in them
WRITTEN = 9  # products that are written out one by one
ROOM, GAP = 683, 30  # px of the three panels side by side, and of what a panel has to its sides
LETTER = 0.56  # of the size of letters, how wide they are
CHANNELS = 4


def sliding_line(of: Any) -> go.Figure:
    """A sequence, the kernel under it and the values so far, as bars.

    `of` is what `tw.convolve` gives for two sequences.
    """
    padded, slid, values, mode = of.padded, of.slid, of.values, of.mode
    (stride,), ((before, _),) = of.stride, of.padding
    across = np.arange(len(padded)) - before
    at = np.arange(len(values)) * stride - before + (len(slid) - 1) / 2  # a value stands under its kernel's middle
    places = _places(len(values), len(padded) + len(slid) + len(values))

    def moving(place: int) -> list[go.Bar | go.Scatter]:
        start = place * stride
        under = (np.arange(len(padded)) >= start) & (np.arange(len(padded)) < start + len(slid))
        total = _sum(padded[start : start + len(slid)] * slid, values[place])
        return [
            _bars(across[under], padded[under], BLUE),
            _bars(across[~under], padded[~under], faded(BLUE, 0.3)),
            _bars(across[under], slid, ORANGE),
            _bars(at[:place], values[:place], faded(VERMILION, 0.4)),
            _bars(at[place : place + 1], values[place : place + 1], VERMILION),
            words([at.mean()], [_top(values)], [total], size=12, textposition="bottom center"),
        ]

    figure = panels(rows=3, vertical_spacing=0.1)
    figure.add_trace(_bars(at, values, GRID), row=3, col=1)  # those to come
    figure.add_traces(moving(places[_still(places)]), rows=[1, 1, 2, 3, 3, 3], cols=1)
    names = say("signal"), say("kernel{flipped}", flipped=_flip(mode)), say(mode)
    for row, (bars, name) in enumerate(zip((padded, slid, values), names, strict=True), start=1):
        low, high = _ends(bars)
        room = 0.12 * (high - low or 1)
        top = _top(values) if row == 3 else high + room
        figure.update_yaxes(range=[low - room * (low < 0), top], title_text=name, row=row)
    figure.update_xaxes(range=[across[0] - 0.7, across[-1] + 0.7])
    marked = _even(len(values), 12)
    ticks = {"tickvals": at[marked], "ticktext": [str(place) for place in marked]}
    figure.update_xaxes(title_text=say("place of the value"), row=3, **ticks)
    title = say("{mode} with a kernel of {size}", mode=mark(mode), size=len(slid))
    dress(figure, 560, *_titles(title, of.stride, of.padding), t=60, b=90)
    figure.update_layout(barmode="overlay", bargap=0.25)
    frames = [go.Frame(data=moving(place), name=str(place), traces=list(range(1, 7))) for place in places]
    return animated(figure, frames, say("value number"), _still(places))


Padding = Sequence[tuple[int, int]]


def sliding_image(
    planes: np.ndarray, kernels: np.ndarray, values: np.ndarray, stride: Sequence[int], padding: Padding, mode: str
) -> go.Figure:
    """An image, the kernel's place on it, and the values so far, as cells; one row of panels for each channel.

    Args:
        planes: (channels, height, width) with its zeros; at most 4 channels.
        kernels: (channels, rows, columns), flipped for a convolution.
        values: (rows, columns) what comes out.
        stride, padding: along each axis.
        mode: what it is called.
    """
    channels, rows, columns = kernels.shape
    shapes = [planes[0].shape, kernels[0].shape, values.shape]
    image = say("image") + say(", with zeros around it") * any(padding[-1])
    titles = [image, say("kernel{flipped}", flipped=_flip(mode)), say(mode)]
    gaps = {"column_widths": _widths(shapes), "horizontal_spacing": 0.04, "vertical_spacing": 0.06}
    figure = panels(channels, 3, titles, **gaps).update_annotations(font={"color": MUTED})
    most = float(np.abs(kernels).max())
    for row, (plane, kernel) in enumerate(zip(planes, kernels, strict=True), start=1):
        cells = [_cells(plane, planes.min(), planes.max()), _around(plane.shape, padding), _kernel(kernel, most)]
        figure.add_traces(cells, rows=row, cols=[1, 1, 2])
    to_come = {"font": {"color": MUTED, "size": 11}, "written": values, "hoverinfo": "skip"}
    figure.add_trace(_heat(np.zeros(values.shape), [[0, SHADE], [1, SHADE]], **to_come), row=1, col=3)
    low, high = float(values.min()), float(values.max())
    written = rows * columns <= WRITTEN and channels == 1
    spots = list(np.ndindex(values.shape))
    places = _places(len(spots), values.size)
    sums = dict.fromkeys(places, "")
    for place in places if written else ():
        y, x = spots[place]
        under = planes[0, y * stride[0] :, x * stride[1] :][:rows, :columns]
        sums[place] = _products(under, kernels[0], float(values[y, x]))
    size = _size(sums.values(), _widths(shapes)[1])  # the same at every place

    def moving(place: int) -> list[go.Heatmap | go.Scatter]:
        y, x = spots[place]
        so_far = np.where(np.arange(values.size).reshape(values.shape) <= place, values, np.nan)
        top, left = y * stride[0], x * stride[1]
        middle, below = [(columns - 1) / 2], [rows - 0.3]
        said = words(middle, below, [sums[place]], size=size, textposition="bottom center", cliponaxis=False)
        cells = _kernel(so_far, max(-low, high)) if low < 0 < high else _cells(so_far, low, high)
        return [cells, _outline(y, x, 1, 1), said, *[_outline(top, left, rows, columns)] * channels]

    first = len(figure.data)
    where = {"rows": [1, 1, 1, *range(1, channels + 1)], "cols": [3, 3, 2, *[1] * channels]}
    figure.add_traces(moving(places[_still(places)]), **where)
    _cell_axes(figure, shapes, channels)
    if written:  # room for the sum
        figure.update_xaxes(range=[-1.4, columns + 0.4], row=1, col=2)
        figure.update_yaxes(range=[2 * rows + 0.5, -0.5], row=1, col=2)
    title = say("{mode} with a kernel of {rows}×{columns}", mode=mark(mode), rows=rows, columns=columns)
    dress(figure, 120 + max(300, 250 * channels), *_titles(title, stride, padding), t=76, b=90)
    traces = list(range(first, len(figure.data)))
    frames = [go.Frame(data=moving(place), name=str(place), traces=traces) for place in places]
    return animated(figure, frames, say("value number"), _still(places))


def _cell_axes(figure: go.Figure, shapes: Sequence[tuple[int, ...]], channels: int) -> None:
    """Square cells, the first row on top, without ticks; the values stand in the first row only."""
    for column, (height, width) in enumerate(shapes, start=1):
        figure.update_xaxes(range=[-0.5, width - 0.5], col=column)
        figure.update_yaxes(range=[height - 0.5, -0.5], col=column)
    bare = {"showgrid": False, "showticklabels": False}
    one_scale(figure).update_xaxes(**bare).update_yaxes(**bare)
    for row in range(1, channels + 1) if channels > 1 else ():
        figure.update_yaxes(title_text=say("channel {number}", number=row), row=row, col=1)
    for row in range(2, channels + 1):
        figure.update_xaxes(visible=False, row=row, col=3).update_yaxes(visible=False, row=row, col=3)


def sliding_function(of: Any, most: int) -> go.Figure:
    """f, the moving g, their product as an area, and below the integral as far as it has come.

    Args:
        of: what `tw.convolve` gives for two functions.
        most: frames at most.
    """
    order = np.argsort(of.at)
    f, g, mode, at, values = of.f, of.g, of.mode, of.at[order], of.values[order]
    tau = np.linspace(at[0], at[-1], 401) if len(at) > 1 else np.linspace(at[0] - 5, at[0] + 5, 401)
    flipped = mode == "convolution"
    sign, inside = ("∗", "t − τ") if flipped else ("⋆", "τ − t")
    places, fixed = _even(len(at), most), f(tau)

    def moving(place: int) -> list[go.Scatter]:
        moved = g(at[place] - tau) if flipped else g(tau - at[place])
        area: dict[str, Any] = {"fill": "tozeroy", "fillcolor": faded(PURPLE, 0.35)}
        return [
            line(tau, moved, Style(ORANGE, "dash"), name=f"g({inside})"),
            line(tau, fixed * moved, PURPLE, name=say("product"), **area),
            line(at[: place + 1], values[: place + 1], VERMILION, name=say("(f{sign}g)(t), the area", sign=sign)),
            points([at[place]], [values[place]], VERMILION, 9, showlegend=False),
        ]

    figure = panels(rows=2, vertical_spacing=0.16)
    figure.add_traces([line(tau, fixed, BLUE, name="f(τ)"), line(at, values, GRID, showlegend=False)], [1, 2], [1, 1])
    figure.add_traces(moving(places[_still(places)]), rows=[1, 1, 2, 2], cols=1)
    both = np.concatenate([fixed, g(tau - at[len(at) // 2])])
    low, high = min(0.0, float(both.min())), float(both.max())
    room = 0.08 * (high - low or 1)
    figure.update_yaxes(range=[low - room, high + room], row=1)
    figure.update_xaxes(range=[tau[0], tau[-1]], title_text="τ").update_xaxes(title_text="t", row=2)
    integral = f"(f{sign}g)(t) = ∫ f(τ)·g({inside}) dτ"
    formulas = [f"{letter} = {name}" for letter, name in zip("fg", of.names, strict=True) if name]
    dress(figure, 560, mode.capitalize(), ",  ".join([integral, *formulas]), t=60, b=120)
    frames = [go.Frame(data=moving(k), name=short(float(at[k])), traces=[2, 3, 4, 5]) for k in places]
    return animated(figure, frames, "t =", _still(places))


def _flip(mode: str) -> str:
    return say(", flipped") if mode == "convolution" else ""


def _places(count: int, size: int) -> list[int]:
    """Which places have a frame; the last one always."""
    return _even(count, max(12, min(FRAMES, CELLS // max(size, 1))))


def _even(count: int, most: int) -> list[int]:
    """At most so many of 0, …, count − 1, evenly spaced, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def _still(places: Sequence[int]) -> int:
    """Which frame stands where nothing moves: one with the kernel under way and most values computed."""
    return int(0.6 * (len(places) - 1))


def _bars(x: np.ndarray, y: np.ndarray, colour: str) -> go.Bar:
    return go.Bar(x=x, y=y, marker={"color": colour, "line": {"width": 0}}, showlegend=False)


def _cells(z: np.ndarray, low: float, high: float) -> go.Heatmap:
    return _heat(z, SURFACE, {"size": 11}, zmin=low, zmax=high if high > low else low + 1)


def _heat(z: np.ndarray, colours: Any, font: dict[str, Any], written: Any = None, **more: Any) -> go.Heatmap:
    """Cells; as long as there is room, with their numbers in them, or the numbers `written`."""
    if max(z.shape) <= READ:
        more |= {"text": _numbers(z if written is None else written), "texttemplate": "%{text}", "textfont": font}
    return go.Heatmap(z=z, colorscale=colours, showscale=False, **more)


def _numbers(z: np.ndarray) -> list[list[str]]:
    return [["" if np.isnan(v) else short(float(f"{v:.2g}")) for v in row] for row in z]


def _around(shape: tuple[int, ...], padding: Padding) -> go.Heatmap:
    """The zeros around an image, in the colour of no value: they are not black pixels."""
    (top, bottom), (left, right) = padding[-2:]
    zeros = np.zeros(shape)
    zeros[top : shape[0] - bottom, left : shape[1] - right] = np.nan
    return _heat(zeros, [[0, GRID], [1, GRID]], {"color": MUTED, "size": 11}, zmin=0, zmax=1)


def _products(part: np.ndarray, kernel: np.ndarray, value: float) -> str:
    """Every product under the kernel, a line for each of its rows, and their sum."""
    terms = zip(_bare(part), _bare(kernel), strict=True)
    lines = [" + ".join(f"{a}·{k}" for a, k in zip(*row, strict=True)) for row in terms]
    return " +<br>".join(lines) + f"<br>= {short(float(value))}"


def _size(sums: Iterable[str], share: float) -> float:
    """Of the letters, so that the longest line has room under the kernel, whose panel has that share of all."""
    longest = max(len(row) for text in sums for row in text.split("<br>"))
    return min(12.0, max(6.0, (share * ROOM + GAP) / (LETTER * max(longest, 1))))


def _bare(z: np.ndarray) -> list[list[str]]:
    """Numbers as factors."""
    return [[f"({v})" if v[0] == "−" else v for v in row] for row in _numbers(z)]


def _kernel(z: np.ndarray, most: float) -> go.Heatmap:
    """0 in the middle of the colours."""
    ground = [[0, faded(BLUE, 0.6)], [0.5, SHADE], [1, faded(ORANGE, 0.8)]]
    return _heat(z, ground, {"color": INK, "size": 12}, zmin=-most, zmax=most)


def _outline(y: int, x: int, rows: int, columns: int) -> go.Scatter:
    left, right, top, bottom = x - 0.5, x + columns - 0.5, y - 0.5, y + rows - 0.5
    corners = [left, right, right, left, left], [top, top, bottom, bottom, top]
    return line(*corners, VERMILION, 3, showlegend=False, hoverinfo="skip")


def _widths(shapes: Sequence[tuple[int, ...]]) -> list[float]:
    """The image as wide as the values; the kernel with room for its sum."""
    image, kernel, values = (shape[1] for shape in shapes)
    parts = [max(image, 1), max(kernel, image / 2), max(values, image / 3)]
    return [part / sum(parts) for part in parts]


def _ends(bars: np.ndarray) -> tuple[float, float]:
    return min(0.0, float(np.min(bars))), max(0.0, float(np.max(bars)))


def _top(values: np.ndarray) -> float:
    """Room above the bars for the sum."""
    low, high = _ends(values)
    return high + 0.45 * (high - low or 1)


def _sum(products: np.ndarray, value: float) -> str:
    """The products added up, as long as they fit."""
    if len(products) > 7:
        return say("the sum of {count} products is {value}", count=len(products), value=short(float(value)))
    terms = "".join(f" {'−' if p < 0 else '+'} {short(abs(float(p)))}" for p in products)
    return f"{terms.removeprefix(' + ').removeprefix(' ').replace('− ', '−', terms[1] == '−')} = {short(float(value))}"


def _titles(title: str, stride: Sequence[int], padding: Padding) -> tuple[str, str]:
    """The title, and a note that says the stride and the zeros around."""
    steps = "×".join(map(str, sorted(set(stride))))
    zeros = {f"{a}" if a == b else say("{before} and {after}", before=a, after=b) for a, b in padding}
    return title.capitalize(), say("stride {steps}, zeros around: {zeros}", steps=steps, zeros=", ".join(sorted(zeros)))
