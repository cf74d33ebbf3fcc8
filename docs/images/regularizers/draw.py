"""The pictures of docs/regularizers.md, drawn with the library: python docs/images/regularizers/draw.py [FOLDER].

Each stands in a narrow column of a table, so it is small, says one thing in its title and names its numbers. What it
shows is computed by the regularizer itself.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch
from parts import PALE, SIDE, SIZE, digit, frame, inked, label, row, small, ticks
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg import regularizers as r
from thalweg.pictures import files
from thalweg.pictures.layout import bold, panels
from thalweg.pictures.marks import arrows, band, line, points, words
from thalweg.pictures.style import BLUE, GREEN, INK, MUTED, PAPER, SKY, VERMILION, Style, faded

# The batch.


def plain() -> go.Figure:
    ids = (0, 3, 8)
    return row([*digit(*ids)], [f"“{one}”" for one in ids], "", "Samples as they are", "8 × 8 pixels, and a class each")


def input_noise() -> go.Figure:
    noise, image = r.InputNoise(0.3), digit(3)
    shown = [image[0], *(noise(image, None, seed=0, step=step)[0][0] for step in (0, 1))]
    note = "σ = 0.3, where white is 0 and black is 1"
    return row(shown, ["before", "step 0", "step 1"], ("→", "or"), "Other noise on it at every step", note)


def mixing(kind: r.MixUp | r.CutMix, one: int, other: int, title: str) -> go.Figure:
    """Two images, each with a channel of its own so that the mix shows what is whose, and the mix.

    A third channel, 0 in the one and 1 in the other, becomes the other's share in every pixel.
    """
    pair = torch.stack([digit(one, other)[k, 0] * torch.eye(2)[k].reshape(2, 1, 1) for k in (0, 1)])
    whose = torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 1, SIDE, SIDE)
    steps = (kind(torch.cat([pair, whose], 1), torch.tensor([one, other]), seed=0, step=step) for step in range(1000))
    mixed, targets = next((x[0], y) for x, y in steps if y.second[0] == other and 0.6 < y.share < 0.66)
    share = float(targets.share)
    said = f"{share:.0%} “{one}”, {1 - share:.0%} “{other}”"
    captions, note = [f"“{one}”", f"“{other}”", said], f"λ = {share:.2f}, so the target is {said}"
    figure = row([*pair, mixed[:2]], captions, "+=", title, note)
    if isinstance(kind, r.CutMix):
        figure.add_traces([frame(place, box_of(mixed[2] == 1), VERMILION) for place in (1, 2)])
    return figure


def box_of(inside: Tensor) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of the pixels that are true."""
    rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
    return float(columns.min()), float(columns.max() + 1), float(rows.min()), float(rows.max() + 1)


def mixup() -> go.Figure:
    return mixing(r.MixUp(1.0), 0, 1, "Two samples laid over each other")


def cutmix() -> go.Figure:
    return mixing(r.CutMix(1.0), 3, 8, "A box comes from another sample")


def moved(kind: r.Shift | r.Flip | r.Crop | r.Rotate, step: int) -> Tensor:
    """What a kind makes of a digit at a step (4, 8, 8): the image, the row and column that each pixel comes from, and
    ones, which are 0 where zeros came in."""
    places = torch.meshgrid(*[torch.arange(float(SIDE))] * 2, indexing="ij")
    return kind(torch.stack([digit(3)[0, 0], *places, torch.ones(SIDE, SIDE)])[None], None, seed=0, step=step)[0][0]


def before_after(after: Sequence[Tensor], captions: Iterable[str], title: str, note: str) -> go.Figure:
    """A digit, and what two steps made of it; what came in from outside is blue."""
    figure = row([digit(3)[0], *(image[:1] for image in after)], ["before", *captions], ("→", "or"), title, note)
    return figure.add_traces([inked(place, 1 - image[3], SKY, 0.4) for place, image in enumerate(after, 1)])


def shift() -> go.Figure:
    after = [moved(r.Shift(2), step) for step in (1, 5)]
    middle = SIDE // 2
    by = [[round(middle - float(image[k, middle, middle])) for k in (1, 2)] for image in after]
    captions = [f"{abs(y)} {'down' if y > 0 else 'up'}, {abs(x)} {'right' if x > 0 else 'left'}" for y, x in by]
    return before_after(after, captions, "Moved by whole pixels", "at most 2 each way; zeros come in (blue)")


