"""What `thalweg bag` and `thalweg boost` print of an ensemble: what it is worth beside one of its members."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..language import mark, say
from .listing import columns, print_table, print_words
from .result import check_report, print_json

if TYPE_CHECKING:
    from ..problem.prepare import Prepared
    from ..resampling.ensemble import Ensemble

Saved = Annotated[
    Path | None, typer.Option("--output", "-o", help="Save it as this .safetensors file, which tw.Ensemble.load reads.")
]


def check_saved(output: Path | None) -> None:
    """Refuse a file that could not be written, before any work is done for it."""
    if output is not None and output.suffix != ".safetensors":
        raise UsageError(f"{output} cannot hold an ensemble: it must end in .safetensors.")
    check_report(output)


def compared(ensemble: Ensemble, ready: Prepared, alone: str) -> dict[str, dict[str, float]]:
    """Loss and metrics on the validation part: the mean of single members, and all together.

    Args:
        alone: what the mean of single ones is called.
    """
    inputs, targets = ready.validation.inputs, ready.validation.plain_targets
    single = [ensemble.judged(each, targets) for each in ensemble.outputs(inputs)]
    means = {name: sum(one[name] for one in single) / len(single) for name in single[0]}
    return {alone: means, mark("all together"): ensemble.score(inputs, targets)}


def show(
    ensemble: Ensemble, scores: dict[str, dict[str, float]], words: str, output: Path | None, json: bool, **facts: Any
) -> None:
    """Print it, after it is saved.

    Args:
        words: that come before the scores.
        facts: of the ensemble, for `json`.
    """
    from ..pictures.numbers import short

    if output is not None:
        ensemble.save(output)
    if json:
        rows = ensemble.table().to_dict("records")
        print_json({"kind": ensemble.kind, "problem": ensemble.name, **facts, "scores": scores, "members": rows})
        return
    print_words(words)
    print()
    names = list(next(iter(scores.values())))
    rows = [(say(which), *(short(one[name]) for name in names)) for which, one in scores.items()]
    print_table(columns(("on the validation part", *names), rows, right=names))
    if output is not None:
        print(output)
