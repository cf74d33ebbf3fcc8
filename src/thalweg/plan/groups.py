"""What a user gives as ``groups=``: a function of the model, name patterns, or words; made into groups of names.

They are settled once, on a model of the problem, and a plan holds the names: a store needs neither the function nor the
patterns again. Patterns add up: a parameter has what every pattern that fits it says, as long as no two say different
things of one hyperparameter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from ..calls import literal
from ..errors import FormulaError, PlanError, UsageError, raised, short
from ..formulas import Formula
from ..formulas.drop_in import TUPLES, check
from ..formulas.opaque import Opaque
from ..numbers import Range
from ..population.groups import ParameterGroup, ParameterGroups
from ..problem.source import is_spec, opened
from ..unknown import unknown
from .hyperparameters import within
from .parameters import BOTH, Names, few, shown

NO_DECAY = "no decay on biases and norms"
RATE_FACTOR, FACTOR, FROZEN = "rate_factor", "_factor", "frozen"
_FORMS = (
    "give a function (model) -> list of groups, {pattern: {hyperparameter: value}}, or text such as "
    f'"*.bias: weight_decay=0; head.*: rate_factor=10" or "{NO_DECAY}"'
)
_ANY, _SHARE = Range(), Range(0)


@dataclass
class _Settings:
    """What a parameter, or a group, has of its own."""

    values: dict[str, float] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)
    frozen: bool = False

    def add(self, other: _Settings, name: str) -> None:
        """Take up what another pattern says of the parameter."""
        for mine, theirs, beside in (
            (self.values, other.values, self.factors),
            (self.factors, other.factors, self.values),
        ):
            for key, value in theirs.items():
                if key in beside or mine.setdefault(key, value) != value:
                    raise PlanError(
                        "groups: two patterns give {name} another {key}; let one of them say it.", name=name, key=key
                    )
        self.frozen |= other.frozen

    @property
    def key(self) -> tuple[Any, ...]:
        return tuple(sorted(self.values.items())), tuple(sorted(self.factors.items())), self.frozen


def resolved(
    given: Any, model: nn.Module, rules: Iterable[Formula], varied: Collection[str] = ()
) -> ParameterGroups | None:
    """The groups that a user asks for, of the parameters of this model; None where all have the same.

    Args:
        given: None, a function (model) → list of groups, ``{pattern: {name: value}}``, the same as text, the text
            ``no decay on biases and norms``, or ``file.py:function``.
        rules: the optimizers of the study.
        varied: hyperparameters that the study tunes.

    Raises:
        PlanError: a pattern that fits nothing, a parameter in two groups or in none, a hyperparameter that no optimizer
            has, a number out of its range.
    """
    rules = list(rules)
    groups = None if given is None else _settled(given, model, rules)
    for group in groups.groups if groups is not None else ():
        for rule in (rule for rule in rules if rule.meanings):
            for name, value in group.changes(rule.hyperparameters).items():
                within(rule, name, value, "groups")
    if groups is None or groups.frozen:
        return groups
    return replace(groups, idle=tuple(rule.label for rule in rules if not _changes(groups, rule, varied)))


def _changes(groups: ParameterGroups, rule: Formula, varied: Collection[str]) -> bool:
    """Whether a run of this optimizer is another with the groups."""
    if isinstance(rule, Opaque) and not rule.is_class:
        return True
    usual = rule.hyperparameters
    pairs = [pair for group in groups.groups for pair in group.changes(usual).items()]
    others = any(rule.options[n] != on for group in groups.groups for n, on in group.forms(rule).items())
    return others or any(name in varied or name == "lr" or value != usual[name] for name, value in pairs)


def _settled(given: Any, model: nn.Module, rules: Sequence[Formula]) -> ParameterGroups | None:
    """The groups, whatever they change."""
    known, names = _Known.of(rules, model), Names(model)
    if isinstance(given, str) and _names_function(given):
        with opened(given, PlanError) as definition:
            function = definition.get()
            if not callable(function):
                raise PlanError(
                    "{given} is of type {kind}, not a function (model) -> list of groups.",
                    given=given,
                    kind=type(function).__name__,
                )
            return _of_function(function, model, names, known, given)
    if isinstance(given, str | Mapping):
        table = _parsed(given) if isinstance(given, str) else given
        return _of_patterns(table, names, known, _written(table))
    if not callable(given) or isinstance(given, nn.Module):
        raise PlanError(f"groups is {shown(given)}; {_FORMS}.")
    return _of_function(given, model, names, known, getattr(given, "__qualname__", type(given).__name__))


@dataclass(frozen=True)
class _Known:
    """The hyperparameters that groups may name.

    Attributes:
        values: which of them some optimizer has.
        forms: options by which a tensor's shape chooses the form of some optimizer, and its name may, too.
        factors: which have a known value to multiply.
        common: what all parameters have alike → an optimizer that has it: options, and where states begin.
    """

    values: tuple[str, ...]
    forms: tuple[str, ...]
    factors: tuple[str, ...]
    common: Mapping[str, str]

    @classmethod
    def of(cls, rules: Sequence[Formula], model: nn.Module) -> _Known:
        # torch.optim begins states at what its class was given, whatever a group has; Rprop's at the group's rate.
        first = {f: rule.name for rule in rules for _, f in rule.equations.initial if isinstance(f, str) and f != "lr"}
        forms = tuple(dict.fromkeys(name for rule in rules for name in rule.by_shape))
        common = {**{name: rule.name for rule in rules for name in rule.options if name not in forms}, **first}
        numbers = dict.fromkeys(name for rule in rules for name in rule.hyperparameters if name not in common)
        # Of a function (params, lr) -> optimizer only what it makes knows its hyperparameters.
        makers = [rule for rule in rules if isinstance(rule, Opaque) and not rule.is_class]
        made = dict.fromkeys(name for rule in makers for name in _defaults(rule, model) if name not in ("lr",))
        factors = tuple(name for name in numbers if name not in made)
        return cls((*numbers, *made), forms, factors, common)

    def read(self, own: Any, of: str, skip: Sequence[str] = ()) -> _Settings:
        """The settings that a user's mapping gives."""
        if not isinstance(own, Mapping):
            raise PlanError("groups: {of} has {own}; give {{hyperparameter: value}}.", of=of, own=shown(own))
        settings = _Settings()
        for name, value in own.items():
            if name not in skip:
                self._read(settings, str(name), value, of)
        if both := [name for name in settings.values if name in settings.factors]:
            raise PlanError("groups: {of} gives both {both} and a factor on it; give one of them.", of=of, both=both[0])
        return settings

    def _read(self, settings: _Settings, name: str, value: Any, of: str) -> None:
        factor = "lr" if name == RATE_FACTOR else name.removesuffix(FACTOR)
        if name == FROZEN or name in self.forms:
            if not isinstance(value, bool):
                raise PlanError(
                    "groups: {name} of {of} is {value}; give True or False.", name=name, of=of, value=shown(value)
                )
            if name == FROZEN:
                settings.frozen = value
            else:
                settings.values[name] = value
        elif name in TUPLES and TUPLES[name][0] in self.values:
            parts = [part for part in TUPLES[name] if part in self.values]
            if not isinstance(value, tuple | list) or len(value) != len(parts):
                raise PlanError(
                    "groups: {name} of {of} is {value}; give {count} numbers.",
                    name=name,
                    of=of,
                    value=shown(value),
                    count=len(parts),
                )
            settings.values |= {part: _number(part, one, of) for part, one in zip(parts, value, strict=True)}
            _in_range({name: tuple(value)}, of)
        elif name in self.values:
            settings.values[name] = _number(name, value, of)
            _in_range({name: settings.values[name]}, of)
        elif name != factor and factor in self.factors:
            settings.factors[factor] = float(_SHARE.check(f"groups: {name} of {of}", value, PlanError))
        else:
            raise PlanError(f"groups: {of}: {self._refusal(name, factor)}")

    def _refusal(self, name: str, factor: str) -> str:
        if name in self.common:
            return f"{name} is the same for all parameters; set it for the optimizer, {self.common[name]}({name}=…)."
        if name != factor and factor in self.values:
            return f"an optimizer made by a function does not say its {factor}; give {factor} itself, not a factor."
        return unknown("hyperparameter of these optimizers", name, (RATE_FACTOR, FROZEN, *self.values, *self.forms))


