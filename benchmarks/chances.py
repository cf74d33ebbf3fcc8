"""Whether the chance of being the best is what it says: simulated studies whose true means are known.

Studies, noise and sizes are those of `verdicts.py`: eight optimizers, whose true means scatter by 0.5, 1, 2 or 4
standard errors of a mean; 3, 5 and 10 seeds; 288 and 2,000 samples. Of each study the chance of the leader, the one
with the lowest mean, stands beside whether it is the best. Studies whose leader's chance lies in the same of five bins
are counted together. Last, all eight are identical, so that each has one chance in eight and the leader leads by luck:

- **shown**: the mean of these chances; **true**: the share of these leaders that are the best;
- **off by**: shown less true, in points (wanted: 3 at most); below 0 the chance claims too little.

    python benchmarks/chances.py [--studies 400]
"""

from __future__ import annotations

import argparse
import itertools

import machine
import numpy as np
from picks import error
from verdicts import NOISES, OPTIMIZERS, World

from thalweg.verdict import chances

BINS = (0.0, 0.4, 0.6, 0.8, 0.9, 1.0)
SCATTERS = (0.5, 1, 2, 4)  # of true means, in standard errors of a mean


def leaders(of: World, studies: int, rng: np.random.Generator) -> np.ndarray:
    """Of each study the leader's chance, and whether it is the best, (studies, 2)."""
    rows = []
    for scatter in rng.choice(SCATTERS, size=studies):
        truth = rng.normal(size=OPTIMIZERS) * error(of) * scatter
        cells = of.study(rng, truth)
        means = cells.mean(axis=(0, 1))
        leader = int(means.argmin())
        rows.append((chances.chances(cells, means, 0, 0.0)[leader], leader == truth.argmin()))
    return np.array(rows, dtype=float)


def alike(of: World, studies: int, rng: np.random.Generator) -> float:
    """The mean chance of the leader among identical optimizers."""
    cells = [of.study(rng, np.zeros(OPTIMIZERS)) for _ in range(studies)]
    return float(np.mean([max(chances.chances(some, some.mean(axis=(0, 1)), 0, 0.0)) for some in cells]))


def off(rows: np.ndarray) -> str:
    gap = 100 * (rows[:, 0].mean() - rows[:, 1].mean())
    return f"{gap:+.1f}".replace("-", "−")


def binned(rows: np.ndarray) -> list[np.ndarray]:
    places = np.digitize(rows[:, 0], BINS[1:-1])
    return [rows[places == b] for b in range(len(BINS) - 1)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--studies", type=int, default=400, help="of each kind of noise, number of seeds and of samples"
    )
    studies = options.parse_args().studies
    chances.RESAMPLES = 1000
    names = [f"{100 * low:.0f}–{100 * high:.0f}%" for low, high in itertools.pairwise(BINS)]
    of_noise, identical = {}, []
    for name, noise in NOISES.items():
        worlds = [World(noise, seeds, samples) for seeds in (3, 5, 10) for samples in (288, 2000)]
        rng = np.random.default_rng(len(of_noise))
        of_noise[name] = np.concatenate([leaders(of, studies, rng) for of in worlds])
        shown = np.mean([alike(of, max(1, studies // 4), rng) for of in worlds])
        identical.append([name, f"{len(worlds) * max(1, studies // 4):,}", f"{shown:.1%}", f"{1 / OPTIMIZERS:.1%}"])
        print(name, off(of_noise[name]), f"{shown:.1%}", flush=True)
    every = zip(names, binned(np.concatenate([*of_noise.values()])), strict=True)
    lines = [[name, f"{len(b):,}", *(f"{share:.1%}" for share in b.mean(axis=0)), off(b)] for name, b in every]
    tables = [machine.table(["chance", "studies", "shown", "true", "off by"], lines)]
    lines = [[name, f"{len(rows):,}", *map(off, binned(rows)), off(rows)] for name, rows in of_noise.items()]
    tables.append(machine.table(["noise, off by", "studies", *names, "all"], lines))
    tables.append(machine.table(["all identical", "studies", "shown of the leader", "of each"], identical))
    words = (__doc__ or "").split("\n\n    python")[0]
    machine.write("chances", f"{machine.heading('Chances of being the best')}\n{words}\n\n" + "\n".join(tables))


if __name__ == "__main__":
    main()
