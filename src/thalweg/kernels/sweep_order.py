"""A formula that looks at whole tensors as loops over memory: what each has to compute, and in which order.

A mean or a norm has to be complete before what uses it can begin, and a product needs its arguments in memory. So every
value has a *level*, the number of such operations behind it, and what has one level and one shape is computed in one
loop. A value within a matrix is computed again, from what lies in memory, in every loop that uses it, because
arithmetic costs less than a further array; one number per row, per column or per tensor is written down.
`numba_tensors.py` prints the loops.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from ..formulas import operations as op
from ..formulas.equations import Equations, symbol
from ..formulas.rewriting import Assignment
from ..formulas.shapes import NUMBER, ONE, WEIGHT, Inference, Shape
from .lower import Program, lower

REDUCTIONS = (op.norm, op.mean, op.rms, op.dot, op.total, op.row_mean, op.column_mean)
SIZES = (op.rows, op.columns, op.resolution)
PRODUCTS = (op.matmul, op.orthogonal)  # by torch


class Uncovered(Exception):
    """A formula that needs something else than elementwise expressions and these operations."""


@dataclass(frozen=True)
class Result:
    """Something that a loop writes into memory.

    Attributes:
        name: of the array: of a state or the weight, or a name that starts with an underscore.
        value: what is written, or a reduction, of what is written.
    """

    name: str
    value: Any
    shape: Shape


@dataclass(frozen=True)
class Loop:
    """What is computed in one pass over arrays of one shape."""

    shape: Shape
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Product:
    """An operation of torch's: an array from others, or their transposes; `numbers` are passed or constant."""

    name: str
    operation: type[op.OperationBase]
    arrays: tuple[Any, ...]
    numbers: tuple[Any, ...]


def small(shape: Shape) -> bool:
    """Whether there is less of it than one number per weight."""
    return ONE in (shape.rows, shape.columns)


