"""Sections that the runs themselves give: loss against rate, sensitivity, time to target, curves, generalization."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..language import mark, say
from ..pictures.numbers import number
from ..plan.factors import words_of
from ..plan.folds import averaged
from ..plan.plan import Plan
from ..verdict import sensitivity as valleys
from ..verdict.entries import Verdict
from ..verdict.generalization import Generalization
from ..verdict.losses import having, matching, points, recorded
from ..verdict.targets import race
from ..verdict.words import listed
from .sections import Column, Figure, Row, Section

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

_SPREAD = [Column("mean", "Mean", "number"), Column("low", "Smallest", "number"), Column("high", "Largest", "number")]
_ENDS = ("median", "low", "high")
_SEEDS = Column("seeds", "Seeds", "count")


def rates(plan: Plan, verdict: Verdict, table: pd.DataFrame) -> Section:
    """The search: the mean of what judges at each rate, for each optimizer and schedule."""
    from ..pictures.rates import rate_table
    from ..pictures.rates import rates as picture

    table, by = averaged(table) if verdict.folds else table, verdict.criterion
    chosen = {entry.optimizer: (entry.lr, entry.schedule) for entry in verdict.entries}
    search = table[table["stage"] == "search"]
    names = [name for name in verdict.entries[0].further if name not in plan.drawn]
    further = [words_of(name) for name in names if not plan[name].usual]
    if names:
        settings = [plan.on_grid(entry.setting) for entry in verdict.entries]
        levels = ({"optimizer": one.optimizer, **{name: one[name] for name in names}} for one in settings)
        search = search[functools.reduce(operator.or_, (having(search, each) for each in levels))]
    stopped = (search["status"] == "stopped").any()
    columns = [
        Column("optimizer", "Optimizer", "level"),
        Column("schedule", "Schedule", "level"),
        Column("lr", "Rate", "rate"),
        *_SPREAD,
        _SEEDS,
        Column("diverged", "Diverged", "count"),
        *([Column("stopped", "Stopped", "count")] if stopped else []),
    ]
    caption = _rates_caption(bool(plan.points), stopped, further)
    label = say(
        "{measure} against learning rate for {count} optimizers, log scales.",
        measure=by.words.capitalize(),
        count=len(chosen),
    )
    wide = min(4, max(2, len(chosen)))
    joined = not plan.points  # which differ in more than their rate
    drawn = functools.partial(picture, search, chosen, metric=by.column, joined=joined)
    figure = Figure(lambda narrow: drawn(columns=2 if narrow else wide, compact=narrow), label, caption)
    title = say("{metric} against rate", metric=say(by.metric).capitalize())
    return Section("rates", title, "", columns, rate_table(search, by.column).to_dict("records"), [figure], folded=True)


def _rates_caption(drawn: bool, stopped: bool, further: Sequence[str]) -> str:
    points = say(
        "A mark for each point that was drawn: large ones have the chosen schedule, small ones "
        "another. A ring marks the chosen point, a × one"
    )
    lines = say(
        "The strong line is the chosen schedule, with a band from the smallest to the largest "
        "seed; thin lines are the other schedules. A ring marks the chosen rate, a × a rate"
    )
    caption = say("One panel per optimizer, all on the same axes. {marks}", marks=points if drawn else lines)
    caption += say(" at which at least one seed diverged, and a triangle a loss above the plot.")
    if stopped:
        caption += say(" Small open marks are runs that were stopped early, at the loss they had then.")
    if further:
        caption += say(" Each panel is at its optimizer’s chosen {names}.", names=listed([*map(say, further)]))
    return caption


def sensitivity(plan: Plan, table: pd.DataFrame) -> Section:
    """How wide the valleys are, and how many rates diverge."""
    rows = valleys.sensitivity(plan, table).to_dict("records")
    columns = [
        Column("optimizer", "Optimizer", "name"),
        Column("schedule", "Schedule", "level"),
        Column("lr", "Best rate", "rate"),
        *map(_decades, (f"{share:.0%}".rstrip("%") for share in valleys.SHARES)),
        Column("diverged", "Rates that diverge", "percent"),
    ]
    caption = say(
        "The rates whose mean {measure} over the search’s seeds is within 1% (thick), 5% and 10% "
        "(thin) of the optimizer’s best, which a stroke marks; everything else as chosen. Dotted "
        "lines are the grid’s ends: a bar that touches one may go on (≥ in the table). A wide "
        "bar forgives a rate that is off.",
        measure=plan.criterion.words,
    )
    label = say("Width of the valley of good learning rates for {count} optimizers, log scale.", count=len(rows))

    def draw(narrow: bool) -> go.Figure:
        from ..pictures.widths import widths

        rates = [rate for optimizer in plan.optimizers for rate in plan["lr"].of(optimizer)]
        return widths(rows, (min(rates), max(rates)), compact=narrow)

    return Section("sensitivity", say("Sensitivity to the rate"), "", columns, rows, [Figure(draw, label, caption)])


def _decades(share: str) -> Column:
    def of(row: Row) -> tuple[float, bool] | None:
        return None if row[f"low_{share}"] is None else (row[f"decades_{share}"], row[f"at_least_{share}"])

    return Column(f"decades_{share}", say("Decades within {share}%", share=share), "decades", of)


def targets(verdict: Verdict, table: pd.DataFrame, curves: pd.DataFrame) -> Section:
    """When the runs of each chosen setting reach the loss that the best ends with."""
    ways = race(verdict, table, curves)
    section = functools.partial(Section, "targets", say("Time to target"))
    if ways is None:
        return section(say("No run of the best setting has ended without diverging."))
    caption = say(
        "Target: a validation loss of {target}, the median that the best setting ends with. "
        "Lines: the share of {fresh}seeds that have reached it, looked at after each pass. A run "
        "that never does, also one that diverged, counts as not yet there at the end of its "
        "budget, so a median may be ∞; in means it counts with its whole budget.",
        target=number(ways.target),
        fresh=say("fresh ") * verdict.confirmed,
    )
    label = say(
        "Share of runs that have reached a validation loss of {target} against steps.", target=number(ways.target)
    )

    def draw(narrow: bool) -> go.Figure:
        from ..pictures.reached import reached

        curves = {name: one.curve for name, one in ways.reached.items()}
        return reached(curves, {name: one.budget for name, one in ways.reached.items()}, ways.target)

    columns = [
        Column("optimizer", "Optimizer", "name"),
        Column("reached", "Reached it", "part", lambda row: (row["reached"], row["runs"])),
        Column("steps_median", "Median steps", "steps", lambda row: tuple(row[f"steps_{end}"] for end in _ENDS)),
        Column("steps_restricted_mean", "Mean steps", "short"),
        Column("seconds_median", "Median time", "duration"),
        Column("seconds_restricted_mean", "Mean time", "duration"),
    ]
    return section("", columns, ways.table().to_dict("records"), [Figure(draw, label, caption)])


def learning(verdict: Verdict, table: pd.DataFrame, curves: pd.DataFrame) -> Section:
    """How training and validation loss fell, pass by pass, at the chosen settings."""
    from ..pictures.learning import learning as picture
    from ..pictures.learning import learning_table

    section = functools.partial(Section, "learning", say("Learning curves"))
    members = recorded(table, verdict)
    members = members[functools.reduce(operator.or_, (matching(members, one.setting) for one in verdict.entries))]
    curves = points(curves, members, "train_loss", "validation_loss")
    if curves.empty:
        return section(say("No curve has been recorded yet."))
    axis = mark("training step")
    if "batch_size" in verdict.entries[0].further:  # which have different numbers of steps
        axis = mark("epoch")
        curves["step"] = curves["epoch"]
    columns = [
        Column("optimizer", "Optimizer", "level"),
        Column("metric", "Metric", "level", lambda row: row["metric"].replace("_", " ")),
        Column("step", axis.split()[-1].capitalize(), "count"),
        *_SPREAD,
        _SEEDS,
    ]
    seeds = curves.groupby("optimizer")["member"].nunique().max()
    runs, end = map(mark, ("runs (seeds × folds)", "run") if verdict.folds else ("seeds", "seed"))
    caption = say(
        "Each optimizer at its chosen setting. Line: mean over {seeds} {confirmed}{runs}. Band: "
        "smallest to largest {end}. Not smoothed. Choose a name in the legend to hide or show it.",
        seeds=seeds,
        confirmed=say("fresh ") * verdict.confirmed,
        runs=runs,
        end=end,
    )
    order = [entry.optimizer for entry in verdict.entries]
    label = say("Validation and training loss against {axis} for {count} optimizers.", axis=axis, count=len(order))
    spread = learning_table(curves)
    figure = Figure(lambda narrow: picture(spread, order=order, columns=1 if narrow else 2, axis=axis), label, caption)
    return section("", columns, spread.to_dict("records"), [figure], folded=True)


def generalization(judged: list[Generalization]) -> Section:
    """Training against validation, over- and underfitting in words, and where to stop."""
    columns = [
        Column("level", "Optimizer", "name"),
        Column("word", "Fit", "level"),
        Column("train_loss", "Train loss", "interval"),
        Column("validation_loss", "Validation loss", "interval"),
        Column("gap", "Gap", "interval"),
        Column("stop", "Lowest at step", "part", lambda row: (row["stop"], row["steps"])),
        Column("rise", "Stopping there gains", "interval"),
    ]
    sentence = say(
        "Each at its chosen setting, at the end of its runs. It “overfits” if its validation "
        "loss at the end is above its lowest by more than the interval; it “underfits” if that "
        "loss still fell over the last fifth, or if it is reliably worse than the best and its "
        "training loss half above the lowest of all; else it “fits”."
    )
    if judged:
        sentence += f" {judged[0].sentence}"
    return Section("generalization", say("Generalization"), sentence, columns, [vars(one) for one in judged])
