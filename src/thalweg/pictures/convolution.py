"""A kernel on its way over a signal, place by place: bars for sequences, cells for images, lines for functions.

What is under the kernel, the kernel as it is laid on, and the values found so far; one frame for each place, or for
every second, third, … where there are more than can be watched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .moving import animated
from .numbers import short
from .style import BLUE, GRID, INK, MUTED, ORANGE, PURPLE, SHADE, VERMILION, dress, faded, text

FRAMES = 120  # that can be watched
CELLS = 300_000  # numbers that all frames of one picture may hold
WRITTEN = 9  # a kernel with at most so many rows and columns has its numbers written in it
CHANNELS = 4


def sliding_line(
    padded: np.ndarray, slid: np.ndarray, values: np.ndarray, stride: int, padding: tuple[int, int], mode: str
) -> go.Figure:
    """A sequence, the kernel under it and the values so far, as bars.

    Args:
        padded: (n,) the signal with its zeros.
        slid: (k,) the kernel as it is laid on the signal.
        values: (m,) what comes out.
        stride: how far the kernel moves.
        padding: how many of the zeros are before and after the signal.
        mode: what it is called.
    """
    across = np.arange(len(padded)) - padding[0]
    flipped = ", flipped" if mode == "convolution" else ""
    figure = make_subplots(rows=3, cols=1, vertical_spacing=0.1)
    places = _chosen(len(values), len(padded) + len(slid) + len(values))

    def traces(place: int) -> list[go.Bar | go.Scatter]:
        start = place * stride
        under = (np.arange(len(padded)) >= start) & (np.arange(len(padded)) < start + len(slid))
        products = padded[start : start + len(slid)] * slid
        return [
            _bars(across[under], padded[under], BLUE),
            _bars(across[~under], padded[~under], faded(BLUE, 0.3)),
            _bars(across[under], slid, ORANGE),
            _bars(np.arange(place), values[:place], faded(VERMILION, 0.4)),
            _bars(np.array([place]), values[place : place + 1], VERMILION),
            go.Scatter(
                x=[(len(values) - 1) / 2],
                y=[_top(values)],
                text=[_sum(products, values[place])],
                mode="text",
                textposition="bottom center",
                textfont={"size": 12, "color": INK},
                hoverinfo="skip",
                showlegend=False,
            ),
        ]

    for trace, row in zip(traces(places[_still(places)]), (1, 1, 2, 3, 3, 3), strict=True):
        figure.add_trace(trace, row=row, col=1)
    dress(figure, height=560)
    for row, shown, name in ((1, padded, "signal"), (2, slid, f"kernel{flipped}"), (3, values, mode)):
        low, high = min(0.0, float(np.min(shown))), max(0.0, float(np.max(shown)))
        room = 0.12 * (high - low or 1)
        top = _top(values) if row == 3 else high + room
        figure.update_yaxes(range=[low - room * (low < 0), top], title_text=name, row=row, col=1)
    for row in (1, 2):
        figure.update_xaxes(range=[across[0] - 0.7, across[-1] + 0.7], row=row, col=1)
    figure.update_xaxes(range=[-0.7, len(values) - 0.3], title_text="place of the value", row=3, col=1)
    figure.update_layout(barmode="overlay", bargap=0.25, margin={"l": 8, "r": 8, "t": 60, "b": 90})
    _titled(figure, f"{mode} with a kernel of {len(slid)}", stride, padding)
    frames = [go.Frame(data=traces(place), name=str(place), traces=list(range(6))) for place in places]
    return _moving(figure, frames, "value", _still(places))


def sliding_image(
    planes: np.ndarray,
    kernels: np.ndarray,
    values: np.ndarray,
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    mode: str,
) -> go.Figure:
    """An image, the kernel's place on it, and the values so far, as cells; one row of panels for each channel.

    Args:
        planes: (channels, height, width) with its zeros; at most 4 channels.
        kernels: (channels, rows, columns) as they are laid on the image.
        values: (rows, columns) what comes out.
        stride, padding: along each axis.
        mode: what it is called.
    """
    channels, rows, columns = kernels.shape
    flipped = ", flipped" if mode == "convolution" else ""
    shapes = [planes[0].shape, kernels[0].shape, values.shape]
    figure = make_subplots(
        rows=channels,
        cols=3,
        column_widths=_widths(shapes),
        horizontal_spacing=0.04,
        vertical_spacing=0.06,
        subplot_titles=["image" + _zeros(padding[-1]), f"kernel{flipped}", mode],
    )
    figure.update_annotations(font={"size": 13, "color": MUTED})
    for channel in range(channels):
        row = {"row": channel + 1, "col": 1}
        figure.add_trace(_cells(planes[channel], "Cividis", planes.min(), planes.max()), **row)
        figure.add_trace(_kernel(kernels[channel], float(np.abs(kernels).max())), row=channel + 1, col=2)
    low, high = float(values.min()), float(values.max())
    spots = list(np.ndindex(values.shape))
    chosen = _chosen(len(spots), values.size)

    def moving(place: int) -> list[go.Heatmap | go.Scatter]:
        y, x = spots[place]
        found = np.where(np.arange(values.size).reshape(values.shape) <= place, values, np.nan)
        here = _outline(y * stride[0], x * stride[1], rows, columns)
        return [_cells(found, "Cividis", low, high), _outline(y, x, 1, 1), *[here] * channels]

    first = len(figure.data)
    places = [(1, 3), (1, 3), *[(channel + 1, 1) for channel in range(channels)]]
    for trace, (row, column) in zip(moving(chosen[_still(chosen)]), places, strict=True):
        figure.add_trace(trace, row=row, col=column)
    dress(figure, height=120 + max(230, 250 * channels))
    for row in range(1, channels + 1):
        for column, (height, width) in enumerate(shapes, start=1):
            if column == 3 and row > 1:
                figure.update_xaxes(visible=False, row=row, col=column)
                figure.update_yaxes(visible=False, row=row, col=column)
                continue
            own = {"row": row, "col": column, "showgrid": False, "showticklabels": False}
            if column == 1 and channels > 1:
                figure.update_yaxes(title_text=f"channel {row}", row=row, col=column)
            anchor = figure.get_subplot(row, column).xaxis.plotly_name.replace("axis", "")
            figure.update_xaxes(range=[-0.5, width - 0.5], constrain="domain", **own)
            figure.update_yaxes(range=[height - 0.5, -0.5], scaleanchor=anchor, constrain="domain", **own)
    figure.update_layout(margin={"l": 8, "r": 8, "t": 76, "b": 90})
    _titled(figure, f"{mode} with a kernel of {rows}×{columns}", stride, padding)
    ours = list(range(first, len(figure.data)))
    frames = [go.Frame(data=moving(place), name=str(place), traces=ours) for place in chosen]
    return _moving(figure, frames, "value", _still(chosen))


def sliding_function(
    f: Callable[[np.ndarray], np.ndarray],
    g: Callable[[np.ndarray], np.ndarray],
    names: tuple[str, str],
    mode: str,
    at: np.ndarray,
    values: np.ndarray,
    most: int = 60,
) -> go.Figure:
    """f, the moving g, their product as an area, and below the integral as far as it has come.

    Args:
        f, g: of an array, giving an array.
        names: what they are called; empty for one without a name.
        at, values: (points,) the shifts and the integrals, in any order.
        most: frames at most.
    """
    order = np.argsort(at)
    at, values = at[order], values[order]
    tau = np.linspace(at[0], at[-1], 401) if len(at) > 1 else np.linspace(at[0] - 5, at[0] + 5, 401)
    turned = mode == "convolution"
    sign = "∗" if turned else "⋆"
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.16)
    chosen = np.unique(np.linspace(0, len(at) - 1, min(most, len(at))).round().astype(int))
    fixed = f(tau)

    def moving(place: int) -> list[go.Scatter]:
        own = g(at[place] - tau) if turned else g(tau - at[place])
        return [
            _line(tau, own, ORANGE, f"g({'t − τ' if turned else 'τ − t'})", dash="dash"),
            _line(tau, fixed * own, PURPLE, "product", fill="tozeroy", fillcolor=faded(PURPLE, 0.35)),
            _line(at[: place + 1], values[: place + 1], VERMILION, f"(f{sign}g)(t), the area"),
            go.Scatter(
                x=[at[place]],
                y=[values[place]],
                mode="markers",
                showlegend=False,
                marker={"color": VERMILION, "size": 9},
            ),
        ]

    figure.add_trace(_line(tau, fixed, BLUE, "f(τ)"), row=1, col=1)
    figure.add_trace(_line(at, values, GRID, "", showlegend=False), row=2, col=1)
    for trace, row in zip(moving(int(chosen[_still(chosen)])), (1, 1, 2, 2), strict=True):
        figure.add_trace(trace, row=row, col=1)
    dress(figure, height=560)
    shown = [fixed, *(g(tau - at[len(at) // 2]),)]
    low, high = min(0.0, *(float(one.min()) for one in shown)), max(float(one.max()) for one in shown)
    room = 0.08 * (high - low or 1)
    figure.update_yaxes(range=[low - room, high + room], row=1, col=1)
    figure.update_xaxes(range=[tau[0], tau[-1]])
    figure.update_xaxes(title_text="τ", row=1, col=1)
    figure.update_xaxes(title_text="t", row=2, col=1)
    figure.update_layout(margin={"l": 8, "r": 8, "t": 60, "b": 120})
    integral = f"(f{sign}g)(t) = ∫ f(τ)·g({'t − τ' if turned else 'τ − t'}) dτ"
    known = [f"{letter} = {name}" for letter, name in zip("fg", names, strict=True) if name]
    _headed(figure, mode, ",  ".join([integral, *known]))
    frames = [go.Frame(data=moving(int(k)), name=short(float(at[k])), traces=[2, 3, 4, 5]) for k in chosen]
    return _moving(figure, frames, "t =", _still(chosen))


def _chosen(count: int, size: int) -> list[int]:
    """Which places have a frame; the last one always."""
    most = max(12, min(FRAMES, CELLS // max(size, 1)))
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def _still(places: Sequence[int] | np.ndarray) -> int:
    """Which frame stands where nothing moves: one with the kernel under way and most values found."""
    return int(0.6 * (len(places) - 1))


def _moving(figure: go.Figure, frames: list[go.Frame], unit: str, still: int) -> go.Figure:
    animated(figure, frames, unit)
    return figure.update_layout(sliders=[{"active": still}])


def _bars(x: np.ndarray, y: np.ndarray, colour: str) -> go.Bar:
    return go.Bar(x=x, y=y, marker={"color": colour, "line": {"width": 0}}, showlegend=False)


def _line(x: np.ndarray, y: np.ndarray, colour: str, name: str, dash: str = "solid", **more: object) -> go.Scatter:
    line = {"color": colour, "width": 2.2, "dash": dash}
    return go.Scatter(x=x, y=y, mode="lines", line=line, name=name, **more)


def _cells(z: np.ndarray, colours: str, low: float, high: float) -> go.Heatmap:
    high = high if high > low else low + 1
    return go.Heatmap(z=z, colorscale=colours, zmin=low, zmax=high, showscale=False)


def _kernel(z: np.ndarray, most: float) -> go.Heatmap:
    """Its own numbers in it, as long as there is room; 0 in the middle of the colours."""
    ground = [[0, faded(BLUE, 0.6)], [0.5, SHADE], [1, faded(ORANGE, 0.8)]]
    written = max(z.shape) <= WRITTEN
    words = (
        {
            "text": [[short(float(f"{v:.2g}")) for v in row] for row in z],
            "texttemplate": "%{text}",
            "textfont": {"color": INK, "size": 12},
        }
        if written
        else {}
    )
    return go.Heatmap(z=z, colorscale=ground, zmin=-most, zmax=most, showscale=False, **words)


def _outline(y: int, x: int, rows: int, columns: int) -> go.Scatter:
    left, right, top, bottom = x - 0.5, x + columns - 0.5, y - 0.5, y + rows - 0.5
    return go.Scatter(
        x=[left, right, right, left, left],
        y=[top, top, bottom, bottom, top],
        mode="lines",
        line={"color": VERMILION, "width": 3},
        showlegend=False,
        hoverinfo="skip",
    )


def _widths(shapes: Sequence[tuple[int, ...]]) -> list[float]:
    """The image as wide as the values; the kernel at least a quarter of that."""
    image, kernel, values = (shape[1] for shape in shapes)
    parts = [max(image, 1), max(kernel, image / 3), max(values, image / 3)]
    return [part / sum(parts) for part in parts]


def _zeros(padding: tuple[int, int]) -> str:
    return ", with zeros around it" if any(padding) else ""


def _top(values: np.ndarray) -> float:
    """Room above the bars for the sum."""
    low, high = min(0.0, float(np.min(values))), max(0.0, float(np.max(values)))
    return high + 0.45 * (high - low or 1)


def _sum(products: np.ndarray, value: float) -> str:
    """The products added up, as long as they fit."""
    if len(products) > 7:
        return f"the sum of {len(products)} products is {short(float(value))}"
    terms = "".join(f" {'−' if p < 0 else '+'} {short(abs(float(p)))}" for p in products)
    return f"{terms.removeprefix(' + ').removeprefix(' ').replace('− ', '−', terms[1] == '−')} = {short(float(value))}"


def _titled(figure: go.Figure, words: str, stride: object, padding: object) -> None:
    steps = (stride,) if isinstance(stride, int) else tuple(stride)  # type: ignore[arg-type]
    note = f"stride {'×'.join(map(str, sorted(set(steps))))}"
    pairs = [padding] if isinstance(padding, tuple) and isinstance(padding[0], int) else list(padding)  # type: ignore[call-overload]
    zeros = sorted({f"{before}" if before == after else f"{before} and {after}" for before, after in pairs})
    _headed(figure, words, f"{note}, zeros around: {', '.join(zeros)}")


def _headed(figure: go.Figure, words: str, note: str) -> None:
    figure.update_layout(
        title={
            "text": text(words.capitalize()),
            "x": 0.01,
            "xanchor": "left",
            "y": 0.985,
            "yanchor": "top",
            "font": {"size": 15, "color": INK},
            "subtitle": {"text": text(note), "font": {"size": 12, "color": MUTED}},
        }
    )
