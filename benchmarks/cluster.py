"""What the one process that writes a study's store costs a cluster, and how near two Ray workers come to half the time.

The ledger: so many simulated workers, each with a block, tell the real ledger what real ones would, in random order:
progress, a point of two curves after each pass over the data, a checkpoint, the end, after which the next block is
handed out. Nothing is trained, so what is timed is the ledger alone: the store on this disk, and the outlook on what is
left. What an event costs is its processor time on average, and by the median what it waits for the disk, which takes
longer where others use it too. From that follows the share of its time that the ledger is busy, as blocks take longer
and workers become more, with messages and checkpoints as far apart as in a study; over 100% workers wait for it.
Medians of several rounds. What Ray takes to bring the messages comes on top.

Messages: what one costs this process until it is here, and a block that is handed to a worker and answers with one, in
processor time of all threads, by the same calls of Ray as in a study, between two workers on this machine.

Efficiency: a study of 64 blocks of a loop that computes, on a Ray of two nodes with a core each, against the same study
on one of them; ideal is half of that time. It needs two cores with nothing else to do. The last two need `[cluster]`.

    python benchmarks/cluster.py [ledger|messages|efficiency] [--workers 100,1000,10000] [--rounds 5] [--epochs 20]
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import machine
import numpy as np

import thalweg as tw
from thalweg.engine.block_run import STEPS_SECONDS, checkpoint_pause
from thalweg.engine.cluster import PAUSE, RATE, UNREAD
from thalweg.engine.ledger import Ledger
from thalweg.engine.messages import Ended, Event, Job, Passed, Saved, Steps, StopFlag
from thalweg.engine.pace import Pace
from thalweg.engine.programs import Programs
from thalweg.engine.progress import Progress
from thalweg.plan.plan import plan
from thalweg.problem.prepare import Prepared, prepare
from thalweg.results import Results
from thalweg.store.file import Store
from thalweg.store.provenance import provenance

MEMBERS = 10  # of a block
BLOCKS = 2  # for each worker
PASSES = 5  # of a block that is simulated
CHECKPOINT = 100 * 2**10  # bytes
LARGE = 16 * 2**20  # bytes of another, for what one costs by its size
FACTORS: dict[str, Any] = {"optimizers": ["sgd"], "schedule_names": ["constant"]}
KINDS = ("progress", "a pass", "a checkpoint", "the end, and a new block")
SECONDS = (1, 10, 60, 600)  # that a block takes
WHOLE_PASSES = 20  # of such a block


class Simulated:
    """Workers that train nothing; the seconds of the processor, and of waiting, for each event of each kind."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.draw = count, random.Random(seed)
        self.seconds = defaultdict[str, list[tuple[float, float]]](list)

    def run(self, jobs: Callable[[], Job | None], stop: StopFlag) -> Generator[tuple[Job, Event], None, None]:
        at_work = [(job, told(job)) for job in islice(iter(jobs, None), self.count)]
        while at_work:
            place = self.draw.randrange(len(at_work))
            job, events = at_work[place]
            event = next(events)
            begun, used = time.perf_counter(), time.thread_time()
            yield job, event
            if isinstance(event, Ended):
                more = jobs()
                at_work[place] = at_work[-1] if more is None else (more, told(more))
                if more is None:
                    at_work.pop()
            used = time.thread_time() - used
            last = isinstance(event, Passed) and event.finished
            name = f"last, {saves(job)}" if last else type(event).__name__
            self.seconds[name].append((used, time.perf_counter() - begun - used))

    def costs(self) -> dict[str, float]:
        """Seconds of an event of each of `KINDS`; a checkpoint with its removal, when its block has ended."""
        each = {
            name: statistics.fmean(used) + statistics.median(waited)
            for name, (used, waited) in ((n, zip(*s, strict=True)) for n, s in self.seconds.items())
        }
        removal, last = (
            max(0.0, each[f"last, {more}"] - each[less]) for more, less in ((True, "last, False"), (False, "Passed"))
        )
        costs = each["Steps"], each["Passed"], each["Saved"] + removal, last + each["Ended"]
        return dict(zip(KINDS, costs, strict=True))


def saves(job: Job) -> bool:
    """Whether the block leaves a checkpoint, as one in four."""
    return job.block % 4 == 0


def told(job: Job) -> Iterator[Event]:
    """The events of a block that ends."""
    members = len(job.settings)
    yield Steps(0, members)
    for epoch in range(1, PASSES + 1):
        yield Steps(10 * epoch, members)
        values = np.full(members, 1 / epoch)
        both = {"train_loss": values, "validation_loss": values}
        yield Passed(10 * epoch, both, np.full(members, -1), 0.1, epoch == PASSES)
        if epoch == PASSES // 2 and saves(job):
            yield Saved(10 * epoch, os.urandom(CHECKPOINT))
    yield Ended()


