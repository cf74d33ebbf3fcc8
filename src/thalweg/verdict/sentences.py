"""What a verdict says in words: the answer in a sentence, and notes on what to beware of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..language import mark, say
from ..plan.factors import Factor, Setting, shown, words_of
from ..plan.folds import Folds
from ..plan.plan import Plan
from ..population.member import RUINED
from .advice import in_parts, spreads, still_open
from .answer import answer
from .comparisons import OPEN, SAME
from .entries import Entry, Verdict
from .intervals import ROUNDING
from .words import OR, called, listed, percent, rest

MOST_CHANGES = 3  # of the lead: more are counted and not listed
UNEVEN = 2.5  # times as much scatter over seeds, above which a skew of one of two runs is seen in their difference
_FEWEST = 5  # seeds that show how much runs scatter

_BUDGETS = {
    "batch_size": mark("Every batch size had the same number of epochs, so smaller batches took more steps."),
    "loss": mark("Runs trained with the loss of their setting; validation and test are judged by the problem's own."),
}


def sentence(plan: Plan, factor: Factor, name: str, verdict: Verdict) -> str:
    """The answer, and for what else it holds."""
    scope = ""
    if verdict.folds or verdict.samples or verdict.swaps:
        scope = say(" This is about other seeds and other data like these.")
    elif verdict.seeds > 1:
        scope = say(" This is about other seeds on this very split of the data.")
    return answer(factor, name, verdict, rest(plan, factor, verdict.best.setting), scope)


def notes(plan: Plan, factor: Factor, verdict: Verdict, comparisons: int) -> list[str]:
    """What to beware of, and what would help."""
    entries, confirmed, seeds = verdict.entries, verdict.confirmed, verdict.seeds
    words = [plan.groups.sentence] if plan.groups is not None else []
    words += edges(factor, entries)
    words += _own_rates(plan) + _grown(plan) + _drawn(plan) + _refined(plan, factor)
    words += unequal(factor, verdict, say(". search='sobol' gives all as many"))
    lost = sum(e.diverged for e in entries)
    if lost:
        words.append(
            say(
                "{lost} of {runs} runs diverged (their loss is not finite, or ended above {factor:.0f} "
                "times that of the untrained weights) and count as infinitely bad.",
                lost=lost,
                runs=sum(e.runs for e in entries),
                factor=RUINED,
            )
        )
    words += lost_runs(factor, verdict)
    halted = sum(e.stopped for e in entries)
    if halted:
        words.append(
            say(
                "{halted} of {runs} runs were stopped early: after some of the epochs, others that "
                "share all but their rate and hyperparameters were ahead of them.",
                halted=halted,
                runs=sum(e.runs for e in entries),
            )
        )
    words += _by_metrics(plan, factor, verdict) + apart(factor, verdict, comparisons)
    words += [say(_BUDGETS[f.name]) for f in plan.further if f.name in _BUDGETS]
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
                say(
                    "{level}: its best rate {lr:.3g} is the {edge} tried; a {side} one may be better.",
                    level=called(factor, entry.setting[factor.name]),
                    lr=entry.lr,
                    edge=mark(entry.edge),
                    side=mark(side),
                )
            )
    return words


def apart(factor: Factor, verdict: Verdict, comparisons: int) -> list[str]:
    """How surely the levels are told apart, and what would tell more of them apart."""
    words = _same(factor, verdict) + _seedless(verdict) + still_open(factor, verdict)
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
        first, others = factor.called(order[0].setting[factor.name]), order[1:]
        as_good = [shown(e.setting[factor.name]) for e in others if e.metrics[name].may_be_best]
        rest_of = (
            say("; {as_good} may be as good", as_good=listed(as_good))
            if as_good
            else say(" and no other comes level")
            if others
            else ""
        )
        words.append(
            say(
                "By {name} instead of {metric}: {first} has the {extreme}, {value}{rest_of}.",
                name=mark(name),
                metric=mark(verdict.criterion.metric),
                first=first,
                extreme=mark("highest" if sign < 0 else "lowest"),
                value=order[0].metrics[name].value,
                rest_of=rest_of,
            )
        )
    return words


def _same(factor: Factor, verdict: Verdict) -> list[str]:
    """Which differ from the best by less than matters."""
    names = [shown(e.setting[factor.name]) for e in verdict.entries if e.standing == SAME]
    best = shown(verdict.entries[0].setting[factor.name])
    within = say(
        "within {margin} of its {metric}", margin=percent(verdict.margin), metric=mark(verdict.criterion.metric)
    )
    return (
        [say("Practically the same as {best} ({within}): {names}.", best=best, within=within, names=listed(names))]
        if names
        else []
    )


def _seedless(verdict: Verdict) -> list[str]:
    """Seeds that make no difference are no evidence."""
    spreads = [(e.spread[0], abs(e.value.mean)) for e in verdict.entries if math.isfinite(e.spread[0])]
    if not spreads or verdict.seeds < 2 or any(error > ROUNDING * mean for error, mean in spreads):
        return []
    tested = (
        ""
        if verdict.samples or verdict.folds or verdict.swaps
        else say(", so they are no evidence and nothing was tested")
    )
    return [
        (
            say(
                "{replicate}s change nothing here: the values of {seeds} of them agree to rounding{tested}.",
                replicate=say(verdict.replicate).capitalize(),
                seeds=verdict.seeds,
                tested=tested,
            )
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
            say(
                "Over {replicate}s {names} and the best scatter very differently (more than {factor:g} "
                "times). If the wider is skewed as well, intervals of the difference hold in 88% to 93% "
                "of studies, not in 95%.",
                replicate=mark(verdict.replicate),
                names=listed(names),
                factor=UNEVEN,
            )
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
            say(
                "Each run counts at its best epoch, chosen by the validation part that also judges it, "
                "which makes the values a little too good; test numbers are those of that epoch."
            )
        )
    ]


def lost_runs(factor: Factor, verdict: Verdict) -> list[str]:
    """Levels whose chosen setting diverged on some of the runs that it is judged by."""
    runs = verdict.seeds * (max(1, verdict.folds) + verdict.swaps)
    kind = mark("fresh runs" if verdict.confirmed else "runs")
    return [
        say(
            "{level} diverged on {lost} of the {runs} {kind} of its chosen setting, so its mean is infinite",
            level=called(factor, e.setting[factor.name]),
            lost=e.lost,
            runs=e.repeats or runs,
            kind=kind,
        )
        + (say("; that of the others is {mean:.4g}.", mean=e.mean_of_rest) if e.lost < (e.repeats or runs) else ".")
        for e in verdict.entries
        if e.lost
    ]


def _own_rates(plan: Plan) -> list[str]:
    """Which optimizers have rates of their own."""
    if not plan["lr"].scales:
        return []
    each = {label: plan["lr"].of(label) for label in plan["lr"].scales}
    own = [say("{label} from {low:.3g} to {high:.3g}", label=o, low=r[0], high=r[-1]) for o, r in each.items()]
    return [
        say(
            "Rates lie around each optimizer’s own default, equally many for all: {own}; others from {low:.3g} to "
            "{high:.3g}.",
            own=listed(own),
            low=plan.rates[0],
            high=plan.rates[-1],
        )
    ]


def _grown(plan: Plan) -> list[str]:
    """By how much the grid grew, and in which direction."""
    if not plan.grown:
        return []
    low, high = plan.requested_rates[0], plan.requested_rates[-1]
    below, above = [r for r in plan.rates if r < low], [r for r in plan.rates if r > high]
    words = (
        [say("{count} below {low:.3g}, down to {end:.3g}", count=len(below), low=low, end=below[0])] if below else []
    )
    words += (
        [say("{count} above {high:.3g}, up to {end:.3g}", count=len(above), high=high, end=above[-1])] if above else []
    )
    return [
        (
            say(
                "A best rate lay on the edge of the grid asked for, so it grew for all alike: by {counts} "
                "(at most {grow} on each side).",
                counts=listed(words),
                grow=plan.grow,
            )
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
        words.append(
            say("{name} from {low:.3g} to {high:.3g}", name=words_of(name), low=min(levels), high=max(levels))
            if numbers
            else name
        )
    return [
        say(
            "Every optimizer was tried at the same {points} points ({search}): {words}.",
            points=len(plan.points),
            search=plan.search,
            words=listed(words),
        )
    ]


def unequal(factor: Factor, verdict: Verdict, remedy: str) -> list[str]:
    """Which were tuned over more settings than others, and how to make it equal."""
    counts: dict[int, list[str]] = {}
    for entry in verdict.entries:
        counts.setdefault(entry.settings, []).append(shown(entry.setting[factor.name]))
    if len(counts) < 2:
        return []
    (first, names), *others = sorted(counts.items(), reverse=True)
    words = [
        say(
            "{names} {were} tuned over {first} settings",
            names=listed(names),
            were="was" if len(names) == 1 else "were",
            first=first,
        )
    ]
    words += [say("{names} over {count}", names=listed(names), count=count) for count, names in others]
    return [say("{counts}: the lowest of more is lower by luck alone{remedy}.", counts=", ".join(words), remedy=remedy)]


def _refined(plan: Plan, factor: Factor) -> list[str]:
    """How many finer settings each level had, and how fine."""
    done = sum(bool(one.get(factor.name)) for one in plan.refined)
    if not done:
        return []
    rounds = min(done, plan.refine)
    more = say("{count} more, down to 1/{parts} of the grid's step", count=2 * rounds, parts=2**rounds)
    words = [say("Around its best rate each {kind} was tried at {more}.", kind=factor.kind.words, more=more)]
    if done > rounds:
        words.append(
            say("There it was also tried with another {names}.", names=listed([f.name for f in plan.tuned], OR))
        )
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
            say(
                "{names}: looked at alone, {their} difference to the best would count; among "
                "{comparisons} comparisons such a one is likely by chance, so {they} not told apart.",
                names=listed(names),
                their=their,
                comparisons=comparisons,
                they=they,
            )
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
        return say("{name}: {mean:.4g} with fresh seeds is what the search gave too.", name=name, mean=best.value.mean)
    return say(
        "{name}: {mean:.4g} with fresh seeds is {much} {side} than the {search_value:.4g} of the "
        "search, whose {extreme} of many is partly luck; so the fresh number is the one reported.",
        name=name,
        mean=best.value.mean,
        much=much,
        side=mark(side),
        search_value=best.search_value,
        extreme=verdict.criterion.extreme,
    )


def _untuned(plan: Plan, verdict: Verdict) -> list[str]:
    """What tuning gave, and which optimizer is best without it."""
    words, entries, by = [], verdict.entries, verdict.criterion
    if len(with_default := [e for e in entries if e.default and math.isfinite(e.default.value.mean)]):
        best = min(with_default, key=lambda e: by.sign * e.default.value.mean if e.default else math.inf)
        default = best.default
        assert default is not None
        words.append(
            say("Untuned, {optimizer} has {value}.", optimizer=best.optimizer, value=default.value)
            if len(entries) == 1
            else say(
                "Untuned, at its own defaults, {optimizer} (rate {lr:.3g}, {schedule}) is the {extreme}: "
                "{value}; tuned, {tuned} has {mean:.4g}.",
                optimizer=best.optimizer,
                lr=default.lr,
                schedule=default.schedule,
                extreme=by.extreme,
                value=default.value,
                tuned=entries[0].optimizer,
                mean=entries[0].value.mean,
            )
        )
    without = [e.optimizer for e in entries if plan.default(e.setting) is None]
    if plan.defaults and without:
        words.append(say("{names}: no default rate above 0, so tuned numbers only.", names=listed(without)))
    return words


def _at_defaults(plan: Plan) -> list[str]:
    """The hyperparameters that were not tuned, those of the same optimizers together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in dict.fromkeys(name for names in plan.untuned.values() for name in names):
        having = tuple(label for label in plan.optimizers if name in plan.untuned.get(label, ()))
        groups.setdefault(having, []).append(name)
    words = [
        f"{listed(names)} ({', '.join(having) if len(having) < len(plan.optimizers) else say('all')})"
        for having, names in sorted(groups.items(), key=lambda group: -len(group[0]))
    ]
    return [say("Left at their defaults: {names}.", names=", ".join(words))] if words else []


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
            say(
                "Of the settings that were run again, another one was best with fresh seeds than in the "
                "search, which had {words}; what is said allows for that pick.",
                words=listed(words),
            )
        )
    ]


