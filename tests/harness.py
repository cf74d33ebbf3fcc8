"""One harness for every formula and every target: the same gradients go down every path.

A `Case` names a formula, hyperparameters, and where the truth comes from: an optimizer of torch.optim, or
the equations of a paper (`papers.py`).
A path function takes the same start and gradients and returns the weights and the states they end in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tests.papers import PAPERS
from thalweg import formulas
from thalweg.formulas import Equations, Formula
from thalweg.kernels import numba_cpu, torch_ref, triton_gpu
from thalweg.kernels.backends import Kernel
from thalweg.kernels.formats import UPDATE_ONLY, Formats
from thalweg.kernels.lower import lower

STEPS = 50
# The rules that update every weight by itself, which every kernel takes.
ELEMENTWISE = [name for name, rule in formulas.FORMULAS.items() if rule.equations.elementwise]


@dataclass(frozen=True)
class Case:
    """A formula with hyperparameters, and the truth: torch's optimizer, or the paper's equations in NumPy."""

    text: str
    make: Callable[[list[torch.Tensor]], torch.optim.Optimizer] | None = None
    states: Mapping[str, str] = field(default_factory=dict)  # ours → torch's, where torch has the same
    paper: Callable[[np.ndarray, Sequence[np.ndarray], Sequence[float]], np.ndarray] | None = None

    @property
    def formula(self) -> Formula:
        return formulas.get(self.text)

    def __str__(self) -> str:
        return self.text


def in_torch(text: str) -> Case:
    """A case whose truth is the class of torch.optim that the formula declares."""
    formula = formulas.get(text)
    drop_in = formula.drop_ins[0]
    same_states = drop_in.means(formula, formulas.get(formula.name))

    def make(params: list[torch.Tensor]) -> torch.optim.Optimizer:
        return getattr(torch.optim, drop_in.name)(params, foreach=False, **drop_in.arguments(formula))

    states = {ours: theirs for ours, theirs in drop_in.states.items() if same_states and ours in formula.states}
    return Case(text, make, states)


# Beside every formula with its defaults: hyperparameters and options that torch.optim has too.
FORMS = [
    "sgd(lr=0.1,weight_decay=0.1)",
    "momentum(momentum=0.5,weight_decay=0.1)",
    "nesterov(lr=0.01,momentum=0.7,weight_decay=0.1)",
    "adagrad(lr=0.1,lr_decay=0.03,initial_accumulator_value=0.4,weight_decay=0.1,eps=1e-3)",
    "adadelta(lr=0.3,rho=0.8,eps=1e-4,weight_decay=0.1)",
    "rmsprop(lr=0.002,alpha=0.9,eps=1e-4,weight_decay=0.1)",
    "adam(lr=0.01,beta1=0.8,beta2=0.95,eps=1e-4,weight_decay=0.1)",
    "adamw(lr=0.01,beta1=0.8,beta2=0.95,eps=1e-4,weight_decay=0.3)",
    "momentum(dampening=0.3,momentum=0.8)",
    "momentum(rate_inside=True,weight_decay=0.1)",
    "asgd(lr=0.1,lambd=0.02,alpha=0.6,t0=20,weight_decay=0.1)",
    "rprop(lr=0.1,eta_minus=0.4,eta_plus=1.3,size_min=1e-2,size_max=0.5)",
    "rmsprop(momentum=0.8,weight_decay=0.1)",
    "rmsprop(centered=True,lr=0.001,eps=1e-3)",
    "rmsprop(centered=True,momentum=0.8,eps=1e-3)",
    "adam(amsgrad=True,beta2=0.9,weight_decay=0.1)",
    "adamw(amsgrad=True,beta2=0.9)",
    "adamax(lr=0.01,beta1=0.8,beta2=0.9,eps=1e-2,weight_decay=0.1)",
    "nadam(lr=0.01,beta1=0.8,beta2=0.9,eps=1e-4,weight_decay=0.1,momentum_decay=0.02)",
    "nadam(weight_decay=0.1,decoupled_weight_decay=True)",
    "radam(lr=0.01,beta1=0.8,beta2=0.9,eps=1e-4,weight_decay=0.1)",
    "radam(weight_decay=0.1,decoupled_weight_decay=True)",
]
CASES = [
    *(in_torch(name) for name in ELEMENTWISE if (of := formulas.get(name).drop_ins) and of[0].in_torch),
    *map(in_torch, FORMS),
    *(Case(text, paper=paper) for text, paper in PAPERS.items()),
]


@dataclass(frozen=True)
class Path:
    """Where a rule ended: the weights, and each state by name."""

    weight: torch.Tensor
    states: Mapping[str, torch.Tensor]


def start_and_gradients(shape: Sequence[int], seed: int, steps: int = STEPS) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Float32 numbers, so that every target sees the same; the gradients differ in size between weights."""
    generator = torch.Generator().manual_seed(seed)
    scale = 10 ** torch.empty(tuple(shape)).uniform_(-2, 1, generator=generator)
    return torch.randn(tuple(shape), generator=generator), [
        torch.randn(tuple(shape), generator=generator) * scale for _ in range(steps)
    ]


