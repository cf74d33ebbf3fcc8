"""The GPU kernels: run by Triton's interpreter on the CPU, and compiled for a real chip without one.

`tests/__init__.py` turns the interpreter on. It forgives what the compiler does not, so the compiler runs too, in a
process of its own.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import thalweg as tw
from tests.cases import share
from tests.harness import CASES, Case, difference, our_path, start_and_gradients, triton_update, truth
from tests.kernels.test_agreement import EDGES
from thalweg.errors import UsageError
from thalweg.formulas import Formula, get
from thalweg.formulas.vocabulary import abs, cos, equal, exp, floor, log, maximum, minimum, sign, sin, sqrt, tanh, where
from thalweg.kernels import torch_ref, triton_gpu
from thalweg.kernels.formats import UPDATE_ONLY, Formats, FusedOptions
from thalweg.kernels.lower import lower
from thalweg.kernels.storage import dtype_of, from_int8, noise, scales, to_bfloat16, to_int8

pytest.importorskip("triton", reason="there is no Triton for this machine")
CPU = torch.device("cpu")
LENGTHS = (1, 0, 255, 1024, 257, 1025, 2500, 3)


def cases(everyday: Collection[Case]) -> pytest.MarkDecorator:
    """All cases, of which the everyday suite runs some: the compiled CPU kernel goes through all of them there."""
    marks = [() if case in everyday else pytest.mark.slow for case in CASES]
    return pytest.mark.parametrize(
        "case", [pytest.param(c, marks=m) for c, m in zip(CASES, marks, strict=True)], ids=str
    )


ONE_EACH = list({case.formula.name: case for case in reversed(CASES)}.values())
ADAM = [case for case in CASES if case.text == "adam"]


def test_the_kernels_are_interpreted() -> None:
    assert triton_gpu.device_functions().INTERPRETED


@pytest.mark.everyday(of=4)
@pytest.mark.share(of=4)
@cases(ONE_EACH)
def test_float64_agrees_with_torch_or_the_paper(case: Case) -> None:
    w, gradients = start_and_gradients((5, 7), 1, 12)
    expected = truth(case, w, gradients, torch.float64)
    path = our_path(case.formula, w, gradients, torch.float64, triton_update)
    assert difference(path.weight, expected.weight) <= 1e-10
    for name, value in expected.states.items():
        assert difference(path.states[name], value) <= 1e-10, name


@pytest.mark.share(of=4)
@cases(ADAM)
def test_float32_stays_near_float64(case: Case) -> None:
    w, gradients = start_and_gradients((3, 1, 11), 2, 12)
    expected = our_path(case.formula, w, gradients, torch.float64, torch_ref.update)
    path = our_path(case.formula, w, gradients, torch.float32, triton_update)
    assert difference(path.weight, expected.weight) <= 1e-5
    for name, value in expected.states.items():
        assert difference(path.states[name], value) <= 1e-5, name


@pytest.mark.share(of=4)
@cases(ADAM)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_edge_gradients_break_the_weights_that_the_reference_breaks(case: Case, dtype: torch.dtype) -> None:
    edges = torch.tensor(EDGES)
    w, ones = torch.linspace(-1, 1, len(EDGES)), torch.ones(len(EDGES))
    for gradients in ([edges], [ones, edges.flip(0)]):
        expected = our_path(case.formula, w, gradients, dtype, torch_ref.update).weight
        weight = our_path(case.formula, w, gradients, dtype, triton_update).weight
        assert torch.allclose(weight, expected, rtol=1e-4, equal_nan=True), (weight, expected)


@pytest.mark.parametrize("name", ["sgd", "adam", "rprop", "lion"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_rounded_once(name: str, dtype: torch.dtype) -> None:
    formula = get(name)
    w, gradients = start_and_gradients((300,), 3, 4)
    ours = our_path(formula, w, gradients, dtype, triton_update)
    assert_same(ours.weight, our_path(formula, w, gradients, dtype, rounded_once).weight)


def rounded_once(
    formula: Formula, w: torch.Tensor, g: torch.Tensor, states: list[torch.Tensor], t: int, loss: float
) -> None:
    wide, more = w.float(), [s.float() if s.dim() else s.clone() for s in states]
    torch_ref.update(formula, wide, g.float(), more, t, loss=loss)
    for x, y in zip((w, *states), (wide, *more), strict=True):
        x.copy_(y)


def assert_same(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal, apart from a rounding that fell to the other side in a few values."""
    assert a.dtype == b.dtype
    apart = (a != b) & ~(a.isnan() & b.isnan())
    assert int(apart.sum()) <= 0.01 * len(apart)
    assert torch.allclose(a[apart].double(), b[apart].double(), rtol=2e-2)


