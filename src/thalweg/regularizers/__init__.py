"""Regularizers: small objects for a plain PyTorch loop, and by name for a study."""

from .base import Mixed, Regularizer, chain, criterion, draw_seed
from .stopping import EarlyStopping
from .penalties import L1, L2
from .decay import DecoupledDecay
from .noise import InputNoise, WeightNoise
from .labels import LabelSmoothing
from .mixing import CutMix, MixUp
from .augmentation import Crop, Flip, Rotate, Shift
from .layers import Dropout
from .clipping import ClipNorm, ClipValue
from .averaging import EMA, SWA
from .registry import REGULARIZERS, get, names

__all__ = [
    "EMA",
    "L1",
    "L2",
    "REGULARIZERS",
    "SWA",
    "ClipNorm",
    "ClipValue",
    "Crop",
    "CutMix",
    "DecoupledDecay",
    "Dropout",
    "EarlyStopping",
    "Flip",
    "InputNoise",
    "LabelSmoothing",
    "MixUp",
    "Mixed",
    "Regularizer",
    "Rotate",
    "Shift",
    "WeightNoise",
    "chain",
    "criterion",
    "draw_seed",
    "get",
    "names",
]
