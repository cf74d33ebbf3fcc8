"""A formula that looks at whole tensors, compiled for the CPU: the loops of `sweep_order.py`, through Numba.

A tensor's loops follow one another while it lies in the cache, and the tensors are shared among torch's threads. Torch
multiplies between them; Newton–Schulz takes all matrices of one shape as a stack. Everything is changed in place.
"""

from __future__ import annotations

import functools
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
import torch
from sympy.functions.elementary.piecewise import ExprCondPair
from torch import Tensor

from ..formulas import operations as op
from ..formulas import shapes
from ..formulas.equations import Equations
from ..formulas.shapes import COLUMNS, MODEL, ONE, ROWS, WEIGHT, Shape
from .generated import module
from .lower import ConstantsPrinter, lower
from .numba_cpu import FASTMATH, PREAMBLE, ScalarPrinter
from .sweep_order import REDUCTIONS, SIZES, Loop, Order, order, small
from .threads import Launch, Round, addresses

_ARGUMENTS = ("_address", "_sizes", "_numbers")
# of the operations that give one number for a tensor, what it is of the sum and the count
_ENDS = {op.norm: "_sqrt({0})", op.rms: "_sqrt({0}/{1})", op.mean: "{0}/{1}", op.dot: "{0}", op.total: "{0}"}
_SIZE = {ONE: "1", ROWS: "_rows", COLUMNS: "_columns"}


class _Printer(ConstantsPrinter, ScalarPrinter):
    """In the dtype of the computation."""

    def __init__(self, dtype: str, plan: Order) -> None:
        super().__init__()
        self.dtype, self.plan = dtype, plan

    def _print_Function(self, expr: Any) -> str:
        if isinstance(expr, op.resolution):
            return self.number(float(np.finfo(self.dtype).eps))
        if isinstance(expr, SIZES):
            shape = self.plan.shape(expr.args[0])
            return f"_{self.dtype}({_SIZE[shape.rows if isinstance(expr, op.rows) else shape.columns]})"
        return super()._print_Function(expr)


