"""A formula as it stands in a paper: LaTeX derived from its equations.

Each state gets a row, written with index t where it is new and t−1 where it is old. Two habits of papers
are recognised in the expressions: a gradient with the weight decay added becomes a row of its own, and a
state divided by 1 − βᵗ gets a hat.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from .equations import Equations, symbol
from .operations import OperationBase, matmul, total
from .rewriting import in_order, in_terms_of_states, replace_part

_NAMES = {"dampening": r"\tau", "eps": r"\epsilon", "lr": r"\eta", "momentum": r"\mu", "radius": r"\rho"}
_NAMES |= {"weight_decay": r"\lambda"}
_GREEK = ("alpha", "beta", "gamma", "delta", "eta", "kappa", "lambda", "mu", "nu", "phi", "rho", "sigma", "tau")
_GREEK += ("theta",)
_g, _t, _w = symbol("g"), symbol("t"), symbol("w")

Rows = dict[sp.Symbol, sp.Expr]


def latex(equations: Equations) -> str:
    """One aligned row per state and one for the weight; see `Formula.latex`."""
    equations, drawn = _with_sampled(equations)
    rows, new, hats = _rows(equations)
    printer = _Paper(_letters(equations, new, hats), set(equations.hyperparameters))
    *before, step = rows.values()
    arrow = {_g: r"\leftarrow"}
    lines = [
        f"{printer.doprint(name)} &{arrow.get(name, '=')} {printer.doprint(value)}"
        for name, value in zip(rows, before, strict=False)
    ]
    if (at := equations.at) is not None or equations.again is not None:
        there = f"{printer.doprint(_w)}{printer.continued(sp.S.Zero if at is None else at)}"
        taken = [rf"g_t &= \nabla f\left({there}\right)"]
        if (again := equations.again) is not None:
            taken.append(rf"g_t &\leftarrow \nabla f\left({there}{printer.continued(again)}\right)")
        lines = [*taken, *lines]
    if drawn:
        at = r", \; ".join(map(str, drawn))
        lines.insert(0, rf"\hat{{g}}_t &= \nabla \hat{{f}}\left({printer.doprint(_w)}\right), \; t = {at}, \; \ldots")
    lines.append(f"w_t &= {printer.doprint(_w)}{printer.continued(step)}")
    if equations.shown is not None:  # of the weights and states after the step
        after = {_w: sp.Symbol("new w", real=True), **{symbol(name): state for name, state in new.items()}}
        printer.name(after[_w], "w_t")
        shown = printer.continued(equations.shown.xreplace(after))
        lines.append(rf"w_t^{{\mathrm{{shown}}}} &= w_t{shown}")
    return "\n".join([r"\begin{aligned}", " \\\\\n".join(lines), r"\end{aligned}"])


def plain(equations: Equations) -> list[str]:
    """The same rows as text for a terminal, hyperparameters by their names.

    >>> import thalweg as tw
    >>> print(*plain(tw.formulas.get("momentum").equations), sep="\\n")
    g[t] ← g[t] + w[t−1]·weight_decay
    a[t] = a[t−1]·momentum + g[t]
    w[t] = w[t−1] − a[t]·lr
    """
    equations, drawn = _with_sampled(equations)
    rows, new, hats = _rows(equations)
    words = {_g: "g[t]", _DRAWN: "ĝ[t]", _w: "w[t−1]", symbol("loss"): "loss[t]", _DECAYED: "decayed g[t]"}
    words |= {part: f"{letter}[t]" for letter, part in PARTS.items()}
    for name in equations.state_names:
        words |= {symbol(name): f"{name}[t−1]", new[name]: f"{name}[t]", hats[new[name]]: f"{name}̂[t]"}
    names = {key: sp.Symbol(word) for key, word in words.items()}

    def text(expression: sp.Expr) -> str:
        return _Plain().doprint(expression.xreplace(names)).replace("**", "^").replace("*", "·").replace("-", "−")

    *before, step = rows.values()
    arrow = {_g: "←"}
    lines = [f"{text(name)} {arrow.get(name, '=')} {text(value)}" for name, value in zip(rows, before, strict=False)]
    if equations.at is not None or equations.again is not None:
        there = _w if equations.at is None else _w + equations.at
        again = [] if equations.again is None else [f"g[t] ← ∇f({text(there + equations.again)})"]
        lines = [f"g[t] = ∇f({text(there)})", *again, *lines]
    if drawn:
        lines.insert(0, f"ĝ[t] = ∇f̂(w[t−1]), on sampled targets, at t = {', '.join(map(str, drawn))}, …")
    moved = text(step)
    lines.append(f"w[t] = w[t−1] {_added(moved)}")
    if equations.shown is not None:
        names[_w] = sp.Symbol("w[t]")
        names |= {symbol(name): sp.Symbol(f"{name}[t]") for name in equations.state_names}
        lines.append(f"shown w[t] = w[t] {_added(text(equations.shown))}")
    return lines


def _with_sampled(equations: Equations) -> tuple[Equations, tuple[int, ...]]:
    """The same with the states that a gradient on sampled targets gives as they are at the steps that take one, and the
    first of these steps."""
    if not equations.sampled:
        return equations, ()
    new: dict[Any, Any] = {symbol(name): value.xreplace({_g: _DRAWN}) for name, value in equations.sampled}
    states = tuple((name, value.xreplace(new)) for name, value in equations.states)
    first = tuple(1 + k * equations.every for k in range(3))
    return replace(equations, states=states, step=equations.step.xreplace(new), sampled=()), first


def _added(text: str) -> str:
    return f"− {text[1:]}" if text.startswith("−") else f"+ {text}"


def _rows(equations: Equations) -> tuple[Rows, dict[str, sp.Symbol], dict[sp.Symbol, sp.Symbol]]:
    """The rows in order, the weight's step last; the symbols of new states, and of those with hats."""
    new = {name: sp.Symbol(f"new {name}", real=True) for name in equations.state_names}
    states, step = in_terms_of_states(equations, tuple(new.values()))
    rows = {name: value.doit() for name, value in in_order(list(zip(new.values(), states, strict=True)))}
    rows[_w] = step.doit()
    hats = {state: sp.Symbol(f"hat {state}", real=True) for state in new.values()}
    rows = _with_hats(_with_decay(rows, equations), hats)
    return rows if equations.elementwise else _with_parts(rows, equations), new, hats