def truth(case: Case, w: torch.Tensor, gradients: Sequence[torch.Tensor], dtype: torch.dtype) -> Path:
    """Where torch.optim goes, or the paper (always in float64)."""
    if case.paper is not None:
        numbers = [g.double().numpy() for g in gradients]
        end = case.paper(w.double().numpy(), numbers, losses_of(len(gradients)))
        return Path(torch.from_numpy(np.asarray(end)), {})
    assert case.make is not None
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # torch keeps NAdam's product and ASGD's rate in the default dtype
    try:
        return _torch_path(case.make, case.states, w, gradients, dtype)
    finally:
        torch.set_default_dtype(before)


def losses_of(steps: int) -> list[float]:
    """Losses that go up and down, the first of them below 0."""
    return [float(x) for x in np.cos(np.arange(steps) * 1.7 + 3)]


def _torch_path(
    make: Callable[[list[torch.Tensor]], torch.optim.Optimizer],
    states: Mapping[str, str],
    w: torch.Tensor,
    gradients: Sequence[torch.Tensor],
    dtype: torch.dtype,
) -> Path:
    weight = w.to(dtype).clone().requires_grad_()
    optimizer = make([weight])
    for g in gradients:
        weight.grad = g.to(dtype)
        optimizer.step()
    held = optimizer.state[weight]
    return Path(weight.detach(), {ours: held[theirs] for ours, theirs in states.items()})


Update = Callable[..., None]


def segment_table(
    weights: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor], states: Sequence[Sequence[torch.Tensor]]
) -> tuple[np.ndarray, np.ndarray]:
    """Addresses and lengths of whole tensors, contiguous and of one dtype: a segment each."""
    streams = ([w, g, *row] for w, g, row in zip(weights, gradients, states, strict=True))
    address = np.array([[s.data_ptr() for s in row] for row in streams], dtype=np.int64)
    return address, np.array([w.numel() for w in weights], dtype=np.int64)


def update_by(prepared: Callable[[Formula, torch.Tensor, Formats], Kernel], run: Callable[[Any], None]) -> Update:
    """One step on one tensor by a compiled kernel; arguments as of `torch_ref.update`."""

    def update(
        formula: Formula,
        w: torch.Tensor,
        g: torch.Tensor,
        states: Sequence[torch.Tensor],
        t: int,
        hyperparameters: Mapping[str, float] | None = None,
        loss: float = float("nan"),
    ) -> None:
        values = {**formula.hyperparameters, **(hyperparameters or {})}
        program, named = lower(formula.equations), dict(zip(formula.states, states, strict=True))
        streamed = [named[name] for name, _ in program.states]
        single = [named[name] for name, _ in program.row_states]
        row_states = np.array([[float(s.reshape(-1)[0]) for s in single]]).reshape(1, -1)
        forms = [str(x.dtype).removeprefix("torch.") for x in (w, g, *streamed)]
        address, length = segment_table([w], [g.contiguous()], [streamed])
        launch = prepared(formula, w, Formats(forms[0], forms[1], tuple(forms[2:]), forms[0])).launch(
            address,
            length,
            np.zeros(1, dtype=np.int64),
            np.ones(1, dtype=np.bool_),
            np.array([float(t)]),
            np.array([loss]),
            np.array([[values[name] for name in formula.equations.hyperparameters]]),
            row_states=row_states,
        )
        run(launch)
        for state, value in zip(single, row_states[0].tolist(), strict=True):
            state.fill_(value)

    return update


