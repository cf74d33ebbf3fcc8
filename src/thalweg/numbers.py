"""A number that was given, against the range that was declared for it: the one check of numbers; and as JSON has it.

Every argument that is a number says its range once, and whatever is outside is refused in the same sentence.
A number may come from a text, where ``1e999`` is infinite and ``0xfff…f`` longer than any float: both are out of range.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np

from .errors import UsageError, short
from .language import Word, say

MOST = 10**15  # whole numbers beyond it would lose their last digit among floats


def rounded(value: float) -> float:
    """To twelve digits, so that 0.1 is 0.1 and a rate reads like the number that was meant.

    >>> rounded(0.1 + 0.2)
    0.3
    """
    return float(f"{value:.12g}")


def plain(value: Any) -> Any:
    """As JSON takes it: infinite and missing numbers are None, arrays lists.

    >>> plain({"losses": np.array([0.5, np.inf])})
    {'losses': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if is_dataclass(value):
        return plain(vars(value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`.

    Args:
        low, high: the ends, which belong to it unless `above` or `below` says otherwise.
        whole: integers alone; up to `MOST` where no `high` is given.
        above, below: without `low`, without `high`.
        unit: of a whole number, e.g. steps.

    >>> Range(0, 1).check("p of flip", 0.5)
    0.5
    >>> print(Range(0, above=True), "|", Range(1, whole=True, unit="steps"), "|", Range(0, 1, below=True))
    a number above 0 | a whole number of steps, at least 1 | a number of at least 0 and below 1
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    above: bool = False
    below: bool = False
    unit: str = ""

    def check(self, what: str, value: Any, error: type[UsageError] = UsageError) -> Any:
        """The value, a NumPy scalar as Python's own.

        Args:
            what: the argument, as a message calls it.

        Raises:
            UsageError: or the given kind of it: what was given, and what is allowed.
        """
        number = value.item() if isinstance(value, np.integer | np.floating) else value
        if number in self:
            return number
        allowed = self.text(number)
        raise error("{what} is {value}; give {allowed}.", what=what, value=short(repr(value)), allowed=allowed)

    def __contains__(self, number: Any) -> bool:
        plain = isinstance(number, int if self.whole else int | float) and not isinstance(number, bool)
        if not plain or not max(self.low, -self._most) <= number <= min(self.high, self._most):
            return False
        return not (self.above and number == self.low) and not (self.below and number == self.high)

    @property
    def _most(self) -> float:
        return MOST if self.whole else sys.float_info.max

    def __str__(self) -> str:
        return self.text()

    def text(self, refused: Any = None) -> str:
        """What is allowed, in words; the largest number of all is named where it is what refuses this one."""
        noun = say("a whole number") if self.whole else say("a number")
        noun = say("{noun} of {unit}", noun=noun, unit=Word(self.unit)) if self.unit else noun
        top = min(self.high, self._most)
        low, high = (f"{end:,}" if self.whole else f"{end:g}" for end in (self.low, top))
        most = say("below {high}", high=high) if self.below else say("at most {high}", high=high)
        ended = self.high < math.inf or (isinstance(refused, int | float) and refused > top)
        if self.low == -math.inf:
            return say("{noun} that is {most}", noun=noun, most=most) if ended else noun
        if ended and not (self.above or self.below):
            return say("{noun} from {low} to {high}", noun=noun, low=low, high=high)
        if self.above:
            least = say("{noun} above {low}", noun=noun, low=low)
        elif self.unit:
            least = say("{noun}, at least {low}", noun=noun, low=low)
        else:
            least = say("{noun} of at least {low}", noun=noun, low=low)
        return say("{least} and {most}", least=least, most=most) if ended else least


COUNT = Range(1, whole=True)
POSITIVE = Range(0, above=True)