class _Source:
    """The text of a stage."""

    def __init__(self, plan: Order, dtype: str, forms: Mapping[str, str]) -> None:
        self.plan, self.dtype, self.forms = plan, dtype, forms
        self.scope = {name: k for k, name in enumerate(plan.arrays)}
        self.printer, self.fresh = _Printer(dtype, plan), itertools.count()

    def text(self, loops: Sequence[Loop]) -> str:
        lines = [line for loop in loops for line in self._loop(loop)]  # first: it finds out which constants there are
        at = (f"_at_{name} = _load_int64(_address, {len(self.scope)}*_n + {k}, 99)" for name, k in self.scope.items())
        passed = self.plan.program.passed
        numbers = (f"_load_float64(_numbers, {len(passed)}*_n + {k}, 99)" for k in range(len(passed)))
        return "\n".join(
            [
                PREAMBLE.format(fastmath=FASTMATH),
                "@_compiled",
                "def stage(_job, _start, _stop):",
                *(f"    {name} = _load_int64(_job, {k}, 99)" for k, name in enumerate(_ARGUMENTS)),
                *(f"    {name} = _{self.dtype}({value!r})" for value, name in self.printer.constants.items()),
                f"    _zero = _{self.dtype}(0.0)",
                "    for _n in range(_start, _stop):",
                "        _rows, _columns = _load_int64(_sizes, 2*_n, 99), _load_int64(_sizes, 2*_n + 1, 99)",
                *(f"        {name} = _{self.dtype}({value})" for name, value in zip(passed, numbers, strict=True)),
                *(f"        {line}" for line in (*at, *lines)),
                "",
            ]
        )

    def _loop(self, loop: Loop) -> Iterator[str]:
        """For each row: what is one number there; for each weight of it: the rest."""
        rows, columns = _SIZE[loop.shape.rows], _SIZE[loop.shape.columns]
        outer, inner, printed = self._body(loop)
        by_column = [r.name for r in loop.results if isinstance(r.value, op.column_mean)]
        by_row = [r.name for r in loop.results if isinstance(r.value, op.row_mean)]
        of_all = {r.name: type(r.value) for r in loop.results if isinstance(r.value, tuple(_ENDS))}
        for name in by_column:
            yield f"for _j in range({columns}):"
            yield f"    {self._stored(name, '_zero')}"
        yield from (f"_total{name} = 0.0" for name in of_all)
        yield f"for _i in range({rows}):"
        yield from (f"    {line}" for line in (*outer, *(f"_sum{name} = _zero" for name in (*by_row, *of_all))))
        yield f"    for _j in range({columns}):"
        yield from (f"        {line}" for line in inner)
        for name, value in printed.items():
            if name in by_row or name in of_all:
                yield f"        _sum{name} = _memory.added(_sum{name}, {value})"
            else:
                value = f"{self._loaded(name)} + {value}" if name in by_column else value
                yield f"        {self._stored(name, value)}"
        for name in by_row:
            yield f"    {self._stored(name, f'_sum{name}/_{self.dtype}({columns})')}"
        yield from (f"    _total{name} += _float64(_sum{name})" for name in of_all)
        for name, kind in of_all.items():
            value = _ENDS[kind].format(f"_total{name}", f"_float64({rows}*{columns})")
            yield self._stored(name, f"_{self.dtype}({value})")
        for name in by_column:
            yield f"for _j in range({columns}):"
            yield f"    {self._stored(name, f'{self._loaded(name)}/_{self.dtype}({rows})')}"

    def _body(self, loop: Loop) -> tuple[list[str], list[str], dict[str, str]]:
        """Lines for each row, lines for each weight, and each result's value there, or what is summed."""
        outer: list[str] = []
        inner: list[str] = []
        given = {r.name: _summed(r.value) for r in loop.results}
        used = self.plan.used([*given.values()])
        for name in sorted(self.plan.read([*given.values()])):
            (outer if self.plan.arrays[name].columns == ONE else inner).append(f"{name} = {self._loaded(name)}")
        for name in used:
            self._assign(name, self.plan.values[name], outer, inner)
        for name, value in given.items():
            self._assign(sp.Symbol(f"_of_{name}", real=True), value, outer, inner)
        return outer, inner, {name: f"_of_{name}" for name in given}

    def _assign(self, name: Any, value: Any, outer: list[str], inner: list[str]) -> None:
        shape = self.plan.known(name, value)
        value = value if shape.columns == ONE else self._apart(value, outer)
        (outer if shape.columns == ONE else inner).append(f"{name} = {self.printer.doprint(value)}")

    def _apart(self, value: Any, outer: list[str]) -> Any:
        """`value` with what is one number in a row computed before the row."""
        if not value.args:
            return value
        if self.plan.shape(value).columns == ONE and not isinstance(value, ExprCondPair):
            name = sp.Symbol(f"_h{next(self.fresh)}", real=True)
            self._assign(name, value, outer, outer)
            return name
        if isinstance(value, sp.Add | sp.Mul):
            once = [a for a in value.args if self.plan.shape(a).columns == ONE]
            each = [self._apart(a, outer) for a in value.args if a not in once]
            return value.func(*([self._apart(value.func(*once), outer)] if once else []), *each)
        return value.func(*(self._apart(a, outer) for a in value.args))

    def _at(self, name: str) -> str:
        shape = self.plan.arrays[name]
        row, column = "0" if shape.rows == ONE else "_i", "0" if shape.columns == ONE else "_j"
        return f"_at_{name}, {row}*{_SIZE[shape.columns]} + {column}, {self.scope[name]}"

    def _loaded(self, name: str) -> str:
        return f"_memory.load_{self.forms.get(name, self.dtype)}({self._at(name)})"

    def _stored(self, name: str, value: str) -> str:
        return f"_memory.store_{self.forms.get(name, self.dtype)}({self._at(name)}, {value})"


