"""The statistics over problems, against published tables."""

from __future__ import annotations

import io
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from thalweg.plan.factors import Setting
from thalweg.suites.profiles import TAU, profile, score, to_best
from thalweg.suites.ranks import Ranks, ranks
from thalweg.suites.sentences import sentence
from thalweg.suites.shared import shared
from thalweg.suites.standings import Standing
from thalweg.verdict.intervals import Interval

# Demšar 2006, "Statistical comparisons of classifiers over multiple data sets", Journal of Machine Learning Research 7,
# table 6: ranks of four classifiers on 14 data sets by AUC, and what the text makes of them.
DEMSAR = pd.DataFrame(
    [
        *([4, 3, 2, 1], [1, 2, 3, 4], [4, 1, 2, 3], [4, 1, 3, 2], [4, 2, 3, 1], [1, 2.5, 4, 2.5], [3, 2, 4, 1]),
        *([2.5, 2.5, 4, 1], [4, 3, 2, 1], [2.5] * 4, [4, 2.5, 1, 2.5], [3, 2, 4, 1], [4, 1, 2, 3], [3, 1, 4, 2]),
    ],
    columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"],
)

# Steps to the targets of the AlgoPerf benchmark, and the scores published beside them: MLCommons,
# github.com/mlcommons/submissions_algorithms, artifacts/leaderboard_v2: time_to_targets_steps.csv, scores_steps.csv.
ALGOPERF = """\
AdEMAMix,8371,10206,44503,inf,inf,67706,inf,27247,112742,0.5258136924803595
Cautious NAdamW,inf,7518,58199,inf,inf,inf,inf,24948,112372,0.31986531986531946
Lion,inf,10645,59524,inf,inf,inf,inf,33386,109080,0.2732884399551064
Muon (JAX),inf,8801,40724,inf,151926,inf,inf,inf,inf,0.31986531986531946
Muon (PyTorch),7716,inf,39220,inf,inf,inf,inf,7711,97224,0.4326599326599318
NAdamW,8286,9924,58784,inf,152461,inf,inf,inf,inf,0.40404040404040326
NAdamW (Baseline v0.5),9145,6648,47039,inf,inf,inf,inf,20879,118600,0.45454545454545503
NAdamW (ResNet),inf,9220,53029,inf,inf,inf,inf,32738,inf,0.19528619528619492
Schedule-Free AdamW,10346,10599,inf,inf,inf,inf,90588,15853,133517,0.4461279461279469
Schedule-Free AdamW (JAX),inf,7160,57242,inf,175889,inf,inf,27341,122198,0.4090909090909087
Schedule-Free AdamW (JAX v2),9005,8750,68640,inf,164206,inf,inf,27457,inf,0.41245791245791213
Schedule-Free AdamW v2,7951,12431,inf,inf,inf,83184,78669,28449,73222,0.5252525252525259
DiLoCo (Single Worker),inf,9342,61209,inf,inf,inf,inf,inf,inf,0.18630751964085265
DiLoCo v2 (Single Worker),inf,10140,59550,inf,inf,inf,inf,inf,inf,0.1829405162738493
"""


@pytest.fixture(scope="module")
def published() -> tuple[pd.DataFrame, pd.Series]:
    """Steps to target (workloads, submissions), and scores."""
    table = pd.read_csv(io.StringIO(ALGOPERF), index_col=0, header=None).astype(float)
    return table.iloc[:, :-1].T, table.iloc[:, -1]


def test_average_ranks_and_the_critical_difference_are_those_of_the_paper() -> None:
    result = ranks(DEMSAR)
    assert result.mean.round(3).to_dict() == {"C4.5+m+cf": 1.964, "C4.5+m": 2.0, "C4.5+cf": 2.893, "C4.5": 3.143}
    assert result.critical_difference == pytest.approx(1.25, abs=0.005)
    # 9.28 in the paper, which leaves out the correction for ties: here it divides by 1 − Σ(t³ − t) / N(k³ − k).
    plain = 12 * 14 / (4 * 5) * ((result.mean**2).sum() - 4 * 5**2 / 4)
    assert plain == pytest.approx(9.28, abs=0.005)
    ties = 1 - (3 * (2**3 - 2) + (4**3 - 4)) / (14 * (4**3 - 4))
    assert result.p == pytest.approx(stats.chi2.sf(plain / ties, 3))
    assert result.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)  # 3.143 − 1.964 is below 1.25


