"""A verdict in one answer: which level is best or the safest choice, what may be as good, and what a choice may cost.

Read next: `sentences.py`, what else a study says.
"""

from __future__ import annotations

import math

from ..plan.factors import Factor, shown
from .entries import Verdict
from .words import called, listed, percent


def answer(factor: Factor, name: str, verdict: Verdict, setting: str, scope: str) -> str:
    """Which level is best or the safest choice, and what may be as good.

    Args:
        name: of what was trained.
        setting: the best one in words, apart from what is ranked.
        scope: what the answer is about; said where there is evidence.
    """
    entries, best, by = verdict.entries, verdict.entries[0], verdict.criterion
    if not math.isfinite(best.value.mean):
        return f"No {factor.kind.words} trained {name} without diverging; try lower rates."
    first = called(factor, best.setting[factor.name]) + (f" ({setting})" if setting else "")
    bounded = math.isfinite(best.value.high) and math.isfinite(best.value.low)
    value = f"{by.words} {best.value if bounded else f'{best.value.mean:.4g}'}{by.when}"
    several = max(verdict.seeds, verdict.folds, 1 + verdict.swaps, *(entry.repeats for entry in entries)) > 1
    if not several and len(entries) > 1:
        return (
            f"{first} has the {by.extreme} {value} on {name}, but one {verdict.replicate} cannot tell "
            f"{factor.kind.many} apart."
        )
    over = evidence(verdict)
    if len(entries) == 1:
        return f"{first} has a {value} on {name}, over {over}; no other {factor.kind.words} was compared.{scope}"
    if not any(e.may_be_best for e in entries[1:]):
        return (
            f"{first} is best on {name}: {value} over {over} and no other comes level.{_others(factor, verdict)}{scope}"
        )
    as_good = listed([shown(e.setting[factor.name]) for e in entries[1:] if e.may_be_best])
    words = f"{first} has the {by.extreme} {value} on {name}, over {over}; {as_good} may be as good."
    return f"{words} {_price(factor, verdict)}{_others(factor, verdict)}{scope}"


def evidence(verdict: Verdict) -> str:
    """What the numbers are means over.

    >>> evidence(Verdict((), (), "", (), 10, True, samples=288))
    '10 fresh seeds × 288 samples'
    >>> evidence(Verdict((), (), "", (), 10, True, samples=575, swaps=1))
    '10 fresh seeds × 575 samples in 2 parts'
    """
    kind = f"fresh {verdict.replicate}" if verdict.confirmed else verdict.replicate
    most = max((entry.repeats for entry in verdict.entries), default=0)
    over = f"{verdict.seeds} {kind}s" if verdict.seeds > 1 else f"one {kind}"
    over = f"{verdict.seeds} to {most} {kind}s" if most > verdict.seeds else over
    if verdict.folds:
        return f"{over} × {verdict.folds} folds"
    parts = f"{1 + verdict.swaps} parts"
    if verdict.samples:
        return f"{over} × {verdict.samples:,} samples" + (f" in {parts}" if verdict.swaps else "")
    return f"{over} × {parts} of the samples" if verdict.swaps else over


def _price(factor: Factor, verdict: Verdict) -> str:
    """What the safest choice costs at the most, whichever is truly the best."""
    safe = min(verdict.entries, key=lambda e: e.regret)  # of equals the first
    best = abs(verdict.entries[0].value.mean)
    if not math.isfinite(safe.regret) or best == 0:
        return "What a choice may cost is not known."
    name = called(factor, safe.setting[factor.name])
    most = percent(safe.regret / best)
    cost = f"{most} of the {verdict.criterion.metric}" if verdict.criterion.higher else f"{most} more loss"
    if verdict.criterion.metric != "loss" and not verdict.criterion.higher:
        cost = f"{most} more {verdict.criterion.metric}"
    return f"{name} is the safest choice: whichever is truly best, it costs at most {cost}."


def _others(factor: Factor, verdict: Verdict) -> str:
    """By how much those that are not the best are worse."""
    best = abs(verdict.entries[0].value.mean)
    worse = [e for e in verdict.entries[1:] if not e.may_be_best]
    words = [
        f"{shown(e.setting[factor.name])} (by {percent(abs(e.difference.mean) / best)})"
        if best and math.isfinite(e.difference.mean)
        else f"{shown(e.setting[factor.name])} (diverges)"
        for e in worse
    ]
    if not words:
        return ""
    return f" Worse than the best: {listed(words)}."