def flip() -> go.Figure:
    after = [moved(r.Flip(0.5), step) for step in (0, 1)]
    captions = ["mirrored" if image[2, 0, 0] > 0 else "as it is" for image in after]
    return before_after(after, captions, "Mirrored, or not", "each with probability p = 0.5")


def crop() -> go.Figure:
    after = [moved(r.Crop(0.4), step) for step in (0, 2)]
    boxes = [[float(end) for k in (2, 1) for end in (image[k].min(), image[k].max() + 1)] for image in after]
    captions = [f"{(right - left) * (low - top) / SIDE**2:.0%} of it" for left, right, top, low in boxes]
    figure = before_after(after, captions, "A part, brought back to size", "at least 40% of the area")
    for place, (box, colour) in enumerate(zip(boxes, (BLUE, VERMILION), strict=True), 1):
        figure.add_traces([frame(0, box, colour), frame(place, (0, SIDE, 0, SIDE), colour)])
    return figure


def rotate() -> go.Figure:
    after, middle = [moved(r.Rotate(40), step) for step in (2, 11)], SIDE // 2
    slopes = [image[1:3, middle, middle] - image[1:3, middle, middle - 1] for image in after]
    angles = [float(torch.atan2(slope[0], slope[1]).rad2deg()) for slope in slopes]
    captions = [f"{abs(angle):.0f}° {'left' if angle > 0 else 'right'}" for angle in angles]
    return before_after(after, captions, "Turned about its middle", "by at most 40°; zeros come in (blue)")


# The loss and the gradient.


def label_smoothing() -> go.Figure:
    epsilon, classes, right = 0.3, 10, 3
    scores, target = torch.zeros(1, classes), torch.tensor([right])
    smoothed = r.LabelSmoothing(epsilon)(lambda _, target: target)(scores, target)[0].tolist()
    figure = panels(2, 1)
    rows = {"before": (F.one_hot(target, classes)[0].tolist(), PALE), f"ε = {epsilon}": (smoothed, BLUE)}
    for place, (name, (heights, colour)) in enumerate(rows.items(), 1):
        figure.add_trace(go.Bar(x=[*range(classes)], y=heights, marker_color=colour), place, 1)
        values = [f"{height:.2f}" if height % 1 else f"{height:.0f}" for height in heights]
        figure.add_trace(words([*range(classes)], heights, values, size=10.5, textposition="top center"), place, 1)
        figure.add_trace(label(classes - 0.5, 0.85, name, INK, "middle left"), place, 1)
    figure.update_yaxes(range=[0, 1.3], **ticks(0, 1), title_text="target")
    figure.update_xaxes(range=[-0.6, classes - 0.4], showgrid=False)
    figure.update_xaxes(tickvals=[*range(classes)], ticktext=[*map(str, range(classes))], row=2)
    figure.update_xaxes(tickvals=[], ticktext=[], row=1).update_xaxes(title_text="class", row=2)
    return small(figure, 220, f"The right class, {right}, keeps less than 1")


def pull(kind: r.L1 | r.L2, title: str, note: str) -> go.Figure:
    """The penalty and its slope over a weight; and weights that nothing but the penalty moves."""
    figure = panels(1, 2, [bold("at a weight w"), bold("five weights")], horizontal_spacing=0.1)
    grid = torch.linspace(-2, 2, 81, requires_grad=True)
    values = torch.stack([kind.penalty((w,), (torch.tensor(1.0),)) for w in grid[:, None]])
    slopes = torch.autograd.grad(values.sum(), grid)[0]
    x = grid.detach()
    figure.add_traces([line(x, values.detach(), BLUE), line(x, slopes, Style(VERMILION, "dash"))], 1, 1)
    figure.add_trace(label(0, 2.2, "penalty", BLUE, "middle center"), 1, 1)
    figure.add_trace(label(2, -1.7, "gradient", VERMILION, "middle left"), 1, 1)
    for curve in shrinking(kind, [2.0, 1.4, 0.7, -0.9, -1.8]):
        figure.add_trace(line(np.arange(len(curve)), curve, INK, 1.6), 1, 2)
    figure.update_yaxes(range=[-2.2, 2.6], **ticks(-2, 0, 2))
    figure.update_xaxes(title_text="w", **ticks(-2, 0, 2), col=1)
    figure.update_xaxes(title_text="step", **ticks(0, 75, 150), col=2)
    return small(figure, 230, title, note)


