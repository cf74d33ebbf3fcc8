"""A surface: a function to go down, and its bounds, minima and start.

Most are a SymPy expression, from which come the compiled gradient, the Hessian and the LaTeX. A Python function in
torch operations is one as well: torch.func differentiates it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from ..calculus import Function, Gradient, gradient, hessian
from ..calculus.points import sides
from ..errors import ExpressionError, SurfaceError
from ..typeset import Typeset
from .slopes import derivatives, is_short

if TYPE_CHECKING:
    from torch import Tensor

SPAN = 5.0  # a surface without bounds is drawn from −SPAN to SPAN


@dataclass(frozen=True, eq=False)
class Surface(Typeset):
    """A function of one or more variables, to descend.

    Made by `tw.landscapes.get` and `tw.landscapes.surface`.

    Attributes:
        name: as `tw.landscapes.get` knows it, or the expression as `tw.function` writes it.
        variables: their names, in the order of a point's coordinates.
        bounds: for each variable, from where to where it is drawn.
        minima: local minima known, each a point, the lowest first; not always all there are.
        start: a point from which going down shows something.
        source: where it comes from.
        expression: in `symbols`; None for a function of your own.

    >>> import thalweg as tw
    >>> bowl = tw.landscapes.get("quadratic(condition=10)")
    >>> bowl([1.0, 1.0]), bowl.gradient([1.0, 1.0])
    (array(5.5), array([ 1., 10.]))
    """

    name: str
    variables: tuple[str, ...]
    bounds: tuple[tuple[float, float], ...]
    minima: tuple[tuple[float, ...], ...] = ()
    start: tuple[float, ...] = ()
    source: str = ""
    expression: Any = field(default=None, repr=False)
    function: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)

    @property
    def dimensions(self) -> int:
        return len(self.variables)

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The variables as the expression has them."""
        return tuple(sp.Symbol(name, real=True) for name in self.variables)

    def within(self, bounds: Any) -> Surface:
        """The same surface, drawn and searched between other bounds.

        Args:
            bounds: (low, high) of all variables, or one such pair for each; None leaves the surface's own.

        Raises:
            SurfaceError: something else, or a low end that is not below its high one.

        >>> import thalweg as tw
        >>> tw.landscapes.surface("x^2").within((-3, 4)).bounds
        ((-3.0, 4.0),)
        """
        if bounds is None:
            return self
        try:
            return replace(self, bounds=sides(bounds, self.variables, self.name))
        except ExpressionError as error:
            raise SurfaceError(str(error)) from error

    @functools.cached_property
    def is_compiled(self) -> bool:
        """Whether values and gradients come from one compiled loop."""
        return self.expression is not None and is_short(self.expression, self.symbols)

    @functools.cached_property
    def _rules(self) -> Gradient:
        return gradient(Function(self.expression, self.variables))

    def __call__(self, points: Any) -> np.ndarray:
        """The values at points (…, dimensions), shaped (…)."""
        return self.evaluate(points)[0]

    def gradient(self, points: Any) -> np.ndarray:
        """The gradients at points (…, dimensions), shaped like them."""
        return self.evaluate(points)[1]

    def evaluate(self, points: Any) -> tuple[np.ndarray, np.ndarray]:
        """Values (…) and gradients (…, dimensions) at points (…, dimensions), float64.

        Raises:
            SurfaceError: points of another number of coordinates.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.shape[-1:] != (self.dimensions,):
            raise SurfaceError(
                "points of shape {shape} do not lie on {name}, which has {dimensions} variable{s}; the "
                "last axis must have as many coordinates.",
                shape=points.shape,
                name=self.name,
                dimensions=self.dimensions,
                s="s" * (self.dimensions > 1),
            )
        flat = points.reshape(-1, self.dimensions)
        losses, gradients = self._at(flat) if len(flat) else (np.empty(0), np.empty_like(flat))
        return losses.reshape(points.shape[:-1]), gradients.reshape(points.shape)

    def _at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        if self.is_compiled:
            from . import compiled  # needs Numba

            return compiled.evaluate(self.expression, self.symbols, points, torch.get_num_threads())
        if self.function is None:
            return self._rules.function(*points.T), self._rules(*points.T)
        batched = torch.func.vmap(torch.func.grad_and_value(self.function))
        gradients, losses = batched(torch.from_numpy(np.ascontiguousarray(points)))
        return losses.numpy(), gradients.numpy()

    def hessian(self, point: Sequence[float]) -> np.ndarray:
        """The second derivatives at one point, (dimensions, dimensions); NaN where there are none."""
        if self.function is not None:
            import torch

            second = torch.func.jacrev(torch.func.grad(self.function))
            return second(torch.tensor(point, dtype=torch.float64)).numpy()
        if not self.is_compiled:
            return np.asarray(hessian(self._rules.function)(*map(float, point)), dtype=np.float64)
        slopes = derivatives(self.expression, self.symbols)
        at = dict(zip(self.symbols, map(float, point), strict=True))
        second = sp.Matrix(slopes).jacobian(self.symbols).subs(at).evalf()
        return np.array(second.applyfunc(lambda v: v if v.is_Float or v.is_Rational else sp.nan), dtype=np.float64)

    def latex(self) -> str:
        """The expression as LaTeX; the name of a function of your own.

        >>> import thalweg as tw
        >>> tw.landscapes.get("saddle").latex()
        'x^{2} - y^{2}'
        """
        return rf"\text{{{self.name}}}" if self.expression is None else sp.latex(self.expression)

    def __str__(self) -> str:
        return self.name


def of_expression(expression: Any, name: str = "", variables: tuple[str, ...] | None = None, **fields: Any) -> Surface:
    """A surface of a SymPy expression; its variables in the order of their names unless given."""
    free = sorted(expression.free_symbols, key=str)
    names = tuple(map(str, free))
    if not (variables or free):
        raise SurfaceError(
            "{formula} has no variable to go down along; write it in x, or in x and y.", formula=expression
        )
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise SurfaceError(
            "{expression} has two variables named {twice}; give each a name of its own.",
            expression=expression,
            twice=twice,
        )
    real = {symbol: sp.Symbol(str(symbol), real=True) for symbol in free}
    order = variables or names
    fields = {"bounds": ((-SPAN, SPAN),) * len(order)} | fields
    expression = expression.xreplace(real)
    return Surface(name or str(Function(expression, order)), order, expression=expression, **fields)


def of_function(
    function: Callable[..., Any], dimensions: int | None, names: Sequence[str] = (), **fields: Any
) -> Surface:
    """A surface of a Python function in torch operations: f(point), or f(x, y) of one number per variable."""
    name = getattr(function, "__name__", type(function).__name__)
    names = names or _parameters(function, name)
    several = len(names) > 1
    if several and dimensions not in (None, len(names)):
        count = len(names)
        raise SurfaceError(
            "{name} takes {count} numbers, and a point of {given} was given; they must agree.",
            name=name,
            count=count,
            given=dimensions,
        )
    count = len(names) if several else dimensions or 1
    variables = tuple(names) if several else tuple(f"w{k}" for k in range(count)) if count > 1 else ("x",)

    def checked(point: Tensor) -> Tensor:
        try:
            value = function(*point) if several else function(point)
        except Exception as error:  # whatever a user's function may raise
            reason = f"{name} cannot be evaluated on tensors ({error})"
            raise SurfaceError("{reason}; write it in torch operations.", reason=reason) from error
        if not hasattr(value, "numel") or value.numel() != 1:
            shape = getattr(value, "shape", None)
            kind = type(value).__name__ if shape is None else f"a tensor of shape {tuple(shape)}"
            raise SurfaceError("{name} must give one number for one point, not {kind}.", name=name, kind=kind)
        return value.reshape(())

    fields = {"bounds": ((-SPAN, SPAN),) * count} | fields
    return Surface(name, variables, function=checked, **fields)


def _parameters(function: Callable[..., Any], name: str) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin: one point
        return ["point"]
    names = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if not names:
        raise SurfaceError("{name} takes no point; write it as a function of a tensor, or of x and y.", name=name)
    return names
