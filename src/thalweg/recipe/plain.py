"""A rule that torch.optim lacks as a class of plain PyTorch, printed from its formula.

Numbers of the step are Python's, in float64; what depends on tensors are torch operations, with the names that the
formula has. Each loop over the tensors computes what it needs and nothing else: one loop for each sum over the model,
and the last one for the step. Read next: `expressions.py`, which prints, and `recipe.py`, which puts the class into a
script.
"""

from __future__ import annotations

import builtins
import inspect
import itertools
import keyword
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from textwrap import fill, indent
from typing import Any

import sympy as sp

from ..formulas import Formula, operations, shapes
from ..formulas.equations import WEIGHT_ITSELF, Equations, symbol
from ..formulas.rewriting import in_order, in_terms_of_states
from ..kernels import tensor_ops
from ..kernels.lower import apart
from .expressions import Plain

# words of a formula that see a matrix; the others are of a tensor in any shape
_OF_MATRICES = tuple(
    getattr(operations, name)
    for name in operations.WORDS
    if name not in ("dot", "mean", "norm", "resolution", "rms", "total")
)
_SIZES = {shapes.ONE: "1", shapes.ROWS: "w.shape[-2]", shapes.COLUMNS: "w.shape[-1]"}
# what the text of a class calls its own
_TAKEN = re.compile(
    r"self|params|torch|p|each|group|state|trained|closure|sampled|due|before|model|after|loss|x\d+|new_\w+|"
    + "|".join(dir(builtins))
)


def class_of(formula: Formula, by_group: Collection[str] = ()) -> tuple[str, str] | None:
    """The name and the text of a class of torch.optim.Optimizer for a rule, behind the functions that it calls; None
    for one that has other forms for tensors of other shapes and, in these, sums over the model or two views of the
    weights, and for one with a name that the class uses for something else.

    Args:
        by_group: options that a parameter group may choose, too.
    """
    name = "".join(part.capitalize() for part in re.findall(r"[^\W_]+", formula.name))
    known = {*formula.hyperparameters, *formula.options, *formula.states}
    if not name.isidentifier() or keyword.iskeyword(name) or any(map(_TAKEN.fullmatch, known)):
        return None
    bodies = {(): _Body(formula.equations)} if not formula.by_shape else _of_shapes(formula)
    if formula.by_shape and any(body.totals or body.leads_away for body in bodies.values()):
        return None
    methods = _dispatch(formula, bodies, by_group) if formula.by_shape else _step(bodies[()])
    text = "\n".join([*_head(name, formula), *methods])
    names = set().union(*(body.print.copied for body in bodies.values()))
    called = names.union(*(getattr(tensor_ops, one).__code__.co_names for one in names)) & {*vars(tensor_ops)} - {
        "torch"
    }
    return name, "\n\n\n".join([*(copied(getattr(tensor_ops, one)) for one in sorted(called)), text])


def copied(function: Callable[..., Any]) -> str:
    """The text of a function that needs nothing but torch."""
    text = re.sub(r"\bTensor\b", "torch.Tensor", inspect.getsource(function)).rstrip()
    return re.sub(r"(: Any\b)|( -> [^:]*Any[^:]*(?=:\n))", "", text)


def _of_shapes(formula: Formula) -> dict[tuple[str, ...], _Body]:
    """The options that hold → the form, for each that a tensor may have; that of most options first."""
    asked = [name for name in formula.by_shape if formula.options[name]]
    each = sorted(itertools.product((True, False), repeat=len(asked)), key=sum, reverse=True)
    chosen = [dict(zip(asked, values, strict=True)) for values in each]
    vectors = {name for name, condition in formula.by_shape.items() if not _of_matrices(condition)}
    return {
        names: _Body(formula.form(**options).equations, vectors.issuperset(names))
        for options in chosen
        for names in [tuple(name for name, on in options.items() if on)]
    }


def _of_matrices(condition: str) -> bool:
    """Whether it surely holds for tensors of two axes or more alone."""
    return "axes > 1" in condition.split(" and ") and " or " not in condition