def shrinking(kind: r.L1 | r.L2, weights: Sequence[float]) -> Tensor:
    """What 150 steps of gradient descent on the penalty alone make of weights, (weights, steps)."""
    model = nn.Linear(1, len(weights), bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(weights)[:, None])
    optimizer, path = torch.optim.SGD(model.parameters(), lr=0.02), []
    for _ in range(151):
        path.append(model.weight.detach()[:, 0].clone())
        optimizer.zero_grad()
        kind(model).backward()
        optimizer.step()
    return torch.stack(path, 1)


def l2() -> go.Figure:
    return pull(r.L2(1.0), "Large weights shrink fastest", "α = 1; none becomes exactly 0")


def l1() -> go.Figure:
    return pull(r.L1(1.0), "All shrink alike, down to 0", "α = 1; small ones get there first")


def clipping() -> go.Figure:
    before = torch.tensor([[2.0, 0.9], [-0.5, 0.5], [0.4, -1.9]])
    round_, square = torch.linspace(0, 2 * torch.pi, 121), [[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]]
    bounds = {r.ClipNorm(1.0): [round_.cos(), round_.sin()], r.ClipValue(1.0): square}
    figure = panels(1, 2, [bold("clip_norm(1)"), bold("clip_value(1)")], horizontal_spacing=0.06)
    for place, (kind, (x, y)) in enumerate(bounds.items(), 1):
        after = torch.stack([kind.gradient((g,), (torch.tensor(1.0),))[0] for g in before])
        figure.add_trace(band(list(x), [*y], [0] * len(x), GREEN), 1, place)
        figure.add_trace(line(x, y, Style(GREEN, "dot"), 1.6), 1, place)
        starts = np.zeros((len(before), 2))
        figure.add_trace(arrows(starts, before.numpy(), PALE, "before"), 1, place)
        figure.add_trace(arrows(starts, after.numpy(), BLUE, "after"), 1, place)
    figure.update_xaxes(range=[-1.3, 2.3], title_text="gradient g₁", **ticks(-1, 0, 1, 2))
    figure.update_yaxes(range=[-2.1, 1.4], **ticks(-2, -1, 0, 1), scaleanchor="x")
    figure.update_yaxes(title_text="gradient g₂", col=1)
    return small(figure, 240, "A gradient kept within a bound", "grey before, blue after; what lies inside stays")


def weight_noise() -> go.Figure:
    """The loss with noise, by the regularizer on one weight, whose noise at a step is the same wherever it is."""

    def loss(w: Tensor) -> Tensor:
        return 1.2 - 1.1 * torch.exp(-(((w + 1) / 0.12) ** 2) / 2) - 0.9 * torch.exp(-(((w - 1) / 0.7) ** 2) / 2)

    sigma, grid, model = 0.3, torch.linspace(-2.2, 2.8, 251), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    noisy = torch.zeros_like(grid)
    with torch.no_grad():
        for step in range(1000):
            with r.WeightNoise(sigma).applied(model, seed=0, step=step):
                noisy += loss(grid + model.weight.item()) / 1000
    figure = go.Figure()
    for curve, style in ((loss(grid), Style(PALE)), (noisy, Style(BLUE))):
        figure.add_trace(line(grid, curve, style))
        figure.add_trace(points([grid[curve.argmin()]], [curve.min()], style, 9))
    figure.add_trace(label(-1.2, 0.1, "loss at w", MUTED, "middle left"))
    figure.add_trace(label(-0.2, 0.17, "mean loss at w + σε", BLUE))
    figure.update_xaxes(title_text="weight w", nticks=5).update_yaxes(title_text="loss", nticks=4, rangemode="tozero")
    return small(figure, 230, "Narrow valleys fill, wide ones stay", f"σ = {sigma}; a dot at each lowest loss")


# The weights.


