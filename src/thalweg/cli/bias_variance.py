"""`thalweg bias-variance`: why models err."""

from __future__ import annotations

from typing import Annotated

import typer

from ..language import say
from .listing import columns_of, print_table, print_words
from .options import BatchSize, Device, Hyperparameters, Json, Precision, Problem, Rates, Schedules
from .picture import Drawn, check_picture, write_picture
from .result import print_json, split, values_of

EXAMPLE = "Example: thalweg bias-variance wave --rates 0.001,0.01,0.1 --members 10 -o parts.svg"


def bias_variance(
    problem: Problem,
    optimizers: Annotated[str, typer.Option(help="Names, also with arguments, separated by commas.")] = "adam",
    rates: Rates = "0.01",
    schedules: Schedules = "constant",
    members: Annotated[int, typer.Option(help="Resamples of the training data, the same for every setting.")] = 30,
    epochs: Annotated[int, typer.Option(help="Passes over each resample.")] = 20,
    batch_size: BatchSize = 64,
    hyperparameters: Hyperparameters = None,
    regularizers: Annotated[
        str | None, typer.Option(help='Several to take apart, e.g. none,"l2(1e-3)"; see `thalweg regularizer`.')
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(help="The targets' variance around what can be known, or entropy in nats; the problem's own."),
    ] = None,
    along: Annotated[str | None, typer.Option(help="What the picture has on its axis, where several vary.")] = None,
    device: Device = "auto",
    precision: Precision = "float32",
    output: Drawn = None,
    json: Json = False,
) -> None:
    """Take the error of each setting apart into bias, variance and noise, from models trained on resamples."""
    from ..plan.factors import words_of
    from ..plan.plan import parse_rates
    from ..resampling.bias_variance import bias_variance as run

    check_picture(output)
    result = run(
        problem,
        split(optimizers),
        parse_rates(rates),
        split(schedules),
        members,
        epochs,
        batch_size,
        hyperparameters=values_of(hyperparameters or []) or None,
        regularizers=None if regularizers is None else split(regularizers),
        noise=noise,
        device=device,
        precision=precision,
    )
    write_picture(output, lambda: result.picture(along))
    if json:
        facts = {"problem": result.name, "measure": result.measure, "noise_known": result.known}
        print_json(facts | {"members": result.members, "settings": result.table().to_dict("records")})
        return
    print_words(str(result))
    print()
    headings = {name: words_of(name) for name in result.varied}
    headings |= {"error": say(result.measure), "bias": result.bias, "variance": say("variance")}
    print_table(
        columns_of(result.table(), headings | ({"noise": say("noise")} if result.known else {}), intervals=True)
    )
    print_words(say("Means over the validation samples, with half the width of their 95% intervals."))
    if output is not None:
        print(output)
