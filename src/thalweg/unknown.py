"""What is said of a name that does not exist: which ones do, and which of them was perhaps meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from .aliases import ALIASES
from .errors import short
from .language import Word, mark, say

LISTED = 60
# What a sentence calls that which is looked up by name most often; others stay English.
KINDS = (mark("an optimizer"), mark("a schedule"), mark("a loss"), mark("a regularizer"), mark("a surface"))
KINDS += (mark("a problem"), mark("a model"), mark("a picture"), mark("a metric of this study"))
KINDS += (mark("a column of this table"), mark("a hyperparameter of this optimizer"))
KINDS += (mark("a hyperparameter of these optimizers"), mark("a factor that this study varies"), mark("a metric"))
KINDS += (mark("an argument"), mark("a hyperparameter"), mark("an option"), mark("a parameter"), mark("a state"))
KINDS += (mark("a kind of picture"),)


# Of what is no name here, in lower case without separators: what gives it.
_LAYER = mark("a layer of the model (models= compares models with and without it)")
GIVEN_BY: Mapping[str, Mapping[str, str]] = {
    "optimizer": {"amsgrad": "adam(amsgrad=True)"},
    "schedule": {"noam": "inverse_sqrt", "transformer": "inverse_sqrt"},
    "argument": {"etamin": mark("end (as a share of the rate)")},
    "regularizer": {
        "elasticnet": mark("l1 and l2 together"),
        "엘라스틱넷": mark("l1 and l2 together"),
        **dict.fromkeys(("batchnorm", "batchnormalization", "bn", "배치정규화", "layernorm", "groupnorm"), _LAYER),
    },
}


def unknown(kind: str, given: str, allowed: Iterable[str], owner: str = "") -> str:
    """One sentence for an unknown name: what differs only in case or separators, or else the near matches, come first.

    Near is also what another of its names is near to, in any language; before all comes what gives the same.

    >>> unknown("optimizer", "AdamW", ["sgd", "adam", "adamw"])
    "'AdamW' is not an optimizer: did you mean adamw? Known: sgd, adam, adamw."
    >>> unknown("optimizer", "adm", ["sgd", "adam", "adamw"])
    "'adm' is not an optimizer: did you mean adam or adamw? Known: sgd, adam, adamw."
    >>> unknown("optimizer", "경사하강", ["sgd", "adam"])
    "'경사하강' is not an optimizer: did you mean sgd? Known: sgd, adam."
    """
    names = list(allowed)
    spelled, wanted = {plain(name): name for name in names}, plain(given)
    spelled = {alias: name for alias, name in ALIASES.get(kind, {}).items() if name in names} | spelled
    close = [wanted] if wanted in spelled else difflib.get_close_matches(wanted, spelled, n=3, cutoff=0.5)
    article = "an" if kind[0] in "aeiou" else "a"
    meant = dict.fromkeys(spelled[match] for match in close)
    if (other := GIVEN_BY.get(kind, {}).get(wanted)) is not None:
        meant = {say(Word(other)): None}
    more = say(", … ({count} in all)", count=len(names)) if len(names) > LISTED else ""
    shown, named, listed = repr(short(given)), say(Word(f"{article} {kind}")), ", ".join(names[:LISTED]) + more
    named = say("{kind} of {owner}", kind=named, owner=owner) if owner else named
    if not meant:
        return say("{given} is not {kind}; known: {names}.", given=shown, kind=named, names=listed)
    return say(
        "{given} is not {kind}: did you mean {hint}? Known: {names}.",
        given=shown,
        kind=named,
        hint=say(" or ").join(meant),
        names=listed,
    )


def plain(name: str) -> str:
    """The name in lower case, with letters and digits alone: what was perhaps meant is wider than what is accepted."""
    return re.sub(r"[\W_]", "", name).lower()
