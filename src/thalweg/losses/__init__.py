"""What is minimised and what is measured: losses and metrics, by name or as small objects.

A loss takes the model's outputs and the targets of one batch and gives their mean loss, a scalar; a metric
has the same form and is only reported. Inside are torch's own functions, so a recipe in plain PyTorch
computes the same number. A metric must be a mean over samples, because evaluation runs in chunks whose
results are averaged, weighted by their counts: r² is not one.

Every loss but `linear_cross_entropy` runs under `torch.func.vmap`, in a population like alone.
Read next: `base.py`.
"""

from .base import Loss, Measure
from .classification import CrossEntropy
from .regression import L1, MSE, Huber
from .divergence import KLDiv
from .triplet import TripletMargin
from .likelihood import NegativeLogLikelihood, from_distribution
from .information import cross_entropy_of, entropy
from .linear import linear_cross_entropy
from .registry import LOSSES, METRICS, Custom, OfModel, accuracy, get, get_metric, name_of, seen, sees_model

__all__ = [
    "L1",
    "LOSSES",
    "METRICS",
    "MSE",
    "CrossEntropy",
    "Custom",
    "Huber",
    "KLDiv",
    "Loss",
    "Measure",
    "NegativeLogLikelihood",
    "OfModel",
    "TripletMargin",
    "accuracy",
    "cross_entropy_of",
    "entropy",
    "from_distribution",
    "get",
    "get_metric",
    "linear_cross_entropy",
    "name_of",
    "seen",
    "sees_model",
]
