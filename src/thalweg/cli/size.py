"""`thalweg size`: how large a model is."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UsageError
from .options import Everything
from .result import print_json, rule_of, split

EXAMPLE = "Example: thalweg size net.py:make --input 3,224,224 --batch 32"


def size(
    model: Annotated[
        str,
        typer.Argument(
            help="lenet, alexnet, alexnet-2gpu, googlenet, bottleneck, a built-in problem, file.py:function or "
            "package.module:function; the function returns a torch.nn.Module, (module, example input) or a tw.Problem."
        ),
    ],
    input: Annotated[
        list[str] | None,
        typer.Option(
            help="Shape of one sample without the batch: 3,224,224, or 32:int64 with a dtype. Again for each input."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Samples at once.")] = 1,
    optimizer: Annotated[
        list[str] | None,
        typer.Option(
            help="Rules whose states to count, e.g. 'sgd,adam(amsgrad=True)', separated by commas; all unless given."
        ),
    ] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="How deep to look into modules of modules.")] = None,
    json: Everything = False,
) -> None:
    """Count a model: shapes, parameters and multiply-adds of each layer, bytes of weights, gradients and states."""
    from ..sizes.size import size as run

    rules = [rule_of(name, UsageError) for names in optimizer or () for name in split(names)]
    result = run(model, input or None, batch, rules or None)
    if json:
        print_json(result.to_json())
        return
    from rich.console import Console

    from ..sizes.shown import text

    print(text(result, depth, min(Console().width, 110)))