def test_quantiles_are_those_of_the_papers_table() -> None:
    table = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}  # table 5a
    for count, quantile in table.items():
        losses = pd.DataFrame(np.arange(3.0 * count).reshape(3, count))
        expected = quantile * math.sqrt(count * (count + 1) / 18)
        assert ranks(losses).critical_difference == pytest.approx(expected, rel=3e-4)


def test_groups_overlap_where_only_the_ends_are_apart() -> None:
    rows = [[1, 2, 3, 4], [2, 1, 4, 3]] * 6  # average ranks 1.5, 1.5, 3.5, 3.5; critical difference 1.35
    assert ranks(pd.DataFrame(rows, columns=list("abcd"))).groups == (("a", "b"), ("c", "d"))
    rows = [[1, 2, 3], [1, 2, 3], [2, 1, 3], [1, 3, 2]] * 3  # 1.25, 2, 2.75; 0.96
    result = ranks(pd.DataFrame(rows, columns=list("abc")))
    assert result.groups == (("a", "b"), ("b", "c"))
    assert result.apart("a", "c")
    assert not result.apart("a", "b")


def test_without_a_difference_all_are_one_group() -> None:
    rows = [*itertools.permutations([1.0, 2.0, 3.0])]
    result = ranks(pd.DataFrame(rows, columns=list("abc")))
    assert (result.p, result.differ, result.groups) == (pytest.approx(1.0), False, (("a", "b", "c"),))
    equal = ranks(pd.DataFrame([[1.0] * 3] * 4, columns=list("abc")))
    assert (equal.p, equal.groups) == (1.0, (("a", "b", "c"),))


def test_optimizers_that_are_alike_are_seldom_told_apart() -> None:
    draws = np.random.default_rng(5).random((150, 5, 6))  # suites of five problems and six optimizers
    assert sum(len(ranks(pd.DataFrame(losses)).groups) > 1 for losses in draws) <= 0.05 * len(draws)


def test_two_optimizers_get_the_sign_test() -> None:
    losses = pd.DataFrame({"a": [1.0] * 8 + [3.0], "b": [2.0] * 8 + [3.0]})
    assert ranks(losses).p == pytest.approx(2 / 2**8)  # the ninth is a tie
    assert ranks(losses).groups == (("a",), ("b",))


def test_what_diverged_shares_the_last_rank() -> None:
    losses = pd.DataFrame([[1.0, math.inf, math.inf]] * 3, columns=list("abc"))
    assert ranks(losses).mean.to_dict() == {"a": 1.0, "b": 2.5, "c": 2.5}


def test_the_score_is_the_published_one(published: tuple[pd.DataFrame, pd.Series]) -> None:
    steps, scores = published
    ratios = to_best(steps)
    # The benchmark's program adds up trapezoids between 100 points; so do we here, and get all of its digits …
    taus = np.linspace(1, TAU, 100)
    for name, column in ratios.items():
        table = profile(column)
        shares = table["share"].to_numpy()[np.searchsorted(table["tau"], taus, side="right") - 1]
        assert integrate.trapezoid(shares, taus) / (TAU - 1) == pytest.approx(scores[name], abs=1e-12)
    # … from which the exact area differs by less than half a step for each of the nine workloads.
    exact = pd.Series({name: score(column).mean for name, column in ratios.items()})
    assert (exact - scores).abs().max() < 0.5 * 3 / 99 / 3
    assert exact["AdEMAMix"] == pytest.approx(0.524887, abs=1e-6)


