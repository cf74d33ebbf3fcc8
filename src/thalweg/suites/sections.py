"""What a suite shows, in order: each part computed once, for page, terminal and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..language import mark, say
from ..pictures.numbers import number
from ..plan.factors import Setting, shown, words_of
from ..report.sections import Column, Figure, Row, Section
from ..results import Results
from . import profiles
from .ranks import SIGNIFICANCE
from .sentences import FEW
from .standings import geometric
from .verdict import SuiteVerdict

if TYPE_CHECKING:
    import plotly.graph_objects as go

METHOD = mark("""\
Each problem has a study of its own, with the same optimizers: settings are chosen by the search’s seeds, and what is
compared here, {cost}, is a mean over the study’s fresh seeds. The report of each study says how sure it is on its
problem.

Problems are the replicates. Intervals and tests say how far other problems like these would move a number; each problem
counts once, with one number for each optimizer, however many seeds that is a mean of. So more seeds cannot make up
for few problems, and what “problems like these” are is decided by who chose them.""")


def contents(verdict: SuiteVerdict, studies: Mapping[str, Results]) -> list[Section]:
    """The answer first."""
    return [
        answer(verdict, studies),
        standings(verdict),
        ranks(verdict),
        ratios(verdict),
        *([profile(verdict)] if len(verdict.ratios) else []),
        times(verdict),
        shared(verdict),
        problems(studies),
        *([Section("notes", say("Notes"), notes=verdict.notes)] if verdict.notes else []),
        Section("method", say("How to read this"), say(METHOD, cost=verdict.measure.words)),
    ]


def answer(verdict: SuiteVerdict, studies: Mapping[str, Results]) -> Section:
    """The verdict in words, whether problems are missing, and the key facts."""
    seeds = sorted({study.verdict.seeds for study in studies.values()})
    facts = {
        say("problems, which are the replicates"): len(studies),
        "optimizers": len(verdict.standings),
        say("runs in all studies"): sum(len(study.table()) for study in studies.values()),
        say("seeds behind each number") + say(", at least") * (len(seeds) > 1): seeds[0],
    }
    columns = [Column("what", "What", "name"), Column("count", "Count", "count")]
    rows = [{"what": what, "count": count} for what, count in facts.items()]
    missing = verdict.notes[:1] if len(studies) < FEW else ()
    return Section("answer", say("Answer"), verdict.sentence, columns, rows, notes=missing)


def standings(verdict: SuiteVerdict) -> Section:
    """One row per optimizer, the best average rank first."""
    count = len(verdict.problems)
    interval, cost, capital = say("[95% interval]"), verdict.measure.words, verdict.measure.capital
    columns = [
        Column("optimizer", "Optimizer", "name", None, "optimizer", 0),
        Column("average_rank", "Average rank", "number", None, "average\nrank", 0),
        Column(
            "ratio",
            say("{cost} over the lowest", cost=capital),
            "interval",
            None,
            say("{cost} over the lowest\n{interval}", cost=cost, interval=interval),
            1,
        ),
        Column("best_on", "Best on", "part", lambda row: (row["best_on"], count), "best\non", 3),
        Column("score", "Score by steps", "interval", None, say("score by steps\n{interval}", interval=interval), 2),
        Column("score_seconds", "Score by time", "number", None, "score\nby time", 4),
        Column("apart", "Told apart from the best", "fact", _apart, "told\napart", 5),
    ]
    sentence = say(
        "Average rank: 1 is the lowest {cost} on a problem, ties share the mean of their ranks. "
        "{capital} over the lowest: geometric mean over problems of an optimizer’s {cost} over the "
        "lowest of all there; 1.1 is 10% more. Best on: problems on which its {cost} is the "
        "lowest. Score: how soon its validation loss reaches each problem’s target, 1 for the fastest everywhere, "
        "0 for one that always needs four times as long or never gets there; time is that of one "
        "run, measured in batched programs. Told apart: whether its average rank is reliably "
        "worse than the best. Intervals are over problems.",
        cost=cost,
        capital=capital,
    )
    return Section("standings", say("Standings"), sentence, columns, [vars(one) for one in verdict.standings])


def _apart(row: Row) -> str:
    return "yes" if row["apart"] else "no"


def ranks(verdict: SuiteVerdict) -> Section:
    """Whether average ranks differ by more than chance: the critical-difference diagram."""
    ranked = verdict.ranks
    several = len(ranked.mean) > 2
    test = say("Friedman’s test") if several else say("The sign test")
    sentence = say(
        "{test} asks how often optimizers that are alike would rank this differently by chance: p = {p:.2g}. ",
        test=test,
        p=ranked.p,
    )
    level = f"{SIGNIFICANCE:.0%}"
    if ranked.differ and several:
        sentence += say(
            "That is below {level}, so pairs are compared: two optimizers are told apart if their "
            "average ranks are at least {critical_difference:.3g} apart (Nemenyi’s critical "
            "difference at {level}).",
            level=level,
            critical_difference=ranked.critical_difference,
        )
    elif not ranked.differ:
        sentence += say("That is not below {level}, so no pair is told apart.", level=level)
    caption = say(
        "Each optimizer at its average rank over the problems, the best on the left. A thick bar "
        "joins optimizers that are not told apart; the thin line on top is as long as the "
        "critical difference."
    )
    label = say(
        "Average ranks of {count} optimizers, and bars that join those that are not told apart.", count=len(ranked.mean)
    )

    def draw(narrow: bool) -> go.Figure:
        from ..pictures.critical_difference import critical_difference

        means = {str(name): float(rank) for name, rank in ranked.mean.items()}
        return critical_difference(means, ranked.groups, ranked.critical_difference, compact=narrow)

    return Section("ranks", say("Average ranks"), sentence, figures=[Figure(draw, label, caption)])


def ratios(verdict: SuiteVerdict) -> Section:
    """One row per problem: the lowest loss, and each optimizer's over it."""
    lowest, cost = verdict.losses.min(axis=1), verdict.measure.words
    brief = say("lowest\n{cost}", cost=cost)
    columns = [
        Column("problem", "Problem", "name", None, "problem", 0),
        Column("lowest", say("Lowest {cost}", cost=cost), "number", None, brief, 1),
        *(Column(name, name, "number", None, name, 2 + place) for place, name in enumerate(verdict.optimizers)),
    ]
    rows = [
        {"problem": name, "lowest": low, **(verdict.ratios.loc[name].to_dict() if name in verdict.ratios.index else {})}
        for name, low in lowest.items()
    ]
    sentence = say(
        "Mean {cost} of each optimizer’s chosen setting on the validation part, over the lowest of all on that "
        "problem: 1 is the best, 1.1 has 10% more, and ∞ diverged. A dash: not every {cost} there is above 0, so "
        "there is no ratio.",
        cost=cost,
    )
    return Section("ratios", say("Problem by problem"), sentence, columns, rows)


