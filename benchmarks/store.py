"""A study of 100,000 runs × 50 points: how long it takes to open it, to rank it and to have its tables.

The store is written through its own API, with a plan that a patient person might ask for: eight optimizers × 125
rates × 10 values of weight decay × 10 seeds, a loss after each of 50 passes over the data, then a confirmation.
The losses are drawn, because only their number matters here. The peer is the way most would keep the same curves:
a SQLite table with a row for each point and an index on the run, read with pandas. Medians of several rounds.
Also measured: what checkpoints cost a study.

    python benchmarks/store.py [--runs 100000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import machine
import numpy as np
import pandas as pd

import thalweg as tw
from thalweg.engine import block_run
from thalweg.plan.plan import Plan, Setting, plan
from thalweg.store.file import Store
from thalweg.store.provenance import provenance
from thalweg.verdict.verdict import to_confirm

POINTS = 50
BLOCK = 250  # members
METRICS = ("train_loss", "validation_loss")


def planned(runs: int) -> Plan:
    """Eight optimizers × rates × 10 values of weight decay × 10 seeds."""
    decays = [0.0, *tw.log_range(1e-6, 1e-1, 9)]
    return plan(
        rates=tw.log_range(1e-4, 1, max(2, runs // 800)),
        schedule_names=["cosine"],
        seeds=10,
        epochs=POINTS,
        hyperparameters={"weight_decay": decays},
    )


def fill(store: Store, stage: str, settings: Sequence[Setting], seeds: range) -> None:
    """Blocks of a stage with drawn curves: a bowl over the rate for each optimizer, noise over seeds; the highest
    rates diverge."""
    rng = np.random.default_rng(len(seeds))
    cuts = [settings[k : k + BLOCK] for k in range(0, len(settings), BLOCK)]
    store.add_blocks(stage, [(seed, cut) for seed in seeds for cut in cuts])
    names = METRICS if stage == "search" else (*METRICS, "test_loss")
    for row in store.blocks(stage):
        rates = np.array([s.lr for s in row.settings])
        best = np.array([1e-3 * (1 + len(s.optimizer)) for s in row.settings])
        level = 0.1 + 0.05 * np.log10(rates / best) ** 2 + 0.005 * rng.standard_normal(len(rates))
        diverged = np.where(rates > 0.8, 7 * POINTS, -1)
        for point in range(1, POINTS + 1):
            value = np.where((diverged >= 0) & (point > 7), np.nan, level * (1 + 1 / point))
            store.record(row.id, 18 * point, dict.fromkeys(names, value), diverged, 0.01, point == POINTS)


def study_of(runs: int, path: Path) -> tw.Study:
    wanted = planned(runs)
    facts = {"name": "drawn", "kind": "object", "spec": "", "text": "", "loader": False, "fingerprint": "0" * 64}
    made = Store.create(path, {"plan": wanted.to_json(), "problem": facts, "provenance": provenance("cpu", "float32")})
    fill(made, "search", wanted.settings, range(10))
    fill(made, "confirmation", to_confirm(wanted, made.members()), range(10, 20))
    made.set_meta("costs", {"seconds_per_step": dict.fromkeys(wanted.optimizers, 1e-5)})
    made.close()
    return tw.Study.open(path)


def peer_of(study: tw.Study, path: Path) -> None:
    """The same curves with a row for each point."""
    db = sqlite3.connect(path)
    study.table().to_sql("runs", db, index=False)
    curves = study.curves().astype({"metric": str})
    curves.to_sql("points", db, index=False, chunksize=500_000)
    db.execute("CREATE INDEX run ON points (metric, member, step)")
    db.commit()
    db.close()


def query(path: Path, text: str) -> pd.DataFrame:
    db = sqlite3.connect(path)
    try:
        return pd.read_sql_query(text, db)
    finally:
        db.close()


def wall() -> float:
    return time.perf_counter()


def spent_by_children() -> float:
    """Processor seconds of the processes this one has started, which other work on the machine hardly changes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(call: Callable[[], Any], rounds: int, clock: Callable[[], float] = wall) -> float:
    times = []
    for _ in range(rounds):
        begun = clock()
        call()
        times.append(clock() - begun)
    return statistics.median(times)