class Tensors:
    """Weights, gradients, states and averages of many tensors, in formats of their own."""

    def __init__(
        self,
        formula: Formula,
        lengths: Sequence[int],
        formats: Formats | None = None,
        fused: FusedOptions = UPDATE_ONLY,
    ) -> None:
        self.formula, self.fused = formula, fused
        self.formats = formats or Formats.plain(formula.equations, "float32")
        generator = torch.Generator().manual_seed(len(lengths))
        made = [torch.randn(n, generator=generator) for n in lengths]
        self.w = [x.to(dtype_of(self.formats.weight), copy=True) for x in made]
        self.g = [torch.randn(n, generator=generator).to(dtype_of(self.formats.gradient)) for n in lengths]
        self.states = [torch_ref.initial_states(formula, x, {}) for x in made]
        for row in self.states:
            for k, form in enumerate(self.formats.states):
                row[k] = (row[k] + 0.01).to(dtype_of(form))
        self.scale = [[torch.full((scales(n),), 0.5) for _ in self.formats.states] for n in lengths]
        self.row_states = np.array([[0.5] * len(lower(formula.equations).row_states)] * len(lengths))
        self.average = [x.to(dtype_of(self.formats.average), copy=True) for x in made]

    def step(
        self,
        tables: Sequence[Mapping[str, float]],
        t: int = 3,
        numbers: Mapping[str, float] | None = None,
        active: Sequence[bool] | None = None,
        factor: float | None = None,
    ) -> None:
        """A step of all tensors, the i-th with the i-th set of hyperparameters, in one launch."""
        packed = [k for k, form in enumerate(self.formats.states) if form == "int8"]
        address = [
            [
                w.data_ptr(),
                g.data_ptr(),
                *(s.data_ptr() for s in states),
                *([a.data_ptr()] if self.fused.average else []),
                *(scale[k].data_ptr() for k in packed),
            ]
            for w, g, states, a, scale in zip(self.w, self.g, self.states, self.average, self.scale, strict=True)
        ]
        count, names = len(self.w), self.formula.equations.hyperparameters
        table = np.array([[{**self.formula.hyperparameters, **row}[n] for n in names] for row in tables])
        wanted = [[(numbers or {})[n] for n in self.fused.numbers]] * count
        fused = np.array(wanted) if self.fused.numbers else None
        launch = triton_gpu.compiled(self.formula.equations, self.formats, self.fused, CPU).launch(
            np.array(address),
            np.array([len(w) for w in self.w]),
            np.arange(count),
            np.array(active or [True] * count),
            np.full(count, float(t)),
            np.full(count, 0.5),
            table,
            fused,
            row_states=self.row_states,
            noise=np.array([[40 + i, 0] for i in range(count)]),
        )
        if factor is not None:
            launch.factor.fill_(factor)
        triton_gpu.Round([launch]).run()


@pytest.mark.parametrize("name", ["sgd", "adam", "rprop", "adan"])
def test_many_tensors_of_many_rows_in_one_launch(name: str) -> None:
    ours, theirs = (Tensors(get(name), LENGTHS) for _ in range(2))
    tables = [{"lr": 0.01 * (i + 1)} for i in range(len(LENGTHS))]
    active = [i != 3 for i in range(len(LENGTHS))]
    ours.step(tables, active=active)
    for w, g, states, row, on in zip(theirs.w, theirs.g, theirs.states, tables, active, strict=True):
        if on:
            torch_ref.update(theirs.formula, w, g, states, 3, row)
    for a, b in zip(
        zip(ours.w, *zip(*ours.states, strict=True), strict=True),
        zip(theirs.w, *zip(*theirs.states, strict=True), strict=True),
        strict=True,
    ):
        for x, y in zip(a, b, strict=True):
            assert torch.allclose(x, y, rtol=1e-5, atol=1e-7)
    assert all(map(torch.equal, ours.g, theirs.g))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_what_breaks_one_tensor_changes_no_bit_of_another(bad: float) -> None:
    sound, broken = Tensors(get("adam"), LENGTHS), Tensors(get("adam"), LENGTHS)
    broken.g[4].fill_(bad)
    for part in (sound, broken):
        part.step([{}] * len(LENGTHS))
    for i in range(len(LENGTHS)):
        assert torch.equal(sound.w[i], broken.w[i]) == (i != 4)


