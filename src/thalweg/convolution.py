"""Convolution and cross-correlation, of sequences, images and functions, and what happens at each place.

    convolution        (f∗g)(t) = Σᵢ f(i)·g(t − i)     the kernel is flipped, then slid
    cross-correlation  (f⋆g)(t) = Σᵢ f(i)·g(i − t)     it is not flipped: what networks call a convolution

For functions the sum is an integral over τ. Sums go through torch's convolutions, integrals through SciPy's adaptive
quadrature; `Convolution.picture` shows the kernel on its way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from .arguments import one_of
from .errors import UsageError
from .language import Word, mark, say

if TYPE_CHECKING:
    import plotly.graph_objects as go

MODES = ("convolution", "cross-correlation")
PerAxis = int | Sequence[int]
_TOLERANCE = 1e-7
_EXACT = 2**53  # whole numbers up to here are exact in float64
_MOST = 10**8  # zeros or strides along an axis, and numbers of the signal with its zeros


@dataclass(frozen=True, eq=False)
class Convolution:
    """A kernel slid over a signal, and what came of it; an array wherever NumPy wants one.

    Attributes:
        signal: (n,) or (height, width), with channels before them: (channels, …).
        kernel: (k,) or (rows, columns); with channels (channels, …), or (outputs, channels, …).
        mode: "convolution" or "cross-correlation".
        stride: along each axis.
        padding: (zeros before, zeros after) along each axis.
        values: what came out, (…,) or (outputs, …); per axis ⌊(n + before + after − k) / stride⌋ + 1.
    """

    signal: np.ndarray
    kernel: np.ndarray
    mode: str
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    values: np.ndarray

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    @property
    def padded(self) -> np.ndarray:
        """The signal with its zeros."""
        bare = self.signal.ndim - len(self.stride)
        return np.pad(self.signal, ((0, 0),) * bare + self.padding)

    @property
    def slid(self) -> np.ndarray:
        """The kernel that lies on the signal: flipped along each axis for a convolution."""
        return _flipped(self.kernel, self.mode, len(self.stride))

    def at(self, *place: int) -> tuple[np.ndarray, np.ndarray]:
        """(what lies under the kernel, its products with the kernel) for one value: the products' sum is that value.

        Args:
            place: the index of the value along each axis; before it the output, where there are several.

        >>> import thalweg as tw
        >>> slid = tw.convolve([1, 2, 3, 4], [1, 0, -1])
        >>> slid.at(1), slid.values[1]
        ((array([2, 3, 4]), array([-2,  0,  4])), np.int64(2))
        """
        if len(place) != self.values.ndim:
            raise UsageError(
                "the place {place} has {count} numbers; the values have shape {shape}.",
                place=place,
                count=len(place),
                shape=self.values.shape,
            )
        axes = len(self.stride)
        steps = zip(place[-axes:], self.stride, self.kernel.shape[-axes:], strict=True)
        under = self.padded[(..., *(slice(i * s, i * s + k) for i, s, k in steps))]
        return under, under * self.slid[place[:-axes]]

    def picture(self) -> go.Figure:
        """The kernel sliding over the signal, with a button that plays it; of channels, the sum over them.

        Raises:
            UsageError: there are several outputs, or more channels than can be told apart; make a picture of each.
        """
        from .pictures.convolution import CHANNELS, sliding_image, sliding_line

        axes, values, slid = len(self.stride), self.values, self.slid
        if values.ndim > axes:
            if len(values) > 1:
                raise UsageError(
                    "the kernel has {count} outputs and a picture shows one; convolve with kernel[:1], say.",
                    count=len(values),
                )
            values, slid = values[0], slid[0]
        planes, kernels = (part if self.signal.ndim > axes else part[None] for part in (self.padded, slid))
        count = len(planes)
        if count > CHANNELS:
            raise UsageError(
                "a picture shows at most {most} channels, and there are {count}; convolve some of them.",
                most=CHANNELS,
                count=count,
            )
        if self.signal.ndim == 1:
            return sliding_line(self)
        if axes == 2:
            return sliding_image(planes, kernels, values, self.stride, self.padding, self.mode)
        stride, padding = (1, *self.stride), ((0, 0), *self.padding)  # a sequence of channels: images of one row
        return sliding_image(planes[:, None], kernels[:, None], values[None], stride, padding, self.mode)


@dataclass(frozen=True, eq=False)
class ContinuousConvolution:
    """Two functions, one slid over the other; an array wherever NumPy wants one.

    Attributes:
        f, g: of an array, giving an array.
        names: what they are called; empty for one without a name.
        mode: "convolution" or "cross-correlation".
        at: (points,) the shifts t.
        over: between what τ goes.
        values: (points,) the integrals.
        error: an upper estimate of how far the values are off.
    """

    f: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    g: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    names: tuple[str, str]
    mode: str
    at: np.ndarray
    over: tuple[float, float]
    values: np.ndarray
    error: float

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    def picture(self, frames: int = 60) -> go.Figure:
        """g sliding over f, their product, and the integral drawn as far as it has come.

        Args:
            frames: how many shifts are shown; spread evenly over `at`.
        """
        from .pictures.convolution import sliding_function

        return sliding_function(self, frames)


def convolve(
    signal: Any,
    kernel: Any,
    mode: str = "convolution",
    stride: PerAxis = 1,
    padding: PerAxis | str = 0,
    at: Any = None,
    over: tuple[float, float] = (-np.inf, np.inf),
) -> Convolution | ContinuousConvolution:
    """Slide a kernel over a signal: of numbers in one or two dimensions, or of functions.

    With zeros for padding, per axis: (f∗g)(t) = Σᵢ f(i)·g(t − i), (f⋆g)(t) = Σᵢ f(i)·g(i − t).

    Args:
        signal: (n,) or (height, width) numbers, or (channels, n) and (channels, height, width) with a kernel that
            has channels too; or a function: a callable of arrays, a text such as "exp(-x**2)", a SymPy expression.
        kernel: (k,) or (rows, columns); (outputs, channels, k) or (outputs, channels, rows, columns), or, over an
            image of channels, (channels, rows, columns) for a single output; or a function. A 1×1 convolution is a
            kernel (outputs, channels, 1, 1).
        mode: "convolution" flips the kernel, "cross-correlation" does not, as in networks.
        stride: how far the kernel moves at a time, one number or one per axis.
        padding: zeros around the signal, one number or one per axis; "valid" is none, "full" as many as let the
            kernel touch the signal with one element, "same" as many as give as many values as the signal has at
            stride 1: the middle of "full", as in NumPy and SciPy.
        at: for functions: the values of t; by default 201 from −5 to 5.
        over: for functions: between which bounds τ goes.

    Whole numbers stay whole; other numbers are taken as float64.

    Raises:
        UsageError: shapes that do not fit, or an integral that does not converge.

    >>> import thalweg as tw
    >>> tw.convolve([1, 2, 3, 4], [1, 0, -1]).values
    array([2, 2])
    >>> tw.convolve([1, 2, 3, 4], [1, 0, -1], mode="cross-correlation", padding="same").values
    array([-2, -2, -2,  3])
    >>> bell = lambda x: np.exp(-x**2 / 2) / np.sqrt(2 * np.pi)
    >>> tw.convolve(bell, bell, at=[0.0]).values.round(6), round(1 / np.sqrt(4 * np.pi), 6)
    (array([0.282095]), np.float64(0.282095))
    """
    one_of(MODES)(say("the mode"), mode, UsageError)
    functions = [callable(one) or isinstance(one, str | sp.Expr) for one in (signal, kernel)]
    if all(functions):
        if stride != 1 or padding != 0:
            raise UsageError("stride= and padding= are for numbers; leave them out for two functions.")
        return _continuous(signal, kernel, mode, at, over)
    if any(functions):
        texts = [repr(one) for one in (signal, kernel) if isinstance(one, str)]
        raise UsageError(
            "{text} is read as a function, and the other as numbers; give two functions, or numbers for both, e.g. "
            "1,2,3.",
            text=texts[0] if texts else mark("one of the two"),
        )
    if at is not None:
        raise UsageError("at= is for functions; numbers have a value at each place.")
    return _discrete(_numbers(signal, mark("signal")), _numbers(kernel, mark("kernel")), mode, stride, padding)


def _numbers(data: Any, what: Word) -> np.ndarray:
    try:
        array = np.asarray(data.detach().cpu() if hasattr(data, "detach") else data)
    except ValueError as error:
        raise UsageError(
            "the {what} is not an array ({reason}); its rows must be equally long.", what=what, reason=error
        ) from error
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise UsageError(
            "the {what} is of {type}, shape {shape}; give real numbers, at least one.",
            what=what,
            type=array.dtype,
            shape=array.shape,
        )
    return array.astype(np.float64 if array.dtype.kind == "f" else np.int64)


def _discrete(
    signal: np.ndarray, kernel: np.ndarray, mode: str, stride: PerAxis, padding: PerAxis | str
) -> Convolution:
    import torch

    axes, planes, filters = _with_channels(signal, kernel)
    lengths, sizes = planes.shape[1:], filters.shape[2:]
    steps, zeros = _per_axis(stride, axes, mark("stride"), least=1), _zeros(padding, sizes, axes)
    for n, k, (before, after) in zip(lengths, sizes, zeros, strict=True):
        if (room := n + before + after) < k:
            raise UsageError(
                "a kernel of {size} is longer than the {room} elements; give a shorter one, or padding='full'.",
                size=k,
                room=room,
            )
    rooms = [n + before + after for n, (before, after) in zip(lengths, zeros, strict=True)]
    if (count := len(planes) * math.prod(rooms)) > _MOST:
        raise UsageError(
            "the signal with its zeros would have {count:,} numbers; at most {most:,} are allowed, give less.",
            count=count,
            most=_MOST,
        )
    weights = np.array(_flipped(filters, mode, axes), dtype=np.float64, order="C")  # torch lacks negative strides
    padded = np.pad(planes, ((0, 0), *zeros)).astype(np.float64)
    slide = torch.nn.functional.conv1d if axes == 1 else torch.nn.functional.conv2d
    values = slide(torch.from_numpy(padded)[None], torch.from_numpy(weights), stride=steps)[0].numpy()
    if signal.dtype == kernel.dtype == np.int64:
        most = np.abs(padded).max() * np.abs(weights).sum(axis=tuple(range(1, weights.ndim))).max()
        if most >= _EXACT:
            raise UsageError("the whole numbers are too large to be added up exactly; give them as floats.")
        values = np.rint(values).astype(np.int64)
    return Convolution(signal, kernel, mode, steps, zeros, values[0] if kernel.ndim < filters.ndim else values)


def _with_channels(signal: np.ndarray, kernel: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """(axes, signal (channels, …), kernel (outputs, channels, …))."""
    pair = signal.ndim, kernel.ndim
    if pair in ((1, 1), (2, 2)):
        return signal.ndim, signal[None], kernel[None, None]
    if pair in ((2, 3), (3, 4), (3, 3)):
        filters = kernel if kernel.ndim > signal.ndim else kernel[None]
        if filters.shape[1] != signal.shape[0]:
            raise UsageError(
                "the signal has {channels} channels and the kernel {others} (shapes {signal} and {kernel}); they "
                "must have as many.",
                channels=signal.shape[0],
                others=filters.shape[1],
                signal=signal.shape,
                kernel=kernel.shape,
            )
        return signal.ndim - 1, signal, filters
    raise UsageError(
        "a signal of shape {signal} and a kernel of shape {kernel} do not fit: give (n,) and (k,), (height, width) "
        "and (rows, columns), or (channels, …) and (outputs, channels, …).",
        signal=signal.shape,
        kernel=kernel.shape,
    )


def _flipped(kernel: np.ndarray, mode: str, axes: int) -> np.ndarray:
    return np.flip(kernel, tuple(range(kernel.ndim - axes, kernel.ndim))) if mode == "convolution" else kernel


PADDINGS: dict[str, Callable[[int], tuple[int, int]]] = {  # k → zeros before and after
    "valid": lambda k: (0, 0),
    "same": lambda k: (k // 2, (k - 1) // 2),
    "full": lambda k: (k - 1, k - 1),
}


def _zeros(padding: PerAxis | str, sizes: Sequence[int], axes: int) -> tuple[tuple[int, int], ...]:
    if not isinstance(padding, str):
        return tuple((n, n) for n in _per_axis(padding, axes, mark("padding"), least=0))
    if padding not in PADDINGS:
        raise UsageError(
            "the padding is {padding}; give a number of zeros, or {names}.",
            padding=repr(padding),
            names=", ".join(PADDINGS),
        )
    return tuple(map(PADDINGS[padding], sizes))


def _per_axis(value: PerAxis, axes: int, what: Word, least: int) -> tuple[int, ...]:
    numbers: Any = tuple(value) if isinstance(value, list | tuple) else (value,) * axes
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) and least <= n <= _MOST for n in numbers)
    if len(numbers) != axes or not whole:
        raise UsageError(
            "the {what} is {value}; give a whole number from {least} to {most:,}, or one for each of {axes} axes.",
            what=what,
            value=repr(value),
            least=least,
            most=_MOST,
            axes=axes,
        )
    return tuple(map(int, numbers))


def _continuous(f: Any, g: Any, mode: str, at: Any, over: tuple[float, float]) -> ContinuousConvolution:
    from scipy.integrate import quad_vec

    points = np.linspace(-5, 5, 201) if at is None else np.atleast_1d(np.asarray(at, dtype=np.float64))
    if points.ndim != 1 or not np.isfinite(points).all():
        raise UsageError("at= must be finite numbers in a row, the values of t.")
    low, high = map(float, over)
    if not low < high:
        raise UsageError("over= is {bounds}; give two bounds, the lower first.", bounds=over)
    (first, name), (second, other) = _function(f), _function(g)

    def product(tau: float) -> np.ndarray:
        shifted = points - tau if mode == "convolution" else tau - points
        return first(np.asarray(tau)) * second(shifted)

    options = {"epsabs": _TOLERANCE, "epsrel": _TOLERANCE, "norm": "max", "limit": 20_000}
    with np.errstate(all="ignore"):
        values, error = quad_vec(product, low, high, **options)[:2]
    scale = max(1.0, float(np.abs(values).max()))
    if not np.isfinite(values).all() or error > 1e4 * _TOLERANCE * scale:
        raise UsageError(
            "the integral of {f} and {g} over ({low:g}, {high:g}) does not converge; give over= bounds between "
            "which it does, or functions that fall off.",
            f=name or "f",
            g=other or "g",
            low=low,
            high=high,
        )
    return ContinuousConvolution(first, second, (name, other), mode, points, (low, high), values, float(error))


def _function(source: Any) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """A function of one array, and its name; empty for a lambda."""
    if isinstance(source, str | sp.Expr):
        from .calculus import function

        source = function(source)
        names = source.variables
        if len(names) != 1:
            raise UsageError(
                "{f} has {count} variables ({names}); give a function of one.",
                f=source,
                count=len(names),
                names=", ".join(names),
            )
        name = str(source)
    else:
        name = getattr(source, "__name__", type(source).__name__)

    def values(x: np.ndarray) -> np.ndarray:
        try:
            return np.broadcast_to(np.asarray(source(x), dtype=np.float64), np.shape(x))
        except (TypeError, ValueError) as error:
            raise UsageError(
                "{f} cannot be evaluated on an array ({reason}); write it in NumPy's functions, np.where for if.",
                f=name,
                reason=error,
            ) from error

    return values, "" if name == "<lambda>" else name
