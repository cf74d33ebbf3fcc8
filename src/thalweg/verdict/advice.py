"""What a verdict says of its evidence: why it is uncertain, what would help, and what an extension changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ..language import say
from ..plan.factors import Factor, Setting, shown
from ..plan.plan import Plan
from .comparisons import OPEN
from .entries import Entry, Verdict
from .words import listed

FEW_SAMPLES = 5000  # below, to judge on more of them tells more


def spreads(verdict: Verdict) -> Iterator[str]:
    """How much of the uncertainty comes from seeds, and how much from samples; how to have more where these do more."""
    of_seeds, of_samples = verdict.best.spread
    if not verdict.samples or not math.isfinite(of_seeds + of_samples):
        return
    words = say(
        "The best mean is uncertain by {of_seeds:.2g} because of the seeds and by "
        "{of_samples:.2g} because of the {samples:,} {of_part}samples (standard errors)",
        of_seeds=of_seeds,
        of_samples=of_samples,
        samples=verdict.samples,
        of_part=say("validation ") * (not verdict.swaps),
    )
    most = verdict.most_samples
    if verdict.samples < min(FEW_SAMPLES, most) and of_samples > of_seeds:
        yield say(
            "{words}; `{command}` lets all {most:,} of training and validation judge, and so does a new study with "
            "`{folds}`, which is also about other training sets of that size.",
            words=words,
            command=verdict.extend("samples", most),
            most=most,
            folds="folds=5" if verdict.objects else "--folds 5",
        )
    else:
        yield f"{words}."


def still_open(factor: Factor, verdict: Verdict) -> Iterator[str]:
    """How many more seeds, or samples, would settle which is the best."""
    several = [e for e in verdict.entries[1:] if e.standing == OPEN and e.more_seeds]
    seeds, best = say(f"{verdict.replicate}s"), factor.called(verdict.best.setting[factor.name])
    if within := [e for e in several if math.isfinite(e.more_seeds)]:
        each = [
            say("from {setting} about {more_seeds:.0f}", setting=verdict.level(e), more_seeds=e.more_seeds)
            for e in within
        ]
        most = max(e.more_seeds for e in within)
        yield say(
            "More {seeds} that would tell {best} apart in 4 of 5 studies: {each}{how}.",
            seeds=seeds,
            best=best,
            each=", ".join(each),
            how=f" (`{verdict.extend('seeds', most)}`)" if verdict.store else "",
        )
    beyond = [e for e in several if math.isinf(e.more_seeds)]
    if samples := [e for e in beyond if verdict.samples and math.isfinite(e.more_samples)]:
        each = [
            say("from {setting} about {more_samples}", setting=verdict.level(e), more_samples=_rounded(e.more_samples))
            for e in samples
        ]
        yield say(
            "No number of {seeds} tells {best} apart from all others, but samples would: {each} in "
            "place of {samples:,}{how}.",
            seeds=seeds,
            best=best,
            each=", ".join(each),
            samples=verdict.samples,
            how=_to_be_had(verdict, samples),
        )
    if left := [verdict.level(e) for e in beyond if e not in samples]:
        yield say(
            "No number of {seeds} can be promised to tell {best} apart from {beyond}.",
            seeds=seeds,
            best=best,
            beyond=listed(left),
        )


def _to_be_had(verdict: Verdict, entries: Sequence[Entry]) -> str:
    """How to have the samples that would settle where these entries stand, in words that follow."""
    most, counts = verdict.most_samples, [e.more_samples for e in entries]
    enough = [count for count in counts if count <= most]
    if not most:
        return ""
    if not enough:
        return say(", and training and validation have {most:,} together, so more data would be needed", most=most)
    rest = (
        say("; more than the {most:,} of training and validation there are not", most=most)
        if len(enough) < len(counts)
        else ""
    )
    return f" (`{verdict.extend('samples', min(most, max(enough)))}`{rest})"


def _rounded(count: float) -> str:
    """To two digits.

    >>> _rounded(1234.5)
    '1,200'
    """
    return f"{float(f'{count:.2g}'):,.0f}"


def in_parts(verdict: Verdict) -> Iterator[str]:
    """Which runs judge, where parts of the training samples judge too."""
    if verdict.swaps:
        parts = (
            say("a part of the training samples")
            if verdict.swaps == 1
            else say("{swaps} parts of the training samples", swaps=verdict.swaps)
        )
        yield say(
            "Beside the validation part {parts} judged, each in its turn, while the rest trained; "
            "test numbers and curves are of the runs on the training part alone.",
            parts=parts,
        )


def longer(plan: Plan, verdict: Verdict, before: Mapping[Setting, float]) -> Iterator[str]:
    """Whether more epochs than the settings were chosen for turn the order over.

    Args:
        before: what each level's setting had with the fewer epochs, the lower the better.
    """
    if verdict.epochs <= plan.epochs:
        return
    words = say(
        "Fresh runs had {epochs} epochs, with schedules for that many; settings were chosen at {fewer}",
        epochs=verdict.epochs,
        fewer=plan.epochs,
    )
    if not before:
        yield f"{words}."
        return
    sign, now = verdict.criterion.sign, {entry.setting: entry.value.mean for entry in verdict.entries}
    first = min(now, key=lambda setting: before[setting])
    values = say("{before:.4g}, now {now:.4g}", before=sign * before[first], now=now[first])
    same = first == verdict.best.setting
    led = say(
        "{words}, where {first} led{too} with the same seeds ({values})",
        words=words,
        first=shown(first[verdict.factor]),
        too=" too" * same,
        values=values,
    )
    yield f"{led}." if same else say("{led}: more epochs turn the order of the means over.", led=led)
