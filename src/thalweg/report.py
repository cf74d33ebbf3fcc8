"""A study as one HTML file that opens anywhere, without a network, for years.

`html` gathers what the study knows into sections and puts them into `report.html`, which holds the layout, the
styles and the script. Words from the study are escaped by `pictures.markup`; pictures travel as JSON inside the page,
beside plotly.js itself, and a content security policy in the page forbids it to load or run anything else. The
pictures are made by `thalweg.pictures`; here is only what goes where.
"""

from __future__ import annotations

import contextlib
import functools
import math
import operator
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

from .errors import ThalwegError, WorkError
from .pictures import markup
from .pictures.markup import Markup, joined, piece
from .pictures.numbers import duration, number, short
from .plan.factors import FULL, shown, words_of
from .plan.folds import FOLD, averaged
from .plan.plan import grid
from .verdict.verdict import matching, points

if TYPE_CHECKING:
    import pandas as pd

METHOD = """
<p>Every optimizer had the same rates, the same choice of everything else, and the same seeds, initial weights, order
of samples and number of epochs; its setting was chosen by the mean validation loss over seeds, where a diverged run
counts as infinite: one whose loss is no longer finite, or ended above ten times that of its untrained weights. Where a
schedule, a batch size or anything else is ranked, each of its values stands for its own best setting, tuned over all
the rest.</p>
<p>Intervals say how far other seeds would move a mean. Differences are taken seed by seed, because a seed gives all
runs the same start and the same order of samples. Since many pairs are compared, a difference has to be surer than one
alone to count: those who are alike are called tied in at least 95% of studies, however many there are. Places are
the ranks that this leaves open, for all at once.</p>
<p>The search reports the lowest of many numbers, which is partly luck. So each chosen setting is run again with fresh
seeds, and that number is the one reported; “than in search” is how much the search’s lay below it. Each optimizer
also runs at its formula’s own defaults.</p>
<p>Test data played no part in any choice, and the answer holds for this problem, this budget and this grid.</p>"""
_FOLDS = """
<p>Settings were judged by cross-validation: each training and validation sample is held out by some fold, of which the
others train a model that is judged on it. Seeds and folds are both resampled; since folds train on samples in common,
their spread is corrected after Nadeau and Bengio (2003). The test numbers are of the same fresh seeds trained once
more, on all training and validation samples.</p>"""
_EMPTY = "—"
_NAME = "<b>{}</b>"
_BENEATH = "{}<small>{}</small>"


def write(study: Any, path: str | os.PathLike[str]) -> Path:
    """Write the report of `study` to `path` and return the path; an older report is replaced in one move.

    Missing folders are made.

    Raises:
        WorkError: the file cannot be written; what was there is left as it was.
    """
    target = Path(path)
    page = html(study)
    temporary = target.parent / f".{target.name[:40]}.{os.getpid()}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8")
        os.replace(temporary, target)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()
        reason = getattr(error, "strerror", None) or str(error)
        raise WorkError(
            f"The report cannot be written to {str(path)!r} ({reason}): name a file in a folder that may be written to."
        ) from error
    return target


def html(study: Any) -> str:
    """The report of `study` as one HTML document; the study may be unfinished, or have nothing finished at all."""
    from .pictures import style

    verdict, plan, table = study.verdict, study.plan, study.table()
    sections = _sections(study, verdict, table) if verdict.entries else []
    if study.provenance:
        rows = [[key, _plain(value)] for key, value in study.provenance.items()]
        sections.append(_section("provenance", "Provenance", markup.table(["What", "Value"], rows, words=2)))
    method = piece(METHOD) + piece(_FOLDS) if verdict.folds else piece(METHOD)
    sections.append(_section("method", "How to read this", method))
    parts = {
        "title": study.name,
        "lead": _lead(verdict, plan, table),
        "sections": joined(sections, "\n"),
        "dark": markup.embedded(dict(style.DARK)),
    }
    return markup.filled("thalweg", "report.html", parts)


