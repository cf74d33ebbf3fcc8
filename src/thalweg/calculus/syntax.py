"""A formula as people type it, read into a small tree; nothing in it is ever run.

The grammar is a whitelist: numbers, names, the five operations, parentheses, bars for the absolute value, and calls
of the functions in `FUNCTIONS`. What has one meaning only is read as on paper (3x² − 2x + 1, 2(x − 1), |x|); what
could mean two things (1/2x, xy beside x, x(x + 1)) is refused, with both ways to write it.

    sum      term (± term)*
    term     signed (·÷ signed, or a factor right behind a number, a bracket or a superscript)*
    signed   − signed, or power
    power    atom, then a superscript or ^ signed        x^−y^2 is x^(−(y^2)), and −x² is −(x²)
    atom     number · name · function(sum, …) · (sum) · |sum| · √atom

The tree is bounded while it is built: `LONGEST` characters, `DEEPEST` brackets or powers inside each other.
Read next: `bounds.py`, which bounds what the tree would become.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ..errors import ExpressionError
from ..language import say

LONGEST = 2000  # characters
DEEPEST = 40  # brackets, calls, powers and roots inside each other
LONGEST_NAME = 32
_OF_ONE = (
    "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp log2 log10 sqrt "
    "abs sign floor ceil heaviside erf sigmoid relu softplus"
)
# fewest and most arguments
FUNCTIONS = dict.fromkeys(_OF_ONE.split(), (1, 1)) | {"log": (1, 2), "min": (2, 20), "max": (2, 20)}
_INVERSES = {f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}
_ALSO = _INVERSES | {"ln": "log", "sgn": "sign", "minimum": "min", "maximum": "max", "ceiling": "ceil"}
CONSTANTS = {"pi": "pi", "π": "pi", "e": "e"}
_NO_NUMBERS = {"inf", "infinity", "nan", "oo", "zoo", "∞"}
GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega"
)
_MINUS, _TIMES, _OVER = "-−–", "*·×⋅∙", "/÷"
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_NUMBER = re.compile(r"(\d+(?:\.\d+|\.(?![\w.]))?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NAME = re.compile(r"[^\W\d_](?:(?![⁰¹²³⁴⁵⁶⁷⁸⁹])\w)*")
_RAISED = re.compile(r"⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: `head` is number, name, sum, product, quotient, power or call.

    Attributes:
        args: the operands, of a sum and a product any number of them.
        word: the name, or the function called.
        value: of a number; a float where it is longer than a fraction is worth.
    """

    head: str
    args: tuple[Node, ...] = ()
    word: str = ""
    value: Fraction | float = Fraction(0)


def number(value: Fraction | int | float) -> Node:
    return Node("number", value=value if isinstance(value, float) else Fraction(value))


def shown(text: str) -> str:
    """At most 60 characters of a text, without control characters, for a message."""
    line = "".join(letter if letter.isprintable() else "�" for letter in text[:61])
    return repr(line if len(text) <= 60 else line[:60] + "…")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number, name, raised, end, or the sign itself
    text: str
    at: int


def parse(text: str) -> Node:
    """The tree of a formula.

    >>> tree = parse("3x² − 1")
    >>> tree.head, [part.head for part in tree.args], tree.args[0].args[1].head
    ('sum', ['product', 'number'], 'power')

    Raises:
        ExpressionError: a text that is not such a formula, or one without a single meaning.
    """
    if len(text) > LONGEST:
        raise ExpressionError(
            "{text} has {count:,} characters, and a formula may have {most:,}: shorten it.",
            text=shown(text),
            count=len(text),
            most=LONGEST,
        )
    if not text.strip():
        raise ExpressionError("the formula is empty; write one, e.g. x*sin(x).")
    return _Parser(text).whole()


def names(tree: Node) -> set[str]:
    """The variables in a tree."""
    variables, rest = set(), [tree]
    while rest:
        node = rest.pop()
        if node.head == "name" and node.word not in CONSTANTS.values():
            variables.add(node.word)
        rest.extend(node.args)
    return variables


_TO_MINUS_1 = ("^-1", "^−1", "^(-1)", "^(−1)", "⁻¹")
_FULL_WIDTH = {0xFF01 + k: 0x21 + k for k in range(94)} | {0x3000: 0x20}  # as Korean and Japanese keyboards write


