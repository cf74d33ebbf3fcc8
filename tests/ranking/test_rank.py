"""The verdict on a table: the study's own numbers, diverged runs counted, and no claim where there is no evidence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.ranking.rank import RankedRuns
from thalweg.study.study import Study

from ..report_study import made_study
from ..test_hostile_words import MARK, safe
from ..test_report import Page
from . import tables


def said(ranked: RankedRuns, words: str) -> bool:
    return any(words in note for note in ranked.notes)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return made_study(tmp_path_factory.mktemp("rank") / "study.db", rates=5)


def test_a_studys_own_table_gives_the_studys_own_numbers(study: Study) -> None:
    ranked, truth = tw.rank(study.table()), study.verdict
    assert ranked.verdict.confirmed
    assert ranked.columns.confirmation == "stage"
    for one, other in zip(ranked.verdict.entries, truth.entries, strict=True):
        for name in ("optimizer", "lr", "schedule", "letters", "standing", "may_be_best"):
            assert getattr(one, name) == getattr(other, name), name
        for name in ("value", "difference"):
            assert str(getattr(one, name)) == str(getattr(other, name)), name
        for name in ("probability_best", "regret", "lost", "percentile_90", "search_value"):
            assert getattr(one, name) == pytest.approx(getattr(other, name)), name
    assert ranked.verdict.groups == truth.groups


def test_without_the_mark_the_search_judges_as_in_a_study_not_confirmed(study: Study) -> None:
    table = study.table()
    ranked = tw.rank(table[table["stage"] == "search"].drop(columns="stage"))
    assert not ranked.verdict.confirmed
    assert said(ranked, "Not confirmed: the same runs chose each optimizer's setting, the lowest of up to 10, and are")
    by_name = {entry.optimizer: entry for entry in ranked.verdict.entries}
    for entry in study.verdict.entries:
        assert (by_name[entry.optimizer].lr, by_name[entry.optimizer].schedule) == (entry.lr, entry.schedule)
        assert by_name[entry.optimizer].value.mean == pytest.approx(entry.search_value)


@pytest.mark.parametrize("export", [tables.optuna, tables.wandb, tables.mlflow, tables.ray_tune])
def test_exports_give_the_verdict_of_the_plain_table(export: Callable[..., pd.DataFrame]) -> None:
    ranked, plain = tw.rank(export(6)), tw.rank(tables.plain(6))
    for one, other in zip(ranked.verdict.entries, plain.verdict.entries, strict=True):
        assert (one.optimizer, one.lr, one.letters) == (other.optimizer, other.lr, other.letters)
        assert str(one.value) == str(other.value)
    assert ranked.sentence.startswith("adam (rate 0.01) is best on these runs: ")
    assert ranked.choice.paired


def test_a_shared_seed_is_taken_out_and_without_it_runs_are_repeats() -> None:
    """What a seed adds to all alike hides the difference from repeats."""
    runs = tables.plain(4, noise=0.08)
    paired, repeats = tw.rank(runs), tw.rank(runs.drop(columns="seed"))
    assert [entry.standing for entry in paired.verdict.entries] == ["best", "worse"]
    assert [entry.standing for entry in repeats.verdict.entries] == ["best", "open"]
    assert "over 4 runs; sgd may be as good" in repeats.sentence
    assert said(repeats, "The table names no seeds, so runs are compared as independent repeats")
    assert [entry.value.mean for entry in paired.verdict.entries] == [e.value.mean for e in repeats.verdict.entries]


def test_the_order_of_rows_says_nothing() -> None:
    runs = tables.plain(4, noise=0.05).drop(columns="seed")
    first = tw.rank(runs)
    for shuffled in (runs.sort_values("val_loss"), runs.sample(frac=1, random_state=1), runs[::-1]):
        again = tw.rank(shuffled)
        assert again.sentence == first.sentence
        assert [e.regret for e in again.verdict.entries] == pytest.approx([e.regret for e in first.verdict.entries])


def test_seeds_that_are_not_shared_make_runs_repeats() -> None:
    runs = tables.plain(4)
    apart = tw.rank(runs.assign(seed=runs["seed"] + 100 * (runs["optimizer"] == "sgd")))
    assert not apart.choice.paired
    assert said(apart, "The chosen settings share too few seeds")
    some = tw.rank(runs[(runs["seed"] > 0) | (runs["optimizer"] == "adam")])
    assert some.choice.paired
    assert some.verdict.seeds == 3
    assert said(some, "Runs of the chosen settings with a seed that not all share: 1. They are left out")


def test_one_run_each_makes_no_claim() -> None:
    runs = tables.plain(1)
    for table in (runs, runs.drop(columns="seed"), runs.assign(seed=range(len(runs)))):
        ranked = tw.rank(table)
        assert "cannot tell optimizers apart" in ranked.sentence
        assert "is best" not in ranked.sentence
        assert ranked.notes[0].startswith("One noisy run each: no setting was run with a second seed")
        assert all(math.isinf(entry.value.high) for entry in ranked.verdict.entries)
        assert {entry.letters for entry in ranked.verdict.entries} == {"a"}
        (section,) = [one for one in ranked.sections() if one.name == "ranking"]
        heads = {column.name for column in section.columns}
        assert "value" in heads
        assert not heads & {"letters", "may_be_best", "regret_share", "standing", "probability_best", "places"}
        assert ranked.to_json()["verdict"]["entries"][0]["probability_best"] is None


def test_one_candidate_with_a_single_run_takes_no_evidence_from_the_others() -> None:
    runs = tables.plain(5).assign(seed=None)
    third = runs[runs["optimizer"] == "sgd"].assign(optimizer="lion", val_loss=lambda t: t["val_loss"] + 0.2)
    ranked = tw.rank(pd.concat([runs, third.iloc[[0]]]))
    assert [entry.standing for entry in ranked.verdict.entries] == ["best", "worse", "open"]
    assert "over 1 to 5 runs" in ranked.sentence.replace("one run", "1 run")
    assert ranked.notes[0] == "lion: one noisy run of the chosen setting, so nothing can be told of it."


def test_diverged_runs_are_counted_and_infinitely_bad() -> None:
    runs = tables.plain(4).astype({"val_loss": object}).assign(state="finished")
    adam = runs.index[(runs["optimizer"] == "adam") & (runs["seed"] == 0)]  # with each rate
    for bad in (np.nan, np.inf, "inf", "-inf", None, "n/a", 1e200, -np.inf):
        changed = runs.copy()
        changed.loc[adam, "val_loss"] = bad
        ranked = tw.rank(changed)
        assert ranked.verdict.best.optimizer == "sgd", bad
        entry = ranked.verdict.entries[1]
        assert (entry.lost, entry.value.mean, entry.diverged, entry.runs) == (1, math.inf, 3, 12)
        assert said(ranked, "Diverged: 3 of 24 runs (they failed, or their val_loss is missing or not finite).")
        assert said(
            ranked, "adam diverged on 1 of the 4 runs of its chosen setting, so its mean is infinite; that of the"
        )
    runs.loc[adam, "state"] = "failed"
    assert tw.rank(runs).verdict.entries[1].lost == 1
    assert tw.rank(runs, status=False).verdict.entries[0].lost == 0


def test_a_metric_of_which_higher_is_better_diverges_downwards() -> None:
    runs = tables.plain(4)
    ranked = tw.rank(runs, metric="val_acc")
    assert ranked.verdict.best.value.mean == pytest.approx(1 - tw.rank(runs).verdict.best.value.mean)
    assert "has the highest" in ranked.sentence or "is best" in ranked.sentence
    runs.loc[runs["optimizer"] == "adam", "val_acc"] = np.nan
    assert [e.optimizer for e in tw.rank(runs, metric="val_acc").verdict.entries] == ["sgd", "adam"]
    assert tw.rank(runs, metric="val_acc", maximize=False).verdict.best.lr != 0.01


def test_all_diverged_is_said() -> None:
    runs = tables.plain(3).assign(val_loss=np.nan)
    ranked = tw.rank(runs)
    assert ranked.sentence == "No optimizer trained these runs without diverging; try lower rates."
    assert [entry.lost for entry in ranked.verdict.entries] == [3, 3]


def test_pruned_unfinished_and_nameless_runs_are_said() -> None:
    ranked = tw.rank(tables.optuna(3))
    for words in (
        "Pruned: 1 of 21 runs; a setting",
        "Left out, because they have not ended: 1 of 21 runs.",
        "Diverged: 1",
    ):
        assert said(ranked, words)
    runs = tables.plain(3)
    runs.loc[[0, 1], "optimizer"] = None
    assert said(tw.rank(runs), "Left out, because they do not say their optimizer: 2 of 18 runs.")
    assert said(
        tw.rank(runs.assign(state="resting")), "States that are not known: resting; such runs count as finished."
    )
    with pytest.raises(UsageError, match="no run has ended and says what it was made with"):
        tw.rank(runs.assign(state="running"))
    pruned = tw.rank(tables.plain(2).assign(state=lambda t: np.where(t["optimizer"] == "sgd", "pruned", "complete")))
    assert said(pruned, "Not ranked, because there is no setting without a pruned run: sgd.")
    nothing = tw.rank(tables.plain(2).assign(state="pruned"))
    assert nothing.sentence == "Nothing can be said about these runs: every setting was pruned on some run."
    assert nothing.to_json()["verdict"]["entries"] == []
    assert len(nothing.sections()) > 1


def test_a_setting_with_fewer_runs_is_not_chosen() -> None:
    runs = tables.plain(4)
    lucky = pd.DataFrame([{"optimizer": "sgd", "lr": 0.02, "seed": 0, "val_loss": 0.01}])
    ranked = tw.rank(pd.concat([runs, lucky]))
    assert ranked.verdict.best.optimizer == "adam"
    assert said(ranked, "Settings with fewer runs than others of their optimizer: 1. They were not chosen from")
    assert said(ranked, "sgd was tuned over 4 settings, adam over 3: the lowest of more is lower by luck alone.")


def test_a_setting_and_seed_that_is_repeated_is_one_piece_of_evidence() -> None:
    runs = tables.plain(3)
    once, twice = tw.rank(runs), tw.rank(pd.concat([runs, runs]))
    assert twice.verdict.seeds == 3
    assert [str(e.value) for e in once.verdict.entries] == [str(e.value) for e in twice.verdict.entries]


def test_runs_of_a_confirmation_judge_alone() -> None:
    search, fresh = tables.plain(3), tables.plain(5, draw=1).assign(seed=lambda t: t["seed"] + 10)
    chosen = fresh[fresh["lr"] == 0.01]
    ranked = tw.rank(pd.concat([search.assign(confirmation=False), chosen.assign(confirmation=True)]))
    assert ranked.verdict.confirmed
    assert "over 5 fresh seeds" in ranked.sentence
    best = ranked.verdict.best
    mine = chosen["optimizer"] == "adam"
    assert best.value.mean == pytest.approx(chosen.loc[mine, "val_loss"].mean())
    assert best.search_value == pytest.approx(
        search.loc[(search["optimizer"] == "adam") & (search["lr"] == 0.01), "val_loss"].mean()
    )
    assert said(ranked, "so the fresh number is the one reported.")
    alone = tw.rank(pd.concat([search.assign(confirmation=False), chosen[mine].assign(confirmation=True)]))
    assert said(alone, "Not ranked, because there is no run of a confirmation: sgd.")
    reused = pd.concat([search.assign(confirmation=False), search[search["lr"] == 0.01].assign(confirmation=True)])
    assert said(tw.rank(reused), "Runs of the confirmation with a seed that also chose their setting: 6. They are not")


def test_the_best_of_what_was_confirmed_represents_its_candidate() -> None:
    """The search prefers 0.01; of adam another rate turns out better, and a third was not run on all seeds."""
    search, fresh = tables.plain(3), tables.plain(5, draw=1).assign(seed=lambda t: t["seed"] + 10)
    lower, short = (fresh["optimizer"] == "adam") & (fresh["lr"] == 0.001), fresh["lr"] == 0.1
    usual = (fresh["optimizer"] == "adam") & (fresh["lr"] == 0.01)
    better = fresh.loc[usual, "val_loss"].to_numpy() + 0.02 * np.random.default_rng(0).normal(size=5) - 0.01
    fresh.loc[lower, "val_loss"] = better
    fresh.loc[short, "val_loss"] = -1.0
    confirmed = fresh[(fresh["lr"] == 0.01) | lower | (short & (fresh["seed"] < 12))]
    table = pd.concat([search.assign(confirmation=False), confirmed.assign(confirmation=True)])
    alone = table[(table["lr"] != 0.01) | (table["optimizer"] == "sgd")]
    picked, one = tw.rank(table).verdict, tw.rank(alone).verdict
    assert [e.lr for e in picked.entries] == [0.001, 0.01]
    assert picked.best.value.mean == pytest.approx(better.mean())
    assert picked.best.search_value == pytest.approx(
        search.loc[(search["optimizer"] == "adam") & (search["lr"] == 0.001), "val_loss"].mean()
    )
    assert picked.best.value.high > one.best.value.high  # which allows for no pick


def test_other_columns_can_be_compared() -> None:
    runs = tables.plain(4)
    by_rate = tw.rank(runs, by="lr")
    assert by_rate.verdict.best.lr == 0.01
    assert by_rate.sentence.startswith("Rate 0.01 (adam) is best")
    both = tw.rank(runs, by=["optimizer", "lr"])
    assert len(both.verdict.entries) == 6
    assert both.sentence.startswith("Combination adam, 0.01 is best on these runs")
    assert not said(both, "Not confirmed")  # nothing was chosen
    model = tw.rank(runs.rename(columns={"optimizer": "model"}), by="model")
    assert model.sentence.startswith("Model adam (rate 0.01) is best")
    assert model.verdict.factor == "model"
    schedule = tw.rank(runs.assign(scheduler=np.where(runs["lr"] < 0.05, "cosine", "step")), by="scheduler")
    assert schedule.verdict.best.schedule == "cosine"
    with pytest.raises(UsageError, match="run has 101 values, and at most 100 can be compared"):
        tw.rank(pd.DataFrame({"run": range(101), "loss": 1.0}), by="run")


def test_a_best_rate_on_the_edge_is_said() -> None:
    runs = tables.plain(3)
    ranked = tw.rank(runs[runs["lr"] > 0.005])
    assert ranked.notes[0] == "adam: its best rate 0.01 is the lowest tried; a lower one may be better."


def test_the_table_has_every_run_that_counts() -> None:
    runs = tables.optuna(3)
    table = tw.rank(runs).table()
    assert list(table) == ["optimizer", "lr", "seed", "status", "fresh", "value", "chosen"]
    assert len(table) == len(runs) - 1
    assert table["status"].value_counts().to_dict() == {"finished": 18, "stopped": 1, "diverged": 1}
    assert table.loc[table["chosen"], "lr"].unique().tolist() == [0.01]


def test_json_is_plain(tmp_path: Path) -> None:
    ranked = tw.rank(tables.mlflow(3))
    told = json.loads(json.dumps(ranked.to_json(), allow_nan=False))
    assert told["columns"]["by"] == ["params.optimizer"]
    assert told["runs"] == {"finished": 17, "diverged": 1, "left_out": 0}
    assert told["verdict"]["entries"][0]["optimizer"] == "adam"
    assert (told["paired"], told["verdict"]["replicate"]) == (True, "seed")


def test_the_report_has_it_all(tmp_path: Path) -> None:
    ranked = tw.rank(tables.optuna(3))
    page = Page(ranked.report(tmp_path / "new" / "report.html").read_text())
    for words in (
        ranked.sentence.split(". ")[0],
        ranked.columns.sentence,
        *ranked.notes,
        "All settings",
        "made elsewhere",
    ):
        assert words in page.text, words
    for section in ranked.sections():
        if section.name == "settings":
            assert sum(row["chosen"] for row in section.rows) == 2
            assert len(section.rows) == 8


def test_of_very_many_settings_a_page_shows_the_best() -> None:
    draw = np.random.default_rng(0)
    runs = pd.DataFrame({"optimizer": "adam", "lr": draw.uniform(0, 1, 500), "loss": draw.uniform(1, 2, 500)})
    (section,) = [one for one in tw.rank(runs).sections() if one.name == "settings"]
    assert len(section.rows) == 200
    assert "300 more settings are not shown." in section.sentence


def test_no_word_of_a_table_becomes_an_element(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "var Plotly;")
    runs = tables.optuna(3).assign(params_kind="a")
    runs.loc[runs["params_lr"] == 0.01, "params_kind"] = "b"
    plain = tw.rank(runs).report(tmp_path / "plain.html").read_text()
    kinds = {tag for tag, _ in Page(plain).elements}
    bad = runs.assign(
        params_optimizer=runs["params_optimizer"] + MARK,
        params_kind=runs["params_kind"] + MARK,
        state=runs["state"] + MARK,
    ).rename(columns={"params_kind": f"params_kind{MARK}", "value": f"val_loss{MARK}", "user_attrs_epochs_run": MARK})
    bad = tw.rank(bad, metric=f"val_loss{MARK}:min")
    page = bad.report(tmp_path / "bad.html").read_text()
    assert safe(page, kinds)
    for words in ("adam", "kind", "val_loss"):
        assert f"{words}{MARK}" in Page(page).text


def test_a_hundred_thousand_runs_are_ranked_whole() -> None:
    draw, count = np.random.default_rng(0), 100_000
    names = draw.choice(["adam", "sgd", "lion"], count)
    runs = pd.DataFrame(
        {
            "optimizer": names,
            "lr": 10 ** draw.uniform(-5, 0, count),
            "val_loss": draw.normal(1, 0.1, count),
            "state": "COMPLETE",
            "name": [f"run {k}" for k in range(count)],
        }
    )
    ranked = tw.rank(runs)
    assert sum(entry.runs for entry in ranked.verdict.entries) == count
    assert ranked.verdict.best.value.mean == runs["val_loss"].min()


@pytest.mark.parametrize(("rates", "warned"), [(9, False), (10, True)])
def test_many_settings_against_one_are_warned_of(rates: int, warned: bool) -> None:
    noises = np.random.default_rng(0).normal(0.3, 0.01, (rates + 1, 4))
    rows = [
        {"optimizer": "sgd" if k == rates else "adam", "lr": 10.0**-k, "seed": seed, "val_loss": noises[k, seed]}
        for k in range(rates + 1)
        for seed in range(4)
    ]
    assert said(tw.rank(pd.DataFrame(rows)), "do not rely on such differences") == warned


@pytest.mark.filterwarnings("ignore")  # its own
def test_a_study_of_optuna_itself() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    runs, study = tables.plain(5), optuna.create_study()
    for run in runs.to_dict("records"):
        study.enqueue_trial({"lr": run["lr"], "optimizer": run["optimizer"]}, user_attrs={"seed": run["seed"]})

    def objective(trial: optuna.Trial) -> float:
        asked = trial.suggest_float("lr", 1e-4, 1, log=True), trial.suggest_categorical("optimizer", ["adam", "sgd"])
        row = runs.iloc[trial.number]
        assert asked == (row["lr"], row["optimizer"])
        return float(row["val_loss"])

    study.optimize(objective, n_trials=len(runs))
    ranked, plain = tw.rank(study.trials_dataframe()), tw.rank(runs)
    assert [(e.optimizer, e.lr, str(e.value)) for e in ranked.verdict.entries] == [
        (e.optimizer, e.lr, str(e.value)) for e in plain.verdict.entries
    ]
    assert ranked.choice.paired
