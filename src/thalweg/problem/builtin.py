"""The built-in problems: small, offline, and different enough that no single optimizer wins them all.

Each is a function without arguments that returns a `Problem`; the dict at the end is the list of names. All data ship
with scikit-learn or with Python, all splits are fixed (seed 0), and only the two that are there for it have dropout and
batch normalization, so a member's path depends on its seed and its optimizer alone.
Read next: `declaration.py` (what a problem is), `find.py` (how to give your own).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from .declaration import Problem

LENGTH = 32  # of a sequence of `text`, in characters


def digits() -> Problem:
    """Handwritten digits, 8×8 pixels, ten classes; a network 64-64-10 with ReLU."""
    return _digits("digits", partial(_network, 64, 64, 10))


def digits_cnn() -> Problem:
    """The same digits as images; two 3×3 convolutions with pooling, then a linear layer."""
    return _digits("digits-cnn", _digits_convolutions, (1, 8, 8))


def digits_dropout() -> Problem:
    """The digits with a dropout layer behind the ReLU, which drops nothing until dropout(p) sets it."""
    return _digits("digits-dropout", _with_dropout)


def digits_batch_norm() -> Problem:
    """The digits with batch normalization before the ReLU."""
    return _digits("digits-batch-norm", _with_batch_norm)


def breast_cancer() -> Problem:
    """Malignant or benign, from 30 measurements of cell nuclei; a network 30-32-2."""
    from sklearn.datasets import load_breast_cancer

    inputs, targets = load_breast_cancer(return_X_y=True)
    parts = _standardised(_split(inputs, targets))
    return _problem("breast-cancer", partial(_network, 30, 32, 2), parts, "cross_entropy", "accuracy")


def diabetes() -> Problem:
    """Regression: progression of diabetes after a year, in standard deviations; a network 10-32-1."""
    from sklearn.datasets import load_diabetes

    inputs, targets = load_diabetes(return_X_y=True)
    column = np.asarray(targets).reshape(-1, 1)  # (samples, 1), like the outputs
    parts = _standardised(_split(inputs, column), targets_too=True)
    return _problem("diabetes", partial(_network, 10, 32, 1), parts, "mse", "mae")


NOISE = 0.3  # standard deviation of the targets of `wave`


def wave() -> Problem:
    """Regression with known noise: sin(πx)·(1 + x) and a normal error of 0.3; a network 1-32-1."""
    draw = np.random.default_rng(0)
    inputs = draw.uniform(-1, 1, (2200, 1))
    targets = crest(torch.from_numpy(inputs)).numpy() + NOISE * draw.normal(size=(2200, 1))
    parts = tuple(zip(np.split(inputs, [200, 1200]), np.split(targets, [200, 1200]), strict=True))
    model = partial(_network, 1, 32, 1, nn.Tanh)
    return _problem("wave", model, parts, "mse", "mae", noise=NOISE**2, truth=crest)


def crest(x: torch.Tensor) -> torch.Tensor:
    """What the targets of `wave` are without their noise."""
    return torch.sin(torch.pi * x) * (1 + x)


def text() -> Problem:
    """The next character of English text (Python's own help); a one-layer character transformer."""
    from pydoc_data.topics import topics

    page = _each_line_once("\n".join(topics[key] for key in sorted(topics)))
    alphabet, ids = np.unique(list(page), return_inverse=True)
    pieces = np.split(ids, [len(ids) * 8 // 10, len(ids) * 9 // 10])
    parts = tuple(_sequences(piece, count) for piece, count in zip(pieces, (2048, 256, 256), strict=True))
    model = partial(CharacterTransformer, len(alphabet))
    return _problem("text", model, parts, "cross_entropy", "accuracy")


class CharacterTransformer(nn.Module):
    """Scores of the next character at every position, from the characters up to it.

    (batch, positions) character ids → (batch, classes, positions), the order torch's cross-entropy takes.
    Attention is written out, softmax(QKᵀ/√d + mask) V, so that it runs under `torch.func.vmap`; layer
    norms stand before attention and network (Xiong et al. 2020, pre-LN).
    """

    def __init__(self, classes: int, width: int = 32, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.token = nn.Embedding(classes, width)
        self.position = nn.Embedding(LENGTH, width)
        self.before_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.before_network = nn.LayerNorm(width)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        self.before_scores = nn.LayerNorm(width)
        self.scores = nn.Linear(width, classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.token(ids) + self.position.weight[: ids.shape[-1]]  # (batch, positions, width)
        x = x + self.attended(self._attention(self.before_attention(x)))
        x = x + self.network(self.before_network(x))
        return self.scores(self.before_scores(x)).transpose(1, 2)  # (batch, classes, positions)

    def _attention(self, x: torch.Tensor) -> torch.Tensor:
        batch, positions, width = x.shape
        split_heads = self.query_key_value(x).reshape(batch, positions, 3, self.heads, width // self.heads)
        query, key, value = split_heads.permute(2, 0, 3, 1, 4).unbind(0)  # (batch, heads, positions, width / heads)
        future = torch.full((positions, positions), -torch.inf, dtype=x.dtype, device=x.device).triu(1)
        scores = query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5 + future
        return (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, positions, width)


def _each_line_once(page: str) -> str:
    """Printable text without rules and tables, each line where it stands first.

    The help repeats whole sections under several headings, which would put test sequences into the training text.
    """
    printable = "".join(character for character in page if character == "\n" or " " <= character <= "~")
    lines = [line.strip() for line in printable.split("\n")]
    return "\n".join(dict.fromkeys(line for line in lines if re.match(r"[^+|]*[A-Za-z]", line)))


def _digits(name: str, model: Callable[[], nn.Module], shape: tuple[int, ...] = (64,)) -> Problem:
    from sklearn.datasets import load_digits

    inputs, targets = load_digits(return_X_y=True)
    parts = _split((inputs / 16).reshape(-1, *shape), targets)
    return _problem(name, model, parts, "cross_entropy", "accuracy")


def _network(inputs: int, width: int, outputs: int, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), activation(), nn.Linear(width, outputs))


def _digits_convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # (batch, 8, 4, 4)
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # (batch, 16, 2, 2)
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def _with_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.0), nn.Linear(64, 10))


def _with_batch_norm() -> nn.Module:
    # A bias before it would have a gradient of rounding alone, which Adam makes whole steps of.
    return nn.Sequential(nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))


def _problem(
    name: str, model: Callable[[], nn.Module], parts: tuple[tuple[Any, Any], ...], loss: str, metric: str, **more: Any
) -> Problem:
    given = dict(zip(("train", "validation", "test"), parts, strict=True))
    return Problem(model=model, loss=loss, metrics=(metric,), name=name, **given, **more)


def _split(inputs: np.ndarray, targets: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """(train, validation, test): 20% for testing, then 20% of the rest for validation, classes in proportion."""
    from sklearn.model_selection import train_test_split

    rows, held_out = np.arange(len(targets)), []
    for _ in range(2):
        classes = targets[rows] if targets.dtype.kind == "i" else None
        rows, part = map(np.sort, train_test_split(rows, test_size=0.2, random_state=0, stratify=classes))
        held_out.append(part)
    return tuple((inputs[part], targets[part]) for part in (rows, *reversed(held_out)))


def _standardised(parts: tuple[tuple[Any, Any], ...], targets_too: bool = False) -> tuple[tuple[Any, Any], ...]:
    """Mean 0 and standard deviation 1 over the training rows; the other parts moved by the same amounts."""
    inputs, targets = parts[0]
    shift, scale = inputs.mean(axis=0), inputs.std(axis=0)
    target_shift, target_scale = (targets.mean(axis=0), targets.std(axis=0)) if targets_too else (0, 1)
    return tuple(((x - shift) / scale, (y - target_shift) / target_scale if targets_too else y) for x, y in parts)


def _sequences(ids: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` sequences spread evenly over `ids`, and each shifted by one: (count, LENGTH) twice."""
    starts = np.linspace(0, len(ids) - LENGTH - 1, count).astype(np.int64)
    windows = ids[starts[:, None] + np.arange(LENGTH + 1)]  # (count, LENGTH + 1)
    return windows[:, :-1], windows[:, 1:]


_FUNCTIONS = (digits, digits_cnn, digits_dropout, digits_batch_norm, breast_cancer, diabetes, wave, text)
PROBLEMS: dict[str, Callable[[], Problem]] = {f.__name__.replace("_", "-"): f for f in _FUNCTIONS}
