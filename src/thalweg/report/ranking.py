"""Sections that the verdict's entries give: the answer, the rankings, tuning against defaults, and cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..language import mark, say
from ..plan.factors import FULL, OPTIMIZER, Kind, shown, words_of
from ..plan.factors import RATE as GRID
from ..plan.plan import Plan, grid
from ..verdict.entries import Entry, Verdict
from ..verdict.words import OR, listed, percent
from .sections import Column, Figure, Row, Section, level

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def answer(verdict: Verdict, plan: Plan, table: pd.DataFrame) -> Section:
    """The verdict in words, what is unfinished or looks like a mistake, and the key facts."""
    search = table[table["stage"] == "search"]
    fresh = len(table) - len(search)
    unfinished = int((~table["status"].isin(["finished", "diverged", "stopped"])).sum())
    warnings = [*verdict.signs]
    if unfinished or not verdict.entries:
        warnings.append(
            say(
                "This study is not finished. {unfinished:,} of {all:,} runs have not ended; what "
                "follows is from those that have, and may change.",
                unfinished=unfinished,
                all=len(table),
            )
        )
    elif not verdict.confirmed:
        warnings.append(
            say(
                "Not confirmed on fresh seeds. The same seeds chose the settings and gave the numbers, "
                "which makes them look a little better than they are; there are no test numbers."
            )
        )
    counts = search["status"].value_counts()
    ended = say("finished, {lost:,} diverged", lost=int(counts.get("diverged", 0))) + (
        say(", {unfinished:,} to go", unfinished=unfinished) if unfinished else ""
    )
    ended += say(", {count:,} stopped early", count=int(counts["stopped"])) if "stopped" in counts else ""
    behind = say("fresh seeds behind the intervals") if verdict.confirmed else say("seeds behind the intervals")
    stopped = {"full": "", "halving": say(" that was not stopped before")}[plan.budget]
    facts = {
        say("runs: {grid}", grid=grid(plan)): len(search),
        say(
            "epochs for every run{stopped}, {batches}", stopped=stopped, batches=_batches(plan.batch_sizes)
        ): plan.epochs,
        **({say("epochs of the confirmation"): verdict.epochs} if verdict.epochs > plan.epochs else {}),
        ended: int(counts.get("finished", 0)),
        behind + (say(", {fresh:,} more runs", fresh=fresh) if fresh else ""): verdict.seeds,
    }
    sentence = verdict.sentence or say("No run has finished, so there is no verdict yet.")
    columns = [Column("what", "What", "name"), Column("count", "Count", "count")]
    rows = [{"what": what, "count": count} for what, count in facts.items()]
    return Section("answer", say("Answer"), sentence, columns, rows, notes=warnings)


def _batches(sizes: tuple[int | str, ...]) -> str:
    if sizes == (0,):
        return say("the loader’s own batches")
    words = [say("all samples") if size == FULL else f"{size:,}" for size in sizes]
    return say("batches of {sizes}", sizes=listed(words, OR))


def ranking(verdict: Verdict, kind: Kind = OPTIMIZER) -> Section:
    """The levels of a factor, best first."""
    rows = [
        vars(entry)
        | {"optimism": entry.optimism, "lr": (entry.lr, entry.edge), **entry.further}
        | {"regret_share": verdict.regret_share(entry)}
        for entry in verdict.entries
    ]
    rows[:1] = [row | {"difference": mark("best")} for row in rows[:1]]
    parts = _columns(verdict, kind), rows, [_figure(verdict, kind)]
    if kind is OPTIMIZER:  # its sentence is the answer
        return Section("ranking", say("Ranking"), say("Ordered by mean."), *parts, terms=verdict.terms)
    return Section(
        f"by-{kind.name}", say("Which {kind}", kind=kind.words), verdict.sentence, *parts, terms=verdict.terms
    )


def _columns(verdict: Verdict, kind: Kind) -> list[Column]:
    setting = [
        level(name, "chosen rate" if name == "lr" else "level", worth=0)
        for name in ("optimizer", "lr", "schedule", *verdict.further)
        if name != kind.name
    ]
    interval, by = say("[95% interval]"), verdict.criterion
    side = mark("above") if by.higher else mark("below")  # of a value, where the better ones lie
    change = Column("optimism", "Change from search", "change", None, "change from\nsearch", 5, page=False)
    behind, seeds = say("behind the best\n{interval}", interval=interval), say("90% of\nseeds {side}", side=side)
    evidence = [
        Column("value", by.words.capitalize(), "interval", None, f"{by.words}\n{interval}", 0),
        *([change] if verdict.confirmed else []),
        Column("letters", "Not told apart", "name", None, "not told\napart", 0),
        Column("may_be_best", "May be best", "yes", None, "may be\nbest", 1),
        Column("regret_share", "Regret at most", "percent", None, "regret\nat most", 1),
        Column("standing", "Against the best", "level", None, "against\nthe best", 8),
        Column("difference", "Difference to best", "difference", None, behind, 7),
        Column("probability_best", "Chance of best", "probability", None, "chance\nof best", 3),
        Column("percentile_90", say("90% of seeds {side}", side=side), "number", None, seeds, 10),
        *_by_metric(verdict),
        *_tests(mark("Test {metric}"), verdict, 4, 2),
        *([Column("settings", "Settings tried", "count", None, "settings\ntried", 3)] if _uneven(verdict) else []),
        Column("diverged", "Diverged", "part", lambda row: (row["diverged"], row["runs"]), "diverged", 6),
        *([] if kind is OPTIMIZER else [Column("time", "Time per run", "duration", _time)]),
    ]
    named = [replace(column, means=verdict.meanings[column.name.split()[0]]) for column in evidence]
    return [level(kind.name, "chosen rate" if kind is GRID else "name", worth=0), *setting, *named]


def _uneven(verdict: Verdict) -> bool:
    """Whether some levels were tuned over more settings than others."""
    return len({entry.settings for entry in verdict.entries}) > 1


def _by_metric(verdict: Verdict) -> list[Column]:
    """Each metric on the validation part, with its letters."""
    names = list(verdict.entries[0].metrics) if verdict.entries else []
    return [
        Column(
            f"metrics {name}",
            say("Validation {name}", name=mark(name)),
            "lettered",
            lambda row, n=name: row["metrics"].get(n),
            say("validation\n{name}", name=mark(name)),
            9,
        )
        for name in names
    ]


def _tests(title: str, verdict: Verdict, loss: int, others: int) -> list[Column]:
    """A column for each metric of the test part; the loss is worth so much in a terminal, and other metrics so much."""
    metrics = list(dict.fromkeys(metric for entry in verdict.entries for metric in entry.test)) or ["loss", "accuracy"]
    return [
        Column(
            f"test {m}",
            say(title, metric=mark(m)),
            "mean",
            lambda row, m=m: row["test"].get(m),
            say("test\n{metric}", metric=mark(m)),
            worth,
        )
        for m in metrics
        for worth in [loss if m == "loss" else others]
    ]


def _figure(verdict: Verdict, kind: Kind) -> Figure:
    by = verdict.criterion
    behind = mark("fresh seeds") if verdict.confirmed else mark("seeds of the search")
    seeds = say("{count} {what}", count=verdict.seeds, what=behind)
    seeds += say(" × {folds} folds", folds=verdict.folds) if verdict.folds else ""
    seeds += say(" × {samples:,} samples", samples=verdict.samples) if verdict.samples else ""
    caption = say(
        "Dot: mean {measure}{when} over {seeds}. Bar: its 95% interval. Two with a letter in "
        "common cannot be told apart; those on the ground may be the best. {side} is better; × "
        "means that a run diverged.",
        measure=by.words,
        when=by.when,
        seeds=seeds,
        side=mark("Higher" if by.higher else "Lower"),
    )
    if kind is not OPTIMIZER:
        caption = say(
            "Each {kind} at its best setting, which the table names: mean {measure}{when} over "
            "{seeds} with its 95% interval. Two with a letter in common cannot be told apart; those "
            "on the ground may be the best.",
            kind=kind.words,
            measure=by.words,
            when=by.when,
            seeds=seeds,
        )
    names = [verdict.level(entry) for entry in verdict.entries]
    label = say(
        "{measure} of {count} {many} with 95% intervals",
        measure=by.words.capitalize(),
        count=len(names),
        many=kind.many,
    )
    label += say(", from {first} (best) to {last}.", first=names[0], last=names[-1]) if names else "."

    def draw(narrow: bool) -> go.Figure:
        from ..pictures.ranking import ranking

        dots = [
            {"name": name, "letters": entry.letters, "ground": entry.may_be_best, **vars(entry.value)}
            for name, entry in zip(names, verdict.entries, strict=True)
        ]
        return ranking(dots, measure=by.words, compact=narrow, coloured=kind is OPTIMIZER)

    return Figure(draw, label, caption)


def tuned(verdict: Verdict) -> Section:
    """What the search found, what fresh seeds give, and what the optimizer gives without any tuning."""
    defaults = [entry.default for entry in verdict.entries if entry.default is not None]
    further, by = verdict.further if defaults else [], verdict.criterion
    interval = say("[95% interval]")
    columns = [
        Column("optimizer", "Optimizer", "name", None, "at its\ndefaults", 0),
        Column("search_value", "Search", "number"),
        Column("value", "Tuned, fresh seeds", "interval"),
        Column("optimism", "Change from search", "change"),
        Column("setting", "Default", "setting"),
        level("lr", "rate", worth=0, page=False),
        *(level(name, worth=3, page=False) for name in further),
        Column("at_defaults", "At its defaults", "interval", None, f"{by.words}\n{interval}", 0),
        Column(
            "difference",
            "Default − tuned",
            "difference",
            None,
            say("default − tuned\n{interval}", interval=interval),
            0,
        ),
        Column("tunability", "Default worse by", "fine percent", None, "default\nworse by", 1),
        *_tests(mark("Test {metric} at defaults"), verdict, 2, 1),
    ]
    sentence = say(
        "Mean {measure}{when} of the chosen setting in the search and with fresh seeds, and of the "
        "optimizer at its formula’s own defaults with the same fresh seeds. The last columns are "
        "from the test part, used once.{most}",
        measure=by.words,
        when=by.when,
        most=_most_tunable(verdict),
    )
    rows = [_beside_default(entry, further) for entry in verdict.entries]
    return Section("tuned", say("Search, fresh seeds, defaults"), sentence, columns, rows)


def _most_tunable(verdict: Verdict) -> str:
    """For which optimizer tuning matters most, and for which least."""
    rated = sorted((e.tunability, e.optimizer) for e in verdict.entries if not math.isnan(e.tunability))
    if len(rated) < 2 or rated[0][0] == rated[-1][0]:
        return ""
    (least, first), (most, last) = rated[0], rated[-1]
    end = say("is {most} worse", most=percent(most)) if math.isfinite(most) else say("diverges")
    return say(
        " Tuning matters most for {last}, which {end} at its defaults, and least for {first} ({least}).",
        last=last,
        end=end,
        first=first,
        least=percent(least),
    )


def _beside_default(entry: Entry, further: Sequence[str]) -> Row:
    names = ("optimizer", "search_value", "value", "optimism")
    row = {name: getattr(entry, name) for name in names} | {"test": {}}
    row |= {} if math.isnan(entry.tunability) else {"tunability": entry.tunability}
    default = entry.default
    if default is None:
        return row
    levels = {name: default.further[name] for name in further}
    words = [f"{say(words_of(name))} {shown(value)}" for name, value in levels.items() if value is not None]
    lost = math.isinf(default.difference.mean) and math.isinf(entry.value.mean)
    return row | {
        **levels,
        "lr": default.lr,
        "setting": (default.lr, [default.schedule, *words]),
        "at_defaults": default.value,
        "difference": mark("chosen") if default.chosen else mark("tuned diverges") if lost else default.difference,
        "test": default.test,
    }


def cost(verdict: Verdict) -> Section:
    """What a step costs, and a run, in time and memory."""
    fastest = min((e.seconds_per_step for e in verdict.entries if e.seconds_per_step > 0), default=math.nan)
    columns = [
        Column("optimizer", "Optimizer", "name"),
        Column("seconds_per_step", "Time per step", "duration"),
        Column("ratio", "Against fastest", "ratio", lambda row: row["seconds_per_step"] / fastest),
        Column("time", "Time per run", "duration", _time),
        Column("state_bytes_per_weight", "Bytes per weight", "short"),
    ]
    sentence = say(
        "Time per step of one run, and of all its steps, measured while runs were trained "
        "together in batched programs; memory that the optimizer keeps for each weight, in "
        "float32. Each at its chosen setting."
    )
    return Section("cost", say("Cost"), sentence, columns, [vars(entry) for entry in verdict.entries])


def _time(row: Row) -> float | None:
    """All steps of one run, its share of the batched program."""
    seconds = row["seconds_per_step"] * row["steps"]
    return seconds if row["steps"] and math.isfinite(seconds) else None
