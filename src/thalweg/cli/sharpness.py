"""`thalweg sharpness`: how sharp the minima are that a study's settings end in."""

from __future__ import annotations

from typing import Annotated

import typer

from ..language import mark, say
from .asking import Trust, ask_to_run
from .listing import columns, print_table, print_words
from .options import Json, Store
from .picture import Drawn, check_picture, write_picture
from .result import print_json

EXAMPLE = "Example: thalweg sharpness runs/digits.db --by batch_size -o sharpness.html"
MEASURES = {
    "eigenvalue": mark("eigenvalue"),
    "rise": mark("rise by ε"),
    "loss": mark("loss"),
    "validation_loss": mark("validation"),
}


def sharpness(
    store: Store,
    by: Annotated[str, typer.Option(help="Along which factor, as of `thalweg show`, e.g. batch_size.")] = "optimizer",
    seeds: Annotated[int, typer.Option(help="Runs of each level, at most.")] = 5,
    epsilon: Annotated[float, typer.Option(help="ε, the length of the step by which the loss rises.")] = 0.05,
    output: Drawn = None,
    json: Json = False,
    trust: Trust = False,
) -> None:
    """Train the chosen setting of each level again, and measure how sharp the minimum is that it ends in."""
    from ..pictures.numbers import short
    from ..plan.factors import words_of
    from ..probes.sharpness import of_study
    from ..results import Results

    check_picture(output)
    results = Results.open(store)
    ask_to_run(results, trust)
    result = of_study(results, by, seeds, epsilon)
    write_picture(output, result.picture)
    if json:
        rows = result.table.to_dict("records")
        print_json({"factor": result.factor, "levels": result.levels, "epsilon": epsilon, "runs": rows})
        return
    rows = []
    for level in result.levels:
        eigenvalue, rise, *losses = (result.interval(level, name) for name in MEASURES)
        sharp = (f"{short(m.mean)} [{short(m.low, 3)}, {short(m.high, 3)}]" for m in (eigenvalue, rise))
        rows.append((level, *sharp, *(short(m.mean) for m in losses)))
    print_table(columns((words_of(result.factor), *MEASURES.values()), rows, right=MEASURES.values()))
    runs = int(result.table.groupby("level").size().max())
    print_words(
        say(
            "Means over {runs} run{s} with their 95% intervals: the largest eigenvalue of the "
            "Hessian of the training loss, and how much it rises by a step of length ε = "
            "{epsilon:g}; larger is sharper.",
            runs=runs,
            s="s" * (runs > 1),
            epsilon=epsilon,
        )
    )
    if not result.table["converged"].all():
        print(say("Some eigenvalues had not settled to four digits."))
    if output is not None:
        print(output)