def profile(verdict: SuiteVerdict) -> Section:
    """The share of problems on which an optimizer is within a factor of the lowest."""
    cost = verdict.measure.words
    tables = {name: profiles.profile(verdict.ratios[name]) for name in verdict.optimizers}
    finite = verdict.ratios.to_numpy()[np.isfinite(verdict.ratios.to_numpy())]
    caption = say(
        "One panel per optimizer: for each factor on the axis, the share of problems on which "
        "its {cost} is at most so many times the lowest (a performance profile after Dolan and "
        "Moré). The left end is how often it is the best; a line that stays below 100% diverged "
        "somewhere. Band: its 95% interval over problems, from low to high.",
        cost=cost,
    )
    title = say("Within a factor of the lowest {cost}", cost=cost)
    return _profile("profile", title, caption, tables, max(1.05, *finite) * 1.02, cost)


def times(verdict: SuiteVerdict) -> Section:
    """How soon optimizers reach the target of each problem, and the profile that the score is the area under."""
    tables = {name: profiles.profile(column) for name, column in profiles.to_best(verdict.steps).items()}
    caption = say(
        "One panel per optimizer: the share of problems on which it reaches the target in at "
        "most so many times the steps of the fastest. The area under a line from 1 to 4, divided "
        "by 3, is its score (that of the AlgoPerf benchmark); one that does not reach the target "
        "takes infinitely long. Band: its 95% interval over problems, from low to high."
    )
    figure = _profile("times", "", caption, {str(k): v for k, v in tables.items()}, profiles.TAU, "steps").figures
    columns = [
        Column("problem", "Problem", "name"),
        Column("target", "Target", "number"),
        *(Column(name, name, "short") for name in verdict.optimizers),
    ]
    rows = [
        {"problem": name, "target": verdict.targets.get(str(name)), **row.to_dict()}
        for name, row in verdict.steps.iterrows()
    ]
    sentence = say(
        "Target: the validation loss that the best setting of a problem ends with, the median "
        "over its seeds. Numbers: the median of steps over seeds until a run reaches it, ∞ where "
        "half of the runs do not."
    )
    return Section("times", say("Time to target"), sentence, columns, rows, figure)


