"""tw.optim against torch.optim: one step, side by side, on one large tensor, on a transformer, on many tiny tensors.

Each drop-in and torch's fastest form of the same rule (fused where there is one, else foreach) step
alternately on tensors of their own; medians and their ratio are reported. On the large tensor, so is the memory that
each step of ours moves per second, against torch's fused Adam in the same round. Then the whole step
(clip + step + moving average + zero: one launch here, four calls in torch), states in fewer bytes, a rule of
one's own, and what `step()` costs Python beyond its kernel.

    python benchmarks/optimizers.py [--weights 10000000] [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import machine
import torch

import thalweg as tw

RULES: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 1e-3, "momentum": 0.9},
    "Adagrad": {},
    "Adadelta": {},
    "RMSprop": {},
    "Adam": {},
    "AdamW": {},
    "NAdam": {},
    "RAdam": {},
    "Adamax": {},
    "ASGD": {},
    "Rprop": {},
}
OWN = ("Lion", "AdaBelief", "Yogi", "Adan", "QHAdam", "SignSGD")  # torch.optim has none of them
FUSED = ("SGD", "Adagrad", "Adam", "AdamW")
Step = Callable[[], object]


@tw.formula()
def steadiness(g, m, v, *, lr=1e-3, beta=0.9, eps=1e-8):
    m = beta * m + (1 - beta) * g
    v = beta * v + (1 - beta) * abs(g - m)
    return tw.Update(-lr * m / (v + eps), m=m, v=v)


def parameters(shapes: Sequence[tuple[int, ...]]) -> list[torch.nn.Parameter]:
    made = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for p in made:
        p.grad = torch.randn_like(p)
    return made


def transformer(width: int = 256, layers: int = 12) -> list[tuple[int, ...]]:
    """The shapes of a transformer's parameters, 150 tensors."""
    block = [(3 * width, width), (3 * width,), (width, width), (width,), (width,), (width,)]
    block += [(4 * width, width), (4 * width,), (width, 4 * width), (width,), (width,), (width,)]
    ends = [(2000, width), (256, width), (width,), (width,), (2000, width), (2000,)]
    return block * layers + ends


def medians(rounds: int, *steps: Step) -> list[float]:
    """Median seconds of each, run in turn."""
    times: list[list[float]] = [[] for _ in steps]
    for k in range(rounds + 3):
        for step, kept in zip(steps, times, strict=True):
            begun = time.perf_counter()
            step()
            if k >= 3:
                kept.append(time.perf_counter() - begun)
    return [statistics.median(t) for t in times]


def theirs(name: str, params: list[torch.nn.Parameter], **more: Any) -> torch.optim.Optimizer:
    form = {"fused": True} if name in FUSED else {"foreach": True}
    return getattr(torch.optim, name)(params, **RULES[name], **form, **more)


def whole_step(shapes: Sequence[tuple[int, ...]]) -> tuple[Step, Step]:
    """Clip, AdamW, moving average and zero: ours in one launch, torch's in four calls."""
    p, q = parameters(shapes), parameters(shapes)
    averages = [x.detach().clone() for x in q]
    weights = [x.detach() for x in q]
    four_calls = theirs("AdamW", q)
    ours = tw.optim.AdamW(p, max_norm=1.0, ema_decay=0.999, zero_grad=True)

    def four() -> None:
        torch.nn.utils.clip_grad_norm_(q, 1.0)
        four_calls.step()
        torch._foreach_lerp_(averages, weights, 0.001)  # pyright: ignore[reportPrivateImportUsage]
        four_calls.zero_grad(set_to_none=False)

    return ours.step, four


def moved(optimizer: torch.optim.Optimizer, weights: int) -> int:
    """Bytes that a step must read or write: weights and states both ways, gradients once."""
    states = [v for s in optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor)]
    return 4 * 3 * weights + 2 * sum(v.numel() * v.element_size() for v in states if v.numel() > 1)


def one_tensor(count: int, rounds: int) -> list[list[str]]:
    fused = theirs("Adam", parameters([(count,)]))
    rows = []
    for name in (*RULES, *OWN, "a rule of one's own"):
        kind = getattr(tw.optim, name, None) or tw.optim.from_formula(steadiness)
        ours = kind(parameters([(count,)]), **RULES.get(name, {}))
        peer = theirs(name, parameters([(count,)])).step if name in RULES else fused.step
        a, b, adam = medians(rounds, ours.step, peer, fused.step)
        share = moved(ours, count) / a / (4 * 7 * count / adam)
        form = ("fused" if name in FUSED else "foreach") if name in RULES else "–"
        against = [f"{b * 1e3:.2f}", f"{b / a:.2f}×"] if name in RULES else ["–", "–"]
        rows.append([name, form, f"{a * 1e3:.2f}", *against, f"{share:.0%}"])
    return rows


