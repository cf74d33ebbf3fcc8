"""What a hyperparameter or option means and which values make sense: the words that several formulas share.

A formula declares the meaning of those that are its alone, ``@formula(meanings=...)``.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass

from ..numbers import Range

_INTERVAL, _COUNTED = re.compile(r"([\[(])(\S+), (\S+)([\])])"), re.compile(r"1, 2, …(?:, (\d+))?")


@dataclass(frozen=True)
class Meaning:
    """In words, and the range as people write it: ``[0, 1)``, ``(0, ∞)``, ``1, 2, …``, ``True or False``.

    A number outside of its range is refused wherever a rule is given one (`Formula.within`).
    """

    words: str
    range: str

    @functools.cached_property
    def numbers(self) -> Range | None:
        """The range; None where it is not one of numbers.

        >>> print(Meaning("share of the past", "[0, 1)").numbers, "|", Meaning("steps", "1, 2, …").numbers)
        a number of at least 0 and below 1 | a whole number of at least 1
        """
        if (interval := _INTERVAL.fullmatch(self.range)) is not None:
            first, *ends, last = interval.groups()
            low, high = (float(end.replace("∞", "inf")) for end in ends)
            return Range(low, high, above=first == "(", below=last == ")")
        counted = _COUNTED.fullmatch(self.range)
        return None if counted is None else Range(1, int(counted[1]) if counted[1] else math.inf, whole=True)


SHARE, SWITCH = "[0, 1)", "True or False"
SHARED: dict[str, Meaning] = {
    "amsgrad": Meaning("divide by the largest second moment so far", SWITCH),
    "beta1": Meaning("share of the past in the average of gradients", SHARE),
    "beta2": Meaning("share of the past in the average of squared gradients", SHARE),
    "bias_correction": Meaning("make up for averages that start at 0", SWITCH),
    "decoupled_weight_decay": Meaning("decay the weight itself, not through the gradient", SWITCH),
    "eps": Meaning("keeps the divisor from being 0", "[0, ∞)"),
    "eps_inside": Meaning("put eps under the root", SWITCH),
    "initial_accumulator_value": Meaning("first value of the sum or average of squares", "[0, ∞)"),
    "lr": Meaning("learning rate", "[0, ∞)"),
    "momentum": Meaning("share of the past in the accumulated step", SHARE),
    "weight_decay": Meaning("pull of the weights towards 0", "[0, ∞)"),
}
