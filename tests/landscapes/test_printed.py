"""Surfaces printed as JavaScript have the values and gradients of those that are compiled here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.calculus.corpus import families
from tests.cases import share
from tests.javascript import run
from thalweg import landscapes
from thalweg.calculus import Function, gradient
from thalweg.errors import SurfaceError, ThalwegError
from thalweg.kernels import javascript
from thalweg.landscapes.printed import printed
from thalweg.landscapes.surface import Surface

EVERY = (
    "asin(x/9)+acos(y/9)*atan(x)",
    "sinh(x/5)+cosh(y/5)-tanh(x*y)",
    "asinh(x)+acosh(x^2+1.5)+atanh(y/9)",
    "exp(-x^2)+log(x^2+1)+log2(y^2+2)+log10(y^2+3)+log(x^2+2, 5)",
    "sqrt(x^2+y^2+1)+abs(x-y)+sign(x)*y",
    "min(x, y, x*y)+max(x^2, y, 0.3)",
    "floor(x)+ceil(y)*x",
    "heaviside(x)*y+relu(y-x)+softplus(x)+sigmoid(y)",
    "erf(x)+erf(y/2)^2+erf(3x)",
    "x^x^2/9+2^y+pi*e^x+tan(x/3)",
    "(x+y)^7/1000-(x-2)^-3+(x^2+1)^(1/3)",
    "0.1^x",
)


def points(surface: Surface, seed: int = 0) -> np.ndarray:
    low, high = np.array(surface.bounds).T
    return np.random.default_rng(seed).uniform(low, high, (24, surface.dimensions))


def disagreeing(surfaces: dict[str, Surface], folder: Path, tolerance: float) -> list[str]:
    (folder / "special.mjs").write_text(javascript.special())
    texts = {name: printed(surface) for name, surface in surfaces.items()}
    functions = ", ".join(f"{name!r}: [{text['gradient']}, {text['value']}]" for name, text in texts.items())
    body = f"""const surfaces = {{ {functions} }};
    return Object.fromEntries(Object.entries(data).map(([name, points]) => {{
      const [gradient, value] = surfaces[name], d = new Float64Array(points[0].length);
      return [name, points.map((p) => [gradient(p, d), ...d, value(p)])];
    }}));"""
    at = {name: points(surface) for name, surface in surfaces.items()}
    imports = f'import {{ special }} from "{folder}/special.mjs";'
    answers = run(folder, imports, body, {name: p.tolist() for name, p in at.items()})
    wrong = []
    for name, surface in surfaces.items():
        rules = gradient(Function(surface.expression, surface.variables))  # differentiated and evaluated in another way
        values, slopes = rules.function(*at[name].T), rules(*at[name].T)
        theirs = np.array(answers[name], dtype=float)
        ours = np.concatenate([values[:, None], slopes, values[:, None]], axis=1)
        finite = np.isfinite(ours).all(axis=1)
        same = np.allclose(theirs[finite], ours[finite], rtol=tolerance, atol=tolerance)
        wrong += [] if same and not np.isfinite(theirs[~finite]).all(axis=1).any() else [name]
    return wrong


def test_every_surface_and_every_function(tmp_path: Path) -> None:
    surfaces = {name: landscapes.get(name) for name in landscapes.names()}
    surfaces |= {text: landscapes.surface(text) for text in EVERY}
    assert disagreeing(surfaces, tmp_path, 1e-11) == []


@pytest.mark.slow
def test_formulas_of_every_kind(tmp_path: Path) -> None:
    surfaces = {}
    for text in share(families(), of=8):
        try:
            one = landscapes.surface(text)
            gradient(text)  # some are too long to be differentiated
        except ThalwegError:
            continue
        if one.dimensions <= 2 and text.count("tan(") < 9:  # each tan of a tan loses a digit
            surfaces[text] = one
    assert len(surfaces) > 15
    assert disagreeing(surfaces, tmp_path, 1e-7) == []


def test_a_function_in_torch_is_refused() -> None:
    with pytest.raises(SurfaceError, match="is a function in torch operations; a page needs an expression"):
        printed(landscapes.surface(lambda x, y: x**2 + y))
