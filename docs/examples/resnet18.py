"""ResNet-18 for colour images of 32×32, 11 million weights, on images made on the spot: ten textures with noise.

thalweg compare docs/examples/resnet18.py:problem --optimizers sgd,adamw,muon --rates 1e-3,1e-2,1e-1 --dry-run
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import thalweg as tw


class Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _ in range(2))
        shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.shortcut = shortcut if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norms[1](self.second(torch.relu(self.norms[0](self.first(x)))))
        return torch.relu(inner + self.shortcut(x))


def resnet18() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    for before, after, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [Block(before, after, stride), Block(after, after, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def textures(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Waves whose direction and colour say the class, under noise."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 10, (samples,), generator=generator)
    angle, phase = targets * torch.pi / 10, 2 * torch.pi * torch.rand(samples, generator=generator)
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    along = angle.cos()[:, None, None] * x + angle.sin()[:, None, None] * y
    waves = torch.sin(0.6 * along + phase[:, None, None])
    colours = torch.stack([torch.cos(angle + k) for k in range(3)], dim=1)[:, :, None, None]
    noise = torch.randn(samples, 3, 32, 32, generator=generator)
    return waves[:, None] * colours + noise, targets


def problem(samples: int = 12_000) -> tw.Problem:
    sizes = samples, samples // 6, samples // 6
    train, validation, test = (textures(size, seed) for seed, size in enumerate(sizes))
    return tw.Problem(resnet18, train=train, validation=validation, test=test, loss="cross_entropy")
