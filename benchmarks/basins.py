"""A map of a million starts: processor seconds, and the ratio to loops over arrays that hold all starts at once.

For each surface and rule the same 200 steps are taken three ways in turn: by `tw.basins`, by NumPy (the rule's
equations on arrays of all starts) and by torch.optim (one parameter of all starts, its gradient by autograd of the
sum), each on one thread. The loops run on fewer starts, and are scaled; all end in the same points. What is counted
is the processor's time, which other work on the machine changes little; `tw.basins` shares its starts among all cores.

    python benchmarks/basins.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import machine
import numpy as np
import torch

import thalweg as tw

STEPS, SIDE = 200, 1000
# The loops have fewer starts, so that what they keep lies in cache, which is in their favour.
FEWER = 224
SURFACES = ("himmelblau", "rastrigin")
# The last reads the loss, and so has a row of hyperparameters for every start: the slowest.
RULES = {"sgd": 0.005, "momentum": 0.002, "adam": 0.1, "halving": 0.02}


def himmelblau(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def rastrigin(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return 20 + x**2 + y**2 - 10 * (torch.cos(2 * torch.pi * x) + torch.cos(2 * torch.pi * y))


FUNCTIONS = {"himmelblau": himmelblau, "rastrigin": rastrigin}


def slopes(surface: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if surface == "himmelblau":
        a, b = x**2 + y - 11, x + y**2 - 7
        return 4 * x * a + 2 * b, 2 * a + 4 * y * b
    return 2 * x + 20 * np.pi * np.sin(2 * np.pi * x), 2 * y + 20 * np.pi * np.sin(2 * np.pi * y)


def numpy_loop(surface: str, rule: str, starts: np.ndarray) -> np.ndarray:
    """The rule's equations on (2, starts)."""
    w, m, v, rate = starts.T.copy(), np.zeros(starts.T.shape), np.zeros(starts.T.shape), RULES[rule]
    scale, before = np.ones(len(starts)), np.full(len(starts), -np.inf)
    with np.errstate(all="ignore"):
        for t in range(1, STEPS + 1):
            g = np.stack(slopes(surface, *w))
            if rule == "momentum":
                m = g = 0.9 * m + g
            elif rule == "adam":
                m = 0.9 * m + 0.1 * g
                v = 0.999 * v + 0.001 * g * g
                g = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            elif rule == "halving":
                loss = FUNCTIONS[surface](*torch.from_numpy(w)).numpy()
                scale = np.where(loss < before, 0.5 * scale, scale)
                g, before = scale * g, loss
            w -= rate * g
    return w.T


def torch_loop(surface: str, rule: str, starts: np.ndarray) -> np.ndarray | None:
    """torch.optim on one parameter of all starts."""
    make = {
        "sgd": lambda p: torch.optim.SGD(p, lr=RULES["sgd"]),
        "momentum": lambda p: torch.optim.SGD(p, lr=RULES["momentum"], momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=RULES["adam"], fused=True),
    }.get(rule)
    if make is None:
        return None
    w = torch.tensor(starts.T.copy(), requires_grad=True)
    optimizer, function = make([w]), FUNCTIONS[surface]
    for _ in range(STEPS):
        optimizer.zero_grad()
        function(w[0], w[1]).sum().backward()
        optimizer.step()
    return w.detach().numpy().T


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def row(surface: str, rule: str) -> list[str]:
    """Seconds, and the ratio to either loop; "—" where torch has no such rule."""
    rate = RULES[rule]
    few = tw.basins(surface, rule, rate, steps=STEPS, resolution=FEWER)  # compiles, and is what the loops must equal
    starts = few.starts.reshape(-1, 2)
    ours = min(timed(lambda: tw.basins(surface, rule, rate, steps=STEPS, resolution=SIDE))[0] for _ in range(2))
    shown = [f"{ours:.1f}", f"{ours / SIDE**2 / STEPS * 1e9:.1f}"]
    for loop in (numpy_loop, torch_loop):
        loop(surface, rule, starts[:2])  # what is set up at first use
        theirs, ends = timed(lambda loop=loop: loop(surface, rule, starts))
        if ends is None:
            shown += ["—"]
            continue
        close = np.isclose(ends, few.ends.reshape(-1, 2), rtol=1e-4, atol=1e-4, equal_nan=True).all(axis=1)
        assert close.mean() > 0.9, (surface, rule, close.mean())  # on the edges of basins rounding decides
        shown += [f"{theirs * (SIDE / FEWER) ** 2 / ours:.0f}×"]
    print(surface, rule, *shown, flush=True)
    return [f"{surface}, {rule}", *shown]


def main() -> None:
    torch.set_num_threads(1)
    rows = [row(surface, rule) for surface in SURFACES for rule in RULES]
    head = ["surface, rule", "processor, s", "ns per start and step", "NumPy loop", "torch.optim"]
    text = machine.heading("Basins: a million starts, 200 steps") + "\n" + machine.table(head, rows)
    text += (
        f"\n{SIDE}² starts in float64; seconds of one thread, the faster of two maps, minima found and starts labelled "
        f"included; `tw.basins` shares its starts among all cores. The loops hold all starts in one array; they are "
        f"timed on {FEWER}² starts, which fit into cache, and scaled. torch has no rule that halves its rate.\n"
    )
    machine.write("basins", text)


if __name__ == "__main__":
    main()
