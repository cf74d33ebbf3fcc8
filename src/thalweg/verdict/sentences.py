"""What a verdict says in words: the answer in a sentence, and notes on what to beware of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..plan.factors import Factor, Setting, shown, words_of
from ..plan.folds import Folds
from ..plan.plan import Plan
from ..population.member import RUINED
from .advice import in_parts, spreads, still_open
from .answer import answer
from .comparisons import OPEN, SAME
from .entries import Entry, Verdict
from .intervals import ROUNDING
from .words import called, listed, percent, rest

MOST_CHANGES = 3  # of the lead: more are counted and not listed
UNEVEN = 2.5  # times as much scatter over seeds, above which a skew of one of two runs is seen in their difference
_FEWEST = 5  # seeds that show how much runs scatter

_BUDGETS = {
    "batch_size": "Every batch size had the same number of epochs, so smaller batches took more steps.",
    "loss": "Runs trained with the loss of their setting; validation and test are judged by the problem's own.",
}


def sentence(plan: Plan, factor: Factor, name: str, verdict: Verdict) -> str:
    """The answer, and for what else it holds."""
    scope = ""
    if verdict.folds or verdict.samples or verdict.swaps:
        scope = " This is about other seeds and other data like these."
    elif verdict.seeds > 1:
        scope = " This is about other seeds on this very split of the data."
    return answer(factor, name, verdict, rest(plan, factor, verdict.best.setting), scope)


def notes(plan: Plan, factor: Factor, verdict: Verdict, comparisons: int) -> list[str]:
    """What to beware of, and what would help."""
    entries, confirmed, seeds = verdict.entries, verdict.confirmed, verdict.seeds
    words = [plan.groups.sentence] if plan.groups is not None else []
    words += edges(factor, entries)
    words += _grown(plan) + _drawn(plan) + _refined(plan, factor)
    words += unequal(factor, verdict, ". search='sobol' gives all as many")
    lost = sum(e.diverged for e in entries)
    if lost:
        words.append(
            f"{lost} of {sum(e.runs for e in entries)} runs diverged (their loss is not finite, or ended above "
            f"{RUINED:.0f} times that of the untrained weights) and count as infinitely bad."
        )
    words += lost_runs(factor, verdict)
    halted = sum(e.stopped for e in entries)
    if halted:
        words.append(
            f"{halted} of {sum(e.runs for e in entries)} runs were stopped early: after some of the epochs, others "
            "that share all but their rate and hyperparameters were ahead of them."
        )
    words += _by_metrics(plan, factor, verdict) + apart(factor, verdict, comparisons)
    words += [_BUDGETS[f.name] for f in plan.further if f.name in _BUDGETS]
    words += _cross_validated(plan.folds, confirmed) if plan.folds is not None else in_parts(verdict)
    if verdict.epochs <= plan.epochs:  # beyond, epochs make the difference
        words.append(luck(factor, verdict) if confirmed else _unconfirmed(plan, factor, seeds))
    words += _untuned(plan, verdict) if confirmed and factor.name == "optimizer" else []
    words += _at_defaults(plan) if factor.name == "optimizer" else []
    return [*filter(None, words)]


def edges(factor: Factor, entries: Sequence[Entry]) -> list[str]:
    """Which best rates are the last ones tried."""
    words = []
    for entry in entries:
        if entry.edge and factor.name != "lr":
            side = "higher" if entry.edge == "highest" else "lower"
            words.append(
                f"{called(factor, entry.setting[factor.name])}: its best rate {entry.lr:.3g} is the {entry.edge} "
                f"tried; a {side} one may be better."
            )
    return words


def apart(factor: Factor, verdict: Verdict, comparisons: int, in_store: bool = True) -> list[str]:
    """How surely the levels are told apart, and what would tell more of them apart.

    Args:
        in_store: whether they are of a study, which can be extended.
    """
    words = _same(factor, verdict) + _seedless(verdict) + still_open(factor, verdict, in_store)
    words += _by_chance(factor, verdict.entries, comparisons) + spreads(verdict) + _at_best(verdict)
    return words + _uneven(factor, verdict)


def _by_metrics(plan: Plan, factor: Factor, verdict: Verdict) -> list[str]:
    """What a ranking by each metric would say: another best, and what may be as good."""
    words = []
    metrics = verdict.entries[0].metrics
    for name, sign in verdict.criterion.directions(metrics, plan.directions).items() if metrics else ():
        ranked = [e for e in verdict.entries if math.isfinite(e.metrics[name].value.mean)]
        if not ranked:
            continue
        order = sorted(ranked, key=lambda e: sign * e.metrics[name].value.mean)
        first, *others = [shown(e.setting[factor.name]) for e in order]
        as_good = [shown(e.setting[factor.name]) for e in order[1:] if e.metrics[name].may_be_best]
        rest_of = f"; {listed(as_good)} may be as good" if as_good else " and no other comes level" if others else ""
        words.append(
            f"By {name} instead of {verdict.criterion.metric}: {first} has the {'highest' if sign < 0 else 'lowest'}, "
            f"{order[0].metrics[name].value}{rest_of}."
        )
    return words


def _same(factor: Factor, verdict: Verdict) -> list[str]:
    """Which differ from the best by less than matters."""
    names = [shown(e.setting[factor.name]) for e in verdict.entries if e.standing == SAME]
    best = shown(verdict.entries[0].setting[factor.name])
    within = f"within {percent(verdict.margin)} of its {verdict.criterion.metric}"
    return [f"Practically the same as {best} ({within}): {listed(names)}."] if names else []


def _seedless(verdict: Verdict) -> list[str]:
    """Seeds that make no difference are no evidence."""
    spreads = [(e.spread[0], abs(e.value.mean)) for e in verdict.entries if math.isfinite(e.spread[0])]
    if not spreads or verdict.seeds < 2 or any(error > ROUNDING * mean for error, mean in spreads):
        return []
    tested = (
        "" if verdict.samples or verdict.folds or verdict.swaps else ", so they are no evidence and nothing was tested"
    )
    return [
        (
            f"{verdict.replicate.capitalize()}s change nothing here: the values of {verdict.seeds} of them agree to "
            f"rounding{tested}."
        )
    ]


def _uneven(factor: Factor, verdict: Verdict) -> list[str]:
    """Whose runs scatter so differently from the best's that a skew would make the intervals too narrow."""
    first, *others = verdict.entries
    names = [shown(e.setting[factor.name]) for e in others if uneven(e.spread, first.spread)]
    if not names or verdict.seeds < _FEWEST:
        return []
    return [
        (
            f"Over {verdict.replicate}s {listed(names)} and the best scatter very differently (more than {UNEVEN:g} "
            "times). If the wider is skewed as well, intervals of the difference hold in 88% to 93% of studies, not in "
            "95%."
        )
    ]


