"""Callbacks as text, for the command line and the store: ``tensorboard:DIR``, ``mlflow:URI``, ``wandb:PROJECT``.

Options follow as words: ``"wandb:team/project mode=offline"``, ``"mlflow:sqlite:///mlflow.db experiment=digits"``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from ..errors import PlanError, ThalwegError, short
from ..problem import trust
from ..unknown import unknown
from .base import Callback, Tool
from .journal import Journal
from .mlflow import MLflow
from .tensorboard import TensorBoard
from .wandb import WandB

TOOLS: Mapping[str, type[Any]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}
FORMS = "give tensorboard:DIR, mlflow:URI or wandb:PROJECT"
_OPTIONS = re.compile(r"(.*?)((?:\s+[a-z]+=\S+)*)\s*", re.DOTALL)


def named(text: str) -> Any:
    """The tool that a text names.

    Raises:
        PlanError: there is no such tool or option, or the place is missing.
        WorkError: its package is missing.

    >>> named("tensorboard:runs/tb"), named("wandb:team/digits mode=offline")
    (TensorBoard(folder='runs/tb'), WandB(project='team/digits', mode='offline'))
    """
    kind, _, rest = text.strip().partition(":")
    if kind not in TOOLS:
        raise PlanError(f"{short(text)!r} is not a place to log to: {FORMS}.")
    place, *options = fields(TOOLS[kind])
    match = _OPTIONS.fullmatch(rest)
    assert match is not None  # its parts may be empty
    given = dict(word.split("=", 1) for word in match[2].split())
    for name in given:
        if name not in (names := [f.name for f in options]):
            raise PlanError(unknown("option", name, names or ["none"], kind))
    if match[1]:
        given[place.name] = match[1]
    elif place.default is MISSING:
        raise PlanError(f"{short(text)!r} names no {place.name}: {FORMS}.")
    return TOOLS[kind](**given)


def text_of(tool: Any) -> str | None:
    """What `named` reads as this tool, wherever it is read; None for one of the user's own.

    >>> text_of(WandB("digits", mode="offline"))
    'wandb:digits mode=offline'
    """
    kind = next((name for name, of in TOOLS.items() if type(tool) is of), None)
    if kind is None:
        return None
    place, *options = [(f, getattr(tool, f.name)) for f in fields(tool)]
    first = Path(place[1]).absolute() if kind == "tensorboard" else place[1]
    return " ".join([f"{kind}:{first}", *(f"{f.name}={value}" for f, value in options if value != f.default)])


def callbacks_of(given: Any) -> list[Callback]:
    """What a user gave as `callbacks`: texts, tools and callbacks.

    Raises:
        PlanError: something else.
    """
    if isinstance(given, str | Callback | Tool) or not isinstance(given, Sequence):
        given = [given]
    return [_callback(named(item) if isinstance(item, str) else item) for item in given]


def _callback(item: Any) -> Callback:
    if isinstance(item, Callback):
        return item
    if isinstance(item, Tool) and not isinstance(item, type):
        return Journal(item)
    raise PlanError(
        f"{item!r} is not a callback: give tw.callbacks.TensorBoard(folder), MLflow(uri), WandB(project) or an object "
        "of a class of yours that derives from tw.callbacks.Callback."
    )


def texts_of(callbacks: Sequence[Callback]) -> list[str]:
    """Those that a store can name."""
    texts = [text_of(one.tool) for one in callbacks if isinstance(one, Journal)]
    return [text for text in texts if text is not None]


def as_before(texts: Sequence[str], note: Callable[[str], None]) -> list[Callback]:
    """The callbacks that a store names, as far as this machine has used them: a store may come from anywhere."""
    callbacks = []
    for text in texts:
        try:
            if trust.unknown([trust.address(text)]):
                raise PlanError("the store names it, and this machine never used it; give it again (--log).")
            callbacks += callbacks_of(text)
        except ThalwegError as error:
            note(f"Not logged to {text}: {error}")
    return callbacks
