"""Drop-ins for torch.optim, each made from its formula; `from_formula` makes one from yours.

The classes that torch.optim has take torch's arguments and state_dicts; every class can also clip, average the
weights and zero the gradients in the same pass over memory.

>>> import torch, thalweg as tw
>>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
>>> optimizer = tw.optim.Adam([weight], lr=0.1, max_norm=1.0, zero_grad=True)
>>> weight.square().sum().backward(); optimizer.step()
>>> weight.data, weight.grad
(tensor([ 0.9000, -1.9000]), tensor([0., 0.]))

Read next: `optimizer.py`, which all classes share.
"""

from __future__ import annotations

from ..aliases import called
from ..formulas import WRAPPERS
from ..language import say
from ..unknown import unknown
from .classes import drop_in, from_formula
from .optimizer import FormulaOptimizer
from .rules import RULES


def __getattr__(name: str) -> type[FormulaOptimizer]:
    """What there is in place of a class that no formula declares; those that one does are in the namespace below."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if (wrapper := called("optimizer", name, WRAPPERS)) is not None:
        raise AttributeError(
            say(
                "{name} goes around another optimizer, such as adamw: write "
                "tw.optim.from_formula('{wrapper}(adamw)')(params, lr=1e-3) in place of tw.optim.{name}.",
                name=name,
                wrapper=wrapper,
            )
        )
    raise AttributeError(unknown("optimizer", name, RULES, "tw.optim"))


globals().update({name: drop_in(name) for name in RULES})

__all__ = ["FormulaOptimizer", "from_formula", *RULES]  # pyright: ignore[reportUnsupportedDunderAll]
