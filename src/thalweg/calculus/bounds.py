"""How large a formula would become, bounded before it is built.

SymPy works numbers out while a tree is built: integer powers to the last digit, exp(n·log 2) as 2ⁿ, the sign of a
constant to as many digits as it takes. So a text of ten characters can ask for more memory than there is. Here
one pass over the tree gives upper bounds, in plain floats, and what is beyond them is refused:

    number     the constant that a part without variables is; real, and between 10⁻³⁰⁰ and 10³⁰⁰ or 0
    bits       of the largest coefficient if everything were multiplied out; at most `MOST_BITS`
    degree     likewise of the powers; at most `HIGHEST`
    major      of the sum of all coefficients: what an exponent can come to once terms cancel
    surds      product of the orders of all roots of constants: the degree of the field they span; beyond `SURDS`
               they are worked with as decimals, because exact signs of sums of roots take exponential time
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ..errors import ExpressionError
from ..language import say
from .syntax import Node, shown

MOST_NODES = 400
MOST_BITS = 1000
HIGHEST = 1000
SURDS = 16
LARGEST = 1e300

_MATH = "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp log2 log10 log sqrt erf"
NUMERIC: dict[str, Callable[..., float]] = {name: getattr(math, name) for name in _MATH.split()} | {
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)) if x > -700 else math.exp(x),
    "softplus": lambda x: max(x, 0) + math.log1p(math.exp(-abs(x))),
}
EXACT: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "sign": lambda x: (x > 0) - (x < 0),
    "floor": math.floor,
    "ceil": math.ceil,
    "min": min,
    "max": max,
    "heaviside": lambda x: Fraction((x > 0) - (x < 0) + 1, 2),
    "relu": lambda x: max(x, Fraction(0)),
}


@dataclass(frozen=True, slots=True)
class Size:
    """Upper bounds of one part; see the module."""

    number: Fraction | float | None = None
    bits: float = 0.0
    degree: float = 0.0
    major: float = 1.0
    inverse: float = 1.0  # `major` of one over the part
    logs: bool = False


class Measure:
    """Bounds of every part of a tree, by the identity of its node; `decimals` says that there are too many roots.

    Raises:
        ExpressionError: what is beyond a bound, or a constant that is not a real number.
    """

    def __init__(self, tree: Node, text: str) -> None:
        self.text, self.nodes, self.surds = text, 0, 1
        self.sizes: dict[int, Size] = {}
        self._size(tree)
        self.decimals = self.surds > SURDS

    def number(self, node: Node) -> Fraction | float | None:
        return self.sizes[id(node)].number

    def refuse(self, reason: str) -> ExpressionError:
        return ExpressionError("{text} is refused: {reason}.", text=shown(self.text), reason=reason)

    def _size(self, node: Node) -> Size:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise self.refuse(say("it has more than {most} operations, names and numbers; shorten it", most=MOST_NODES))
        parts = [self._size(part) for part in node.args]
        size = getattr(self, f"_{node.head}")(node, parts)
        if all(part.number is not None for part in parts) and not (node.head == "name" and size.number is None):
            size = self._constant(size)
        if not size.bits <= MOST_BITS:
            raise self.refuse(say("its numbers would have hundreds of digits when worked out; take smaller powers"))
        if not size.degree <= HIGHEST:
            raise self.refuse(say("its powers would go beyond {most}; take smaller ones", most=HIGHEST))
        self.sizes[id(node)] = size
        return size

    def _constant(self, size: Size) -> Size:
        value = size.number
        assert value is not None
        bits = min(size.bits, MOST_BITS)
        if isinstance(value, Fraction):
            bits = float(max(value.numerator.bit_length(), value.denominator.bit_length())) - 1
        far = abs(value)
        if far and not 1 / LARGEST < far < LARGEST:
            raise self.refuse(say("a number in it is beyond 10^±300; a float64 holds less than 10^308"))
        return Size(value, bits, 0.0, float(far), float(1 / far) if far else math.inf, size.logs)

    def _number(self, node: Node, parts: list[Size]) -> Size:
        return Size(node.value)

    def _name(self, node: Node, parts: list[Size]) -> Size:
        return Size({"pi": math.pi, "e": math.e}.get(node.word), degree=1.0)

    def _sum(self, node: Node, parts: list[Size]) -> Size:
        values: list[Any] = [part.number for part in parts]
        return Size(
            None if None in values else sum(values),
            max(part.bits for part in parts) + math.log2(len(parts)),
            max(part.degree for part in parts),
            sum(part.major for part in parts),
            max(part.inverse for part in parts),
            any(part.logs for part in parts),
        )

    def _product(self, node: Node, parts: list[Size]) -> Size:
        values: list[Any] = [part.number for part in parts]
        value = None if None in values else math.prod(values)
        if value == 0 and 0 not in values:
            value = 1 / LARGEST  # too small to be told from 0: refused as a constant
        return Size(
            value,
            sum(part.bits for part in parts),
            sum(part.degree for part in parts),
            math.prod(part.major for part in parts),
            math.prod(part.inverse for part in parts),
            any(part.logs for part in parts),
        )

    def _quotient(self, node: Node, parts: list[Size]) -> Size:
        above, below = parts
        if below.number == 0:
            raise self.refuse(say("it divides by 0"))
        number = None if below.number is None else 1 / below.number
        return self._product(node, [above, replace(below, number=number, major=below.inverse, inverse=below.major)])

    def _power(self, node: Node, parts: list[Size]) -> Size:
        base, exponent = parts
        reach = exponent.major if exponent.number is None else abs(float(exponent.number))
        up, down = power(base.major, reach), power(base.inverse, reach)
        if isinstance(exponent.number, (int, float, Fraction)) and exponent.number < 0:
            up, down = down, up
        if base.number == math.e and node.args[0].head == "name":
            return self._exp(exponent)
        bits = (base.bits + (base.number is not None)) * reach
        if bits > MOST_BITS:
            raise self.refuse(say("its numbers would have hundreds of digits when worked out; take smaller powers"))
        value = None
        if base.number is not None and exponent.number is not None:
            value = self._raised(base.number, exponent.number)
        return Size(value, bits, base.degree * reach, up, down, base.logs or exponent.logs)

    def _raised(self, base: Fraction | float, exponent: Fraction | float) -> Fraction | float:
        if base == 0 and exponent < 0:
            raise self.refuse(say("it divides by 0"))
        if isinstance(exponent, Fraction):
            if exponent.denominator > 1:
                self.surds *= min(exponent.denominator, SURDS + 1)
            if exponent.denominator == 1 and isinstance(base, Fraction):
                return base**exponent.numerator
        if base < 0 and float(exponent) != int(exponent):
            raise self.refuse(say("a root of the negative number {base:g} is not a real number", base=float(base)))
        try:
            return float(base) ** float(exponent) or (0.0 if base == 0 else 1 / LARGEST)
        except OverflowError:
            return math.inf

    def _exp(self, exponent: Size) -> Size:
        value = None if exponent.number is None else self._called("exp", [exponent.number])
        degree = max(exponent.degree, 1.0) * exponent.major if exponent.logs else exponent.degree
        bits = (exponent.bits + 1.0) * exponent.major if exponent.logs else exponent.bits
        return Size(value, bits, degree, logs=exponent.logs)

    def _call(self, node: Node, parts: list[Size]) -> Size:
        if node.word == "exp":
            return self._exp(parts[0])
        values: list[Any] = [part.number for part in parts]
        if node.word == "sqrt" or (node.word in ("sin", "cos", "tan") and values[0] not in (None, 0)):
            self.surds *= 2 if values[0] is not None else 1
        value = None if None in values else self._called(node.word, values)
        degree, logs = max(part.degree for part in parts), any(part.logs for part in parts)
        if node.word in EXACT:
            bits, major, inverse = (max(getattr(p, n) for p in parts) for n in ("bits", "major", "inverse"))
            return Size(value, bits, degree, major, inverse, logs)
        return Size(value, degree=degree, logs=logs or node.word.startswith("log"))

    def _called(self, word: str, values: list[Fraction | float]) -> Fraction | float:
        if word in EXACT:
            value = EXACT[word](*values)
            return Fraction(value) if isinstance(value, int) else value
        try:
            value = NUMERIC[word](*map(float, values))
        except OverflowError:
            return math.inf
        except (ValueError, ZeroDivisionError):
            arguments = ", ".join(f"{float(value):g}" for value in values)
            raise self.refuse(say("{call} is not a real number", call=f"{word}({arguments})")) from None
        return value or (1 / LARGEST if word == "exp" else 0.0)


def power(base: float, exponent: float) -> float:
    """|base|^exponent with the sign of the base, infinite beyond what a float holds."""
    try:
        return math.copysign(abs(base) ** exponent, base)
    except OverflowError:
        return math.copysign(math.inf, base)
