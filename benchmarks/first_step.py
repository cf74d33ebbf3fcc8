"""What the first step of a new process costs beyond the import of torch, with an empty cache and a filled one.

Each number is a process of its own, which has imported torch and nothing else: it imports thalweg, makes an
optimizer and steps once. A cold start compiles the kernel; a warm one finds it in the cache folder.

    python benchmarks/first_step.py [--rules SGD,Adam,…]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from typing import Any

import torch  # thalweg is imported where its import is part of what is measured

RULES = (
    "SGD",
    "Adagrad",
    "Adadelta",
    "RMSprop",
    "Adam",
    "AdamW",
    "NAdam",
    "RAdam",
    "Adamax",
    "ASGD",
    "Rprop",
    "Lion",
    "Adan",
)
WHOLE = {"max_norm": 1.0, "clip_value": 0.5, "ema_decay": 0.999, "zero_grad": True}


def step(name: str, arguments: dict[str, Any] | None, answer: Connection) -> None:
    """Import thalweg and step once, or with torch.optim where there are no arguments; send the seconds."""
    weight = torch.nn.Parameter(torch.ones(1000))
    weight.grad = torch.ones(1000)
    begun = time.perf_counter()
    if arguments is None:
        getattr(torch.optim, name)([weight]).step()
    else:
        import thalweg as tw

        getattr(tw.optim, name)([weight], **arguments).step()
    answer.send(time.perf_counter() - begun)


def seconds(name: str, arguments: dict[str, Any] | None) -> float:
    """The same in a copy of this process, which has torch and no more."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=step, args=(name, arguments, sender))
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(f"the first step of {name} failed")
    return receiver.recv()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rules", default=",".join(RULES))
    rows, slowest = [], [0.0, 0.0]
    seconds("SGD", {})  # files that no process has read lately are nobody's business here
    for name in options.parse_args().rules.split(","):
        taken = []
        for arguments in ({}, WHOLE):
            with tempfile.TemporaryDirectory() as folder:
                os.environ["THALWEG_CACHE"] = folder
                taken += [seconds(name, arguments), seconds(name, arguments)]
        rows.append([name, *(f"{s:.2f}" for s in taken)])
        slowest = [max(slowest[0], *taken[0::2]), max(slowest[1], *taken[1::2])]
    torchs = statistics.median(seconds("Adam", None) for _ in range(3))
    import machine

    head = ["rule", "cold, s", "warm, s", "whole step, cold, s", "whole step, warm, s"]
    text = machine.heading("The first step of a new process") + "\n" + machine.table(head, rows)
    text += (
        f"\nSeconds beyond the import of torch: the import of thalweg, Numba and SymPy, and one step. At most "
        f"{slowest[0]:.2f} s with an empty cache, {slowest[1]:.2f} s with a filled one. Of this, torch.optim.Adam's "
        f"own first step takes {torchs:.2f} s, in which torch imports what every optimizer needs.\n"
        f"The whole step has {', '.join(WHOLE)}.\n"
    )
    machine.write("first_step", text)


if __name__ == "__main__":
    main()
