"""A suite: one study per problem, one verdict over all, and one sentence for each mistake."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import PlanError, ProblemError, StoreError
from thalweg.study.study import Study
from thalweg.suites.standings import geometric
from thalweg.suites.suite import Suite

from ..report_study import VALLEYS, made_study
from ..studies import TINY

OPTIONS = {name: value for name, value in TINY.items() if name != "problem"}
NAMES = ("adam", "rmsprop", "sgd")


def made(folder: Path, name: str, losses: dict[str, float] | None = None, **more: Any) -> Study:
    """A finished study whose optimizers end near these losses, at rates that suit each."""
    low = losses or {each: VALLEYS[each][1] for each in NAMES}
    valleys = {each: (VALLEYS[each][0], loss, *VALLEYS[each][2:]) for each, loss in low.items()}
    facts = {"name": name, "spec": name, "fingerprint": name} | {k: v for k, v in more.items() if k == "fingerprint"}
    more = {"rates": 5} | {k: v for k, v in more.items() if k != "fingerprint"}
    return made_study(folder / f"{name}.db", valleys=valleys, **more, **facts)


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """Six problems on which adam is clearly the best, but for one, and sgd always the last."""
    folder = tmp_path_factory.mktemp("six")
    losses = [{"adam": 0.1, "rmsprop": 0.15 + 0.01 * k, "sgd": 0.4} for k in range(6)]
    losses[2] |= {"rmsprop": 0.07}
    return tw.suite([made(folder, f"problem-{k}", each) for k, each in enumerate(losses)])


@pytest.mark.slow
def test_the_verdict_is_over_problems(six: Suite) -> None:
    assert [one.optimizer for one in six.verdict.standings] == ["adam", "rmsprop", "sgd"]
    assert [one.best_on for one in six.verdict.standings] == [5, 1, 0]
    assert [round(one.average_rank, 2) for one in six.verdict.standings] == [1.17, 1.83, 3.0]
    assert [one.apart for one in six.verdict.standings] == [False, False, True]
    assert six.sentence.startswith("adam ranks best over 6 problems: average rank 1.17 of 3, and 1.0")
    assert six.sentence.endswith("It is reliably ahead of sgd (Friedman’s test, p = 0.0057).")
    assert six.notes == ()


def test_losses_are_those_of_fresh_seeds_and_ratios_those_to_the_best(six: Suite) -> None:
    verdict = six.verdict
    for name, study in six.studies.items():
        for entry in study.verdict.entries:
            assert verdict.losses.at[name, entry.optimizer] == entry.validation_loss.mean
    assert (verdict.ratios.min(axis=1) == 1).all()
    logs = np.log(verdict.ratios["sgd"])
    (sgd,) = [one for one in verdict.standings if one.optimizer == "sgd"]
    assert sgd.ratio is not None
    assert sgd.ratio.mean == pytest.approx(math.exp(logs.mean()))
    assert 1 < sgd.ratio.low < sgd.ratio.mean < sgd.ratio.high


def test_times_are_those_of_the_studies(six: Suite) -> None:
    for name, study in six.studies.items():
        table = study.time_to_target().set_index("optimizer")
        assert six.verdict.steps.loc[name].to_dict() == table["steps_median"].to_dict()
        assert six.verdict.targets[name] == table["target"].iloc[0]
    adam = six.verdict.standings[0]
    assert adam.score.low < adam.score.mean < adam.score.high
    assert adam.score_seconds is not None


def test_seeds_are_not_replicates(tmp_path: Path) -> None:
    """A study of which the losses are the same, from more seeds, changes nothing."""
    losses = {"adam": 0.1, "rmsprop": 0.12}
    two = tw.suite([made(tmp_path, "a", losses), made(tmp_path, "b", losses)])
    assert two.verdict.ranks.p == 0.5  # the sign test of two problems
    assert two.notes[0].startswith("Problems, not seeds, are what is missing: 2 are too few")
    assert two.studies["a"].verdict.seeds == 2


def test_one_setting_for_all(six: Suite) -> None:
    rows = {row.problem: row for row in six.verdict.shared}
    assert list(rows) == list(six.studies)
    row, study = rows["problem-2"], six.studies["problem-2"]
    search = study.table().query("stage == 'search'")
    means = search.assign(loss=search["validation_loss"].fillna(math.inf)).groupby(["optimizer", "lr", "schedule"])
    means = means["loss"].mean()
    assert row.setting.optimizer == "adam"
    assert row.loss == pytest.approx(means[row.setting.optimizer, row.setting.lr, row.setting.schedule])
    assert row.tuned == pytest.approx(means.min())
    assert row.regret == row.loss / row.tuned
    assert row.regret > 1.2  # rmsprop is better there
    assert six.verdict.setting is not None


def test_everything_is_plain_values_and_a_table(six: Suite) -> None:
    plain = six.to_json()
    assert {"standings", "ranks", "ratios", "shared", "method"} <= {*plain["explained"]}
    json.dumps(plain, allow_nan=False)
    assert plain["stores"]["problem-0"].endswith("problem-0.db")
    assert plain["losses"]["problem-0"]["adam"] == six.verdict.losses.at["problem-0", "adam"]
    assert plain["setting"]["optimizer"] == "adam"
    table = six.table()
    assert table["optimizer"].tolist() == ["adam", "rmsprop", "sgd"]
    assert {"average_rank", "ratio", "ratio_low", "ratio_high", "best_on", "score", "apart"} <= set(table)
    assert str(six.verdict) == six.sentence


def test_the_report_has_each_section_once(six: Suite, tmp_path: Path) -> None:
    text = six.report(tmp_path / "suite.html").read_text()
    names = ["standings", "ranks", "ratios", "profile", "times", "shared", "problems", "method"]
    assert [section.name for section in six.sections()] == ["answer", *names]
    for name in names:
        assert text.count(f'<section id="{name}"') == 1
    assert six.sentence.split(". ")[0] in text
    assert text.count('class="chart"') == 3


def test_every_column_of_a_table_is_explained_beside_it(six: Suite) -> None:
    """In the section's sentence or caption, by its head; names of problems, optimizers and settings apart."""
    plainly = {"Problem", "Optimizer", "Store", "Its study’s answer", "Problem left out", "Share of problems", *NAMES}
    for section in six.sections()[1:]:
        words = " ".join([section.sentence, *(figure.caption for figure in section.figures)]).lower()
        for column in section.columns:
            assert column.title in plainly or any(word in words for word in column.title.lower().split()), column


