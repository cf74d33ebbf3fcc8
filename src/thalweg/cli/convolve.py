"""`thalweg convolve`: a kernel slid over a signal, each sum written out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..language import Word, mark, say
from .arrays import FORM, array_of, written
from .listing import columns, print_table
from .options import Everything
from .result import bounds_of, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..convolution import ContinuousConvolution, Convolution

EXAMPLE = 'Example: thalweg convolve "1,2,3" "0,1,0.5" --padding full -o convolution.html'
MOST = 12  # values along an axis of what is printed
TERMS = 5  # products of a sum that is written out
_NUMBERS = re.compile(r"([\d\s./eE+-]|nan|inf)+|[^()]*[,;].*")  # no formula has a comma before its parentheses


def convolve(
    signal: Annotated[str, typer.Argument(help=f"{FORM[0].upper()}{FORM[1:]}; or a formula, e.g. 'exp(-x^2)'.")],
    kernel: Annotated[str, typer.Argument(help="The same. With channels, (outputs, channels, …) in a .npy file.")],
    cross_correlation: Annotated[
        bool, typer.Option("--cross-correlation", help="Do not flip the kernel, as in networks.")
    ] = False,
    stride: Annotated[str, typer.Option(help="How far the kernel moves at a time, one number or one per axis.")] = "1",
    padding: Annotated[str, typer.Option(help="Zeros around the signal, as stride; or valid, same or full.")] = "0",
    at: Annotated[str | None, typer.Option(help="Of formulas: the values of t, e.g. 0,1,2.")] = None,
    over: Annotated[str | None, typer.Option(help="Of formulas: between which bounds to integrate, e.g. 0:5.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Draw the kernel on its way into this .html, .png, .svg, .gif or .mp4."),
    ] = None,
    json: Everything = False,
) -> None:
    """Convolve a signal with a kernel, in one dimension or two, or a function with another; write out each sum."""
    from ..convolution import ContinuousConvolution
    from ..convolution import convolve as slide
    from .picture import MOVING, check_picture, write_picture

    check_picture(output, MOVING)
    still, moving = _operand(signal, mark("signal")), _operand(kernel, mark("kernel"))
    mode = "cross-correlation" if cross_correlation else "convolution"
    further: dict[str, Any] = {} if at is None else {"at": array_of(at, mark("list of t")).ravel()}
    if over is not None:
        further["over"] = _ends(over)
    result = slide(
        still, moving, mode, _per_axis(stride, mark("stride")), _per_axis(padding, mark("padding")), **further
    )
    write_picture(output, result.picture)
    if json:
        facts = {"mode": result.mode, "values": result.values}
        more = {"at": result.at, "error": result.error} if isinstance(result, ContinuousConvolution) else {}
        print_json(facts | more, indent=None)
    elif output is not None:
        print(output)
    elif isinstance(result, ContinuousConvolution):
        _print_integrals(result)
    else:
        _print_sums(result)


def _operand(text: str, what: Word) -> Any:
    """Numbers; or a formula, which is left as it is written."""
    file = Path(text).suffix.lower() in (".npy", ".csv", ".png")
    return array_of(text, what) if file or _NUMBERS.fullmatch(text) else text


def _per_axis(text: str, what: Word) -> Any:
    if text.isalpha():
        return text
    numbers = [int(n) if isinstance(n, float) and n.is_integer() else n for n in array_of(text, what).tolist()]
    return numbers[0] if len(numbers) == 1 else numbers


def _ends(text: str) -> tuple[float, float]:
    from ..calculus.points import number

    pairs = bounds_of(text)
    if len(pairs) != 1:
        raise UsageError("--over has {count} pairs of bounds; give one, low:high.", count=len(pairs))
    low, high = (float(end) if end.strip("+-") == "inf" else number(end) for end in pairs[0])
    return low, high


def _print_integrals(result: ContinuousConvolution) -> None:
    from ..pictures.numbers import short

    sign = "∗" if result.mode == "convolution" else "⋆"
    f, g = (name or letter for name, letter in zip(result.names, "fg", strict=True))
    print(say("({f}) {sign} ({g}), error at most {error}\n", f=f, sign=sign, g=g, error=short(result.error, 2)))
    places = range(0, len(result.at), max(1, len(result.at) // 20))
    rows = [(short(float(result.at[k]), 4), short(float(result.values[k]), 6)) for k in places]
    print_table(columns(("t", "value"), rows, right=("t", "value")))


def _print_sums(result: Convolution) -> None:
    values = result.values
    flip = say("is flipped") if result.mode == "convolution" else say("is not flipped")
    strides, zeros = ", ".join(map(str, result.stride)), ", ".join(f"{a}+{b}" for a, b in result.padding)
    signal, kernel, shape = (" × ".join(map(str, part.shape)) for part in (result.signal, result.kernel, values))
    print(say("{mode}: the kernel {flip}", mode=mark(result.mode), flip=flip))
    print(
        say(
            "{signal} with {kernel} gives {shape}; stride {strides}, zeros {zeros}\n",
            signal=signal,
            kernel=kernel,
            shape=shape,
            strides=strides,
            zeros=zeros,
        )
    )
    if values.ndim == 1 and len(values) <= MOST and result.kernel.size <= TERMS:
        print_table(columns(("place", "sum", "value"), _written_out(result), right=("place", "value")))
        return
    for plane in values.reshape(-1, *values.shape[-2:]) if values.ndim > 1 else values[None, None]:
        shown = [[written(value) for value in row[:MOST]] for row in plane[:MOST]]
        print_table(columns([""] * len(shown[0]), shown, right=("",)))
    if max(values.shape[-2:]) > MOST:
        print(say("The first {count} along each axis; --json has all of them.", count=MOST))


def _written_out(result: Convolution) -> Iterator[tuple[str, str, str]]:
    """Each value as the sum of products that it is."""
    for k, value in enumerate(result.values):
        under, _ = result.at(k)
        products = (f"{written(a)}·{_factor(b)}" for a, b in zip(under, result.slid, strict=True))
        yield str(k), " + ".join(products), written(value)


def _factor(value: Any) -> str:
    text = written(value)
    return f"({text})" if value < 0 else text
