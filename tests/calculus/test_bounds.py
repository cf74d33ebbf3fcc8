"""No formula hangs, fills the memory or ends in a traceback, whatever is asked of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import thalweg as tw
from thalweg.calculus.extent import degree, multiplies_out
from thalweg.errors import ThalwegError

from ..cases import share, times
from ..hangs import no_hang
from .corpus import anything, attacks, families
from .test_derivative import STEPPED
from .test_function import EVERYTHING

HERE = 0.7


def _written(one: tw.calculus.Derivative | tw.calculus.Limit | tw.calculus.Minimum) -> None:
    assert str(one)
    assert one.latex()


def _function(f: tw.Function) -> None:
    f(*(HERE for _ in f.variables))
    assert str(f)
    assert f.latex()


def _hessian(f: tw.Function) -> None:
    assert str(tw.hessian(f, [HERE] * len(f.variables)))


USES: dict[str, Callable[[tw.Function], object]] = {
    "function": _function,
    "derivative": lambda f: _written(tw.derivative(f, f.variables[0], at=[HERE] * len(f.variables))),
    "third": lambda f: tw.derivative(f, f.variables[0], order=3),
    "hessian": _hessian,
    "limit": lambda f: _written(tw.derivative(f, f.variables[0], at=[HERE] * len(f.variables), method="limit")),
    "minimum": lambda f: _written(tw.minimum(f)),
    "start": lambda f: _written(tw.minimum(f, method="descent", start=[HERE] * len(f.variables))),
}


def asked(text: str, use: Callable[[tw.Function], object]) -> None:
    """Answered, or refused in a sentence."""
    words = "."
    try:
        with no_hang():
            f = tw.function(text)
            if f.variables:
                use(f)
    except ThalwegError as refusal:
        words = str(refusal)
    assert words.endswith("."), text
    assert "\n" not in words, text


@pytest.mark.parametrize("use", USES)
def test_what_once_fell(use: str) -> None:
    for text in attacks():
        asked(text, USES[use])


@pytest.mark.slow
def test_descents_on_what_once_fell() -> None:
    tw.descend("x^2", start=HERE, steps=2)  # kernels are compiled by the first
    for text in attacks():
        asked(text, lambda f: tw.descend(f, start=HERE, lr=0.01, steps=20))


@pytest.mark.slow
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "texts", [[*families(), *STEPPED, EVERYTHING], anything(times(80))], ids=["families", "anything"]
)
def test_families(use: str, texts: list[str]) -> None:
    for text in share(texts, of=6, part=[*USES].index(use)):
        asked(text, USES[use])


@pytest.mark.slow
def test_descents_and_basins_of_families() -> None:
    for text in share(families()[::3], of=8):
        asked(text, lambda f: tw.descend(f, start=[HERE] * len(f.variables), lr=0.01, steps=20))
        asked(text, lambda f: tw.basins(f, lr=0.01, steps=5, resolution=20))


def test_degrees_bound_what_multiplying_out_gives() -> None:
    f = tw.function("(x+1)^7*y/(x+1) + 1/(x-y)^2").expression
    assert degree(f) == 9
    assert multiplies_out(f, 9)
    assert not multiplies_out(f, 8)
    assert not multiplies_out(tw.function("sin(pi/7)*x").expression, 10)
