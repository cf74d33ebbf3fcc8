"""The pictures of docs/losses.md, computed by the losses and drawn by the library, kept as SVG.

python docs/images/losses/draw.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import plotly.graph_objects as go
import torch
from matplotlib import pyplot as plt

import thalweg as tw
from thalweg.pictures.lines import Panel, lines

HERE = Path(__file__).parent
DASHES = {"solid": (), "dot": (1, 1.5), "dash": (5, 2), "longdash": (8, 3), "dashdot": (5, 2, 1, 2),
          "longdashdot": (8, 3, 1, 3)}  # fmt: skip


def against_the_residual() -> go.Figure:
    r = torch.linspace(-3, 3, 121)
    shown = {name: tw.losses.get(name) for name in ("l1", "mse", "huber", "huber(delta=0.5)")}
    values = {name: loss.per_sample(r, torch.zeros_like(r)).numpy() for name, loss in shown.items()}
    return lines([Panel(r.numpy(), values, "residual x − y", "loss")])


def from_likelihood() -> go.Figure:
    noise = torch.linspace(-3, 3, 121)
    unit = {"scale": 1.0}
    made = {f"{name} noise": tw.losses.from_distribution(name, fixed=unit) for name in ("Laplace", "Normal")}
    values = {name: loss.per_sample(torch.zeros_like(noise), noise) for name, loss in made.items()}
    x, across = noise.numpy(), "noise y − x"
    density = Panel(x, {k: v.neg().exp().numpy() for k, v in values.items()}, across, "p", "Density")
    loss = Panel(x, {k: v.numpy() for k, v in values.items()}, across, "−log p", "Its negative logarithm")
    return lines([density, loss])


def entropy_of_a_coin() -> go.Figure:
    p = torch.linspace(0, 1, 101)
    coin = torch.stack([p, 1 - p], dim=1)
    fair = torch.full_like(coin, 0.5)
    values = {
        "entropy H(P)": tw.losses.entropy(coin),
        "cross-entropy H(P, Q) with Q fair": tw.losses.cross_entropy_of(coin, fair),
        "D(P‖Q) with Q fair": tw.losses.KLDiv(outputs="probabilities").per_sample(fair, coin),
    }
    panel = Panel(p.numpy(), {k: v.numpy() for k, v in values.items()}, "probability of heads", "nats")
    return lines([panel])


def forward_and_reverse() -> go.Figure:
    """One Gaussian fitted to a mixture of two, by the gradient of either divergence on a grid."""
    x = torch.linspace(-15, 15, 601, dtype=torch.float64)  # wide enough that nothing is cut off

    def density(loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return torch.distributions.Normal(loc, scale).log_prob(x)

    two = torch.stack([density(torch.tensor(c), torch.tensor(0.7)) for c in (-3.0, 3.0)])
    mixture = torch.logsumexp(two + torch.tensor([[0.4], [0.6]], dtype=torch.float64).log(), 0)
    drawn = {"mixture of two": mixture}
    for label, reverse in (("forward, D(P‖Q)", False), ("reverse, D(Q‖P)", True)):
        loss = tw.losses.KLDiv(reverse=reverse, log_target=True)
        loc, log_scale = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.0, 0.0))
        optimizer = tw.optim.Adam([loc, log_scale], lr=0.05)
        for _ in range(1500):
            optimizer.zero_grad()
            found = density(loc, log_scale.exp())
            loss(found.log_softmax(0)[None], mixture.log_softmax(0)[None]).backward()
            optimizer.step()
        drawn[label] = density(loc, log_scale.exp()).detach()
        print(f"{label}: mean {loc.item():.3f}, standard deviation {log_scale.exp().item():.3f}")
    near = x.abs() <= 7
    return lines(
        [Panel(x[near].numpy(), {k: v[near].exp().numpy() for k, v in drawn.items()}, "x", "density")]
    )


def keep(figure: go.Figure, name: str) -> None:
    """The same axes and lines by Matplotlib, which needs no browser."""
    columns = sum(1 for key in figure.layout if str(key).startswith("xaxis"))
    drawing, axes = plt.subplots(1, columns, figsize=(7.2, 3.4), layout="constrained", squeeze=False)
    for trace in figure.data:
        axis = axes[0][int((trace.xaxis or "x")[1:] or 1) - 1]
        dash = trace.line.dash
        pattern = (
            DASHES[dash] if dash in DASHES else [float(n.removesuffix("px")) / 2 for n in dash.split(",")]
        )
        label = trace.name if trace.showlegend else None
        axis.plot(
            np.asarray(trace.x),
            np.asarray(trace.y),
            color=trace.line.color,
            dashes=pattern,
            lw=1.8,
            label=label,
        )
    for column, axis in enumerate(axes[0]):
        place = "" if column == 0 else str(column + 1)
        axis.set_xlabel(figure.layout[f"xaxis{place}"].title.text)
        axis.set_ylabel(figure.layout[f"yaxis{place}"].title.text)
        axis.grid(color="#E7E7E4")
        axis.set_axisbelow(True)
        for spine in axis.spines.values():
            spine.set_visible(False)
        axis.tick_params(length=0, colors="#62666E")
    for note, axis in zip(figure.layout.annotations, axes[0], strict=False):
        axis.set_title(note.text.replace("<b>", "").replace("</b>", ""), fontsize=10, fontweight="bold")
    drawing.legend(loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    drawing.savefig(HERE / f"{name}.svg", metadata={"Date": None})
    plt.close(drawing)


if __name__ == "__main__":
    mpl.use("svg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "losses", "font.family": "sans-serif", "font.size": 10,
                     "path.simplify_threshold": 0.2}  # fmt: skip
    for make in (against_the_residual, from_likelihood, entropy_of_a_coin, forward_and_reverse):
        keep(make(), make.__name__)
