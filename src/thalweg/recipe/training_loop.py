"""The loop of a recipe whose member has a regularizer, or whose model draws random numbers.

Each regularizer says which lines it needs and where (`Regularizer.lines`); here they are put in their places.
Read next: `recipe.py`, which makes the rest of the script.
"""

from __future__ import annotations

import textwrap

from ..errors import PlanError
from ..regularizers.base import Regularizer


def training_loop(
    regularizer: Regularizer | None, loss: str, closure: bool, draws: bool, scheduling: tuple[str, str]
) -> str:
    """Everything of the script from the regularizers' own objects on.

    Args:
        loss: the expression of the loss function that is trained.
        closure: whether the optimizer computes the gradient itself.
        draws: whether the model draws random numbers in its forward pass.
        scheduling: what the scheduler is told after each step, and after each pass with its validation loss.

    Raises:
        PlanError: weights shrink between the gradient and the update, and the update takes both at once.
    """
    lines = [part.lines() for part in (regularizer.parts if regularizer else ())]
    if closure and any(line.before for line in lines):
        raise PlanError(
            "decoupled decay stands between the gradient and the update, and this optimizer computes both in one "
            "call, so it has no recipe; use l2 instead."
        )

    def each(name: str) -> str:
        return "\n".join(text for line in lines if (text := getattr(line, name)))

    value = loss
    for line in lines:
        value = line.criterion.format(value)
    forward = f"value = {value}(model(inputs), targets)"
    if draws:
        forward = (
            "with torch.random.fork_rng(devices=[]):\n"
            "    torch.manual_seed((2_654_435_761 * (SEED + 1) + step) % 2**32)  # what the model draws\n"
            + textwrap.indent(forward, "    ")
        )
    added = "\n".join(f"value = value + {line.penalty}" for line in lines if line.penalty)
    gradient = _lines("optimizer.zero_grad()", forward, added, "value.backward()")
    for line in lines:
        if line.point:
            gradient = f"{line.point}\n{textwrap.indent(gradient, '    ')}"
    gradient = _lines(gradient, each("gradient"))
    if closure:
        body = textwrap.indent(gradient + "\nreturn value", "    ")
        update = f"def closure(inputs=inputs, targets=targets, step=step):\n{body}\n\noptimizer.step(closure)"
    else:
        update = _lines(gradient, each("before"), "optimizer.step()")
    step = _lines(each("batch"), update, each("after"), scheduling[0], "step += 1")
    judged = next((line.evaluated for line in lines if line.evaluated), "model")
    evaluation = _EVALUATION.format(judged=judged)
    passed = _lines(
        "model.train()",
        "for inputs, targets in batches(epoch):",
        textwrap.indent(step, "    "),
        each("epoch"),
        evaluation,
        'print(f"epoch {epoch + 1:3d}  validation loss {value:.6f}")',
        scheduling[1],
        each("stop"),
    )
    end = each("end")
    if end:
        end = _lines(end, evaluation, 'print(f"the best weights: validation loss {value:.6f}")')
    head = _lines(each("setup"), "step, steps = 0, total_steps // EPOCHS")
    return _lines(head, "", "for epoch in range(EPOCHS):", textwrap.indent(passed, "    "), end) + "\n"


_EVALUATION = """
judged = {judged}
judged.eval()
with torch.no_grad():
    inputs, targets = problem.validation
    value = problem.loss(judged(inputs), targets).item()
""".strip("\n")


def _lines(first: str, *others: str) -> str:
    """The texts one below the other, without those that are empty; an empty second one is a blank line."""
    texts = [first, *others]
    return "\n".join(t for k, t in enumerate(texts) if t or (k == 1 and others[0] == "" and first.endswith("EPOCHS")))