def ledger(problem: Prepared, workers: int, seed: int, folder: Path) -> dict[str, float]:
    """Seconds of each kind of event on average, and the events per second of all."""
    settings, seeds = BLOCKS * workers // 10 * MEMBERS, 10
    planned = plan(rates=tw.log_range(1e-4, 1, settings), seeds=seeds, epochs=PASSES, grow=0, **FACTORS)
    programs = Programs(planned, problem)
    programs.workers = workers
    facts = {"name": problem.name, "kind": "object", "spec": "", "text": "", "fingerprint": problem.fingerprint}
    meta = {"plan": planned.to_json(), "problem": facts, "provenance": provenance("cpu", "float32")}
    cuts = [planned.settings[k : k + MEMBERS] for k in range(0, settings, MEMBERS)]
    with Store.create(folder / f"{workers}-{seed}.db", meta) as store, store.writing():
        store.add_blocks("search", [(seed, cut) for seed in range(seeds) for cut in cuts])
        rows = store.blocks()
        simulated, book = Simulated(workers, seed), Ledger(store, Progress(), Pace.of_rows(programs, rows))
        book.outlook.update(programs, "search")
        book.train(simulated, programs, rows, None, StopFlag())
        assert all(row.status == "finished" for row in store.blocks())
    costs = simulated.costs()
    of_block = dict(zip(KINDS, (1 + PASSES, PASSES, 0.25, 1), strict=True))
    return {**costs, "events": sum(of_block.values()) / sum(of_block[name] * costs[name] for name in KINDS)}


def large_checkpoint(folder: Path) -> float:
    """Seconds of a checkpoint of `LARGE` bytes."""
    with Store.create(folder / "large.db", {}) as store:
        store.add_blocks("search", [(0, plan(["sgd"], [0.1], ["constant"]).settings)])
        times = []
        for step in range(9):
            content = os.urandom(LARGE)
            begun = time.perf_counter()
            store.save_checkpoint(1, step, content)
            times.append(time.perf_counter() - begun)
    return statistics.median(times)


def busy(costs: dict[str, float], workers: int, seconds: float) -> float:
    """The share of its time that the ledger is busy, with so many workers whose blocks take so long."""
    job = Job(1, (), 0, WHOLE_PASSES, others=workers - 1)
    messages = seconds / max(PAUSE, workers / RATE)  # with one report of progress each
    counts = {
        "progress": 1 + min(WHOLE_PASSES + seconds / STEPS_SECONDS, max(1, messages)),
        "a pass": WHOLE_PASSES,
        "a checkpoint": seconds // checkpoint_pause(job, 0, CHECKPOINT),
        "the end, and a new block": 1,
    }
    return workers / seconds * sum(count * costs[name] for name, count in counts.items())


def most(costs: dict[str, float], seconds: float) -> int:
    """Workers with which it has just time enough."""
    return bisect.bisect(range(1, 1_000_000), 1, key=lambda workers: busy(costs, workers, seconds))


def of_ledger(counts: list[int], rounds: int, folder: Path) -> str:
    problem, costs = prepare("breast-cancer"), {}
    for count in counts:
        found = [ledger(problem, count, seed, folder) for seed in range(rounds)]
        costs[count] = {name: statistics.median(one[name] for one in found) for name in found[0]}
    head = ["workers", "events per second", *(f"{name}, µs" for name in KINDS)]
    rows = [
        [f"{count:,}", f"{each['events']:,.0f}", *(f"{1e6 * each[name]:,.0f}" for name in KINDS)]
        for count, each in costs.items()
    ]
    each = f"{CHECKPOINT // 2**10} KiB, and one of {LARGE // 2**20} MiB takes {1000 * large_checkpoint(folder):.0f} ms"
    text = machine.table(head, rows) + (
        f"\nBlocks of {MEMBERS} members, {BLOCKS} for each worker; checkpoints of {each}. Medians of {rounds} rounds.\n"
    )
    head = ["seconds per block", *(f"busy with {count:,}" for count in counts), "workers at 100%"]
    rows = [
        [
            f"{seconds}",
            *(f"{100 * busy(costs[count], count, seconds):,.1f}%" for count in counts),
            f"{most(costs[max(counts)], seconds):,}",
        ]
        for seconds in SECONDS
    ]
    return (
        text
        + "\n"
        + machine.table(head, rows)
        + (
            f"\nThe ledger's share of the time, for blocks of {WHOLE_PASSES} passes; the last column by what an event "
            f"costs with {max(counts):,} workers.\n"
        )
    )


# Messages


class Tells:
    """A worker that has nothing to do but to answer."""

    def answers(self) -> None: ...

    def work(self, messages: int) -> Iterator[list[Event]]:
        for epoch in range(messages):
            values = np.full(MEMBERS, 1 / (1 + epoch))
            both = {"train_loss": values, "validation_loss": values}
            yield [Steps(epoch, MEMBERS), Passed(epoch, both, np.full(MEMBERS, -1), 0.1, False)]


