"""Cross-entropy of a last linear layer over a large vocabulary, without its logits.

For 8,192 tokens and 32,000 classes the logits alone take a gigabyte, and the plain way holds three such
tensors at its peak. Here a chunk of tokens at a time goes all the way, logits, loss, and the gradient of hidden
states and weights, before the next one reuses its memory; what is left for backward is to scale.
`benchmarks/linear_cross_entropy.py` measures both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments import one_of
from ..errors import ProblemError
from ..numbers import Range
from . import fit
from .base import REDUCTIONS
from .classification import class_weights

CHUNK = 16 * 2**20  # bytes of a chunk's logits
FEWEST = 256  # tokens in a chunk: each reads and writes the gradient of all weights, which must be worth it

Inputs = tuple[Tensor, Tensor, Tensor | None]  # hidden, weight, bias
Gradients = list[Tensor | None]


@dataclass(frozen=True)
class _Options:
    ignore_index: int
    label_smoothing: float
    reduction: str


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    class_weight: Tensor | Sequence[float] | None = None,
) -> Tensor:
    """`cross_entropy(hidden @ weight.T + bias, targets)`, with a small part of its memory.

    Value and gradients are those of `torch.nn.functional.cross_entropy(linear(hidden, weight, bias), targets)` with the
    same options, to rounding.

    Args:
        hidden: (…, features), e.g. (batch, positions, features).
        weight: (classes, features), as `torch.nn.Linear` has it.
        targets: (…,) class ids.
        bias: (classes,).
        ignore_index: tokens of this class id count neither in the sum nor in the mean.
        label_smoothing: from 0 to 1.
        reduction: ``mean``, ``sum``, or ``none``, for which backward computes the logits a second time.
        class_weight: (classes,), as in `CrossEntropy`.

    The gradient is computed on the way forward, if one will be asked for; a second backward through the same
    graph computes it anew. Second derivatives are refused, and `torch.func` does not go through it. Gradients are
    added up in the inputs' own type, so in half precision that of the weights is rounded once per chunk and loses
    digits with every one: in bfloat16, 8,192 tokens by 32,768 classes, it was 0.8% off where the plain way was
    0.2%. Give float32 where that matters.

    Raises:
        ProblemError: for shapes, types, targets or options that do not fit.

    >>> _ = torch.manual_seed(0)
    >>> hidden, weight = torch.randn(6, 4), torch.randn(9, 4, requires_grad=True)
    >>> targets = torch.tensor([0, 8, 1, 2, 3, 4])
    >>> linear_cross_entropy(hidden, weight, targets), F.cross_entropy(hidden @ weight.T, targets)
    (tensor(2.1379, grad_fn=<_FunctionBackward>), tensor(2.1379, grad_fn=<NllLossBackward0>))
    """
    Range(0.0, 1.0).check("linear_cross_entropy: label_smoothing", label_smoothing, ProblemError)
    one_of(REDUCTIONS)("linear_cross_entropy: reduction", reduction, ProblemError)
    _check(hidden, weight, targets, bias)
    share = class_weights("linear_cross_entropy", class_weight, ProblemError)
    if share is not None:
        share = torch.as_tensor(share, device=hidden.device)
        if len(share) != len(weight):
            raise ProblemError(
                "linear_cross_entropy has {share} class weights for {weight} classes; give one per class.",
                share=len(share),
                weight=len(weight),
            )
    mixed = torch.is_autocast_enabled(hidden.device.type)
    if mixed:
        fast = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight, bias = hidden.to(fast), weight.to(fast), None if bias is None else bias.to(fast)
    elif len({t.dtype for t in (hidden, weight, bias) if t is not None}) > 1:
        raise ProblemError(
            "hidden is {hidden} and weight and bias are of another type; make them one, or use torch.autocast.",
            hidden=fit.dtype(hidden),
        )
    if hidden.device.type == "cpu":  # elsewhere it would wait for the device, and torch says it there
        fit.in_range(targets, len(weight), ignored=ignore_index)
    options = _Options(ignore_index, float(label_smoothing), reduction)
    with torch.autocast(hidden.device.type, enabled=False):
        tokens, learning = hidden.reshape(-1, hidden.shape[-1]), torch.is_grad_enabled()
        value = _Function.apply(tokens, weight, bias, targets.reshape(-1), share, options, learning)
    assert isinstance(value, Tensor)
    value = value if mixed else value.to(hidden.dtype)
    return value.reshape(targets.shape) if reduction == "none" else value


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        share: Tensor | None,
        options: _Options,
        learning: bool,
    ) -> Tensor:
        ctx.options = options
        ctx.save_for_backward(hidden, weight, bias, targets, share)
        total = _total(hidden, targets, share, options)
        now = learning and options.reduction != "none"
        needs = ctx.needs_input_grad[:3] if now else (False, False, False)
        values, slopes = _run((hidden, weight, bias), targets, share, options, 1 / total, needs)
        ctx.slopes = slopes if now else None
        return values if options.reduction == "none" else values.sum() / total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise ProblemError(
                "linear_cross_entropy cannot be differentiated twice; for second derivatives use "
                "torch.nn.functional.cross_entropy(torch.nn.functional.linear(hidden, weight, bias), "
                "targets)."
            )
        (gradient,) = gradients
        slopes, ctx.slopes = ctx.slopes, None  # scaled in place, which only the first backward may do
        if slopes is not None:
            slopes = [g if g is None else g.mul_(gradient) for g in slopes]
        else:
            hidden, weight, bias, targets, share = ctx.saved_tensors
            scale = gradient / _total(hidden, targets, share, ctx.options)
            slopes = _run((hidden, weight, bias), targets, share, ctx.options, scale, ctx.needs_input_grad[:3])[1]
        return *slopes, None, None, None, None


def _total(hidden: Tensor, targets: Tensor, share: Tensor | None, options: _Options) -> Tensor:
    """What the sum of all losses is divided by, as a scalar."""
    if options.reduction != "mean":
        return hidden.new_ones((), dtype=_wide(hidden))
    total = _class_weight(targets, share, options, _wide(hidden)).sum()
    return total.masked_fill(total == 0, torch.nan)  # as in torch, the mean over no weight is not a number


def _class_weight(targets: Tensor, share: Tensor | None, options: _Options, dtype: torch.dtype) -> Tensor:
    """The weight of each token's class, (tokens,); 0 where it is ignored."""
    valid = targets != options.ignore_index
    return valid.to(dtype) if share is None else share.to(dtype)[torch.where(valid, targets, 0)] * valid


