"""Regularizers: small objects for a plain PyTorch loop, and by name for a study."""

from .augmentation import Crop, Flip, Rotate, Shift
from .averaging import EMA, SWA
from .base import Mixed, Regularizer, chain, criterion, draw_seed
from .clipping import ClipNorm, ClipValue
from .decay import DecoupledDecay
from .labels import LabelSmoothing
from .layers import Dropout
from .mixing import CutMix, MixUp
from .noise import InputNoise, WeightNoise
from .penalties import L1, L2
from .registry import REGULARIZERS, get, names
from .stopping import EarlyStopping

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
