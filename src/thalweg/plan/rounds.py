"""The settings that a search tried beside its grid, in rounds: plain values of a store, and back.

A round maps each factor that is ranked to the settings by which the round refined the search of its levels. So a
ranking by one factor can leave out what was tried for the sake of another, and its levels all have equally many
settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .factors import Setting

Round = Mapping[str, tuple[Setting, ...]]


def plain(rounds: Iterable[Round]) -> list[dict[str, list[dict[str, Any]]]]:
    """As JSON has them.

    >>> plain([{"optimizer": (Setting("adam", 0.1, "cosine", (("batch_size", 16),)),)}])[0]["optimizer"]
    [{'optimizer': 'adam', 'lr': 0.1, 'schedule': 'cosine', 'further': {'batch_size': 16}}]
    """
    return [{name: [_plain(setting) for setting in settings] for name, settings in one.items()} for one in rounds]


def _plain(setting: Setting) -> dict[str, Any]:
    return {**vars(setting), "further": dict(setting.further)}


def read(stored: Sequence[Mapping[str, Sequence[Mapping[str, Any]]]]) -> tuple[Round, ...]:
    """What `plain` gave.

    >>> rounds = ({"optimizer": (Setting("adam", 0.1, "cosine", (("batch_size", 16),)),)},)
    >>> read(plain(rounds)) == rounds
    True
    """
    return tuple({name: tuple(map(_read, settings)) for name, settings in one.items()} for one in stored)


def _read(values: Mapping[str, Any]) -> Setting:
    further = tuple(values["further"].items())
    return Setting(values["optimizer"], float(values["lr"]), values["schedule"], further)
