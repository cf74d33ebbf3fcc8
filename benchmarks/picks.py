"""What a verdict's words are worth where there were picks before it, or runs are few and wild: simulated studies.

Studies, noise and sizes are those of `verdicts.py`: eight optimizers, normal noise.

**Picked on the confirmation**: of each optimizer three settings were confirmed, whose true means scatter about its own
(**within**, in standard errors of a mean), and the lowest represents it:

- **leader**: how often the interval of the leader's mean holds;
- **alike**: how often any two are told apart where all settings are alike (wanted: at most 5%).

**Tuned over unequally many settings**: every setting of every optimizer is alike; each optimizer's lowest of the search
(3 seeds) is confirmed on 10 fresh seeds, but on the same samples, which favour the picked one again:

- **told apart**: how often any two are (wanted: at most 5%);
- **first**: how often the one with the most settings is the leader; **by chance**: what it would be without luck.

**Led by search and confirmation together**: eight settings of each optimizer are searched, whose true means scatter
about its own (**within**, in standard errors of a mean), and the lowest is confirmed on fresh seeds. What the leader
costs more than the best of the confirmed ones, in standard errors of a confirmed mean:

- **confirmed**: of the leader by the confirmation alone, as verdicts have it;
- **pooled**: of the one with the lowest mean over the seeds of the search and the fresh ones.

**Few seeds and wild rivals**: three of the eight scatter twenty times as much between seeds, skewed, and lie higher;
losses are near 0.3 and cannot be below 0:

- **held**: how often the leader costs no more than its "regret at most" says;
- **at most**: the median of that regret, in shares of the leader's loss, with the end of the scale and **without** it;
- **not known**: how often it says nothing, because it reaches the whole loss.

    python benchmarks/picks.py [--studies 1000]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import machine
import numpy as np
from verdicts import NOISES, OPTIMIZERS, World

from thalweg.verdict import chances
from thalweg.verdict.comparisons import rank

CONFIRMED, LOSS, WILD, TIMES = 3, 0.3, 3, 20
COUNTS = ((8,) * 8, (24, *(4,) * 7), (84, *(7,) * 7), (84, 7))


def world(seeds: int, samples: int) -> World:
    return World(NOISES["normal"], seeds, samples)


def error(of: World) -> float:
    """Of a mean."""
    return float(np.hypot(of.own_seed / of.seeds**0.5, of.own_sample / of.samples**0.5))


def ranked(cells: np.ndarray, settings: int) -> tuple[int, Any, np.ndarray]:
    """The leader and the ranking of optimizers by the lowest of their settings each, and which these are."""
    table = cells.reshape(*cells.shape[:2], -1, settings)
    lowest = table.mean(axis=(0, 1)).argmin(axis=1)
    picked = np.take_along_axis(table, lowest[None, None, :, None], axis=3)[..., 0]
    rivals = [np.delete(table[:, :, k], at, axis=-1) for k, at in enumerate(lowest)]
    order, made = rank(picked, rivals=rivals)
    return order[0], made, np.arange(len(lowest)) * settings + lowest


def picked(seeds: int, samples: int, within: int, studies: int) -> list[str]:
    rng, of = np.random.default_rng([seeds, samples]), world(seeds, samples)
    chances.RESAMPLES = 1  # chances have a benchmark of their own
    held, apart = [], []
    for _ in range(studies):
        own = rng.normal(size=(OPTIMIZERS, 1)) * rng.choice([0.5, 1, 2, 4])
        truth = error(of) * (own + within * rng.normal(size=(OPTIMIZERS, CONFIRMED))).ravel()
        leader, made, at = ranked(of.study(rng, truth), CONFIRMED)
        held.append(made.mean[leader].low <= truth[at[leader]] <= made.mean[leader].high)
        apart.append(len(ranked(of.study(rng, np.zeros_like(truth)), CONFIRMED)[1].groups) > 1)
    return [str(seeds), f"{samples:,}", f"{within:g}", f"{np.mean(held):.1%}", f"{np.mean(apart):.1%}"]


def tuned(counts: Sequence[int], samples: int, studies: int) -> list[str]:
    rng = np.random.default_rng([len(counts), max(counts), samples])
    chances.RESAMPLES = 1
    apart, first = [], []
    search, confirmation = world(3, samples), world(10, samples)
    settings = np.repeat(np.arange(len(counts)), counts)
    for _ in range(studies):
        # Of one study on the same samples: what samples do to a setting is drawn once.
        both = World(NOISES["normal"], search.seeds + confirmation.seeds, samples).study(rng, np.zeros(len(settings)))
        means = both[: search.seeds].mean(axis=(0, 1))
        chosen = [np.flatnonzero(settings == k)[means[settings == k].argmin()] for k in range(len(counts))]
        order, made = rank(both[search.seeds :][..., chosen])
        apart.append(len(made.groups) > 1)
        first.append(order[0] == 0)
    name = (
        f"{counts[0]} and {len(counts) - 1} × {counts[-1]}"
        if counts[0] != counts[-1]
        else f"{len(counts)} × {counts[0]}"
    )
    return [name, f"{samples:,}", f"{np.mean(apart):.1%}", f"{np.mean(first):.1%}", f"{1 / len(counts):.1%}"]


def pooled(seeds: tuple[int, int], samples: int, within: int, studies: int) -> list[str]:
    (searched, fresh), settings = seeds, 8
    rng, of = np.random.default_rng([*seeds, samples, within]), world(searched + fresh, samples)
    scale, costs = error(world(fresh, samples)), []
    for _ in range(studies):
        own = rng.normal(size=(OPTIMIZERS, 1)) * rng.choice([0.5, 1, 2, 4])
        truth = (scale * (own + within * rng.normal(size=(OPTIMIZERS, settings)))).ravel()
        losses = of.study(rng, truth).mean(axis=1)
        lowest = losses[:searched].mean(axis=0).reshape(OPTIMIZERS, -1).argmin(axis=1)
        chosen = np.arange(OPTIMIZERS) * settings + lowest
        leaders = (losses[since:, chosen].mean(axis=0).argmin() for since in (searched, 0))
        costs.append([(truth[chosen][leader] - truth[chosen].min()) / scale for leader in leaders])
    return [f"{searched} + {fresh}", f"{samples:,}", str(within), *(f"{cost:.2f}" for cost in np.mean(costs, axis=0))]


def wild(seeds: int, rivals: int, studies: int) -> list[str]:
    rng, of = np.random.default_rng([seeds, rivals]), world(seeds, 288)
    chances.RESAMPLES = 1
    held, shares, free = [], [], []
    for _ in range(studies):
        truth = LOSS + error(of) * rng.normal(size=OPTIMIZERS) * rng.choice([0.5, 1, 2, 4])
        truth[OPTIMIZERS - rivals :] += 10 * of.own_seed
        cells = of.study(rng, truth)
        scatter = rng.lognormal(size=(seeds, 1, rivals)) - np.exp(0.5)
        cells[..., OPTIMIZERS - rivals :] += TIMES * of.own_seed * scatter
        (leader, *_), bounded = rank(np.maximum(cells, 0), floor=0.0)
        held.append(truth[leader] - truth.min() <= bounded.regret[leader] + 1e-12)
        loss = bounded.mean[leader].mean
        shares.append(bounded.regret[leader] / loss)
        free.append(rank(np.maximum(cells, 0))[1].regret[leader] / loss)
    least, most = (f"{np.median(some):.0%}" for some in (shares, free))
    return [str(seeds), str(rivals), f"{np.mean(held):.1%}", least, most, f"{np.mean(np.array(shares) >= 1):.0%}"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--studies", type=int, default=1000)
    studies = options.parse_args().studies
    rows = [
        picked(seeds, samples, within, studies)
        for seeds, samples in ((3, 288), (5, 288), (10, 288), (10, 2000))
        for within in (0, 1, 3)
    ]
    tables = [machine.table(["seeds", "samples", "within", "leader", "alike"], rows)]
    rows = [tuned(counts, samples, studies) for counts in COUNTS for samples in (288, 2000)]
    tables.append(machine.table(["settings", "samples", "told apart", "first", "by chance"], rows))
    rows = [
        pooled(seeds, samples, within, studies)
        for seeds in ((5, 10), (3, 3))
        for samples in (288, 2000)
        for within in (0, 1, 3)
    ]
    tables.append(machine.table(["seeds", "samples", "within", "confirmed", "pooled"], rows))
    rows = [wild(seeds, rivals, studies) for seeds in (2, 3, 5, 10) for rivals in (0, WILD)]
    tables.append(machine.table(["seeds", "wild", "held", "at most", "without", "not known"], rows))
    words = (__doc__ or "").split("\n\n    python")[0]
    machine.write("picks", f"{machine.heading('Picks before a verdict')}\n{words}\n\n" + "\n".join(tables))


if __name__ == "__main__":
    main()
