"""What a verdict says in words: the answer in a sentence, and notes on what to beware of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..plan.factors import Factor, Level, Setting, shown
from ..plan.folds import Folds
from ..plan.plan import Plan
from ..population.member import RUINED
from .comparisons import MOST_SEEDS, badness, rank
from .entries import Entry

_BUDGETS = {
    "batch_size": "Every batch size had the same number of epochs, so smaller batches took more steps.",
    "loss": "Runs trained with the loss of their setting; validation and test are judged by the problem's own.",
}


def sentence(plan: Plan, factor: Factor, name: str, entries: Sequence[Entry], seeds: int, confirmed: bool) -> str:
    """The answer: which level is best, or which cannot be told apart, and with what loss."""
    best = entries[0]
    if not math.isfinite(best.validation_loss.mean):
        return f"No {factor.kind.words} trained {name} without diverging; try lower rates."
    kind = "fresh seeds" if confirmed else "seeds"
    over = f"over {seeds} {kind}" if seeds > 1 else f"over one {kind.rstrip('s')}"
    over += f" × {plan.folds.count} folds" if plan.folds else ""
    at = rest(plan, factor, best.setting)
    loss = (
        f"validation loss {best.validation_loss}"
        if math.isfinite(best.validation_loss.high)
        else f"validation loss {best.validation_loss.mean:.4g}"
    )
    levels = [e.setting[factor.name] for e in entries if e.rank == 1]
    first = called(factor, levels[0])
    if seeds < 2 and not plan.folds and len(entries) > 1:
        return f"{first} ({at}) has the lowest {loss} on {name}, but one seed cannot tell {factor.kind.many} apart."
    if len(levels) == 1:
        alone = " and no other comes level" if len(entries) > 1 else ""
        return f"{first} ({at}) is best on {name}: {loss} {over}{alone}."
    several = "" if factor.name == "optimizer" else f"{_capital(factor, factor.kind.many)} "
    return (
        f"{several}{listed([*map(shown, levels)])} cannot be told apart on {name}: a tie. "
        f"{first} ({at}) has the lowest {loss} {over}, and a {best.probability_best:.0%} chance of being the best."
    )


def notes(
    plan: Plan, factor: Factor, entries: Sequence[Entry], confirmed: bool, seeds: int, comparisons: int
) -> list[str]:
    """What to beware of, and what would help."""
    words = []
    for entry in entries:
        if entry.edge and factor.name != "lr":
            side = "higher" if entry.edge == "highest" else "lower"
            words.append(
                f"{called(factor, entry.setting[factor.name])}: its best rate {entry.lr:.3g} is the {entry.edge} "
                f"tried; a {side} one may be better."
            )
    words += _grown(plan)
    lost = sum(e.diverged for e in entries)
    if lost:
        words.append(
            f"{lost} of {sum(e.runs for e in entries)} runs diverged (their loss is not finite, or ended above "
            f"{RUINED:.0f} times that of the untrained weights) and count as infinitely bad."
        )
    words += _lost(plan, factor, entries, confirmed, seeds)
    halted = sum(e.stopped for e in entries)
    if halted:
        words.append(
            f"{halted} of {sum(e.runs for e in entries)} runs were stopped early: after some of the epochs, others "
            "that share all but their rate and hyperparameters were ahead of them."
        )
    words += _open(factor, entries) + _by_chance(factor, entries, comparisons)
    words += [_BUDGETS[f.name] for f in plan.further if f.name in _BUDGETS]
    words += _cross_validated(plan.folds, confirmed) if plan.folds is not None else []
    words.append(_luck(factor, entries[0]) if confirmed else _unconfirmed(plan, factor, seeds))
    words += _untuned(plan, entries) if confirmed and factor.name == "optimizer" else []
    return [*filter(None, words)]


def _lost(plan: Plan, factor: Factor, entries: Sequence[Entry], confirmed: bool, seeds: int) -> list[str]:
    """Levels whose chosen setting diverged on some of the runs that it is judged by."""
    runs, kind = seeds * len(plan.search_folds), "fresh runs" if confirmed else "runs"
    return [
        f"{called(factor, e.setting[factor.name])} diverged on {e.lost} of the {runs} {kind} of its chosen setting, so "
        "its mean is infinite" + (f"; that of the others is {e.mean_of_rest:.4g}." if e.lost < runs else ".")
        for e in entries
        if e.lost
    ]


def _grown(plan: Plan) -> list[str]:
    """By how much the grid grew, and in which direction."""
    if not plan.grown:
        return []
    low, high = plan.asked[0], plan.asked[-1]
    below, above = [r for r in plan.rates if r < low], [r for r in plan.rates if r > high]
    words = [f"{len(below)} below {low:.3g}, down to {below[0]:.3g}"] if below else []
    words += [f"{len(above)} above {high:.3g}, up to {above[-1]:.3g}"] if above else []
    return [
        (
            f"A best rate lay on the edge of the grid asked for, so it grew for all alike: by {' and '.join(words)} "
            f"(at most {plan.grow} on each side)."
        )
    ]


def _open(factor: Factor, entries: Sequence[Entry]) -> list[str]:
    """How many more seeds would settle which is the best."""
    several = [e for e in entries[1:] if e.more_seeds]
    if not several:
        return []
    best = factor.called(entries[0].setting[factor.name])
    others = [shown(e.setting[factor.name]) for e in several]
    within = [
        f"from {name} about {e.more_seeds:.0f}"
        for name, e in zip(others, several, strict=True)
        if math.isfinite(e.more_seeds)
    ]
    beyond = [name for name, e in zip(others, several, strict=True) if not math.isfinite(e.more_seeds)]
    if beyond:
        within.append(f"from {listed(beyond)} more than {MOST_SEEDS:,}, which is not worth it")
    return [f"More seeds that would tell {best} apart, if the differences stay as they are: {', '.join(within)}."]


def _by_chance(factor: Factor, entries: Sequence[Entry], comparisons: int) -> list[str]:
    """Why some are tied although their interval lies on one side of zero."""
    names = [shown(e.setting[factor.name]) for e in entries[1:] if e.rank == 1 and 0 < e.difference.low < math.inf]
    if not names:
        return []
    their, they = ("its", "it is") if len(names) == 1 else ("their", "they are")
    return [
        (
            f"{listed(names)}: looked at alone, {their} difference to the best would count; among {comparisons} "
            f"comparisons such a one is likely by chance, so {they} tied."
        )
    ]


def _luck(factor: Factor, best: Entry) -> str:
    """The winner's curse of the search, and its size."""
    if not math.isfinite(best.optimism):
        return ""
    name, much = called(factor, best.setting[factor.name]), f"{abs(best.optimism):.2g}"
    side = "higher" if best.optimism >= 0 else "lower"
    return (
        f"{name}: {best.validation_loss.mean:.4g} with fresh seeds is {much} {side} than the {best.search_loss:.4g} "
        "of the search, whose lowest of many is partly luck; so the fresh number is the one reported."
    )


