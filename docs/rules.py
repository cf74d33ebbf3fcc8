"""Writes docs/rules.md, every rule of the catalogue with what holds it: `make rules`."""

from __future__ import annotations

import functools
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the tests, whose tables say what a rule is held to

from tests import papers, second_papers, tensor_papers  # noqa: E402

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
float64. SOAP's first bases are arbitrary where the first gradient has not full rank; there the test asks for 20% only,
and a recipe need not repeat a run. This page is written by `make rules` from the declarations.
"""
AROUND = """## Around any rule

These take a rule and give one, with the states and numbers of both: `lookahead(adamw(beta2=0.99), steps=10)` is a name
wherever the name of a rule is, `tw.formulas.lookahead(rule, steps=10)` the same for a formula of your own. Below, each
is around momentum. A population has no rule that looks beyond one weight, as cautious does, and also takes its gradient
ahead or shows other weights: such a pair says so, and trains in a loop of your own.
"""
MISSING = """## What is not here

Sophia-G (Liu et al. 2023) divides by an estimate of the diagonal of the Gauss–Newton matrix, renewed every ten steps:
the square, times the batch size, of the gradient of another loss, whose labels are drawn from the model's own softmax.
A formula has gradients of the loss that is trained, where `at=` and `again=` say; it has neither the outputs nor their
distribution, and losses other than the cross-entropy of logits have no labels to draw. A training loop of your own
(docs/your-own-model.md) can take such steps, and is compared like any other.
"""
VECTORS = (7,)
TABLES = (
    (papers, "kernels/test_agreement.py"),
    (tensor_papers, "kernels/test_tensors.py"),
    (second_papers, "kernels/test_second.py"),
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
    return "\n".join([HEAD.format(count=len(FORMULAS), around=len(WRAPPERS)), *rules, AROUND, *others, MISSING])


if __name__ == "__main__":
    (HERE / "rules.md").write_text(page(), encoding="utf-8")
