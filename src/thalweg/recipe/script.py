"""The text of a training script, put together from its parts.

Each regularizer says which lines it needs and where (`Regularizer.lines`); a member without one has the same script
with nothing in those places. Read next: `recipe.py`, which chooses the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent

from ..errors import PlanError
from ..population.place import BF16, CPU, FLOAT32, TF32
from ..regularizers.base import Lines
from .table import Loading


@dataclass(frozen=True)
class Script:
    """What a script trains, as expressions and lines of Python.

    Attributes:
        title: its docstring.
        uses: what it needs thalweg for.
        loading: the lines that make `problem`; empty if the script runs with it at hand.
        batches: the body of `batches(epoch)`.
        seed, epochs, passes: passes over the data that a whole run has, and those that are made.
        optimizer, scheduler: expressions of `model`, and of `optimizer` and `total_steps`.
        groups: lines that make the parameter groups which the optimizer is given; empty without.
        classes: the class of an optimizer of the script's own.
        steps: of a pass over the data.
        loss: an expression of the loss that trains; empty for the problem's own.
        after_step, after_pass: calls of the scheduler.
        closure: whether the optimizer computes the gradient itself.
        sampled: an expression of the loss on sampled targets, where the optimizer asks for its gradient; `sampler` are
            the functions that it needs.
        draws: whether the model draws random numbers in its forward pass.
        judged_on: the data of `problem` that judge each pass, and what their loss is called.
        value: the loss of a batch, in the names ``{loss}`` and ``{model}``.
        regularizers: the lines of each.
        shows: whether the optimizer evaluates other weights than it trains.
        device, precision: where the script trains, and how precisely the model computes there.
    """

    title: str
    uses: str
    loading: Loading
    batches: str
    seed: int
    epochs: int
    passes: int
    optimizer: str
    scheduler: str
    steps: str
    loss: str
    after_step: str
    after_pass: str
    closure: bool
    draws: bool
    judged_on: tuple[str, str]
    value: str = "{loss}({model}(inputs), targets)"
    regularizers: Sequence[Lines] = ()
    groups: str = ""
    classes: str = ""
    sampled: str = ""
    sampler: str = ""
    shows: bool = False
    device: str = CPU
    precision: str = FLOAT32

    def __str__(self) -> str:
        loss = f"loss = {self.loss}  # trains; the problem's own judges" if self.loss else ""
        body = _lines(
            "torch.manual_seed(SEED)",
            f"model = problem.model(){'' if self.device == CPU else '.to(DEVICE)'}",
            self.groups,
            f"optimizer = {self.optimizer}",
            loss,
            f"total_steps = EPOCHS * {self.steps}",
            f"scheduler = {self.scheduler}",
            self._each("setup"),
            "step, steps = 0, total_steps // EPOCHS" if self.counts else "",
        )
        passes = "EPOCHS" if self.passes == self.epochs else str(self.passes)
        head = _lines(f"SEED, EPOCHS = {self.seed}, {self.epochs}", self._place(), self.loading.lines)
        modules = [name for name in ("math", "runpy", "importlib") if f"{name}." in body + self.classes]
        imports = "".join(f"import {name}\n\n" for name in modules)
        future = "from __future__ import annotations\n\n"
        known = self.loading.imports
        imports = future * known.startswith(future) + imports + known.removeprefix(future)
        defined = ("" if self.device == CPU else _THERE) + "".join(
            f"{text}\n\n\n" for text in (self.sampler, self.classes) if text
        )
        rest = (
            f"{head}\n\n\n{defined}def batches(epoch):\n{indent(self.batches, '    ')}\n\n\n{body}\nlosses = []\n\n"
            f"for epoch in range({passes}):\n{indent(self._pass(), '    ')}\n{self._end()}"
        )
        others = rest.replace(self.loading.lines, "")
        names = [n for n in ("tree_leaves", "tree_map") if f"{n}(" in others]
        trees = f"from torch.utils._pytree import {', '.join(names)}\n" if names else ""
        thalweg = f"import thalweg as tw  # {self.uses}\n\n" if "tw." in others or not self.loading.alone else ""
        return f'"""{self.title}"""\n\n{imports}\nfrom torch.optim import lr_scheduler\n{trees}\n{thalweg}{rest}'

    def _place(self) -> str:
        """Lines that name the device, and set what is the same for the whole script."""
        where = f'DEVICE = torch.device("{self.device}" if torch.cuda.is_available() else "cpu")'
        short = "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True"
        return _lines(where if self.device != CPU else "", short if self.precision == TF32 else "")

    def _forward(self, loss: str, model: str, end: str = "") -> str:
        """The loss of a batch."""
        forward = f"value = {self.value.format(loss=loss, model=model)}{end}"
        if self.precision != BF16:
            return forward
        device = '"cpu"' if self.device == CPU else "DEVICE.type"
        return f"with torch.autocast({device}, torch.bfloat16):\n{indent(forward, '    ')}"

    @property
    def counts(self) -> bool:
        """Whether some line needs the number of the step."""
        return bool(self.regularizers) or self.draws or bool(self.sampled)

    def _each(self, name: str) -> str:
        return _lines(*(getattr(lines, name) for lines in self.regularizers))

    def _gradient(self, sampled: bool = False) -> str:
        """The loss and its gradient at a batch, or on sampled targets those of the loss without regularizers."""
        criterion = (self.loss and "loss") or "problem.loss"
        for lines in self.regularizers:
            criterion = lines.criterion.format(criterion)
        forward = self._forward(self.sampled if sampled else criterion, "model")
        if self.draws or sampled:
            forward = (
                "with torch.random.fork_rng(devices=[]):\n"
                "    torch.manual_seed((2_654_435_761 * (SEED + 1) + step) % 2**32)  # what the model draws\n"
                + indent(forward, "    ")
            )
        after = () if sampled else self.regularizers
        added = [f"value = value + {lines.penalty}" for lines in after if lines.penalty]
        gradient = _lines("optimizer.zero_grad()", forward, *added, "value.backward()")
        for lines in self.regularizers:
            if lines.point:
                gradient = f"{lines.point}\n{indent(gradient, '    ')}"
        return _lines(gradient, *(lines.gradient for lines in after))

    def _step(self) -> str:
        """Everything done with a batch."""
        update = _lines(self._gradient(), self._each("before"), "optimizer.step()")
        if self.closure or self.sampled:
            if self._each("before"):
                raise PlanError(
                    "decoupled decay stands between the gradient and the update, and this optimizer computes "
                    "both in one call, so it has no recipe; use l2 instead."
                )
            batch = "inputs=inputs, targets=targets" + (", step=step" if self.counts else "")
            body = indent(f"{self._gradient()}\nreturn value", "    ")
            update = f"\ndef closure({batch}):\n{body}" if self.closure else self._gradient()
            drawn = indent(self._gradient(sampled=True), "    ")
            update += f"\n\ndef sampled({batch}):\n{drawn}" if self.sampled else ""
            given = ", ".join(["closure"] * self.closure + ["sampled=sampled"] * bool(self.sampled))
            update += f"\n\noptimizer.step({given})"
        count = "step += 1" if self.counts else ""
        return _lines(self._each("batch"), update, self._each("after"), self.after_step, count)

    def _evaluation(self) -> str:
        data = f"problem.{self.judged_on[0]}" if self.device == CPU else f"there(problem.{self.judged_on[0]})"
        judged = next((lines.evaluated for lines in self.regularizers if lines.evaluated), "model")
        chosen = f"({judged})" if " " in judged else judged
        shown = "optimizer.eval()\n" if self.shows else ""
        return (
            f"{shown}judged = {chosen}.eval()\nwith torch.no_grad():\n    inputs, targets = {data}\n"
            f"{indent(self._forward('problem.loss', 'judged', '.item()'), '    ')}"
        )

    def _pass(self) -> str:
        _, called = self.judged_on
        return _lines(
            "model.train()",
            "optimizer.train()" if self.shows else "",
            f"for inputs, targets in {'batches(epoch)' if self.device == CPU else 'map(there, batches(epoch))'}:",
            indent(self._step(), "    "),
            self._each("epoch"),
            self._evaluation(),
            "losses.append(value)",
            f'print(f"epoch {{epoch + 1:3d}}  {called} {{value:.6f}}")',
            self.after_pass,
            self._each("stop"),
        )

    def _end(self) -> str:
        """What follows the last pass."""
        _, called = self.judged_on
        end = self._each("end") if self.passes == self.epochs else ""
        printed = f'print(f"the best weights: {called} {{value:.6f}}")'
        return _lines(end, self._evaluation(), "losses[-1] = value", printed) + "\n" if end else ""


_THERE = """def there(samples):
    return tree_map(lambda t: t.to(DEVICE), samples)


"""


def _lines(*texts: str) -> str:
    """The texts one below the other, without those that are empty."""
    return "\n".join(text for text in texts if text)
