"""How often what a verdict says is true: simulated studies whose true means are known.

A study has eight optimizers, seeds and validation samples. A loss is the optimizer's true mean, plus what the seed and
the sample add for all alike, plus what each adds for that optimizer alone, which is drawn as the rows say; sizes are
those measured on digits (a seed moves a run by 0.013, a sample by 0.6). Claims are of verdicts over seeds × samples:

- **mean**, **difference**: how often the 95% interval of an optimizer's mean, and of its difference to the leader's,
  holds;
- **leader**: how often the interval of the leader's mean holds, which was picked because it was the lowest;
- **regret**: how often no optimizer costs more than "regret at most" says, all eight at once;
- **best kept**: how often the truly best is among those that may be the best;
- **alike**: how often identical optimizers are told apart, any pair of them (wanted: at most 5%);
- **chance**: by how much the shown chance of being best differs from the share of studies in which that is true, at the
  most over five bins of shown chances (only bins with 200 studies or more).

    python benchmarks/verdicts.py [--studies 1000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import machine
import numpy as np

from thalweg.population.block import PARTS
from thalweg.verdict import chances
from thalweg.verdict.comparisons import rank

Draw = Callable[..., np.ndarray]
OPTIMIZERS, BINS = 8, (0.0, 0.4, 0.6, 0.8, 0.9, 1.0)


def lognormal(rng: np.random.Generator, shape: tuple[int, ...], sigma: float = 0.5) -> np.ndarray:
    """Mean 0, standard deviation 1."""
    variance = (np.exp(sigma**2) - 1) * np.exp(sigma**2)
    return (np.exp(sigma * rng.normal(size=shape)) - np.exp(sigma**2 / 2)) / np.sqrt(variance)


def outliers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """One in ten is five standard deviations too high."""
    return (rng.normal(size=shape) + 5 * (rng.random(shape) < 0.1) - 0.5) / np.sqrt(1 + 25 * 0.09)


def unequal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Half of the optimizers hardly skewed, half of them strongly."""
    half = shape[-1] // 2
    mild, wild = (lognormal(rng, (*shape[:-1], n), s) for n, s in ((half, 0.25), (shape[-1] - half, 0.8)))
    return np.concatenate([mild * 0.3, wild], axis=-1)


NOISES: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "lognormal 0.5": lognormal,
    "t₃": lambda rng, shape: rng.standard_t(3, size=shape) / np.sqrt(3),
    "10% outliers": outliers,
    "unequal skew": unequal,
}


@dataclass(frozen=True)
class World:
    """What losses are drawn from; standard deviations of one run and one sample."""

    noise: Draw
    seeds: int
    samples: int
    of_seed: float = 0.013
    of_sample: float = 0.6
    own_seed: float = 0.013
    own_sample: float = 0.2

    def study(self, rng: np.random.Generator, truth: np.ndarray) -> np.ndarray:
        """Losses (seeds, parts of the samples, optimizers)."""
        size = -(-self.samples // PARTS)
        parts = -(-self.samples // size)
        each = self.noise(rng, (parts, size, len(truth))).mean(axis=1)  # of a part
        return (
            truth
            + self.of_seed * rng.normal(size=(self.seeds, 1, 1))
            + self.of_sample * rng.normal(size=(1, parts, 1)) / np.sqrt(size)
            + self.own_seed * self.noise(rng, (self.seeds, 1, len(truth)))
            + self.own_sample * each
            + 0.05 * rng.normal(size=(self.seeds, parts, len(truth))) / np.sqrt(size)
        )


def claims(world: World, truths: np.ndarray, rng: np.random.Generator) -> dict[str, list[float]]:
    """For each study, whether each claim is true."""
    result: dict[str, list[float]] = {name: [] for name in ("mean", "difference", "leader", "regret", "best kept")}
    result |= {"shown": [], "is best": []}
    for truth in truths:
        order, ranked = rank(world.study(rng, truth))
        leader = order[0]
        inside = [one.low <= true <= one.high for one, true in zip(ranked.mean, truth, strict=True)]
        if leader != 0:  # an optimizer that was chosen beforehand
            gap = ranked.difference[0]
            result["difference"].append(gap.low <= truth[0] - truth[leader] <= gap.high)
        result["mean"].append(inside[1] if leader != 1 else inside[2])
        result["leader"].append(inside[leader])
        result["regret"].append(bool(np.all(truth - truth.min() <= np.array(ranked.regret) + 1e-12)))
        result["best kept"].append(ranked.may_be_best[int(truth.argmin())])
        result["shown"].append(ranked.probability[leader])
        result["is best"].append(truth[leader] == truth.min())
    return result


def calibration(shown: list[float], true: list[float]) -> float:
    places = np.digitize(shown, BINS[1:-1])
    gaps = [
        abs(np.mean(np.array(shown)[places == b]) - np.mean(np.array(true)[places == b]))
        for b in range(len(BINS) - 1)
        if (places == b).sum() >= 200
    ]
    return max(gaps, default=float("nan"))


def alike(world: World, studies: int, rng: np.random.Generator) -> float:
    """How often any two of eight identical optimizers are told apart."""
    return float(np.mean([len(rank(world.study(rng, np.zeros(OPTIMIZERS)))[1].groups) > 1 for _ in range(studies)]))


def row(name: str, world: World, studies: int) -> list[str]:
    rng = np.random.default_rng([world.seeds, world.samples])
    chances.RESAMPLES = 2000
    spread = np.sqrt(world.own_seed**2 / world.seeds + world.own_sample**2 / world.samples)
    # From optimizers that hardly differ to some that differ by several standard errors.
    truths = rng.normal(size=(studies, OPTIMIZERS)) * spread * rng.choice([0.5, 1, 2, 4], size=(studies, 1))
    result = claims(world, truths, rng)
    shares = [np.mean(result[claim]) for claim in ("mean", "difference", "leader", "regret", "best kept")]
    off = calibration(result["shown"], result["is best"])
    chances.RESAMPLES = 1
    shares.append(alike(world, studies, rng))
    print(name, world.seeds, world.samples, [f"{share:.1%}" for share in shares], f"{off:.1%}", flush=True)
    points = f"{100 * off:.0f} points" if off == off else "–"
    return [name, str(world.seeds), f"{world.samples:,}", *(f"{share:.1%}" for share in shares), points]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--studies", type=int, default=1000)
    studies = options.parse_args().studies
    head = ["noise", "seeds", "samples", "mean", "difference", "leader", "regret", "best kept", "alike", "chance"]
    rows = [
        row(name, World(noise, seeds, samples), studies)
        for name, noise in NOISES.items()
        for seeds in (3, 5, 10)
        for samples in (288, 2000)
    ]
    words = (__doc__ or "").split("\n\n    python")[0]
    machine.write("verdicts", f"{machine.heading('What a verdict says')}\n{words}\n\n{machine.table(head, rows)}")


if __name__ == "__main__":
    main()
