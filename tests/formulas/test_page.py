"""docs/rules.md has every rule, as it is declared, with the test that holds it; the README has their number."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from thalweg.formulas import FORMULAS

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_is_declared_and_every_rule_is_held() -> None:
    written = runpy.run_path(str(ROOT / "docs" / "rules.py"))
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == written["page"](), "run `make rules`"
    assert [name for name, rule in FORMULAS.items() if not written["held"](rule)] == []


def test_the_readme_says_how_many() -> None:
    (count,) = re.findall(r"(\d+) rules", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert int(count) == len(FORMULAS)
