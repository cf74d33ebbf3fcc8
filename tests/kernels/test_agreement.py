"""Every formula on every target goes where torch.optim goes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import sampled_papers, second_papers, tensor_papers
from tests.harness import CASES, Case, difference, numba_update, our_path, start_and_gradients, truth
from thalweg.formulas import WRAPPERS, get, names
from thalweg.kernels import torch_ref

shapes = st.lists(st.integers(0, 9), min_size=0, max_size=3)
seeds = st.integers(0, 2**31)
every_case = pytest.mark.parametrize("case", CASES, ids=str)
few = settings(max_examples=6, deadline=None, derandomize=True)


def test_every_formula_has_a_case() -> None:
    apart = (tensor_papers, second_papers, sampled_papers)
    held = {case.formula.name for case in CASES} | {get(text).name for each in apart for text in each.PAPERS}
    assert set(names()) <= held
    assert {name.partition("(")[0] for name in held - set(names())} == set(WRAPPERS)


@pytest.mark.everyday(of=4)
@every_case
@given(shape=shapes, seed=seeds)
@few
def test_float64_agrees_with_torch_or_the_paper(case: Case, shape: list[int], seed: int) -> None:
    w, gradients = start_and_gradients(shape, seed)
    expected = truth(case, w, gradients, torch.float64)
    for update in (torch_ref.update, numba_update):
        path = our_path(case.formula, w, gradients, torch.float64, update)
        assert difference(path.weight, expected.weight) <= 1e-10
        for name, value in expected.states.items():
            assert difference(path.states[name], value) <= 1e-10, name


@pytest.mark.share(of=4)
@pytest.mark.slow
@every_case
@given(shape=shapes, seed=seeds)
@few
def test_float32_stays_near_float64(case: Case, shape: list[int], seed: int) -> None:
    w, gradients = start_and_gradients(shape, seed)
    expected = our_path(case.formula, w, gradients, torch.float64, torch_ref.update)
    path = our_path(case.formula, w, gradients, torch.float32, numba_update)
    # Beside where it began: a weight that ends next to 0 has lost digits in the difference of two large ones.
    size = float(expected.weight.norm() + w.norm())
    assert float((path.weight.double() - expected.weight).norm()) <= 1e-5 * size
    largest = torch.finfo(torch.float32).max  # which a state may outgrow, where averages are overwritten
    for name, value in expected.states.items():
        assert difference(path.states[name].clamp(-largest, largest), value.clamp(-largest, largest)) <= 1e-5, name


EDGES = [0.0, -0.0, 1e-45, -1e-40, 1e-20, 1e18, -1e30, 3e38, float("inf"), -float("inf"), float("nan")]


# torch computes the variance of a centered RMSprop with one rounding, and so escapes an overflow that we meet
@pytest.mark.everyday(of=4)
@pytest.mark.parametrize("case", [c for c in CASES if c.make and "centered" not in c.text], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_edge_gradients_break_the_weights_that_torch_breaks(case: Case, dtype: torch.dtype) -> None:
    edges = torch.tensor(EDGES)
    w = torch.linspace(-1, 1, len(EDGES))
    ones = torch.ones(len(EDGES))
    for gradients in ([edges], [ones, edges], [edges, ones], [ones, edges, edges.flip(0)]):
        expected = truth(case, w, gradients, dtype).weight
        for update in (torch_ref.update, numba_update):
            weight = our_path(case.formula, w, gradients, dtype, update).weight
            whole = expected.isfinite()
            assert torch.equal(weight.isfinite(), whole), (weight, expected)
            if gradients[-1] is edges:  # later 0·w, which torch leaves out, makes NaN of a weight that is inf
                assert torch.equal(weight.isnan(), expected.isnan()), (weight, expected)
            assert torch.allclose(weight[whole], expected[whole], rtol=1e-4)