@pytest.mark.everyday(of=4)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("on", list(itertools.product([False, True], repeat=4)), ids=str)
def test_the_whole_step_in_one_pass(on: tuple[bool, ...], dtype: str) -> None:
    fused, formula = FusedOptions(*on), get("momentum")
    average = "float64" if dtype == "float64" else "float32"
    formats = Formats(dtype, dtype, (dtype,), average)
    ours, theirs = (Tensors(formula, (5, 1030, 0), formats, fused) for _ in range(2))
    ours.step([{}] * 3, numbers={"_factor": -1.0, "_bound": 0.2, "_share": 0.3}, factor=0.7)
    for w, g, states, a in zip(theirs.w, theirs.g, theirs.states, theirs.average, strict=True):
        wide = [x.to(dtype_of(average)) for x in (w, g, *states)]
        wide[1] = wide[1] * -0.7 if fused.factor else wide[1]
        wide[1] = wide[1].clamp(-0.2, 0.2) if fused.bound else wide[1]
        torch_ref.update(formula, wide[0], wide[1], wide[2:], 3)
        for x, y in zip((w, *states), (wide[0], *wide[2:]), strict=True):
            x.copy_(y)
        if fused.average:
            a.lerp_(wide[0], 0.3)
        if fused.zero:
            g.zero_()
    relative = {"float32": 1e-5, "float64": 1e-14, "bfloat16": 1e-2}[dtype]
    for part in ("w", "g", "average"):
        for x, y in zip(getattr(ours, part), getattr(theirs, part), strict=True):
            assert torch.allclose(x, y, rtol=relative, atol=relative / 10), part
    assert_same(ours.states[1][0], theirs.states[1][0])


def test_clipping_lets_nan_through() -> None:
    ours = Tensors(get("sgd"), (3,), fused=FusedOptions(factor=True, bound=True))
    ours.g[0] = torch.tensor([float("nan"), float("inf"), 0.1])
    before = ours.w[0].clone()
    ours.step([{"lr": 1.0}], numbers={"_factor": 1.0, "_bound": 0.5})
    assert ours.w[0][0].isnan()
    assert torch.allclose(ours.w[0][1:], before[1:] - torch.tensor([0.5, 0.1]))
    ours.step([{"lr": 1.0}], numbers={"_factor": 1.0, "_bound": 0.5}, factor=float("nan"))
    assert ours.w[0].isnan().all()


@pytest.mark.parametrize("form", ["bfloat16 stochastic", "int8"])
def test_states_kept_in_fewer_bytes_are_those_of_the_reference(form: str) -> None:
    formula, other = get("adam"), "int8" if form != "int8" else "bfloat16"
    formats = Formats("bfloat16 stochastic", "float32", (form, other), "float32")
    ours, theirs = (Tensors(formula, (700, 0, 1024, 1, 2500), formats) for _ in range(2))
    drawn = [n for n, f in zip("wmv", ("bfloat16 stochastic", form, other), strict=True) if f != "bfloat16"]
    for t in (3, 4):
        ours.step([{}] * 5, t=t)
        for i, (w, g, states, scale) in enumerate(zip(theirs.w, theirs.g, theirs.states, theirs.scale, strict=True)):
            wide = [from_int8(s, q) if s.dtype == torch.int8 else s.float() for s, q in zip(states, scale, strict=True)]
            weight = w.float()
            torch_ref.update(formula, weight, g, wide, t)
            bits = {name: noise(40 + i, t, k, len(w)) for k, name in enumerate(drawn)}
            w.copy_(to_bfloat16(weight, bits["w"]))
            for k, (name, x) in enumerate(zip("mv", wide, strict=True)):
                if states[k].dtype == torch.int8:
                    states[k], scale[k] = to_int8(x, bits[name])
                else:
                    states[k] = to_bfloat16(x, bits.get(name))
    for i in range(5):
        assert_same(ours.w[i], theirs.w[i])
        for k in range(2):
            a, b = ours.states[i][k], theirs.states[i][k]
            assert int((a != b).sum()) <= 0.01 * len(a)
            if a.dtype == torch.int8:
                assert torch.allclose(ours.scale[i][k], theirs.scale[i][k], rtol=1e-6)
                a, b = from_int8(a, ours.scale[i][k]), from_int8(b, theirs.scale[i][k])
            assert torch.allclose(a.double(), b.double(), rtol=0.1)