numba_update = update_by(
    lambda rule, _, formats: numba_cpu.compiled(rule.equations, formats), lambda launch: numba_cpu.run([launch], 1)
)
triton_update = update_by(
    lambda rule, w, formats: triton_gpu.compiled(rule.equations, formats, UPDATE_ONLY, w.device),
    lambda launch: triton_gpu.Round([launch]).run(),
)


def our_path(
    formula: Formula, w: torch.Tensor, gradients: Sequence[torch.Tensor], dtype: torch.dtype, update: Update
) -> Path:
    """The formula by `torch_ref.update`, `numba_update` or `triton_update`."""
    weight = w.to(dtype).clone()
    states = torch_ref.initial_states(formula, weight, {})
    for t, (g, loss) in enumerate(zip(gradients, losses_of(len(gradients)), strict=True), start=1):
        update(formula, weight, g.to(dtype), states, t, loss=loss)
    return Path(weight, dict(zip(formula.states, states, strict=True)))


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """‖a − b‖ / ‖b‖ in float64; 0 where both are empty or 0."""
    a, b = a.double(), b.double()
    size = float(b.norm())
    return float((a - b).norm()) / size if size else float(a.norm())


def kernel_step(
    formula: Formula,
    weights: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    states: Sequence[Sequence[torch.Tensor]],
    tables: Sequence[Mapping[str, float]],
    t: int,
    active: Sequence[bool] | None = None,
    threads: int = 1,
) -> None:
    """One call of the compiled kernel over many segments, the i-th with the i-th set of hyperparameters."""
    program = lower(formula.equations)
    streamed, row_states = ([name for name, _ in part] for part in (program.states, program.row_states))
    named = [dict(zip(formula.states, row, strict=True)) for row in states]
    address, length = segment_table(weights, gradients, [[row[n] for n in streamed] for row in named])
    names, count = formula.equations.hyperparameters, len(weights)
    table = np.array([[{**formula.hyperparameters, **row}[name] for name in names] for row in tables])
    single = np.array([[float(row[n]) for n in row_states] for row in named]).reshape(count, len(row_states))
    on = np.array(active or [True] * count)
    launch = numba_cpu.compiled(formula.equations, weights[0].dtype).launch(
        address,
        length,
        np.arange(count),
        on,
        np.full(count, float(t)),
        np.full(count, 0.5),
        table.reshape(count, len(names)),
        row_states=single,
    )
    numba_cpu.run([launch], threads)
    for row, values in zip(named, single, strict=True):
        for name, value in zip(row_states, values, strict=True):
            row[name].fill_(value)


def cpu_source(equations: Equations) -> str:
    """The text of the float32 loop for the CPU."""
    return numba_cpu.Source(equations, Formats.plain(equations, "float32"), UPDATE_ONLY).text()


@functools.cache
def machine_code(equations: Equations) -> tuple[str, str]:
    """LLVM and assembly of the float32 loop; compiled anew, because Numba shows neither of cached code."""
    scope: dict[str, Any] = {}
    exec(cpu_source(equations).replace("cache=True", "cache=False"), scope)
    loop = scope["segments"]
    return loop.inspect_llvm(), loop._library.get_asm_str()
