"""A study as one HTML file that opens anywhere, without a network, for years.

`html` gathers what the study knows into sections and puts them into `report.html`, which holds the layout, the
styles and the script. Words from the study are escaped; pictures travel as JSON inside the page, beside plotly.js
itself, and a content security policy in the page forbids it to load anything else. The pictures are made by
`thalweg.pictures`; here is only what goes where.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ThalwegError, WorkError
from .pictures import markup
from .pictures.markup import escape
from .pictures.numbers import duration, number, short

if TYPE_CHECKING:
    import pandas as pd

METHOD = """
<p>Every optimizer had the same rates, schedules, seeds, initial weights, batch order and number of epochs; its
setting was chosen by the mean validation loss over seeds, where a diverged run counts as infinite.</p>
<p>Intervals come from resampling seeds, in pairs, because a seed gives all optimizers the same start and the same
batches; optimizers that this cannot tell apart are called tied.</p>
<p>Test data played no part in any choice, and the answer holds for this problem, this budget and this grid.</p>"""
_EMPTY = "—"


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
            f"The report cannot be written to {str(path)!r} ({reason}): name a file in a folder "
            "that may be written to."
        ) from error
    return target


def html(study: Any) -> str:
    """The report of `study` as one HTML document; the study may be unfinished, or have nothing finished at all."""
    from plotly.offline import get_plotlyjs

    from .pictures import style

    verdict, plan, table = study.verdict, study.plan, study.table()
    sections = _sections(study, verdict, table) if verdict.entries else []
    if study.provenance:
        rows = [[escape(key), escape(_plain(value))] for key, value in study.provenance.items()]
        sections.append(_section("provenance", "Provenance", markup.table(["What", "Value"], rows, words=2)))
    sections.append(_section("method", "How to read this", METHOD))
    parts = {
        "title": escape(study.name),
        "lead": _lead(verdict, plan, table),
        "sections": "\n".join(sections),
        "dark": markup.embedded(dict(style.DARK)),
        "plotly": get_plotlyjs(),
    }
    page = resources.files("thalweg").joinpath("report.html").read_text(encoding="utf-8")
    # one pass, so that braces inside a study's own words stay what they are
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page)


def _sections(study: Any, verdict: Any, table: pd.DataFrame) -> list[str]:
    sections = [
        _section("ranking", "Ranking", _ranking(verdict)),
        _section("rates", "Loss against rate", _rates(verdict, table)),
        _section("learning", "Learning curves", _learning(study.curves(), verdict, table)),
        _section("cost", "Cost", _cost(verdict)),
    ]
    if verdict.notes:
        notes = "".join(f"<li>{escape(note)}</li>" for note in verdict.notes)
        sections.append(_section("notes", "Notes", f"<ul>{notes}</ul>"))
    return [*sections, _section("recipe", "Recipe", _recipe(study, verdict))]


def _recipe(study: Any, verdict: Any) -> str:
    """The winner's script; for a rule that is nowhere but in thalweg, why there is none, and its equations."""
    try:
        code, words = study.recipe().code, "The winner in plain PyTorch."
    except ThalwegError as error:
        winner = verdict.entries[0].optimizer
        formulas = getattr(study.plan, "formulas", {})
        code, words = formulas[winner].latex() if winner in formulas else "", str(error)
    if not code:
        return f"<p>{escape(words)}</p>"
    button = '<button type="button" class="copy" hidden>Copy</button><span role="status"></span>'
    shown = f'<pre tabindex="0"><code>{escape(code)}</code></pre>'
    return f'<p>{escape(words)}</p><div class="recipe">{button}{shown}</div>'


