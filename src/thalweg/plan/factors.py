"""What a study can vary, by one mechanism: optimizer, rate, schedule, regularizer, loss, batch size, model, and so on.

A `Factor` has a name (its column in tables, and what `Study.verdict_by` takes) and levels. A level is a plain value
that a store can hold: a number, or the label of an object (a formula, a schedule, a loss), which is found again by its
label, by the ``file.py:name`` it was given as, or because it is passed again. A `Setting` is one level of each factor.
What a level changes stands where it acts: a member in `plan.py`, the batched program in `engine/programs.py`, the
script in `recipe/recipe.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import formulas, losses, regularizers, schedules
from ..calls import split
from ..errors import PlanError, UsageError
from ..formulas import Formula, opaque
from ..formulas.typed import is_text
from ..language import Word, mark, say
from ..numbers import COUNT, rounded
from ..problem import trust
from ..problem.source import is_spec, opened

Level = str | int | float | bool | None  # None: the factor does not apply
FULL = "full"  # a batch of all training samples


@dataclass(frozen=True)
class Setting:
    """One way to train: what stays the same when only the seed changes.

    `further` holds (factor, level) for each factor beyond the first three that the study varies.

    >>> Setting("adam", 0.1, "cosine", (("batch_size", 16),))["batch_size"]
    16
    """

    optimizer: str
    lr: float
    schedule: str
    further: tuple[tuple[str, Level], ...] = ()

    @property
    def levels(self) -> dict[str, Level]:
        """Factor → its level, in the order of a table's columns."""
        return {"optimizer": self.optimizer, "lr": self.lr, "schedule": self.schedule, **dict(self.further)}

    def __getitem__(self, factor: str) -> Level:
        return self.levels[factor]


@dataclass(frozen=True)
class Kind:
    """How the levels of one kind of factor are read.

    Attributes:
        name: the column of tables.
        argument: of `compare`; with a hyphen for each underscore also the option of the command line.
        words, many: what sentences call one and several.
        read: what a user gives → the object that a level names, or the level itself; raises a sentence.
        named: whether a level is the label of an object.
        in_files: whether such an object may be given as ``file.py:name`` or ``package.module:name``.
    """

    name: str
    argument: str
    words: str
    many: str
    read: Callable[[Any], Any]
    named: bool = False
    in_files: bool = False

    def level(self, thing: Any) -> Any:
        """The level of what `read` gives."""
        return thing if not self.named else "none" if thing is None else thing.label


@dataclass(frozen=True)
class Factor:
    """One thing that a study varies, or holds at its only level.

    Attributes:
        levels: plain values, in the order given.
        objects: level → the object behind it.
        specs: level → ``file.py:name`` for objects that were given so, and the text of a rule for one that was typed.
        only: the optimizers that have this hyperparameter; None where it applies to all.
        usual: optimizer → its level on the grid, of a hyperparameter whose other levels are tried at the best alone.
        scales: optimizer → by what the levels of the rate are multiplied for it, where it has a grid of its own.
    """

    kind: Kind = field(repr=False, compare=False)
    name: str
    levels: tuple[Any, ...]
    objects: Mapping[Any, Any] = field(repr=False, compare=False)
    specs: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    only: tuple[str, ...] | None = None
    usual: Mapping[str, float] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)

    @property
    def varied(self) -> bool:
        return len(self.levels) > 1

    def of(self, optimizer: str) -> tuple[Any, ...]:
        """The levels this optimizer is tried at: one, which is None, where the factor does not apply."""
        levels = (self.usual[optimizer],) if optimizer in self.usual else self.levels
        return tuple(self.scaled(level, optimizer) for level in levels) if self.applies(optimizer) else (None,)

    def scaled(self, level: Any, optimizer: str) -> Any:
        """The level that this optimizer has in the place of this one."""
        return rounded(level * self.scales[optimizer]) if optimizer in self.scales else level

    def applies(self, optimizer: str) -> bool:
        """Whether this optimizer has it."""
        return self.only is None or optimizer in self.only

    def tells(self, level: Level, optimizer: str) -> bool:
        """Whether a level says more of this optimizer's runs than its name: it applies, and is another than the usual
        one."""
        return level is not None and level != self.usual.get(optimizer)

    def called(self, level: Level) -> str:
        """What a sentence calls a level: an optimizer by its name alone, others with what they are."""
        return shown(level) if self.name == "optimizer" else f"{say(self.kind.words)} {shown(level)}"