def decoupled_decay() -> go.Figure:
    """Two weights whose gradients are the same noise, one a hundred times the other."""
    steps, rate, scales = 300, 0.004, torch.tensor([10.0, 0.1])
    noise = torch.randn(steps, generator=torch.Generator().manual_seed(1))
    figure = panels(1, 2, [bold("L2 with Adam"), bold("decoupled")], horizontal_spacing=0.06, shared_yaxes=True)
    for place, kind in enumerate((r.L2(2.0), r.DecoupledDecay(1.25)), 1):
        model = nn.Linear(1, 2, bias=False)
        nn.init.ones_(model.weight)
        optimizer, path = torch.optim.Adam(model.parameters(), lr=rate), []
        for step in range(steps):
            path.append(model.weight.detach().flatten().clone())
            optimizer.zero_grad()
            loss = (model.weight[:, 0] * noise[step] * scales).sum()
            (loss + kind(model) if isinstance(kind, r.L2) else loss).backward()
            if isinstance(kind, r.DecoupledDecay):
                kind(optimizer)
            optimizer.step()
        large, little = torch.stack(path, 1)
        x = np.arange(steps)
        figure.add_traces([line(x, large, BLUE, 3.4), line(x, little, Style(VERMILION, "dash"))], 1, place)
    figure.update_xaxes(title_text="step", **ticks(0, 150, 300))
    figure.update_yaxes(range=[-0.1, 1.1], **ticks(0, 0.5, 1))
    figure.update_yaxes(title_text="weight", col=1)
    return small(figure, 230, "Every weight decays alike", "blue: a weight with large gradients; red: small ones")


def averages() -> go.Figure:
    steps, ema, swa = 200, r.EMA(0.95), r.SWA(0.5)
    noise = torch.randn(steps, generator=torch.Generator().manual_seed(0))
    weight, means, path = 2.5, (0.0, 0.0), []
    for step in range(steps):
        weight += -0.3 * weight + 0.6 * float(noise[step])
        shares = (kind.share(step, 1, steps) for kind in (ema, swa))
        means = tuple(mean + share * (weight - mean) for mean, share in zip(means, shares, strict=True))
        path.append((weight, *means))
    (wandering, smooth, mean), x, half = np.array(path).T, np.arange(steps), steps // 2
    figure = go.Figure([line(x, wandering, PALE, 1.3), line([0, steps], [0, 0], Style(INK, "dot"), 1.4)])
    figure.add_traces([line(x, smooth, BLUE, 2.6), line(x[half:], mean[half:], Style(VERMILION, "dash"), 2.6)])
    figure.add_traces([label(0, 3.6, "weight", MUTED), label(55, 3.6, ema.label, BLUE)])
    figure.add_traces([label(125, 3.6, swa.label, VERMILION), label(steps + 3, 0, "minimum")])
    figure.update_xaxes(range=[-4, 1.28 * steps], title_text="step", **ticks(0, 100, 200))
    figure.update_yaxes(range=[-2.6, 4.2], title_text="weight", **ticks(-2, 0, 2))
    return small(figure, 230, "Averages lie nearer to the minimum")


def early_stopping() -> go.Figure:
    stop, (training, validation, models) = r.EarlyStopping(5), run(passes=40)
    end = next(k for k, (value, model) in enumerate(zip(validation, models, strict=True)) if stop(value, model))
    best = int(np.argmin(validation[: end + 1]))
    figure, last, x = go.Figure(), len(training) - 1, np.arange(len(training))
    figure.add_trace(band([end, last], [0, 0], [2.4, 2.4], MUTED))
    figure.add_traces([line(x, training, PALE), line(x, validation, BLUE)])
    figure.add_trace(points([best], [validation[best]], VERMILION, 10))
    figure.add_trace(label(last, 1.25, "validation", BLUE, "middle left"))
    figure.add_trace(label(last, 0.18, "training", MUTED, "middle left"))
    figure.add_trace(label(best, 0.5, f"best: pass {best}", VERMILION, "middle center"))
    figure.add_trace(label(end + 0.4, 2.2, "stopped here"))
    figure.update_xaxes(title_text="pass over the data", nticks=5)
    figure.update_yaxes(title_text="loss", rangemode="tozero", nticks=4)
    return small(figure, 230, "The best pass is kept", "stopped after 5 passes without a better one")


def run(passes: int) -> tuple[list[float], list[float], list[nn.Module]]:
    """Losses in training and validation of too large a network on 60 digits, and the network, before each pass.

    It goes on for longer than it should, which shows what stopping spares.
    """
    problem = tw.prepare("digits")
    inputs, targets = (tensor[:60] for tensor in problem.train)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer, training, validation, models = torch.optim.Adam(model.parameters(), lr=0.01), [], [], []
    for _ in range(passes):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        with torch.no_grad():
            validation.append(F.cross_entropy(model(problem.validation[0]), problem.validation[1]).item())
        training.append(loss.item())
        models.append(copy.deepcopy(model))
        loss.backward()
        optimizer.step()
    return training, validation, models