def _sections(study: Any, verdict: Any, table: pd.DataFrame) -> list[Markup]:
    curves = study.curves(verdict.stage)
    sections = [
        _section("ranking", "Ranking", _ranking(verdict, study.plan["optimizer"]), "ranking"),
        _section("rates", "Loss against rate", _rates(verdict, averaged(table) if verdict.folds else table)),
        _section("sensitivity", "Sensitivity to the rate", _sensitivity(study.plan, table)),
        *(_other(study.verdict_by(factor.name), factor) for factor in study.plan.ranked[1:]),
        *([_section("tuned", "Search, fresh seeds, defaults", _tuned(verdict))] if verdict.confirmed else []),
        _section("targets", "Time to target", _targets(verdict, table, curves)),
        _section("learning", "Learning curves", _learning(curves, verdict, table)),
        *_generalization(study),
        _section("cost", "Cost", _cost(verdict)),
    ]
    if said := [*verdict.notes, *getattr(study, "batching", ())]:
        notes = joined(piece("<li>{}</li>", note) for note in said)
        sections.append(_section("notes", "Notes", piece("<ul>{}</ul>", notes)))
    return [*sections, _section("recipe", "Recipe", _recipe(study, verdict))]


def _other(verdict: Any, factor: Any) -> Markup:
    """The section that ranks the levels of another factor than the optimizer."""
    first, *rest = re.split(r"(?<=[.!?])\s+", verdict.sentence, maxsplit=1)
    words = piece('<p class="answer"><strong>{}</strong> {}</p>', first, " ".join(rest))
    title = f"Which {factor.kind.words}"
    return _section(f"by-{factor.name}", title, words + _ranking(verdict, factor), "ranking")


def _recipe(study: Any, verdict: Any) -> Markup:
    """The winner's script; for a rule that is nowhere but in thalweg, why there is none, and its equations."""
    try:
        code, words = study.recipe().code, "The winner in plain PyTorch."
    except ThalwegError as error:
        winner = verdict.entries[0].optimizer
        formulas = getattr(study.plan, "formulas", {})
        code, words = "", str(error)
        with contextlib.suppress(ThalwegError):  # a formula that is not at hand has no equations either
            code = formulas[winner].latex() if winner in formulas else ""
    if not code:
        return piece("<p>{}</p>", words)
    if ran := getattr(study, "recipe_run", None):
        words = f"{words} {ran}"
    return piece(
        '<p>{}</p><div class="recipe">'
        '<button type="button" class="copy" hidden>Copy</button><span role="status"></span>'
        '<pre tabindex="0"><code>{}</code></pre></div>',
        words,
        code,
    )


def _lead(verdict: Any, plan: Any, table: pd.DataFrame) -> Markup:
    """The verdict in words, what is unfinished, and the key facts."""
    search = table[table["stage"] == "search"]
    fresh = len(table) - len(search)
    going = int((~table["status"].isin(["finished", "diverged", "stopped"])).sum())
    sentence = verdict.sentence or "No run has finished, so there is no verdict yet."
    first, *rest = re.split(r"(?<=[.!?])\s+", sentence, maxsplit=1)
    lines = [piece('<p class="verdict">{}</p>', first), *(piece('<p class="rest">{}</p>', more) for more in rest)]
    if going or not verdict.entries:
        head = "This study is not finished."
        warning = (
            f"{going:,} of {len(table):,} runs have not ended; what follows is from those that have, and may change."
        )
        lines.append(piece(_WARNING, head, warning))
    elif not verdict.confirmed:
        warning = (
            "The same seeds chose the settings and gave the numbers, "
            "which makes them look a little better than they are; there are no test numbers."
        )
        lines.append(piece(_WARNING, "Not confirmed on fresh seeds.", warning))
    counts = search["status"].value_counts()
    ended = f"finished, {int(counts.get('diverged', 0)):,} diverged" + (f", {going:,} to go" if going else "")
    ended += f", {int(counts['stopped']):,} stopped early" if "stopped" in counts else ""
    behind = "fresh seeds behind the intervals" if verdict.confirmed else "seeds behind the intervals"
    facts = [
        (len(search), f"runs: {grid(plan)}"),
        (plan.epochs, f"epochs for every run{_UNLESS[plan.budget]}, {_batches(plan.batch_sizes)}"),
        (int(counts.get("finished", 0)), ended),
        (verdict.seeds, behind + (f", {fresh:,} more runs" if fresh else "")),
    ]
    cells = joined(piece("<div><dt>{}</dt><dd>{}</dd></div>", word, _plain(value)) for value, word in facts)
    return joined([*lines, piece('<dl class="facts">{}</dl>', cells)], "\n")


