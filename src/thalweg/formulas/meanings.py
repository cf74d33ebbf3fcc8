"""What a hyperparameter or option means and which values make sense: the words that several formulas share.

A formula declares the meaning of those that are its alone, ``@formula(meanings=...)``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """In words, and the range as an interval; both for people."""

    words: str
    range: str


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
    "lr": Meaning("learning rate", "(0, ∞)"),
    "momentum": Meaning("share of the past in the accumulated step", SHARE),
    "weight_decay": Meaning("pull of the weights towards 0", "[0, ∞)"),
}