def factor(kind: Kind, values: Any) -> Factor:
    """The factor with the levels that a user gave, each checked and each there once; a text may name several."""
    if kind.named and isinstance(values, str) and not is_text(values):
        values = split(values)
    objects: dict[Any, Any] = {}
    specs: dict[str, str] = {}
    for item in sequence(kind.argument, values):
        thing, spec = _read(kind, item)
        if (level := kind.level(thing)) in objects:
            if isinstance(thing, opaque.Opaque) and thing.maker is not objects[level].maker:
                raise PlanError(
                    "two optimizers are called {name}; give each function or class a name of its own.",
                    name=repr(thing.maker.__name__),
                )
            raise PlanError(
                "{words} {level} is listed twice; name each once.", words=mark(kind.words), level=shown(level)
            )
        objects[level] = thing
        if spec is not None:
            specs[str(level)] = spec
    trust.remember(specs.values())  # the user named them, and they ran
    levels = sorted(objects) if kind.name == "lr" else objects
    return Factor(kind, kind.name, tuple(levels), objects, specs)


def stored(
    kind: Kind,
    levels: Sequence[Any],
    specs: Mapping[str, str],
    objects: Mapping[str, Any] | None = None,
    only: Sequence[str] | None = None,
    check: Callable[[str, Any], None] | None = None,
    usual: Mapping[str, float] | None = None,
) -> Factor:
    """The factor as a store knows it; a named object is looked up at its first use, and not before.

    So a store from anywhere can be shown without running the files it names.

    Args:
        objects: label → the user's own object, which the store knows by its label alone.
        check: called with a label and the object found for it; raises if that is not what was stored.
    """
    if not kind.named:
        values = tuple(map(kind.read, sequence(kind.argument, levels)))
        applies = None if only is None else tuple(map(str, only))
        return Factor(kind, kind.name, values, {value: value for value in values}, {}, applies, usual or {})
    labels = tuple(None if level is None else str(level) for level in sequence(kind.argument, levels))
    return Factor(kind, kind.name, labels, _LazyObjects(kind, labels, specs, objects or {}, check), dict(specs))


@dataclass(frozen=True, eq=False)
class _LazyObjects(Mapping[Any, Any]):
    """The named objects of a store, each found at its first use."""

    kind: Kind
    labels: Sequence[str | None]
    specs: Mapping[str, str]
    objects: Mapping[Any, Any]
    check: Callable[[str, Any], None] | None
    resolved: dict[str | None, Any] = field(default_factory=lambda: {None: None})

    def __getitem__(self, label: str | None) -> Any:
        if label not in self.labels:
            raise KeyError(label)
        if label not in self.resolved:
            thing = self.objects[label] if label in self.objects else self._resolve(str(label))
            if self.check is not None:
                self.check(str(label), thing)
            self.resolved[label] = thing
        return self.resolved[label]

    def _resolve(self, label: str) -> Any:
        spec, words = self.specs.get(label), self.kind.words
        if self.kind.in_files:
            trust.check(spec or label)
        try:
            return _read(self.kind, spec or label)[0]
        except UsageError as error:
            if spec is not None:
                raise PlanError(
                    "this study compares {label}, and it cannot be found again: {error}", label=label, error=error
                ) from error
            raise PlanError(
                f"this study compares {label}, {'an' if words[0] in 'aeiou' else 'a'} {words} of your own: "
                f"pass it again from Python, {self.kind.argument}=[{label}, …]."
            ) from error

    def __iter__(self) -> Iterator[Any]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)


def _read(kind: Kind, item: Any) -> tuple[Any, str | None]:
    """(object, spec) of one thing a user gave."""
    if kind is OPTIMIZER and isinstance(item, str) and is_text(item):
        return kind.read(item), item
    if not (kind.in_files and isinstance(item, str) and is_spec(item)):
        return kind.read(item), None
    with opened(item, PlanError) as definition:
        thing = definition.get()
    if kind is OPTIMIZER and not isinstance(thing, Formula) and not opaque.is_maker(thing):
        raise PlanError(
            "{item} is of type {kind}, not an optimizer; name a formula (@tw.formula()), a class of "
            "torch.optim's kind or a function (params, lr) -> optimizer.",
            item=item,
            kind=type(thing).__name__,
        )
    path, _, name = item.rpartition(":")
    return kind.read(thing), f"{Path(path).resolve()}:{name}" if path.endswith(".py") else item


# What a user may give for a level of each kind