@pytest.mark.slow
def test_a_diverging_optimizer_counts_as_infinite(tmp_path: Path) -> None:
    studies = []
    for name, limit in (("a", math.inf), ("b", 1e-5), ("c", math.inf)):
        valleys = {"adam": VALLEYS["adam"], "sgd": (*VALLEYS["sgd"][:3], limit)}
        facts = {"name": name, "fingerprint": name}
        studies.append(made_study(tmp_path / f"{name}.db", valleys=valleys, rates=3, **facts))
    verdict = tw.suite(studies).verdict
    sgd = next(one for one in verdict.standings if one.optimizer == "sgd")
    assert sgd.ratio is not None
    assert sgd.ratio.mean == math.inf
    assert "sgd diverged on b even at the best setting, which counts as infinitely bad." in verdict.notes
    assert tw.suite(studies).to_json()["losses"]["b"]["sgd"] is None
    # Where b is left out, nothing warns of sgd; where it is not, adam comes before all that diverged there.
    assert [(row.setting.optimizer, math.isinf(row.regret)) for row in verdict.shared] == [
        *(("adam", False), ("sgd", True), ("adam", False))
    ]
    (shared,) = [section for section in tw.suite(studies).sections() if section.name == "shared"]
    assert "the other problems costs a run that diverges (geometric mean over 3 problems)" in shared.sentence


@pytest.mark.slow
def test_losses_that_are_not_above_0_have_no_ratio(tmp_path: Path) -> None:
    """They count in ranks and times; where all are such, there is neither ratio, profile nor shared setting."""
    usual = [made(tmp_path, name) for name in ("a", "b")]
    negative = [made(tmp_path, name, {"adam": -1.0, "rmsprop": -2.0, "sgd": -0.5}) for name in ("c", "d")]
    mixed = tw.suite([*usual, negative[0]])
    assert list(mixed.verdict.ratios.index) == ["a", "b"]
    assert [row.problem for row in mixed.verdict.shared] == ["a", "b"]
    assert mixed.verdict.steps.index.tolist() == ["a", "b", "c"]
    assert mixed.notes[1].startswith("Not every loss on c is above 0, as a ratio needs: no ratios")
    assert mixed.verdict.losses.loc["c"].rank().tolist() != mixed.verdict.losses.loc["a"].rank().tolist()
    assert mixed.verdict.ranks.mean.to_dict() == mixed.verdict.losses.rank(axis=1).mean().to_dict()
    without = tw.suite(negative)
    assert [one.ratio for one in without.verdict.standings] == [None] * 3
    assert (without.verdict.shared, without.verdict.setting) == ((), None)
    assert "profile" not in [section.name for section in without.sections()]
    json.dumps(without.to_json(), allow_nan=False)
    without.report(tmp_path / "suite.html")


