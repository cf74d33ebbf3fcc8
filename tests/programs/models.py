"""Small models, one for each kind of layer, and losses: what a compiled step is compared on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A model, the shape of one sample (of ids below `ids` where they are given), and its loss."""

    model: Callable[[], nn.Module]
    shape: Shape
    ids: int | None = None
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    targets: Callable[[int], Tensor] = lambda n: torch.randint(5, (n,))

    def batch(self, n: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, *self.shape, dtype=dtype) if self.ids is None else torch.randint(self.ids, (n, *self.shape))
        y = self.targets(n)
        return x, y.to(dtype) if y.is_floating_point() else y


class Do(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Last(nn.Module):
    """A recurrent layer's last result."""

    def __init__(self, kind: Callable[..., nn.Module], batch_first: bool = True, **options: Any) -> None:
        super().__init__()
        self.first = batch_first
        self.layer = kind(4, 5, batch_first=batch_first, **options)

    def forward(self, x: Tensor) -> Tensor:
        if not self.first:
            return self.layer(x.transpose(0, 1))[0][-1, :, :5]
        return self.layer(x)[0][:, -1, :5]


class Attends(nn.Module):
    """Attention of a sequence to itself, with or without the weights as a result."""

    def __init__(self, weights: bool, causal: bool = False) -> None:
        super().__init__()
        self.mix, self.weights, self.causal = nn.MultiheadAttention(4, 2, batch_first=True), weights, causal

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype) if self.causal else None
        return self.mix(x, x, x, need_weights=self.weights, attn_mask=mask)[0]


