"""`thalweg regularizer`: the catalogue of regularizers, or one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..language import mark, say
from .listing import also_called, columns, each_said, entry, print_table
from .options import Everything
from .result import print_json

if TYPE_CHECKING:
    from .listing import Entry

EXAMPLE = "Example: thalweg regularizer mixup"
HOOKS = {  # where in a training step a regularizer acts, by the hook of `Regularizer` that it has
    "batch": mark("the batch"),
    "inside": mark("the model in training"),
    "point": mark("the point of the gradient"),
    "loss": mark("the loss"),
    "penalty": mark("a term added to the loss"),
    "gradient": mark("the gradient"),
    "shrink": mark("the weights before the update"),
    "share": mark("the weights that are evaluated"),
}
RUN = mark("the length of the run")


def regularizer(
    name: Annotated[
        str | None, typer.Argument(help="A regularizer, e.g. mixup, ridge or dropout; all of them unless given.")
    ] = None,
    json: Everything = False,
) -> None:
    """List the regularizers by where they act in a training step, or show one: formula, arguments, source."""
    from ..arguments import class_of
    from ..regularizers.base import Regularizer

    if name is not None:
        one = _entry(class_of(Regularizer, "regularizer", name.partition("(")[0].strip()))
        print_json(one.to_json()) if json else print(one)
        return
    entries = documents()
    if json:
        print_json([one.to_json() for one in entries])
        return
    rows = [(one.name, each_said(one.facts["acts on"]), say(one.formula)) for one in entries]
    print_table(columns(("regularizer", "acts on", "what it does"), rows, whole=("regularizer",)))
    print(say("One of them: thalweg regularizer mixup. In a study: --regularizers none,mixup."))


def documents() -> list[Entry]:
    """What every regularizer says of itself."""
    from ..regularizers import REGULARIZERS

    return [_entry(kind) for kind in REGULARIZERS.values()]


def _entry(kind: type[Any]) -> Entry:
    from ..regularizers.base import Regularizer

    acts = [words for hook, words in HOOKS.items() if getattr(kind, hook) is not getattr(Regularizer, hook)]
    facts: dict[str, str] = {
        mark("acts on"): ", ".join(acts) or RUN,
        mark("also called"): also_called("regularizer", kind.name),
    }
    return entry(kind, facts)