@pytest.mark.slow
def test_by_a_metric_of_which_higher_is_better(tmp_path: Path) -> None:
    """Studies that chose by accuracy: what is compared is its distance to 1, in tables and in words."""
    options = {**OPTIONS, "by_metric": "accuracy"}
    first = tw.compare("breast-cancer", store=tmp_path / "a.db", **options)
    inputs, labels = torch.randn(120, 3, generator=torch.Generator().manual_seed(0)), torch.arange(120) % 2
    inputs[:, 0] += labels
    said: dict[str, Any] = {"loss": "cross_entropy", "metrics": ["accuracy"], "name": "easy"}
    easy = tw.Problem(lambda: torch.nn.Linear(3, 2), (inputs, labels), **said)
    suite = tw.suite([first, easy], store=tmp_path, **options)
    verdict = suite.verdict
    for name, study in suite.studies.items():
        for entry in study.verdict.entries:
            assert verdict.losses.at[name, entry.optimizer] == pytest.approx(1 - entry.value.mean)
        search = study.table().query("stage == 'search' and status == 'finished'")
        settings = search.groupby(["optimizer", "lr", "schedule"])["validation_accuracy"].mean()
        (row,) = [row for row in verdict.shared if row.problem == name]
        assert row.tuned == pytest.approx(1 - settings.max())
    assert suite.to_json()["compared"] == verdict.measure.words == "(1 − accuracy)"
    assert "times the lowest (1 − accuracy) of each problem" in suite.sentence or "rank alike" in suite.sentence
    heads = [column.title for section in suite.sections() for column in section.columns]
    assert {"(1 − accuracy) over the lowest", "Lowest (1 − accuracy)", "Its (1 − accuracy)"} <= {*heads}
    with pytest.raises(PlanError, match="settings by accuracy, and two by loss; all problems"):
        tw.suite([first, made(tmp_path, "two", {"adam": 0.1, "sgd": 0.1})])


def test_unconfirmed_and_unlike_studies_are_named(tmp_path: Path) -> None:
    """With a rate fewer on one of them, and no fresh seeds."""
    verdict = tw.suite([made(tmp_path, "a"), made(tmp_path, "b", rates=4, confirmed=False)]).verdict
    assert verdict.notes[1].startswith("Not confirmed on fresh seeds: b.")
    assert verdict.notes[2].startswith("The studies differ in rates and fresh seeds")


def test_the_geometric_mean_of_no_spread_lacks_an_upper_end() -> None:
    assert (geometric(np.ones(5)).low, geometric(np.ones(5)).high) == (1.0, math.inf)
    assert geometric(np.array([1.0, math.inf])).mean == math.inf


