"""The studio at work: from its start to the first page, and from a change of a study of 10,000 runs to its paint.

The study is 5 optimizers × 400 rates × 5 seeds of drawn losses, 20 points each, in blocks of 250 runs. One of the
blocks is given a further point every 0.4 s. "Event to paint" is measured in Chromium, from the arrival of an event to
the end of the paint; "written to paint" from the end of the transaction. Meanwhile 50 readers hold a stream each.

    python benchmarks/studio.py [--runs 10000] [--readers 50] [--seconds 20]
"""

from __future__ import annotations

import argparse
import http.client
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import machine
import numpy as np
from playwright.sync_api import sync_playwright

from thalweg.plan.plan import plan
from thalweg.store.file import Store

OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam", "adamw")
BLOCK, POINTS, SEEDS = 250, 20, 5
WATCH = """() => { window.seen = []; const watch = document.querySelector(".watch");
new MutationObserver(() => watch.dataset.lag && window.seen.push([Date.now(), Number(watch.dataset.lag)]))
  .observe(watch, { attributes: true, attributeFilter: ["data-paints"] }); }"""


def made(path: Path, runs: int) -> int:
    """A study whose last block has one point; the number of that block."""
    rates = np.logspace(-4, 0, runs // (len(OPTIMIZERS) * SEEDS)).tolist()
    wanted = plan(OPTIMIZERS, rates, ["constant"], SEEDS, epochs=10_000, tune=False)
    facts = {"name": "drawn", "kind": "object", "spec": "", "text": "", "loader": False, "fingerprint": "0" * 64}
    with Store.create(path, {"plan": wanted.to_json(), "problem": facts, "provenance": {}}) as store:
        settings, random = wanted.settings, np.random.default_rng(7)
        cuts = [settings[k : k + BLOCK] for k in range(0, len(settings), BLOCK)]
        store.add_blocks("search", [(seed, cut) for seed in range(SEEDS) for cut in cuts])
        for row in store.blocks():
            level = 0.1 + 0.05 * np.log10([s.lr / 0.01 for s in row.settings]) ** 2
            for point in range(1, POINTS + 1):
                value = level * (1 + 1 / point) + 0.005 * random.standard_normal(len(level))
                store.record(row.id, point, {"validation_loss": value}, np.full(len(level), -1), 0.1)
        return store.blocks()[-1].id


def started(folder: Path) -> tuple[subprocess.Popen[str], str, float]:
    """The studio, its address, and the seconds until it has given its page."""
    begun = time.perf_counter()
    code = [sys.executable, "-c", "from thalweg.cli.main import main; main()", "studio", "--no-browser", "--port", "0"]
    running = subprocess.Popen(
        [*code, "--folder", folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert running.stdout is not None
    address = running.stdout.readline().strip()
    host = address.removeprefix("http://").partition("/")[0]
    asked = http.client.HTTPConnection(host, timeout=60)
    asked.request("GET", address.partition(host)[2])
    answer = asked.getresponse()
    cookie = answer.headers["set-cookie"].partition(";")[0]
    answer.read()
    asked.request("GET", "/", headers={"cookie": cookie})
    assert asked.getresponse().status == 200
    return running, f"{address}|{host}|{cookie}", time.perf_counter() - begun


def read(host: str, cookie: str, arrived: list[float], stop: threading.Event) -> None:
    """One reader of the stream: when each event has come."""
    asked = http.client.HTTPConnection(host, timeout=60)
    asked.request("GET", "/studies/events?name=drawn", headers={"cookie": cookie})
    answer = asked.getresponse()
    while not stop.is_set():
        if answer.readline().startswith(b"data:"):
            arrived.append(time.time())
    asked.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("runs", 10_000), ("readers", 50), ("seconds", 20)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drawn.db"
        block = made(path, asked.runs)
        starts = []
        for again in (True, True, False):
            running, words, seconds = started(Path(folder))
            starts.append(seconds)
            if again:
                running.terminate()
                running.wait()
        try:
            measured(running, words, path, block, asked, starts)
        finally:
            running.terminate()
            running.wait()


def measured(running, words: str, path: Path, block: int, asked: argparse.Namespace, starts: list[float]) -> None:
    address, host, cookie = words.split("|")
    stop, readers = threading.Event(), [[] for _ in range(asked.readers)]
    for arrived in readers:
        threading.Thread(target=read, args=(host, cookie, arrived, stop), daemon=True).start()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{address}#/study?name=drawn")
        page.wait_for_selector(".legend li:nth-child(5)", timeout=60_000)
        page.wait_for_timeout(3000)
        page.evaluate(WATCH)
        written, step = [], POINTS
        with Store.open(path, write=True) as store:
            size = len(store.blocks()[-1].settings)
            for _ in range(int(asked.seconds / 0.4)):
                step += 1
                store.record(block, step, {"validation_loss": np.full(size, 0.2 + 1 / step)}, np.full(size, -1), 0.1)
                written.append(time.time() * 1000)
                page.wait_for_timeout(400)
        page.wait_for_timeout(2000)
        seen = page.evaluate("window.seen")
        browser.close()
    stop.set()
    paints = np.array([lag for _, lag in seen])
    times = np.array([at for at, _ in seen])
    delays = np.array([times[times >= at].min() - at for at in written if (times >= at).any()])
    events = np.array([len(arrived) for arrived in readers])
    rows = [["start to the first page, s, median of 3", f"{np.median(starts):.2f}", ""]]
    rows += [["event to paint, ms", *(f"{np.percentile(paints, p):.0f}" for p in (50, 95))]]
    rows += [["written to paint, ms", *(f"{np.percentile(delays, p):.0f}" for p in (50, 95))]]
    note = (
        f"{asked.runs:,} runs; {len(paints)} paints of {len(written)} changes; {asked.readers} more readers, who had "
    )
    note += f"{events.min()} to {events.max()} events each.\n"
    head = ["", "median", "p95"]
    machine.write("studio", machine.heading("The studio") + "\n" + machine.table(head, rows) + "\n" + note)


if __name__ == "__main__":
    main()
