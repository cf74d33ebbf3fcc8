"""Sections that the verdict's entries give: the answer, the rankings, tuning against defaults, and cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..plan.criterion import Criterion
from ..plan.factors import FULL, OPTIMIZER, Kind, shown, words_of
from ..plan.factors import RATE as GRID
from ..plan.plan import Plan, grid
from ..verdict.entries import Entry, Verdict
from ..verdict.words import percent
from .sections import Column, Figure, Row, Section, level

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

FEW_SEEDS = 6  # of which the worst stands for the value that 90% are better than


def answer(verdict: Verdict, plan: Plan, table: pd.DataFrame, signs: Sequence[str] = ()) -> Section:
    """The verdict in words, what is unfinished or looks like a mistake, and the key facts.

    Args:
        signs: as `verdict.sanity` says them.
    """
    search = table[table["stage"] == "search"]
    fresh = len(table) - len(search)
    unfinished = int((~table["status"].isin(["finished", "diverged", "stopped"])).sum())
    warnings = [*signs]
    if unfinished or not verdict.entries:
        warnings.append(
            f"This study is not finished. {unfinished:,} of {len(table):,} runs have not ended; what follows is from "
            "those that have, and may change."
        )
    elif not verdict.confirmed:
        warnings.append(
            "Not confirmed on fresh seeds. The same seeds chose the settings and gave the numbers, which makes them "
            "look a little better than they are; there are no test numbers."
        )
    counts = search["status"].value_counts()
    ended = f"finished, {int(counts.get('diverged', 0)):,} diverged" + (f", {unfinished:,} to go" if unfinished else "")
    ended += f", {int(counts['stopped']):,} stopped early" if "stopped" in counts else ""
    behind = "fresh seeds behind the intervals" if verdict.confirmed else "seeds behind the intervals"
    stopped = {"full": "", "halving": " that was not stopped before"}[plan.budget]
    facts = {
        f"runs: {grid(plan)}": len(search),
        f"epochs for every run{stopped}, {_batches(plan.batch_sizes)}": plan.epochs,
        **({"epochs of the confirmation": verdict.epochs} if verdict.epochs > plan.epochs else {}),
        ended: int(counts.get("finished", 0)),
        behind + (f", {fresh:,} more runs" if fresh else ""): verdict.seeds,
    }
    sentence = verdict.sentence or "No run has finished, so there is no verdict yet."
    columns = [Column("what", "What", "name"), Column("count", "Count", "count")]
    rows = [{"what": what, "count": count} for what, count in facts.items()]
    return Section("answer", "Answer", sentence, columns, rows, notes=warnings)


def _batches(sizes: tuple[int | str, ...]) -> str:
    if sizes == (0,):
        return "the loader’s own batches"
    words = ["all samples" if size == FULL else f"{size:,}" for size in sizes]
    return f"batches of {' or '.join(filter(None, [', '.join(words[:-1]), words[-1]]))}"


def ranking(verdict: Verdict, kind: Kind = OPTIMIZER) -> Section:
    """The levels of a factor, best first."""
    best = abs(verdict.entries[0].value.mean) if verdict.entries else math.nan
    rows = [
        vars(entry)
        | {"optimism": entry.optimism, "lr": (entry.lr, entry.edge), **entry.further}
        | {"regret_share": entry.regret / best if best else math.inf}
        for entry in verdict.entries
    ]
    rows[:1] = [row | {"difference": "best"} for row in rows[:1]]
    parts = _columns(verdict, kind), rows, [_figure(verdict, kind)]
    if kind is OPTIMIZER:  # its sentence is the answer
        return Section("ranking", "Ranking", "Ordered by mean.", *parts, terms=_terms(verdict))
    return Section(f"by-{kind.name}", f"Which {kind.words}", verdict.sentence, *parts, terms=_terms(verdict))


def _terms(verdict: Verdict) -> dict[str, str]:
    """The words of the table, each in a line."""
    margin, by = f"{100 * verdict.margin:g}%", verdict.criterion
    over = "seeds and samples" if verdict.samples else "seeds and folds" if verdict.folds else "seeds on this split"
    return {
        "[95% interval]": f"holds the mean over all {over} in 95% of studies; the best's allows for its having been "
        "picked as the best",
        "Not told apart": "two with a letter in common cannot be told apart, all pairs considered together",
        "May be best": "no other is reliably better than it, in tests of each other alone; the truly best is among "
        "these in 95% of studies",
        "Regret at most": "by how much its mean is worse than that of the truly best at the most, in percent of the "
        "best",
        "Against the best": f"practically the same: within {margin} of the {by.extreme} {by.metric}; worse: reliably; "
        "open: neither is shown",
        **{
            f"Validation {name}": "beneath it the letters of a ranking by it"
            for name in (verdict.entries[0].metrics if verdict.entries else ())
        },
        f"90% of seeds {_better_side(by)}": f"9 of 10 seeds have a better {by.metric}, says "
        + (f"the {verdict.seeds} seeds" if verdict.seeds > FEW_SEEDS else "the worst of these few"),
        "Chance of best": f"that its mean is truly the {by.extreme}, if the true means scatter as far as these show",
    }


def _columns(verdict: Verdict, kind: Kind) -> list[Column]:
    setting = [
        level(name, "chosen rate" if name == "lr" else "level", worth=0)
        for name in ("optimizer", "lr", "schedule", *verdict.further)
        if name != kind.name
    ]
    interval, by = "[95% interval]", verdict.criterion
    side = _better_side(by)
    change = Column("optimism", "Change from search", "change", None, "change from\nsearch", 5, page=False)
    time = Column("time", "Time per run", "duration", _time)
    return [
        level(kind.name, "chosen rate" if kind is GRID else "name", worth=0),
        *setting,
        Column("value", by.words.capitalize(), "interval", None, f"{by.words}\n{interval}", 0),
        *([change] if verdict.confirmed else []),
        Column("letters", "Not told apart", "name", None, "not told\napart", 0),
        Column("may_be_best", "May be best", "yes", None, "may be\nbest", 1),
        Column("regret_share", "Regret at most", "percent", None, "regret\nat most", 1),
        Column("standing", "Against the best", "level", None, "against\nthe best", 8),
        Column("difference", "Difference to best", "difference", None, f"behind the best\n{interval}", 7),
        Column("places", "Places", "places", page=False),
        Column("probability_best", "Chance of best", "probability", None, "chance\nof best", 3),
        Column("percentile_90", f"90% of seeds {side}", "number", None, f"90% of\nseeds {side}", 10),
        *_by_metric(verdict),
        *_tests("Test {}", verdict, 4, 2),
        *([Column("settings", "Settings tried", "count", None, "settings\ntried", 3)] if _uneven(verdict) else []),
        Column("diverged", "Diverged", "part", lambda row: (row["diverged"], row["runs"]), "diverged", 6),
        *([] if kind is OPTIMIZER else [time]),
    ]


def _better_side(by: Criterion) -> str:
    """On which side of a value the better ones lie."""
    return "above" if by.higher else "below"


def _uneven(verdict: Verdict) -> bool:
    """Whether some levels were tuned over more settings than others."""
    return len({entry.settings for entry in verdict.entries}) > 1


def _by_metric(verdict: Verdict) -> list[Column]:
    """Each metric on the validation part, with its letters."""
    names = list(verdict.entries[0].metrics) if verdict.entries else []
    return [
        Column(
            f"by {name}",
            f"Validation {name}",
            "lettered",
            lambda row, n=name: row["metrics"].get(n),
            f"validation\n{name}",
            9,
        )
        for name in names
    ]


def _tests(title: str, verdict: Verdict, loss: int, others: int) -> list[Column]:
    """A column for each metric of the test part; the loss is worth so much in a terminal, and other metrics so much."""
    metrics = list(dict.fromkeys(metric for entry in verdict.entries for metric in entry.test)) or ["loss", "accuracy"]
    return [
        Column(f"test {m}", title.format(m), "mean", lambda row, m=m: row["test"].get(m), f"test\n{m}", worth)
        for m in metrics
        for worth in [loss if m == "loss" else others]
    ]


def _figure(verdict: Verdict, kind: Kind) -> Figure:
    by = verdict.criterion
    seeds = f"{verdict.seeds} {'fresh seeds' if verdict.confirmed else 'seeds of the search'}"
    seeds += f" × {verdict.folds} folds" if verdict.folds else ""
    seeds += f" × {verdict.samples:,} samples" if verdict.samples else ""
    caption = (
        f"Dot: mean {by.words}{by.when} over {seeds}. Bar: its 95% interval. Two with a letter in common cannot be "
        f"told apart; those on the ground may be the best. {'Higher' if by.higher else 'Lower'} is better; × means "
        "that a run diverged."
    )
    if kind is not OPTIMIZER:
        caption = (
            f"Each {kind.words} at its best setting, which the table names: mean {by.words}{by.when} over "
            f"{seeds} with its 95% interval. Two with a letter in common cannot be told apart; those on the ground may "
            "be the best."
        )
    names = [verdict.level(entry) for entry in verdict.entries]
    label = f"{by.words.capitalize()} of {len(names)} {kind.many} with 95% intervals"
    label += f", from {names[0]} (best) to {names[-1]}." if names else "."

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
    interval = "[95% interval]"
    columns = [
        Column("optimizer", "Optimizer", "name", None, "at its\ndefaults", 0),
        Column("search_value", "Search", "number"),
        Column("value", "Tuned, fresh seeds", "interval"),
        Column("optimism", "Change from search", "change"),
        Column("setting", "Default", "setting"),
        level("lr", "rate", worth=0, page=False),
        *(level(name, worth=3, page=False) for name in further),
        Column("at_defaults", "At its defaults", "interval", None, f"{by.words}\n{interval}", 0),
        Column("difference", "Default − tuned", "difference", None, f"default − tuned\n{interval}", 0),
        Column("tunability", "Default worse by", "fine percent", None, "default\nworse by", 1),
        *_tests("Test {} at defaults", verdict, 2, 1),
    ]
    sentence = (
        f"Mean {by.words}{by.when} of the chosen setting in the search and with fresh seeds, and of the optimizer at "
        "its formula’s own defaults with the same fresh seeds. The last columns are from the test part, used once."
        f"{_most_tunable(verdict)}"
    )
    rows = [_beside_default(entry, further) for entry in verdict.entries]
    return Section("tuned", "Search, fresh seeds, defaults", sentence, columns, rows)


def _most_tunable(verdict: Verdict) -> str:
    """For which optimizer tuning matters most, and for which least."""
    rated = sorted((e.tunability, e.optimizer) for e in verdict.entries if not math.isnan(e.tunability))
    if len(rated) < 2 or rated[0][0] == rated[-1][0]:
        return ""
    (least, first), (most, last) = rated[0], rated[-1]
    end = f"is {percent(most)} worse" if math.isfinite(most) else "diverges"
    return f" Tuning matters most for {last}, which {end} at its defaults, and least for {first} ({percent(least)})."


def _beside_default(entry: Entry, further: Sequence[str]) -> Row:
    names = ("optimizer", "search_value", "value", "optimism")
    row = {name: getattr(entry, name) for name in names} | {"test": {}}
    row |= {} if math.isnan(entry.tunability) else {"tunability": entry.tunability}
    default = entry.default
    if default is None:
        return row
    levels = {name: default.further[name] for name in further}
    words = [f"{words_of(name)} {shown(value)}" for name, value in levels.items() if value is not None]
    lost = math.isinf(default.difference.mean) and math.isinf(entry.value.mean)
    return row | {
        **levels,
        "lr": default.lr,
        "setting": (default.lr, [default.schedule, *words]),
        "at_defaults": default.value,
        "difference": "chosen" if default.chosen else "tuned diverges" if lost else default.difference,
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
    sentence = (
        "Time per step of one run, and of all its steps, measured while runs were trained together in batched "
        "programs; memory that the optimizer keeps for each weight, in float32. Each at its chosen setting."
    )
    return Section("cost", "Cost", sentence, columns, [vars(entry) for entry in verdict.entries])


def _time(row: Row) -> float | None:
    """All steps of one run, its share of the batched program."""
    seconds = row["seconds_per_step"] * row["steps"]
    return seconds if row["steps"] and math.isfinite(seconds) else None