def _defaults(rule: Opaque, model: nn.Module) -> list[str]:
    """The numbers among the defaults of what a function (params, lr) → optimizer makes."""
    try:
        made = rule.build([p for p in model.parameters() if p.requires_grad])
    except FormulaError:  # said where its groups are checked
        return []
    return [n for n, v in made.defaults.items() if isinstance(v, int | float) and not isinstance(v, bool)]


def _number(name: str, value: Any, of: str) -> float:
    return float(_ANY.check(f"groups: {name} of {of}", value, PlanError))


def _in_range(argument: Mapping[str, Any], of: str) -> None:
    try:
        check(argument, grouped=True)
    except UsageError as error:
        raise PlanError(f"groups: {of}: {error}") from error


def _of_patterns(table: Mapping[Any, Any], names: Names, known: _Known, label: str) -> ParameterGroups | None:
    if not table:
        raise PlanError(f"groups is empty; {_FORMS}.")
    each = {name: _Settings() for name in names.training}
    for pattern, own in table.items():
        settings = known.read(own, repr(pattern))
        for name in names.fitting(pattern):
            each[name].add(settings, name)
    return _collected(each, label)


def _of_function(
    function: Callable[[nn.Module], Any], model: nn.Module, names: Names, known: _Known, label: str
) -> ParameterGroups | None:
    try:
        groups = function(model)
    except Exception as error:  # whatever a user's function may raise
        raise PlanError("groups={label} fails with {error}.", label=label, error=raised(error)) from error
    if not isinstance(groups, list | tuple) or not all(isinstance(one, Mapping) and "params" in one for one in groups):
        raise PlanError(
            'groups={label} returns {groups}; it must return a list of groups, [{{"params": […], '
            '"weight_decay": 0.0}}, …].',
            label=label,
            groups=shown(groups),
        )
    each: dict[str, _Settings] = {}
    for k, group in enumerate(groups, 1):
        settings = known.read(group, f"group {k}", skip=("params",))
        for name in _members(group["params"], names, f"groups={label}: group {k}"):
            if name in each:
                raise PlanError("groups={label}: {name} is in two groups; leave it in one.", label=label, name=name)
            each[name] = replace(settings)
    if forgotten := [name for name in names.training if name not in each]:
        raise PlanError(
            "groups={label} leaves out {forgotten}; give a group to every parameter that trains.",
            label=label,
            forgotten=few(forgotten),
        )
    return _collected({name: each[name] for name in names.training}, label)


