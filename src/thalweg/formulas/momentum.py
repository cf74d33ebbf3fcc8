"""Descent along an accumulated gradient: the ball that rolls, and the ball that looks where it is going."""

from __future__ import annotations

from .base import Update, formula
from .drop_in import DropIn
from .equations import one_of
from .meanings import SHARE, SWITCH, Meaning
from .vocabulary import where


@formula(
    source="Polyak 1964; Sutskever et al. 2013, equations 1 and 2",
    year=1964,
    parents=("sgd",),
    direction="accumulated gradient",
    rate="constant",
    idea="keeps some of its speed",
    departs="torch.optim.SGD's form, with the rate outside the sum; rate_inside is the paper's.",
    meanings={
        "dampening": Meaning("share of each new gradient that is left out", SHARE),
        "rate_inside": Meaning("multiply each gradient by the rate before it is accumulated", SWITCH),
    },
    drop_ins=(DropIn("SGD", {"a": "momentum_buffer"}, ("dampening",), chosen_by=("momentum",), keeps_step=False),),
)
def momentum(g, w, t, a, *, lr=1e-3, momentum=0.9, dampening=None, weight_decay=0.0, rate_inside=False):
    """Gradients are accumulated: a ← μa + g, w ← w − ηa; with rate_inside, a ← μa − ηg, w ← w + a.

    The two differ only while lr changes. With dampening τ, a ← μa + (1 − τ)g from the second step on.
    """
    g = g + weight_decay * w
    if dampening is not None:
        g = where(t > 1, 1 - dampening, 1) * g
    a = momentum * a - lr * g if rate_inside else momentum * a + g
    return Update(a if rate_inside else -lr * a, a=a)


@formula(
    source="Nesterov 1983; Sutskever et al. 2013, equations 3 and 4",
    year=1983,
    parents=("momentum",),
    direction="accumulated gradient",
    rate="constant",
    idea="looks where momentum leads",
    departs="torch.optim.SGD(nesterov=True)'s form, whose weights are the point that looks ahead; lookahead is "
    "the paper's.",
    meanings={
        "lookahead": Meaning("take the gradient where the momentum leads", SWITCH),
        "lookahead_kept": Meaning("let the step begin where the momentum leads", SWITCH),
        "change_of_variables": Meaning("follow the point that looks ahead", SWITCH),
    },
    drop_ins=(DropIn("SGD", {"a": "momentum_buffer"}, chosen_by=("momentum", "nesterov"), keeps_step=False),),
)
def nesterov(
    g,
    w,
    a,
    *,
    lr=1e-3,
    momentum=0.9,
    weight_decay=0.0,
    lookahead=False,
    lookahead_kept=False,
    change_of_variables=False,
):
    """Momentum that looks one step ahead.

    With lookahead, a ← μa − η∇f(w + μa), w ← w + a. With change_of_variables, the same path seen from
    w + μa: a' = μa − ηg, w ← w − μa + (1 + μ)a'. Otherwise a ← μa + g, w ← w − η(g + μa). lookahead_kept, as a
    lecture prints it, is lookahead with the new a added to w + μa in place of w: each step goes μa too far.
    """
    one_of("nesterov", lookahead=lookahead, lookahead_kept=lookahead_kept, change_of_variables=change_of_variables)
    ahead = momentum * a
    g = g + weight_decay * (w + ahead if lookahead or lookahead_kept else w)
    if lookahead or lookahead_kept:
        new = ahead - lr * g
        return Update(ahead + new if lookahead_kept else new, at=ahead, a=new)
    if change_of_variables:
        new = momentum * a - lr * g
        return Update(-momentum * a + (1 + momentum) * new, a=new)
    a = momentum * a + g
    return Update(-lr * (g + momentum * a), a=a)