def _lead(verdict: Any, plan: Any, table: pd.DataFrame) -> str:
    """The verdict in words, what is unfinished, and the key facts."""
    search = table[table["stage"] == "search"]
    fresh = len(table) - len(search)
    going = int(table["status"].isin(["running", "waiting"]).sum())
    sentence = verdict.sentence or "No run has finished, so there is no verdict yet."
    first, *rest = re.split(r"(?<=[.!?])\s+", sentence, maxsplit=1)
    lines = [
        f'<p class="verdict">{escape(first)}</p>',
        *(f'<p class="rest">{escape(more)}</p>' for more in rest),
    ]
    if going or not verdict.entries:
        warning = (
            f"<strong>This study is not finished.</strong> {going:,} of {len(table):,} runs have not ended; what "
            "follows is from those that have, and may change."
        )
        lines.append(f'<p class="unfinished" role="note">{warning}</p>')
    elif not verdict.confirmed:
        warning = (
            "<strong>Not confirmed on fresh seeds.</strong> The same seeds chose the settings and gave the numbers, "
            "which makes them look a little better than they are; there are no test numbers."
        )
        lines.append(f'<p class="unfinished" role="note">{warning}</p>')
    sizes = (
        (len(plan.optimizers), "optimizer"),
        (len(plan.rates), "rate"),
        (len(plan.schedules), "schedule"),
    )
    grid = " × ".join(_count(size, word) for size, word in (*sizes, (plan.seeds, "seed")))
    batch = f"batches of {_plain(plan.batch_size)}" if plan.batch_size else "the loader’s own batches"
    counts = search["status"].value_counts()
    ended = f"finished, {int(counts.get('diverged', 0)):,} diverged" + (f", {going:,} to go" if going else "")
    behind = "fresh seeds behind the intervals" if verdict.confirmed else "seeds behind the intervals"
    facts = [
        (len(search), f"runs: {grid}"),
        (plan.epochs, f"epochs for every run, {batch}"),
        (int(counts.get("finished", 0)), ended),
        (verdict.seeds, behind + (f", {fresh:,} more runs" if fresh else "")),
    ]
    cells = "".join(f"<div><dt>{escape(word)}</dt><dd>{_plain(value)}</dd></div>" for value, word in facts)
    return "\n".join([*lines, f'<dl class="facts">{cells}</dl>'])


def _count(size: int, word: str) -> str:
    return f"{size} {word}" if size == 1 else f"{size} {word}s"


def _ranking(verdict: Any) -> str:
    from .pictures.ranking import ranking

    rows = [
        {
            "optimizer": one.optimizer,
            "rank": one.rank,
            **{k: getattr(one.validation_loss, k) for k in _INTERVAL},
        }
        for one in verdict.entries
    ]
    figures = {"wide": ranking(rows), "narrow": ranking(rows, compact=True)}
    tests = list(dict.fromkeys(name for one in verdict.entries for name in one.test))
    heads = ["", "Optimizer", "Rate", "Schedule", "Validation loss", "Difference to best", "Probability best"]
    heads += [f"Test {name}" for name in tests or ["loss", "accuracy"]] + ["Diverged"]
    body = []
    for one in verdict.entries:
        edge = f"<small>grid’s {escape(one.edge)}</small>" if one.edge else ""
        best = one is verdict.entries[0]
        body.append(
            [
                str(one.rank),
                f"<b>{escape(one.optimizer)}</b>",
                escape(short(one.lr)) + edge,
                escape(one.schedule),
            ]
            + [_interval(one.validation_loss), "best" if best else _interval(one.difference)]
            + [f"{one.probability_best:.2f}" if math.isfinite(one.probability_best) else _EMPTY]
            + [
                _interval(one.test[name]) if name in one.test else _EMPTY
                for name in tests or ["loss", "accuracy"]
            ]
            + [f"{one.diverged} of {one.runs}"]
        )
    kind = "fresh seeds" if verdict.confirmed else "seeds of the search"
    caption = (
        f"Dot: mean validation loss over {verdict.seeds} {kind}. Bar: its 95% interval over seeds. A bracket joins "
        "optimizers that are tied. Lower is better; × means that a run diverged."
    )
    first, last = verdict.entries[0].optimizer, verdict.entries[-1].optimizer
    label = f"Validation loss of {len(rows)} optimizers with 95% intervals, from {first} (best) to {last}."
    return markup.chart(figures, label, caption, "") + markup.table(heads, body, words=4, lead=1)


