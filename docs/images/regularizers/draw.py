"""The pictures of docs/regularizers.md, drawn with the library: python docs/images/regularizers/draw.py [FOLDER]."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg import regularizers as r

PIXEL, GAP = 8, 6
INK, SOFT, MARK = "#1f2933", "#9aa5b1", "#c2410c"


def strip(images: torch.Tensor) -> str:
    """Images (count, height, width) from 0 to 1 side by side, as SVG."""
    count, height, width = images.shape
    cells = []
    for k in range(count):
        for i in range(height):
            for j in range(width):
                shade = round(255 * (1 - float(images[k, i, j].clamp(0, 1))))
                x, y = k * (width * PIXEL + GAP) + j * PIXEL, i * PIXEL
                cells.append(
                    f'<rect x="{x}" y="{y}" width="{PIXEL}" height="{PIXEL}" fill="rgb({shade},{shade},{shade})"/>'
                )
    return svg(count * (width * PIXEL + GAP) - GAP, height * PIXEL, cells)


def lines(curves: dict[str, np.ndarray], marks: tuple[tuple[float, float], ...] = ()) -> str:
    """Curves over 0, 1, … with their names, as SVG."""
    everything = np.concatenate([c[np.isfinite(c)] for c in curves.values()])
    low, high = float(everything.min()), float(everything.max())
    length = max(map(len, curves.values())) - 1

    def place(x: float, y: float) -> tuple[float, float]:
        return 10 + 400 * x / length, 170 - 150 * (y - low) / (high - low)

    drawn = []
    for k, ((name, curve), color) in enumerate(zip(curves.items(), (SOFT, MARK, INK), strict=False)):
        points = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in enumerate(curve) if np.isfinite(y))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.6"/>')
        drawn.append(f'<text x="420" y="{30 + 18 * k}" fill="{color}">{name}</text>')
    for x, y in marks:
        at = place(x, y)
        drawn.append(f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="4" fill="{MARK}"/>')
    return svg(600, 180, drawn)


def svg(width: float, height: float, inside: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(inside)}</svg>\n'
    )


def pictures() -> dict[str, str]:
    problem = tw.prepare("digits-cnn")
    images, classes = problem.train[0][:4], problem.train[1][:4]
    made = {
        "input_noise": r.InputNoise(0.3),
        "mixup": r.MixUp(1.0),
        "cutmix": r.CutMix(1.0),
        "shift": r.Shift(2),
        "flip": r.Flip(0.5),
        "crop": r.Crop(0.4),
        "rotate": r.Rotate(40),
    }
    found = {"plain": strip(images[:, 0])}
    for name, kind in made.items():
        steps = (kind(images, classes, seed=0, step=step) for step in range(100))
        shown = next(x for x, y in steps if not isinstance(y, r.Mixed) or 0.5 < y.share < 0.65)
        found[name] = strip(shown[:, 0])
    torch.manual_seed(r.draw_seed(0, 0))
    found["dropout"] = strip(F.dropout(torch.full((4, 8, 8), 0.35), 0.5) * 1.3)
    norm = nn.BatchNorm2d(1)
    found["batch_norm"] = lines(
        {
            "inputs, sorted": images.flatten().sort().values.numpy(),
            "after": norm(images).detach().flatten().sort().values.numpy(),
        }
    )
    grid = torch.linspace(-2, 2, 61)
    found["l2"], found["l1"] = (
        lines(
            {
                f"{name} penalty": np.array([float(kind.penalty((w.reshape(1),), (torch.tensor(1.0),))) for w in grid]),
                "its gradient": slope.numpy(),
            }
        )
        for name, kind, slope in (("L2", r.L2(1.0), grid), ("L1", r.L1(1.0), grid.sign()))
    )
    scores = torch.stack([grid * 4, torch.zeros(61), torch.zeros(61)], dim=1)
    target = torch.tensor([0])
    found["label_smoothing"] = lines(
        {
            "cross-entropy": np.array([float(F.cross_entropy(s[None], target)) for s in scores]),
            "with ε = 0.1": np.array([float(r.LabelSmoothing(0.1)(F.cross_entropy)(s[None], target)) for s in scores]),
        }
    )
    found["clipping"] = lines(
        {
            "norm of the gradient": np.linspace(0, 3, 61),
            "clipped at 1": np.array(
                [
                    float(r.ClipNorm(1.0).gradient((torch.tensor([x]),), (torch.tensor(1.0),))[0])
                    for x in np.linspace(0, 3, 61)
                ]
            ),
        }
    )
    return found | paths(problem)


def paths(problem: tw.study.prepare.Prepared) -> dict[str, str]:
    """What only a training run shows."""
    inputs, targets = problem.train[0][:60], problem.train[1][:60]
    ema, swa, stop = r.EMA(0.9), r.SWA(0.5), r.EarlyStopping(5)
    torch.manual_seed(0)
    weight, averages, seen = nn.Parameter(torch.tensor([3.0])), [0.0, 0.0], []
    noise = torch.randn(60, generator=torch.Generator().manual_seed(1))
    for step in range(60):
        with torch.no_grad():
            weight += -0.15 * weight + 0.5 * noise[step]
        for k, kind in enumerate((ema, swa)):
            averages[k] += kind.share(step, 1, 60) * (weight.item() - averages[k])
        seen.append((weight.item(), *averages))
    path = np.array(seen)
    decay, shrunk = nn.Parameter(torch.tensor([1.0])), []
    optimizer = torch.optim.SGD([decay], lr=0.1)
    for _ in range(60):
        r.DecoupledDecay(0.5)(optimizer)
        shrunk.append(decay.item())
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer, losses, noisy, calm = torch.optim.Adam(model.parameters(), lr=0.01), [], [], []
    best = None
    for epoch in range(80):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        calm.append(loss.item())
        optimizer.step()
        with torch.no_grad():
            losses.append(F.cross_entropy(model(problem.validation[0]), problem.validation[1]).item())
            with r.WeightNoise(0.1).applied(model, seed=0, step=epoch):
                noisy.append(F.cross_entropy(model(inputs), targets).item())
        if best is None and stop(losses[-1], model):
            best = int(np.argmin(losses))
            break
    best = int(np.argmin(losses)) if best is None else best
    return {
        "averages": lines({"weight": path[:, 0], "EMA, d = 0.9": path[:, 1], "SWA from half": path[:, 2]}),
        "decoupled_decay": lines({"a weight without gradient": np.array(shrunk)}),
        "early_stopping": lines({"validation loss": np.array(losses)}, ((best, losses[best]),)),
        "weight_noise": lines({"training loss": np.array(calm), "at w + σε": np.array(noisy)}),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    for name, picture in pictures().items():
        (folder / f"{name}.svg").write_text(picture)