def _summed(value: Any) -> Any:
    """What a reduction adds up; of what is not one, the value itself."""
    if isinstance(value, op.norm | op.rms):
        return value.args[0] ** 2
    return sp.Mul(*value.args) if isinstance(value, REDUCTIONS) else value


@dataclass(frozen=True, eq=False)
class Compiled:
    """The stages of a formula's step.

    Attributes:
        forms: the formats of the arrays that torch reads or writes, where they are not that of the weights.
        flat: whether a tensor may be seen as one row, whatever its shape.
        batched: whether a tensor of more than two axes is a batch of matrices.
    """

    order: Order
    functions: tuple[int | None, ...]
    forms: Mapping[str, str]
    flat: bool
    batched: bool

    def takes(self, w: Tensor) -> bool:
        """Whether a weight of its dtype has such a shape, and lies where these loops can reach it."""
        return w.is_cpu and bool(w.numel()) and (self.flat or len(shapes.matrix(w.shape, self.batched)) == 2)


@functools.cache
def compiled(equations: Equations, dtype: str, guards: tuple[bool, ...]) -> Compiled | None:
    """None where a formula needs more than `sweep_order.py` has."""
    plan = order(equations, guards)
    if plan is None:
        return None
    products = [product for _, each in plan.stages for product in each]
    half = [p for p in products if dtype == "float32" and p.operation is op.orthogonal and p.numbers[-1] == 1]
    forms = dict.fromkeys((name for p in half for name in (p.name, *map(str, p.arrays))), "bfloat16")
    source = _Source(plan, dtype, forms)
    texts = [source.text(loops) if loops else None for loops, _ in plan.stages]
    functions = tuple(None if text is None else module(text, equations.name).stage.address for text in texts)
    sides = any(v.has(op.rows, op.columns) for v in plan.values.values())
    whole = all(shape == WEIGHT or shape.rows == shape.columns == ONE for shape in plan.arrays.values())
    return Compiled(plan, functions, forms, whole and not sides and not products, equations.batched)


