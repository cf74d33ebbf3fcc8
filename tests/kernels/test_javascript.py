"""Rules printed as JavaScript go where the reference goes, in Node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import thalweg as tw
from tests.harness import CASES, ELEMENTWISE, STEPS, losses_of, our_path, start_and_gradients
from tests.javascript import run
from tests.kernels.test_lower import EXPRESSIONS, A, G, W
from thalweg.formulas import FORMULAS, Formula
from thalweg.formulas.vocabulary import log, maximum
from thalweg.kernels import javascript, torch_ref
from thalweg.kernels.lower import lower

RULES = {**{name: FORMULAS[name] for name in ELEMENTWISE}, **{case.text: case.formula for case in CASES}}
_WALK = """
const ends = {};
for (const [name, step] of Object.entries(rules)) {
  const { states, single, h, lookahead } = data.about[name];
  const w = Float64Array.from(data.w), r = [...single];
  const s = states.map((x) => x === "w" ? Float64Array.from(w) : new Float64Array(w.length).fill(x));
  for (let t = 1; t <= data.gradients.length; t++) {
    const ahead = Float64Array.from(w);
    if (lookahead) aheads[name](ahead, ahead, s, r, h, t, NaN);
    step(w, data.gradients[t - 1], s, r, h, t, data.losses[t - 1]);
  }
  ends[name] = { w, s, r };
}
return ends;
"""


def walked(rules: dict[str, Formula], w: list[float], gradients: list[list[float]], folder: Path) -> Any:
    """Where each rule ends: weights, and states by name."""
    (folder / "special.mjs").write_text(javascript.special())
    lines = [f'import {{ special }} from "{folder}/special.mjs";']
    for which, of in (("rules", lambda f: f.equations), ("aheads", lambda f: f.equations.lookahead)):
        texts = [f"{name!r}: {javascript.rule(of(rule))}" for name, rule in rules.items() if of(rule)]
        lines.append(f"const {which} = {{ {', '.join(texts)} }};")
    about = {name: described(rule) for name, rule in rules.items()}
    data = {"w": w, "gradients": gradients, "losses": losses_of(len(gradients)), "about": about}
    ends = run(folder, "\n".join(lines), _WALK, data)
    return {name: (end["w"], named(rules[name], end)) for name, end in ends.items()}


def described(rule: Formula) -> dict[str, Any]:
    program, first = lower(rule.equations), dict(rule.equations.initial)
    named = {"w": "w", **rule.hyperparameters}
    numbers = {n: named[v] if isinstance(v, str) else float(v) for n, v in first.items()}
    return {
        "states": [numbers[name] for name, _ in program.states],
        "single": [numbers[name] for name, _ in program.row_states],
        "h": [rule.hyperparameters[name] for name in rule.equations.hyperparameters],
        "lookahead": rule.equations.lookahead is not None,
    }


def named(rule: Formula, end: Any) -> dict[str, Any]:
    program = lower(rule.equations)
    each = zip((name for name, _ in program.states), end["s"], strict=True)
    return dict(each) | dict(zip((name for name, _ in program.row_states), end["r"], strict=True))


def near(a: Any, b: torch.Tensor) -> bool:
    expected = b.double().numpy()
    return bool(np.allclose(np.asarray(a, dtype=float), expected, rtol=1e-12, atol=1e-13, equal_nan=True))


def test_every_rule_goes_where_the_reference_goes(tmp_path: Path) -> None:
    """All formulas, their forms and look-aheads, weights and states, in one process."""
    w, gradients = start_and_gradients((7,), 0, STEPS)
    ends = walked(RULES, w.double().tolist(), [g.double().tolist() for g in gradients], tmp_path)
    assert ends.keys() == RULES.keys()
    wrong = []
    for name, (weights, states) in ends.items():
        path = our_path(RULES[name], w, gradients, torch.float64, torch_ref.update)
        good = near(weights, path.weight) and all(near(states[n], value) for n, value in path.states.items())
        wrong += [] if good else [name]
    assert wrong == []


@pytest.mark.parametrize("t", [1, 7])
def test_an_expression_means_what_numpy_means(t: int, tmp_path: Path) -> None:
    texts = {name: javascript.rule(_formula(symbolic).equations) for name, (symbolic, _) in EXPRESSIONS.items()}
    body = f"""const rules = {{ {", ".join(f"{n!r}: {text}" for n, text in texts.items())} }};
    return Object.fromEntries(Object.entries(rules).map(([name, step]) => {{
      const w = Float64Array.from(data.w);
      step(w, data.g, [Float64Array.from(data.a)], [], [1.75], {t}, 0.75);
      return [name, w];
    }}));"""
    ends = run(tmp_path, "", body, {"w": W.tolist(), "g": G.tolist(), "a": A.tolist()})
    for name, (_, numeric) in EXPRESSIONS.items():
        expected = W + numeric(G, W, float(t), 0.75, A, 1.75)
        np.testing.assert_allclose(np.array(ends[name], dtype=float), expected, rtol=1e-12, atol=1e-12, err_msg=name)


def _formula(symbolic: Any) -> Formula:
    def rule(g, w, t, loss, a, *, k=1.75):
        return tw.Update(symbolic(g, w, t, loss, a, k), a=a)

    return tw.formula(rule)


def test_words_of_the_language_may_be_names(tmp_path: Path) -> None:
    @tw.formula
    def rule(g, var, function, i, h, s, Math, *, new=2.0, delete=3.0, w0=0.5, special=1.5, 감쇠=1.0):
        var = w0 * var + (1 - w0) * g
        step = -delete * var / (감쇠 + special) - function - maximum(i, g) * new
        return tw.Update(step, var=var, function=function + new, i=i + 1, h=h + i, s=s - 1, Math=Math + h)

    ends = walked({"rule": rule}, [1.0], [[2.0], [-1.0]], tmp_path)
    path = our_path(rule, torch.ones(1), [torch.tensor([2.0]), torch.tensor([-1.0])], torch.float64, torch_ref.update)
    weights, states = ends["rule"]
    assert near(weights, path.weight)
    assert all(near(states[name], value) for name, value in path.states.items())


def test_what_is_not_finite_stays_so(tmp_path: Path) -> None:
    @tw.formula
    def rule(g, t, *, lr=1.0):
        return tw.Update(-g / (1 - lr**t) + log(1 - lr) * g)

    weights, _ = walked({"rule": rule}, [0.0, 0.0], [[1.0, float("nan")]], tmp_path)["rule"]
    assert not np.isfinite(np.array(weights, dtype=float)).any()