def _members(params: Any, names: Names, where: str) -> list[str]:
    """The names of the parameters that a function gives."""
    found = []
    for one in [params] if isinstance(params, Tensor) else list(params):
        if not isinstance(one, Tensor):
            raise PlanError(
                "{where} has {one} among its params; give parameters of the model.", where=where, one=shown(one)
            )
        if id(one) not in names.first:
            raise PlanError(
                "{where} has a parameter of shape {shape} that is not of the model it was given; take "
                "parameters of its argument.",
                where=where,
                shape=tuple(one.shape),
            )
        found.append(names.first[id(one)])
    return found


def _collected(each: Mapping[str, _Settings], label: str) -> ParameterGroups | None:
    """Those with the same settings as one group."""
    alike: dict[tuple[Any, ...], list[str]] = {}
    for name, settings in each.items():
        alike.setdefault((True,) if settings.frozen else settings.key, []).append(name)
    frozen = tuple(alike.pop((True,), ()))
    others = len(alike.pop(_Settings().key, ()))
    if not alike and not others:
        raise PlanError("groups: every parameter is frozen; leave one that trains.")
    groups = [ParameterGroup(tuple(names), each[names[0]].values, each[names[0]].factors) for names in alike.values()]
    return ParameterGroups(label, tuple(groups), frozen, others) if groups or frozen else None


def _names_function(text: str) -> bool:
    """Whether it is ``file.py:function`` or ``package.module:function``, and not a pattern that is frozen."""
    return is_spec(text) and text.rpartition(":")[2] != FROZEN


def _parsed(text: str) -> dict[str, dict[str, Any]]:
    """``*.bias: weight_decay=0; embed.*: frozen`` as a mapping."""
    table: dict[str, dict[str, Any]] = {}
    for entry in text.split(";"):
        pattern, _, rest = (part.strip() for part in entry.partition(":"))
        own: dict[str, Any] = {"weight_decay": 0.0} if sorted(entry.lower().split()) == sorted(NO_DECAY.split()) else {}
        for setting in filter(None, map(str.strip, rest.split(","))):
            name, sign, value = (part.strip() for part in setting.partition("="))
            own[name] = _value(value) if sign else True
        if not own:
            raise PlanError(f"groups: {short(entry.strip())!r} is not of the form PATTERN: NAME=VALUE, …; {_FORMS}.")
        pattern = pattern if rest else BOTH
        if pattern in table:
            raise PlanError(
                "groups: {pattern} is there twice; give it once, with all that it has.", pattern=repr(pattern)
            )
        table[pattern] = own
    return table


def _value(word: str) -> Any:
    try:
        return float(word)
    except ValueError:
        return {"true": True, "false": False}.get(word.lower(), word)


def _written(table: Mapping[Any, Any]) -> str:
    """A mapping as the text that is read as it."""
    entries = []
    for pattern, own in table.items():
        if pattern == BOTH and own == {"weight_decay": 0}:
            entries.append(NO_DECAY)
        elif isinstance(own, Mapping):
            given = ", ".join(FROZEN if (n, v) == (FROZEN, True) else f"{n}={literal(v)}" for n, v in own.items())
            entries.append(f"{pattern}: {given}")
    return "; ".join(entries)