def of_messages(rounds: int, count: int = 1000) -> str:
    import ray

    ray.init(num_cpus=2, log_to_driver=False, configure_logging=False, include_dashboard=False)
    worker: Any = ray.remote(num_cpus=1, max_concurrency=2)(Tells)  # type: ignore[call-overload]
    workers = [worker.remote() for _ in range(2)]
    ways = {"a message": [count], "a block with one message": [1] * (count // 4)}
    costs = {name: [asyncio.run(received(workers, each)) for _ in range(1 + rounds)][1:] for name, each in ways.items()}
    ray.shutdown()
    rows = [[name, f"{1e6 * statistics.median(each):,.0f}"] for name, each in costs.items()]
    return machine.table(["over Ray", "µs of the driver"], rows) + f"\nMedians of {rounds} rounds.\n"


async def received(workers: list[Any], blocks: list[int]) -> float:
    """Processor seconds of a message, each worker with blocks of so many."""

    async def take(worker: Any) -> None:
        for messages in blocks:
            await worker.answers.remote()
            options = {"num_returns": "streaming", "_generator_backpressure_num_objects": UNREAD}
            async for reference in worker.work.options(**options).remote(messages):
                await reference

    begun = time.process_time()
    await asyncio.gather(*map(take, workers))
    return (time.process_time() - begun) / len(workers) / sum(blocks)


# Efficiency


class Begins(tw.callbacks.Callback):
    """When training begins."""

    def begin(self, study: Results) -> None:
        self.at = time.perf_counter()


def computes(epochs: int) -> Callable[[tw.Run], None]:
    def train(run: tw.Run) -> None:
        import torch

        generator = torch.Generator().manual_seed(run.seed)
        x = torch.randn(512, 256, generator=generator)
        weight = torch.zeros(256, 256, requires_grad=True)
        optimizer = run.optimizer([weight])
        loss = torch.zeros(())
        for _ in run.epochs:
            for _ in range(20):
                optimizer.zero_grad()
                loss = (x @ weight - x).square().mean()
                loss.backward()
                optimizer.step()
            run.report(validation_loss=loss)

    return train


def seconds_there(workers: Any, epochs: int, store: Path, rates: int = 8, seeds: int = 8) -> float:
    """Of training a study of rates × seeds blocks there."""
    begins = Begins()
    tw.compare(
        computes(epochs),
        ["sgd"],
        tw.log_range(1e-4, 1e-1, rates),
        ["constant"],
        seeds=seeds,
        epochs=epochs,
        confirmation=0,
        grow=0,
        refine=0,
        progress=False,
        callbacks=[begins],
        cluster=workers,
        store=store,
    )
    return time.perf_counter() - begins.at


def of_efficiency(epochs: int, rounds: int, folder: Path) -> str:
    from ray.cluster_utils import Cluster as Nodes

    from thalweg.engine.cluster import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    took = {}
    nodes = Nodes(initialize_head=True, head_node_args=node)
    for count in (1, 2):
        if count == 2:
            nodes.add_node(**node)
        with closing(Cluster(str(nodes.address))) as workers:
            seconds_there(workers, 2, folder / f"warm-{count}.db", rates=2, seeds=count)  # they start meanwhile
            took[count] = [seconds_there(workers, epochs, folder / f"{count}-{k}.db") for k in range(rounds)]
    nodes.shutdown()
    one, two = (statistics.median(took[count]) for count in (1, 2))
    rows = [["1", f"{one:.1f}", "", ""], ["2", f"{two:.1f}", f"{one / 2:.1f}", f"{100 * one / 2 / two:.0f}%"]]
    return machine.table(["Ray workers", "seconds for 64 blocks", "ideal", "of ideal"], rows) + (
        f"\nBlocks of {one / 64:.1f} s; medians of {rounds} rounds.\n"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("part", nargs="?", choices=["ledger", "messages", "efficiency"], default="ledger")
    options.add_argument("--workers", default="100,1000,10000")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--epochs", type=int, default=20)
    given = options.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    with tempfile.TemporaryDirectory() as name:
        folder, counts = Path(name), [int(count) for count in given.workers.split(",")]
        title, measure = {
            "ledger": ("The ledger of a cluster", lambda: of_ledger(counts, given.rounds, folder)),
            "messages": ("Messages of a cluster", lambda: of_messages(given.rounds)),
            "efficiency": ("Two Ray workers", lambda: of_efficiency(given.epochs, given.rounds, folder)),
        }[given.part]
        text = machine.heading(title) + "\n" + measure()
    machine.write("cluster" if given.part == "ledger" else f"cluster_{given.part}", text)


if __name__ == "__main__":
    main()
