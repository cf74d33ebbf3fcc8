"""Writes docs/rules.md, every rule of the catalogue with what holds it: `make rules`."""

from __future__ import annotations

import functools
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the tests, whose tables say what a rule is held to

from tests import papers, sampled_papers, second_papers, tensor_papers  # noqa: E402

from thalweg.formulas import FORMULAS, WRAPPERS, Formula, get  # noqa: E402
from thalweg.formulas.latex import plain  # noqa: E402

HEAD = """# Rules

The {count} rules that thalweg knows by name, oldest family first, as they are declared: each is one formula, from which
the reference, the kernels, the population's programs, the classes of `tw.optim` and these equations are made. `g` is
the gradient, `w` the weight, `t` the step counted from 1. `thalweg formula NAME` shows a rule with the meaning of each
number. A form of a rule is a class too: `tw.optim.from_formula("adam(folded=True)")(model.parameters(), lr=0.01)`.

What a rule is held to is a test in float64, to 1e-10 of the end of a path: against torch.optim's own class, or against
the equations of the paper or of the authors' program, written a second time in NumPy, over 50 steps (in
tests/optim 20, and 8 for Muon). torch.optim.Muon rounds Newton–Schulz to bfloat16; the test has both compute in
float64. Where the first gradient lacks full rank, rounding decides which of its eigenvectors SOAP begins with: a recipe
need not repeat such a run, and the test has both sides begin with the same ones, which another test holds to be
eigenvectors. This page is written by `make rules` from the declarations. Its end compares what is published of rules
with [what we saw](#what-is-published-and-what-we-saw).
"""
AROUND = """## Around any rule

These take a rule and give one, with the states and numbers of both: `lookahead(adamw(beta2=0.99), steps=10)` is a name
wherever the name of a rule is, `tw.formulas.lookahead(rule, steps=10)` the same for a formula of your own. Below, each
is around momentum. A population has no rule that looks beyond one weight, as cautious does, and also takes its gradient
ahead or shows other weights: such a pair says so, and trains in a loop of your own.
"""
PUBLISHED = """## What is published, and what we saw

Five claims about rules, tried on two small problems by `benchmarks/behaviour.py`; [its
tables](../benchmarks/results/behaviour.md) have all numbers. Losses are validation losses; intervals are 95% ones over
seeds (10 on `digits`, 5 on `text`), and differences are paired by seed; each interval is for its number alone. All
candidates of a problem have the same epochs and seeds, and each at least seven rates around its usual one. Problems
that train in seconds show whether an effect is visible at this size; they neither prove nor refute a claim about large
models.

1. **Schedule-free needs no schedule** (Defazio et al. 2024); held here: 1 of 4. The claim holds if the loss at a
   constant rate lies within the interval of the tuned cosine, or below. It does for AdamW on `text`: schedule-free −
   cosine is −0.037 [−0.067, −0.006]. It does not on `digits`, with +0.010 [+0.004, +0.016] for AdamW and
   +0.011 [+0.005, +0.016] for SGD, where the cosine has momentum; both are within the wider interval of a verdict,
   which is over samples too. For SGD on `text` the difference is +0.437 [+0.393, +0.482], far outside of both. At this
   length the plain rules hardly need a schedule either. Constant − cosine is −0.005 [−0.008, −0.001] for AdamW on
   `digits`, so the constant rate is better; −0.005 [−0.010, +0.000], inside the interval, for momentum on `digits`;
   +0.012 [−0.018, +0.041], inside the interval, for AdamW on `text`; and −0.039 [−0.092, +0.013], inside the interval,
   for momentum on `text`.
2. **Muon beats AdamW at equal steps** (Jordan et al. 2024); held here: yes, on `text`, where Muon − AdamW is
   −0.065 [−0.095, −0.036] after 640 steps, both tuned, both along a cosine. On `digits` Muon is worse, by
   +0.012 [+0.001, +0.023].
3. **Rates of Muon and LAMB transfer over widths better than Adam's** (Large et al. 2024 for rules that normalize each
   layer's step); held here: 2 of 2. From width 16 to 256 Adam's best rate moves by −1.9 [−2.6, −1.2] octaves, Muon's by
   −0.9 [−1.1, −0.7] and LAMB's by −0.2 [−0.7, +0.3]: less than Adam's by +1.0 [+0.4, +1.6] and +1.5 [+0.6, +2.4]
   octaves. What the rate of width 16 costs at width 256 is less than with Adam by +60% [+18%, +102%] for LAMB, in
   points of the loss, and by +21% [−36%, +78%], inside the interval, for Muon.
4. **A rule's cliff lies 2–4× above its best rate**; held here: 2 of 6 rules. The lowest rate at which `digits` is not
   learned, over the best rate, is 2.7 [2.3, 3.3] for SGD and 2.7 [2.3, 3.3] for LAMB. Others have more room: momentum
   6.1 [4.2, 8.7], Adam 17.1 [9.1, 32.5], Lion 111.4 [93.7, 132.5], Muon 168.9 [107.7, 264.8].
5. **Ranks turn over between mid-run and the end of the decay** (Wen et al. 2025); held here: yes. Of 36 pairs of a rule
   and its schedule 8 change order on `digits` and 3 on `text`; on each, 2 do with both differences outside of their
   intervals. AdamW along a cosine − AdamW at a constant rate, `digits`: −0.015 [−0.023, −0.006], then
   +0.005 [+0.001, +0.008]. LAMB along a cosine − schedule-free AdamW, `digits`: +0.020 [+0.008, +0.032], then
   −0.015 [−0.022, −0.008]. AdamW − LAMB, both along a cosine, `text`: −0.064 [−0.094, −0.034], then
   +0.044 [+0.005, +0.082]. LAMB along a cosine − AdamW at a constant rate, `text`: +0.039 [+0.014, +0.065], then
   −0.056 [−0.094, −0.017].
"""
VECTORS = (7,)
TABLES = (
    (papers, "kernels/test_agreement.py"),
    (tensor_papers, "kernels/test_tensors.py"),
    (second_papers, "kernels/test_second.py"),
    (sampled_papers, "kernels/test_sampled.py"),
)


