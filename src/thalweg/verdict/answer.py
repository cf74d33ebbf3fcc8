"""A verdict in one answer: which level is best or the safest choice, what may be as good, and what a choice may cost.

Read next: `sentences.py`, what else a study says.
"""

from __future__ import annotations

import math

from ..language import filled, mark, say
from ..plan.factors import Factor
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
        return say("No {kind} trained {name} without diverging; try lower rates.", kind=factor.kind.words, name=name)
    first = called(factor, best.setting[factor.name]) + (f" ({setting})" if setting else "")
    bounded = math.isfinite(best.value.high) and math.isfinite(best.value.low)
    value = f"{by.words} {best.value if bounded else filled('{mean:.4g}', mean=best.value.mean)}{by.when}"
    several = max(verdict.seeds, verdict.folds, 1 + verdict.swaps, *(entry.repeats for entry in entries)) > 1
    if not several and len(entries) > 1:
        return say(
            "{first} has the {extreme} {value} on {name}, but one {replicate} cannot tell {many} apart.",
            first=first,
            extreme=by.extreme,
            value=value,
            name=name,
            replicate=mark(verdict.replicate),
            many=factor.kind.many,
        )
    over, others = evidence(verdict), _others(verdict)
    if len(entries) == 1:
        return say(
            "{first} has a {value} on {name}, over {over}; no other {kind} was compared.{scope}",
            first=first,
            value=value,
            name=name,
            over=over,
            kind=factor.kind.words,
            scope=scope,
        )
    as_good = [verdict.level(e) for e in entries[1:] if e.may_be_best]
    if not as_good:
        return say(
            "{first} is best on {name}: {value} over {over} and no other comes level.{others}{scope}",
            first=first,
            name=name,
            value=value,
            over=over,
            others=others,
            scope=scope,
        )
    words = say(
        "{first} has the {extreme} {value} on {name}, over {over}; {as_good} may be as good.",
        first=first,
        extreme=by.extreme,
        value=value,
        name=name,
        over=over,
        as_good=listed(as_good),
    )
    return f"{words} {_price(factor, verdict)}{others}{scope}"


def evidence(verdict: Verdict) -> str:
    """What the numbers are means over.

    >>> evidence(Verdict((), (), "", (), 10, True, samples=288))
    '10 fresh seeds × 288 samples'
    >>> evidence(Verdict((), (), "", (), 10, True, samples=575, swaps=1))
    '10 fresh seeds × 575 samples in 2 parts'
    """
    kind = mark(f"fresh {verdict.replicate}" if verdict.confirmed else verdict.replicate)
    most = max((entry.repeats for entry in verdict.entries), default=0)
    over = say("{seeds} {kind}s", seeds=verdict.seeds, kind=kind) if verdict.seeds > 1 else say("one {kind}", kind=kind)
    over = say("{seeds} to {most} {kind}s", seeds=verdict.seeds, most=most, kind=kind) if most > verdict.seeds else over
    if verdict.folds:
        return say("{over} × {folds} folds", over=over, folds=verdict.folds)
    parts = say("{count} parts", count=1 + verdict.swaps)
    if verdict.samples:
        return say("{over} × {samples:,} samples", over=over, samples=verdict.samples) + (
            say(" in {parts}", parts=parts) if verdict.swaps else ""
        )
    return say("{over} × {parts} of the samples", over=over, parts=parts) if verdict.swaps else over


def _price(factor: Factor, verdict: Verdict) -> str:
    """What the safest choice costs at the most, whichever is truly the best."""
    safe = min(verdict.entries, key=lambda e: e.regret)  # of equals the first
    best = abs(verdict.entries[0].value.mean)
    if not math.isfinite(safe.regret) or best == 0:
        return say("What a choice may cost is not known.")
    if safe.regret >= abs(safe.value.mean):
        return _unknown(verdict, best)
    name = called(factor, safe.setting[factor.name])
    most, metric = percent(safe.regret / best), mark(verdict.criterion.metric)
    cost = (
        say("{most} of the {metric}", most=most, metric=metric)
        if verdict.criterion.higher
        else say("{most} more {metric}", most=most, metric=metric)
    )
    return say("{name} is the safest choice: whichever is truly best, it costs at most {cost}.", name=name, cost=cost)


def _unknown(verdict: Verdict, best: float) -> str:
    """Why a choice may cost the whole loss: whose means may still lie anywhere."""
    sign = verdict.criterion.sign
    rivals = [e for e in verdict.entries[1:] if e.may_be_best]
    wild = [e for e in rivals if e.difference.times(sign).low <= -best and math.isfinite(e.value.mean)]
    if not wild:
        kind = mark(verdict.replicate)
        return say("What a choice may cost is not known: so few {kind}s leave anything possible.", kind=kind)
    return say(
        "What a choice may cost is not known: the runs of {names} scatter so much that their means may be anywhere.",
        names=listed([verdict.level(e) for e in wild]),
    )


def _others(verdict: Verdict) -> str:
    """By how much those that are not the best are worse."""
    best = abs(verdict.entries[0].value.mean)
    words = [
        say("{level} (by {share})", level=verdict.level(e), share=percent(abs(e.difference.mean) / best))
        if best and math.isfinite(e.difference.mean)
        else say("{level} (diverges)", level=verdict.level(e))
        for e in verdict.entries[1:]
        if not e.may_be_best
    ]
    return say(" Worse than the best: {words}.", words=listed(words)) if words else ""