def many(shapes: Sequence[tuple[int, ...]], rounds: int) -> list[list[str]]:
    rows = []
    for name in RULES:
        ours = getattr(tw.optim, name)(parameters(shapes), **RULES[name])
        a, b = medians(rounds, ours.step, theirs(name, parameters(shapes)).step)
        rows.append(
            [name, "fused" if name in FUSED else "foreach", f"{a * 1e3:.2f}", f"{b * 1e3:.2f}", f"{b / a:.2f}×"]
        )
    return rows


def small_states(count: int, rounds: int) -> list[list[str]]:
    rows = []
    for name in ("SGD", "RMSprop", "AdamW"):
        given = RULES[name]
        plain, half, byte = (
            getattr(tw.optim, name)(parameters([(count,)]), state_dtype=dtype, **given)
            for dtype in (None, torch.bfloat16, "int8")
        )
        a, b, c = medians(rounds, plain.step, half.step, byte.step)
        size = [moved(o, count) - 12 * count for o in (plain, half, byte)]
        rows.append(
            [
                name,
                f"{a * 1e3:.2f}",
                f"{b * 1e3:.2f}",
                f"{b / a:.2f}",
                f"{size[1] / size[0]:.0%}",
                f"{c * 1e3:.2f}",
                f"{c / a:.2f}",
                f"{size[2] / size[0]:.1%}",
            ]
        )
    return rows


def overhead(rounds: int) -> list[list[str]]:
    """150 tensors of one element: what a step takes, and what its compiled part takes alone."""
    rows = []
    for name in ("SGD", "AdamW"):
        params = parameters([(1,)] * 150)
        ours = getattr(tw.optim, name)(params, **RULES[name])
        ours.step()
        fused = theirs(name, parameters([(1,)] * 150))
        a, kernel, b = medians(20 * rounds, ours.step, ours._plan.rounds[0].run, fused.step)
        rows.append([name, f"{a * 1e6:.0f}", f"{kernel * 1e6:.0f}", f"{(a - kernel) * 1e6:.0f}", f"{b * 1e6:.0f}"])
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--weights", type=int, default=10_000_000)
    options.add_argument("--rounds", type=int, default=15)
    given = options.parse_args()
    n, rounds = given.weights, given.rounds
    tiny, model = [(16,)] * 10_000, transformer()
    head = ["rule", "torch's form", "ours, ms", "torch, ms", "torch / ours"]
    cases = {f"{n:,} weights in one tensor": [(n,)], "a transformer": model, "10,000 tensors of 16": tiny}
    whole = []
    for name, shapes in cases.items():
        a, b = medians(rounds, *whole_step(shapes))
        whole.append([name, f"{a * 1e3:.2f}", f"{b * 1e3:.2f}", f"{a / b:.2f}"])
    weights = sum(torch.Size(s).numel() for s in model)
    one = machine.table([*head, "bandwidth against fused Adam"], one_tensor(n, rounds))
    parts = [
        machine.heading("One step of an optimizer"),
        f"Medians of {rounds} alternating rounds; float32.\n",
        f"## {n:,} weights in one tensor\n\n" + one,
        f"## A 12-layer transformer: {weights:,} weights in {len(model)} tensors\n\n"
        + machine.table(head, many(model, rounds)),
        "## 10,000 tensors of 16 weights\n\n" + machine.table(head, many(tiny, rounds)),
        "## The whole step: clip + AdamW + average + zero\n\n"
        + machine.table(["weights", "ours, ms", "torch, ms", "ours / torch"], whole),
        f"## States in fewer bytes, {n:,} weights\n\n"
        + machine.table(
            [
                "rule",
                "float32, ms",
                "bfloat16, ms",
                "of float32's time",
                "of its state bytes",
                "int8, ms",
                "of float32's time",
                "of its state bytes",
            ],
            small_states(n, rounds),
        ),
        "## What step() costs Python, 150 tensors of one weight\n\n"
        + machine.table(
            ["rule", "step, µs", "its compiled part, µs", "beyond it, µs", "torch's fused step, µs"], overhead(rounds)
        ),
    ]
    machine.write("optimizers", "\n".join(parts))


if __name__ == "__main__":
    main()
