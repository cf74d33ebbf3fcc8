"""What a verdict says of its evidence: why it is uncertain, what would help, and what an extension changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..plan.factors import Factor, Setting, shown
from ..plan.plan import Plan
from .comparisons import OPEN
from .entries import Entry, Verdict
from .words import listed

FEW_SAMPLES = 5000  # below, to judge on more of them tells more


def spreads(verdict: Verdict) -> list[str]:
    """How much of the uncertainty comes from seeds, and how much from samples."""
    best = verdict.entries[0]
    of_seeds, of_samples = best.spread
    if not verdict.samples or not math.isfinite(of_seeds + of_samples):
        return []
    words = (
        f"The best mean is uncertain by {of_seeds:.2g} because of the seeds and by {of_samples:.2g} because of the "
        f"{verdict.samples:,} {'validation ' * (not verdict.swaps)}samples (standard errors)"
    )
    most = verdict.most_samples
    if not (verdict.samples < min(FEW_SAMPLES, most) and of_samples > of_seeds):
        return [f"{words}."]
    return [f"{words}; `thalweg extend --samples {most}` lets all {most:,} of training and validation judge."]


def still_open(factor: Factor, verdict: Verdict, in_store: bool = True) -> list[str]:
    """How many more seeds, or samples, would settle which is the best.

    Args:
        in_store: whether a study has the runs, which can be extended.
    """
    several = [e for e in verdict.entries[1:] if e.standing == OPEN and e.more_seeds]
    if not several:
        return []
    seeds = f"{verdict.replicate}s"
    best = factor.called(verdict.entries[0].setting[factor.name])
    within = [
        f"from {shown(e.setting[factor.name])} about {e.more_seeds:.0f}" for e in several if math.isfinite(e.more_seeds)
    ]
    words = []
    if within:
        most = max(e.more_seeds for e in several if math.isfinite(e.more_seeds))
        how = f" (`thalweg extend --seeds {most:.0f}`)" if in_store else ""
        words.append(f"More {seeds} that would tell {best} apart in 4 of 5 studies: {', '.join(within)}{how}.")
    samples = [e for e in several if math.isinf(e.more_seeds) and verdict.samples and math.isfinite(e.more_samples)]
    if samples:
        each = [f"from {shown(e.setting[factor.name])} about {_rounded(e.more_samples)}" for e in samples]
        words.append(
            f"No number of {seeds} tells {best} apart from all others, but samples would: {', '.join(each)} in place "
            f"of {verdict.samples:,}{_to_be_had(verdict, samples)}."
        )
    beyond = [shown(e.setting[factor.name]) for e in several if math.isinf(e.more_seeds) and e not in samples]
    if beyond:
        words.append(f"No number of {seeds} can be promised to tell {best} apart from {listed(beyond)}.")
    return words


def _to_be_had(verdict: Verdict, entries: Sequence[Entry]) -> str:
    """How to have the samples that would settle where these entries stand, in words that follow."""
    most, counts = verdict.most_samples, [e.more_samples for e in entries]
    enough = [count for count in counts if count <= most]
    if not most:
        return ""
    if not enough:
        return f", and training and validation have {most:,} together, so more data would be needed"
    rest = f"; more than the {most:,} of training and validation there are not" if len(enough) < len(counts) else ""
    return f" (`thalweg extend --samples {min(most, math.ceil(max(enough)))}`{rest})"


def _rounded(count: float) -> str:
    """To two digits.

    >>> _rounded(1234.5)
    '1,200'
    """
    return f"{float(f'{count:.2g}'):,.0f}"


def in_parts(verdict: Verdict) -> list[str]:
    """Which runs judge, where parts of the training samples judge too."""
    if not verdict.swaps:
        return []
    parts = "a part of the training samples" if verdict.swaps == 1 else f"{verdict.swaps} parts of the training samples"
    return [
        (
            f"Beside the validation part {parts} judged, each in its turn, while the rest trained; test numbers and "
            "curves are of the runs on the training part alone."
        )
    ]


def longer(plan: Plan, factor: Factor, verdict: Verdict, before: Mapping[Setting, float]) -> list[str]:
    """Whether more epochs than the settings were chosen for turn the order over.

    Args:
        before: what each level's setting had with the fewer epochs, the lower the better.
    """
    if verdict.epochs <= plan.epochs:
        return []
    words = (
        f"Fresh runs had {verdict.epochs} epochs, with schedules for that many; settings were chosen at {plan.epochs}"
    )
    if not before:
        return [f"{words}."]
    sign, now = verdict.criterion.sign, {entry.setting: entry.value.mean for entry in verdict.entries}
    first = min(now, key=lambda setting: before[setting])
    values = f"{sign * before[first]:.4g}, now {now[first]:.4g}"
    same = first == verdict.best.setting
    led = f"{words}, where {shown(first[factor.name])} led{' too' * same} with the same seeds ({values})"
    return [f"{led}." if same else f"{led}: more epochs turn the order of the means over."]