def _profile(
    name: str, title: str, caption: str, tables: Mapping[str, pd.DataFrame], end: float, across: str
) -> Section:
    """A profile whose numbers are folded into its figure."""

    def draw(narrow: bool) -> go.Figure:
        from ..pictures.profiles import profiles as picture

        stairs = {name: [*table.itertuples(index=False, name=None)] for name, table in tables.items()}
        return picture(stairs, end, across=across, columns=2 if narrow else 4, compact=narrow)

    columns = [
        Column("optimizer", "Optimizer", "level"),
        Column("tau", "Factor", "number"),
        Column("share", "Share of problems", "percent"),
        Column("low", "Low", "percent"),
        Column("high", "High", "percent"),
    ]
    rows = [{"optimizer": one, **row} for one, table in tables.items() for row in table.to_dict("records")]
    label = say(
        "Share of problems within a factor of the best in {across}, for {count} optimizers.",
        across=mark(across),
        count=len(tables),
    )
    return Section(name, title, "", columns, rows, [Figure(draw, label, caption)], folded=True)


def shared(verdict: SuiteVerdict) -> Section:
    """What one setting for all problems costs on a problem that had no part in its choice."""
    title, words = say("One setting for all"), verdict.measure.words
    if not verdict.shared or verdict.setting is None:
        return Section("shared", title, say("No setting was tried on two problems with {cost} above 0.", cost=words))
    regrets = np.array([one.regret for one in verdict.shared])
    mean = geometric(regrets).mean
    cost = (
        say("{mean} times the {words} of tuning there", mean=number(mean, 3), words=words)
        if math.isfinite(mean)
        else say("a run that diverges")
    )
    sentence = say(
        "A setting that suits the other problems costs {cost} (geometric mean over {count} "
        "problems): for each problem, the setting (optimizer, rate and all else) with the lowest "
        "{words} on the others is taken to it; the ratio is its {words} over the lowest there. Over "
        "all problems that setting is {setting}. Numbers are the search’s, so those of tuning are "
        "partly luck.",
        words=words,
        cost=cost,
        count=len(regrets),
        setting=described(verdict.setting),
    )
    columns = [
        Column("problem", "Problem left out", "name", None, "problem\nleft out", 0),
        Column("words", "Best on the others", "level", None, "best on the others", 0),
        Column("loss", say("Its {cost}", cost=words), "number", None, say("its\n{cost}", cost=words), 2),
        Column("tuned", say("Lowest {cost} there", cost=words), "number", None, "lowest\nthere", 3),
        Column("regret", "Ratio", "number", None, "ratio", 1),
    ]
    rows = [vars(one) | {"words": described(one.setting)} for one in verdict.shared]
    return Section("shared", title, sentence, columns, rows)


def described(setting: Setting) -> str:
    """A setting in words.

    >>> described(Setting("adam", 0.01, "cosine", (("batch_size", 16), ("beta2", None))))
    'adam, rate 0.01, cosine, batch size 16'
    """
    further = (f"{say(words_of(name))} {shown(level)}" for name, level in setting.further if level is not None)
    return ", ".join([setting.optimizer, say("rate {lr:.4g}", lr=setting.lr), setting.schedule, *further])


def problems(studies: Mapping[str, Results]) -> Section:
    """Each study's answer, and its store."""
    columns = [
        Column("problem", "Problem", "name"),
        Column("sentence", "Its study’s answer", "fact"),
        Column("store", "Store", "fact"),
    ]
    rows = [
        {"problem": name, "sentence": study.verdict.sentence, "store": str(study.path)}
        for name, study in studies.items()
    ]
    return Section(
        "problems", say("The studies"), say("Each has a report of its own: `thalweg report STORE`."), columns, rows
    )
