"""A torch optimizer whose update is a formula.

`FormulaOptimizer` is everything that the classes of `tw.optim` share; a subclass says by its `rule` which
formula its arguments mean. What is torch's own (groups, hooks, schedulers, pickling) comes from
``torch.optim.Optimizer``. Read next: `rules.py` (arguments and names), `plan.py` (how a step runs).
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import UsageError
from ..formulas import Formula
from ..formulas.drop_in import check
from ..formulas.equations import WEIGHT_ITSELF
from ..kernels import staged, torch_ref
from ..unknown import unknown
from . import sharded
from .parameter import StepOptions, computed_in, refuse
from .plan import Plan
from .rules import Rule
from .states import format_of, readable, rewrite
from .tensors import refuse_sharded

TRAINED = "trained"  # the state that has the weights which are trained, while others are shown
WHOLE_STEP = ("max_norm", "clip_value", "ema_decay", "zero_grad", "state_dtype", "stochastic_rounding")


_GRADIENT = operator.attrgetter("grad")


class FormulaOptimizer(torch.optim.Optimizer):
    """Base of the optimizers made from formulas; use a class of `tw.optim`, or `tw.optim.from_formula`.

    Beside the arguments of its rule, every class takes these, which happen in the same pass over memory:

    Args:
        params: tensors, or parameter groups with hyperparameters of their own.
        max_norm: scale the gradients so that the norm of all of them together is at most this, as
            ``torch.nn.utils.clip_grad_norm_`` would.
        clip_value: keep each element of the gradients within ± this, after max_norm.
        ema_decay: keep a moving average of the weights, a ← decay·a + (1 − decay)·w, that starts at the
            weights before the first step; see `ema_parameters` and `swap_ema`.
        zero_grad: leave zeros in the gradients.
        state_dtype: what the states are kept in: ``torch.bfloat16`` (half of float32's bytes) or ``"int8"`` (a
            quarter: blocks of 256 with a scale each), both rounded at random so that their mean is right;
            ``torch.float32``, for bfloat16 weights; None: as the weights are.
        stochastic_rounding: round bfloat16 weights up or down at random, in proportion to how near each
            neighbour is, so that updates smaller than the last bit are not lost.

    A rule that trains at other weights than those to be evaluated shows these between `eval` and `train`; a step in
    between is refused.

    With any of the first four, `torch.amp.GradScaler` leaves the scale of the loss to be removed in the same pass too.

    Raises:
        UsageError: hyperparameters out of range (a ValueError, in torch's words), sparse or complex weights.

    >>> import torch, thalweg as tw
    >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = tw.optim.SGD([weight], lr=1.0, max_norm=1.0, ema_decay=0.5, zero_grad=True)
    >>> for _ in range(2):
    ...     weight.square().sum().backward()
    ...     optimizer.step()
    >>> weight.data, optimizer.ema_parameters()
    (tensor([1.8000, 2.4000]), [tensor([2.2500, 3.0000])])
    """

    rule: ClassVar[Rule]
    formula: ClassVar[Formula]
    state: Any

    def __init__(
        self,
        params: Any,
        *arguments: Any,
        max_norm: float | None = None,
        clip_value: float | None = None,
        ema_decay: float | None = None,
        zero_grad: bool = False,
        state_dtype: torch.dtype | str | None = None,
        stochastic_rounding: bool = False,
        **named: Any,
    ) -> None:
        signature = inspect.Signature(self.rule.arguments)
        for name in (named.keys() - signature.parameters.keys()) & self.formula.options.keys():
            raise TypeError(
                f"{type(self).__name__} does not take {name}, an option of its formula: write "
                f"tw.optim.from_formula('{self.formula.name}({name}={named[name]})')(params, ...)."
            )
        for name in named.keys() - signature.parameters.keys():
            raise TypeError(unknown("argument", name, [*signature.parameters, *WHOLE_STEP], type(self).__name__))
        bound = signature.bind(*arguments, **named)
        bound.apply_defaults()
        self.rule.fit(type(self).__name__, bound.arguments)
        check(bound.arguments, grouped=self.rule.grouped)
        self.rule.verify(bound.arguments)
        _check_whole_step(max_norm, clip_value, ema_decay)
        format_of(state_dtype)  # refuses an unknown format
        self.options = StepOptions(
            max_norm, clip_value, ema_decay, bool(zero_grad), state_dtype, bool(stochastic_rounding)
        )
        self._plan: Plan | None = None
        self.scaled = self._shown = False
        super().__init__(params, dict(bound.arguments))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's; a class for matrices refuses other tensors."""
        self.rule.fit(type(self).__name__, param_group)
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"] if self.rule.matrices else ():
            if p.ndim != 2:
                raise UsageError(
                    "{kind} only supports 2D parameters whereas we found a parameter with size: {size}; give it "
                    "to AdamW, or use tw.optim.from_formula({name}), which takes tensors of every shape.",
                    kind=type(self).__name__,
                    size=p.size(),
                    name=repr(self.formula.name),
                )

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Whether GradScaler hands its scale to `step` in place of unscaling the gradients itself."""
        a = self.options
        return a.zero_grad or any(v is not None for v in (a.max_norm, a.clip_value, a.ema_decay))

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], Any] | None = None, sampled: Callable[[], Any] | None = None
    ) -> Any:
        """One step of every parameter that has a gradient.

        Args:
            closure: computes gradients and returns the loss; needed by rules that read the loss, look ahead
                or take a second gradient, for which it is called twice; the loss is the first.
            sampled: computes gradients of the loss of the same batch on targets that are drawn from the model's own
                outputs (`Loss.sampled`), and leaves none out; needed by rules that estimate curvature, such as SophiaG,
                which call it before the steps that take an estimate. Other gradients are put back.

        >>> import torch, thalweg as tw
        >>> model, loss = torch.nn.Linear(3, 2), tw.losses.get("cross_entropy")
        >>> inputs, targets = torch.eye(3), torch.tensor([0, 1, 1])
        >>> optimizer = tw.optim.SophiaG(model.parameters(), lr=0.01)
        >>> for _ in range(20):
        ...     optimizer.zero_grad()
        ...     loss(model(inputs), targets).backward()
        ...     optimizer.step(sampled=lambda: loss.sampled(model(inputs), targets).backward())
        """
        if self._shown:
            raise UsageError(
                "{kind} shows the weights that are evaluated, and trains others: call train() before "
                "step(), and eval() before the weights are evaluated or saved.",
                kind=type(self).__name__,
            )
        if self.formula.equations.sampled:
            self._estimate(sampled)
        loss = self._loss(closure)
        params = self._params()
        gradients = list(map(_GRADIENT, params))
        scale, overflow = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        if overflow is not None and float(overflow):
            for g in gradients if self.options.zero_grad else ():
                if g is not None:
                    g.zero_()
            return loss
        self.scaled = scale is not None
        plan = self._plan
        if plan is None or not plan.fits(self, params, gradients):
            plan = self._plan = Plan(self, params, gradients)
        if plan.needs_loss and loss is None:
            raise UsageError(
                "{kind} reads the loss: give step a closure that computes the gradients and returns the loss.",
                kind=type(self).__name__,
            )
        value = math.nan if loss is None or not plan.needs_loss else float(torch.as_tensor(loss).detach())
        plan.step(gradients, value, 1.0 if scale is None else 1 / float(scale), torch.get_num_threads())
        return loss

    def _loss(self, closure: Callable[[], Any] | None) -> Any:
        moved = [] if self.rule.grouped else self._lookahead(closure is not None)
        try:
            if closure is None:
                return None
            with torch.enable_grad():
                loss = closure()
            if not self.rule.grouped and (again := self._second()):
                moved = [*again, *moved]
                with torch.enable_grad():
                    closure()
            return loss
        finally:
            for p, before in moved:
                p.copy_(before)

    def _estimate(self, sampled: Callable[[], Any] | None) -> None:
        """Renew the states that a gradient on sampled targets gives, of the parameters whose next step takes one."""
        if not callable(sampled):
            raise UsageError(
                "{rule} estimates curvature by gradients on targets that are drawn from the model's "
                "own outputs: give step sampled=, a function that computes them, such as "
                "lambda: loss.sampled(model(inputs), targets).backward() with loss = "
                "tw.losses.get('cross_entropy').",
                rule=type(self).__name__,
            )
        forms = [(group, self.rule.choose(group)) for group in self.param_groups]
        steps = [(p, int(self.state.get(p, {}).get("step", 0)), f, g) for g, f in forms for p in g["params"]]
        due = [one for one in steps if one[2].equations.estimates(one[1])]
        if not due:
            return
        before = [(p, p.grad) for p, *_ in steps]
        try:
            for p, _ in before:
                p.grad = None
            with torch.enable_grad():
                sampled()
            for p, step, formula, group in due:
                if p.grad is not None:
                    self._renew(p, step + 1, formula, group)
        finally:
            for p, gradient in before:
                p.grad = gradient

    def _renew(self, p: Tensor, t: int, formula: Formula, group: dict[str, Any]) -> None:
        """Renew the states of a parameter, which has a gradient on sampled targets."""
        equations = formula.equations.estimate
        assert equations is not None
        assert p.grad is not None
        refuse(p, p.grad)
        values = self.rule.numbers(formula, group)
        state, first, wide = self.state[p], dict(equations.initial), computed_in(p)
        present = {}
        for name in equations.state_names:
            key, value = self.rule.state(name), values.get(str(first[name]), first[name])
            if readable(state, key) is None:
                state[key] = p.detach().clone() if value == WEIGHT_ITSELF else torch.full_like(p.detach(), float(value))
            present[name] = sharded.local(readable(state, key)).to(wide)
        w, g = (sharded.local(x.detach()).to(wide) for x in (p, p.grad))
        new = torch_ref.estimated(equations, w, -g if group["maximize"] else g, present, t, values)
        for name, value in new.items():
            rewrite(state, self.rule.state(name), value)

    def _second(self) -> list[tuple[Tensor, Tensor]]:
        """Move each weight to where its formula takes a second gradient; each moved weight, and its values before."""
        each, here = [], []
        for group in self.param_groups:
            formula = self.rule.choose(group)
            values = self.rule.numbers(formula, group)
            for p in group["params"]:
                second = formula.of_shape(p.shape).equations.second
                if second is not None and p.grad is not None:
                    refuse_sharded(formula, p)
                    w, g = (x.detach().to(computed_in(p)) for x in (p, p.grad))
                    each.append(torch_ref.uphill(second, w, -g if group["maximize"] else g, values))
                    here.append((p, p.detach().clone()))
        for (p, _), (new, _) in zip(here, staged.advance(each), strict=True):
            p.copy_(new)
        return here

    def _lookahead(self, closure: bool) -> list[tuple[Tensor, Tensor]]:
        """Move each weight to where its formula takes the gradient; each moved weight, and its values before."""
        moved = []
        for group in self.param_groups:
            formula = self.rule.choose(group)
            if not closure and (formula.equations.at, formula.equations.again) != (None, None):
                where = "its gradient ahead of the weights" if formula.equations.again is None else "a second gradient"
                raise UsageError(
                    f"{formula.label} takes {where}: give step a closure that computes the gradients and returns the "
                    "loss."
                )
            if formula.equations.at is None:
                continue
            values = self.rule.numbers(formula, group)
            for p in group["params"]:
                if (states := self._states(p, formula)) is not None:
                    here, t = sharded.local(p.detach()), int(self.state[p].get("step", 0)) + 1
                    moved.append((here, here.clone()))
                    torch_ref.lookahead(formula, here, states, t, values)
        return moved

    def _states(self, p: Tensor, formula: Formula) -> list[Tensor] | None:
        """The values of a parameter's states; None before its first step."""
        state = self.state.get(p, {})
        present = [readable(state, self.rule.state(name)) for name in formula.states]
        return None if any(s is None for s in present) else [sharded.local(s) for s in present if s is not None]

    @torch.no_grad()
    def eval(self) -> None:
        """Show the weights that are to be evaluated and saved, for a rule that trains at others; until `train`.

        Of most rules they are the same, and nothing changes.
        """
        for group in self.param_groups:
            formula = self.rule.choose(group)
            if formula.equations.shown is None or self._shown:
                continue
            values = self.rule.numbers(formula, group)
            for p in group["params"]:
                if (states := self._states(p, formula)) is not None:
                    self.state[p][TRAINED] = p.detach().clone()
                    t = int(self.state[p].get("step", 0))
                    torch_ref.shown(formula, sharded.local(p.detach()), states, t, values)
        self._shown = any(self.rule.choose(group).equations.shown is not None for group in self.param_groups)

    @torch.no_grad()
    def train(self) -> None:
        """Go back to the weights that the rule trains, after `eval`."""
        for p in self._params() if self._shown else ():
            if TRAINED in (state := self.state.get(p, {})):
                p.copy_(state.pop(TRAINED))
        self._shown = False

    def ema_parameters(self) -> list[Tensor]:
        """The moving averages of the weights, in the order of the parameters; needs ``ema_decay=``."""
        if self.options.ema_decay is None:
            raise UsageError("there is no average of the weights: give the optimizer ema_decay=, e.g. 0.999.")
        return [self.state.get(p, {}).get("ema", p.detach()) for p in self._params()]

    @torch.no_grad()
    def swap_ema(self) -> None:
        """Exchange the weights and their moving averages, in place; a second call undoes it."""
        for p, average in zip(self._params(), self.ema_parameters(), strict=True):
            before = p.detach().clone()
            p.copy_(average)
            average.copy_(before)

    def state_dict(self) -> dict[str, Any]:
        """As torch's: a class that torch.optim has too can load it, and the other way round."""
        saved = super().state_dict()
        states = saved["state"]
        for group in saved["param_groups"]:
            states |= {k: self._packed(states[k], group) for k in group["params"] if k in states}
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a state of this class or of torch.optim's; the dtypes of states stay as they were saved."""
        read: list[dict[str, Any]] = []
        handle = self.register_load_state_dict_pre_hook(lambda _, prepared: read.append(prepared))
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()
        saved = [k for group in read[0]["param_groups"] for k in group["params"]]
        for k, p in zip(saved, self._params(), strict=True):
            if k in read[0]["state"]:
                self.state[p] = self._unpacked(read[0]["state"][k], p)
        self._shown = any(TRAINED in state for state in self.state.values())

    def _packed(self, state: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
        """A parameter's state as torch keeps it."""
        packed = dict(state)
        if "ax" in packed:  # torch's ASGD keeps the weight of the average for the next step too
            step = packed["step"]
            packed["eta"] = packed["eta"].to(torch.promote_types(step.dtype, packed["ax"].dtype))
            packed["mu"] = torch.ones_like(step) / max(1.0, float(step) - group["t0"])
        return packed

    def _unpacked(self, state: Mapping[str, Any], p: Tensor) -> dict[str, Any]:
        """What `_packed` gave, or torch, as the kernels need it, on the weight's device."""
        values = {name: value for name, value in state.items() if value is not None}
        for name, value in values.items():
            if isinstance(value, Tensor):
                values[name] = value.detach().to(value.device if name == "step" else p.device, copy=True)
        if "ax" in values:
            del values["mu"]
        return values

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._plan, self.scaled = None, False
        self._shown = any(TRAINED in held for held in self.state.values())
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)


def _check_whole_step(max_norm: float | None, clip_value: float | None, ema_decay: float | None) -> None:
    for name, value in (("max_norm", max_norm), ("clip_value", clip_value)):
        if value is not None and not (isinstance(value, Real | Tensor) and value > 0):
            raise UsageError(
                "Invalid {name}: {value}; it must be above 0, or None for no clipping.", name=name, value=str(value)
            )
    if ema_decay is not None and not (isinstance(ema_decay, Real | Tensor) and 0.0 <= ema_decay < 1.0):
        raise UsageError(
            "Invalid ema_decay: {ema_decay}; it must be in [0, 1), or None for no average.", ema_decay=str(ema_decay)
        )