def _run(
    inputs: Inputs, targets: Tensor, share: Tensor | None, options: _Options, scale: Tensor, needs: Sequence[bool]
) -> tuple[Tensor, Gradients]:
    """The loss of each token (tokens,), and the gradients of Σ scaleᵢ lossᵢ by hidden, weight and bias."""
    hidden, weight, bias = inputs
    slopes: Gradients = [
        torch.zeros_like(t) if t is not None and need else None for t, need in zip(inputs, needs, strict=True)
    ]
    values = hidden.new_empty(len(hidden), dtype=_wide(hidden))
    size = max(FEWEST, CHUNK // (len(weight) * hidden.element_size()))
    for start in range(0, len(hidden), size):
        part = slice(start, start + size)
        logits = F.linear(hidden[part], weight, bias)  # (chunk, classes)
        scales = scale if scale.ndim == 0 else scale[part]
        values[part], change = _chunk(logits, targets[part], share, options, scales, any(needs))
        del logits
        if change is not None:
            _add(slopes, change, hidden, weight, part)
        del change  # both make room before the next chunk
    return values, slopes


def _add(slopes: Gradients, change: Tensor, hidden: Tensor, weight: Tensor, part: slice) -> None:
    """What a chunk's gradient by its logits, (tokens, classes), means for hidden, weight and bias."""
    by_hidden, by_weight, by_bias = slopes
    if by_hidden is not None:
        torch.mm(change, weight, out=by_hidden[part])
    if by_weight is not None:
        by_weight.addmm_(change.t(), hidden[part])
    if by_bias is not None:
        by_bias.add_(change.sum(0))


def _chunk(
    logits: Tensor, targets: Tensor, share: Tensor | None, options: _Options, scale: Tensor, learning: bool
) -> tuple[Tensor, Tensor | None]:
    """The losses of a chunk, (tokens,), and scale · ∂loss/∂logits, (tokens, classes).

    With ε the smoothing, each −log softmax counts (1 − ε) w_y at the target and ε w_c/C everywhere.
    """
    dtype = _wide(logits)
    valid = targets != options.ignore_index
    at = torch.where(valid, targets, 0).unsqueeze(1)
    sharp = (1 - options.label_smoothing) * _class_weight(targets, share, options, dtype)
    even = valid.to(dtype) * (options.label_smoothing / logits.shape[1])
    top, where = logits.max(1, keepdim=True)
    chances = torch.softmax(logits, 1)
    # log Σ exp, from the largest logit and its probability: nothing overflows, and no second large tensor
    whole = (top.to(dtype) - chances.gather(1, where).to(dtype).log()).squeeze(1)
    values = torch.where(valid, sharp * (whole - logits.gather(1, at).squeeze(1).to(dtype)), 0)
    weights = None if share is None else share.to(logits.dtype)
    if options.label_smoothing:
        sums = (logits.sum(1) if weights is None else torch.mv(logits, weights)).to(dtype)
        mass = logits.shape[1] if weights is None else weights.sum(dtype=dtype)
        values = values + torch.where(valid, even * (mass * whole - sums), 0)
    else:
        mass = 0.0
    if not learning:
        return values, None
    scale = torch.where(valid, scale, 0)  # (tokens,); a mean over nothing is 0/0, and its gradient 0
    # factors in the logits' own type, since torch would copy a half-precision chunk to multiply it by float32
    change = chances.mul_(((sharp + even * mass) * scale).to(chances.dtype).unsqueeze(1))
    change.scatter_add_(1, at, -(sharp * scale).to(change.dtype).unsqueeze(1))
    if options.label_smoothing:
        each = torch.ones_like(change[0]) if weights is None else weights
        change.addr_((even * scale).to(change.dtype), each, alpha=-1)
    return values, change


def _wide(tensor: Tensor) -> torch.dtype:
    """The type in which losses are added up: float32 for half precision."""
    return torch.float32 if tensor.dtype in (torch.float16, torch.bfloat16) else tensor.dtype


def _check(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None) -> None:
    sizes = f"hidden {tuple(hidden.shape)}, weight {tuple(weight.shape)} and targets {tuple(targets.shape)}"
    if not hidden.ndim or weight.ndim != 2 or hidden.shape[-1] != weight.shape[1] or hidden.shape[:-1] != targets.shape:
        raise ProblemError(
            "linear_cross_entropy got {sizes}; give hidden (…, features), weight (classes, features) and targets (…,).",
            sizes=sizes,
        )
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise ProblemError(
            "linear_cross_entropy needs class ids, and the targets are {targets}; make them int64.",
            targets=fit.dtype(targets),
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ProblemError(
            "the bias is of shape {shape} for {weight} classes; give one number per class.",
            shape=tuple(bias.shape),
            weight=len(weight),
        )