class Scratch(threading.local):
    """Arrays that are needed until the next `begin`. Memory is used again, because fresh pages cost as much as work."""

    def __init__(self) -> None:
        self.memory, self.needed = torch.empty(0, dtype=torch.uint8), 0

    def begin(self) -> None:
        if len(self.memory) < self.needed <= _MOST_SCRATCH:
            with torch.inference_mode(False):  # others may write into it outside
                self.memory = torch.empty(self.needed, dtype=torch.uint8)
        self.needed = 0

    def __call__(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        first, size = self.needed, math.prod(shape) * dtype.itemsize
        self.needed += -(-size // 64) * 64
        if self.needed > len(self.memory):
            return torch.empty(tuple(shape), dtype=dtype)
        return self.memory[first : first + size].view(dtype).view(tuple(shape))


_scratch = Scratch()
_MOST_SCRATCH = 2**26  # bytes that stay allocated in each thread that takes steps
_STACK = 2**22  # weights that torch multiplies at once, so that the arrays between fit into the scratch


class TensorStep(NamedTuple):
    """A tensor to be updated in place.

    Attributes:
        tensors: the gradient, the weight and its states, contiguous and of one dtype; those that are one number of the
            whole model are the same tensors for all.
        numbers: see `Program.passed`.
    """

    tensors: tuple[Tensor, ...]
    numbers: tuple[float, ...]


def covering(equations: Equations, dtype: torch.dtype, numbers: Sequence[float]) -> Compiled | None:
    """What `advance` goes by for tensors of that dtype, of those that it takes; None where it takes none."""
    if dtype not in _DTYPES:
        return None
    program = lower(equations)
    guards = tuple(numbers[program.passed.index(guard)] > 0.5 for guard in program.guards)
    found = compiled(equations, _DTYPES[dtype], guards)
    if found is None or (found.order.multiplies and found.order.totals):  # of a stack no total is that of the model
        return None
    return found


def advance(found: Compiled, steps: Mapping[int, TensorStep], threads: int, kept: dict[Any, Sweep]) -> None:
    """One step of each tensor that goes by this, in place; if torch multiplies, those of one shape and with the same
    numbers are a stack.

    A tensor is one thread's, so that its sums have one order, and sums over the model go from tensor to tensor: however
    many threads there are, the loops give the same bits.

    Args:
        steps: by the place of each tensor, which says where its weight and its states lie.
        kept: what was laid out for such places before, which this goes on with.
    """
    for places in _stacks(steps) if found.order.multiplies else [[*steps]]:
        key, several = (found, *places), [steps[place] for place in places]
        if key not in kept:
            if len(kept) > 4 * len(steps):  # groups that no longer come
                kept.clear()
            kept[key] = Sweep(found, several)
        _scratch.begin()
        kept[key].advance(several, threads)


def _stacks(steps: Mapping[int, TensorStep]) -> Iterator[list[int]]:
    """The places of those of one shape and with the same numbers, as many as fit into the scratch."""
    groups: dict[Any, list[int]] = {}
    for place, step in steps.items():
        groups.setdefault((step.tensors[1].shape, step.numbers), []).append(place)
    for group in groups.values():
        most = max(1, _STACK // steps[group[0]].tensors[1].numel())
        yield from (group[k : k + most] for k in range(0, len(group), most))


class Sweep:
    """Tensors laid out for the loops: what stays from step to step, while weights and states lie where they lay."""

    def __init__(self, found: Compiled, steps: Sequence[TensorStep]) -> None:
        plan, weights, given = found.order, [step.tensors[1] for step in steps], len(steps[0].tensors)
        self.found, self.given, self.dtype = found, [*plan.arrays.items()][:given], weights[0].dtype
        self.matrices = [(1, w.numel()) if found.flat else shapes.matrix(w.shape, found.batched) for w in weights]
        self.rest = {name: k for k, name in enumerate(plan.arrays) if k >= given}
        sizes = np.array(self.matrices, dtype=np.int64)
        self.numbers = np.empty((len(steps), len(plan.program.passed)))
        self.address = np.zeros((len(steps), len(plan.arrays)), dtype=np.int64)
        self.address[:, :given] = [[x.data_ptr() for x in step.tensors] for step in steps]
        places = {name: k for name, k in self.rest.items() if small(plan.arrays[name])}
        room = _room(plan, places, weights[0].element_size(), sizes, self.address)
        # numbers of the whole model: a copy of each tensor's own
        self.models = {name: k for k, (name, shape) in enumerate(self.given) if shape == MODEL}
        columns = self.models | {name: self.rest[name] for name in plan.totals}
        self.whole = {name: np.zeros(len(steps), dtype=_DTYPES[self.dtype]) for name in columns}
        for name, column in columns.items():
            copies = self.whole[name]
            self.address[:, column] = copies.ctypes.data + copies.itemsize * np.arange(len(steps))
        job, arrays = addresses(self.address, sizes, self.numbers), (self.address, sizes, self.numbers, room)
        length = np.array([w.numel() for w in weights])
        self.launches = [None if f is None else Launch(f, job, length, arrays) for f in found.functions]
        self.rounds: dict[int, list[Round | None]] = {}  # by threads

    def advance(self, steps: Sequence[TensorStep], threads: int) -> None:
        plan, lying = self.found.order, dict[str, Any]()  # name → a stack, or a tensor of each
        self.address[:, 0] = [step.tensors[0].data_ptr() for step in steps]
        self.numbers[:] = [step.numbers for step in steps]

        def put(name: str, each: Any) -> None:
            lying[name] = each
            self.address[:, self.rest[name]] = [x.data_ptr() for x in each]

        for name in map(str, plan.copies.values()):
            dtype = getattr(torch, self.found.forms[name]) if name in self.found.forms else self.dtype
            put(name, _scratch((len(steps), *_extent(plan.arrays[name], self.matrices[0])), dtype))
        for name, copies in self.whole.items():
            copies.fill(float(steps[0].tensors[self.models[name]]) if name in self.models else 0.0)
        for k, (name, shape) in enumerate(self.given if plan.multiplies else ()):
            if name not in self.models:
                lying[name] = [step.tensors[k].view(_extent(shape, self.matrices[0])) for step in steps]
        if threads not in self.rounds:
            self.rounds[threads] = [None if one is None else Round([one], threads) for one in self.launches]
        row: dict[Any, Any] = dict(zip(plan.program.passed, steps[0].numbers, strict=True))
        for turn, (loops, products) in zip(self.rounds[threads], plan.stages, strict=True):
            if turn is not None:
                turn.run()
            for name in (r.name for loop in loops for r in loop.results if r.name in plan.totals):
                self.whole[name].fill(self.whole[name].sum(dtype=np.float64))
            for product in products:
                each = (lying[str(a)] if a.is_Symbol else [x.mT for x in lying[str(a.args[0])]] for a in product.arrays)
                values = (float(row.get(number, number)) for number in product.numbers)
                put(product.name, _PRODUCTS[product.operation](*each, *values))
        for name, k in self.models.items():
            steps[0].tensors[k].fill_(float(self.whole[name][0]))


def _extent(shape: Shape, matrix: Sequence[int]) -> tuple[int, int]:
    size = {ONE: 1, ROWS: matrix[0], COLUMNS: matrix[1]}
    return size[shape.rows], size[shape.columns]


def _room(plan: Order, columns: Mapping[str, int], itemsize: int, sizes: np.ndarray, address: np.ndarray) -> np.ndarray:
    """Memory for what is one number per row, per column or per tensor; `address` gets where it lies."""
    each = {ROWS: sizes[:, 0], COLUMNS: sizes[:, 1], ONE: np.ones(len(sizes), dtype=np.int64)}
    counts = [each[plan.arrays[name].rows] * each[plan.arrays[name].columns] for name in columns]
    nbytes = -(-np.array(counts, dtype=np.int64).reshape(-1) * itemsize // 64) * 64  # a cache line has one thread
    room = np.empty(int(nbytes.sum()) + 64, dtype=np.uint8)
    starts = -(-room.ctypes.data // 64) * 64 + np.cumsum(nbytes) - nbytes
    address[:, [*columns.values()]] = starts.reshape(len(columns), len(sizes)).T
    return room


def _matmul(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> list[Tensor]:
    pairs = zip(xs, ys, strict=True)
    return [torch.mm(x, y, out=_scratch((x.shape[0], y.shape[1]), x.dtype)) for x, y in pairs]


def _orthogonal(x: Any, steps: float, a: float, b: float, c: float, eps: float, clamped: float, half: float) -> Any:
    """`tensor_ops.orthogonal` of a stack of matrices, (count, rows, columns), which is overwritten."""
    tall, side = x.shape[1] > x.shape[2], min(x.shape[1:])
    size = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
    x = x.div_(size.clamp_(min=eps) if clamped else size.add_(eps))
    other = _scratch(x.shape, x.dtype)
    gram, by = (_scratch((len(x), side, side), x.dtype) for _ in range(2))
    for _ in range(int(steps)):
        torch.bmm(*((x.mT, x) if tall else (x, x.mT)), out=gram)
        torch.baddbmm(gram, gram, gram, beta=b, alpha=c, out=by)
        torch.baddbmm(x, *((x, by) if tall else (by, x)), beta=a, out=other)
        x, other = other, x
    return x


_DTYPES = {torch.float32: "float32", torch.float64: "float64"}
_PRODUCTS: dict[Any, Callable[..., Any]] = {op.matmul: _matmul, op.orthogonal: _orthogonal}