def uneven(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether seeds make one mean far more uncertain than the other, and samples do not make both alike.

    Args:
        one, other: standard errors that come from the seeds, and from the samples (NaN where these are not known).

    >>> uneven((0.4, float("nan")), (0.1, float("nan"))), uneven((0.4, 0.9), (0.1, 0.9))
    (True, False)
    """
    less, more = sorted((one[0], other[0]))
    of_samples = max(0.0 if math.isnan(share) else share for share in (one[1], other[1]))
    return math.isfinite(more) and more > UNEVEN * less and more > of_samples


def _at_best(verdict: Verdict) -> list[str]:
    """That values at a run's best epoch are too good."""
    if verdict.criterion.epochs:
        return []
    return [
        (
            "Each run counts at its best epoch, chosen by the validation part that also judges it, which makes the "
            "values a little too good; test numbers are those of that epoch."
        )
    ]


def lost_runs(factor: Factor, verdict: Verdict) -> list[str]:
    """Levels whose chosen setting diverged on some of the runs that it is judged by."""
    runs = verdict.seeds * (max(1, verdict.folds) + verdict.swaps)
    kind = "fresh runs" if verdict.confirmed else "runs"
    return [
        f"{called(factor, e.setting[factor.name])} diverged on {e.lost} of the {e.repeats or runs} {kind} of its "
        "chosen setting, so its mean is infinite"
        + (f"; that of the others is {e.mean_of_rest:.4g}." if e.lost < (e.repeats or runs) else ".")
        for e in verdict.entries
        if e.lost
    ]


def _grown(plan: Plan) -> list[str]:
    """By how much the grid grew, and in which direction."""
    if not plan.grown:
        return []
    low, high = plan.requested_rates[0], plan.requested_rates[-1]
    below, above = [r for r in plan.rates if r < low], [r for r in plan.rates if r > high]
    words = [f"{len(below)} below {low:.3g}, down to {below[0]:.3g}"] if below else []
    words += [f"{len(above)} above {high:.3g}, up to {above[-1]:.3g}"] if above else []
    return [
        (
            f"A best rate lay on the edge of the grid asked for, so it grew for all alike: by {' and '.join(words)} "
            f"(at most {plan.grow} on each side)."
        )
    ]


def _drawn(plan: Plan) -> list[str]:
    """How many points were drawn, and how far they reach."""
    if not plan.points:
        return []
    words = []
    for name in plan.drawn:
        levels = plan[name].levels
        numbers = all(isinstance(level, float) for level in levels)
        words.append(f"{words_of(name)} from {min(levels):.3g} to {max(levels):.3g}" if numbers else name)
    return [f"Every optimizer was tried at the same {len(plan.points)} points ({plan.search}): {listed(words)}."]


def unequal(factor: Factor, verdict: Verdict, remedy: str) -> list[str]:
    """Which were tuned over more settings than others, and how to make it equal."""
    counts: dict[int, list[str]] = {}
    for entry in verdict.entries:
        counts.setdefault(entry.settings, []).append(shown(entry.setting[factor.name]))
    if len(counts) < 2:
        return []
    (first, names), *others = sorted(counts.items(), reverse=True)
    words = [f"{listed(names)} {'was' if len(names) == 1 else 'were'} tuned over {first} settings"]
    words += [f"{listed(names)} over {count}" for count, names in others]
    return [f"{', '.join(words)}: the lowest of more is lower by luck alone{remedy}."]


def _refined(plan: Plan, factor: Factor) -> list[str]:
    """How many finer settings each level had, and how fine."""
    done = sum(bool(one.get(factor.name)) for one in plan.refined)
    if not done:
        return []
    rounds = min(done, plan.refine)
    more = f"{2 * rounds} more, down to 1/{2**rounds} of the grid's step"
    words = [f"Around its best rate each {factor.kind.words} was tried at {more}."]
    if done > rounds:
        words.append(f"There it was also tried with another {' or '.join(f.name for f in plan.tuned)}.")
    return [" ".join(words)]


def _by_chance(factor: Factor, entries: Sequence[Entry], comparisons: int) -> list[str]:
    """Why some are not told apart from the best although their interval lies on one side of zero."""
    names = [
        shown(e.setting[factor.name])
        for e in entries[1:]
        if e.standing == OPEN and math.isfinite(e.difference.mean) and e.difference.low * e.difference.high > 0
    ]
    if not names:
        return []
    their, they = ("its", "it is") if len(names) == 1 else ("their", "they are")
    return [
        (
            f"{listed(names)}: looked at alone, {their} difference to the best would count; among {comparisons} "
            f"comparisons such a one is likely by chance, so {they} not told apart."
        )
    ]


def luck(factor: Factor, verdict: Verdict) -> str:
    """The winner's curse of the search, and its size."""
    best = verdict.best
    if not math.isfinite(best.optimism):
        return ""
    name, much = called(factor, best.setting[factor.name]), f"{abs(best.optimism):.2g}"
    side = "higher" if best.optimism >= 0 else "lower"
    if not best.optimism:
        return f"{name}: {best.value.mean:.4g} with fresh seeds is what the search gave too."
    return (
        f"{name}: {best.value.mean:.4g} with fresh seeds is {much} {side} than the {best.search_value:.4g} of the "
        f"search, whose {verdict.criterion.extreme} of many is partly luck; so the fresh number is the one reported."
    )


def _untuned(plan: Plan, verdict: Verdict) -> list[str]:
    """What tuning gave, and which optimizer is best without it."""
    words, entries, by = [], verdict.entries, verdict.criterion
    if len(with_default := [e for e in entries if e.default and math.isfinite(e.default.value.mean)]):
        best = min(with_default, key=lambda e: by.sign * e.default.value.mean if e.default else math.inf)
        default = best.default
        assert default is not None
        words.append(
            f"Untuned, at its own defaults, {best.optimizer} (rate {default.lr:.3g}, {default.schedule}) is the "
            f"{by.extreme}: {default.value}; tuned, {entries[0].optimizer} has {entries[0].value.mean:.4g}."
        )
    without = [e.optimizer for e in entries if plan.default(e.setting) is None]
    if plan.defaults and without:
        words.append(f"{listed(without)}: no default rate above 0, so tuned numbers only.")
    return words


def _at_defaults(plan: Plan) -> list[str]:
    """The hyperparameters that were not tuned, those of the same optimizers together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in dict.fromkeys(name for names in plan.untuned.values() for name in names):
        having = tuple(label for label in plan.optimizers if name in plan.untuned.get(label, ()))
        groups.setdefault(having, []).append(name)
    words = [
        f"{listed(names)} ({', '.join(having) if len(having) < len(plan.optimizers) else 'all'})"
        for having, names in sorted(groups.items(), key=lambda group: -len(group[0]))
    ]
    return [f"Left at their defaults: {', '.join(words)}."] if words else []


def turned(plan: Plan, factor: Factor, chosen: Sequence[Setting], verdict: Verdict) -> list[str]:
    """Of which levels another setting did best with fresh seeds than in the search.

    Args:
        chosen: the setting of each level that was best in the search.
    """
    best = {entry.setting[factor.name]: entry.setting for entry in verdict.entries}
    others = [s for s in chosen if best[s[factor.name]] != s]
    words = [f"{shown(s[factor.name])} {rest(plan, factor, s)}" for s in others]
    if not words:
        return []
    return [
        (
            "Of the settings that were run again, another one was best with fresh seeds than in the search, which had "
            f"{listed(words)}; what is said allows for that pick."
        )
    ]


def _cross_validated(folds: Folds, confirmed: bool) -> list[str]:
    """What the two kinds of loss are measured on, without a validation part."""
    words = [f"Validation losses are means over {folds}; their intervals allow for samples that folds share."]
    if confirmed:
        words.append(
            "Test numbers are of the same fresh seeds, trained again on all training and validation samples; no "
            "validation loss belongs to these last runs."
        )
    return words


def _unconfirmed(plan: Plan, factor: Factor, seeds: int) -> str:
    if factor.name == "lr":
        return "Not confirmed: rates are tuned by the search and not run again with fresh seeds, each for itself."
    complete = f"{seeds} of {plan.seeds} seeds are complete" if seeds < plan.seeds else "the search is complete"
    return (
        f"Not confirmed: {complete}, and the settings were not run again with fresh seeds, "
        "so the losses shown are a little too good and the test part is untouched."
    )


def trained_as(batching: Mapping[str, Any]) -> list[str]:
    """How members were trained, where it is not compiled, and why; what else slowed them down.

    Args:
        batching: what the store holds of it.
    """
    alone = [one[0] for one in batching.get("reasons", ()) if one]
    alone += [why for name, why, _ in batching.get("ways", ()) if name == "alone"]
    stacked = [why for name, why, _ in batching.get("ways", ()) if name == "stacked" and why]
    said = [f"Members were trained one by one, {why}." for why in dict.fromkeys(alone)]
    said += [f"Members were trained stacked, not compiled: {why.rstrip('.')}." for why in dict.fromkeys(stacked)]
    return [*said, *batching.get("notes", ())]