def _optimizer(item: Any) -> Formula:
    if isinstance(item, torch.optim.Optimizer):
        raise PlanError(
            "{item} is an optimizer of one model's weights, and every run has weights of its own: give the class, "
            "as torch.optim.SGD, or functools.partial(torch.optim.SGD, momentum=0.9).",
            item=type(item).__name__,
        )
    if not isinstance(item, str | Formula) and not opaque.is_maker(item):
        raise PlanError(
            "an optimizer is a name, a formula, a class of torch.optim's kind or a function (params, "
            "lr) -> optimizer, not {item}; known names: {names}.",
            item=repr(item),
            names=", ".join(formulas.names()),
        )
    return formulas.get(item) if isinstance(item, str | Formula) else formulas.of(item)


def _rate(item: Any) -> float:
    if isinstance(item, bool) or not isinstance(item, int | float | np.number) or not 0 < item < math.inf:
        raise PlanError("rate {item} is not allowed: a learning rate is a positive number.", item=repr(item))
    return float(item)


def _batch_size(item: Any) -> str | int:
    if isinstance(item, str) and item != FULL:
        raise PlanError(
            "batch size {item} is not allowed: give a number of samples, or {full} for all of them.",
            item=repr(item),
            full=repr(FULL),
        )
    return FULL if item == FULL else COUNT.check("batch_size", item, PlanError)


def _stored_batch_size(item: Any) -> str | int:
    """As given, or 0 where a DataLoader decides."""
    return 0 if item == 0 else _batch_size(item)


def _model(item: Any) -> Level:
    return item  # what the problem calls it, which has checked it; None where it has one


def _value(item: Any) -> Level:
    if not isinstance(item, int | float | bool | str | np.number | np.bool_):
        raise PlanError(
            "{item} is not a value of a hyperparameter; give numbers, or an option's names.", item=repr(item)
        )
    plain = item.item() if isinstance(item, np.generic) else item
    return float(plain) if isinstance(plain, int) and not isinstance(plain, bool) else plain


OPTIMIZER = Kind("optimizer", "optimizers", mark("optimizer"), mark("optimizers"), _optimizer, True, True)
RATE = Kind("lr", "rates", mark("rate"), mark("rates"), _rate)
SCHEDULE = Kind("schedule", "schedules", mark("schedule"), mark("schedules"), schedules.get, True)
REGULARIZER = Kind("regularizer", "regularizers", mark("regularizer"), mark("regularizers"), regularizers.get, True)
LOSS = Kind("loss", "losses", mark("loss"), mark("losses"), losses.get, True, True)
BATCH_SIZE = Kind("batch_size", "batch_sizes", mark("batch size"), mark("batch sizes"), _batch_size)
STORED_BATCH_SIZE = replace(BATCH_SIZE, read=_stored_batch_size)
MODEL = Kind("model", "models", mark("model"), mark("models"), _model)

# in every plan; hyperparameters come after
FIXED = (OPTIMIZER, RATE, SCHEDULE, REGULARIZER, LOSS, STORED_BATCH_SIZE, MODEL)


def words_of(name: str) -> str:
    """What sentences and tables call the factor of that name; hyperparameters keep theirs.

    >>> words_of("lr"), words_of("batch_size"), words_of("weight_decay")
    ('rate', 'batch size', 'weight_decay')
    """
    return next((kind.words for kind in FIXED if kind.name == name), name)


def hyperparameter(name: str) -> Kind:
    """The kind of factor that a hyperparameter of that name is."""
    return Kind(name, f"hyperparameters[{name!r}]", mark(name), say("values of {name}", name=name), _value)


def shown(level: Level) -> str:
    """A level as tables and sentences show it.

    >>> shown(None), shown(0.0001), shown(64), shown("cosine")
    ('–', '0.0001', '64', 'cosine')
    """
    if isinstance(level, Word):
        return say(level)
    return "–" if level is None else f"{level:g}" if isinstance(level, float) else str(level)


def sequence(what: str, values: Any) -> list[Any]:
    """The values as a list that is not empty; one name alone is a list of one."""
    if isinstance(values, str | Formula | schedules.Schedule | regularizers.Regularizer | Mapping):
        values = [values]
    try:
        listed = list(values)
    except TypeError as error:
        raise PlanError("{what} must be a list, not {values}.", what=what, values=repr(values)) from error
    if not listed:
        raise PlanError("{what} is empty; name at least one.", what=what)
    return listed
