"""A transformer of ten million weights that continues a text, on a language made on the spot.

thalweg compare docs/examples/transformer.py:problem --optimizers adamw,muon,lion --rates 1e-4,3e-4,1e-3 --dry-run
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import thalweg as tw

WORDS, LENGTH, WIDTH, HEADS, LAYERS = 2048, 64, 320, 5, 8


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, LAYERS, norm=nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, WORDS, bias=False)
        self.out.weight = self.words.weight  # one table for words that are read and words that are said
        self.register_buffer("later", torch.triu(torch.ones(LENGTH, LENGTH, dtype=torch.bool), 1), persistent=False)

    def forward(self, text: Tensor) -> Tensor:
        read = self.words(text) + self.places.weight[: text.shape[1]]
        later = self.later[: text.shape[1], : text.shape[1]]
        return self.out(self.layers(read, mask=later, is_causal=True)).transpose(1, 2)


def texts(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Each word follows from the one before and, now and then, from chance."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.empty(samples, LENGTH + 1, dtype=torch.int64)
    words[:, 0] = torch.randint(0, WORDS, (samples,), generator=generator)
    for place in range(LENGTH):
        step = torch.randint(0, 4, (samples,), generator=generator)
        words[:, place + 1] = (words[:, place] * 37 + step * 101 + 11) % WORDS
    return words[:, :-1], words[:, 1:]


def problem(samples: int = 12_000) -> tw.Problem:
    sizes = samples, samples // 12, samples // 12
    train, validation, test = (texts(size, seed) for seed, size in enumerate(sizes))
    return tw.Problem(Transformer, train=train, validation=validation, test=test, loss="cross_entropy")