_WARNING = '<p class="unfinished" role="note"><strong>{}</strong> {}</p>'

_UNLESS = {"full": "", "halving": " that was not stopped before"}


def _batches(sizes: tuple[int | str, ...]) -> str:
    if sizes == (0,):
        return "the loader’s own batches"
    words = ["all samples" if size == FULL else _plain(size) for size in sizes]
    return f"batches of {' or '.join(filter(None, [', '.join(words[:-1]), words[-1]]))}"


def _ranking(verdict: Any, factor: Any) -> Markup:
    """The levels of a factor, best first: a picture and a table."""
    from .pictures.ranking import ranking

    rows = [
        {"name": verdict.level(one), "rank": one.rank, **{k: getattr(one.validation_loss, k) for k in _INTERVAL}}
        for one in verdict.entries
    ]
    own = factor.name == "optimizer"
    figures = {kind: ranking(rows, compact=kind == "narrow", coloured=own) for kind in ("wide", "narrow")}
    tests = list(dict.fromkeys(name for one in verdict.entries for name in one.test)) or ["loss", "accuracy"]
    body = []
    for one in verdict.entries:
        difference = "best" if one is verdict.entries[0] else _interval(one.difference)
        chance = f"{one.probability_best:.2f}" if math.isfinite(one.probability_best) else _EMPTY
        body.append(
            [
                str(one.rank),
                piece(_NAME, verdict.level(one)),
                *(cell for name, cell in _setting(one).items() if name != factor.name),
                _interval(one.validation_loss),
                difference,
                _places(one.places),
                chance,
                *(_interval(one.test[name]) if name in one.test else _EMPTY for name in tests),
                f"{one.diverged} of {one.runs}",
                *(() if own else (_time(one),)),
            ]
        )
    names = [name for name in _setting(verdict.entries[0]) if name != factor.name]
    heads = ["", _head(factor.name), *map(_head, names), "Validation loss", "Difference to best"]
    heads += [
        "Places",
        "Probability best",
        *(f"Test {name}" for name in tests),
        "Diverged",
        *(() if own else ("Time per run",)),
    ]
    kind = "fresh seeds" if verdict.confirmed else "seeds of the search"
    kind += f" × {verdict.folds} folds" if verdict.folds else ""
    caption = (
        f"Dot: mean validation loss over {verdict.seeds} {kind}. Bar: its 95% interval. A bracket joins "
        "optimizers that are tied. Lower is better; × means that a run diverged."
    )
    if not own:
        caption = (
            f"Each {factor.kind.words} at its best setting, which the table names: mean validation loss over "
            f"{verdict.seeds} {kind} with its 95% interval. A bracket joins those that are tied."
        )
    first, last = rows[0]["name"], rows[-1]["name"]
    label = f"Validation loss of {len(rows)} {factor.kind.many} with 95% intervals, from {first} (best) to {last}."
    return markup.chart(figures, label, caption, "") + markup.table(heads, body, words=2 + len(names), lead=1)


