"""The estimate in `docs/cluster.md` has the numbers of the committed tables, and adds them up rightly."""

from __future__ import annotations

import math

from tests.verdict.test_method import ROOT, number, tables
from thalweg.engine.block_run import CHECKPOINT_SECONDS, DISK_BYTES, DISK_SECONDS, checkpoint_pause
from thalweg.engine.cluster import RATE
from thalweg.engine.messages import Job

DOCUMENT = " ".join((ROOT / "docs" / "cluster.md").read_text(encoding="utf-8").split())
COSTS, BUSY = ({row[0]: row[1:] for row in rows} for rows in tables("cluster"))
OVER_RAY = {name: number(cell) for name, cell in tables("cluster_messages")[0]}
WORKERS, BLOCKS, SECONDS = 1000, 10_000, 600


def test_the_estimate_adds_up_what_was_measured() -> None:
    message, block = OVER_RAY["a message"], OVER_RAY["a block with one message"]
    ledger, messages = number(BUSY[f"{SECONDS}"][1]), 100 * RATE * message / 1e6
    blocks = 100 * WORKERS / SECONDS * block / 1e6
    for words in (
        f"blocks of 600 s, 1,000 workers | {ledger:.1f}% |",
        f"at most {RATE} a second of all workers together, measured: {message:.0f} µs each | {messages:.1f}% |",
        f"1,000 in 600 s, measured: {block:,.0f} µs each | {blocks:.1f}% |",
        f"Together that is {ledger + messages + blocks:.0f}%",
    ):
        assert words in DOCUMENT
    assert ledger + messages + blocks < 100  # as it says


def test_two_workers_are_as_fast_as_it_says() -> None:
    one, two = tables("cluster_efficiency")[0]
    ideal = float(one[1]) / 2 / float(two[1])
    assert f"took one Ray worker {one[1]} s and two of them" in DOCUMENT
    assert f"{two[1]} s: [{ideal:.0%} of ideal]" in DOCUMENT
    assert ideal >= 0.9


def test_the_estimate_says_how_long_the_search_takes() -> None:
    ideal, block, end = BLOCKS // WORKERS * SECONDS, OVER_RAY["a block with one message"], number(COSTS["1,000"][-1])
    first = WORKERS * (block + end) / 1e6
    assert f"10,000 × 600 s = {BLOCKS * SECONDS / 86400:.0f} days" in DOCUMENT
    assert f"10 blocks: ideally {ideal:,} s" in DOCUMENT
    assert f"1,000 × ({block:,.0f} + {end:.0f} µs) = {first:.1f} s" in DOCUMENT
    took = ideal + 60 + first
    assert f"takes {took:,.0f} s, {100 * ideal / took:.1f}% of ideal" in DOCUMENT


def test_the_limits_are_those_of_the_tables_and_of_the_code() -> None:
    block = OVER_RAY["a block with one message"]
    assert f"with {BUSY['1'][-1]} workers, and handing them out with {math.floor(1e6 / block)}" in DOCUMENT
    assert f"busy for {BUSY['10'][1]}, and {WORKERS / 10 * block / 1e4:.1f}% goes into handing" in DOCUMENT
    text = (ROOT / "benchmarks" / "results" / "cluster.md").read_text(encoding="utf-8")
    assert "one of 16 MiB takes" in text
    took = text.partition("one of 16 MiB takes ")[2].partition(" ms")[0]
    assert f"One of 16 MiB took {took} ms" in DOCUMENT
    pause = checkpoint_pause(Job(1, (), 0, 1, others=WORKERS - 1), size=16 * 2**20)
    assert f"Workers save every {CHECKPOINT_SECONDS:.0f} s" in DOCUMENT
    assert (
        f"by {1000 * DISK_SECONDS:.0f} ms for each and {DISK_BYTES / 1e6:.0f} MB/s: 1,000 workers with 16 MiB every"
        in DOCUMENT
    )
    assert f"every {pause:.0f} s. A lost worker" in DOCUMENT
