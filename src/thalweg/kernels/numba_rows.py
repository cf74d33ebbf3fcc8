"""The numbers that a rule's forms need of each row, once a step, in float64; its loops are compiled elsewhere.

A rule that has a form for matrices and one for vectors computes both here, side by side in one table; what is one
number of the row is advanced once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..formulas.equations import Equations
from .generated import module
from .lower import lower
from .numba_cpu import FASTMATH, PREAMBLE, rows_text


@dataclass(frozen=True)
class RowNumbers:
    """Compiled scalars of forms with the same hyperparameters: f(job, first row, last row), see `numba_cpu._ROWS`.

    Attributes:
        forms: in the order of their columns.
        first: the column at which each form's begin.
        columns: of the table, of all forms.
    """

    forms: tuple[Equations, ...]
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
    columns = max(1, first[-1])
    text = "\n".join([PREAMBLE.format(fastmath=FASTMATH), *rows_text(forms, single, columns)])
    function = module(text, f"{forms[0].name}_rows").rows
    return RowNumbers(forms, tuple(first[:-1]), columns, function)
