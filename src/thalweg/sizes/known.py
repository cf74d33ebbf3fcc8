"""Models that `thalweg size` knows by name: the networks that convolution arithmetic is taught with.

They are made without memory for their weights, on torch's meta device, because only their shape is needed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Known:
    """A model with a name.

    Attributes:
        make: gives it.
        input: the shape of one sample.
        note: what its numbers need to be read rightly.
    """

    make: Callable[[], nn.Module]
    input: tuple[int, ...]
    note: str = ""


def _chain(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def lenet() -> nn.Module:
    """LeNet-5 for 32×32 images, every feature map read by every filter, average pooling without weights."""
    return _chain(
        conv1=nn.Conv2d(1, 6, 5),
        tanh1=nn.Tanh(),
        pool1=nn.AvgPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        tanh2=nn.Tanh(),
        pool2=nn.AvgPool2d(2),
        flatten=nn.Flatten(),
        dense1=nn.Linear(400, 120),
        tanh3=nn.Tanh(),
        dense2=nn.Linear(120, 84),
        tanh4=nn.Tanh(),
        dense3=nn.Linear(84, 10),
    )


def alexnet() -> nn.Module:
    """AlexNet in one piece; what was split over two GPUs is convolved in two groups."""
    return _chain(
        conv1=nn.Conv2d(3, 96, 11, stride=4, padding=2),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, 2),
        conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(3, 2),
        conv3=nn.Conv2d(256, 384, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, 2),
        flatten=nn.Flatten(),
        dense1=nn.Linear(6 * 6 * 256, 4096),
        relu6=nn.ReLU(),
        dense2=nn.Linear(4096, 4096),
        relu7=nn.ReLU(),
        dense3=nn.Linear(4096, 1000),
    )


class Halves(nn.Module):
    """One layer, half of it on each GPU.

    Args:
        make: gives a half.
        both: whether each half reads what both halves of the layer before gave, or its own GPU's alone.
    """

    def __init__(self, make: Callable[[], nn.Module], both: bool) -> None:
        super().__init__()
        self.both, self.gpu1, self.gpu2 = both, make(), make()

    def forward(self, halves: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        first, second = (torch.cat(halves, dim=1),) * 2 if self.both else halves
        return self.gpu1(first).relu(), self.gpu2(second).relu()


class TwoGPUs(nn.Module):
    """AlexNet as its figure draws it, each layer in two halves; the pooling after conv5 is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Halves(lambda: nn.Conv2d(3, 48, 11, stride=4, padding=2), both=False)
        self.pool1 = nn.MaxPool2d(3, 2)
        self.conv2 = Halves(lambda: nn.Conv2d(48, 128, 5, padding=2), both=False)
        self.pool2 = nn.MaxPool2d(3, 2)
        self.conv3 = Halves(lambda: nn.Conv2d(2 * 128, 192, 3, padding=1), both=True)
        self.conv4 = Halves(lambda: nn.Conv2d(192, 192, 3, padding=1), both=False)
        self.conv5 = Halves(lambda: nn.Conv2d(192, 128, 3, padding=1), both=False)
        self.dense1 = Halves(lambda: nn.Linear(13 * 13 * 128 * 2, 2048), both=True)
        self.dense2 = Halves(lambda: nn.Linear(2 * 2048, 2048), both=True)
        self.dense3 = nn.Linear(2 * 2048, 1000)

    def forward(self, images: Tensor) -> Tensor:
        halves = self.conv1((images, images))
        halves = self.conv2((self.pool1(halves[0]), self.pool1(halves[1])))
        halves = self.conv3((self.pool2(halves[0]), self.pool2(halves[1])))
        first, second = self.conv5(self.conv4(halves))
        halves = self.dense2(self.dense1((first.flatten(1), second.flatten(1))))
        return self.dense3(torch.cat(halves, dim=1))


