"""A study without training: eight optimizers, each with its own valley, in a store as a study writes it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.plan.factors import Setting
from thalweg.plan.plan import plan
from thalweg.recipe.run import RecipeRun
from thalweg.store.file import Store
from thalweg.study.study import Study
from thalweg.verdict.verdict import to_confirm

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
EPOCHS, STEPS = 20, 17
PROVENANCE = {"thalweg": "0.1.0", "torch": "2.13.0", "device": "cpu, 2 threads", "started": "2026-05-04 10:12"}
PROBLEM: dict[str, Any] = {
    "name": "digits",
    "kind": "built-in",
    "spec": "digits",
    "fingerprint": "0",
    "weights": 4810,
    "loss": "cross_entropy",
    "metrics": ["accuracy"],
    "loader": False,
    "text": "",
    "draws": False,
}


def made_study(
    path: Path,
    *,
    rates: int = 13,
    confirmed: bool = True,
    begun: int = 2,
    ended: int = 2,
    valleys: dict[str, tuple[float, float, float, float]] = VALLEYS,
    **problem: Any,
) -> Study:
    """A study with everything, in a store at `path`.

    Args:
        begun, ended: how many seeds of the search are in the store, and how many of them are at their end.
        problem: facts that differ from `PROBLEM`.
    """
    grid = np.logspace(-4, 0, rates).tolist()
    wanted = plan([*valleys], grid, seeds=2, epochs=EPOCHS, confirmation=2 * confirmed)
    seconds = {name: (22 + place) * 1e-6 for place, name in enumerate(valleys)}
    costs = {"seconds_per_step": seconds, "update_seconds": dict.fromkeys(seconds, 1e-6)}
    run = RecipeRun("adamw", 0.001, "cosine", reason="it was not asked for.")
    facts = {"plan": wanted.to_json(), "problem": PROBLEM | problem, "provenance": PROVENANCE}
    store = Store.create(path, facts | {"costs": costs} | ({"recipe_run": run.to_json()} if confirmed else {}))
    try:
        for seed in range(begun):
            _run(store, "search", seed, wanted.settings, valleys, ends=seed < ended)
        if confirmed:
            fresh = to_confirm(wanted, store.members())
            for seed in range(wanted.seeds, wanted.seeds + 2):
                _run(store, "confirmation", seed, fresh, valleys)
    finally:
        store.close()
    return Study.open(path)


def _run(store: Store, stage: str, seed: int, settings: list[Setting], valleys: Any, ends: bool = True) -> None:
    """A block of these settings with their curves."""
    store.add_blocks(stage, [(seed, settings)])
    if not ends:
        return
    noise = np.random.default_rng([7, seed + 98 * (stage == "confirmation")])
    block = store.blocks()[-1].id
    ends_at, broken = np.array([_end(setting, seed, valleys) for setting in settings]).T
    ends_at = ends_at * np.exp(0.05 * noise.standard_normal(len(settings)))
    for epoch in range(1, EPOCHS + 1):
        lost = (broken > 0) & (epoch > 2)
        loss = ends_at + (2.3 - ends_at) * math.exp(-epoch / 2.5) * np.exp(0.05 * noise.normal(size=len(settings)))
        loss = np.where(lost, math.nan, loss)
        values = {
            "validation_loss": loss,
            "train_loss": loss * (1 - 0.015 * epoch),
            "validation_accuracy": 1 - loss / 3,
        }
        if stage == "confirmation" and epoch == EPOCHS:
            values |= {"test_loss": loss * 1.08, "test_accuracy": 1 - loss / 4}
        diverged = np.where(lost, 2 * STEPS, -1)
        store.record(block, epoch * STEPS, values, diverged, 0.1, finished=epoch == EPOCHS)


def _end(setting: Setting, seed: int, valleys: Any) -> tuple[float, float]:
    """The loss at the end, and whether the run diverges."""
    best, low, width, limit = valleys[setting.optimizer]
    off = abs(math.log10(setting.lr / best)) / width
    loss = low * (1.16 if setting.schedule == "constant" else 1) * math.exp(min(off, 3.2) ** 1.5 * 0.55)
    return min(loss, 2.3), float(setting.lr > limit or (setting.lr > limit / 2.5 and seed % 2 == 1))