def test_a_block_of_codes_that_is_not_finite_harms_no_other() -> None:
    formats = Formats("float32", "float32", ("int8",), "float32")
    ours = Tensors(get("momentum"), (1500,), formats)
    ours.g[0][300] = float("nan")
    ours.g[0][600] = -float("inf")
    ours.step([{}])
    values = from_int8(ours.states[0][0], ours.scale[0][0])
    broken = torch.arange(1500).div(256, rounding_mode="floor")
    assert values[(broken == 1) | (broken == 2)].isnan().all()
    assert values[(broken != 1) & (broken != 2)].isfinite().all()


@tw.formula()
def seen(g, last, *, lr=1.0):
    return tw.Update(-lr * g, last=g)


@pytest.mark.parametrize("form", ["bfloat16", "bfloat16 stochastic"])
def test_bfloat16_keeps_nan_and_infinity(form: str) -> None:
    ours = Tensors(seen, (4,), Formats(form, "float32", (form,), "float32"))
    ours.w[0].fill_(1.0)
    words = [0x7F800001, 0x7FFFFFFF, 0x7F800000, -0x00800000]  # two NaN, ±∞
    ours.g[0] = torch.tensor(words, dtype=torch.int32).view(torch.float32)
    ours.step([{}])
    for values, way in ((ours.w[0], -1), (ours.states[0][0], 1)):
        assert values.isnan().tolist() == [True, True, False, False]
        assert values[2:].tolist() == [way * float("inf"), -way * float("inf")]


@pytest.mark.parametrize("form", ["float32", "float64", "bfloat16", "float16"])
def test_the_sum_of_squares(form: str) -> None:
    gradients = [torch.randn(n, generator=torch.Generator().manual_seed(n)).to(dtype_of(form)) for n in LENGTHS]
    gradients.append(torch.full((3,), 3e30 if "float16" not in form else 100.0, dtype=dtype_of(form)))

    def total() -> float:
        address = np.array([[0, g.data_ptr()] for g in gradients])
        launch = triton_gpu.Squares(form, address, np.array([len(g) for g in gradients]), CPU)
        triton_gpu.Round([launch]).run()
        return float(launch.sums.sum())

    expected = sum(float(g.double().square().sum()) for g in gradients)
    assert total() == pytest.approx(expected, rel=1e-12)
    gradients[6][-1] = float("nan")
    assert np.isnan(total())


def test_addresses_that_are_no_multiple_of_16() -> None:
    ours, theirs = torch.linspace(-1, 1, 1300)[1:], torch.linspace(-1, 1, 1300)[1:]
    g = torch.ones(1299)
    for update, w in ((triton_update, ours), (torch_ref.update, theirs)):
        update(get("sgd"), w, g, [], 1)
    assert torch.allclose(ours, theirs)


@tw.formula()
def everything(g, w, m, tl, *, lr=0.1, p=1.3):
    """All that a formula may say, with a state of a name that the kernels' text might want."""
    m = tanh(g) + exp(-abs(w)) * cos(w) - sin(m) + log(1 + w**2) + floor(3 * w) + abs(w) ** p + w**3
    tl = where(equal(m, 0), tl, maximum(minimum(g, tl), -w)) + sign(g)
    either = where((g > 0) | (w < 0) & (lr > 0.05), m, tl**5)
    return tw.Update(-lr * where(~(m > g) | (lr > 2), either, 1 / sqrt(abs(either) + 1)), m=m, tl=tl)


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float32, 1e-5), (torch.float64, 1e-13)], ids=str)
def test_every_word_of_the_vocabulary(dtype: torch.dtype, relative: float) -> None:
    w, gradients = start_and_gradients((70,), 4, 2)
    ours, theirs = (our_path(everything, w, gradients, dtype, update) for update in (triton_update, torch_ref.update))
    assert torch.allclose(ours.weight, theirs.weight, rtol=relative, atol=relative)
    for name in everything.states:
        assert torch.allclose(ours.states[name], theirs.states[name], rtol=relative, atol=relative), name


