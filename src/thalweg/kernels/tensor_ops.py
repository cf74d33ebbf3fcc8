"""What a formula's words for tensors mean, in plain torch; each takes tensors as (…, rows, columns).

They name nothing but torch and each other, so that a script can have a copy of those it needs.
"""

from __future__ import annotations

import torch
from torch import Tensor


def norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x)


def mean(x: Tensor) -> Tensor:
    return x.mean()


def rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


def dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum()


def row_mean(x: Tensor) -> Tensor:
    return x.mean(-1, keepdim=True)


def column_mean(x: Tensor) -> Tensor:
    return x.mean(-2, keepdim=True)


def rows(x: Tensor) -> Tensor:
    return x.new_full((), x.shape[-2])


def columns(x: Tensor) -> Tensor:
    return x.new_full((), x.shape[-1])


def resolution(x: Tensor) -> Tensor:
    return x.new_full((), torch.finfo(x.dtype).eps)


def matmul(x: Tensor, y: Tensor) -> Tensor:
    return x @ y


def transpose(x: Tensor) -> Tensor:
    return x.mT


def diagonal(x: Tensor) -> Tensor:
    return x.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)


def identity(x: Tensor) -> Tensor:
    return torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)


def orthogonal(x: Tensor, steps: int, a: float, b: float, c: float, eps: float, clamped: int, half: int) -> Tensor:
    dtype, tall = x.dtype, x.shape[-2] > x.shape[-1]
    x = x.bfloat16() if half and dtype == torch.float32 else x
    x = x.mT if tall else x
    size = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    x = x / (size.clamp(min=eps) if clamped else size + eps)
    for _ in range(int(steps)):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x.mT if tall else x).to(dtype)


class Eigh(torch.autograd.Function):
    """torch.linalg.eigh with NaN for each matrix that is not finite or does not converge, where torch raises for all.

    A function to autograd for the sake of vmap alone: what runs inside of it cannot see which matrix failed.
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        finite = x.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
        try:
            values, vectors = torch.linalg.eigh(torch.where(finite, x, 0))
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            if x.dim() > 2:
                values, vectors = map(torch.stack, zip(*map(Eigh.forward, x), strict=True))
            else:
                values, vectors, finite = x[0], x, torch.zeros_like(finite)
        return torch.where(finite[..., 0], values, torch.nan), torch.where(finite, vectors, torch.nan)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Nothing is differentiated."""

    @staticmethod
    def vmap(info, in_dims, *args) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        return Eigh.apply(args[0].movedim(in_dims[0], 0)), (0, 0)


def eigenvectors(x: Tensor) -> Tensor:
    return Eigh.apply(x)[1].flip(-1)


def qr(x: Tensor) -> Tensor:
    wide = x.shape[-1] > x.shape[-2]
    q = torch.linalg.qr(x.mT if wide else x).Q
    return q.mT if wide else q


def matrix_power(x: Tensor, power: float) -> Tensor:
    values, vectors = Eigh.apply(x)
    return vectors * values.unsqueeze(-2) ** power @ vectors.mT


def sort_columns(x: Tensor, by: Tensor) -> Tensor:
    order = by.argsort(dim=-1, descending=True)
    return torch.take_along_dim(x, order, dim=-1)
