"""A rule that torch.optim lacks as a class of plain PyTorch, printed from its formula.

Numbers of the step are Python's, in float64; what depends on tensors are torch operations, with the names that the
formula has. Read next: `recipe.py`, which puts the class into a script.
"""

from __future__ import annotations

import functools
from textwrap import fill, indent
from typing import Any

import sympy as sp

from ..formulas import Formula
from ..formulas.equations import WEIGHT_ITSELF, symbol
from ..formulas.rewriting import in_order, in_terms_of_states
from ..kernels.lower import Printer, lower

# operations of formulas that are the same however a tensor is seen
_REDUCED = {
    "norm": "torch.linalg.vector_norm({})",
    "mean": "({}).mean()",
    "rms": "({}).square().mean().sqrt()",
    "dot": "(({}) * ({})).sum()",
}
_KNOWN = {*_REDUCED, "sign", "sqrt", "abs", "exp", "log", "tanh", "sin", "cos", "floor"}


class _Plain(Printer):
    """Numbers by Python and its math, tensors by torch.

    Args:
        numbers: the symbols that are numbers.
    """

    def __init__(self, numbers: set[Any]) -> None:
        super().__init__()
        self.numbers = numbers

    def number(self, value: float) -> str:
        return str(int(value)) if float(value).is_integer() and abs(value) < 1e9 else repr(float(value))

    def is_number(self, expression: Any) -> bool:
        return expression.free_symbols <= self.numbers

    def _print_Function(self, expr: Any) -> str:
        name, given = type(expr).__name__, [self._print(a) for a in expr.args]
        if name in _REDUCED:
            return _REDUCED[name].format(*given)
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
        return self._ends(expr, "max", "maximum", "min")

    def _print_Min(self, expr: Any) -> str:
        return self._ends(expr, "min", "minimum", "max")

    def _ends(self, expr: Any, of_numbers: str, of_tensors: str, end: str) -> str:
        """The larger or smaller of several: `end` is what `clamp` calls a number that bounds a tensor."""
        every = sorted(expr.args, key=sp.default_sort_key)
        numbers = [self._print(a) for a in every if self.is_number(a)]
        tensors = [self._print(a) for a in every if not self.is_number(a)]
        number = f"{of_numbers}({', '.join(numbers)})" if len(numbers) > 1 else "".join(numbers)
        if not tensors:
            return number
        tensor = functools.reduce(lambda a, b: f"torch.{of_tensors}({a}, {b})", tensors)
        return f"({tensor}).clamp({end}={number})" if numbers else tensor

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

    def _print_And(self, expr: Any) -> str:
        return f"({(' and ' if self.is_number(expr) else ' & ').join(f'({self._print(a)})' for a in expr.args)})"

    def _print_Or(self, expr: Any) -> str:
        return f"({(' or ' if self.is_number(expr) else ' | ').join(f'({self._print(a)})' for a in expr.args)})"


def class_of(formula: Formula) -> tuple[str, str] | None:
    """The name and the text of a class of torch.optim.Optimizer for a rule; None where it asks for more than gradients
    and states of each tensor: the loss, other weights, sums over the model, matrices."""
    equations, program = formula.equations, lower(formula.equations)
    used = {type(f).__name__ for e in (equations.step, *dict(equations.states).values()) for f in e.atoms(sp.Function)}
    used -= {"Piecewise", "Max", "Min", "Abs"}
    more = equations.at, equations.shown, formula.by_shape, program.row_states or None
    if program.uses_loss or not used <= _KNOWN or any(one is not None for one in more) or equations.shapes:
        return None
    name = "".join(part.capitalize() for part in formula.name.split("_"))
    return name, "\n".join(_lines(name, formula))


def _lines(name: str, formula: Formula) -> list[str]:
    equations, numbers = formula.equations, formula.hyperparameters
    given = ", ".join(f"{n}" if n == "lr" else f"{n}={v!r}" for n, v in numbers.items())
    kept = ", ".join(f"{n}={n}" for n in numbers)
    names = [f"new_{n}" for n in equations.state_names]
    new = tuple(sp.Symbol(n, real=True) for n in names)
    values, step = in_terms_of_states(equations, new)
    initial, needed = dict(equations.initial), set().union(*(e.free_symbols for e in (*values, step)))
    shared, (*values, step) = sp.cse([*values, step], symbols=sp.numbered_symbols("x", real=True), order="none")
    known = {symbol(n) for n in ("t", *numbers)}
    for one, value in shared:
        known |= {one} if value.free_symbols <= known else set()
    print_ = _Plain(known).doprint
    assigned = in_order([*shared, *zip(new, values, strict=True)])
    body = [
        "if (g := w.grad) is None:",
        "    continue",
        "state = self.state[w]",
        "if not state:",
        '    state["t"] = 0',
        *(f'    state["{n}"] = {_first(initial[n])}' for n in equations.state_names),
        'state["t"] += 1',
        *(f'{n} = state["{n}"]' for n in ("t", *equations.state_names) if symbol(n) in needed),
        *(f"{one} = {'g.clone()' if value == symbol('g') else print_(value)}" for one, value in assigned),
        f"w += {print_(step)}",
        *(f'state["{n}"] = new_{n}' for n in equations.state_names),
    ]
    words = fill(f"{formula.doc.partition(chr(10))[0]} {formula.source}.".replace('"', "'"), 112)
    return [
        f"class {name}(torch.optim.Optimizer):",
        indent(f'"""{words}"""', "    "),
        "",
        f"    def __init__(self, params, {given}):",
        f"        super().__init__(params, dict({kept}))",
        "",
        "    @torch.no_grad()",
        "    def step(self):",
        "        for group in self.param_groups:",
        *(f'            {n} = group["{n}"]' for n in numbers if symbol(n) in needed),
        '            for w in group["params"]:',
        *(" " * 16 + line for line in body),
    ]


def _first(value: float | str) -> str:
    """A state as it begins."""
    if value == WEIGHT_ITSELF:
        return "w.clone()"
    if isinstance(value, str):
        return f'torch.full_like(w, group["{value}"])'
    return "torch.zeros_like(w)" if value == 0 else f"torch.full_like(w, {float(value)!r})"
