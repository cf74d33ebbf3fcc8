"""Shapes that do not fit are refused in one sentence: when a formula is declared, or when it meets a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import thalweg as tw
from thalweg.errors import FormulaError
from thalweg.formulas.equations import symbol
from thalweg.formulas.operations import eigenvectors, norm, orthogonal, qr, row_mean, sort_columns
from thalweg.formulas.shapes import matrix
from thalweg.formulas.vocabulary import where


def product(g, *, lr=0.1):
    return tw.Update(-lr * (g @ g))


def sides(g, *, lr=0.1):
    return tw.Update(-lr * (g + g @ g.T))


def oblong(g, *, lr=0.1):
    return tw.Update(-lr * eigenvectors(g))


def number(g, *, lr=0.1):
    return tw.Update(-lr * norm(lr) * g)


def square_step(g, *, lr=0.1):
    return tw.Update(-lr * (g @ g.T))


def narrow(g, r, *, lr=0.1):
    r = r + row_mean(g)
    return tw.Update(-lr * row_mean(r) * g, r=r)


def unsorted(g, *, lr=0.1):
    return tw.Update(-lr * sort_columns(g, row_mean(g)))


def shrunk(g, r, *, lr=0.1):
    return tw.Update(-lr * g, r=r + g)


REFUSED: list[tuple[Callable[..., Any], dict[str, str], str]] = [
    (product, {}, "multiplies rows × columns by rows × columns; the columns of the first must be the rows of the"),
    (sides, {}, "combines rows × columns with rows × rows; give both the same shape, with .T or a product."),
    (oblong, {}, "is of rows × columns; it is defined for square matrices, such as x @ x.T."),
    (number, {}, "is of lr, which is one number; it looks over a tensor: use g, w or a state in it."),
    (square_step, {}, "the step is rows × rows, and the weight is rows × columns; bring it to that shape."),
    (narrow, {}, "whose rows are one number each; give it more columns."),
    (unsorted, {}, "; give one number for each column."),
    (shrunk, {"r": "row"}, "state r is rows × 1, and its new value is rows × columns; declare it"),
    (shrunk, {"r": "rank"}, "state r: 'rank' is not a shape; known: model, tensor, row, column, left, right, weight."),
]


@pytest.mark.parametrize(("function", "shapes", "sentence"), REFUSED)
def test_when_it_is_declared(function: Callable[..., Any], shapes: dict[str, str], sentence: str) -> None:
    with pytest.raises(FormulaError) as caught:
        tw.formula(function, shapes=shapes)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"formula {function.__name__}: ")
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def correlated(g, *, lr=0.1):
    basis = eigenvectors(g @ g.T)
    return tw.Update(-lr * where(lr > 0, basis @ (basis.T @ g), g))


WIDE = r"makes a matrix of 50,000 × 50,000 numbers of a tensor of shape \(50000, 2\), and its sides go to 32,768; give "


@pytest.mark.parametrize(("rule", "advice"), [("soap(max_dim=100000)", "a smaller max_dim"), (correlated, "by_shape")])
def test_a_basis_too_wide_to_be_kept(rule: Any, advice: str) -> None:
    formula = tw.formulas.get(rule) if isinstance(rule, str) else tw.formula(rule)
    w = torch.zeros(50_000, 2, requires_grad=True)
    w.grad = torch.zeros_like(w)
    with pytest.raises(FormulaError, match=WIDE + advice):
        tw.optim.from_formula(formula)([w]).step()
    assert formula.of_shape((50, 2)).name == formula.name


def test_the_usual_ones_take_it_in_another_form() -> None:
    for name in ("soap", "shampoo"):
        assert "rows" not in tw.formulas.get(name).of_shape((50_000, 2)).states
    assert tw.formulas.get("muon").of_shape((50_000, 2)).states == ("m",)


@pytest.mark.parametrize(("by_shape", "word"), [({"matrix": "axis > 1"}, "axis"), ({"square": "axes > 1"}, "square")])
def test_a_condition_of_a_shape_names_what_there_is(by_shape: dict[str, str], word: str) -> None:
    def rule(g, *, lr=0.1, matrix=True):
        return tw.Update(-lr * g)

    with pytest.raises(FormulaError, match=f"by_shape .*'{word}' is not"):
        tw.formula(rule, by_shape=by_shape)


def test_orthogonal_has_muons_numbers_where_none_are_given() -> None:
    x = symbol("x")
    assert orthogonal(x) == orthogonal(x, 5, 3.4445, -4.7750, 2.0315, 1e-7, 1, 0)
    assert orthogonal(x, steps=3, coefficients=(2, -1.5, 0.5)) == orthogonal(x, 3, 2, -1.5, 0.5)
    assert orthogonal(x, eps=1e-3, clamped=False, half=True).args[5:] == (1e-3, 0, 1)


def test_orthogonal_makes_all_singular_values_near_one() -> None:
    def straight(g, *, lr=1.0):
        return tw.Update(-lr * orthogonal(g, steps=8))

    w = torch.zeros(3, 5, requires_grad=True)
    w.grad = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    tw.optim.from_formula(tw.formula(straight))([w]).step()
    torch.testing.assert_close(torch.linalg.svdvals(w.detach()), torch.ones(3), rtol=0, atol=0.4)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (6,), (), (2, 3, 4)])
def test_qr_has_the_shape_of_what_it_is_given(shape: tuple[int, ...]) -> None:
    def straight(g, *, lr=1.0):
        return tw.Update(-lr * qr(g))

    w = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    w.grad = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tw.optim.from_formula(tw.formula(straight))([w]).step()
    q = w.detach().reshape(matrix(shape))
    inner = q @ q.mT if len(q) < q[0].numel() else q.mT @ q
    torch.testing.assert_close(inner, torch.eye(len(inner), dtype=q.dtype))


@pytest.mark.parametrize("given", [(1, 2), 3, "abc"])
def test_orthogonal_takes_three_coefficients(given: Any) -> None:
    def wrong(g, *, lr=1.0):
        return tw.Update(-lr * orthogonal(g, coefficients=given))

    with pytest.raises(FormulaError, match=r"orthogonal takes three coefficients, and .+ is given; write"):
        tw.formula(wrong)