def _tuned(verdict: Any) -> Markup:
    """What the search found, what fresh seeds give, and what the optimizer gives without any tuning."""
    names = list(dict.fromkeys(name for one in verdict.entries for name in one.test))
    body = []
    for one in verdict.entries:
        other = one.default
        cells = [piece(_NAME, one.optimizer), number(one.search_loss), _interval(one.validation_loss)]
        cells.append(_signed(one.optimism))
        if other is None:
            cells += [_EMPTY] * 3
        else:
            further = [f"{words_of(name)} {shown(level)}" for name, level in other.further.items() if level is not None]
            cells.append(piece(_BENEATH, f"rate {short(other.lr)}", ", ".join([other.schedule, *further])))
            cells.append(_interval(other.validation_loss))
            cells.append("chosen" if other.chosen else _interval(other.difference))
        cells += [_interval(other.test[name]) if other and name in other.test else _EMPTY for name in names]
        body.append(cells)
    heads = ["Optimizer", "Search", "Tuned, fresh seeds", "Than in search", "Default", "At its defaults"]
    heads += ["More than tuned", *(f"Test {name} at defaults" for name in names)]
    words = piece(
        "<p>Mean validation loss of the chosen setting in the search and with fresh seeds, and of the optimizer at its "
        "formula’s own defaults with the same fresh seeds. The last columns are from the test part, used once.</p>"
    )
    return words + markup.table(heads, body, words=1)


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value, 3) if math.isfinite(value) else _EMPTY


def _places(places: tuple[int, int]) -> str:
    return "–".join(map(str, dict.fromkeys(places)))


def _setting(entry: Any) -> dict[str, str]:
    """factor → its level in the entry's setting, as a cell."""
    rate = short(entry.lr)
    cells = {"optimizer": entry.optimizer, "lr": piece(_BENEATH, rate, f"grid’s {entry.edge}") if entry.edge else rate}
    cells["schedule"] = entry.schedule
    return cells | {name: shown(level) for name, level in entry.further.items()}


def _head(name: str) -> str:
    """The head of a factor's column; hyperparameters keep their names."""
    words = words_of(name)
    return words if words == name and name not in _WORDS else words.capitalize()


_WORDS = ("optimizer", "schedule", "loss", "regularizer")


def _rates(verdict: Any, table: pd.DataFrame) -> Markup:
    from .pictures.rates import rate_table, rates

    chosen = {one.optimizer: (one.lr, one.schedule) for one in verdict.entries}
    search = table[table["stage"] == "search"]
    further = [words_of(name) for name in verdict.entries[0].further]
    if further:
        search = search[_any(_alike(search, one) for one in verdict.entries)]
    wide = min(4, max(2, len(chosen)))
    figures = {"wide": rates(search, chosen, columns=wide), "narrow": rates(search, chosen, columns=2)}
    heads = ["Optimizer", "Schedule", "Rate", "Mean", "Smallest", "Largest", "Seeds", "Diverged", "Stopped"]
    heads = heads if (search["status"] == "stopped").any() else heads[:-1]
    body = [
        [row["optimizer"], row["schedule"], short(row["lr"])]
        + [number(row[key]) for key in ("mean", "low", "high")]
        + [str(row[key]) for key in ("seeds", "diverged", "stopped")][: len(heads) - 6]
        for row in rate_table(search).to_dict("records")
    ]
    caption = (
        "One panel per optimizer, all on the same axes. The strong line is the chosen schedule, with a band from the "
        "smallest to the largest seed; thin lines are the other schedules. A ring marks the chosen rate, a × a rate "
        "at which at least one seed diverged, and a triangle a loss above the plot."
    )
    if (search["status"] == "stopped").any():
        caption += " Small open marks are runs that were stopped early, at the loss they had then."
    if further:
        caption += f" Each panel is at its optimizer’s chosen {' and '.join(further)}."
    label = f"Validation loss against learning rate for {len(chosen)} optimizers, log scales."
    return markup.chart(figures, label, caption, markup.table(heads, body, words=2))