class Two(nn.Module):
    """Bilinear in two halves of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Bilinear(4, 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x[:, :4], x[:, 4:])


def head(*layers: nn.Module) -> Callable[[], nn.Module]:
    """The layers anew for each model, then flat, then 5 classes."""
    return lambda: nn.Sequential(*(_fresh(layer) for layer in layers), nn.Flatten(), nn.LazyLinear(5))


def _fresh(layer: nn.Module) -> nn.Module:
    for module in layer.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]
    return layer


def dense(layer: nn.Module, width: int = 8) -> Case:
    return Case(lambda: nn.Sequential(nn.Linear(6, width), layer, nn.Linear(width, 5)), (6,))


def image(*layers: nn.Module, shape: Shape = (2, 8, 8)) -> Case:
    return Case(head(*layers), shape)


def function(do: Callable[[Tensor], Tensor], shape: Shape = (3, 4)) -> Case:
    return Case(head(nn.Linear(shape[-1], shape[-1]), Do(do)), shape)


ACTIVATIONS = {
    type(a).__name__ + str(k): dense(a)
    for k, a in enumerate(
        (
            nn.ReLU(), nn.ReLU6(), nn.Tanh(), nn.GELU(), nn.GELU("tanh"), nn.Sigmoid(), nn.SiLU(), nn.ELU(), nn.CELU(),
            nn.SELU(), nn.LeakyReLU(), nn.Softplus(), nn.Softplus(2.0, 1.0), nn.Hardtanh(), nn.Mish(), nn.Softsign(),
            nn.Hardswish(), nn.Hardsigmoid(), nn.PReLU(), nn.PReLU(8), nn.LogSigmoid(), nn.Softmax(-1), nn.Softmin(-1),
            nn.LogSoftmax(-1), nn.Tanhshrink(), nn.Softshrink(), nn.Hardshrink(), nn.Threshold(0.1, 2.0), nn.Identity(),
        )
    )
}  # fmt: skip

NORMS = {
    "batch norm": dense(nn.BatchNorm1d(8)),
    "batch norm, all means": dense(nn.BatchNorm1d(8, momentum=None)),
    "batch norm, no memory": dense(nn.BatchNorm1d(8, track_running_stats=False)),
    "batch norm, plain": dense(nn.BatchNorm1d(8, affine=False)),
    "layer norm": dense(nn.LayerNorm(8)),
    "layer norm, plain": dense(nn.LayerNorm(8, elementwise_affine=False)),
    "rms norm": dense(nn.RMSNorm(8)),
    "group norm": dense(nn.GroupNorm(2, 8)),
    "batch norm of images": image(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)),
    "group norm of images": image(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4)),
    "instance norm": image(nn.Conv2d(2, 3, 3), nn.InstanceNorm2d(3)),
    "instance norm, scaled": image(nn.Conv2d(2, 3, 3), nn.InstanceNorm2d(3, affine=True)),
    "layer norm of images": image(nn.Conv2d(2, 3, 3), nn.LayerNorm([3, 6, 6])),
    "local response norm": image(nn.Conv2d(2, 4, 3), nn.LocalResponseNorm(2)),
    "weight norm": Case(lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 5))), (6,)),
}

IMAGES = {
    "conv": image(nn.Conv2d(2, 3, 3)),
    "conv, margin": image(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 20, 3, padding=1)),
    "conv, stride": image(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Conv2d(3, 4, 3, stride=2)),
    "conv, dilation": image(nn.Conv2d(2, 3, 3, dilation=2), nn.Conv2d(3, 3, 2, dilation=2, padding=1)),
    "conv, groups": image(nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(4, 4, 3, groups=2, padding=1, bias=False)),
    "conv, by channel": image(nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(4, 4, 3, groups=4)),
    "conv, oblong": image(nn.Conv2d(2, 3, (1, 3), padding=(0, 1)), nn.Conv2d(3, 3, (3, 2), stride=(1, 2))),
    "conv, same": image(nn.Conv2d(2, 3, 3, padding="same"), nn.Conv2d(3, 3, 1)),
    "conv, circular": image(nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), nn.Conv2d(3, 2, 3)),
    "conv, reflect": image(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")),
    "conv, wide margin": image(nn.Conv2d(2, 3, 2, padding=3), nn.Conv2d(3, 3, 2, padding=2)),
    "conv of many channels": image(nn.Conv2d(2, 300, 1), nn.Conv2d(300, 3, 3), shape=(2, 4, 4)),
    "conv 1d": image(nn.Conv1d(4, 3, 3, padding=1), nn.ReLU(), nn.Conv1d(3, 3, 3), shape=(4, 9)),
    "conv 3d": image(nn.Conv3d(2, 3, 2), nn.ReLU(), nn.Conv3d(3, 2, 2, padding=1), shape=(2, 4, 4, 4)),
    "transposed conv": image(nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1)),
    "transposed conv, groups": image(nn.ConvTranspose2d(2, 4, 2, groups=2), nn.Conv2d(4, 2, 2)),
    "transposed conv 1d": image(nn.Conv1d(4, 3, 3), nn.ConvTranspose1d(3, 2, 3, stride=2), shape=(4, 9)),
    "max pool": image(nn.Conv2d(2, 3, 3, padding=1), nn.MaxPool2d(2)),
    "max pool, overlap": image(nn.Conv2d(2, 3, 3, padding=1), nn.MaxPool2d(3, 2, 1)),
    "max pool, rest": image(nn.Conv2d(2, 3, 2), nn.MaxPool2d(2)),
    "max pool 1d": image(nn.Conv1d(4, 3, 3), nn.MaxPool1d(2), shape=(4, 9)),
    "average pool": image(nn.Conv2d(2, 3, 3, padding=1), nn.AvgPool2d(2)),
    "average pool, overlap": image(nn.Conv2d(2, 3, 3), nn.AvgPool2d(3, 2)),
    "average pool, margin": image(nn.Conv2d(2, 3, 3), nn.AvgPool2d(3, 2, 1)),
    "average pool 1d": image(nn.Conv1d(4, 3, 3), nn.AvgPool1d(2), shape=(4, 9)),
    "mean of an image": image(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1)),
    "adaptive average": image(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(3)),
    "adaptive average 1d": image(nn.Conv1d(4, 3, 2), nn.AdaptiveAvgPool1d(2), shape=(4, 9)),
    "adaptive average, overlap": image(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(4)),
    "adaptive max": image(nn.Conv2d(2, 3, 3), nn.AdaptiveMaxPool2d(3)),
    "pixel shuffle": image(nn.Conv2d(2, 8, 3), nn.PixelShuffle(2), nn.Conv2d(2, 2, 3)),
    "pixel unshuffle": image(nn.Conv2d(2, 2, 3), nn.PixelUnshuffle(2)),
    "nearest": image(nn.Conv2d(2, 2, 3), nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3)),
    "bilinear": image(nn.Conv2d(2, 2, 5), nn.Upsample(scale_factor=2, mode="bilinear")),
    "zero margin": image(nn.Conv2d(2, 2, 3), nn.ZeroPad2d((1, 0, 2, 1))),
    "unfold": image(nn.Conv2d(2, 2, 3), nn.Unfold(2)),
    "channel shuffle": image(nn.Conv2d(2, 4, 3), nn.ChannelShuffle(2)),
}

SEQUENCES = {
    "rnn": Case(head(Last(nn.RNN)), (3, 4)),
    "rnn, relu": Case(head(Last(nn.RNN, nonlinearity="relu")), (3, 4)),
    "gru": Case(head(Last(nn.GRU)), (3, 4)),
    "lstm": Case(head(Last(nn.LSTM)), (3, 4)),
    "lstm, time first": Case(head(Last(nn.LSTM, False)), (3, 4)),
    "lstm, two layers": Case(head(Last(nn.LSTM, num_layers=2, bidirectional=True)), (3, 4)),
    "attention": Case(head(Attends(False)), (3, 4)),
    "attention with weights": Case(head(Attends(True)), (3, 4)),
    "attention, causal": Case(head(Attends(False, True)), (3, 4)),
    "transformer": Case(head(nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True)), (3, 4)),
    "transformer, norm first": Case(
        head(nn.TransformerEncoderLayer(4, 2, 8, 0.0, "gelu", batch_first=True, norm_first=True)), (3, 4)
    ),
    "embedding": Case(head(nn.Embedding(7, 3)), (4,), 7),
    "embedding, padding": Case(head(nn.Embedding(7, 3, padding_idx=2)), (4,), 7),
    "embedding bag": Case(lambda: nn.Sequential(nn.EmbeddingBag(7, 5)), (4,), 7),
    "two inputs": Case(Two, (8,)),
}

FUNCTIONS = {
    name: function(do)
    for name, do in {
        "cumsum": lambda x: x.cumsum(1),
        "prod": lambda x: x.prod(1),
        "einsum": lambda x: torch.einsum("nij,nkj->nik", x, x),
        "matmul": lambda x: x @ x.transpose(1, 2),
        "masked fill": lambda x: x.masked_fill(x > 0.5, -1.0),
        "where": lambda x: torch.where(x > 0, x, x * x),
        "norm": lambda x: x.norm(dim=1),
        "norm 1": lambda x: torch.linalg.vector_norm(x, 1, dim=-1),
        "std": lambda x: x.std(1),
        "var, biased": lambda x: x.var((1, 2), correction=0)[:, None],
        "triangles": lambda x: (x @ x.transpose(1, 2)).tril() + x[:, :, :3].triu(1),
        "roll": lambda x: x.roll(1, 2) * x,
        "repeat": lambda x: x.repeat(1, 2, 1),
        "repeat interleave": lambda x: x.repeat_interleave(2, 1),
        "stack": lambda x: torch.stack([x, x * 2], 1),
        "cat": lambda x: torch.cat([x, x[:, :1]], 1),
        "chunks": lambda x: torch.mul(*x.chunk(2, -1)),
        "split": lambda x: x.split([1, 3], 2)[1],
        "flip": lambda x: x.flip(1) * x,
        "max": lambda x: x.max(1).values,
        "min of all": lambda x: x - x.min(),
        "amax": lambda x: x.amax((1, 2))[:, None],
        "logsumexp": lambda x: x.logsumexp(1),
        "clamp": lambda x: x.clamp(-0.5, 0.5),
        "clamp by tensors": lambda x: x.clamp(min=x.mean()),
        "trigonometry": lambda x: x.sin() + x.cos() * x.atan(),
        "powers": lambda x: (x.abs() + 0.1) ** 1.5 + x**3,
        "power of tensors": lambda x: (x.abs() + 0.1) ** x,
        "roots": lambda x: (x.abs() + 0.1).sqrt() + (x.abs() + 0.1).rsqrt(),
        "log1p": lambda x: x.abs().log1p() + x.expm1(),
        "erf": lambda x: torch.erf(x),
        "atan2": lambda x: torch.atan2(x, x + 3.0),
        "maximum": lambda x: torch.maximum(x, -x) + torch.minimum(x, x * x),
        "remainder": lambda x: x.remainder(0.7) + x.fmod(0.3),
        "normalize": lambda x: F.normalize(x, dim=-1),
        "cosine": lambda x: F.cosine_similarity(x, x.flip(1), dim=-1),
        "glu": lambda x: F.glu(x),
        "mean over samples": lambda x: x - x.mean(0),
        "sign": lambda x: x.sign() * x,
        "lerp": lambda x: torch.lerp(x, x * x, 0.3),
        "addcmul": lambda x: torch.addcmul(x, x, x, value=0.5),
        "outer": lambda x: x[:, 0, :, None] * x[:, 1, None, :],
        "index": lambda x: x[:, [2, 0, 0]],
        "gather": lambda x: x.gather(1, x.argmax(1, keepdim=True)),
        "diagonal": lambda x: x[:, :, :3].diagonal(dim1=1, dim2=2),
        "unfold windows": lambda x: x.unfold(2, 2, 1),
        "cdist": lambda x: torch.cdist(x, x + 1.0),
        "detach": lambda x: x * x.detach(),
        "nan to num": lambda x: x.nan_to_num(),
        "trace": lambda x: x[:, :, :3].diagonal(dim1=1, dim2=2).sum(-1, keepdim=True),
        "bmm": lambda x: torch.bmm(x, x.transpose(1, 2)),
        "baddbmm": lambda x: torch.baddbmm(x[:, :, :3], x, x.transpose(1, 2), beta=0.5, alpha=2.0),
        "einsum of two": lambda x: torch.einsum("nij,ik->njk", x, x[0]),
        "floor": lambda x: x.floor() + x.ceil() * x + x.round(),
        "sinc": lambda x: torch.sinc(x),
        "heaviside": lambda x: (x > 0).to(x.dtype) * x,
        "logcumsumexp": lambda x: x.logcumsumexp(1),
        "sort": lambda x: x.sort(1).values,
        "topk": lambda x: x.topk(2, 1).values,
        "mask": lambda x: x[:, torch.tensor([True, False, True])],
        "median": lambda x: x.median(1).values,
        "linspace": lambda x: x * torch.linspace(0, 1, 4, dtype=x.dtype),
        "positions": lambda x: x + torch.arange(4, dtype=x.dtype),
        "one hot": lambda x: F.one_hot(x.argmax(2), 4).to(x.dtype) * x,
    }.items()
}


def _scores(n: int) -> Tensor:
    return torch.randn(n, 5)


def _loss(loss: Callable[[Tensor, Tensor], Tensor], targets: Callable[[int], Tensor] = _scores) -> Case:
    return Case(lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5)), (6,), None, loss, targets)


def _chances(n: int) -> Tensor:
    return torch.rand(n, 5).softmax(-1)


def _ids(n: int) -> Tensor:
    return torch.randint(5, (n,))


LOSSES = {
    "mse": _loss(F.mse_loss),
    "l1": _loss(F.l1_loss),
    "smooth l1": _loss(F.smooth_l1_loss),
    "huber": _loss(lambda a, b: F.huber_loss(a, b, delta=0.5)),
    "sum": _loss(lambda a, b: F.mse_loss(a, b, reduction="sum")),
    "cross entropy, smooth": _loss(lambda a, b: F.cross_entropy(a, b, label_smoothing=0.1), _ids),
    "cross entropy, weighted": _loss(
        lambda a, b: F.cross_entropy(a, b, weight=torch.arange(1.0, 6.0, dtype=a.dtype)), _ids
    ),
    "cross entropy, ignored": _loss(lambda a, b: F.cross_entropy(a, b, ignore_index=2), _ids),
    "cross entropy, shares": _loss(F.cross_entropy, _chances),
    "nll": _loss(lambda a, b: F.nll_loss(a.log_softmax(-1), b), _ids),
    "kl": _loss(lambda a, b: F.kl_div(a.log_softmax(-1), b, reduction="batchmean"), _chances),
    "bce": _loss(lambda a, b: F.binary_cross_entropy(a.sigmoid(), b), lambda n: torch.rand(n, 5)),
    "bce of logits": _loss(F.binary_cross_entropy_with_logits, lambda n: torch.rand(n, 5)),
    "poisson": _loss(F.poisson_nll_loss, lambda n: torch.rand(n, 5)),
    "gaussian": _loss(lambda a, b: F.gaussian_nll_loss(a[:, :1], b[:, :1], a[:, 1:2].exp())),
    "soft margin": _loss(lambda a, b: F.soft_margin_loss(a, b.sign())),
    "hinge": _loss(lambda a, b: F.hinge_embedding_loss(a, b.sign())),
    "multi margin": _loss(F.multi_margin_loss, _ids),
    "triplet": _loss(lambda a, b: F.triplet_margin_loss(a, b, a.flip(0))),
    "cosine": _loss(lambda a, b: 1 - F.cosine_similarity(a, b).mean()),
}  # fmt: skip

UNTRACED = "_local_scalar_dense"
_NAMES = {
    "batch norm, all means": UNTRACED,
    "local response norm": r"aten\.avg_pool3d",
    "adaptive average, overlap": "adaptive pooling into windows that overlap",
    "adaptive max": r"aten\.adaptive_max_pool2d",
    "bilinear": r"aten\.upsample_bilinear2d",
    "embedding bag": r"aten\._embedding_bag",
    "prod": r"aten\.cumprod",
    "cdist": r"aten\._cdist_forward",
    "logcumsumexp": r"aten\.logcumsumexp",
    "sort": r"aten\.sort",
    "topk": r"aten\.topk",
    "mask": "by a mask",
    "median": r"aten\.median",
    "one hot": UNTRACED,
    "gaussian": UNTRACED,
    "multi margin": r"aten\.multi_margin_loss",
}
_ALL = {**ACTIVATIONS, **NORMS, **IMAGES, **SEQUENCES, **FUNCTIONS, **LOSSES}
MODELS = {name: case for name, case in _ALL.items() if name not in _NAMES}
UNCOVERED = {name: (_ALL[name], pattern) for name, pattern in _NAMES.items()}  # a case, and what its message names
