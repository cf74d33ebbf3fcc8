"""A loss as an expression of PyTorch, where PyTorch has it."""

from __future__ import annotations

from .. import calls, losses
from ..errors import ProblemError
from ..losses.binary import BCE


def in_torch(label: str, axis: int = 1, each: bool = False) -> str | None:
    """The expression of a function (outputs, targets) of PyTorch; None where PyTorch lacks the loss.

    Args:
        label: of the loss, as a store has it.
        axis: of the outputs, where classes are.
        each: whether it gives the values of the samples, and not their mean.

    >>> in_torch("mse"), in_torch("triplet_margin")
    ('torch.nn.functional.mse_loss', None)
    >>> in_torch("huber(delta=0.5)", each=True)
    "lambda outputs, targets: torch.nn.functional.huber_loss(outputs, targets, delta=0.5, reduction='none')"
    >>> in_torch("bce(pos_weight=3)").partition(": ")[2].partition("(")[2]
    'outputs, targets.to(outputs.dtype), pos_weight=outputs.new_tensor(3))'
    """
    try:
        loss = losses.get(label)
    except ProblemError:
        return None
    counterpart, (_, given) = type(loss).counterpart, calls.parse(loss.label, ProblemError, "huber(delta=0.5)")
    if counterpart is None or "reduction" in given:
        return None
    arguments = [
        "outputs" if axis == 1 else "outputs.movedim(-1, 1)",
        "targets.to(outputs.dtype)" if isinstance(loss, BCE) else "targets",
        *(f"{n}={f'outputs.new_tensor({v!r})' if 'weight' in n else repr(v)}" for n, v in given.items() if n != "axis"),
        *(["reduction='none'"] if each else []),
    ]
    function = f"torch.nn.functional.{counterpart.__name__}"
    return (
        function
        if arguments == ["outputs", "targets"]
        else f"lambda outputs, targets: {function}({', '.join(arguments)})"
    )