def _sensitivity(plan: Any, table: pd.DataFrame) -> Markup:
    """How wide the valleys are, and how many rates diverge."""
    from .pictures.widths import widths
    from .verdict.sensitivity import SHARES, sensitivity

    rows = sensitivity(plan, table).to_dict("records")
    ends = plan.rates[0], plan.rates[-1]
    figures = {kind: widths(rows, ends, compact=kind == "narrow") for kind in ("wide", "narrow")}
    names = [f"{share:.0%}".rstrip("%") for share in SHARES]
    body = []
    for row in rows:
        cells = [piece(_NAME, row["optimizer"]), row["schedule"], short(row["lr"])]
        for name in names:
            decades = "≥ " * row[f"at_least_{name}"] + number(row[f"decades_{name}"], 2)
            cells.append(decades if row[f"low_{name}"] is not None else _EMPTY)
        body.append([*cells, f"{row['diverged']:.0%}"])
    heads = ["Optimizer", "Schedule", "Best rate", *(f"Decades within {name}%" for name in names), "Rates that diverge"]
    caption = (
        "The rates whose mean validation loss over the search’s seeds is within 1% (thick), 5% and 10% (thin) of the "
        "optimizer’s best, which a stroke marks; everything else as chosen. Dotted lines are the ends of the grid: "
        "a bar that touches one may go on (≥ in the table). A wide bar forgives a rate that is off."
    )
    label = f"Width of the valley of good learning rates for {len(rows)} optimizers, log scale."
    return markup.chart(figures, label, caption, "") + markup.table(heads, body, words=2)


def _targets(verdict: Any, table: pd.DataFrame, curves: pd.DataFrame) -> Markup:
    """When the runs of each chosen setting reach the loss that the best ends with."""
    from .pictures.reached import reached
    from .verdict.targets import race

    found = race(verdict, table, curves)
    if found is None:
        return piece("<p>No run of the best setting has ended without diverging.</p>")
    budgets = {name: one.budget for name, one in found.reached.items()}
    figure = reached({name: one.curve for name, one in found.reached.items()}, budgets, found.target)
    body = [
        [
            piece(_NAME, row["optimizer"]),
            f"{row['reached']} of {row['runs']}",
            piece(_BENEATH, short(row["steps_median"]), f"[{short(row['steps_low'])}, {short(row['steps_high'])}]"),
            short(row["steps_restricted_mean"]),
            duration(row["seconds_median"]),
            duration(row["seconds_restricted_mean"]),
        ]
        for row in found.table().to_dict("records")
    ]
    heads = ["Optimizer", "Reached it", "Median steps", "Mean steps", "Median time", "Mean time"]
    caption = (
        f"Target: a validation loss of {number(found.target)}, the median that the best setting ends with. Lines: the "
        f"share of {'fresh ' * found.fresh}seeds that have reached it, looked at after each pass. A run that never "
        "does, also one that diverged, counts as not yet there at the end of its budget, so a median "
        "may be ∞; in means "
        "it counts with its whole budget."
    )
    label = f"Share of runs that have reached a validation loss of {number(found.target)} against steps."
    return markup.chart({"wide": figure, "narrow": figure}, label, caption, "") + markup.table(heads, body, words=1)


def _learning(curves: pd.DataFrame, verdict: Any, table: pd.DataFrame) -> Markup:
    from .pictures.learning import learning, learning_table

    own = table[table["stage"] == verdict.stage]
    own = own[own[FOLD].notna()] if verdict.folds else own
    own = own[_any(matching(own, one.setting) for one in verdict.entries)]
    curves = curves[curves["metric"].isin(["train_loss", "validation_loss"])]
    curves = points(curves, own[["member", "optimizer", "status", "step"]])
    if not len(curves):
        return piece("<p>No curve has been recorded yet.</p>")
    order = [one.optimizer for one in verdict.entries]
    axis = "training step"
    if "batch_size" in verdict.entries[0].further:  # which have different numbers of steps
        axis = "epoch"
        curves["step"] = curves.groupby(["member", "metric"], observed=True)["step"].rank("dense").astype(int)
    figures = {
        kind: learning(curves, order=order, columns=columns, axis=axis)
        for kind, columns in (("wide", 2), ("narrow", 1))
    }
    heads = ["Optimizer", "Metric", axis.split()[-1].capitalize(), "Mean", "Smallest", "Largest", "Seeds"]
    body = [
        [row["optimizer"], row["metric"].replace("_", " "), f"{row['step']:,}"]
        + [number(row[key]) for key in ("mean", "low", "high")]
        + [str(row["seeds"])]
        for row in learning_table(curves).to_dict("records")
    ]
    seeds = curves.groupby("optimizer")["member"].nunique().max()
    runs, end = ("runs (seeds × folds)", "run") if verdict.folds else ("seeds", "seed")
    caption = (
        f"Each optimizer at its chosen setting. Line: mean over {seeds} {'fresh ' * verdict.confirmed}{runs}. "
        f"Band: smallest to largest {end}. Not smoothed. Choose a name in the legend to hide or show it."
    )
    label = f"Validation and training loss against {axis} for {len(order)} optimizers."
    return markup.chart(figures, label, caption, markup.table(heads, body, words=2))