def test_numbers_and_places_change_without_another_kernel() -> None:
    one, other = get("adam").equations, get("adam(beta2=0.9)").equations
    formats = Formats.plain(one, "float32")
    assert triton_gpu.compiled(one, formats, UPDATE_ONLY, CPU) is triton_gpu.compiled(other, formats, UPDATE_ONLY, CPU)


def test_a_gpu_without_triton_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_gpu, "installed", lambda: False)
    triton_gpu.device_functions.cache_clear()
    with pytest.raises(UsageError, match="triton is not installed: pip install triton"):
        triton_gpu.device_functions()


COMPILE = """
import re, sys, torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from tests.harness import CASES
from tests.kernels.test_triton_gpu import everything
from thalweg.formulas import get
from thalweg.kernels import triton_device, triton_gpu
from thalweg.kernels.formats import Formats, FusedOptions

def compiled(function, signature, constants):
    source = ASTSource(function, signature=signature, constexprs=constants)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
    assert made.asm["cubin"]
    return made.asm["ptx"]

def kernel(equations, formats, fused=FusedOptions(True, True, True, True), aligned=True):
    made = triton_gpu.compiled(equations, formats, fused, torch.device("cuda"))
    kinds = {"_table": "*i64", "_owner": "*i32", "_count": "i32", "_factor_at": "*fp64", "ALIGNED": "constexpr"}
    return compiled(made.segments, kinds, {(4,): aligned})

def precise(ptx):
    estimates = re.findall(r"\\S*(?:approx|ftz|div.full)\\S*", ptx)
    assert set(estimates) <= {"cvt.rmi.ftz.f32.f32"}, estimates  # a floor, which may take a denormal for 0

texts = sys.argv[1:] or [case.text for case in CASES]
for text in texts:
    for dtype, wide in (("float32", "v4.b32"), ("float64", "v2.b64")):
        equations = get(text).equations
        ptx = kernel(equations, Formats.plain(equations, dtype))
        precise(ptx)
        assert "ld.global." + wide in ptx and "st.global." + wide in ptx
adam = get("adam").equations
assert "v4.b32" not in kernel(adam, Formats.plain(adam, "float32"), aligned=False)
for formats in (Formats("bfloat16", "bfloat16", ("bfloat16",) * 2, "float32"),
                Formats("float16", "float16", ("float16",) * 2, "float32"),
                Formats("bfloat16 stochastic", "float32", ("bfloat16 stochastic", "int8"), "float32"),
                Formats("float64", "float64", ("int8", "bfloat16 stochastic"), "float64")):
    precise(kernel(adam, formats))
for dtype in ("float32", "float64"):
    kernel(everything.equations, Formats.plain(everything.equations, dtype), FusedOptions())
for kind in ("float32", "float64", "uint16", "float16"):
    kinds = {"_table": "*i64", "_owner": "*i32", "_sums": "*fp64", "kind": "constexpr", "block": "constexpr",
             "aligned": "constexpr"}
    constants = {(3,): getattr(triton.language, kind), (4,): triton_gpu.BLOCK, (5,): True}
    assert ".v" in compiled(triton_device.squares, kinds, constants)
print("compiled", len(texts))
"""


def compile_for_hopper(folder: Path, *texts: str) -> str:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder / "triton"), "THALWEG_CACHE": str(folder)}
    environment["TRITON_INTERPRET"] = "0"
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, *texts],
        env=environment,
        capture_output=True,
        text=True,
        timeout=540,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_compiler_takes_the_kernels_for_a_gpu_that_is_not_here(tmp_path: Path) -> None:
    assert "compiled 2" in compile_for_hopper(tmp_path, "adam", "halving")


@pytest.mark.slow
@pytest.mark.whole
def test_the_compiler_takes_every_formula(tmp_path: Path) -> None:
    texts = share([case.text for case in CASES], of=12)
    assert f"compiled {len(texts)}" in compile_for_hopper(tmp_path, *texts)