@pytest.mark.slow
def test_problems_are_trained_once_and_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite that was stopped after its first problem; finished, it is read and not trained."""
    problems = ["breast-cancer", "diabetes"]
    tw.compare("breast-cancer", store=tmp_path / "breast-cancer.db", **OPTIONS)
    before = (tmp_path / "breast-cancer.db").read_bytes()
    suite = tw.suite(problems, store=tmp_path, **OPTIONS)
    assert (tmp_path / "breast-cancer.db").read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["breast-cancer.db", "diabetes.db"]

    def fails(*_: object) -> None:
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr("thalweg.engine.execute.execute", fails)
    again = tw.suite(problems, store=tmp_path, **OPTIONS)
    opened = tw.suite([str(tmp_path / "breast-cancer.db"), tmp_path / "diabetes.db"])
    assert again.to_json() == opened.to_json() == suite.to_json()
    with pytest.raises(StoreError, match="already holds another study"):
        tw.suite(problems, store=tmp_path, **{**OPTIONS, "seeds": 3})


def test_a_stopped_suite_says_how_to_carry_it_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thalweg.engine.execute.execute", stops)
    with pytest.raises(KeyboardInterrupt, match="give the same suite again to carry it on"):
        tw.suite(["breast-cancer", "diabetes"], store=tmp_path, **OPTIONS)


def spread(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return output.std() - target.std()


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    one, two = made(tmp_path, "one"), made(tmp_path, "two")
    unfinished = made_study(tmp_path / "three.db", rates=2, confirmed=False, ended=1, name="three", fingerprint="3")
    same = made(tmp_path, "four", fingerprint="one")
    other = made(tmp_path, "five", {"adam": 0.1, "momentum": 0.1})
    alone = [made(tmp_path, name, {"adam": 0.1}) for name in ("six", "seven")]
    data = torch.randn(40, 3), torch.randn(40, 1)
    own = tw.Problem(model=lambda: torch.nn.Linear(3, 1), train=data, loss="mse", metrics=(spread,), name="own")
    cases: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        ([one], {}, PlanError, "two or more problems, and one is given"),
        ("digits", {}, PlanError, "two or more problems, and one is given"),
        ([], {}, PlanError, "problems is empty"),
        (5, {}, PlanError, "problems must be a list"),
        (["digits", "digits"], {}, PlanError, "digits is given twice"),
        ([one, one], {}, PlanError, "one is given twice"),
        ([one, same], {}, PlanError, "one and four are one problem"),
        ([one, other], {}, PlanError, "one compares adam, rmsprop and sgd, and five compares adam and momentum; all"),
        ([*alone], {}, PlanError, "six compares adam alone; compare two or more"),
        ([one, unfinished], {}, StoreError, "three.db is not finished; carry it on first, with `thalweg resume"),
        ([one, tmp_path / "no.db"], {}, StoreError, "no.db does not exist"),
        ([one, "no.db"], {}, StoreError, "no.db does not exist"),
        ([one, "no"], {}, ProblemError, "'no' is not a problem"),
        ([one, two], {"seeds": 3, "epochs": 2}, PlanError, "finished, so seeds and epochs cannot change"),
        ([one, "digits"], {"by_metric": "own:max"}, PlanError, "'own' is not a metric of"),
        (
            [own, replace(own, name="two")],
            {"by_metric": "spread:max"},
            PlanError,
            "'spread:max' has no known best value",
        ),
        (["digits", "diabetes"], {"by_metric": "accuracy"}, PlanError, "'accuracy' is not a metric of diabetes"),
        (["digits", "wave"], {"by_metric": "own"}, PlanError, "'own' is not a metric of digits; known: loss, accuracy"),
        ([one, "digits"], {"sceds": 3}, PlanError, "'sceds' is not an option of a suite: did you mean seeds?"),
    ]
    for problems, options, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            tw.suite(problems, **options)
        assert str(caught.value).count(". ") == 0
    assert not Path("runs").exists() or not Path("runs/suite").exists()


def test_problems_of_ones_own_need_names(tmp_path: Path) -> None:
    def problem(name: str = "") -> tw.Problem:
        inputs = torch.linspace(-1, 1, 50).reshape(50, 1)
        return tw.Problem(lambda: torch.nn.Linear(1, 1), (inputs, 2 * inputs), loss="mse", name=name)

    with pytest.raises(PlanError, match="the problem problem is given twice; give each once, and problems of your own"):
        tw.suite([problem(), problem()])
    with pytest.raises(PlanError, match="the problem a b is given twice"):
        tw.suite([problem("a-b"), problem("a b")])  # whose stores would be one file
    with pytest.raises(PlanError, match="line and again are one problem"):
        tw.suite([problem("line"), problem("again")], store=tmp_path, **OPTIONS | {"optimizers": ["sgd", "adam"]})


def test_the_same_name_must_be_the_same_formula(tmp_path: Path) -> None:
    """Two stores with a rule of one name, of which one was begun with another equation."""
    import sqlite3

    one, two = made(tmp_path, "one"), made(tmp_path, "two")
    with sqlite3.connect(two.path) as db:
        plan = json.loads(db.execute("SELECT value FROM meta WHERE key = 'plan'").fetchone()[0])
        plan["equations"]["sgd"] = ["step = g"]
        db.execute("UPDATE meta SET value = ? WHERE key = 'plan'", (json.dumps(plan),))
    with pytest.raises(PlanError, match="sgd is one formula on one and another on two; give them different names"):
        tw.suite([one, Study.open(two.path)])


def test_workers_of_a_cluster_start_once_for_all_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr("thalweg.suites.suite.joined", lambda cluster: nullcontext([cluster]))
    monkeypatch.setattr("thalweg.suites.suite._compared", lambda *arguments: given.append(arguments[-1]["cluster"]))
    tw.suite(["breast-cancer", "diabetes"], optimizers=["sgd", "adam"], cluster="local")
    assert given == [["local"], ["local"]]
    assert given[0] is given[1]
