"""Small drawings that explain one thing: which samples a fold judges on, shots at a target, units, images in a row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .layout import bold, dress, one_scale, panels, row_axis
from .marks import arrows, entry, line, points, words
from .numbers import short
from .style import BLUE, GRID, INK, LEVEL, MUTED, ORANGE, PAPER, SHADE, VERMILION, Style, faded, plain_styles, text

CELL = 30  # pixels
EDGE = {"width": 1.5, "color": PAPER}


def fold_rows(parts: Sequence[np.ndarray], samples: int, title: str = "", note: str = "") -> go.Figure:
    """A row for each fold, a cell for each sample: those it judges on, and those it trains on.

    Args:
        parts: for each fold, the samples that it judges on.

    >>> figure = fold_rows([np.array([0, 2]), np.array([1, 3])], 4)
    >>> figure.data[0].z.tolist()
    [[1, 0, 1, 0], [0, 1, 0, 1]]
    """
    judged = np.array([np.isin(np.arange(samples), part).astype(int) for part in parts])
    colours = [[0, faded(BLUE, 0.35)], [1, ORANGE]]
    figure = go.Figure(go.Heatmap(z=judged, colorscale=colours, showscale=False, hoverinfo="skip"))
    for row in range(1, len(parts)):  # a gap between rows
        figure.add_shape(
            type="line", x0=-0.5, x1=samples - 0.5, y0=row - 0.5, y1=row - 0.5, line={"color": PAPER, "width": 6}
        )
    figure.add_trace(entry(say("trained on"), Style(faded(BLUE, 0.35), marker="square"), 13))
    figure.add_trace(entry(say("judged on"), Style(ORANGE, marker="square"), 13))
    row_axis(figure, [say("fold {number}", number=k + 1) for k in range(len(parts))])
    figure.update_xaxes(showgrid=False, title_text=say("sample"))
    above = 20 + 24 * bool(title) + 20 * bool(note)
    return dress(figure, above + CELL * len(parts) + 90, title, note, t=above, b=80)


def targets(
    shots: Mapping[str, np.ndarray], centre: np.ndarray, axes: Sequence[str], title: str = "", note: str = ""
) -> go.Figure:
    """A target for each group of shots, all with the same rings around the truth, and a cross on the shots' mean.

    Args:
        shots: title → (shots, 2).
        centre: the truth, (2,).
        axes: what the two numbers are.
    """
    titles, cross = [bold(say(name)) for name in shots], Style(VERMILION, marker="x")
    figure = panels(cols=len(shots), titles=titles, shared_yaxes=True, horizontal_spacing=0.03)
    most = max(float(np.abs(each - centre).max()) for each in shots.values()) * 1.1
    angle = np.linspace(0, 2 * np.pi, 121)
    for column, each in enumerate(shots.values(), start=1):
        for ring in (1, 0.75, 0.5, 0.25):
            x, y = centre[0] + most * ring * np.cos(angle), centre[1] + most * ring * np.sin(angle)
            ground = {"fill": "toself", "fillcolor": SHADE if ring in (1, 0.5) else PAPER}
            figure.add_trace(line(x, y, LEVEL, 1, **ground, hoverinfo="skip", showlegend=False), row=1, col=column)
        shown = {"showlegend": column == 1}
        mean = each.mean(axis=0)
        traces = [
            points(centre[:1], centre[1:], INK, 9, name=say("truth"), legendgroup="truth", **shown),
            points(each[:, 0], each[:, 1], BLUE, 7, opacity=0.75, name=say("one fit"), legendgroup="fit", **shown),
            points(mean[:1], mean[1:], cross, 11, edge=EDGE, name=say("mean of the fits"), legendgroup="mean", **shown),
        ]
        figure.add_traces(traces, rows=1, cols=column)
    for side, middle in ((figure.update_xaxes, centre[0]), (figure.update_yaxes, centre[1])):
        side(range=[middle - most, middle + most], showgrid=False)
    one_scale(figure).update_xaxes(title_text=say(axes[0])).update_layout(yaxis_title_text=say(axes[1]))
    dress(figure, 180 + 640 // len(shots), title, note, t=90, b=80)
    return figure.update_layout(meta={"least": 190 * len(shots)})


def units(kept: Mapping[str, Sequence[np.ndarray]], title: str = "", note: str = "") -> go.Figure:
    """A network for each name: its units layer by layer, lines between those that are kept, a cross on the others.

    Args:
        kept: name → for each layer (units,) of booleans.

    >>> figure = units({"one step": [np.array([True, True]), np.array([True, False])]})
    >>> [len(trace.x) for trace in figure.data]  # lines of 2 connections, kept units, dropped ones
    [6, 3, 1]
    """
    figure = panels(cols=len(kept), titles=[bold(say(name)) for name in kept], horizontal_spacing=0.06)
    cross = Style(MUTED, marker="x")
    for column, layers in enumerate(kept.values(), start=1):
        places = [
            np.stack([np.full(len(layer), k), np.arange(len(layer)) - (len(layer) - 1) / 2], axis=1)
            for k, layer in enumerate(layers)
        ]
        ends = [
            [a, b, (np.nan, np.nan)]
            for before, after, one, other in zip(places, places[1:], layers, layers[1:], strict=False)
            for a in before[one]
            for b in after[other]
        ]
        x, y = np.array(ends).reshape(-1, 2).T
        all_places, all_kept = np.concatenate(places), np.concatenate(layers)
        inside, outside = all_places[all_kept].T, all_places[~all_kept].T
        shown = {"showlegend": column == 1}
        traces = [
            line(x, y, LEVEL, 1, hoverinfo="skip", showlegend=False),
            points(inside[0], inside[1], BLUE, 17, edge=EDGE, name=say("kept"), legendgroup="kept", **shown),
            points(outside[0], outside[1], cross, 9, name=say("dropped"), legendgroup="dropped", **shown),
        ]
        figure.add_traces(traces, rows=1, cols=column)
    most = max(map(len, kept.values()))
    figure.update_xaxes(visible=False, range=[-0.4, most - 0.6]).update_yaxes(visible=False)
    return dress(figure, 420, title, note, t=100, b=50)


def cards(rows: Mapping[str, Sequence[tuple[str, np.ndarray]]], title: str = "", note: str = "") -> go.Figure:
    """Images in rows, each with its words below it; all in one scale of greys, ink on paper, as handwriting is.

    Args:
        rows: name of a row → (words, (height, width)) for each image.
    """
    across = max(map(len, rows.values()))
    figure = panels(len(rows), across, horizontal_spacing=0.05, vertical_spacing=0.18)
    images = [image for row in rows.values() for _, image in row]
    low, high = min(float(image.min()) for image in images), max(float(image.max()) for image in images)
    for row, (name, each) in enumerate(rows.items(), start=1):
        for column, (said, image) in enumerate(each, start=1):
            height, width = image.shape
            greys = {"colorscale": [[0, PAPER], [1, INK]], "zmin": low, "zmax": high, "showscale": False}
            heat = go.Heatmap(z=image, **greys, hoverinfo="skip")
            below = words([(width - 1) / 2], [height - 0.2], [text(said)], size=11, textposition="bottom center")
            x, y = np.array([(0, 0), (width, 0), (width, height), (0, height), (0, 0)]).T - 0.5
            frame = line(x, y, GRID, 1, hoverinfo="skip", showlegend=False)
            figure.add_traces([heat, frame, below], rows=row, cols=column)
            figure.update_xaxes(range=[-0.6, width - 0.4], visible=False, row=row, col=column)
            up = {"range": [height * 1.22, -0.6]} | ({"title_text": bold(name)} if column == 1 else {})
            up |= {"showticklabels": False, "showgrid": False, "showline": False}
            figure.update_yaxes(**up, row=row, col=column)
    one_scale(figure)
    return dress(figure, 80 + 620 // across * len(rows), title, note, t=70).update_layout(meta={"least": 150 * across})


def shares(counts: Mapping[str, int], title: str = "", note: str = "", unit: str = "") -> go.Figure:
    """A bar for each count, in millions, and its share of all above it, in the order given.

    >>> figure = shares({"a": 3_000_000, "b": 1_000_000})
    >>> list(figure.data[0].y), list(figure.data[1].text)
    ([3.0, 1.0], ['75%', '25%'])
    """
    places, millions = list(range(len(counts))), [count / 1e6 for count in counts.values()]
    said = [_percent(each / sum(millions)) for each in millions]
    figure = go.Figure(go.Bar(x=places, y=millions, marker={"color": BLUE}, hoverinfo="y", showlegend=False))
    figure.add_trace(words(places, millions, said, size=11, textposition="top center"))
    names = [text(re.sub(r"(?<=\D)(?=\d+$)", " ", name)).replace(" ", "<br>") for name in counts]
    figure.update_xaxes(tickvals=places, ticktext=names, showgrid=False, tickangle=0)
    figure.update_yaxes(range=[0, 1.1 * max(millions)], title_text=say(unit))
    return dress(figure, 420, title, note, t=70).update_layout(bargap=0.3)


def _percent(share: float) -> str:
    """A share with two digits, or one below 1%.

    >>> _percent(0.617), _percent(0.0113), _percent(0.0057), _percent(0.0001)
    ('62%', '1.1%', '0.6%', '<0.1%')
    """
    percent = 100 * share
    return "<0.1%" if percent < 0.1 else f"{short(float(f'{percent:.{1 + (percent >= 1)}g}'))}%"


def triplet_maps(
    maps: Mapping[str, np.ndarray], labels: np.ndarray, triplet: Sequence[int], title: str = "", note: str = ""
) -> go.Figure:
    """Samples in planes, coloured by kind; arrows from one's anchor to its positive and its negative.

    Args:
        maps: name → (samples, 2).
        labels: (samples,) of kinds.
        triplet: the samples of an anchor, a positive and a negative.
    """
    figure = panels(cols=len(maps), titles=[bold(say(name)) for name in maps], horizontal_spacing=0.08)
    kinds = plain_styles(map(str, np.unique(labels)))
    anchor, positive, negative = triplet
    for column, places in enumerate(maps.values(), start=1):
        shown = {"showlegend": column == 1}
        traces = [
            points(here[:, 0], here[:, 1], style.colour, 5, opacity=0.4, name=kind, legendgroup=kind, **shown)
            for kind, style in kinds.items()
            for here in [places[labels == int(kind)]]
        ]
        a, p, n = places[[anchor, positive, negative]]
        traces.append(arrows([a], [p], Style(INK), say("anchor to positive"), legendgroup="p", **shown))
        traces.append(arrows([a], [n], Style(INK, "dot"), say("anchor to negative"), legendgroup="n", **shown))
        figure.add_traces(traces, rows=1, cols=column)
    one_scale(figure).update_xaxes(showticklabels=False).update_yaxes(showticklabels=False)
    return dress(figure, 460, title, note, t=90, b=80)