def _with_parts(rows: Rows, equations: Equations) -> Rows:
    """What occurs more than once gets a letter, and a row before it is needed."""
    parts, values = sp.cse(list(rows.values()), symbols=sp.numbered_symbols("part", real=True), order="none")
    small = {name: value for name, value in parts if sp.count_ops(value) < FEW_OPERATIONS}
    taken = {*equations.state_names, *equations.hyperparameters}
    letters = dict(
        zip((n for n, _ in parts if n not in small), (p for n, p in PARTS.items() if n not in taken), strict=False)
    )
    parts = [(letters.get(name, name), value.xreplace(letters)) for name, value in parts]
    small, values = {n: v.xreplace(letters) for n, v in small.items()}, [value.xreplace(letters) for value in values]
    waiting, named = {name: _whole(value, small) for name, value in parts if name not in small}, {}
    for row, value in zip(rows, values, strict=True):
        text = _whole(value, small)
        for name in _needed(text, waiting):
            named[name] = waiting.pop(name)
        named[row] = text
    return named


def _needed(value: Any, parts: Mapping[sp.Symbol, Any]) -> list[sp.Symbol]:
    """The parts that a value is made of, each behind those that it is made of itself."""
    first = [name for name in parts if name in value.free_symbols]
    return list(dict.fromkeys(one for name in first for one in (*_needed(parts[name], parts), name)))


def _whole(value: Any, parts: Mapping[sp.Symbol, Any]) -> Any:
    """The value with these parts in their places again."""
    while value.free_symbols & parts.keys():
        value = value.xreplace(parts)
    return value


def _letters(
    equations: Equations, new: Mapping[str, sp.Symbol], hats: Mapping[sp.Symbol, sp.Symbol]
) -> dict[sp.Symbol, str]:
    """Every symbol's LaTeX."""
    letters = {
        _g: "g_t",
        _DRAWN: r"\hat{g}_t",
        _t: "t",
        _w: "w_{t-1}",
        symbol("loss"): r"\mathcal{L}_t",
        _DECAYED: r"\tilde{g}_t",
    }
    letters |= {part: f"{letter}_t" for letter, part in PARTS.items()}
    letters |= {symbol(name): _letter(name) for name in equations.hyperparameters}
    for name in equations.state_names:
        base, _, above = _letter(name).partition("^")
        base = f"{{{base}}}" if "_" in base.replace(r"\_", "") else base  # it has an index of its own
        above = f"^{above}" if above else ""
        letters[symbol(name)] = f"{base}_{{t-1}}{above}"
        letters[new[name]] = f"{base}_t{above}"
        letters[hats[new[name]]] = f"\\hat{{{base}}}_t{above}"
    return letters