class Inception(nn.Module):
    """Four ways beside each other, joined along the channels; each 1×1 convolution before a larger one saves weights.

    Args:
        inputs: channels that come in.
        ones: channels of the 1×1 convolution alone.
        before_threes, threes: of the 1×1 convolution and the 3×3 one after it.
        before_fives, fives: of the 1×1 convolution and the 5×5 one after it.
        pooled: of the 1×1 convolution after a 3×3 pooling.
    """

    def __init__(
        self, inputs: int, ones: int, before_threes: int, threes: int, before_fives: int, fives: int, pooled: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, ones, 1)
        self.reduce3, self.conv3 = nn.Conv2d(inputs, before_threes, 1), nn.Conv2d(before_threes, threes, 3, padding=1)
        self.reduce5, self.conv5 = nn.Conv2d(inputs, before_fives, 1), nn.Conv2d(before_fives, fives, 5, padding=2)
        self.pool, self.project = nn.MaxPool2d(3, 1, padding=1), nn.Conv2d(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        threes, fives = self.conv3(self.reduce3(x).relu()), self.conv5(self.reduce5(x).relu())
        return torch.cat((self.conv1(x), threes, fives, self.project(self.pool(x))), dim=1).relu()


INCEPTIONS = {  # name → the arguments of `Inception`, as in table 1 of the paper
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}


def googlenet() -> nn.Module:
    """GoogLeNet, Inception v1, as it answers: without the two classifiers that help it train."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    inceptions = {name: Inception(*channels) for name, channels in INCEPTIONS.items()}
    third, fourth, fifth = ({n: m for n, m in inceptions.items() if n[9] == stage} for stage in "345")
    return _chain(
        conv1=nn.Conv2d(3, 64, 7, stride=2, padding=3),
        relu1=nn.ReLU(),
        pool1=pool(),
        reduce2=nn.Conv2d(64, 64, 1),
        relu2=nn.ReLU(),
        conv2=nn.Conv2d(64, 192, 3, padding=1),
        relu3=nn.ReLU(),
        pool2=pool(),
        **third,
        pool3=pool(),
        **fourth,
        pool4=pool(),
        **fifth,
        average=nn.AvgPool2d(7),
        flatten=nn.Flatten(),
        dense=nn.Linear(1024, 1000),
    )


class Bottleneck(nn.Module):
    """A 3×3 convolution of 128 channels, and the same shape by way of 32 channels: 1×1, then 3×3."""

    def __init__(self) -> None:
        super().__init__()
        self.direct = nn.Conv2d(128, 128, 3, padding=1, bias=False)
        reduce, conv = nn.Conv2d(128, 32, 1, bias=False), nn.Conv2d(32, 128, 3, padding=1, bias=False)
        self.narrow = _chain(reduce=reduce, conv=conv)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.direct(x), self.narrow(x)


KNOWN: dict[str, Known] = {
    "lenet": Known(
        lenet,
        (1, 32, 32),
        "LeCun et al. 1998, with full connections from pool1 to conv2, where the paper has a table of 60 of the 96.",
    ),
    "alexnet": Known(
        alexnet,
        (3, 224, 224),
        "Krizhevsky et al. 2012: 60,965,224 parameters, with the pooling after conv5. Response normalisation and "
        "dropout have no weights and are left out.",
    ),
    "alexnet-2gpu": Known(
        TwoGPUs,
        (3, 224, 224),
        "Krizhevsky et al. 2012, figure 2, each layer in two halves. Counted by hand without biases, the weights of "
        "the layers are 35k, 307k, 884k, 663k, 442k, 177M, 16M and 4M. The 177M take conv5 as it is drawn, 13×13×128 "
        "on each GPU: (13·13·128·2)·(2048·2) = 177,209,344. The network that was trained pools once more before, to "
        "6×6: (6·6·128·2)·(2048·2) = 37,748,736; that one is `alexnet`.",
    ),
    "googlenet": Known(
        googlenet,
        (3, 224, 224),
        "The channels of Szegedy et al. 2015, table 1. With --depth 1 each block is a row. Response normalisation and "
        "dropout have no weights and are left out, and so are the two classifiers that only help to train it.",
    ),
    "bottleneck": Known(
        Bottleneck,
        (128, 28, 28),
        "Two ways from 128 channels to 128, side by side. Directly: 3·3·128·128 = 147,456 weights. By way of 32 "
        "channels: 1·1·128·32 + 3·3·32·128 = 4,096 + 36,864 = 40,960.",
    ),
}
