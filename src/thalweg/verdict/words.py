"""Words that sentences of a verdict share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..language import mark, say
from ..plan.factors import Factor, Level, Setting


def percent(share: float) -> str:
    """
    >>> percent(0.049), percent(0.0049), percent(3.2), percent(-0.02)
    ('5%', '0.5%', '320%', '−2%')
    """
    written = f"{share:.0%}" if abs(share) >= 0.01 or share == 0 else f"{100 * share:.1g}%"
    return written.replace("-", "−").replace("inf", "∞").replace("∞%", "∞")


def rest(factor: Factor, setting: Setting, further: Mapping[str, str]) -> str:
    """The setting apart from the factor that is ranked, and from what runs made elsewhere do not say.

    Args:
        further: its other factors, in words.

    >>> from thalweg.plan.factors import OPTIMIZER
    >>> rest(Factor(OPTIMIZER, "optimizer", (), {}), Setting("adam", 0.1, ""), {"batch_size": "batch size 16"})
    'rate 0.1, batch size 16'
    """
    rate = "" if math.isnan(setting.lr) else say("rate {lr:.3g}", lr=setting.lr)
    words = {"optimizer": setting.optimizer, "lr": rate, "schedule": setting.schedule, **further}
    return ", ".join(text for name, text in words.items() if text and name != factor.name)


def called(factor: Factor, level: Level) -> str:
    """A level at the beginning of a sentence; names of optimizers and hyperparameters are left as they are written."""
    text = factor.called(level)
    name = factor.name == "optimizer" or (factor.only is not None and text.startswith(factor.name))
    return text if name else text[0].upper() + text[1:]


AND, OR = mark("{some} and {last}"), mark("{some} or {last}")


def listed(names: Sequence[str], joined: str = AND) -> str:
    """
    >>> listed(["a", "b", "c"]), listed(["a", "b"], OR), listed(["a"])
    ('a, b and c', 'a or b', 'a')
    """
    *some, last = names
    return say(joined, some=", ".join(some), last=last) if some else last
