"""A made-up study with the interface that the report reads: eight optimizers, each with its own valley."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from thalweg.plan.plan import Plan, plan
from thalweg.verdict.entries import Entry, Verdict
from thalweg.verdict.verdict import Interval, judge

VALLEYS = {  # optimizer: (best rate, smallest loss, width in decades, rate from which it diverges)
    "adamw": (1e-3, 0.081, 0.9, 0.9),
    "adam": (1e-3, 0.082, 0.9, 0.9),
    "rmsprop": (1e-3, 0.086, 0.7, 0.4),
    "nesterov": (0.1, 0.089, 0.8, 0.5),
    "momentum": (0.1, 0.093, 0.8, 0.5),
    "adagrad": (0.03, 0.104, 0.9, math.inf),
    "sgd": (1.0, 0.131, 1.1, math.inf),
    "adadelta": (1.0, 0.173, 1.3, math.inf),
}
BYTES = {"sgd": 0, "momentum": 4, "nesterov": 4, "adagrad": 4, "rmsprop": 4, "adadelta": 8, "adam": 8, "adamw": 8}
CODE = "import torch\n\n\ndef train(model, loader, epochs=20):\n    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)\n    total = epochs * len(loader)\n    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)\n    for _ in range(epochs):\n        for inputs, targets in loader:\n            optimizer.zero_grad()\n            loss = torch.nn.functional.cross_entropy(model(inputs), targets)\n            loss.backward()\n            optimizer.step()\n            scheduler.step()\n"  # noqa: E501
EPOCHS, STEPS = 20, 17


@dataclass
class FakeStudy:
    name: str
    verdict: Verdict
    members: pd.DataFrame
    points: pd.DataFrame
    plan: Plan
    code: str = CODE
    provenance: dict[str, Any] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        return self.members

    def curves(self, stage: str) -> pd.DataFrame:
        return self.points[self.points["member"].isin(self.members.query("stage == @stage")["member"])]

    def verdict_by(self, factor: str) -> Verdict:
        return judge(self.plan, self.name, self.members, {}, factor)

    def recipe(self) -> Any:
        return SimpleNamespace(code=self.code)


def fake_study(*, seeds: int = 5, rates: int = 13, confirmed: bool = True, waiting: int = 0) -> FakeStudy:
    """A study with everything; `waiting` of its search runs, spread over it, have not ended."""
    noise = np.random.default_rng(7)
    grid = tuple(float(rate) for rate in np.logspace(-4, 0, rates))
    members, points = [], []

    def run(stage: str, name: str, rate: float, schedule: str, seed: int) -> float:
        best, low, width, limit = VALLEYS[name]
        off = math.log10(rate / best) / width
        loss = low * (1 + (0.16 if schedule == "constant" else 0)) * math.exp(min(abs(off), 3.2) ** 1.5 * 0.55)
        loss = min(loss, 2.3) * math.exp(0.05 * noise.standard_normal())
        broken = rate > limit or (rate > limit / 2.5 and seed == 1)
        ends = math.nan if broken else loss
        number = len(members)
        members.append(
            (
                number,
                stage,
                name,
                rate,
                schedule,
                seed,
                "diverged" if broken else "finished",
                340 if not broken else 40,
                ends * 0.7,
                ends,
                1 - ends / 3,
            )
        )
        for epoch in range(1, EPOCHS + 1 if not broken else 3):
            now = loss + (2.3 - loss) * math.exp(-epoch / (2.5 + 2 * abs(off))) * math.exp(0.05 * noise.normal())
            points.append((number, epoch * STEPS, "validation_loss", now))
            points.append((number, epoch * STEPS, "train_loss", now * (1 - 0.015 * epoch)))
            points.append((number, epoch * STEPS, "validation_accuracy", 1 - now / 3))
        return math.inf if broken else loss

    losses: dict[tuple[str, float, str], list[float]] = {}
    for name in VALLEYS:
        for rate in grid:
            for schedule in ("constant", "cosine"):
                for seed in range(seeds):
                    losses.setdefault((name, rate, schedule), []).append(run("search", name, rate, schedule, seed))
    entries = []
    reference = None
    for place, name in enumerate(VALLEYS):
        key = min((key for key in losses if key[0] == name), key=lambda key: float(np.mean(losses[key])))
        fresh = [run("confirmation", *key, 100 + seed) for seed in range(seeds)] if confirmed else losses[key]
        fresh = np.asarray(fresh)
        reference = fresh if reference is None else reference
        rank = (1, 1, 2, 2, 3, 4, 5, 6)[place]
        test = {"loss": _interval(fresh * 1.08), "accuracy": _interval(1 - fresh / 4)} if confirmed else {}
        lost = sum(not math.isfinite(one) for k, many in losses.items() if k[0] == name for one in many)
        edge = {grid[0]: "lowest", grid[-1]: "highest"}.get(key[1])
        chance = (0.58, 0.31, 0.08, 0.03)[place] if place < 4 else 0.0
        entries.append(
            Entry(
                name,
                rank,
                key[1],
                key[2],
                _interval(fresh),
                _interval(fresh - reference),
                chance,
                float(np.mean(losses[key])),
                edge,
                2 * rates * seeds,
                lost,
                test,
                (22 + 3 * BYTES[name]) * 1e-6,
                BYTES[name],
            )
        )
    columns = [
        "member",
        "stage",
        "optimizer",
        "lr",
        "schedule",
        "seed",
        "status",
        "step",
        "train_loss",
        "validation_loss",
        "validation_accuracy",
    ]
    table = pd.DataFrame(members, columns=columns)
    notes = [f"{entries[-1].optimizer}: the best rate is the highest of the grid; a higher one may be better."]
    lost = int((table["status"] == "diverged").sum())
    notes.append(f"{lost} runs diverged; each counts as infinitely bad.")
    if waiting:
        late = table.index[:: max(1, len(table) // waiting)][:waiting]
        table.loc[late, ["status", "step", "train_loss", "validation_loss"]] = ["waiting", 0, math.nan, math.nan]
        notes.append(f"{waiting} runs have not ended.")
    verdict = Verdict(
        tuple(entries),
        tuple(tuple(one.optimizer for one in entries if one.rank == rank) for rank in range(1, 7)),
        "adamw and adam are tied for best on digits: 5 seeds cannot tell them apart. "
        "Start with adamw at rate 0.001 with a cosine schedule.",
        tuple(notes),
        seeds,
        confirmed,
    )
    wanted = plan([*VALLEYS], grid, ("constant", "cosine"), seeds=seeds, epochs=EPOCHS)
    provenance = {
        "thalweg": "0.1.0",
        "torch": "2.13.0",
        "device": "cpu, 2 threads",
        "problem": "digits",
        "data": "1,797 images, 8×8",
        "started": "2026-05-04 10:12",
        "seconds": 412.7,
        "seed": 0,
    }
    curves = pd.DataFrame(points, columns=["member", "step", "metric", "value"])
    return FakeStudy("digits", verdict, table, curves, wanted, provenance=provenance)


def _interval(values: np.ndarray) -> Interval:
    mean, half = float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)