def held(rule: Formula, around: str = "") -> list[str]:
    """The tests that hold the rule, and to what; of a rule around others with any of them inside."""
    found = []
    if rule.drop_ins and rule.drop_ins[0].in_torch:
        file = {"Muon": "optim/test_muon.py"}.get(rule.drop_ins[0].name)
        elementwise = rule.equations.elementwise
        where = file or ("kernels/test_agreement.py" if elementwise else "optim/test_drop_ins.py")
        found.append(f"torch.optim.{rule.drop_ins[0].name}, in tests/{where}")
    for table, test in TABLES:
        forms = [text for text in table.PAPERS if _is(_name(text), rule, around)]
        if forms:
            what = "equations" if len(forms) == 1 else f"equations of {len(forms)} forms"
            found.append(f"{what} in tests/{table.__name__.rpartition('.')[2]}.py, by tests/{test}")
    return found


@functools.cache
def _name(text: str) -> str:
    return get(text).name


def _is(name: str, rule: Formula, around: str) -> bool:
    return name.startswith(f"{around}(") if around else name == rule.name


def section(rule: Formula, around: str = "") -> Iterator[str]:
    """A rule's part of the page; of a rule around others, where one is inside."""
    yield f"### {around}\n" if around else f"## {rule.name}\n"
    yield from textwrap.wrap(rule.doc.splitlines()[0], 120, break_on_hyphens=False)
    yield "\n```text"
    yield from plain(rule.equations)
    if (of_vectors := rule.of_shape(VECTORS)).equations != rule.equations:
        yield "\nof a vector:"
        yield from plain(of_vectors.equations)
    yield "```\n"
    values = {**rule.hyperparameters, **rule.options}
    numbers = ", ".join(
        f"{k} {'absent' if v is None else f'{v:g}' if isinstance(v, float) else v}" for k, v in values.items()
    )
    facts = {
        "Defaults": numbers,
        "Source": f"{rule.source}{f' ({rule.year})' if rule.year else ''}",
        "Grew from": ", ".join(rule.parents) or "nothing before it",
        "Steps": f"along the {rule.direction}; rate {rule.rate}",
        "Departs": rule.departs or "in nothing",
        "As a class": ", ".join(f"`tw.optim.{d.name}`" for d in rule.drop_ins) or "by `tw.optim.from_formula`",
        "Held to": "; ".join(held(rule, around)),
    }
    if around:
        del facts["Grew from"], facts["Steps"]
    for name, words in facts.items():
        yield from textwrap.wrap(f"- {name}: {words}", 120, subsequent_indent="  ", break_on_hyphens=False)
    yield ""


def page() -> str:
    """The whole text."""
    rules = [line for rule in FORMULAS.values() for line in section(rule)]
    others = [line for name, wrapper in WRAPPERS.items() for line in section(wrapper(get("momentum")), name)]
    return "\n".join([HEAD.format(count=len(FORMULAS), around=len(WRAPPERS)), *rules, AROUND, *others, PUBLISHED])


if __name__ == "__main__":
    (HERE / "rules.md").write_text(page(), encoding="utf-8")
