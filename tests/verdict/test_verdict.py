"""The ranking on tables whose answer is known; `test_coverage.py` has how often it is right."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

import thalweg as tw
from thalweg.errors import PlanError
from thalweg.plan.plan import Plan, Setting, plan
from thalweg.verdict import advice, chances
from thalweg.verdict.comparisons import rank
from thalweg.verdict.entries import Verdict
from thalweg.verdict.intervals import Interval
from thalweg.verdict.losses import points
from thalweg.verdict.verdict import judge, to_confirm

Loss = Callable[[str, float, str, int], float]
RATES = (0.01, 0.1, 1.0)


def ranked(losses: Any) -> tuple[list[int], Any]:
    return rank(np.asarray(losses, dtype=float))


# rank


def test_known_order_and_intervals() -> None:
    rng = np.random.default_rng(0)
    losses = np.array([3.0, 1.0, 2.0]) + 0.01 * rng.normal(size=(8, 3))
    order, result = ranked(losses)
    assert order == [1, 2, 0]
    assert result.letters == ["c", "a", "b"]
    assert result.may_be_best == [False, True, False]
    assert result.standing == ["worse", "best", "worse"]
    assert result.probability == [0, 1, 0]
    for k in range(3):
        assert result.mean[k].mean == losses[:, k].mean()
        assert result.mean[k].low < result.mean[k].mean < result.mean[k].high
    assert (result.difference[1].low, result.difference[1].mean, result.difference[1].high) == (0, 0, 0)
    assert 1.9 < result.difference[0].low < result.difference[0].mean < result.difference[0].high < 2.1


def test_identical_candidates_tie_and_share_the_probability() -> None:
    column = np.random.default_rng(1).normal(size=(5, 1))
    order, result = ranked(np.hstack([column, column, column + 1]))
    assert order == [0, 1, 2]
    assert result.letters == ["a", "a", "b"]
    assert result.standing == ["best", "practically the same", "worse"]
    assert result.probability[0] == pytest.approx(0.5, abs=0.02)
    assert result.probability[2] < 0.01


def test_differences_are_paired_by_seed() -> None:
    """Seeds differ far more than candidates do; only the pairing can tell these two apart."""
    seeds = np.arange(6.0)[:, None] * 10
    _, result = ranked(np.hstack([seeds, seeds + 0.1 + 0.01 * np.cos(seeds)]))
    assert result.letters == ["a", "b"]
    assert result.mean[0].high > result.mean[1].low


def test_a_wide_one_is_told_from_neither() -> None:
    """The third cannot be told from the first nor from the second; the second is reliably worse than the first."""
    rng = np.random.default_rng(2)
    first = np.zeros(10)
    second = first + 0.1 + 0.001 * rng.normal(size=10)
    third = first + 0.2 + 3 * np.tile([1.0, -1.0], 5)
    order, result = ranked(np.stack([first, second, third], axis=1))
    assert order == [0, 1, 2]  # by mean, whatever is told apart
    assert result.letters == ["a", "b", "ab"]
    assert result.groups == [[0, 2], [1, 2]]
    assert result.may_be_best == [True, False, True]


@pytest.mark.parametrize("seed", range(5))
def test_letters_places_and_order_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses = rng.normal(size=(6, 7)) * rng.uniform(0.1, 2, 7) + np.linspace(0, 2, 7)
    order, result = ranked(losses)
    for j in range(7):
        for k in range(7):
            apart = not set(result.letters[j]) & set(result.letters[k])
            if result.places[j][1] < result.places[k][0]:  # told apart among all: then also alone
                assert apart
                assert len(ranked(losses[:, [j, k]])[1].groups) == 2
            if apart and j == order[0]:
                assert result.standing[k] == "worse"
        first, last = result.places[j]
        assert first <= 1 + order.index(j) <= last
        assert result.letters[j]
    assert order == sorted(range(7), key=lambda k: losses[:, k].mean())
    assert result.may_be_best[order[0]]


def test_the_chance_to_be_best_does_not_contradict_the_interval() -> None:
    """Two seeds agree on who is ahead, but by gaps so unequal that the interval covers zero."""
    _, result = ranked([[1.0, 1.1], [1.0, 3.0]])
    assert result.letters == ["a", "a"]
    assert 0.5 < result.probability[0] < 0.9


def test_one_seed_ties_everybody() -> None:
    order, result = ranked([[2.0, 1.0, 3.0]])
    assert order == [1, 0, 2]
    assert result.letters == ["a", "a", "a"]
    assert all(result.may_be_best)
    assert result.regret == [math.inf] * 3
    assert (result.mean[0].mean, result.mean[0].low, result.mean[0].high) == (2, -math.inf, math.inf)


INF = math.inf


@pytest.mark.parametrize(
    ("losses", "order", "letters"),
    [
        ([[1.0, 2.0], [1.1, INF], [1.2, 2.1]], [0, 1], ["a", "b"]),  # once
        ([[INF, 2.0], [INF, 2.1], [INF, 2.2]], [1, 0], ["b", "a"]),  # always
        ([[INF, INF], [INF, INF]], [0, 1], ["a", "a"]),  # everybody, always
        ([[INF, 1.0, 2.0], [1.0, INF, 2.0], [1.0, 1.0, INF]], [0, 1, 2], ["a", "a", "a"]),  # everybody, once
        (
            [[1.0, INF, INF], [1.1, INF, 3.0], [1.0, INF, 3.0]],
            [0, 2, 1],
            ["a", "b", "b"],
        ),  # always, and sometimes: three seeds cannot tell these apart
    ],
)
def test_infinite_losses(losses: Any, order: list[int], letters: list[str]) -> None:
    found, result = ranked(losses)
    assert found == order
    assert result.letters == letters
    assert sum(result.probability) == pytest.approx(1)
    assert not any(math.isnan(v.mean) for v in [*result.mean, *result.difference])


def test_same_table_same_answer() -> None:
    losses = np.random.default_rng(3).normal(size=(5, 4))
    assert ranked(losses) == ranked(losses)


# judge


def made(**changes: Any) -> Plan:
    asked: dict[str, Any] = {"optimizers": ["sgd", "momentum", "adam"], "rates": RATES, "seeds": 4}
    return plan(**{**asked, "confirmation": 3, "tune": False, **changes})


def table(
    wanted: Plan,
    loss: Loss,
    fresh: Mapping[str, Any] | None = None,
    status: Any = None,
    extra: Callable[[Setting, int], float] | None = None,
) -> pd.DataFrame:
    """What `Store.members()` gives: `loss` for the search, `fresh` (a loss for the chosen settings) after it;
    `extra` is added to both."""
    rows = []

    def add(stage: str, s: Setting, seed: int, of: Loss) -> None:
        value = of(s.optimizer, s.lr, s.schedule, seed) + (extra(s, seed) if extra else 0)
        state = "diverged" if math.isnan(value) else "finished"
        test = value + 1 if stage == "confirmation" else math.nan
        rows.append(
            {
                "member": len(rows) + 1,
                "stage": stage,
                "optimizer": s.optimizer,
                "lr": s.lr,
                "schedule": s.schedule,
                **dict(s.further),
                "seed": seed,
                "status": status(seed, state) if status else state,
                "step": 9,
                "validation_loss": value,
                "test_loss": test,
                "test_accuracy": math.nan if math.isnan(test) else 0.9,
            }
        )

    for seed in range(wanted.seeds):
        for s in wanted.settings:
            add("search", s, seed, loss)
    if fresh is not None:
        chosen = to_confirm(wanted, pd.DataFrame(rows))
        for seed in range(wanted.seeds, wanted.seeds + wanted.confirmation):
            for s in chosen:
                add("confirmation", s, seed, fresh["loss"])
    return pd.DataFrame(rows)


BASE = {"sgd": 3.0, "momentum": 2.0, "adam": 1.0}


def valley(optimizer: str, lr: float, schedule: str, seed: int) -> float:
    """Best at 0.1 with cosine; adam before momentum before sgd."""
    noise = np.random.default_rng([seed, len(optimizer)]).normal() * 0.01
    return BASE[optimizer] + abs(math.log10(lr) + 1) + 0.5 * (schedule == "constant") + noise


def worse(optimizer: str, lr: float, schedule: str, seed: int) -> float:
    return valley(optimizer, lr, schedule, seed) + 0.5


def judged(wanted: Plan, members: pd.DataFrame, costs: Mapping[str, Any] | None = None) -> Verdict:
    result = judge(wanted, "hills", members, costs or {})
    text = json.dumps(result.to_json(), allow_nan=False)
    assert json.loads(text)["sentence"] == result.sentence
    assert "nan" not in str(result)
    return result


def test_a_clear_winner_stands_alone() -> None:
    wanted = made()
    costs = {"seconds_per_step": {"adam": 1e-5}}
    result = judged(wanted, table(wanted, valley, {"loss": worse}), costs)
    assert [e.optimizer for e in result.entries] == ["adam", "momentum", "sgd"]
    assert result.groups == (("adam",), ("momentum",), ("sgd",))
    best = result.best
    assert (best.lr, best.schedule, best.letters, best.edge, best.runs, best.diverged) == (
        0.1,
        "cosine",
        "a",
        None,
        24,
        0,
    )
    assert (best.seconds_per_step, best.state_bytes_per_weight) == (1e-5, 8.0)
    assert result.to_json()["entries"][1]["seconds_per_step"] is None
    assert result.sentence.startswith("adam (rate 0.1, cosine) is best on hills: validation loss 1.4")
    assert "over 3 fresh seeds and no other comes level. Worse than the best: momentum (by " in result.sentence
    assert result.sentence.endswith("This is about other seeds on this very split of the data.")
    luck, untuned, _ = result.notes
    assert untuned.startswith("Untuned, at its own defaults, adam (rate 0.001, constant) is the lowest: 3.9")
    assert untuned.endswith("; tuned, adam has 1.496.")
    assert luck.startswith("adam: 1.496 with fresh seeds is 0.5 higher than the 0.9993 of the search, whose lowest")
    assert [e.places for e in result.entries] == [(1, 1), (2, 2), (3, 3)]
    assert {e.more_seeds for e in result.entries} == {0}


def test_confirmation_replaces_the_numbers_of_the_search() -> None:
    wanted = made()
    result = judged(wanted, table(wanted, valley, {"loss": worse}))
    assert (result.confirmed, result.seeds) == (True, 3)
    for entry in result.entries:
        assert entry.validation_loss.mean == pytest.approx(BASE[entry.optimizer] + 0.5, abs=0.05)
        assert entry.search_value == pytest.approx(BASE[entry.optimizer], abs=0.05)
        assert entry.optimism == entry.validation_loss.mean - entry.search_value
        fresh = [worse(entry.optimizer, entry.lr, entry.schedule, seed) for seed in (4, 5, 6)]
        assert entry.percentile_90 == max(fresh)
        assert entry.test["loss"].mean == pytest.approx(entry.validation_loss.mean + 1)
        assert entry.test["accuracy"].mean == pytest.approx(0.9)


def test_defaults_stand_beside_the_tuned_setting() -> None:
    wanted = made()
    result = judged(wanted, table(wanted, valley, {"loss": worse}))
    for entry in result.entries:
        default = entry.default
        assert default is not None
        assert (default.lr, default.schedule, default.chosen) == (0.001, "constant", False)
        assert default.lr not in wanted.rates
        # two decades from the best rate, the other schedule
        assert default.value.mean == pytest.approx(BASE[entry.optimizer] + 0.5 + 2 + 0.5, abs=0.05)
        gain = default.value.mean - entry.validation_loss.mean
        assert default.difference.mean == pytest.approx(gain)
        assert default.difference.low == pytest.approx(gain)  # the noise of a seed is shared
        assert default.test["loss"].mean == pytest.approx(default.value.mean + 1)
        assert entry.tunability == pytest.approx(gain / entry.validation_loss.mean)
    assert result.to_json()["entries"][2]["tunability"] == result.entries[2].tunability
    assert result.to_json()["entries"][0]["default"]["value"]["mean"] > 3.9
    unconfirmed = judge(wanted, "hills", table(wanted, valley), {})
    assert all(e.default is None and math.isnan(e.tunability) for e in unconfirmed.entries)
    along = judge(wanted, "hills", table(wanted, valley, {"loss": worse}), {}, "schedule")
    assert all(e.default is None for e in along.entries)


def test_a_default_that_was_chosen_is_not_run_twice() -> None:
    def flat(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        return 1 + abs(math.log10(lr) + 3) + 0.5 * (schedule != "constant")

    wanted = made(optimizers=["sgd"], rates=[1e-4, 1e-3, 1e-2])
    members = table(wanted, flat, {"loss": flat})
    assert len(to_confirm(wanted, members)) == 2  # the chosen one, and the best with cosine
    default = judged(wanted, members).best.default
    assert default is not None
    assert (default.chosen, default.difference.mean, default.value.mean) == (True, 0, 1)


@tw.formula()
def still(g, *, lr=0.0):
    return tw.Update(-lr * g)


def test_a_rule_without_a_default_rate_says_so() -> None:
    wanted = made(optimizers=["sgd", still])
    BASE["still"] = 2.0
    result = judged(wanted, table(wanted, valley, {"loss": valley}))
    assert {e.optimizer: e.default is None for e in result.entries} == {"still": True, "sgd": False}
    assert "still: no default rate above 0, so tuned numbers only." in result.notes


def test_defaults_are_the_formulas_own_and_leave_the_rest_as_chosen(known: tuple[Plan, pd.DataFrame]) -> None:
    wanted = sized(hyperparameters={"beta2": [0.9, 0.99], "amsgrad": [True, False]})
    chosen = Setting("adam", 0.1, "cosine", (("batch_size", 16), ("beta2", 0.9), ("amsgrad", True)))
    assert wanted.default(chosen) == Setting(
        "adam", 0.001, "constant", (("batch_size", 16), ("beta2", 0.999), ("amsgrad", False))
    )
    made_again = Plan.from_json(json.loads(json.dumps(wanted.to_json())))
    assert made_again.default(chosen) == wanted.default(chosen)
    member = wanted.member(wanted.default(chosen), 0)  # type: ignore[arg-type]
    assert (member.formula.hyperparameters["beta2"], member.hyperparameters["lr"]) == (0.999, 0.001)
    assert made(optimizers=["adam(lr=0.02)"]).default(Setting("adam(lr=0.02)", 1.0, "cosine")) == Setting(
        "adam(lr=0.02)", 0.02, "constant"
    )


def test_the_order_is_that_of_the_confirmation() -> None:
    wanted = made()
    members = table(wanted, valley, {"loss": lambda o, *rest: valley(o, *rest) + (9 if o == "adam" else 0)})
    assert [e.optimizer for e in judged(wanted, members).entries] == ["momentum", "sgd", "adam"]


def test_before_the_confirmation_the_test_part_is_untouched() -> None:
    wanted = made()
    members = table(wanted, valley, {"loss": worse})
    members.loc[(members["stage"] == "confirmation") & (members["seed"] == 6), "status"] = "started"
    result = judged(wanted, members)
    assert (result.confirmed, result.seeds, result.best.test) == (False, 4, {})
    assert result.best.validation_loss.mean == pytest.approx(1, abs=0.05)
    assert "Not confirmed: the search is complete" in result.notes[-2]


def test_a_tie_is_called_a_tie() -> None:
    wanted = made(optimizers=["sgd", "momentum"])

    def level(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        return 1 + abs(math.log10(lr) + 1) + 0.1 * (1 if (seed + len(optimizer)) % 2 else -1)

    result = judged(wanted, table(wanted, level, {"loss": level}))
    assert result.groups == ((*[e.optimizer for e in result.entries],),)
    second = result.entries[1]
    best, other = result.best.optimizer, second.optimizer
    assert f"over 3 fresh seeds; {other} may be as good. " in result.sentence
    assert f"{best} is the safest choice: whichever is truly best, it costs at most " in result.sentence
    assert "chance" not in result.sentence
    assert (second.places, second.standing, second.more_seeds) == ((1, 2), "open", INF)
    assert result.notes[0] == f"No number of seeds can be promised to tell {best} apart from {other}."
    assert result.to_json()["entries"][0]["optimism"] == result.best.optimism


def test_rivals_that_scatter_wildly_are_named_where_a_cost_is_not_known() -> None:
    wanted = made(optimizers=["sgd", "momentum", "adam"])

    def level(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        wild = {"adam": (5.0, 0.5, 60.0)[seed % 3]}.get(optimizer, 0.001 * (seed % 3) * len(optimizer))
        return 1 + abs(math.log10(lr) + 1) + wild

    result = judged(wanted, table(wanted, level, {"loss": level}))
    assert result.best.optimizer == "sgd"
    assert (
        "What a choice may cost is not known: the runs of adam scatter so much that their means may be anywhere."
        in result.sentence
    )


def test_an_interval_on_one_side_of_zero_that_chance_explains_is_said_to_be_a_tie() -> None:
    """Among 28 pairs, one whose own p-value is 2%."""
    wanted = made(
        optimizers=["sgd", "momentum", "adam", "adamw", "nesterov", "adagrad", "rmsprop", "adadelta"], confirmation=10
    )

    def level(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        noise = np.random.default_rng([seed + 7, *map(ord, optimizer)]).normal()
        return 1 + abs(math.log10(lr) + 1) + (schedule == "constant") + 0.1 * noise

    result = judged(wanted, table(wanted, level, {"loss": level}))
    assert len(result.groups) == 1
    alone = [e.optimizer for e in result.entries[1:] if e.difference.low > 0]
    assert alone
    (note,) = [n for n in result.notes if "looked at alone" in n]
    assert note.startswith(alone[0])
    assert "among 28 comparisons such a one is likely by chance" in note
    assert any(" seeds " in n and " tell " in n and alone[0] in n for n in result.notes)


def test_differences_too_small_for_any_seeds_are_said_to_be_so() -> None:
    wanted = made(optimizers=["sgd", "adam"], confirmation=10)

    def level(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        side = (optimizer == "sgd") * (1 if seed % 2 else -1)
        return 5 + abs(math.log10(lr) + 1) + (schedule == "constant") + side + 1e-3 * (optimizer == "adam")

    result = judged(wanted, table(wanted, level, {"loss": level}))
    assert result.entries[1].more_seeds == INF
    assert "No number of seeds can be promised to tell sgd apart from adam." in result.notes
    assert result.to_json()["entries"][1]["more_seeds"] is None


def test_samples_that_would_settle_what_seeds_cannot_are_named() -> None:
    wanted = made(optimizers=["sgd", "momentum", "adam"])
    result = judged(wanted, table(wanted, valley, {"loss": worse}))
    best, *others = (e.optimizer for e in result.entries)
    needs = [{"more_seeds": 0.0}, {"more_seeds": INF, "more_samples": 4567.0}, {"more_seeds": INF, "more_samples": INF}]
    entries = [dataclasses.replace(e, standing="open", **need) for e, need in zip(result.entries, needs, strict=True)]
    beyond = f"No number of seeds can be promised to tell {best} apart from {others[1]}."
    for most, rest in (
        (0, ""),
        (6000, " (`thalweg extend a.db --samples 4567`)"),
        (3000, ", and training and validation have 3,000 together, so more data would be needed"),
    ):
        verdict = dataclasses.replace(result, entries=tuple(entries), samples=1200, most_samples=most, store="a.db")
        told = [*advice.still_open(wanted["optimizer"], verdict)]
        assert told[0].startswith(f"No number of seeds tells {best} apart from all others, but samples would: from ")
        assert told[0].endswith(f" from {others[0]} about 4,600 in place of 1,200{rest}.")
        assert told[1:] == [beyond]


def test_where_few_samples_judge_more_of_them_and_folds_are_recommended() -> None:
    wanted = made(optimizers=["sgd", "adam"])
    result = judged(wanted, table(wanted, valley, {"loss": worse}))

    def told(of_seeds: float, of_samples: float, samples: int, most: int) -> str:
        entries = tuple(dataclasses.replace(e, spread=(of_seeds, of_samples)) for e in result.entries)
        verdict = dataclasses.replace(result, entries=entries, samples=samples, most_samples=most, store="a.db")
        (note,) = advice.spreads(verdict)
        return note

    assert told(0.01, 0.04, 288, 1437).endswith(
        "`thalweg extend a.db --samples 1437` lets all 1,437 of training and validation judge, and so does a new study "
        "with `--folds 5`, which is also about other training sets of that size."
    )
    enough = [(0.04, 0.01, 288, 1437), (0.01, 0.04, 6000, 9000), (0.01, 0.04, 288, 288), (0.01, 0.04, 288, 0)]
    assert not [note for each in enough if "--" in (note := told(*each))]


def test_advice_is_a_command_that_a_shell_takes() -> None:
    wanted = made(optimizers=["sgd", "momentum", "adam"])
    result = judged(wanted, table(wanted, valley, {"loss": worse}))
    needs = zip(result.entries, (0.0, 12.0, 30.0), strict=True)
    entries = tuple(dataclasses.replace(e, standing="open", more_seeds=more) for e, more in needs)
    verdict = dataclasses.replace(result, entries=entries, store="my runs/a.db")
    (advised,) = advice.still_open(wanted["optimizer"], verdict)
    best, *others = (e.optimizer for e in entries)
    assert advised == (
        f"More seeds that would tell {best} apart in 4 of 5 studies: from {others[0]} about 12, from {others[1]} about "
        "30 (`thalweg extend 'my runs/a.db' --seeds 30`)."
    )
    (elsewhere,) = advice.still_open(wanted["optimizer"], dataclasses.replace(verdict, store=""))
    assert "thalweg" not in elsewhere


def test_one_optimizer_alone_is_compared_with_nobody() -> None:
    wanted = made(optimizers=["sgd"])
    sentence = judged(wanted, table(wanted, valley, {"loss": worse})).sentence
    assert sentence.startswith(
        "sgd (rate 0.1, cosine) has a validation loss 3.496 [3.463, 3.527] on hills, over 3 fresh"
    )
    assert "no other optimizer was compared" in sentence
    assert "best" not in sentence


def test_no_interval_leaves_the_scale_of_what_it_is_of() -> None:
    """Two seeds far apart: Student's interval of the mean reaches below 0, where no squared error is."""

    def wide(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        return 0.01 + 0.05 * (seed % 2)

    wanted = made(optimizers=["sgd"], confirmation=2)
    free = judged(wanted, table(wanted, wide)).best
    assert free.value.low < 0
    criterion = dataclasses.replace(wanted.criterion, scale=(0.0, math.inf))
    bounded = dataclasses.replace(wanted, loss_scale=(0.0, math.inf), criterion=criterion)
    held = judged(bounded, table(bounded, wide)).best
    assert (held.value.low, held.value.high, held.value.mean) == (0.0, free.value.high, free.value.mean)
    stored = Plan.from_json(json.loads(json.dumps(bounded.to_json())))
    assert stored.loss_scale == stored.criterion.scale == (0.0, math.inf)


def test_a_scale_is_not_that_of_something_else_of_its_name() -> None:
    """An accuracy in percent, as a script may print it; and one value alone has no interval to be bounded."""
    percent, alone = Interval(93.0, 90.0, 96.0), Interval(0.5, -math.inf, math.inf)
    assert percent.within((0.0, 1.0)) == percent
    assert alone.within((0.0, 1.0)) == alone
    assert str(alone) == "0.5 (one value, so no interval)"


def test_one_seed_cannot_tell() -> None:
    wanted = made(seeds=1, confirmation=0)
    result = judged(wanted, table(wanted, valley))
    assert result.sentence.endswith("on hills, but one seed cannot tell optimizers apart.")
    assert result.groups == (("adam", "momentum", "sgd"),)
    assert result.to_json()["entries"][0]["validation_loss"]["low"] is None


def test_edges_are_flagged() -> None:
    wanted = made(optimizers=["sgd", "adam"])
    result = judged(wanted, table(wanted, lambda o, lr, s, seed: (lr if o == "sgd" else 2 - lr) + seed))
    assert {e.optimizer: e.edge for e in result.entries} == {"sgd": "lowest", "adam": "highest"}
    assert any(n.startswith("sgd: its best rate 0.01 is the lowest tried; a lower one") for n in result.notes)
    assert any(n.startswith("adam: its best rate 1 is the highest tried; a higher one") for n in result.notes)
    single = made(optimizers=["sgd"], rates=[0.1])
    assert judged(single, table(single, valley)).best.edge is None


def test_diverged_on_one_seed_is_never_chosen_before_one_that_did_not() -> None:
    wanted = made(optimizers=["sgd"])

    def loss(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        if lr == 1.0 and seed == 2:
            return math.nan
        return 0.1 if lr == 1.0 else valley(optimizer, lr, schedule, seed)

    result = judged(wanted, table(wanted, loss))
    assert (result.best.lr, result.best.diverged) == (0.1, 2)
    assert any(note.startswith("2 of 24 runs diverged (their loss is not finite") for note in result.notes)


def test_a_validation_loss_that_is_not_finite_counts_as_infinite() -> None:
    wanted = made(optimizers=["sgd"])
    members = table(wanted, valley)
    members.loc[(members["lr"] == 0.1) & (members["seed"] == 0), "validation_loss"] = math.nan
    members["status"] = "finished"
    assert judged(wanted, members).best.lr != 0.1


def test_an_optimizer_that_always_diverges_comes_last() -> None:
    wanted = made()
    members = table(
        wanted,
        lambda o, *r: math.nan if o == "adam" else valley(o, *r),
        {"loss": lambda o, *r: math.nan if o == "adam" else valley(o, *r)},
    )
    result = judged(wanted, members)
    last = result.entries[-1]
    assert (last.optimizer, last.letters, last.validation_loss.mean) == ("adam", "c", INF)
    assert (last.probability_best, last.diverged, last.test["loss"].mean) == (0, 24, INF)
    assert "accuracy" not in last.test
    assert result.to_json()["entries"][-1]["validation_loss"] == {"mean": None, "low": None, "high": None}


def test_a_fresh_run_that_exploded_and_stayed_finite() -> None:
    """Its loss is a number, in the table and in curves; as evidence it is infinite."""
    wanted = made()
    members = table(wanted, valley, {"loss": valley})
    lost = (members["stage"] == "confirmation") & (members["optimizer"] == "adam")
    lost &= members["seed"] == wanted.seeds + 1
    assert lost.sum() == 3  # cosine, constant, and at its defaults
    members.loc[lost, ["status", "validation_loss", "test_loss"]] = ["diverged", 1e9, 1e12]
    result = judged(wanted, members)
    (adam,) = [e for e in result.entries if e.optimizer == "adam"]
    assert (result.best.optimizer, adam.lost, adam.validation_loss.mean) == ("momentum", 1, INF)
    assert (adam.mean_of_rest, adam.test["loss"].mean, adam.test["accuracy"].mean) == (
        pytest.approx(1.0, abs=0.02),
        INF,
        pytest.approx(0.9),
    )
    assert adam.default is not None
    assert 0 < adam.default.difference.mean < INF  # both diverged on that seed
    (note,) = [note for note in result.notes if note.startswith("adam diverged on")]
    assert note == (
        "adam diverged on 1 of the 3 fresh runs of its chosen setting, so its mean is infinite; that of the others is "
        f"{adam.mean_of_rest:.4g}."
    )
    assert not any("looked at alone" in note for note in result.notes)


def test_the_points_of_a_run_are_infinite_from_where_it_diverged() -> None:
    ends = {"status": ["finished", "diverged", "diverged"], "step": [30, 20, 11]}
    members = pd.DataFrame({"member": [1, 2, 3], "optimizer": "sgd", "seed": [0, 1, 2], **ends})
    each = [(m, s, name) for m in (1, 2, 3, 4) for s in (10, 20, 30) for name in ("validation_loss", "train_loss")]
    curves = pd.DataFrame([{"member": m, "step": s, "metric": name, "value": float(m)} for m, s, name in each])
    found = points(curves, members, "validation_loss")
    assert found["epoch"].tolist() == 3 * [1, 2, 3]
    assert found.pivot(index="member", columns="step", values="value").to_numpy().tolist() == [
        [1, 1, 1],
        [2, INF, INF],
        [3, INF, INF],
    ]


def test_everybody_diverged() -> None:
    wanted = made()
    result = judged(wanted, table(wanted, lambda *_: math.nan, {"loss": lambda *_: math.nan}))
    assert result.sentence == "No optimizer trained hills without diverging; try lower rates."
    assert len(result.groups) == 1
    assert all(e.diverged == e.runs == 24 for e in result.entries)


def test_among_settings_that_diverged_the_one_that_did_so_least_is_chosen() -> None:
    wanted = made(optimizers=["sgd"], schedule_names=["constant"])

    def loss(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        return math.nan if seed in {0.01: (0, 1), 0.1: (0,), 1.0: (0, 1, 2)}[lr] else 1.0

    assert judged(wanted, table(wanted, loss)).best.lr == 0.1


def test_only_complete_seeds_count_while_the_search_runs() -> None:
    wanted = made()
    states = {0: None, 1: None, 2: "started", 3: "waiting"}

    def status(seed: int, state: str) -> str:
        return state if state == "diverged" else states[seed] or state

    def loss(optimizer: str, lr: float, schedule: str, seed: int) -> float:
        if seed == 2 and optimizer == "adam" and lr == 1.0:
            return math.nan  # diverged inside a block that still runs
        return valley(optimizer, lr, schedule, seed) + (100 if seed >= 2 else 0)

    result = judged(wanted, table(wanted, loss, status=status))
    assert (result.seeds, result.confirmed) == (2, False)
    assert result.best.validation_loss.mean == pytest.approx(1, abs=0.05)
    assert "2 of 4 seeds are complete" in result.notes[-2]


def test_nothing_can_be_said_before_a_seed_is_complete() -> None:
    wanted = made()
    for members in (
        table(wanted, valley, status=lambda *_: "started"),
        table(wanted, valley).drop(columns="validation_loss"),
        table(wanted, valley).iloc[:0],
    ):
        result = judged(wanted, members)
        assert result.sentence == "Nothing can be said about hills yet: no seed is complete."
        assert (result.entries, result.seeds) == ((), 0)


# Along another factor than the optimizer


SIZES = {1: 0.0, 16: 0.0, 64: 0.3, "full": 1.0}  # batch size → what it adds to the loss


def by_size(setting: Setting, seed: int) -> float:
    """Batch sizes 1 and 16 differ by noise alone; beta2 = 0.999 is a little better where there is one."""
    size = setting["batch_size"]
    noise = np.random.default_rng([seed, *map(ord, str(size))]).normal() * 0.05
    return SIZES[size] + noise + (0.2 if setting["beta2"] == 0.99 else 0.0)  # type: ignore[index]


def sized(**changes: Any) -> Plan:
    hyper = {"beta2": [0.99, 0.999]}
    return made(**{"batch_sizes": [*SIZES], "hyperparameters": hyper, "confirmation": 8, **changes})


def along(wanted: Plan, members: pd.DataFrame, by: str) -> Verdict:
    result = judge(wanted, "hills", members, {}, by)
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["factor"] == result.factor
    return result


@pytest.fixture(scope="module")
def known() -> tuple[Plan, pd.DataFrame]:
    wanted = sized()
    return wanted, table(wanted, valley, {"loss": worse}, extra=by_size)


def test_batch_sizes_are_ranked_as_they_were_made(known: tuple[Plan, pd.DataFrame]) -> None:
    result = along(*known, "batch_size")
    assert (result.confirmed, result.seeds, result.factor) == (True, 8, "batch_size")
    assert [set(group) for group in result.groups] == [{"1", "16"}, {"64"}, {"full"}]
    for entry in result.entries:
        # tuned over all the rest
        assert (entry.optimizer, entry.lr, entry.schedule) == ("adam", 0.1, "cosine")
        assert entry.further["beta2"] == 0.999
        expected = BASE["adam"] + 0.5 + SIZES[entry.further["batch_size"]]  # type: ignore[index]
        assert entry.validation_loss.mean == pytest.approx(expected, abs=0.1)
        assert entry.test["loss"].mean == pytest.approx(entry.validation_loss.mean + 1)
        # seeds × rates and schedules × formulas
        assert (entry.runs, entry.diverged) == (4 * 6 * (1 + 1 + 2), 0)
    first = "Batch size 1 (adam, rate 0.1, cosine, beta2 0.999) has the lowest validation loss 1.5"
    assert result.sentence.startswith(first)
    assert "; 16 may be as good. Batch size 1 is the safest choice" in result.sentence
    assert "Worse than the best: 64 (by 18%) and full (by 66%)." in result.sentence
    assert any(note.startswith("Every batch size had the same number of epochs") for note in result.notes)
    assert any("tell batch size 1 apart" in note for note in result.notes)


def test_only_formulas_that_have_it_are_ranked_along_a_hyperparameter(known: tuple[Plan, pd.DataFrame]) -> None:
    result = along(*known, "beta2")
    assert result.groups == (("0.999",), ("0.99",))
    assert {e.optimizer for e in result.entries} == {"adam"}
    assert result.entries[1].difference.low < 0.2 < result.entries[1].difference.high
    assert result.sentence.startswith("beta2 0.999 (adam, rate 0.1, cosine, batch size ")


def test_optimizers_are_chosen_over_all_factors(known: tuple[Plan, pd.DataFrame]) -> None:
    result = along(*known, "optimizer")
    assert result.groups == (("adam",), ("momentum",), ("sgd",))
    for entry in result.entries:
        assert entry.further["batch_size"] in (1, 16)
        assert entry.further["beta2"] == (0.999 if entry.optimizer == "adam" else None)
    assert "beta2" not in result.sentence.replace("beta2 0.999", "")


def test_every_ranked_level_is_confirmed_and_none_twice(known: tuple[Plan, pd.DataFrame]) -> None:
    wanted, members = known
    again = to_confirm(wanted, members)
    # sgd, momentum; sizes; constant; beta2 = 0.99; three defaults
    assert len(again) == len(set(again)) == 2 + 4 + 1 + 1 + 3
    assert (members["stage"] == "confirmation").sum() == len(again) * 8


def test_rates_are_ranked_on_the_search_and_words_say_so(known: tuple[Plan, pd.DataFrame]) -> None:
    result = along(*known, "rate")
    assert result.factor == "lr"
    assert result.groups[0] == ("0.1",)
    assert not result.confirmed
    assert any("rates are tuned by the search" in note for note in result.notes)


@pytest.mark.parametrize("by", ["batch_sizes", "loss", "nope", "seed"])
def test_what_does_not_vary_cannot_be_ranked(by: str, known: tuple[Plan, pd.DataFrame]) -> None:
    with pytest.raises(PlanError, match=rf"'{by}' is not a factor that this study varies.*nown: optimizer, lr,"):
        judge(known[0], "hills", known[1], {}, by)


def test_every_ranking_begins_with_the_best_setting_that_was_confirmed() -> None:
    wanted = sized(optimizers=["sgd", "adam"], hyperparameters=None, batch_sizes=[1, 16])

    def turned(setting: Setting, seed: int) -> float:
        """The search finds 16 better; fresh seeds find 1 better."""
        return 0.5 * ((setting["batch_size"] == 1) == (seed < wanted.seeds))

    members = table(wanted, valley, {"loss": valley}, extra=turned)
    verdicts = {by: along(wanted, members, by) for by in ("optimizer", "schedule", "batch_size")}
    fresh = members[members["stage"] == "confirmation"]
    names = ["optimizer", "lr", "schedule", "batch_size"]
    best, mean = min(fresh.groupby(names)["validation_loss"].mean().items(), key=lambda each: each[1])
    for verdict in verdicts.values():
        first = verdict.best
        assert (
            (first.optimizer, first.lr, first.schedule, first.further["batch_size"])
            == best
            == ("adam", 0.1, "cosine", 1)
        )
        assert first.value.mean == pytest.approx(mean)
    assert verdicts["batch_size"].groups == (("1",), ("16",))
    said = "another one was best with fresh seeds than in the search, which had adam rate 0.1, cosine, batch size 16"
    assert said in verdicts["optimizer"].notes[-1]
    assert verdicts["optimizer"].best.search_value == pytest.approx(1.5, abs=0.05)
    calm = along(wanted, table(wanted, valley, {"loss": valley}), "optimizer")
    assert not [note for note in calm.notes if "than in the search" in note]


def test_defaults_that_are_better_than_what_was_tuned_are_first() -> None:
    """At rates that the search did not try."""
    wanted = made(rates=[1e-2, 1e-1], grow=0, refine=0)

    def lower_at_defaults(setting: Setting, seed: int) -> float:
        return -3.0 * (setting.optimizer == "adam" and setting.lr == 1e-3)

    result = judged(wanted, table(wanted, valley, {"loss": valley}, extra=lower_at_defaults))
    best = result.best
    assert (best.optimizer, best.lr, best.schedule) == ("adam", 1e-3, "constant")
    assert best.default is not None
    assert best.default.chosen
    assert math.isnan(best.search_value)
    assert math.isnan(best.optimism)
    assert best.steps == 9
    assert result.to_json()["entries"][0]["search_value"] is None


@pytest.mark.whole
def test_levels_that_are_alike_are_seldom_told_apart_and_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """On many made-up studies: how often is a difference claimed where there is none, and where there is one?"""
    monkeypatch.setattr(chances, "RESAMPLES", 1)
    wanted = made(
        optimizers=["sgd"], rates=[0.1], schedule_names=["constant"], batch_sizes=[1, 16, 64], seeds=1, confirmation=6
    )

    def claims(study: int) -> tuple[bool, bool]:
        rng = np.random.default_rng(study)
        noise = {seed: rng.normal(size=4) for seed in range(7)}

        def loss(setting: Setting, seed: int) -> float:
            place = [1, 16, 64].index(setting["batch_size"])  # type: ignore[arg-type]
            return 5 + noise[seed][3] * 3 + 0.3 * noise[seed][place] + (place == 2)

        groups = along(wanted, table(wanted, lambda *_: 0.0, {"loss": lambda *_: 0.0}, extra=loss), "batch_size").groups
        where = {name: k for k, group in enumerate(groups) for name in group}
        return where["1"] != where["16"], where["64"] > max(where["1"], where["16"])

    wrong, right = np.mean([claims(study) for study in range(150)], axis=0)
    assert wrong < 0.09  # 5% at the most, and a binomial's play
    assert right > 0.8


def test_ties_by_accuracy_stand_beside_the_loss() -> None:
    """adam has the lowest loss, and accuracy tells it from nothing; sgd diverges in a run, and has none."""
    wanted = made(confirmation=6)
    members = table(wanted, valley, {"loss": worse})
    fresh = members["stage"] == "confirmation"
    rng = np.random.default_rng(0)
    members["validation_accuracy"] = np.where(fresh, 0.9 + 0.01 * rng.normal(size=len(members)), np.nan)
    members.loc[fresh & (members["optimizer"] == "sgd") & (members["seed"] == 5), "validation_accuracy"] = np.nan
    result = judged(wanted, members)
    judged_by = {e.optimizer: e.metrics["accuracy"] for e in result.entries}
    assert result.groups == (("adam",), ("momentum",), ("sgd",))
    assert judged_by["adam"].letters == judged_by["momentum"].letters == "a"
    assert 0.88 < judged_by["adam"].value.low < judged_by["adam"].value.mean < judged_by["adam"].value.high < 0.92
    assert judged_by["sgd"].value.mean == -math.inf
    (note,) = [n for n in result.notes if n.startswith("By accuracy instead of loss: ")]
    assert "has the highest, 0.9" in note
    assert "may be as good." in note


def test_a_difference_by_rounding_is_no_luck() -> None:
    wanted = made()
    best = judged(wanted, table(wanted, valley, {"loss": worse})).best
    assert best.optimism == pytest.approx(0.5, abs=0.05)
    assert dataclasses.replace(best, search_value=best.value.mean * (1 + 1e-9)).optimism == 0


def test_a_margin_below_zero_is_refused() -> None:
    wanted = made()
    with pytest.raises(PlanError, match="margin"):
        judge(wanted, "hills", table(wanted, valley), {}, margin=-0.1)
