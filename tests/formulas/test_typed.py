"""A rule that is typed is the rule of a file, and nothing of a text is ever run."""

from __future__ import annotations

import pytest

from thalweg.errors import FormulaError
from thalweg.formulas import FORMULAS
from thalweg.formulas.typed import typed
from thalweg.kernels import javascript

from ..hangs import no_hang

ADAM = '''@tw.formula
def mine(g, t, m, v, *, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam, as one types it."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    step = -lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)
    return tw.Update(step, m=m, v=v)
'''


def rule(*lines: str) -> str:
    return "\n    ".join(["def f(g, *, lr=1.0):", *lines])


def test_it_is_the_rule_of_a_file() -> None:
    ours, known = typed(ADAM), FORMULAS["adam"].with_(weight_decay=0.0)
    zero = {"weight_decay": 0}
    assert ours.equations.step.equals(
        known.equations.step.subs({s: 0 for s in known.equations.step.free_symbols if s.name in zero})
    )
    assert (ours.states, ours.doc) == (("m", "v"), "Adam, as one types it.")
    assert ours.hyperparameters == {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    assert "Math.sqrt" in javascript.rule(ours.equations)
    chosen = typed(rule("g *= where(g > 0, 2, maximum(0.5, lr))", "return Update(-lr * g)"))
    assert chosen.latex()


@pytest.mark.parametrize(
    "text",
    [
        rule("return Update(__import__('os').system('id'))"),
        rule("return Update(g.__class__)"),
        rule("return Update((lambda: g)())"),
        rule("return Update([g for _ in g][0])"),
        rule("return Update(open('/etc/passwd'))"),
        rule("return Update(g if g else 1)"),
        rule("return Update(x := g)"),
        rule("return Update(f'{g}')"),
        rule("return Update('g')"),
        rule("return Update(True)"),
        rule("return Update(**g)"),
        rule("return Update(*g)"),
        rule("return eval('g')"),
        rule("return g.Update(g)"),
        rule("import os", "return Update(g)"),
        rule("while True: pass", "return Update(g)"),
        rule("g.x = 1", "return Update(g)"),
        rule("sqrt = g", "return Update(g)"),
        rule("return Update(sqrt(g, lr))"),
        rule("return Update(g / 0)"),
        rule("return Update(1 / 0 * g)"),
        rule("return Update(unknown * g)"),
        rule("pass"),
        "def f(g, *, lr=__import__('os')): return Update(g)",
        "def f(g, *a, lr=1): return Update(g)",
        "def f(g, lr=1): return Update(g)",
        "def __f__(g, *, lr=1): return Update(g)",
        "@evil(1)\ndef f(g, *, lr=1): return Update(g)",
        "import os",
        "x = 1",
        "",
        "def f(g",
        "\0",
    ],
)
def test_anything_else_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(FormulaError) as refused:
        typed(text)
    assert str(refused.value).count("\n") == 0


@pytest.mark.parametrize(
    "text",
    [
        rule("x = 9**9**9", "return Update(x * g)"),
        rule("return Update(g**999999999)"),
        rule("x = 1000000000000", *["x = x * x"] * 30, "return Update(x * g)"),
        rule(*["g = g * g + 1"] * 38, "return Update(g)"),
        rule(*["g = sqrt(g * g + g)"] * 38, "return Update(g)"),
        rule("return Update(" + "-" * 1500 + "g)"),
        "(" * 1999,
        rule("x" * 2000),
        rule("return Update(g)", *["g = g"] * 60),
    ],
    ids=range(9),
)
def test_what_it_may_grow_to_is_bounded(text: str) -> None:
    with pytest.raises(FormulaError), no_hang():
        typed(text)
