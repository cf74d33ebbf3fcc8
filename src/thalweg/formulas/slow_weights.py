"""Weights that follow others: some steps of a rule are tried, and then a share of the way is gone."""

from __future__ import annotations

from .around import around
from .equations import multiple
from .meanings import SWITCH, Meaning
from .vocabulary import where


@around(
    source="Zhang, Lucas, Hinton & Ba 2019, Algorithm 1",
    year=2019,
    initial={"phi": "w"},
    idea="goes back some of the way",
    departs="the weights that are evaluated are the fast ones, as in most programs; the algorithm returns the slow "
    'ones, which shows_slow evaluates. The states of the rule inside go on as they are ("maintain" in the paper).',
    meanings={
        "steps": Meaning("steps of the rule inside for one of the slow weights", "1, 2, …"),
        "slow_step": Meaning("share of the way to the fast weights that the slow ones go", "(0, 1]"),
        "shows_slow": Meaning("evaluate the slow weights", SWITCH),
    },
)
def lookahead(update, w, t, phi, *, steps: int = 5, slow_step=0.5, shows_slow=False):
    """Steps of a rule are tried; after so many, the slow weights φ go a share of the way, and the rule goes on from φ.

    φ ← φ + α(w − φ) and w ← φ after every steps-th step.
    """
    now = multiple(t, steps)
    moved = where(now, phi + slow_step * (w + update.step - phi), phi)
    shown = phi - w if shows_slow else update.shown
    return update.with_(step=where(now, moved - w, update.step), shown=shown, phi=moved)
