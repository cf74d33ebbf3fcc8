"""What a verdict on runs made elsewhere says in words: a study's sentences, and what only such tables need."""

from __future__ import annotations

from collections.abc import Iterator

from ..language import mark, say
from ..plan.factors import Factor, shown, words_of
from ..verdict.answer import answer
from ..verdict.entries import Verdict
from ..verdict.sentences import apart, edges, lost_runs, luck, unequal
from ..verdict.words import called, listed, rest
from .choice import Choice
from .runs import Runs

UNEQUAL = 10  # times as many settings: the lowest of them is then lower by luck, more often than a test allows


def sentence(factor: Factor, name: str, verdict: Verdict) -> str:
    """The answer, and for what else it holds."""
    several = max(verdict.seeds, *(entry.repeats for entry in verdict.entries)) > 1
    scope = say(" This is about other seeds of the same training on the same data.") if several else ""
    setting = verdict.best.setting
    further = {name: f"{say(words_of(name))} {shown(level)}" for name, level in setting.further if level is not None}
    return answer(factor, name, verdict, rest(factor, setting, further), scope)


def notes(factor: Factor, verdict: Verdict, runs: Runs, choice: Choice, comparisons: int) -> Iterator[str]:
    """What to beware of, and what would help."""
    yield from [*_single(factor, verdict), *edges(factor, verdict.entries), *unequal(verdict, "")]
    yield from [*_ended(verdict, runs), *lost_runs(factor, verdict), *_left_out(factor, choice)]
    yield from apart(factor, verdict, comparisons)
    if verdict.seeds > 1 and not choice.paired:
        why = say("The chosen settings share too few seeds") if runs.seeded else say("The table names no seeds")
        yield say("{why}, so runs are compared as independent repeats; runs that share seeds would tell more.", why=why)
    yield from luck(factor, verdict) if choice.confirmed else _lucky(factor, verdict)


def _single(factor: Factor, verdict: Verdict) -> Iterator[str]:
    """Those with one run, of which nothing is known but that it happened."""
    alone = [called(factor, e.setting[factor.name]) for e in verdict.entries if (e.repeats or verdict.seeds) < 2]
    if alone and len(alone) == len(verdict.entries):
        yield say(
            "One noisy run each: no setting was run with a second seed, so nothing is known of how "
            "far its value would move with another one. There are no intervals, and {many} are not "
            "ranked by this; run the best settings again with a few seeds each.",
            many=factor.kind.many,
        )
    elif alone:
        yield say("{names}: one noisy run of the chosen setting, so nothing can be told of it.", names=listed(alone))


def _ended(verdict: Verdict, runs: Runs) -> Iterator[str]:
    """How many runs diverged, were pruned or still run."""
    total = len(runs.frame) + runs.left_out
    if lost := sum(e.diverged for e in verdict.entries):
        yield say(
            "Diverged: {lost:,} of {total:,} runs (they failed, or their {metric} is missing or not "
            "finite). They count as infinitely bad.",
            lost=lost,
            total=total,
            metric=mark(runs.columns.criterion.metric),
        )
    if halted := sum(e.stopped for e in verdict.entries):
        yield say(
            "Pruned: {halted:,} of {total:,} runs; a setting with such a run cannot be chosen.",
            halted=halted,
            total=total,
        )
    if runs.unfinished:
        yield say(
            "Left out, because they have not ended: {unfinished:,} of {total:,} runs.",
            unfinished=runs.unfinished,
            total=total,
        )
    if runs.nameless:
        yield say(
            "Left out, because they do not say their {ranked}: {nameless:,} of {total:,} runs.",
            ranked=runs.columns.ranked,
            nameless=runs.nameless,
            total=total,
        )
    if runs.odd:
        yield say("States that are not known: {states}; such runs count as finished.", states=", ".join(runs.odd[:5]))


def _left_out(factor: Factor, choice: Choice) -> Iterator[str]:
    """What could not be compared."""
    if choice.missing:
        why = say("no run of a confirmation") if choice.confirmed else say("no setting without a pruned run")
        missing = listed([*map(shown, choice.missing)])
        yield say("Not ranked, because there is {why}: {missing}.", why=why, missing=missing)
    if choice.unequal:
        yield say(
            "Settings with fewer runs than others of their {kind}: {unequal:,}. They were not "
            "chosen from, because the mean of fewer is low more often by luck.",
            kind=factor.kind.words,
            unequal=choice.unequal,
        )
    if choice.left_out:
        yield say(
            "Runs of the chosen settings with a seed that not all share: {left_out:,}. They are left "
            "out, since differences are taken seed by seed.",
            left_out=choice.left_out,
        )
    if choice.reused:
        yield say(
            "Runs of the confirmation with a seed that also chose their setting: {reused:,}. They "
            "are not fresh, so the values shown are a little too good.",
            reused=choice.reused,
        )


def _lucky(factor: Factor, verdict: Verdict) -> Iterator[str]:
    """That the runs that chose a setting also judge it."""
    counts = [entry.settings for entry in verdict.entries]
    most, uneven = max(counts), max(counts) >= UNEQUAL * min(counts)
    if most < 2:
        return
    lopsided = say(
        " Some had at least {factor} times as many settings as others, and are ahead by luck "
        "more often than the intervals allow for: do not rely on such differences.",
        factor=UNEQUAL,
    )
    words = say(
        "Not confirmed: the same runs chose each {kind}'s setting, the {extreme} of up to "
        "{most:,}, and are judged here. The {extreme} of many is partly luck, so the values "
        "shown are too good, the more so the more settings there were; run the chosen settings "
        "again with new seeds, and mark those runs by a column 'confirmation' of True and False.",
        kind=factor.kind.words,
        extreme=verdict.criterion.extreme,
        most=most,
    )
    yield words + lopsided * uneven
