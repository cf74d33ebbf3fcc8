"""How often what a verdict says is true: simulated studies whose true means are known.

A study has eight optimizers, seeds and validation samples. A loss is the optimizer's true mean, plus what the seed and
the sample add for all alike, plus what each adds for that optimizer alone, which is drawn as the rows say; sizes are
those measured on digits (a seed moves a run by 0.013, a sample by 0.6). Claims are of verdicts over seeds × samples:

- **mean**, **difference**: how often the 95% interval of an optimizer's mean, and of its difference to the leader's,
  holds;
- **leader**: how often the interval of the leader's mean holds, which was picked because it was the lowest;
- **regret**: how often no optimizer costs more than "regret at most" says, all eight at once;
- **best kept**: how often the truly best is among those that may be the best;
- **alike**: how often identical optimizers are told apart, any pair of them (wanted: at most 5%).

Then a real study on each of several splits of digits into training, validation and test part: for every two optimizers
the difference of their losses is estimated on the validation part and, of the same weights, on the test part. Both
estimate the same difference of all data like these, so they must agree within what they say of themselves:

- **agree**: pairs whose two differences are within 1.96 standard errors of each other (wanted: 93% or more);
- **confirmed**, **reversed**: pairs reliably told apart on the validation part that are so on the test part as well, or
  the other way round (wanted: at most 2.5%).

    python benchmarks/verdicts.py [--studies 2000] [--splits 16]
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import machine
import numpy as np
import torch

import thalweg as tw
from thalweg.population.block import PARTS
from thalweg.problem.find import load
from thalweg.store.file import Store
from thalweg.verdict import chances
from thalweg.verdict.comparisons import rank
from thalweg.verdict.intervals import estimate
from thalweg.verdict.losses import matching
from thalweg.verdict.pairs import Pairs

Draw = Callable[..., np.ndarray]
RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
OPTIMIZERS = 8


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
    return result


def alike(world: World, studies: int, rng: np.random.Generator) -> float:
    """How often any two of eight identical optimizers are told apart."""
    return float(np.mean([len(rank(world.study(rng, np.zeros(OPTIMIZERS)))[1].groups) > 1 for _ in range(studies)]))


def row(name: str, world: World, studies: int) -> list[str]:
    rng = np.random.default_rng([world.seeds, world.samples])
    chances.RESAMPLES = 1  # chances have a benchmark of their own
    spread = np.sqrt(world.own_seed**2 / world.seeds + world.own_sample**2 / world.samples)
    # From optimizers that hardly differ to some that differ by several standard errors.
    truths = rng.normal(size=(studies, OPTIMIZERS)) * spread * rng.choice([0.5, 1, 2, 4], size=(studies, 1))
    result = claims(world, truths, rng)
    shares = [float(np.mean(result[claim])) for claim in ("mean", "difference", "leader", "regret", "best kept")]
    shares.append(alike(world, studies, rng))
    line = [name, str(world.seeds), f"{world.samples:,}", *(f"{share:.1%}" for share in shares)]
    print(*line, flush=True)
    return line


def resplit(seed: int) -> tw.Problem:
    """Digits with its samples dealt anew into three parts of the same sizes."""
    digits = load("digits")
    parts = (digits.train, digits.validation, digits.test)
    inputs, targets = (torch.cat([torch.as_tensor(part[k]) for part in parts]) for k in (0, 1))
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    rows = order.split([len(part[0]) for part in parts])
    dealt = {name: (inputs[at], targets[at]) for name, at in zip(("train", "validation", "test"), rows, strict=True)}
    return replace(digits, **dealt, name=f"digits-{seed}")


def of_split(seed: int, folder: Path) -> np.ndarray:
    """Of each pair: whether both parts agree, whether told apart by validation, confirmed by test, and reversed."""
    grid = {"rates": RATES, "schedules": ["constant"], "seeds": 3, "epochs": 10, "confirmation": 10, "grow": 0}
    study = tw.compare(resplit(seed), **grid, store=folder / f"{seed}.db", progress=False)
    with Store.open(study.path) as store:
        parts = store.parts()
    fresh = study.table().query("stage == 'confirmation'")
    settings = [entry.setting for entry in study.verdict.entries if np.isfinite(entry.value.mean)]
    runs = [fresh[matching(fresh, setting)].sort_values("seed")["member"] for setting in settings]
    cells = {
        part: np.stack([parts[f"{part}_loss"].loc[one].to_numpy() for one in runs], axis=-1)
        for part in ("validation", "test")
    }
    better = {part: told_apart(table) for part, table in cells.items()}
    rows = []
    for one, other in itertools.combinations(range(len(settings)), 2):
        gaps = [estimate(table[..., one] - table[..., other]) for table in cells.values()]
        error = np.hypot(*(gap.error for gap in gaps))
        first, second = ((one, other), (other, one))
        by_validation = [pair for pair in (first, second) if better["validation"][pair]]
        again = [bool(better["test"][pair]) for pair in by_validation]
        back = [bool(better["test"][pair[::-1]]) for pair in by_validation]
        rows.append([abs(gaps[0].mean - gaps[1].mean) <= 1.96 * error, bool(by_validation), any(again), any(back)])
    return np.array(rows)


def told_apart(cells: np.ndarray) -> np.ndarray:
    """(optimizers, optimizers) whether the row is reliably better than the column."""
    return Pairs.of(cells, rank(cells)[0], 0.0, 0.05).better


def splits(count: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        rows = np.concatenate([of_split(seed, Path(folder)) for seed in range(count)])
    agree, apart, confirmed, back = rows.mean(axis=0)
    head = ["splits", "pairs", "agree", "told apart by validation", "of these confirmed", "of these reversed"]
    shares = [f"{agree:.1%}", f"{apart:.1%}", f"{confirmed / apart:.1%}", f"{back / apart:.1%}"]
    return machine.table(head, [[str(count), str(len(rows)), *shares]])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--studies", type=int, default=2000)
    options.add_argument("--splits", type=int, default=16)
    studies = options.parse_args().studies
    between = splits(options.parse_args().splits)
    print(between, flush=True)
    head = ["noise", "seeds", "samples", "mean", "difference", "leader", "regret", "best kept", "alike"]
    rows = [
        row(name, World(noise, seeds, samples), studies)
        for name, noise in NOISES.items()
        for seeds in (3, 5, 10)
        for samples in (288, 2000)
    ]
    words = (__doc__ or "").split("\n\n    python")[0]
    tables = f"{machine.table(head, rows)}\n{between}"
    machine.write("verdicts", f"{machine.heading('What a verdict says')}\n{words}\n\n{tables}")


if __name__ == "__main__":
    main()