def _letter(name: str) -> str:
    """beta1 → \\beta_1, v_max → v^{\\max}, anything longer upright."""
    stem, digits = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
    subscript = f"_{digits}" if len(digits) < 2 else f"_{{{digits}}}"
    base, _, qualifier = stem.partition("_")
    if name in _NAMES:
        return _NAMES[name]
    if base in _GREEK and qualifier:
        return rf"\{base}_{{\mathrm{{{qualifier}}}}}"
    if len(base) == 1 and qualifier:
        return f"{base}^{{\\mathrm{{{qualifier}}}}}"
    text = f"\\{stem}" if stem in _GREEK else stem if len(stem) == 1 else f"\\mathrm{{{stem}}}"
    return text.replace("_", r"\_") + (subscript if digits else "")


_DECAYED = sp.Symbol("g decayed", real=True)
_DRAWN = sp.Symbol("g drawn", real=True)  # the gradient on sampled targets
PARTS = {letter: sp.Symbol(f"part {letter}", real=True) for letter in "uszyxhkq"}
FEW_OPERATIONS = 3  # of which a part is written out wherever it stands


def _with_decay(rows: Rows, equations: Equations) -> Rows:
    """g + λw as a row of its own; g itself is renamed only if it is used elsewhere without the decay."""
    for name in sorted(equations.hyperparameters, key=lambda name: name != "weight_decay"):
        sum_ = _g + symbol(name) * _w
        changed = {key: replace_part(value, sum_, _DECAYED) for key, value in rows.items()}
        if changed != rows:
            plain = any(_g in value.free_symbols for value in changed.values())
            letter = _DECAYED if plain else _g
            return {letter: sum_, **{k: v.xreplace({_DECAYED: letter}) for k, v in changed.items()}}
    return rows


def _with_hats(rows: Rows, hats: Mapping[sp.Symbol, sp.Symbol]) -> Rows:
    """A row ŝ = s / (1 − βᵗ) before the weight's, for each state that is used so."""
    corrections: Rows = {}

    def rewrite(expression: Any) -> Any:
        if not expression.args:
            return expression
        expression = expression.func(*map(rewrite, expression.args))
        for state, hat in hats.items():
            for factor in expression.args if isinstance(expression, sp.Mul) else ():
                if state in expression.args and _is_correction(factor, rows[state]):
                    corrections[hat] = state * factor
                    expression = expression / (state * factor) * hat
        return expression

    step = rewrite(rows[_w])
    in_place = {hat: corrections[hat] for hat in hats.values() if hat in corrections}
    return {**{name: value for name, value in rows.items() if name != _w}, **in_place, _w: step}


def _is_correction(factor: sp.Expr, state: sp.Expr) -> bool:
    """1 / (1 − βᵗ), of a β by which this state is averaged."""
    base, exponent = factor.as_base_exp()
    powers = base.atoms(sp.Pow)
    if exponent != -1 or len(powers) != 1 or base != 1 - next(iter(powers)):
        return False
    beta, steps = next(iter(powers)).args
    return steps == _t and beta in state.free_symbols


def _call(word: str) -> Callable[[StrPrinter, Any], str]:
    return lambda printer, expr: f"{word}({', '.join(map(printer.doprint, expr.args))})"


class _Plain(StrPrinter):
    """SymPy's text, with the words of the formulas' vocabulary."""

    def _print_Piecewise(self, expr: Any) -> str:
        *branches, (text, _) = expr.args
        text = self._print(text)
        for value, condition in reversed(branches):
            text = f"where({self._print(condition)}, {self._print(value)}, {text})"
        return text

    _print_Max, _print_Min, _print_Equality = map(_call, ("maximum", "minimum", "equal"))

    def _print_matmul(self, expr: Any) -> str:
        return " @ ".join(self.parenthesize(a, PRECEDENCE["Mul"], strict=False) for a in expr.args)

    def _print_transpose(self, expr: Any) -> str:
        return f"{self.parenthesize(expr.args[0], PRECEDENCE['Pow'], strict=True)}.T"

    def _print_orthogonal(self, expr: Any) -> str:
        return f"orthogonal({self._print(expr.args[0])}, steps={expr.args[1]})"


