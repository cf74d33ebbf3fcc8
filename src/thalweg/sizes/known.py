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


def lenet() -> nn.Module:
    """LeNet-5 for 32×32 images, every feature map read by every filter, average pooling without weights."""
    return nn.Sequential(
        OrderedDict(
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
    )


def alexnet() -> nn.Module:
    """AlexNet in one piece; what was split over two GPUs is convolved in two groups."""
    return nn.Sequential(
        OrderedDict(
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
}