def shown(path: Path) -> None:
    """`thalweg show`, from nothing to the last line."""
    code = "from thalweg.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", code, "show", str(path)], check=True, stdout=subprocess.DEVNULL)


LAST = "SELECT member, metric, value, max(step) FROM points GROUP BY metric, member"
ALL = "SELECT member, step, metric, value FROM points"


def large(runs: int, rounds: int, folder: Path) -> str:
    path, other = folder / "study.db", folder / "points.db"
    study = study_of(runs, path)
    peer_of(study, other)
    rows = [
        ("open", lambda: tw.Study.open(path), None),
        ("open, and the verdict", lambda: tw.Study.open(path).verdict, None),
        ("`thalweg show`, a new process", lambda: shown(path), None),
        ("every run with its last losses", lambda: tw.Study.open(path).table(), LAST),
        ("every point of every curve", lambda: tw.Study.open(path).curves(), ALL),
    ]  # each opens the study anew, because a study keeps what it has read
    lines = []
    for words, ours, theirs in rows:
        mine = [f"{timed(ours, rounds):.3g}"]
        if theirs is not None:
            peer = timed(lambda theirs=theirs: query(other, theirs), rounds)
            mine += [f"{peer:.3g}", f"{float(mine[0]) / peer:.2f}×"]
        lines.append([words, *mine, *[""] * (3 - len(mine))])
    used = timed(lambda: shown(path), rounds, spent_by_children)
    lines.insert(3, ["`thalweg show`, processor seconds", f"{used:.3g}", "", ""])
    sizes = [os.path.getsize(file) / 2**20 for file in (path, other)]
    lines.append(["MiB on disk", f"{sizes[0]:.0f}", f"{sizes[1]:.0f}", f"{sizes[0] / sizes[1]:.2f}×"])
    made = len(study.table())
    return (
        machine.table(["seconds", "thalweg", "a row for each point", "ratio"], lines)
        + f"\n{made:,} runs × {POINTS} points; medians of {rounds} rounds, with a load of {os.getloadavg()[0]:.0f} on "
        "the machine.\n"
    )


def checkpoints(name: str, asked: dict[str, Any], folder: Path) -> list[str]:
    """What saving costs a study whose blocks are saved every second instead of every half minute."""
    spent: list[float] = []
    right = Store.save_checkpoint

    def save(self: Store, block: int, step: int, content: bytes) -> None:
        begun = time.perf_counter()
        right(self, block, step, content)
        spent.append(time.perf_counter() - begun)

    usual, block_run.CHECKPOINT_SECONDS = block_run.CHECKPOINT_SECONDS, 1.0
    Store.save_checkpoint = save
    try:
        study = tw.compare(name, **asked, confirmation=0, store=folder / f"{name}.db", progress=False)
    finally:
        Store.save_checkpoint, block_run.CHECKPOINT_SECONDS = right, usual
    with Store.open(study.path) as store:
        busy = sum(row.seconds for row in store.blocks())  # of the workers, checkpoints included
    each = statistics.median(spent)
    share = each / max(usual, block_run.CHECKPOINT_SHARE * each)
    return [name, f"{len(spent)}", f"{1000 * each:.1f}", f"{100 * sum(spent) / busy:.2f}%", f"{100 * share:.3f}%"]


STUDIES = {
    "digits": {"seeds": 2, "epochs": 80},
    "digits-cnn": {"seeds": 1, "epochs": 20, "optimizers": ["sgd", "adam"]},
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = machine.heading("A large store") + "\n" + large(given.runs, given.rounds, Path(folder))
        head = ["checkpoints of", "saved", "ms each", "of the run, every second", "every 30 s"]
        rows = [checkpoints(name, asked, Path(folder)) for name, asked in STUDIES.items()]
        text += "\n" + machine.table(head, rows)
    machine.write("store", text)


if __name__ == "__main__":
    main()
