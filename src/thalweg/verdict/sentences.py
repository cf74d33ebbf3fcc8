"""What a verdict says in words: the answer in a sentence, and notes on what to beware of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
    return answer(factor, name, verdict, _rest(plan, factor, verdict.best.setting), scope)


def _rest(plan: Plan, factor: Factor, setting: Setting) -> str:
    return rest(factor, setting, {name: plan[name].called(level) for name, level in plan.told(setting).items()})


def notes(plan: Plan, factor: Factor, verdict: Verdict, comparisons: int) -> Iterator[str]:
    """What to beware of, and what would help."""
    entries, confirmed = verdict.entries, verdict.confirmed
    if plan.groups is not None:
        yield plan.groups.sentence
    yield from [*edges(factor, entries), *_own_rates(plan), *_grown(plan), *_drawn(plan), *_refined(plan, factor)]
    yield from unequal(verdict, say(". search='sobol' gives all as many"))
    runs = sum(e.runs for e in entries)
    if lost := sum(e.diverged for e in entries):
        yield say(
            "{lost} of {runs} runs diverged (their loss is not finite, or ended above {factor:.0f} "
            "times that of the untrained weights) and count as infinitely bad.",
            lost=lost,
            runs=runs,
            factor=RUINED,
        )
    yield from lost_runs(factor, verdict)
    if halted := sum(e.stopped for e in entries):
        yield say(
            "{halted} of {runs} runs were stopped early: after some of the epochs, others that "
            "share all but their rate and hyperparameters were ahead of them.",
            halted=halted,
            runs=runs,
        )
    yield from [*_by_metrics(plan, factor, verdict), *apart(factor, verdict, comparisons)]
    yield from [say(_BUDGETS[f.name]) for f in plan.further if f.name in _BUDGETS]
    yield from in_parts(verdict) if plan.folds is None else _cross_validated(plan.folds, confirmed)
    if verdict.epochs <= plan.epochs:  # beyond, epochs make the difference
        yield from luck(factor, verdict) if confirmed else _unconfirmed(plan, factor, verdict.seeds)
    if factor.name == "optimizer":
        yield from [*(_untuned(plan, verdict) if confirmed else []), *_at_defaults(plan)]


def edges(factor: Factor, entries: Sequence[Entry]) -> Iterator[str]:
    """Which best rates are the last ones tried."""
    for entry in entries:
        if entry.edge and factor.name != "lr":
            yield say(
                "{level}: its best rate {lr:.3g} is the {edge} tried; a {side} one may be better.",
                level=called(factor, entry.setting[factor.name]),
                lr=entry.lr,
                edge=mark(entry.edge),
                side=mark("higher" if entry.edge == "highest" else "lower"),
            )


def apart(factor: Factor, verdict: Verdict, comparisons: int) -> Iterator[str]:
    """How surely the levels are told apart, and what would tell more of them apart."""
    yield from [*_same(verdict), *_seedless(verdict), *still_open(factor, verdict)]
    yield from [*_by_chance(verdict, comparisons), *spreads(verdict), *_at_best(verdict), *_uneven(verdict)]


def _by_metrics(plan: Plan, factor: Factor, verdict: Verdict) -> Iterator[str]:
    """What a ranking by each metric would say: another best, and what may be as good."""
    metrics = verdict.entries[0].metrics
    for name, sign in verdict.criterion.directions(metrics, plan.directions).items() if metrics else ():
        ranked = [e for e in verdict.entries if math.isfinite(e.metrics[name].value.mean)]
        if not ranked:
            continue
        first, *others = sorted(ranked, key=lambda e: sign * e.metrics[name].value.mean)
        rest_of = say(" and no other comes level") if others else ""
        if as_good := [verdict.level(e) for e in others if e.metrics[name].may_be_best]:
            rest_of = say("; {as_good} may be as good", as_good=listed(as_good))
        yield say(
            "By {name} instead of {metric}: {first} has the {extreme}, {value}{rest_of}.",
            name=mark(name),
            metric=mark(verdict.criterion.metric),
            first=factor.called(first.setting[factor.name]),
            extreme=mark("highest" if sign < 0 else "lowest"),
            value=first.metrics[name].value,
            rest_of=rest_of,
        )


def _same(verdict: Verdict) -> Iterator[str]:
    """Which differ from the best by less than matters."""
    if names := [verdict.level(e) for e in verdict.entries if e.standing == SAME]:
        metric = mark(verdict.criterion.metric)
        within = say("within {margin} of its {metric}", margin=percent(verdict.margin), metric=metric)
        best = verdict.level(verdict.best)
        yield say("Practically the same as {best} ({within}): {names}.", best=best, within=within, names=listed(names))


def _seedless(verdict: Verdict) -> Iterator[str]:
    """Seeds that make no difference are no evidence."""
    spreads = [(e.spread[0], abs(e.value.mean)) for e in verdict.entries if math.isfinite(e.spread[0])]
    if not spreads or verdict.seeds < 2 or any(error > ROUNDING * mean for error, mean in spreads):
        return
    others = verdict.samples or verdict.folds or verdict.swaps
    yield say(
        "{replicate}s change nothing here: the values of {seeds} of them agree to rounding{tested}.",
        replicate=say(verdict.replicate).capitalize(),
        seeds=verdict.seeds,
        tested="" if others else say(", so they are no evidence and nothing was tested"),
    )


def _uneven(verdict: Verdict) -> Iterator[str]:
    """Whose runs scatter so differently from the best's that a skew would make the intervals too narrow."""
    first, *others = verdict.entries
    names = [verdict.level(e) for e in others if uneven(e.spread, first.spread)]
    if names and verdict.seeds >= _FEWEST:
        yield say(
            "Over {replicate}s {names} and the best scatter very differently (more than {factor:g} "
            "times). If the wider is skewed as well, intervals of the difference hold in 88% to 93% "
            "of studies, not in 95%.",
            replicate=mark(verdict.replicate),
            names=listed(names),
            factor=UNEVEN,
        )


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