# How words for tensors are written: of their arguments {0} and {1}, or of these as factors, {a} and {b}.
_WRITTEN = {
    "norm": r"\left\lVert {0} \right\rVert",
    "dot": r"\left\langle {0}, {1} \right\rangle",
    "total": r"\sum_{{\text{{model}}}} {a}",
    "matmul": r"{a} \cdot {b}",
    "transpose": r"{a}^{{\top}}",
    "matrix_power": r"{a}^{{{1}}}",
    "identity": "I",
    "orthogonal": r"\operatorname{{NS}}_{{{1}}}\left({0}\right)",
}
# What stands before the brackets of the others, where that is not the word.
_CALLED = {"rms": "RMS", "row_mean": "rowmean", "column_mean": "colmean", "eigenvectors": "eig", "diagonal": "diag"}
_CALLED |= {"sort_columns": "sort", "qr": "QR", "resolution": "eps"}


class _Paper(LatexPrinter):
    """Terms and factors in the order people write them: constants, hyperparameters, states, g, w."""

    def __init__(self, letters: Mapping[sp.Symbol, str], constants: set[str]) -> None:
        super().__init__({"symbol_names": dict(letters), "fold_short_frac": False})
        self._constants = {symbol(name) for name in constants} | {_t}

    def name(self, one: sp.Symbol, text: str) -> None:
        """Print a symbol as this text."""
        self._settings["symbol_names"][one] = text

    def _place(self, part: sp.Expr, in_sum: bool) -> tuple[Any, ...]:
        names = part.free_symbols
        if not names:
            place = 0
        elif names <= self._constants:
            place = 5 if in_sum else (2 if part.is_Add else 1)
        else:
            place = 4 if _w in names else 3 if _g in names or _DECAYED in names else 2.5
        return place, part.is_Add or part.is_Piecewise, str(part)

    def continued(self, expression: sp.Expr) -> str:
        """+ a − b, to stand behind something."""
        terms = [] if expression == 0 else sp.Add.make_args(expression)
        return self._continued(sorted(terms, key=lambda e: self._place(e, in_sum=True)))

    def _continued(self, terms: Iterable[sp.Expr]) -> str:
        return "".join(f" {'-' if negative else '+'} {self._print(e)}" for e, negative in map(_signed, terms))

    def _print_Add(self, expr: Any, order: Any = None) -> str:
        terms = sorted(expr.args, key=lambda e: (_signed(e)[1], self._place(e, in_sum=True)))  # plus first
        first, *rest = terms
        return self._print(first) + self._continued(rest)

    def _print_Mul(self, expr: Any) -> str:
        above, below = [], []
        for factor in sp.Mul.make_args(expr):
            base, exponent = factor.as_base_exp()
            if isinstance(factor, sp.Rational) and factor != -1:
                above += [sp.Integer(factor.p)] if abs(factor.p) != 1 or factor.q == 1 else []
                below += [sp.Integer(factor.q)] if factor.q != 1 else []
            elif exponent.is_Number and exponent.is_negative:
                below.append(base**-exponent)
            elif factor != -1:
                above.append(factor)
        minus = "-" if expr.as_coeff_Mul()[0] == -1 else ""
        text = self._product(above) or "1"
        return f"{minus}\\frac{{{text}}}{{{self._product(below)}}}" if below else minus + text

    def _print_OperationBase(self, expr: Any) -> str:
        name, each = type(expr).__name__, [*map(self._print, expr.args)]
        if name in _WRITTEN:
            return _WRITTEN[name].format(*each, a=self._factor(expr.args[0]), b=self._factor(expr.args[-1]))
        return rf"\operatorname{{{_CALLED.get(name, name)}}}\left({', '.join(each)}\right)"

    def _print_Pow(self, expr: Any) -> str:
        base, exponent = expr.as_base_exp()
        if isinstance(base, OperationBase) and not (exponent.is_Rational and exponent.q == 2):
            return rf"{self._factor(base)}^{{{self._print(exponent)}}}"
        return super()._print_Pow(expr)

    def _factor(self, expr: Any) -> str:
        apart = expr.is_Add or expr.is_Mul or expr.is_Pow or expr.is_Piecewise or isinstance(expr, total | matmul)
        return rf"\left({self._print(expr)}\right)" if apart else self._print(expr)

    def _product(self, factors: list[Any]) -> str:
        ordered = sorted(factors, key=lambda e: self._place(e, in_sum=False))
        brackets = len(ordered) > 1
        printed = [rf"\left({self._print(f)}\right)" if brackets and f.is_Add else self._print(f) for f in ordered]
        return re.sub(r"(?<=\d) (?=\{?\d)", lambda _: r" \cdot ", " ".join(printed))  # 0.5 · 0.96, not 0.50.96


def _signed(term: sp.Expr) -> tuple[sp.Expr, bool]:
    """The term without its minus sign, and whether it had one."""
    negative = term.as_coeff_Mul()[0].is_negative
    return (-term, True) if negative else (term, False)
