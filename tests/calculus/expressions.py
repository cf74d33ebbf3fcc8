"""Random expressions with two meanings: a text for `tw.function`, and NumPy's own arithmetic as an independent one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy import special

Values = tuple[Any, Any]  # of x and y


@dataclass(frozen=True)
class Meaning:
    text: str
    value: Callable[[Values], Any]


CALLS: dict[str, Callable[..., Any]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "exp": np.exp,
    "ln": np.log,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "heaviside": lambda u: np.heaviside(u, 0.5),
    "erf": special.erf,
    "sigmoid": special.expit,
    "relu": lambda u: np.maximum(u, 0),
    "softplus": lambda u: np.logaddexp(0, u),
}
SMOOTH = (
    "sin",
    "cos",
    "tan",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "exp",
    "log",
    "sqrt",
    "erf",
    "sigmoid",
    "softplus",
    "asin",
    "acos",
    "atanh",
    "log2",
    "acosh",
)
_NUMBERS = ("0", "1", "2", "3", "7", "0.5", ".25", "1e-3", "2.5e1", "10", "pi", "π", "e", "1.")
_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    " + ": np.add,
    "-": np.subtract,
    " − ": np.subtract,
    "*": np.multiply,
    "·": np.multiply,
    "×": np.multiply,
    "/": np.divide,
}


def _number(word: str) -> Meaning:
    value = np.float64({"pi": np.pi, "π": np.pi, "e": np.e}.get(word) or float(word))
    return Meaning(word, lambda _: value)


_LEAVES = st.one_of(
    st.sampled_from([Meaning("x", lambda v: v[0]), Meaning("y", lambda v: v[1])]),
    st.sampled_from(_NUMBERS).map(_number),
)


def _larger(calls: tuple[str, ...]) -> Callable[[Any], Any]:
    def larger(inner: Any) -> Any:
        def binary(a: Meaning, b: Meaning, word: str) -> Meaning:
            return Meaning(f"({a.text}){word}({b.text})", lambda v: _OPERATIONS[word](a.value(v), b.value(v)))

        def power(a: Meaning, n: int, sign: str) -> Meaning:
            return Meaning(f"({a.text}){sign}{n}", lambda v: np.power(a.value(v), np.float64(n)))

        def raised(a: Meaning, b: Meaning) -> Meaning:
            return Meaning(f"({a.text})^({b.text})", lambda v: np.power(a.value(v), b.value(v)))

        def call(a: Meaning, word: str) -> Meaning:
            return Meaning(f"{word}({a.text})", lambda v: CALLS[word](a.value(v)))

        def several(parts: list[Meaning], word: str) -> Meaning:
            best = np.maximum if word == "max" else np.minimum
            inside = ", ".join(part.text for part in parts)

            def value(v: Values) -> Any:
                found = parts[0].value(v)
                for part in parts[1:]:
                    found = best(found, part.value(v))
                return found

            return Meaning(f"{word}({inside})", value)

        return st.one_of(
            st.builds(binary, inner, inner, st.sampled_from(sorted(_OPERATIONS))),
            st.builds(power, inner, st.integers(-3, 4), st.sampled_from(["^", "**", " ^ "])),
            st.builds(raised, inner, inner),
            st.builds(call, inner, st.sampled_from(calls)),
            inner.map(lambda a: Meaning(f"-({a.text})", lambda v: -a.value(v))),
            *(
                [
                    inner.map(
                        lambda a: Meaning(
                            f"|{a.text}|" if "|" not in a.text else f"abs({a.text})", lambda v: np.abs(a.value(v))
                        )
                    ),
                    st.builds(several, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["min", "max"])),
                ]
                if "abs" in calls
                else []
            ),
        )

    return larger


ANY = st.recursive(_LEAVES, _larger(tuple(CALLS)), max_leaves=12)
DIFFERENTIABLE = st.recursive(_LEAVES, _larger(SMOOTH), max_leaves=8)


def steady(meaning: Meaning, values: Values, tolerance: float = 1e-9) -> float | None:
    """The value where it is finite and hardly moves with its arguments: elsewhere rounding decides."""
    with np.errstate(all="ignore"):
        here = float(meaning.value(values))
        beside = [
            float(meaning.value((values[0] * (1 + d) + d, values[1] * (1 + s * d) + s * d)))
            for d in (1e-13, -1e-13)
            for s in (1, -1)
        ]
    if not np.isfinite([here, *beside]).all() or not abs(here) < 1e12:
        return None
    return here if max(abs(here - other) for other in beside) < tolerance * max(1.0, abs(here)) else None
