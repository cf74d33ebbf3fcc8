"""`thalweg schedule`: the list of schedules, or one of them drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..language import say, wrapped
from .listing import columns, fact_lines, headline, print_table, print_words, terminal
from .options import Everything
from .picture import Drawn, check_picture, write_picture
from .result import print_json

if TYPE_CHECKING:
    import numpy as np

    from ..schedules import Schedule

EXAMPLE = "Example: thalweg schedule 'warmup(cosine, steps=0.1)' --steps 1000 --rate 0.1 -o warmup.svg"
BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH, NARROW = 60, 10  # blocks of a line, at most and at least


def schedule(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A schedule, also with arguments, e.g. cosine or 'step(size=30, gamma=0.1)', or one for each "
            "hyperparameter, 'lr: cosine; momentum: ramp'; all of them unless given."
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of the run.")] = 100,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of the run, for lengths in epochs, e.g. 'step(size=10 epochs)'.")
    ] = None,
    rate: Annotated[float, typer.Option(help="The learning rate that it multiplies.")] = 1.0,
    output: Drawn = None,
    json: Everything = False,
) -> None:
    """List the schedules, or draw one: its values at each step, and the torch code that gives them."""
    from .. import schedules
    from ..errors import UsageError
    from ..numbers import Range

    if name is None:
        if output is not None:
            raise UsageError(
                "{file} needs a schedule to draw; name one, e.g. thalweg schedule cosine -o {file}.", file=output
            )
        _catalogue(json)
        return
    check_picture(output)
    kind = schedules.get(name)
    Range(0.0, above=True).check(say("the rate"), int(rate) if rate.is_integer() else rate)
    counted = kind if epochs is None else kind.over(Range(1, whole=True).check("epochs", epochs), steps)
    values = schedules.shown(counted, steps, rate)
    if output is not None:
        from ..pictures.schedules import schedule_picture

        write_picture(output, lambda: schedule_picture(values, kind.label))
    if json:
        print_json(_facts(kind, epochs) | {"values": values})
    elif output is not None:
        print(output)
    else:
        print(_one(kind, values, epochs))


def _catalogue(json: bool) -> None:
    from .. import schedules

    kinds = {name: schedules.example(name) for name in schedules.names()}
    if json:
        print_json([_facts(kind) for kind in kinds.values()])
        return
    rows = [(name, say(headline(type(kind))), str(kind.robbins_monro)) for name, kind in kinds.items()]
    print_table(columns(("schedule", "formula", "Ση = ∞ and Ση² < ∞"), rows))
    print_words(
        say(
            "One of them: thalweg schedule cosine. Lengths are steps, shares of the run, or epochs: "
            "10 is ten steps, 0.1 a tenth, '10 epochs' ten passes over the data."
        )
    )


def _facts(kind: Schedule, epochs: int | None = None) -> dict[str, object]:
    conditions = kind.robbins_monro
    return {
        "name": kind.name,
        "label": kind.label,
        "formula": headline(type(kind)),
        "code": kind.code(epochs=epochs) if kind.writable else None,
        "robbins_monro": {
            "satisfied": bool(conditions),
            "sum_diverges": conditions.sum_diverges,
            "squares_converge": conditions.squares_converge,
            "reason": conditions.reason,
        },
    }


def _one(kind: Schedule, values: dict[str, np.ndarray], epochs: int | None = None) -> str:
    from rich.cells import cell_len

    from ..pictures.numbers import short

    width = max(map(len, values))
    lines = [*wrapped(f"{kind.label}: {say(headline(type(kind)))}", terminal().width, " " * 4), ""]
    for name, each in values.items():
        ends = say(
            "{first} … {last}, from {low} to {high}",
            first=short(each[0]),
            last=short(each[-1]),
            low=short(each.min()),
            high=short(each.max()),
        )
        room = terminal().width - width - cell_len(ends) - 8
        lines.append(f"    {name:<{width}}  {_sparkline(each, max(NARROW, min(WIDTH, room)))}  {ends}")
    facts = {say("Ση = ∞ and Ση² < ∞"): str(kind.robbins_monro), "torch": kind.code(epochs=epochs)}
    return "\n".join([*lines, "", *fact_lines(facts)])


def _sparkline(values: np.ndarray, width: int = WIDTH) -> str:
    """At most so many blocks, each as high as the mean of its steps between the lowest and the highest value."""
    import numpy as np

    values = values / (np.abs(values).max() or 1.0)  # so that no sum overflows
    means = [part.mean() for part in np.array_split(values, min(width, len(values)))]
    low, span = min(0.0, values.min()), values.max() - min(0.0, values.min())
    return "".join(
        BLOCKS[round(float((mean - low) / span) * (len(BLOCKS) - 1))] if span else BLOCKS[-1] for mean in means
    )
