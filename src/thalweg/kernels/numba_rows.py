"""The numbers that a rule's forms need of each row, once a step, in float64; its loops are compiled elsewhere.

A rule that has a form for matrices and one for vectors computes both here, side by side in one table; what is one
number of the row is advanced once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..formulas.equations import Equations
from .generated import module
from .lower import lower
from .numba_cpu import FASTMATH, PREAMBLE, ScalarPrinter

_ARGUMENTS = ("_t", "_loss", "_table", "_row_states", "_scalars", "_active")


@dataclass(frozen=True)
class RowNumbers:
    """Compiled scalars of forms with the same hyperparameters: f(job, first row, last row), see `_ARGUMENTS`.

    Attributes:
        forms: in the order of their columns.
        single: the states that are one number of a row, of any form.
        first: the column at which each form's begin.
        columns: of the table, of all forms.
    """

    forms: tuple[Equations, ...]
    single: tuple[str, ...]
    first: tuple[int, ...]
    columns: int
    function: Any


@functools.cache
def row_numbers(forms: tuple[Equations, ...], single: tuple[str, ...]) -> RowNumbers:
    """Compiled at the first call, or found in the cache.

    Args:
        single: the states that are one number of a row, of any form, in the order of their columns.
    """
    first = np.cumsum([0, *(len(lower(form).passed) for form in forms)]).tolist()
    text = "\n".join([PREAMBLE.format(fastmath=FASTMATH), *_source(forms, single, first)])
    function = module(text, f"{forms[0].name}_rows").rows
    return RowNumbers(forms, single, tuple(first[:-1]), max(1, first[-1]), function)


def _source(forms: Sequence[Equations], single: Sequence[str], first: Sequence[int]) -> Iterator[str]:
    numbers, printer = forms[0].hyperparameters, ScalarPrinter()
    yield "@_compiled"
    yield "def rows(_job, _start, _stop):"
    yield from (f"    {name} = _load_int64(_job, {k}, 99)" for k, name in enumerate(_ARGUMENTS))
    yield "    for _r in range(_start, _stop):"
    yield "        if _load_bool(_active, _r, 99) == 0:"
    yield "            continue"
    yield "        t = _load_float64(_t, _r, 99)"
    yield "        loss = _load_float64(_loss, _r, 99)"
    for k, name in enumerate(numbers):
        yield f"        {name} = _load_float64(_table, {len(numbers)}*_r + {k}, 99)"
    for k, name in enumerate(single):
        yield f"        {name} = _load_float64(_row_states, {len(single)}*_r + {k}, 99)"
    advanced: dict[str, str] = {}
    for form, begin in zip(forms, first, strict=False):
        program = lower(form)
        yield from (f"        {name} = {printer.doprint(value)}" for name, value in program.scalars)
        for k, name in enumerate(program.passed, begin):
            yield f"        _store_float64(_scalars, {max(1, first[-1])}*_r + {k}, 99, _float64({name}))"
        for name, new in program.row_states:
            if name not in advanced:
                advanced[name] = f"_after_{name}"
                yield f"        _after_{name} = _float64({new})"
    for k, name in enumerate(single):
        yield f"        _store_float64(_row_states, {len(single)}*_r + {k}, 99, {advanced[name]})"
