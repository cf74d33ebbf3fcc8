"""What a verdict on runs made elsewhere says in words: a study's sentences, and what only such tables need."""

from __future__ import annotations

from ..plan.factors import Factor, Level, Setting, shown, words_of
from ..verdict.answer import answer
from ..verdict.entries import Verdict
from ..verdict.sentences import apart, edges, lost_runs, luck, unequal
from ..verdict.words import called, listed
from .choice import Choice
from .runs import Runs

UNEQUAL = 10  # times as many settings: the lowest of them is then lower by luck, more often than a test allows


def sentence(factor: Factor, name: str, verdict: Verdict) -> str:
    """The answer, and for what else it holds."""
    several = max(verdict.seeds, *(entry.repeats for entry in verdict.entries)) > 1
    scope = " This is about other seeds of the same training on the same data." if several else ""
    return answer(factor, name, verdict, described(factor, verdict.best.setting), scope)


def described(factor: Factor, setting: Setting) -> str:
    """A setting in words, apart from what is ranked.

    >>> from thalweg.plan.factors import OPTIMIZER
    >>> described(Factor(OPTIMIZER, "optimizer", (), {}), Setting("adam", 0.1, "cosine", (("batch_size", 16),)))
    'rate 0.1, cosine, batch size 16'
    """
    known = {"optimizer": setting.optimizer, "lr": setting.lr, "schedule": setting.schedule}
    words = [
        f"rate {value:.3g}" if name == "lr" else str(value)
        for name, value in known.items()
        if name != factor.name and value != "" and value == value
    ]
    words += [f"{words_of(name)} {shown(v)}" for name, v in setting.further if name != factor.name and v is not None]
    return ", ".join(words)


def notes(factor: Factor, verdict: Verdict, runs: Runs, choice: Choice, comparisons: int) -> list[str]:
    """What to beware of, and what would help."""
    words = [*_single(factor, verdict), *edges(factor, verdict.entries), *unequal(factor, verdict, "")]
    words += _ended(verdict, runs) + lost_runs(factor, verdict) + _left_out(factor, runs, choice)
    words += apart(factor, verdict, comparisons, in_store=False)
    words += _unpaired(choice, runs) if verdict.seeds > 1 else []
    words.append(luck(factor, verdict) if choice.confirmed else _lucky(factor, verdict))
    return [*filter(None, words)]


def _single(factor: Factor, verdict: Verdict) -> list[str]:
    """Those with one run, of which nothing is known but that it happened."""
    alone = [called(factor, e.setting[factor.name]) for e in verdict.entries if (e.repeats or verdict.seeds) < 2]
    if not alone:
        return []
    if len(alone) == len(verdict.entries):
        return [
            (
                "One noisy run each: no setting was run with a second seed, so nothing is known of how far its value "
                f"would move with another one. There are no intervals, and {factor.kind.many} are not ranked by this; "
                "run the best settings again with a few seeds each."
            )
        ]
    return [f"{listed(alone)}: one noisy run of the chosen setting, so nothing can be told of it."]


def _ended(verdict: Verdict, runs: Runs) -> list[str]:
    """How many runs diverged, were pruned or still run."""
    total = len(runs.frame) + runs.unfinished + runs.nameless
    lost, halted = (sum(getattr(e, name) for e in verdict.entries) for name in ("diverged", "stopped"))
    words = []
    if lost:
        words.append(
            f"Diverged: {lost:,} of {total:,} runs (they failed, or their {runs.columns.criterion.metric} is "
            "missing or not finite). They count as infinitely bad."
        )
    if halted:
        words.append(f"Pruned: {halted:,} of {total:,} runs; a setting with such a run cannot be chosen.")
    if runs.unfinished:
        words.append(f"Left out, because they have not ended: {runs.unfinished:,} of {total:,} runs.")
    if runs.nameless:
        words.append(
            f"Left out, because they do not say their {runs.columns.ranked}: {runs.nameless:,} of {total:,} runs."
        )
    if runs.odd:
        words.append(f"States that are not known: {', '.join(runs.odd[:5])}; such runs count as finished.")
    return words


def _left_out(factor: Factor, runs: Runs, choice: Choice) -> list[str]:
    """What could not be compared."""
    words = []
    if choice.missing:
        why = "no run of a confirmation" if choice.confirmed else "no setting without a pruned run"
        words.append(f"Not ranked, because there is {why}: {_names(choice.missing)}.")
    if choice.unequal:
        words.append(
            f"Settings with fewer runs than others of their {factor.kind.words}: {choice.unequal:,}. They were not "
            "chosen from, because the mean of fewer is low more often by luck."
        )
    if choice.left_out:
        words.append(
            f"Runs of the chosen settings with a seed that not all share: {choice.left_out:,}. They are left out, "
            "since differences are taken seed by seed."
        )
    if choice.reused:
        words.append(
            f"Runs of the confirmation with a seed that also chose their setting: {choice.reused:,}. They are not "
            "fresh, so the values shown are a little too good."
        )
    return words


def _names(levels: list[Level]) -> str:
    return listed([shown(level) for level in levels])


def _unpaired(choice: Choice, runs: Runs) -> list[str]:
    """That repeats tell less than runs that share their seeds."""
    if choice.paired:
        return []
    why = "The chosen settings share too few seeds" if runs.seeded else "The table names no seeds"
    return [f"{why}, so runs are compared as independent repeats; runs that share seeds would tell more."]


def _lucky(factor: Factor, verdict: Verdict) -> str:
    """That the runs that chose a setting also judge it."""
    counts = [entry.settings for entry in verdict.entries]
    most, uneven = max(counts), max(counts) >= UNEQUAL * min(counts)
    if most < 2:
        return ""
    lopsided = (
        f" Some had at least {UNEQUAL} times as many settings as others, and are ahead by luck more often than the "
        "intervals allow for: do not rely on such differences."
    )
    extreme = verdict.criterion.extreme
    return (
        f"Not confirmed: the same runs chose each {factor.kind.words}'s setting, the {extreme} of up to {most:,}, and "
        f"are judged here. The {extreme} of many is partly luck, so the values shown are too good, the more so the "
        "more settings there were; run the chosen settings again with new seeds, and mark those runs by a column "
        "'confirmation' of True and False." + lopsided * uneven
    )
