"""A formula's LaTeX reads as in its paper, because it is derived from the same equations."""

from __future__ import annotations

import re

import pytest

import thalweg as tw
from thalweg.formulas import get, names
from thalweg.formulas.latex import _letter
from thalweg.formulas.vocabulary import maximum, where

ADAM = r"""
\begin{aligned}
g_t &\leftarrow g_t + \lambda w_{t-1} \\
m_t &= \beta_1 m_{t-1} + \left(1 - \beta_1\right) g_t \\
v_t &= \beta_2 v_{t-1} + \left(1 - \beta_2\right) g_t^{2} \\
\hat{m}_t &= \frac{m_t}{1 - \beta_1^{t}} \\
\hat{v}_t &= \frac{v_t}{1 - \beta_2^{t}} \\
w_t &= w_{t-1} - \frac{\eta \hat{m}_t}{\sqrt{\hat{v}_t} + \epsilon}
\end{aligned}
""".strip()


def test_adam_as_in_its_paper() -> None:
    assert get("adam").latex() == ADAM


def test_nesterov_names_the_new_state() -> None:
    assert get("nesterov").latex().splitlines()[2:4] == [
        r"a_t &= \mu a_{t-1} + g_t \\",
        r"w_t &= w_{t-1} - \eta \left(\mu a_t + g_t\right)",
    ]


def test_decoupled_decay_gets_no_row() -> None:
    text = get("adamw").latex()
    assert r"\leftarrow" not in text
    assert text.endswith("- \\eta \\lambda w_{t-1}\n\\end{aligned}")


def test_cases_extremes_losses_and_long_names() -> None:
    @tw.formula
    def rule(g, loss, t, m, v_max, prev, *, lr=1e-3, nu12=0.9, gain=0.5):
        m = nu12 * m - lr * g
        v_max = maximum(v_max, abs(g), gain)
        return tw.Update(where((g > 0) & (t > 5), -0.5 * m, m / 3), m=m, v_max=v_max, prev=loss)

    assert rule.latex().splitlines()[1:-1] == [
        r"m_t &= \nu_{12} m_{t-1} - \eta g_t \\",
        r"v_t^{\mathrm{max}} &= \max\left(\mathrm{gain}, v_{t-1}^{\mathrm{max}}, \left|{g_t}\right|\right) \\",
        r"\mathrm{prev}_t &= \mathcal{L}_t \\",
        (
            r"w_t &= w_{t-1} + \begin{cases} -0.5 m_t & \text{for}\: g_t > 0 \wedge t > 5 "
            r"\\\frac{m_t}{3} & \text{otherwise} \end{cases}"
        ),
    ]


def test_a_gradient_used_with_and_without_decay_keeps_its_name() -> None:
    @tw.formula
    def rule(g, w, a, *, lr=0.1, weight_decay=0.1):
        a = a + g
        return tw.Update(-lr * (g + weight_decay * w) * a, a=a)

    assert rule.latex().splitlines()[1:-1] == [
        r"\tilde{g}_t &= g_t + \lambda w_{t-1} \\",
        r"a_t &= a_{t-1} + g_t \\",
        r"w_t &= w_{t-1} - \eta a_t \tilde{g}_t",
    ]


def test_a_step_of_nothing() -> None:
    @tw.formula
    def rule(g):
        return tw.Update(0)

    assert rule.latex().splitlines()[1:-1] == ["w_t &= w_{t-1}"]


@pytest.mark.parametrize("name", names())
def test_every_formula_has_balanced_latex_of_known_letters(name: str) -> None:
    rule = get(name)
    text = rule.latex()
    assert text.count("{") == text.count("}")
    assert text.count(r"\left") == text.count(r"\right") + text.count(r"\leftarrow")
    assert text.count(r"\\" + "\n") == len(text.splitlines()) - 3
    for state in rule.states:
        base = _letter(state).partition("^")[0]
        assert text.count(f"\n{base}_t") + text.count(f"\n{{{base}}}_t") == 1
        assert not re.search(r"_\{[^{}]*\{[^{}]*\}\}_", text)  # an index of an index, which is an error
    assert "new " not in text
    assert "hat " not in text