class _Body:
    """The assignments of one form of a rule.

    Attributes:
        new: state → the name of its new value, of the states that change.
        step: added to the weight.
        totals: the names of the sums over the model → what is summed of each tensor.
        vectors: whether tensors below two axes may come to it.
    """

    def __init__(self, equations: Equations, vectors: bool = True) -> None:
        self.equations, self.vectors = equations, vectors
        every = {name: sp.Symbol(f"new_{name}", real=True) for name in equations.state_names}
        values, step = in_terms_of_states(equations, tuple(every.values()))
        sums: dict[sp.Basic, sp.Symbol] = {}
        each = [apart(value, sums, "total") for value in (*values, step)]
        shared, reduced = sp.cse([*each, *sums], symbols=sp.numbered_symbols("x", real=True), order="none")
        states = dict(zip(every, reduced, strict=False))
        self.new = {name: new for name, new in every.items() if states[name] != symbol(name)}
        kept: dict[Any, Any] = {every[name]: symbol(name) for name in every if name not in self.new}
        assigned = [*shared, *((new, states[name]) for name, new in self.new.items())]
        self.step = reduced[len(every)].xreplace(kept)
        self.totals = dict(zip(sums.values(), reduced[len(every) + 1 :], strict=True))
        ordered = in_order([*((name, value.xreplace(kept)) for name, value in assigned), *self.totals.items()])
        self.assigned = [(name, value) for name, value in ordered if name not in self.totals]
        self.print = Plain(self._numbers())

    def _numbers(self) -> set[Any]:
        single = [symbol(name) for name in self.equations.single]
        known = {symbol(n) for n in ("t", "loss", *self.equations.hyperparameters)} | {*single}
        known |= {self.new[name] for name in self.equations.single if name in self.new}
        plain = Plain(known)
        for name, value in self.assigned:
            if plain.is_number(value):
                known.add(name)
        return known

    @property
    def leads_away(self) -> bool:
        """Whether its states say where the gradient is taken, or the loss evaluated, beside the weights."""
        return self.equations.at is not None or self.equations.shown is not None

    @property
    def moves_gradient(self) -> bool:
        return self.equations.at is not None or self.equations.again is not None

    @property
    def of_model(self) -> list[str]:
        """The states that are one number of the model."""
        return [name for name in self.equations.state_names if self.equations.shape(name) == shapes.MODEL]

    @property
    def own(self) -> list[str]:
        """The states of each tensor."""
        return [name for name in self.equations.state_names if name not in self.of_model]

    @property
    def matrix(self) -> bool:
        """Whether tensors have to be seen as matrices that they are not."""
        others = self.vectors or not self.equations.batched
        return others and any(e.has(*_OF_MATRICES) for e in self.equations.expressions)

    @property
    def counts(self) -> bool:
        read = self._behind([*self.new.values(), self.step, *self.totals])
        return (
            bool(self.equations.sampled)
            or symbol("t") in read
            or any(e is not None and symbol("t") in e.free_symbols for e in (self.equations.at, self.equations.shown))
        )

    def _behind(self, wanted: Sequence[Any]) -> set[Any]:
        """Every name that these need, sums over the model aside."""
        values, names = dict(self.assigned), set[Any]()
        rest = set().union(*(value.free_symbols for value in wanted)) if wanted else set()
        while rest:
            names |= rest
            rest = set().union(*(values[name].free_symbols for name in rest if name in values)) - names
        return names

    def lines(
        self, wanted: Sequence[Any], first: bool = True, before: bool = True, of: _Body | None = None
    ) -> Iterator[str]:
        """What comes before these in a loop over tensors.

        Args:
            first: whether a tensor may have no state yet.
            before: whether the step that t counts is still to come.
            of: the rule whose states begin here, where this is a part of it.
        """
        names, whole = self._behind(wanted), of or self
        if self.matrix:
            seen = "p" if self.equations.batched else "p.flatten(1)"
            yield f"w = {seen} if p.dim() > 1 else p.reshape(-1, 1)" if self.vectors else f"w = {seen}"
        if symbol("g") in names:
            yield "g = p.grad.reshape(w.shape)" if self.matrix else "g = w.grad"
        if self.own or self.counts:
            yield f"state = self.state[{self.parameter}]"
            if first:
                begun = [*["t=0"] * whole.counts, *(f"{n}={whole._initial(n)}" for n in whole.own)]
                yield f"if not state:\n{indent(_call('state.update', begun), '    ')}"
        yield from _unpacked("group", (n for n in self.equations.hyperparameters if symbol(n) in names))
        yield from _unpacked("state", (n for n in self.own if symbol(n) in names))
        if symbol("t") in names:
            yield f't = state["t"]{" + 1" * before}'
        for name, value in self.assigned:
            if name in names:
                copy = ".clone()" * (value in (symbol("g"), symbol("w")))
                yield f"{name} = {self.print.doprint(value)}{copy}"

    @property
    def parameter(self) -> str:
        return "p" if self.matrix else "w"

    def moved(self, way: Any) -> str:
        """The line that moves a tensor."""
        text = self.print.doprint(way)
        return f"p.copy_((w + {text}).view_as(p))" if self.matrix else f"w += {text}"

    def ended(self) -> Iterator[str]:
        """How a tensor's step ends."""
        yield self.moved(self.step)
        if changed := [*["t"] * self.counts, *(name for name in self.own if name in self.new)]:
            read = symbol("t") in self._behind([*self.new.values(), self.step])
            count = "t" if read else 'state["t"] + 1'
            each = [f"t={count}" if name == "t" else f"{name}={self.new[name]}" for name in changed]
            yield _call("state.update", each)

    def _initial(self, name: str) -> str:
        """A state of a tensor as it begins."""
        first, shape = dict(self.equations.initial)[name], self.equations.shape(name)
        value = f'group["{first}"]' if isinstance(first, str) else repr(float(first))
        if shape == shapes.NUMBER:
            return value
        if first == WEIGHT_ITSELF:
            return "w.clone()"
        if shape == shapes.WEIGHT:
            return "torch.zeros_like(w)" if first == 0 else f"torch.full_like(w, {value})"
        sizes = () if shape == shapes.TENSOR else (_SIZES[shape.rows], _SIZES[shape.columns])
        lead = ["*w.shape[:-2]"] * (self.equations.batched and bool(sizes))
        extent = ", ".join([*lead, *sizes])
        return f"w.new_full(({extent}), {value})"


