"""What each hyperparameter and option means and which values make sense; one table for all formulas."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """In words, and the range as an interval; both for people."""

    words: str
    range: str


_SHARE = "[0, 1)"
MEANINGS: dict[str, Meaning] = {
    "alpha": Meaning("how much of the past a moving average keeps; asgd: power of the rate's fall", "[0, 1]"),
    "amsgrad": Meaning("divide by the largest second moment so far", "True or False"),
    "beta1": Meaning("share of the past in the average of gradients", _SHARE),
    "beta2": Meaning("share of the past in the average of squared gradients", _SHARE),
    "beta3": Meaning("share of the past in adan's average of squares", _SHARE),
    "bias_correction": Meaning("make up for averages that start at 0", "True or False"),
    "centered": Meaning("divide by the deviation of gradients instead of their size", "True or False"),
    "change_of_variables": Meaning("follow the point that looks ahead", "True or False"),
    "dampening": Meaning("share of each new gradient that is left out", _SHARE),
    "decoupled_weight_decay": Meaning("decay the weight itself, not through the gradient", "True or False"),
    "eps": Meaning("keeps the divisor from being 0", "[0, ∞)"),
    "eps_inside": Meaning("put eps under the root", "True or False"),
    "eta_minus": Meaning("factor of the step size when the sign changes", "(0, 1)"),
    "eta_plus": Meaning("factor of the step size when the sign stays", "(1, ∞)"),
    "factor": Meaning("factor of the rate when the loss has gone down", "(0, 1]"),
    "folded": Meaning("fold the bias corrections into the rate, with eps under the root", "True or False"),
    "initial_accumulator_value": Meaning("first value of the sum or average of squares", "[0, ∞)"),
    "lambd": Meaning("decay of the weights, and of the rate with time", "[0, ∞)"),
    "lookahead": Meaning("take the gradient where the momentum leads", "True or False"),
    "lr": Meaning("learning rate", "(0, ∞)"),
    "lr_decay": Meaning("fall of the rate per step, as 1 / (1 + (t − 1)·lr_decay)", "[0, ∞)"),
    "momentum": Meaning("share of the past in the accumulated step", _SHARE),
    "momentum_decay": Meaning("how fast nadam's momentum grows to beta1", "[0, ∞)"),
    "nu1": Meaning("share of the average against the present gradient", "[0, 1]"),
    "nu2": Meaning("share of the average against the present squared gradient", "[0, 1]"),
    "rate_inside": Meaning("multiply each gradient by the rate before it is accumulated", "True or False"),
    "rho": Meaning("share of the past in the averages of squares", _SHARE),
    "rmsprop_momentum": Meaning("accumulate the steps of rmsprop", "True or False"),
    "size_max": Meaning("longest step", "(0, ∞)"),
    "size_min": Meaning("shortest step", "(0, ∞)"),
    "t0": Meaning("step after which weights are averaged", "[0, ∞)"),
    "weight_decay": Meaning("pull of the weights towards 0", "[0, ∞)"),
}