class _Parser:
    def __init__(self, text: str) -> None:
        text = text.translate(_FULL_WIDTH)
        self.text, self.depth, self.bars = text, 0, 0
        self.tokens = list(self._tokens())
        self.place = 0

    def refuse(self, reason: str, at: int | None = None) -> ExpressionError:
        at = self.now.at if at is None else at
        rest = self.text[at : at + 12].strip()
        if rest:
            return ExpressionError(
                "{text} cannot be read at {rest} (character {at}): {reason}.",
                text=shown(self.text),
                rest=shown(rest),
                at=at + 1,
                reason=reason,
            )
        return ExpressionError("{text} cannot be read at its end: {reason}.", text=shown(self.text), reason=reason)

    def _tokens(self) -> Iterator[_Token]:
        at, text = 0, self.text
        while at < len(text):
            letter = text[at]
            if letter.isspace():
                at += 1
                continue
            for kind, pattern in (("number", _NUMBER), ("raised", _RAISED), ("name", _NAME)):
                if match := pattern.match(text, at):
                    yield _Token(kind, match[0], at)
                    at = match.end()
                    break
            else:
                sign = next((s for s in (_MINUS, _TIMES, _OVER) if letter in s), letter)[0]
                if sign == "*" and text[at : at + 2] == "**":
                    yield _Token("^", "**", at)
                    at += 2
                    continue
                if sign not in "+-*/^(),|√":
                    words = say(
                        "{letter} has no meaning here; use + − * / ^, parentheses, numbers, names, and functions such "
                        "as sin or exp",
                        letter=shown(letter),
                    )
                    raise self.refuse(words, at)
                yield _Token(sign, letter, at)
                at += 1
        yield _Token("end", "", at)

    @property
    def now(self) -> _Token:
        return self.tokens[self.place]

    def take(self) -> _Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def takes(self, kind: str) -> bool:
        if self.now.kind != kind:
            return False
        self.place += 1
        return True

    def whole(self) -> Node:
        tree = self.sum()
        if self.now.kind != "end":
            raise self.refuse(self._surplus())
        return tree

    def _surplus(self) -> str:
        kind = self.now.kind
        if kind == ")":
            return say("this bracket closes nothing; take it away, or open it before")
        if kind == ",":
            return say("a comma stands between the arguments of a function only; write decimals with a point")
        before, word = self.tokens[self.place - 1], self.now.text
        if before.kind == "name" and before.text not in FUNCTIONS and word in FUNCTIONS:
            product = f"{before.text}*{word}({self._argument()})"
            return say("an operation is missing before it; write {product} for a product", product=product)
        return "an operation is missing before it; write * for a product"

    def _argument(self) -> str:
        """What a function that stands here without a bracket may be of."""
        behind = self.tokens[self.place + 1]
        return behind.text if behind.kind in ("name", "number") else "…"

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.refuse(
                say("more than {most} brackets or powers are inside each other; write it flatter", most=DEEPEST)
            )

    def sum(self) -> Node:
        terms = [self.term()]
        while self.now.kind in ("+", "-"):
            terms.append(_negative(self.term()) if self.take().kind == "-" else self.term())
        return terms[0] if len(terms) == 1 else Node("sum", tuple(terms))

    def term(self) -> Node:
        node, glued = self.signed()
        divided = False
        while True:
            if self.takes("*"):
                right, glued = self.signed()
                node, divided = _product(node, right), False
            elif self.takes("/"):
                right, glued = self.signed()
                node, divided = Node("quotient", (node, right)), True
            elif self._adjoins(glued):
                if divided:
                    raise self.refuse(
                        say("behind a division it could stand above or below the line; write a/(b*c) or (a/b)*c")
                    )
                if (zero := self.tokens[self.place - 1]).text[0] == "0" and zero.text.isdigit():
                    raise self.refuse(
                        say("{zero} before a name is not a number; write numbers in decimals", zero=zero.text)
                    )
                right, glued = self.power()
                node = _product(node, right)
            else:
                return node

    def _adjoins(self, glued: bool) -> bool:
        """Whether a factor stands right behind another that ends unmistakably."""
        return glued and (self.now.kind in ("name", "(", "√") or (self.now.kind == "|" and not self.bars))

    def signed(self) -> tuple[Node, bool]:
        """A power with its signs, and whether a factor may stand right behind it."""
        minus = False
        while self.now.kind in ("+", "-"):
            minus ^= self.take().kind == "-"
        node, glued = self.power()
        return (_negative(node) if minus else node), glued

    def power(self) -> tuple[Node, bool]:
        first = self.now.kind
        base = self.atom()
        if self.now.kind == "raised":
            at, digits = self.now.at, self.take().text.translate(_SUPERSCRIPT)
            if len(digits) > 6:
                raise self.refuse(say("the exponent is too large"), at)
            base, first = Node("power", (base, number(int(digits)))), "raised"
        if self.takes("^"):
            self.deeper()
            exponent, _ = self.signed()
            self.depth -= 1
            return Node("power", (base, exponent)), False
        return base, first in ("number", "(", "raised") or base.head == "call"

    def atom(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return number(self._value(token))
        if token.kind == "name":
            return self._named(token)
        if token.kind in ("(", "|", "√"):
            self.deeper()
            if token.kind == "(":
                outside, self.bars = self.bars, 0
                node = self.sum()
                self._close(")", token)
                self.bars = outside
            elif token.kind == "|":
                self.bars += 1
                node = Node("call", (self.sum(),), "abs")
                self._close("|", token)
                self.bars -= 1
            else:
                node = Node("call", (self.atom(),), "sqrt")
            self.depth -= 1
            return node
        self.place -= 1
        if token.kind == "end":
            raise self.refuse(say("it ends where a number, a name or a bracket is due"))
        raise self.refuse(say("it has {sign} where a number, a name or a bracket is due", sign=shown(token.text)))

    def _close(self, kind: str, opened: _Token) -> None:
        if not self.takes(kind):
            if self.now.kind == "end":
                raise self.refuse(
                    say("the {sign} at character {at} is not closed", sign=shown(opened.text), at=opened.at + 1)
                )
            raise self.refuse(self._surplus())

    def _value(self, token: _Token) -> Fraction | float:
        value = float(token.text)
        digits = re.sub(r"[eE].*|\.", "", token.text, flags=re.ASCII).strip("0")
        if value in (float("inf"), 0.0) and (value or digits):
            raise self.refuse(say("the number is beyond 10^±308, what a float64 can hold"), token.at)
        return Fraction(token.text) if len(digits) <= 25 and (not value or 1e-25 < value < 1e25) else value

    def _named(self, token: _Token) -> Node:
        word = unicodedata.normalize("NFKC", token.text)
        word = _ALSO.get(word, word)
        if not word.isidentifier():
            words = say("{word} is not a name; names are of letters, digits and _", word=shown(token.text))
            raise self.refuse(words, token.at)
        if len(word) > LONGEST_NAME:
            raise self.refuse(say("a name may have {most} characters", most=LONGEST_NAME), token.at)
        if word.lower() in _NO_NUMBERS:
            raise self.refuse(say("{word} is not a number; a formula has finite numbers only", word=word), token.at)
        if word in FUNCTIONS:
            return self._call(word, token)
        if self.now.kind == "(":
            if word[1:] in FUNCTIONS:
                product = f"{word[0]}*{word[1:]}(…)"
                words = say("{word} is not a function; write {product} for a product", word=word, product=product)
                raise self.refuse(words, token.at)
            near = difflib.get_close_matches(word, [*FUNCTIONS, *_ALSO], n=2, cutoff=0.6) if len(word) > 2 else []
            every = ", ".join(FUNCTIONS)
            if near:
                words = say(
                    "{word} is not a function; did you mean {near}? The functions are {every}",
                    word=word,
                    near=say(" or ").join(near),
                    every=every,
                )
            else:
                words = say(
                    "{word} is not a function; write {word}*(…) for a product, or one of the functions {every}",
                    word=word,
                    every=every,
                )
            raise self.refuse(words, token.at)
        return Node("name", word=CONSTANTS.get(word, word))

    def _call(self, word: str, token: _Token) -> Node:
        if not self.takes("("):
            raised = self.text[token.at + len(token.text) :].lstrip().startswith(_TO_MINUS_1)
            if raised and (inverse := f"a{word}") in FUNCTIONS:
                words = say("the inverse of {word} is written {inverse}(x)", word=word, inverse=inverse)
            else:
                words = say("{word} is a function: write {word}(x), and its square {word}(x)^2", word=token.text)
            raise self.refuse(words, token.at)
        self.deeper()
        outside, self.bars = self.bars, 0
        arguments = [self.sum()]
        while self.takes(","):
            arguments.append(self.sum())
        self._close(")", token)
        self.bars = outside
        self.depth -= 1
        fewest, most = FUNCTIONS[word]
        if not fewest <= len(arguments) <= most:
            count, s = len(arguments), "s" * (most > 1)
            words = (
                say("{word} takes {most} argument{s}, not {count}", word=word, most=most, s=s, count=count)
                if fewest == most
                else say(
                    "{word} takes {fewest} to {most} arguments, not {count}",
                    word=word,
                    fewest=fewest,
                    most=most,
                    count=count,
                )
            )
            raise self.refuse(words, token.at)
        return Node("call", tuple(arguments), word)


def _negative(node: Node) -> Node:
    return number(-node.value) if node.head == "number" else _product(number(-1), node)


def _product(left: Node, right: Node) -> Node:
    """Products beside each other are one product, so that a long one is not a deep one."""
    return Node("product", (*(left.args if left.head == "product" else (left,)), right))


def check_products(text: str, variables: set[str]) -> None:
    """Refuse xy where x or y is a variable by itself: it could be a product; and sinx, which could be sin(x).

    Raises:
        ExpressionError: a name made of the letters of other variables, or of a function and these.
    """
    single = {name for name in variables if len(name) == 1} | set("xyz")
    for name in sorted(variables - {*GREEK.split(), "omicron"}):
        if len(name) > 1 and set(name) <= single:
            raise ExpressionError(
                "{text} has {name}, which could be a product or a variable of its own: write {product}; in Python, "
                "variables= with {name} in it makes it a variable.",
                text=shown(text),
                name=name,
                product="*".join(name),
            )
        head = max((word for word in FUNCTIONS if name.startswith(word)), key=len, default="")
        if (inside := name.removeprefix(head)) and head and set(inside) <= single:
            raise ExpressionError(
                "{text} has {name}, which could be {head} of {inside} or a variable of its own: write {call}; in "
                "Python, variables= with {name} in it makes it a variable.",
                text=shown(text),
                name=name,
                head=head,
                inside=inside,
                call=f"{head}({'*'.join(inside)})",
            )