def _at_best(verdict: Verdict) -> Iterator[str]:
    """That values at a run's best epoch are too good."""
    if not verdict.criterion.epochs:
        yield say(
            "Each run counts at its best epoch, chosen by the validation part that also judges it, "
            "which makes the values a little too good; test numbers are those of that epoch."
        )


def lost_runs(factor: Factor, verdict: Verdict) -> Iterator[str]:
    """Levels whose chosen setting diverged on some of the runs that it is judged by."""
    runs = verdict.seeds * (max(1, verdict.folds) + verdict.swaps)
    kind = mark("fresh runs" if verdict.confirmed else "runs")
    for entry in verdict.entries:
        if entry.lost:
            count = entry.repeats or runs
            yield say(
                "{level} diverged on {lost} of the {runs} {kind} of its chosen setting, so its mean is infinite",
                level=called(factor, entry.setting[factor.name]),
                lost=entry.lost,
                runs=count,
                kind=kind,
            ) + (say("; that of the others is {mean:.4g}.", mean=entry.mean_of_rest) if entry.lost < count else ".")


def _own_rates(plan: Plan) -> Iterator[str]:
    """Which optimizers have rates of their own."""
    each = {label: plan["lr"].of(label) for label in plan["lr"].scales}
    if own := [say("{label} from {low:.3g} to {high:.3g}", label=o, low=r[0], high=r[-1]) for o, r in each.items()]:
        yield say(
            "Rates lie around each optimizer’s own default, equally many for all: {own}; others from {low:.3g} to "
            "{high:.3g}.",
            own=listed(own),
            low=plan.rates[0],
            high=plan.rates[-1],
        )


def _grown(plan: Plan) -> Iterator[str]:
    """By how much the grid grew, and in which direction."""
    if not plan.grown:
        return
    low, high, words = plan.requested_rates[0], plan.requested_rates[-1], []
    if below := [r for r in plan.rates if r < low]:
        words.append(say("{count} below {low:.3g}, down to {end:.3g}", count=len(below), low=low, end=below[0]))
    if above := [r for r in plan.rates if r > high]:
        words.append(say("{count} above {high:.3g}, up to {end:.3g}", count=len(above), high=high, end=above[-1]))
    yield say(
        "A best rate lay on the edge of the grid asked for, so it grew for all alike: by {counts} "
        "(at most {grow} on each side).",
        counts=listed(words),
        grow=plan.grow,
    )


def _drawn(plan: Plan) -> Iterator[str]:
    """How many points were drawn, and how far they reach."""
    if not plan.points:
        return
    levels = {name: plan[name].levels for name in plan.drawn}
    words = [
        say("{name} from {low:.3g} to {high:.3g}", name=words_of(name), low=min(some), high=max(some))
        if all(isinstance(level, float) for level in some)
        else name
        for name, some in levels.items()
    ]
    yield say(
        "Every optimizer was tried at the same {points} points ({search}): {words}.",
        points=len(plan.points),
        search=plan.search,
        words=listed(words),
    )


def unequal(verdict: Verdict, remedy: str) -> Iterator[str]:
    """Which were tuned over more settings than others, and how to make it equal."""
    counts: dict[int, list[str]] = {}
    for entry in verdict.entries:
        counts.setdefault(entry.settings, []).append(verdict.level(entry))
    if len(counts) < 2:
        return
    (first, names), *others = sorted(counts.items(), reverse=True)
    were = "was" if len(names) == 1 else "were"
    words = [say("{names} {were} tuned over {first} settings", names=listed(names), were=were, first=first)]
    words += [say("{names} over {count}", names=listed(names), count=count) for count, names in others]
    yield say("{counts}: the lowest of more is lower by luck alone{remedy}.", counts=", ".join(words), remedy=remedy)


