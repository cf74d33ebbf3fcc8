"""What an optimizer is: a handful of equations, written once.

`@formula` runs the decorated function a single time on SymPy symbols and keeps the expressions it
returns. Everything else in thalweg (the torch reference, the compiled kernels, the LaTeX, the row in
a table) is derived from those expressions, so there is no second place where a rule could differ.

A parameter's place in the signature says what it is:

    def adam(g, t, m, v, *, lr=1e-3, beta1=0.9, bias_correction=True)
             ────  ────     ─────────────────── ────────────────────
      reserved     states   hyperparameters     an option: a bool or a string picks
                            (numbers)           between forms of the rule when it is read

A hyperparameter whose default is None is absent until it is given a number; a rule may test
``if dampening is not None`` and so have one term, or one state, less.

A value may be one of a whole tensor, a row, a matrix or the model (`operations.py`, `shapes.py`), and a rule may have
another form for tensors of another shape: ``by_shape`` says which options a tensor's shape chooses.

Read next: `reading.py` (how the function is run and checked), then `kernels/lower.py`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import calls
from ..errors import FormulaError
from ..language import say
from ..typeset import Typeset
from ..unknown import unknown
from .drop_in import DropIn
from .equations import RESERVED, Equations, Option, Update, number, option, symbol
from .latex import latex
from .meanings import SHARED, Meaning
from .reading import read, signature
from .shapes import NAMED, Shape, matrix

WIDEST = 32_768  # side of a square matrix that a rule makes: 4 GiB in float32

__all__ = ["RESERVED", "Equations", "Formula", "Update", "formula", "symbol"]


@dataclass(frozen=True)
class Formula(Typeset):
    """An update rule: its equations, its hyperparameters' defaults, and where it comes from.

    Made by `@tw.formula`; `with_` gives the same rule with another default or another option.

    Attributes:
        name: as `tw.formulas.get` knows it.
        label: name with what was changed by `with_`, e.g. ``adam(beta2=0.99)``.
        states: names of what the rule remembers, one value per weight each.
        hyperparameters: name → default.
        options: name → the form chosen, for rules that have several; None for a hyperparameter left out.
        equations: the SymPy expressions.
        source, year, parents: paper, year and the rules it grew from.
        direction, rate: where the rule steps to and how its rate is set; its cell in the table of rules.
        idea: what it does that its parents do not, in a few words.
        departs: in what the default form differs from the source; empty where it does not.
        meanings: of hyperparameters and options, name → words and range, where they are known.
        drop_ins: the classes of `tw.optim` that mean it, the usual one first.
        batched: whether a tensor of more than two axes is a batch of matrices; an option of that name says so too.
        by_shape: option → the condition under which it holds for a tensor, where it is asked for at all: Python of its
            `axes`, and of the `rows` and `columns` of it as a matrix, and of other options.
    """

    name: str
    equations: Equations = field(repr=False)
    hyperparameters: Mapping[str, float] = field(compare=False)
    options: Mapping[str, Option] = field(compare=False)
    changed: tuple[tuple[str, float | bool | str | None], ...] = ()
    source: str = field(default="", repr=False)
    year: int | None = field(default=None, repr=False)
    parents: tuple[str, ...] = field(default=(), repr=False)
    direction: str = field(default="", repr=False)
    rate: str = field(default="", repr=False)
    idea: str = field(default="", repr=False)
    departs: str = field(default="", repr=False, compare=False)
    meanings: Mapping[str, Meaning] = field(default_factory=dict, repr=False, compare=False)
    drop_ins: tuple[DropIn, ...] = field(default=(), repr=False, compare=False)
    doc: str = field(default="", repr=False, compare=False)
    function: Callable[..., Update] | None = field(default=None, repr=False, compare=False)
    initial: Mapping[str, float | str] = field(default_factory=dict, repr=False, compare=False)
    shapes: Mapping[str, Shape] = field(default_factory=dict, repr=False, compare=False)
    batched: bool = field(default=False, repr=False, compare=False)
    by_shape: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def states(self) -> tuple[str, ...]:
        return self.equations.state_names

    @property
    def arguments(self) -> dict[str, float | Option]:
        """Its hyperparameters and options."""
        return {**self.hyperparameters, **self.options}

    @property
    def label(self) -> str:
        return self.written(self.changed)

    def written(self, changed: Iterable[tuple[str, Any]]) -> str:
        """The name with these changes, as `tw.formulas.get` reads it; of a rule around another, `Around` says it."""
        return getattr(self.function, "written", calls.write)(self.name, dict(changed))

    @property
    def unchanged(self) -> Formula:
        """The same formula with the defaults that it was declared with."""
        if not self.changed:
            return self
        assert self.function is not None
        declared = {name: value for part in signature(self.function, self.name) for name, value in part.items()}
        return replace(self.with_(**{name: declared[name] for name, _ in self.changed}), changed=())

    def with_(self, **changes: float | bool | str | None) -> Formula:
        """The same formula with other defaults or options.

        Raises FormulaError for a name the formula does not have, a value of the wrong kind, or a number outside of the
        range that its meaning says.

        >>> import thalweg as tw
        >>> tw.formulas.get("adam").with_(beta2=0.99).label
        'adam(beta2=0.99)'
        """
        assert self.function is not None
        absent = {name for name, default in signature(self.function, self.name)[1].items() if default is None}
        values = self.arguments
        for name, value in changes.items():
            if name not in values:
                raise FormulaError(unknown("hyperparameter", name, values, self.name))
            if value is None and name in absent:
                values[name] = None
            elif name in self.hyperparameters or name in absent:
                values[name] = number(self.name, name, value)
            else:
                values[name] = option(self.name, name, value, self.options[name])
            self.within(name, value)
        numbers = {name: v for name, v in values.items() if isinstance(v, float)}
        options = {name: v for name, v in values.items() if not isinstance(v, float)}
        equations = self.equations if options == self.options else self._read(numbers, options)
        return replace(
            self,
            equations=equations,
            hyperparameters={n: numbers[n] for n in equations.hyperparameters},
            options=options,
            changed=tuple(sorted({**dict(self.changed), **changes}.items())),
        )

    def within(self, name: str, value: Any) -> None:
        """Refuse a number outside of the range that is declared for it.

        >>> import thalweg as tw
        >>> tw.formulas.get("adam").within("beta1", 0.0)
        """
        numbers = self.meanings[name].numbers if name in self.meanings else None
        if numbers is not None and value is not None:
            numbers.check(say("{kind} of {owner}", kind=name, owner=self.name), value, FormulaError)

    def _read(self, numbers: Mapping[str, float], options: Mapping[str, Option]) -> Equations:
        assert self.function is not None
        batched = bool(options.get("batched", self.batched))
        return read(self.function, self.name, numbers, options, self.initial, self.shapes, batched)

    @property
    def forms(self) -> Any:
        """What tells the rule's kernels from others': its equations, with the options that choose others by shape."""
        return (self.equations, tuple(self.options.items())) if self.by_shape else self.equations

    def of_shape(self, shape: Sequence[int]) -> Formula:
        """The form of the rule for a tensor of this shape; most rules have one for all.

        >>> import thalweg as tw
        >>> tw.formulas.get("adafactor").of_shape((7,)).states
        ('v',)
        """
        if not self.by_shape and self.equations.elementwise:
            return self
        *_, rows, columns = matrix(shape, self.equations.batched)
        sides = {"rows": rows, "columns": columns}
        known = {**self.options, "axes": len(shape), **sides}
        asked = ((name, condition) for name, condition in self.by_shape.items() if self.options[name])
        form = self.form(**{name: bool(eval(condition, {"__builtins__": {}}, known)) for name, condition in asked})
        if (side := max((sides[name] for name in form.equations.squares), default=0)) > WIDEST:
            raise FormulaError(
                f"{self.label} makes a matrix of {side:,} × {side:,} numbers of a tensor of shape {tuple(shape)}, and "
                f"its sides go to {WIDEST:,}; give {'a smaller max_dim' if 'max_dim' in self.options else 'by_shape'}, "
                "so that such a tensor has another form, or train it by another rule, such as adamw."
            )
        return form

    def form(self, **chosen: bool) -> Formula:
        """The form of the rule with these options of `by_shape`."""
        options = {**self.options, **chosen}
        return self if options == self.options else self._form(tuple(options.items()))

    @functools.cached_property
    def _form(self) -> Callable[[tuple[tuple[str, Option], ...]], Formula]:
        """The same rule by its options; each form is read once."""

        @functools.cache
        def form(options: tuple[tuple[str, Option], ...]) -> Formula:
            chosen = dict(options)
            return replace(self, equations=self._read(self.hyperparameters, chosen), options=chosen)

        return form

    def latex(self) -> str:
        """The equations as LaTeX, one aligned row per state and one for the weight.

        >>> import thalweg as tw
        >>> print(tw.formulas.get("sgd").latex())
        \\begin{aligned}
        g_t &\\leftarrow g_t + \\lambda w_{t-1} \\\\
        w_t &= w_{t-1} - \\eta g_t
        \\end{aligned}
        """
        return latex(self.equations)

    def __str__(self) -> str:
        return self.label


def formula(
    function: Callable[..., Update] | None = None,
    *,
    name: str | None = None,
    source: str = "",
    year: int | None = None,
    parents: tuple[str, ...] = (),
    initial: Mapping[str, float | str] | None = None,
    direction: str = "",
    rate: str = "",
    idea: str = "",
    departs: str = "",
    meanings: Mapping[str, Meaning] | None = None,
    drop_ins: tuple[DropIn, ...] = (),
    shapes: Mapping[str, str] | None = None,
    batched: bool = False,
    by_shape: Mapping[str, str] | None = None,
    doc: str | None = None,
) -> Any:
    """Declare an update rule from a function that returns `Update`.

    The function is run once, here, on symbols. Reserved parameters are ``g`` (gradient), ``w``
    (weight), ``t`` (step counted from 1) and ``loss``; every other parameter without a default is a
    state; keyword-only parameters are hyperparameters (numbers) or options (booleans and strings).
    Inside, ``sqrt``, ``where``, ``sign``, ``abs``, ``maximum``, ``minimum``, ``exp``, ``log`` and the
    rest of `thalweg.formulas.vocabulary` and `thalweg.formulas.operations` mean their symbolic forms without an import.

    Args:
        name: the function's name unless given.
        source, year, parents: where the rule comes from.
        initial: state → its first value, a number, the name of a hyperparameter, or "w" for the weight; 0 unless given.
        shapes: state → "weight", "row", "column", "left" (rows × rows), "right" (columns × columns), "tensor" (one
            number for each) or "model", where the value that it takes does not say so.
        direction, rate, idea, departs, drop_ins, batched, by_shape: see `Formula`.
        meanings: of the hyperparameters and options that have another than in `meanings.SHARED`; the range of a number
            is held to, by the default too.
        doc: in words; the function's own unless given.

    Raises:
        FormulaError: at declaration, if the function is not an update rule, or shapes do not fit.

    >>> import thalweg as tw
    >>> @tw.formula(source="Bernstein et al. 2018", year=2018, parents=("sgd",))
    ... def sign_descent(g, *, lr=1e-3):
    ...     return tw.Update(-lr * sign(g))
    >>> sign_descent.hyperparameters
    {'lr': 0.001}
    """

    def declare(function: Callable[..., Update]) -> Formula:
        if not callable(function):
            raise FormulaError(
                "{given} is not a function that returns an Update; tw.formulas.get('adam') gives a rule of the "
                "catalogue by its name.",
                given=repr(function),
            )
        rule, first = name or function.__name__, dict(initial or {})
        hyperparameters, options = signature(function, rule)
        defaults, kept = {**hyperparameters, **options}, _shapes(rule, shapes or {})
        shared = {n: m for n, m in SHARED.items() if n in hyperparameters or _fits(m, options.get(n))}
        words = {n: m for n, m in {**shared, **(meanings or {})}.items() if n in defaults}
        for outside in (n for n, m in words.items() if not _fits(m, defaults[n])):
            if outside not in (meanings or {}):
                raise FormulaError(
                    "formula {rule}: {name} is {value} by default, and this name has the range {range} in all "
                    "rules; correct the default, or declare what it means here, "
                    "meanings={{'{name}': tw.formulas.Meaning('in words', '[0, ∞)')}}.",
                    rule=rule,
                    name=outside,
                    value=repr(defaults[outside]),
                    range=words[outside].range,
                )
            raise FormulaError(
                f"formula {rule}: {outside} is {defaults[outside]!r} by default, and its range is declared as "
                f"{words[outside].range}; correct one of them."
            )
        of_batches = bool(options.get("batched", batched))
        equations = read(function, rule, hyperparameters, options, first, kept, of_batches)
        if equations.sampled and by_shape:
            raise FormulaError(
                "formula {rule}: a rule with sampled has one form for all tensors; leave by_shape out.", rule=rule
            )
        return Formula(
            name=rule,
            equations=equations,
            hyperparameters=hyperparameters,
            options=options,
            source=source,
            year=year,
            parents=tuple(parents),
            direction=direction,
            rate=rate,
            idea=idea,
            departs=departs,
            meanings=words,
            drop_ins=drop_ins,
            doc=(inspect.getdoc(function) or "") if doc is None else doc,
            function=function,
            initial=first,
            shapes=kept,
            batched=batched,
            by_shape=_conditions(rule, by_shape or {}, options),
        )

    return declare if function is None else declare(function)


def _fits(meaning: Meaning, default: Option | float) -> bool:
    return meaning.numbers is None or default is None or default in meaning.numbers


def _conditions(rule: str, declared: Mapping[str, str], options: Mapping[str, Option]) -> Mapping[str, str]:
    known = ("axes", "rows", "columns", *options)
    for name, condition in declared.items():
        for word in (name, *compile(condition, f"<{rule}>", "eval").co_names):
            if word not in (options if word is name else known):
                raise FormulaError(f"formula {rule}: by_shape {name}: {unknown('word', word, known)}")
    return declared


def _shapes(rule: str, declared: Mapping[str, str]) -> dict[str, Shape]:
    for state, word in declared.items():
        if word not in NAMED:
            raise FormulaError(f"formula {rule}: state {state}: {unknown('shape', word, NAMED)}")
    return {state: NAMED[word] for state, word in declared.items()}