# The model.


def dropout() -> go.Figure:
    """Two steps of one network; what a unit counts is what its dropout layer makes of 1."""
    layer = nn.Dropout()
    r.Dropout(0.5)(layer)
    figure = panels(1, 2, [bold("step 0"), bold("step 1")], horizontal_spacing=0.04)
    for step in (0, 1):
        torch.manual_seed(r.draw_seed(0, step))
        figure.add_traces(network(layer(torch.ones(5)).numpy()), 1, step + 1)
    figure.update_xaxes(range=[-2.5, 2.5], visible=False).update_yaxes(range=[-0.4, 2.4], showgrid=False)
    figure.update_yaxes(tickvals=[0, 1, 2], ticktext=["inputs", "hidden", "outputs"], col=1)
    figure.update_yaxes(visible=False, col=2)
    return small(figure, 230, "Units drop out, others at every step", "p = 0.5; those kept count 1/(1 − p) = 2 times")


def network(factors: np.ndarray) -> list[go.Scatter]:
    """Three inputs, hidden units each with a factor, and two outputs; without the lines of what has the factor 0."""
    inputs, hidden, outputs = (
        np.array([[k - (count - 1) / 2, layer] for k in range(count)])
        for layer, count in enumerate((3, len(factors), 2))
    )
    ends, (on, off) = np.concatenate([inputs, outputs]), (hidden[factors > 0].T, hidden[factors == 0].T)
    edges = np.array([[end, unit, (np.nan, np.nan)] for unit in on.T for end in ends]).reshape(-1, 2)
    return [
        line(edges[:, 0], edges[:, 1], PALE, 1.2),
        points(ends[:, 0], ends[:, 1], INK, 12),
        points(on[0], on[1], BLUE, 25),
        words(on[0], on[1], [f"×{one:g}" for one in factors if one], PAPER, SIZE, textposition="middle center"),
        points(off[0], off[1], Style(VERMILION, marker="circle-open"), 24),
        points(off[0], off[1], Style(VERMILION, marker="x"), 9),
    ]


def batch_norm() -> go.Figure:
    """What the first unit of `digits-batch-norm` is given for 256 digits, before and after its layer."""
    problem = tw.prepare("digits-batch-norm")
    inputs, _ = problem.train
    torch.manual_seed(0)
    linear, norm, *_ = problem.model().children()
    with torch.no_grad():
        given = linear(inputs[:256])
        before, after = given[:, 0], norm(given)[:, 0]
    figure, edges = panels(2, 1, ["before", "after"]), np.linspace(-3, 3, 49)
    for place, (name, values, colour) in enumerate((("before", before, MUTED), ("after", after, BLUE)), 1):
        mean, deviation = float(values.mean()), float(values.std(correction=0))
        counts, _ = np.histogram(values.numpy(), edges)
        x, y = np.repeat(edges, 2)[1:-1], np.repeat(counts, 2)
        figure.add_trace(band(x, y, np.zeros(len(y)), colour, fillcolor=faded(colour, 0.6)), place, 1)
        figure.add_trace(line([mean, mean], [0, counts.max()], Style(VERMILION, "dash"), 1.8), place, 1)
        said = f"{name}: mean {mean:z.2f}, deviation {deviation:.2f}"
        figure.layout.annotations[place - 1].text = said.replace("-", "−")
    figure.update_xaxes(range=[-3, 3]).update_xaxes(title_text="input of the unit", row=2)
    figure.update_yaxes(title_text="samples", nticks=3, rangemode="tozero")
    return small(figure, 250, "Mean 0 and deviation 1 in every batch")


PICTURES: Mapping[str, Callable[[], go.Figure]] = {
    made.__name__: made
    for made in (
        *(plain, input_noise, mixup, cutmix, shift, flip, crop, rotate, label_smoothing, l2, l1, clipping),
        *(weight_noise, decoupled_decay, averages, early_stopping, dropout, batch_norm),
    )
}

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    for name, made in PICTURES.items():
        files.write(made(), folder / f"{name}.svg")