def _cross_validated(folds: Folds, confirmed: bool) -> list[str]:
    """What the two kinds of loss are measured on, without a validation part."""
    words = [
        say(
            "Validation losses are means over {count} folds, {splitter}; their intervals allow for samples that folds "
            "share.",
            count=folds.count,
            splitter=folds.code,
        )
    ]
    if confirmed:
        words.append(
            say(
                "Test numbers are of the same fresh seeds, trained again on all training and validation "
                "samples; no validation loss belongs to these last runs."
            )
        )
    return words


def _unconfirmed(plan: Plan, factor: Factor, seeds: int) -> str:
    if factor.name == "lr":
        return say("Not confirmed: rates are tuned by the search and not run again with fresh seeds, each for itself.")
    complete = (
        say("{seeds} of {all} seeds are complete", seeds=seeds, all=plan.seeds)
        if seeds < plan.seeds
        else say("the search is complete")
    )
    return say(
        "Not confirmed: {complete}, and the settings were not run again with fresh seeds, so the "
        "losses shown are a little too good and the test part is untouched.",
        complete=complete,
    )


def trained_as(batching: Mapping[str, Any]) -> list[str]:
    """How members were trained, where it is not compiled, and why; what else slowed them down.

    Args:
        batching: what the store holds of it.
    """
    alone = [one[0] for one in batching.get("reasons", ()) if one]
    alone += [why for name, why, *_ in batching.get("ways", ()) if name == "alone"]
    stacked = [why for name, why, *_ in batching.get("ways", ()) if name == "stacked" and why]
    twice = [why for name, why, *_ in batching.get("ways", ()) if name == "recomputed"]
    said = [say("Members were trained one by one, {why}.", why=why) for why in dict.fromkeys(alone)]
    said += [say("Members were trained stacked, with activations computed twice: {why}.", why=why) for why in twice]
    said += [
        say("Members were trained stacked, not compiled: {why}.", why=why.rstrip(".")) for why in dict.fromkeys(stacked)
    ]
    return [*said, *batching.get("notes", ())]