def _refined(plan: Plan, factor: Factor) -> Iterator[str]:
    """How many finer settings each level had, and how fine."""
    done = sum(bool(one.get(factor.name)) for one in plan.refined)
    if not done:
        return
    rounds = min(done, plan.refine)
    more = say("{count} more, down to 1/{parts} of the grid's step", count=2 * rounds, parts=2**rounds)
    words = say("Around its best rate each {kind} was tried at {more}.", kind=factor.kind.words, more=more)
    if done > rounds:
        names = listed([f.name for f in plan.tuned], OR)
        words += " " + say("There it was also tried with another {names}.", names=names)
    yield words


def _by_chance(verdict: Verdict, comparisons: int) -> Iterator[str]:
    """Why some are not told apart from the best although their interval lies on one side of zero."""
    names = [
        verdict.level(e)
        for e in verdict.entries[1:]
        if e.standing == OPEN and math.isfinite(e.difference.mean) and e.difference.low * e.difference.high > 0
    ]
    if names:
        their, they = ("its", "it is") if len(names) == 1 else ("their", "they are")
        yield say(
            "{names}: looked at alone, {their} difference to the best would count; among "
            "{comparisons} comparisons such a one is likely by chance, so {they} not told apart.",
            names=listed(names),
            their=their,
            comparisons=comparisons,
            they=they,
        )


def luck(factor: Factor, verdict: Verdict) -> Iterator[str]:
    """The winner's curse of the search, and its size."""
    best = verdict.best
    if not math.isfinite(best.optimism):
        return
    name, mean = called(factor, best.setting[factor.name]), best.value.mean
    if not best.optimism:
        yield say("{name}: {mean:.4g} with fresh seeds is what the search gave too.", name=name, mean=mean)
        return
    yield say(
        "{name}: {mean:.4g} with fresh seeds is {much} {side} than the {search_value:.4g} of the "
        "search, whose {extreme} of many is partly luck; so the fresh number is the one reported.",
        name=name,
        mean=mean,
        much=f"{abs(best.optimism):.2g}",
        side=mark("higher" if best.optimism >= 0 else "lower"),
        search_value=best.search_value,
        extreme=verdict.criterion.extreme,
    )


def _untuned(plan: Plan, verdict: Verdict) -> Iterator[str]:
    """What tuning gave, and which optimizer is best without it."""
    entries, by = verdict.entries, verdict.criterion
    defaults = [(e.optimizer, e.default) for e in entries if e.default and math.isfinite(e.default.value.mean)]
    if defaults:
        optimizer, default = min(defaults, key=lambda one: by.sign * one[1].value.mean)
        yield (
            say("Untuned, {optimizer} has {value}.", optimizer=optimizer, value=default.value)
            if len(entries) == 1
            else say(
                "Untuned, at its own defaults, {optimizer} (rate {lr:.3g}, {schedule}) is the {extreme}: "
                "{value}; tuned, {tuned} has {mean:.4g}.",
                optimizer=optimizer,
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
        yield say("{names}: no default rate above 0, so tuned numbers only.", names=listed(without))


def _at_defaults(plan: Plan) -> Iterator[str]:
    """The hyperparameters that were not tuned, those of the same optimizers together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in dict.fromkeys(name for names in plan.untuned.values() for name in names):
        having = tuple(label for label in plan.optimizers if name in plan.untuned.get(label, ()))
        groups.setdefault(having, []).append(name)
    words = [
        f"{listed(names)} ({', '.join(having) if len(having) < len(plan.optimizers) else say('all')})"
        for having, names in sorted(groups.items(), key=lambda group: -len(group[0]))
    ]
    if words:
        yield say("Left at their defaults: {names}.", names=", ".join(words))


def turned(plan: Plan, factor: Factor, chosen: Sequence[Setting], verdict: Verdict) -> Iterator[str]:
    """Of which levels another setting did best with fresh seeds than in the search.

    Args:
        chosen: the setting of each level that was best in the search.
    """
    best = {entry.setting for entry in verdict.entries}
    if words := [f"{shown(s[factor.name])} {_rest(plan, factor, s)}" for s in chosen if s not in best]:
        yield say(
            "Of the settings that were run again, another one was best with fresh seeds than in the "
            "search, which had {words}; what is said allows for that pick.",
            words=listed(words),
        )


def _cross_validated(folds: Folds, confirmed: bool) -> Iterator[str]:
    """What the two kinds of loss are measured on, without a validation part."""
    yield say(
        "Validation losses are means over {count} folds, {splitter}; their intervals allow for samples that folds "
        "share.",
        count=folds.count,
        splitter=folds.code,
    )
    if confirmed:
        yield say(
            "Test numbers are of the same fresh seeds, trained again on all training and validation "
            "samples; no validation loss belongs to these last runs."
        )


def _unconfirmed(plan: Plan, factor: Factor, seeds: int) -> Iterator[str]:
    if factor.name == "lr":
        yield say("Not confirmed: rates are tuned by the search and not run again with fresh seeds, each for itself.")
        return
    complete = (
        say("{seeds} of {all} seeds are complete", seeds=seeds, all=plan.seeds)
        if seeds < plan.seeds
        else say("the search is complete")
    )
    yield say(
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
