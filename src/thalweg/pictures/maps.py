"""Maps: which start falls into which minimum, and at which rate and hyperparameter a rule converges."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..language import say
from .descent import point
from .ground import curve, minima, view
from .layout import dress, log_ticks
from .marks import entry, line
from .numbers import short
from .style import BLUE, GREEN, GRID, INK, ORANGE, PAPER, PURPLE, SHADE, SKY, SURFACE, VERMILION, Style, text

TINTS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
NOWHERE = "#8A8F98"  # starts that come to no minimum
PALE = 0.62  # how much of the paper the slowest starts show
NAMED = 6  # minima that the legend names; more of them are in the hover words


def basin_map(basins: Any, title: str = "") -> go.Figure:
    """Each start in the colour of the minimum it falls into, paler where that takes longer; a curve if of one variable.

    `basins` is what `tw.basins` gives.
    """
    flat = len(basins.axes) == 1
    figure = go.Figure(_coloured_curve(basins) if flat else _ground(basins)).add_traces(_entries(basins))
    if flat:
        figure.update_xaxes(title_text=basins.surface.variables[0]).update_yaxes(title_text=say("loss"))
    else:
        edge = {"width": 2, "color": INK}
        figure.add_trace(minima(basins.surface, basins.minima, Style(PAPER), 10, edge, showlegend=False))
        view(figure, basins.surface, [(axis[0], axis[-1]) for axis in basins.axes])
    note = say(
        "{label} at rate {rate}, {steps} steps from each of {starts} starts; paler where it takes longer to settle.",
        label=basins.formula.label,
        rate=short(basins.rate),
        steps=basins.steps,
        starts=" × ".join(map(str, basins.labels.shape)),
    )
    title = title or say("{name}: which start falls into which minimum", name=basins.surface.name)
    return dress(figure, 420 if flat else 600, title, note, t=74, b=100)


def _ground(basins: Any) -> go.Heatmap:
    """One scale for all: a stretch of it for each minimum, from its colour to paler, and one for nowhere."""
    tints = [*map(_tint, range(len(basins.minima))), NOWHERE]
    scale: list[list[Any]] = []
    for k, tint in enumerate(tints):
        scale += [[k / len(tints), tint], [(k + 0.999) / len(tints), _mixed(tint)]]
    scale[-1][0] = 1.0
    settled = np.where(basins.settled < 0, 0, basins.settled)
    pale = np.log1p(settled) / max(np.log1p(settled.max()), 1e-9)
    which = np.where(basins.labels < 0, len(basins.minima), basins.labels)
    cells = {"x": basins.axes[0], "y": basins.axes[1], "z": (which + 0.99 * pale).astype(np.float32)}
    return go.Heatmap(**cells, colorscale=scale, zmin=0, zmax=len(tints), showscale=False, hoverinfo="skip")


def _mixed(tint: str) -> str:
    parts = [int(tint[k : k + 2], 16) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (255 - part) * PALE):02X}" for part in parts)


def _coloured_curve(basins: Any) -> list[go.Scatter]:
    x = basins.axes[0]
    y = basins.surface(x[:, None])
    parts = [
        line(x, np.where(basins.labels == k, y, np.nan), _tint(k), 5, showlegend=False, hoverinfo="x")
        for k in range(-1, len(basins.minima))
    ]
    return [*curve(basins.surface, float(x[0]), float(x[-1])), *parts]


def _tint(minimum: int) -> str:
    return NOWHERE if minimum < 0 else TINTS[minimum % len(TINTS)]


def _entries(basins: Any) -> list[go.Scatter]:
    """What the colours mean, with the share of the starts."""
    shares = [float((basins.labels == k).mean()) for k in range(len(basins.minima))]
    places = [point(np.round(minimum, 3)) for minimum in basins.minima]
    labels = [
        (_tint(k), say("{place}: {share:.1%} of the starts", place=places[k], share=share))
        for k, share in enumerate(shares[:NAMED])
    ]
    nowhere = float((basins.labels < 0).mean())
    labels += [(NOWHERE, say("none: {share:.1%}", share=nowhere))] if nowhere else []
    return [entry(text(words), Style(tint, marker="square"), 12, showlegend=True) for tint, words in labels]


def convergence_map(rule: Any, title: str = "") -> go.Figure:
    """How many steps a tenth of the distance to the minimum takes, at each rate and value of the hyperparameter.

    `rule` is what `tw.landscapes.convergence` gives. Where it does not converge the map is empty; the dashed line is
    where theory has it end.
    """
    name, rates, values = text(rule.hyperparameter), rule.rates, rule.values
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(rule.converges, np.maximum(-1 / np.log10(rule.factors), 0.1), np.nan)
    decades = np.log10(steps)
    finite = decades[np.isfinite(decades)]
    low, high = np.quantile(finite, [0.001, 0.98]) if finite.size else (0.0, 1.0)
    ticks = log_ticks(10.0**low, 10.0**high, (1, 3))
    bar = {"tickvals": np.log10(ticks["tickvals"]).tolist(), "ticktext": ticks["ticktext"], "outlinewidth": 0}
    colours = {"colorscale": SURFACE, "zmin": low, "zmax": high}
    colours["colorbar"] = bar | {"title": {"text": say("steps for a tenth of the distance"), "side": "right"}}
    hover = f"rate %{{x:.4g}}, {name} %{{y:.3g}}<br>%{{customdata:.4g}} steps<extra></extra>"
    words = {"name": say("converges"), "showlegend": False, "customdata": steps, "hovertemplate": hover}
    figure = go.Figure(go.Heatmap(x=rates, y=values, z=decades, **colours, **words))
    if rule.boundary is not None:
        dashed = Style(VERMILION, "dash")
        figure.add_trace(line(rule.boundary, values, dashed, 3, name=say("boundary in theory"), showlegend=True))
    edge = {"width": 1, "color": GRID}
    figure.add_trace(entry(say("does not converge"), Style(SHADE, marker="square"), 12, edge=edge, showlegend=True))
    figure.update_xaxes(title_text=say("learning rate"), range=[float(rates[0]), float(rates[-1])], showgrid=False)
    figure.update_yaxes(title_text=name, range=[float(values[0]), float(values[-1])], showgrid=False)
    largest = float(rule.eigenvalues[-1])
    note = say(
        "{name} on {surface}; λmax = {largest}, so 2/λmax = {rate}.",
        name=rule.formula.name,
        surface=rule.surface.name,
        largest=short(largest),
        rate=short(2 / largest),
    )
    title = title or say("Where {name} converges", name=rule.formula.name)
    return dress(figure, 476, title, note, t=74, b=84).update_layout(plot_bgcolor=SHADE)