def _untuned(plan: Plan, entries: Sequence[Entry]) -> list[str]:
    """What tuning gave, and which optimizer is best without it."""
    words = []
    if len(with_default := [e for e in entries if e.default and math.isfinite(e.default.validation_loss.mean)]):
        best = min(with_default, key=lambda e: e.default.validation_loss.mean if e.default else math.inf)
        default = best.default
        assert default is not None
        words.append(
            f"Untuned, at its own defaults, {best.optimizer} (rate {default.lr:.3g}, {default.schedule}) is the "
            f"lowest: {default.validation_loss}; tuned, {entries[0].optimizer} has "
            f"{entries[0].validation_loss.mean:.4g}."
        )
    without = [e.optimizer for e in entries if plan.default(e.setting) is None]
    if plan.defaults and without:
        words.append(f"{listed(without)}: no default rate above 0, so tuned numbers only.")
    return words


def passed_over(
    plan: Plan, factor: Factor, best: Setting, settings: Sequence[Setting], values: np.ndarray
) -> list[str]:
    """What the fresh seeds say against the choice of the search: another setting that did reliably better.

    It stays unchosen, because the numbers of the one that did best there would be too good.

    Args:
        settings, values: all that were confirmed, and their losses (settings, seeds, folds).
    """
    at = settings.index(best)
    first = min(range(len(settings)), key=lambda k: (*badness(values[k]), k))
    _, ranked = rank(np.moveaxis(values[[at, first]], 0, -1), overlap=plan.overlap)
    if first == at or ranked.rank[0] == 1:
        return []
    other, loss = settings[first], f"{ranked.mean[1].mean:.4g}"
    return [
        (
            f"{called(factor, other[factor.name])} ({rest(plan, factor, other)}) did better with fresh seeds ({loss}) "
            "than the best above, but not in the search, by which settings are chosen; more seeds would choose "
            "more surely."
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


def rest(plan: Plan, factor: Factor, setting: Setting) -> str:
    """The setting apart from the factor that is ranked."""
    words = {
        "optimizer": setting.optimizer,
        "lr": f"rate {setting.lr:.3g}",
        "schedule": setting.schedule,
        **{f.name: f.called(setting[f.name]) for f in plan.further if setting[f.name] is not None},
    }
    return ", ".join(text for name, text in words.items() if name != factor.name)


def called(factor: Factor, level: Level) -> str:
    """A level at the beginning of a sentence."""
    return _capital(factor, factor.called(level))


def _capital(factor: Factor, text: str) -> str:
    """Names of optimizers and hyperparameters are left as they are written."""
    name = factor.name == "optimizer" or (factor.only is not None and text.startswith(factor.name))
    return text if name else text[0].upper() + text[1:]


def listed(names: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def one_by_one(batching: Mapping[str, Any]) -> list[str]:
    """Why members were trained one by one, or run slower than they could; empty if neither holds.

    Args:
        batching: what the store holds of it.
    """
    reasons = dict.fromkeys(one[0] for one in batching.get("reasons", ()) if one)
    return [*(f"Members were trained one by one, {why}." for why in reasons), *batching.get("notes", ())]
