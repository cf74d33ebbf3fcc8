"""A formula's expressions as lines of plain Python: numbers by its math, tensors by torch.

Read next: `plain.py`, which makes a class of them.
"""

from __future__ import annotations

import functools
from typing import Any

import sympy as sp

from ..formulas import operations
from ..kernels.lower import Printer

_SIZES = (operations.rows, operations.columns, operations.resolution)
# what is said in one call of torch: the argument as it is printed, and in brackets where it is not one name
_OF_TENSORS = {
    "norm": "torch.linalg.vector_norm({0})",
    "mean": "{x}.mean()",
    "rms": "{x}.square().mean().sqrt()",
    "dot": "({x} * {y}).sum()",
    "total": "{x}.sum()",
    "row_mean": "{x}.mean(-1, keepdim=True)",
    "column_mean": "{x}.mean(-2, keepdim=True)",
    "rows": "{x}.shape[-2]",
    "columns": "{x}.shape[-1]",
    "resolution": "torch.finfo({x}.dtype).eps",
    "matmul": "({x} @ {y})",
    "transpose": "{x}.mT",
    "diagonal": "{x}.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)",
}

# of numbers, of tensors, and what `clamp` calls a number that bounds a tensor
_ENDS = {sp.Max: ("max", "maximum", "min"), sp.Min: ("min", "minimum", "max")}


class Plain(Printer):
    """Numbers by Python and its math, tensors by torch.

    Args:
        numbers: the symbols that are numbers.

    Attributes:
        copied: the functions of `kernels/tensor_ops.py` that the text calls, which a script has to have.
    """

    def __init__(self, numbers: set[Any]) -> None:
        super().__init__()
        self.numbers = numbers
        self.copied: set[str] = set()

    def number(self, value: float) -> str:
        return str(int(value)) if float(value).is_integer() and abs(value) < 1e9 else repr(float(value))

    def is_number(self, expression: Any) -> bool:
        if isinstance(expression, _SIZES):
            return True
        if expression.is_Symbol:
            return expression in self.numbers
        return all(map(self.is_number, expression.args))

    def _print_Function(self, expr: Any) -> str:
        name, given = type(expr).__name__, [self._print(a) for a in expr.args]
        if name in _OF_TENSORS:
            whole = (a.is_Symbol or isinstance(a, operations.OperationBase) for a in expr.args)
            bracketed = [text if alone else f"({text})" for text, alone in zip(given, whole, strict=True)]
            return _OF_TENSORS[name].format(*given, **dict(zip("xy", bracketed, strict=False)))
        if isinstance(expr, operations.OperationBase):
            self.copied.add(name)
            return f"{name}({', '.join(given)})"
        return f"{'math' if self.is_number(expr) else 'torch'}.{name}({', '.join(given)})"

    _print_exp = _print_log = _print_tanh = _print_sin = _print_cos = _print_floor = _print_Function

    def _print_sign(self, expr: Any) -> str:
        (given,) = map(self._print, expr.args)
        return f"math.copysign(1, {given})" if self.is_number(expr) else f"torch.sign({given})"

    def _print_Abs(self, expr: Any) -> str:
        return f"abs({self._print(expr.args[0])})"

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        base, exponent = expr.args
        if exponent.is_Number and float(exponent) == 0.5:
            return f"{'math' if self.is_number(base) else 'torch'}.sqrt({self._print(base)})"
        return super()._print_Pow(expr, rational)

    def _print_Max(self, expr: Any) -> str:
        of_numbers, of_tensors, end = _ENDS[type(expr)]
        every = sorted(expr.args, key=sp.default_sort_key)
        numbers = [self._print(a) for a in every if self.is_number(a)]
        tensors = [self._print(a) for a in every if not self.is_number(a)]
        number = f"{of_numbers}({', '.join(numbers)})" if len(numbers) > 1 else "".join(numbers)
        if not tensors:
            return number
        tensor = functools.reduce(lambda a, b: f"torch.{of_tensors}({a}, {b})", tensors)
        return f"({tensor}).clamp({end}={number})" if numbers else tensor

    _print_Min = _print_Max

    def _print_Piecewise(self, expr: Any) -> str:
        *branches, (last, _) = expr.args
        text = self._print(last)
        for value, condition in reversed(branches):
            asked, yes = self._print(condition), self._print(value)
            if self.is_number(condition):
                text = f"({yes} if {asked} else {text})"
            elif self.is_number(value) and self.is_number(last):  # in the dtype of the weights
                text = f"torch.where({asked}, w.new_full((), {yes}), {text})"
            else:
                text = f"torch.where({asked}, {yes}, {text})"
        return text

    def _print_Not(self, expr: Any) -> str:
        return f"{'not ' if self.is_number(expr) else '~'}({self._print(expr.args[0])})"

    def _print_And(self, expr: Any) -> str:
        return f"({(' and ' if self.is_number(expr) else ' & ').join(map(self._print, expr.args))})"

    def _print_Or(self, expr: Any) -> str:
        return f"({(' or ' if self.is_number(expr) else ' | ').join(map(self._print, expr.args))})"