class Order:
    """The loops of a formula, where these guards hold.

    Attributes:
        arrays: the shape of everything in memory, by name: g, w, the states, and what is written on the way.
        values: the expressions that are computed where they are used.
        stages: lists of loops; behind all but the last come products, or totals over all tensors.
    """

    def __init__(self, equations: Equations, guards: Sequence[bool] = ()) -> None:
        self.program = program = lower(equations)
        self.arrays = {"g": WEIGHT, "w": WEIGHT, **{name: equations.shape(name) for name, _ in program.states}}
        self.shapes: dict[Any, Shape | None] = {**dict.fromkeys(program.passed, NUMBER)}
        self.shapes |= {symbol(name): shape for name, shape in self.arrays.items()}
        self.inference = Inference(equations.name, self.shapes)
        self.values: dict[Any, Any] = {}
        self.operations: dict[Any, Any] = {}
        self.copies: dict[Any, Any] = {}  # what is given to products
        self.level: dict[Any, int] = {}
        whole = _chosen(program, dict(zip(program.guards, guards, strict=True)))
        outputs = {"w": symbol("_w"), **dict(program.states)}
        for name, value in _live(whole, outputs.values()):
            self._define(name, self._pulled(value))
        moved = {name: new for name, new in outputs.items() if self._told(new) != symbol(name)}
        self.stages = self._stages(moved)

    @functools.cached_property
    def multiplies(self) -> bool:
        """Whether torch is needed between loops."""
        return any(products for _, products in self.stages)

    @functools.cached_property
    def totals(self) -> list[str]:
        """The names of sums over all tensors."""
        return [str(name) for value, name in self.operations.items() if isinstance(value, op.total)]

    def shape(self, value: Any) -> Shape:
        shape = self.inference.of(value)
        assert shape is not None
        return shape

    def known(self, name: Any, value: Any) -> Shape:
        """The shape of a value, which has this name from here on."""
        shape = self.shapes[name] = self.shape(value)
        return shape

    def _define(self, name: Any, value: Any) -> None:
        shape = self.known(name, value)
        self.values[name] = value
        self.level[name] = level = self._level(value)
        if small(shape) and level:  # what no operation is behind is computed wherever it is used
            self.arrays[str(name)], self.level[name] = shape, level + 1

    def _pulled(self, value: Any) -> Any:
        """`value` with every operation replaced by the name of its result."""
        if not value.has(op.OperationBase):
            return value
        value = value.func(*map(self._pulled, value.args))
        if not isinstance(value, op.OperationBase) or isinstance(value, SIZES):
            return value
        if isinstance(value, op.matmul) and self.shape(value.args[0]).columns == ONE:
            return value.args[0] * value.args[1]
        if isinstance(value, op.transpose):
            return value.func(self._in_memory(value.args[0]))
        if not isinstance(value, (*REDUCTIONS, *PRODUCTS)):
            raise Uncovered(type(value).__name__)
        if isinstance(value, op.orthogonal):  # what it is given is overwritten: a copy that nothing else reads
            value = value.func(self._copied(value.args[0], value), *value.args[1:])
        elif isinstance(value, PRODUCTS):
            value = value.func(*map(self._in_memory, value.args[: value.needs]), *value.args[value.needs :])
        if isinstance(value, op.total) and small(self.shape(value.args[0])):
            raise Uncovered("a total of what is not one number per weight")
        if value not in self.operations:
            name = self.operations[value] = sp.Symbol(f"_o{len(self.operations)}", real=True)
            self.arrays[str(name)], self.level[name] = self.known(name, value), self._level(value) + 1
        return self.operations[value]

    def _told(self, value: Any) -> Any:
        """What a name stands for, where that is an array or its transpose."""
        meant = self.values.get(value, value)
        known = meant != value and (meant.is_Symbol or isinstance(meant, op.transpose))
        return self._told(meant) if known else value

    def _in_memory(self, value: Any) -> Any:
        """The name of an array with this value, or its transpose."""
        value = self._told(value)
        if str(value) in self.arrays or isinstance(value, op.transpose):
            return value
        return self._copied(value, value)

    def _copied(self, value: Any, reader: Any) -> Any:
        """The name of an array with this value, a new one for each reader."""
        if reader not in self.copies:
            name = self.copies[reader] = sp.Symbol(f"_a{len(self.copies)}", real=True)
            self._define(name, self._told(value))
            self.arrays[str(name)] = self.shape(name)
        return self.copies[reader]

    def _level(self, value: Any) -> int:
        return max((self.level.get(s, 0) for s in value.free_symbols), default=0)

    def used(self, values: Sequence[Any]) -> list[Any]:
        """The names that are computed in a loop for these values, in order; those of arrays aside."""
        found: set[Any] = set()
        waiting = [s for value in values for s in value.free_symbols]
        while waiting:
            name = waiting.pop()
            if name in self.values and str(name) not in self.arrays and name not in found:
                found.add(name)
                waiting += self.values[name].free_symbols
        return [name for name in self.values if name in found]

    def read(self, values: Sequence[Any]) -> set[str]:
        """The arrays that a loop for these values reads."""
        each = [*values, *(self.values[name] for name in self.used(values))]
        if any(value.has(op.transpose) for value in each):
            raise Uncovered("a transpose among values")
        return {str(s) for value in each for s in value.free_symbols} & self.arrays.keys()

    def _stages(self, outputs: Mapping[str, Any]) -> list[tuple[list[Loop], list[Product]]]:
        """Every result at the level of what it is made of; a state and the weight where nothing reads the old one."""
        written = [(name, value) for value, name in self.operations.items() if isinstance(value, REDUCTIONS)]
        written += [(name, value) for name, value in self.values.items() if str(name) in self.arrays]
        results = [(self._level(value), self._result(str(name), value)) for name, value in written]
        moved = {name: self.level[new] for name, new in outputs.items()}
        last = max(*moved.values(), *(level for level, _ in results), 0)
        self._delay(results, moved, outputs)
        while True:
            at = [*results, *((moved[name], self._result(name, new)) for name, new in outputs.items())]
            readers = {name: [level for level, r in at if name in self.read([r.value])] for name in outputs}
            for value, product in self.operations.items():  # it comes behind the loops of the level before
                if isinstance(value, PRODUCTS):
                    for name in outputs.keys() & set(map(str, value.free_symbols)):
                        readers[name].append(self.level[product])
            later = {n: last + 1 if small(self.arrays[n]) else max(moved[n], *readers[n], 0) for n in outputs}
            if later == moved:
                return self._grouped(at)
            moved = later

    def _delay(self, results: list[tuple[int, Result]], moved: Mapping[str, int], outputs: Mapping[str, Any]) -> None:
        """Numbers as late as what waits for them allows: there, what their sums read is mostly read anyway."""
        for k in reversed(range(len(results))):
            level, result = results[k]
            if small(self.arrays[result.name]) and not isinstance(result.value, op.total):  # all tensors wait for those
                at = [*results, *((moved[name], self._result(name, new)) for name, new in outputs.items())]
                waiting = [other for other, r in at if result.name in self.read([r.value])]
                results[k] = max(level, min(waiting, default=1) - 1), result

    def _result(self, name: str, value: Any) -> Result:
        return Result(name, value, self.shape(sp.Mul(*value.args) if isinstance(value, REDUCTIONS) else value))

    def _grouped(self, results: Sequence[tuple[int, Result]]) -> list[tuple[list[Loop], list[Product]]]:
        stages: list[tuple[list[Loop], list[Product]]] = [([], [])]
        for level in range(1 + max(level for level, _ in results)):
            here = [r for at, r in results if at == level]
            for shape in dict.fromkeys(r.shape for r in here):
                stages[-1][0].append(Loop(shape, tuple(r for r in here if r.shape == shape)))
            stages[-1][1].extend(self._products(level))
            if stages[-1][1] or any(isinstance(r.value, op.total) for r in here):
                stages.append(([], []))
        return stages

    def _products(self, level: int) -> Iterator[Product]:
        for value, name in self.operations.items():
            if isinstance(value, PRODUCTS) and self.level[name] == level + 1:
                arrays, numbers = value.args[: value.needs], value.args[value.needs :]
                if not all(n.is_Number or n in self.program.passed for n in numbers):
                    raise Uncovered("a number that is computed")
                yield Product(str(name), type(value), arrays, numbers)


def _chosen(program: Program, guards: Mapping[Any, bool]) -> list[Assignment]:
    """The assignments where these guards hold, and that of the new weight."""
    told: dict[Any, Any] = {guard: sp.Integer(on) for guard, on in guards.items()}
    chosen = []
    for name, value in (*program.shared, (symbol("_w"), symbol("w") + program.step)):
        value = value.xreplace(told)
        if value in (sp.true, sp.false):
            told[name] = value
        chosen.append((name, value))
    return chosen


def _live(assignments: Sequence[Assignment], needed: Collection[Any]) -> list[Assignment]:
    """Those that are needed, in order."""
    wanted, live = set(needed), []
    for name, value in reversed(assignments):
        if name in wanted:
            wanted |= value.free_symbols
            live.append((name, value))
    return live[::-1]


@functools.cache
def order(equations: Equations, guards: tuple[bool, ...] = ()) -> Order | None:
    """None where a formula needs more than this."""
    try:
        return Order(equations, guards)
    except Uncovered:
        return None
