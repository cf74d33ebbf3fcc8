"""What `docs/method.md` claims: each test that it names is there, and the tables that it cites say what it says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
METHOD, KOREAN = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("method.md", "method.ko.md"))
CLAIM = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)")


def tables(name: str) -> list[list[list[str]]]:
    """The tables of a committed result: rows of cells, without their heads."""
    text = (ROOT / "benchmarks" / "results" / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [[[cell.strip() for cell in row.split("|")[1:-1]] for row in block.splitlines()[2:]] for block in blocks]


def number(cell: str) -> float:
    return float(cell.rstrip("%").replace("−", "-").replace(",", ""))


def test_each_claim_names_a_test_that_is_there() -> None:
    named = CLAIM.findall(METHOD)
    assert len(named) > 40
    missing = [test for test, path in named if f"\ndef {test}(" not in (ROOT / path).read_text(encoding="utf-8")]
    assert not missing
    assert CLAIM.findall(KOREAN) == named


def test_the_simulated_verdicts_hold_as_often_as_it_says() -> None:
    rows, splits = tables("verdicts")
    assert {(row[1], row[2]) for row in rows} == {(seeds, m) for seeds in ("3", "5", "10") for m in ("288", "2,000")}
    assert len(rows) == 30
    mean, difference, leader, regret, best, alike = ([number(row[k]) for row in rows] for k in range(3, 9))
    assert all(94 <= share <= 97 for share in mean + leader)
    assert all(96.5 <= share < 99.5 for share in difference)
    assert all(share >= 98 for share in regret + best)
    assert f"told apart in at most {max(alike):g}%" in METHOD.replace("\n", " ")
    count, pairs, agree, _, confirmed, back = splits[0]
    said = (
        f"On {count} splits of `digits`",
        f"in {number(agree):.0f}% of {pairs} pairs",
        f"{number(confirmed):.0f}% are",
    )
    assert all(words in METHOD.replace("\n", " ") for words in said)
    assert number(back) == 0


def test_the_chance_of_being_best_is_within_three_points() -> None:
    """In five bins of it."""
    bins, _, identical = tables("chances")
    assert len(bins) == 5
    assert max(abs(number(row[-1])) for row in bins) <= 3
    _, _, shown, true, _ = bins[0]
    assert f"less than 40%, shown at {shown}, are the best in {true}" in METHOD.replace("\n ", "")
    assert {f"{number(shown):.0f}" for _, _, shown, _ in identical} <= {"31", "32"}
    assert "shown at 31% or 32% in place of 12.5%" in METHOD.replace("\n ", "")
    assert all(of_each == "12.5%" for *_, of_each in identical)


def test_what_seeds_of_the_search_would_gain_is_what_it_says() -> None:
    _, tuned, pooled, _ = tables("picks")
    gains = [number(confirmed) - number(together) for *_, confirmed, together in pooled]
    assert f"in each of {len(gains)} worlds, by {min(gains):.2f} to {max(gains):.2f} standard errors" in METHOD
    assert f"{min(gains):.2f}~{max(gains):.2f}배" in KOREAN
    most = {samples: number(first) for name, samples, _, first, _ in tuned if name == "84 and 7 × 7"}
    said = f"is first in {most['288']:.0f}% in place of 12.5% (288 samples; {most['2,000']:.0f}% with 2,000)"
    assert said in METHOD.replace("\n", " ")
    assert max(number(apart) for _, _, apart, *_ in tuned) <= 4


def test_the_kinds_of_noise_that_are_farther_off_are_named() -> None:
    _, noises, _ = tables("chances")
    off = {(row[0], k): number(cell) for row in noises for k, cell in enumerate(row[2:7])}
    assert {at for at, points in off.items() if abs(points) > 3} == {("unequal skew", 0), ("10% outliers", 2)}
    assert f"by {-off['unequal skew', 0]:g} points" in METHOD
    assert f"that of 60–80% by {-off['10% outliers', 2]:g} with 10% outliers" in METHOD
    assert f"two of {len(off)} bins" in METHOD