def _unpacked(place: str, names: Iterator[str]) -> Iterator[str]:
    every = list(names)
    for each in (every[k : k + 4] for k in range(0, len(every), 4)):
        values = ", ".join(f'{place}["{name}"]' for name in each)
        yield f"{', '.join(each)} = {values}"


def _call(function: str, arguments: Sequence[str]) -> str:
    """A call, with an argument in each line where one line would be long."""
    line = f"{function}({', '.join(arguments)})"
    return line if len(line) <= 90 else "\n".join([f"{function}(", *(f"    {a}," for a in arguments), ")"])


def _head(name: str, formula: Formula) -> list[str]:
    numbers = formula.hyperparameters
    given = [n if n == "lr" else f"{n}={v!r}" for n, v in numbers.items()]
    kept = _call("dict", [f"{n}={n}" for n in numbers])
    said = (formula.doc.partition("\n")[0], formula.source and f"{formula.source}.")
    plain = " ".join(filter(None, said)).translate({ord('"'): "'", ord("\\"): " "})
    words = fill(plain or f"The rule {formula.name}.", 112)
    return [
        f"class {name}(torch.optim.Optimizer):",
        indent(f'"""{words}"""', "    "),
        "",
        indent(f"{_call('def __init__', ['self', 'params', *given])}:", "    "),
        indent(f"super().__init__(params, {kept})", " " * 8),
        "",
    ]


_EACH = 'each = [(w, group) for group in self.param_groups for w in group["params"]{}]'
_GIVEN = _EACH.format(" if w.grad is not None")


def _loop(lines: Sequence[str] | Iterator[str], parameter: str = "w") -> list[str]:
    return [f"for {parameter}, group in each:", *(indent(line, "    ") for line in lines)]


def _method(name: str, lines: Sequence[str] | Iterator[str]) -> list[str]:
    return ["    @torch.no_grad()", f"    def {name}:", *(indent(line, " " * 8) for line in lines)]


def _step(body: _Body) -> list[str]:
    """The methods of a rule that has one form for all tensors."""
    closure = body.moves_gradient or symbol("loss") in body._behind([*body.new.values(), body.step])
    sampled = bool(body.equations.sampled)
    inner = list(_at_the_loss(body)) if closure else [_GIVEN]
    inner = [*_estimated(body), *inner] if sampled else inner
    if body.equations.shown is not None:
        check = 'if any("trained" in state for state in self.state.values()):'
        inner.insert(0, f'{check}\n    raise RuntimeError("call train() before step()")')
    if body.of_model:
        inner += [*_of_model(body), "after = {}"]
    inner += _summed(body)
    changed = [name for name in body.of_model if name in body.new]
    kept = f"after = after or dict({', '.join(f'{n}={body.new[n]}' for n in changed)})"
    each = body.lines([body.step, *body.new.values()], first=not body.totals)
    inner += _loop([*each, *body.ended(), *[kept] * bool(changed)], body.parameter)
    inner += ["model.update(after)"] * bool(changed) + ["return loss"] * closure
    text = _method(f"step(self{', closure' * closure}{', sampled' * sampled})", inner)
    return text if body.equations.shown is None else [*text, "", *_views(body)]