def _generalization(study: Any) -> list[Markup]:
    """Training against validation, over- and underfitting in words, and where to stop."""
    found = study.generalization() if hasattr(study, "generalization") else []
    if not found:
        return []
    body = [
        [
            piece(_NAME, one.level),
            one.word,
            _interval(one.train_loss),
            _interval(one.validation_loss),
            _EMPTY if one.gap is None else _interval(one.gap),
            f"{one.stop:,} of {one.steps:,}",
            _interval(one.rise),
        ]
        for one in found
    ]
    heads = ["Optimizer", "It", "Train loss", "Validation loss", "Gap", "Lowest at step", "Stopping there gains"]
    words = piece(
        "<p>Each at its chosen setting, at the end of its runs. It <i>overfits</i> if its validation loss at the end "
        "is above its lowest by more than the interval; it <i>underfits</i> if that loss still fell over the last "
        "fifth, or if it is reliably worse than the best and its training loss half above the lowest of all; else it "
        "<i>fits</i>. {}</p>",
        found[0].sentence,
    )
    return [_section("generalization", "Generalization", words + markup.table(heads, body, words=2))]


def _cost(verdict: Any) -> Markup:
    times = [one.seconds_per_step for one in verdict.entries if one.seconds_per_step > 0]
    least = min(times, default=math.nan)
    body = []
    for one in verdict.entries:
        ratio = one.seconds_per_step / least
        against = f"{ratio:.2f}×" if math.isfinite(ratio) else _EMPTY
        memory = short(one.state_bytes_per_weight)
        body.append([piece(_NAME, one.optimizer), duration(one.seconds_per_step), against, _time(one), memory])
    words = piece(
        "<p>Time per step of one run, and of all its steps, measured while runs were trained together in batched "
        "programs; memory that the optimizer keeps for each weight, in float32. Each at its chosen setting.</p>"
    )
    return words + markup.table(
        ["Optimizer", "Time per step", "Against fastest", "Time per run", "Bytes per weight"], body, words=1
    )


def _any(masks: Iterable[pd.Series]) -> pd.Series:
    return functools.reduce(operator.or_, masks)


def _alike(table: pd.DataFrame, entry: Any) -> pd.Series:
    """The rows of the entry's optimizer with its levels of everything beyond rate and schedule."""
    rows = table["optimizer"] == entry.optimizer
    for name, level in entry.further.items():
        rows &= table[name].isna() if level is None else table[name] == level
    return rows


def _time(entry: Any) -> str:
    """All steps of one run, its share of the batched program."""
    seconds = entry.seconds_per_step * entry.steps
    return duration(seconds) if entry.steps and math.isfinite(seconds) else _EMPTY


_INTERVAL = ("mean", "low", "high")


def _interval(one: Any) -> Markup | str:
    """The mean, with its interval small beneath."""
    if not math.isfinite(one.mean):
        return number(one.mean)
    return piece(_BENEATH, number(one.mean), f"[{number(one.low)}, {number(one.high)}]")


def _section(name: str, title: str, body: Markup, kind: LiteralString = "") -> Markup:
    return piece(
        '<section id="{}" class="{}" aria-labelledby="{}-title"><h2 id="{}-title">{}</h2>\n{}</section>',
        name,
        kind,
        name,
        name,
        title,
        body,
    )


def _plain(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or _EMPTY
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return {"True": "yes", "False": "no", "None": _EMPTY}.get(str(value), str(value))
    return f"{value:,}".replace("-", "−") if isinstance(value, int) else short(value, 6)
