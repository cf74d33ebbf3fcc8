"""What is minimised and what is measured: losses and metrics, by name or as small objects.

A loss takes the model's outputs and the targets of one batch and gives their mean loss, a scalar; a metric
has the same form and is only reported. Inside are torch's own functions, so a recipe in plain PyTorch
computes the same number. A metric that is a mean over samples is computed beside the loss, in chunks whose results
are averaged; any other, and any that is not of this package, on all outputs of a member at once (`in_program`).

Every loss but `linear_cross_entropy` runs under `torch.func.vmap`, in a population like alone.
Read next: `base.py`.
"""

from .base import Loss, Measure, Scale
from .classification import NLL, CrossEntropy
from .binary import BCE
from .regression import L1, MSE, Huber
from .divergence import KLDiv
from .triplet import TripletMargin
from .likelihood import NegativeLogLikelihood, from_distribution
from .information import cross_entropy_of, entropy
from .linear import linear_cross_entropy
from .metrics import AUC, F1, R2, Accuracy, Mean, Metric, Perplexity, TopK
from .foreign import Foreign
from .registry import LOSSES, METRICS, Custom, OfModel, accuracy, direction, direction_of, get, get_metric, in_program
from .registry import name_of, scale_of, seen, sees_model

__all__ = [
    "AUC",
    "BCE",
    "F1",
    "L1",
    "LOSSES",
    "METRICS",
    "MSE",
    "NLL",
    "R2",
    "Accuracy",
    "CrossEntropy",
    "Custom",
    "Foreign",
    "Huber",
    "KLDiv",
    "Loss",
    "Mean",
    "Measure",
    "Metric",
    "NegativeLogLikelihood",
    "OfModel",
    "Perplexity",
    "Scale",
    "TopK",
    "TripletMargin",
    "accuracy",
    "cross_entropy_of",
    "direction",
    "direction_of",
    "entropy",
    "from_distribution",
    "get",
    "get_metric",
    "in_program",
    "linear_cross_entropy",
    "name_of",
    "scale_of",
    "seen",
    "sees_model",
]