def _estimated(body: _Body) -> Iterator[str]:
    """The states that a gradient on sampled targets gives, of the parameters whose next step takes one."""
    assert body.equations.estimate is not None
    estimate, every = _Body(body.equations.estimate), body.equations.every
    new = [f"{name}={value}" for name, value in estimate.new.items()]
    lines = [*estimate.lines([*estimate.new.values()], of=body), _call("state.update", new)]
    yield from [
        'due = [(w, group, w.grad) for group in self.param_groups for w in group["params"]]',
        f'due = [(w, *rest) for w, *rest in due if self.state[w].get("t", 0) % {every} == 0]',
        *("if due:", "    with torch.enable_grad():", "        sampled()"),
        *("for w, group, before in due:", "    if w.grad is not None:"),
        *(indent(line, " " * 8) for line in lines),
        "    w.grad = before",
    ]


def _at_the_loss(body: _Body) -> Iterator[str]:
    """The loss and its gradient, where the rule wants them; then the parameters that have one."""
    if (at := body.equations.at) is not None:
        yield from [_EACH.format(""), "trained = [(w, w.clone()) for w, _ in each]"]
        yield from _loop([*body.lines([at]), body.moved(at)], body.parameter)
    yield from ["with torch.enable_grad():", "    loss = closure().item()", _GIVEN]
    if (second := body.equations.second) is not None:
        further = _Body(second)
        yield from ["trained = [(w, w.clone()) for w, _ in each]"] if at is None else []
        yield from _summed(further)
        moved = [*further.lines([further.step]), further.moved(further.step)]
        yield from [*_loop(moved, further.parameter), "with torch.enable_grad():", "    closure()"]
    if body.moves_gradient:
        yield from ["for w, before in trained:", "    w.copy_(before)"]


def _summed(body: _Body) -> Iterator[str]:
    """A loop for each sum over the model."""
    for count, (name, value) in enumerate(body.totals.items()):
        added = f"{name} = {name} + {body.print.doprint(value)}"
        yield from [f"{name} = 0", *_loop([*body.lines([value], first=count == 0), added], body.parameter)]


def _of_model(body: _Body) -> Iterator[str]:
    """The states that are one number of the model lie in the first group."""
    first = dict(body.equations.initial)
    yield "model = self.param_groups[0]"
    for name in body.of_model:
        value = f'model["{first[name]}"]' if isinstance(first[name], str) else repr(float(first[name]))
        begun = f"torch.tensor({value}, dtype=torch.float64, device=each[0][0].device)"
        yield f'{name} = model.setdefault("{name}", {begun})'


def _views(body: _Body) -> list[str]:
    """Methods that put the weights that are evaluated in the place of those that are trained, and back."""
    shown = body.equations.shown
    lines = [*body.lines([shown], first=False, before=False), f'state["trained"] = {body.parameter}.clone()']
    moved = _loop([*lines, body.moved(shown)], body.parameter)
    there = ["self.train()", _EACH.format(" if self.state[w]"), *moved]
    back = [_EACH.format(' if "trained" in self.state[w]'), *_loop(['w.copy_(self.state[w].pop("trained"))'])]
    return [*_method("eval(self)", there), "", *_method("train(self)", back)]


def _dispatch(formula: Formula, bodies: dict[tuple[str, ...], _Body], by_group: Collection[str]) -> list[str]:
    """The methods of a rule that has a form of its own for some tensors."""
    batched, options = formula.equations.batched, {name: repr(value) for name, value in formula.options.items()}
    of_matrices = ("w.shape[-2]", "w.shape[-1]") if batched else ("w.shape[0]", "w[0].numel()")
    sides = "w.shape[-2:]" if batched else "w.shape"
    of_any = (f"{sides}[:1].numel()", f"{sides}[1:].numel()")

    def asked(name: str) -> str:
        condition = formula.by_shape[name]
        rows, columns = of_matrices if _of_matrices(condition) else of_any
        words = {"axes": "w.dim()", "rows": rows, "columns": columns, **options}
        chosen = f'group.get("{name}", True) and ' * (name in by_group)
        return chosen + re.sub(r"\w+", lambda word: words.get(word[0], word[0]), condition)

    chosen, text = [], []
    for names, body in bodies.items():
        method = "_and_".join(names) or "rest"
        condition = " and ".join(dict.fromkeys(part for n in names for part in asked(n).split(" and ")))
        keyword = "else" if not names and len(bodies) > 1 else f"{'elif' if chosen else 'if'} {condition or True}"
        chosen += [f"{keyword}:", f"    self.{method}(w, group)"]
        lines = [*body.lines([body.step, *body.new.values()]), *body.ended()]
        text += ["", f"    def {method}(self, {body.parameter}, group):"]
        text += [indent(line, " " * 8) for line in lines]
    first = next(iter(bodies.values()))
    if not first.moves_gradient:
        return [*_method("step(self)", [_GIVEN, *_loop(chosen)]), *text]
    return [*_method("step(self, closure)", [*_at_the_loss(first), *_loop(chosen), "return loss"]), *text]
