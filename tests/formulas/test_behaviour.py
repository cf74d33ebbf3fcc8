"""What is published of rules: small versions of what holds on `digits`, and what docs/rules.md says of the table."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thalweg.verdict.intervals import interval

from ..verdict.test_method import tables

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
SAID = " ".join(PAGE.partition("## What is published, and what we saw")[2].split())
INTERVAL = re.compile(r"[+−]?[\d.]+%? \[[^\]]+\]")


@pytest.fixture(scope="module")
def behaviour() -> Iterator[Any]:
    """benchmarks/behaviour.py, which is a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("behaviour")
    for name in ("behaviour", "machine"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def runs(behaviour: Any) -> dict[tuple[str, str], Any]:
    """Candidates on `digits`, tuned over five rates."""
    pairs = [("adamw", "cosine"), ("momentum", "cosine"), ("lamb", "cosine"), ("schedule_free_adamw", "constant")]
    return {pair: behaviour.tuned("digits", *pair, fresh=5, refine=0) for pair in pairs}


@pytest.mark.whole
def test_schedule_free_is_within_the_verdict_of_a_tuned_cosine(runs: dict[tuple[str, str], Any]) -> None:
    """Over seeds and samples; paired by seed it costs less than a quarter of the loss."""
    cosine, averaged = runs["adamw", "cosine"], runs["schedule_free_adamw", "constant"]
    assert cosine.shown.low <= averaged.end.mean() <= cosine.shown.high
    assert interval(averaged.end / cosine.end - 1, skewed=False).high < 0.25


@pytest.mark.slow
def test_ranks_turn_over_after_the_middle_of_the_decay(behaviour: Any, runs: dict[tuple[str, str], Any]) -> None:
    lamb, momentum = runs["lamb", "cosine"], runs["momentum", "cosine"]
    assert behaviour.difference(lamb.middle, momentum.middle).low > 0
    assert behaviour.difference(lamb.end, momentum.end).high < 0
    two = {key: runs[key] for key in (("lamb", "cosine"), ("momentum", "cosine"))}
    reliable, turned, pairs = behaviour.turned_over(two)
    assert (len(reliable), turned, pairs) == (1, 1, 1)


@pytest.mark.whole
def test_best_rates_move_less_over_widths_than_those_of_adam(behaviour: Any) -> None:
    found = behaviour.transfers(widths=(16, 64))
    assert interval(found["adam"].shift, skewed=False).high < 0
    for rule in ("muon", "lamb"):
        assert behaviour.difference(abs(found["adam"].shift), abs(found[rule].shift)).low > 0, rule


@pytest.mark.whole
def test_the_cliff_is_two_to_four_times_the_best_rate(behaviour: Any) -> None:
    found = behaviour.cliffs(("sgd", "lamb", "adam"))
    octaves = {rule: interval(np.subtract(*found[rule][::-1]), skewed=False) for rule in found}
    assert all(octaves[rule].low >= 1 and octaves[rule].high <= 2 for rule in ("sgd", "lamb"))
    assert octaves["adam"].low > 2


def test_the_page_says_what_the_table_does() -> None:
    """Each interval on the page is one of the table; each claim's own are there, and whether it held."""
    table = tables("behaviour")
    claims, free, muon, widths, cliffs, turned = table
    parts = re.split(r" (?=\d\. \*\*)", SAID)[1:]
    measured = {found for rows in table for row in rows for cell in row for found in INTERVAL.findall(cell)}
    assert {*INTERVAL.findall(SAID)} <= measured
    needed = (
        [cell for row in free for cell in row[5:7]],
        [row[3] for row in muon],
        [cell for row in widths for cell in (row[4], row[5], row[7]) if cell != "–"],
        [row[3] for row in cliffs],
        [cell for row in turned for cell in row[1:]],
    )
    for part, cells, (_, held, _) in zip(parts, needed, claims, strict=True):
        assert f"held here: {held}" in part
        assert [cell for cell in cells if cell not in part] == []


def test_the_page_says_which_margins_lie_inside_the_interval() -> None:
    _, free, muon, widths, *_ = tables("behaviour")
    cells = [cell for row in free for cell in row[5:7]] + [row[3] for row in muon]
    cells += [row[k] for row in widths for k in (5, 7)]
    inside = {cell for cell in cells if re.search(r"\[−\S+ \+", cell)}
    assert inside
    assert {*re.findall(rf"({INTERVAL.pattern}), inside the interval", SAID)} == inside
