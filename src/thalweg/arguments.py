"""Arguments that a text may give: each declared once, where a class has it, with what it allows.

Schedules, losses and regularizers are frozen dataclasses whose fields are made by the functions below. `Declared`
registers a class under its name and checks every field of an object, and `build` makes one from a call that was read
from a text (`calls.py`), so that a text and a Python call are refused in the same sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, field, fields
from typing import Any, ClassVar, TypeVar

from .aliases import called
from .errors import UsageError, short
from .language import say
from .numbers import Range
from .unknown import unknown

Read = Callable[[str, Any, type[UsageError]], Any]  # (argument as messages call it, given, error) → value
Kind = TypeVar("Kind", bound="Declared")


class Declared:
    """A dataclass that is known by a name, and checks its own arguments.

    Attributes:
        name: what a text calls it by.
        error: what is raised for a wrong argument.
        registry: name → class; each subclass that has a name enters itself, unless it is defined with ``listed=False``.
        needs: a call, as an example, of a class that cannot do without arguments.
        elsewhere: what the counterpart in PyTorch calls an argument → the argument.
    """

    name: ClassVar[str]
    error: ClassVar[type[UsageError]]
    registry: ClassVar[dict[str, Any]]
    needs: ClassVar[str] = ""
    elsewhere: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, listed: bool = True) -> None:
        if listed and "name" in vars(cls):
            cls.registry[cls.name] = cls

    def __post_init__(self) -> None:
        for f in fields(self):  # pyright: ignore[reportArgumentType]
            if "read" in f.metadata:
                value = f.metadata["read"](f"{self.name}: {f.name}", getattr(self, f.name), self.error)
                object.__setattr__(self, f.name, value)


def build(base: type[Kind], word: str, name: str, given: Mapping[str, Any]) -> Kind:
    """The object of that name with these arguments, each by its name here or in PyTorch.

    Args:
        base: of the classes that may be meant.
        word: what the name is the name of, e.g. loss.

    Raises:
        UsageError: of the base's kind: an unknown name or argument, one that is missing or not allowed.
    """
    kind = class_of(base, word, name)
    allowed = {f.name: f for f in fields(kind) if f.init}  # pyright: ignore[reportArgumentType]
    arguments = {kind.elsewhere.get(argument, argument): value for argument, value in given.items()}
    if len(arguments) < len(given):
        twice = " and ".join(n for n in given if n not in arguments or n in kind.elsewhere.values())
        raise base.error("{name}: {arguments} are the same; give one of them.", name=name, arguments=twice)
    for argument in arguments:
        if argument not in allowed:
            raise base.error(unknown("argument", argument, allowed, name))
    for argument, f in allowed.items():
        if f.default is f.default_factory is MISSING and argument not in arguments:
            raise base.error(
                "{name} needs {argument}; e.g. {example}.", name=name, argument=argument, example=kind.needs
            )
    return kind(**arguments)


def class_of(base: type[Kind], word: str, name: str) -> type[Kind]:
    """The class of that name."""
    if (found := called(word, name, base.registry)) is None:
        raise base.error(unknown(word, name, base.registry))
    return base.registry[found]


def declared(read: Read, default: Any = MISSING, kind: str = "") -> Any:
    """A field whose value is what `read` makes of the given one; `kind` sorts the fields of a class."""
    return field(default=default, metadata={"read": read, "kind": kind})


def number(default: Any, low: float, high: float = Range.high, *, above: bool = False, below: bool = False) -> Any:
    """A number of a `Range`."""
    return declared(Range(low, high, above=above, below=below).check, default, "number")


def whole(default: int, low: float = Range.low, high: float = Range.high, *, unit: str = "") -> Any:
    """A whole number of a `Range`."""
    return declared(Range(low, high, whole=True, unit=unit).check, default, "whole")


def choice(default: str, *others: str) -> Any:
    """One of a few words; the first is the default."""
    return declared(one_of((default, *others)), default, "choice")


def flag(default: bool) -> Any:
    """True or False."""
    return declared(one_of((True, False)), default, "flag")


def one_of(values: Sequence[Any]) -> Read:
    """What reads one of some values, all of a type."""

    def read(what: str, value: Any, error: type[UsageError]) -> Any:
        if not isinstance(value, type(values[0])) or value not in values:
            allowed = say(" or ").join(map(repr, values))
            raise error("{what} is {value}; give {allowed}.", what=what, value=short(repr(value)), allowed=allowed)
        return value

    return read


def optional(inner: Any) -> Any:
    """The same argument, or None, which is the default."""
    read, kind = inner.metadata["read"], inner.metadata["kind"]
    return declared(lambda what, value, error: None if value is None else read(what, value, error), None, kind)