def _rates(verdict: Any, table: pd.DataFrame) -> str:
    from .pictures.rates import rate_table, rates

    chosen = {one.optimizer: (one.lr, one.schedule) for one in verdict.entries}
    search = table[table["stage"] == "search"]
    figures = {"wide": rates(search, chosen, columns=4), "narrow": rates(search, chosen, columns=2)}
    heads = ["Optimizer", "Schedule", "Rate", "Mean", "Smallest", "Largest", "Seeds", "Diverged"]
    body = [
        [escape(row["optimizer"]), escape(row["schedule"]), short(row["lr"])]
        + [number(row[key]) for key in ("mean", "low", "high")]
        + [str(row["seeds"]), str(row["diverged"])]
        for row in rate_table(search).to_dict("records")
    ]
    caption = (
        "One panel per optimizer, all on the same axes. The strong line is the chosen schedule, with a band from the "
        "smallest to the largest seed; thin lines are the other schedules. A ring marks the chosen rate, a × a rate "
        "at which at least one seed diverged, and a triangle a loss above the plot."
    )
    label = f"Validation loss against learning rate for {len(chosen)} optimizers, log scales."
    return markup.chart(figures, label, caption, markup.table(heads, body, words=2))


def _learning(curves: pd.DataFrame, verdict: Any, table: pd.DataFrame) -> str:
    from .pictures.learning import learning, learning_table

    stage = "confirmation" if verdict.confirmed else "search"
    settings = {(one.optimizer, one.schedule): one.lr for one in verdict.entries}
    own = table[table["stage"] == stage]
    wanted = [
        math.isclose(settings.get((optimizer, schedule), math.nan), rate, rel_tol=1e-9)
        for optimizer, schedule, rate in zip(own["optimizer"], own["schedule"], own["lr"], strict=True)
    ]
    curves = curves.merge(own.loc[wanted, ["member", "optimizer", "status"]], on="member")
    curves = curves[curves["metric"].isin(["train_loss", "validation_loss"])]
    if not len(curves):
        return "<p>No curve has been recorded yet.</p>"
    order = [one.optimizer for one in verdict.entries]
    figures = {"wide": learning(curves, order=order), "narrow": learning(curves, order=order, columns=1)}
    heads = ["Optimizer", "Metric", "Step", "Mean", "Smallest", "Largest", "Seeds"]
    body = [
        [escape(row["optimizer"]), escape(row["metric"].replace("_", " ")), f"{row['step']:,}"]
        + [number(row[key]) for key in ("mean", "low", "high")]
        + [str(row["seeds"])]
        for row in learning_table(curves).to_dict("records")
    ]
    seeds = curves.groupby("optimizer")["member"].nunique().max()
    caption = (
        f"Each optimizer at its chosen setting. Line: mean over {seeds} {'fresh ' * verdict.confirmed}seeds. "
        "Band: smallest to largest seed. Not smoothed. Choose a name in the legend to hide or show it."
    )
    label = f"Validation and training loss against training step for {len(order)} optimizers."
    return markup.chart(figures, label, caption, markup.table(heads, body, words=2))


def _cost(verdict: Any) -> str:
    times = [one.seconds_per_step for one in verdict.entries if one.seconds_per_step > 0]
    least = min(times, default=math.nan)
    body = []
    for one in verdict.entries:
        ratio = one.seconds_per_step / least
        against = f"{ratio:.2f}×" if math.isfinite(ratio) else _EMPTY
        memory = short(one.state_bytes_per_weight)
        body.append([f"<b>{escape(one.optimizer)}</b>", duration(one.seconds_per_step), against, memory])
    words = (
        "<p>Time per step of one run, measured while runs were trained together in batched programs; memory that the "
        "optimizer keeps for each weight, in float32.</p>"
    )
    return words + markup.table(
        ["Optimizer", "Time per step", "Against fastest", "Bytes per weight"], body, words=1
    )


_INTERVAL = ("mean", "low", "high")


def _interval(one: Any) -> str:
    """The mean, with its interval small beneath."""
    return f"{number(one.mean)}<small>[{number(one.low)}, {number(one.high)}]</small>"


def _section(name: str, title: str, body: str) -> str:
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>\n{body}</section>'


def _plain(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or _EMPTY
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return {"True": "yes", "False": "no", "None": _EMPTY}.get(str(value), str(value))
    return f"{value:,}".replace("-", "−") if isinstance(value, int) else short(value, 6)