def test_ratios_of_what_is_reached_at_once_or_never() -> None:
    times = pd.DataFrame({"a": [0.0, math.inf, 2.0], "b": [0.0, math.inf, 8.0], "c": [5.0, math.inf, math.inf]})
    assert to_best(times).to_numpy().tolist() == [[1, 1, math.inf], [math.inf] * 3, [1, 4, math.inf]]
    assert [score(column).mean for _, column in to_best(times).items()] == pytest.approx([2 / 3, 1 / 3, 0])


def test_the_band_keeps_a_width_and_covers() -> None:
    """Wilson's band around the share of problems within τ, for the true share .7 and ten problems."""
    assert profile(pd.Series([1.0] * 5)).iloc[0].to_list() == pytest.approx([1, 1, 0.5655, 1], abs=1e-4)
    counts = np.arange(11)
    bands = [profile(pd.Series([1.0] * k + [2.0] * (10 - k))).iloc[0] for k in counts]
    covered = [band["low"] <= 0.7 <= band["high"] for band in bands]
    assert stats.binom.pmf(counts[covered], 10, 0.7).sum() > 0.92


def test_one_setting_for_all_is_chosen_without_the_problem_it_is_judged_on() -> None:
    small, middle, large = (Setting("sgd", rate, "constant") for rate in (0.01, 0.1, 1.0))
    searches = {
        "a": pd.Series([4.0, 2.0, 1.0], [small, middle, large]),
        "b": pd.Series([2.0, 1.0, 4.0], [small, middle, large]),
        "c": pd.Series([1.0, 1.1, math.inf], [small, middle, large]),
    }
    rows = shared(searches)
    # On b and c: 2 · 1, 1 · 1.1, ∞. On a and c: 4 · 1, 2 · 1.1, ∞. On a and b: 8, 2, 4.
    assert [row.setting for row in rows] == [middle] * 3
    assert [(row.loss, row.tuned) for row in rows] == [(2.0, 1.0), (1.0, 1.0), (1.1, 1.0)]
    assert [row.regret for row in rows] == pytest.approx([2.0, 1.0, 1.1])


def test_only_settings_that_all_problems_tried_are_shared() -> None:
    """A grid that grew on one problem, and a setting that diverges everywhere but there."""
    small, large, grown = (Setting("sgd", rate, "constant") for rate in (0.1, 1.0, 10.0))
    searches = {"a": pd.Series([2.0, 3.0, 1.0], [small, large, grown]), "b": pd.Series([math.inf, 5.0], [small, large])}
    rows = shared(searches)
    assert [(row.problem, row.setting, row.regret) for row in rows] == [("a", large, 3.0), ("b", small, math.inf)]
    assert shared({"a": searches["a"]}) == []
    assert shared({"a": pd.Series([1.0], [small]), "b": pd.Series([1.0], [large])}) == []


def test_the_answer_says_what_is_closer_and_what_cannot_be_told() -> None:
    def answer(ratios: list[float], p: float, apart: bool) -> str:
        table = [
            Standing(name, rank, Interval(ratio, ratio, ratio), 3, Interval(1, 1, 1), None, apart and name != "adam")
            for name, rank, ratio in zip(["adam", "sgd", "lion"], [1.2, 1.9, 2.9], ratios, strict=True)
        ]
        return sentence(table, Ranks(pd.Series({"adam": 1.2}), p, 1.0, ()), 6, "loss")

    lead = "adam ranks best over 6 problems: average rank 1.2 of 3, and 1.5 times the lowest loss of each problem"
    test = "(Friedman’s test, p = {})"
    assert answer([1.5, 1.6, 2], 0.4, False) == (
        f"{lead}. But these problems do not tell the optimizers apart {test.format(0.4)}."
    )
    assert answer([1.5, 1.2, 2], 0.01, False) == (
        f"{lead} (sgd is closer to it: 1.2 times). The optimizers differ {test.format(0.01)}, but "
        "none can be told apart from adam."
    )
    assert answer([1.5, 1.6, 2], 0.01, True) == f"{lead}. It is reliably ahead of sgd and lion {test.format(0.01)}."
