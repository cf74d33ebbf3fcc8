"""Rates around each optimizer's own default, where none are given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import thalweg as tw
from thalweg.errors import StoreError
from thalweg.formulas import CLASSIC
from thalweg.plan.plan import Plan, log_range, plan
from thalweg.plan.shorter import shorter
from thalweg.study.study import Study


def test_each_default_lies_a_decade_inside_of_as_many_rates() -> None:
    rules = ["sgd", "adam", "lion", "muon", "prodigy", "lars", "lamb", "schedule_free_sgd"]
    asked = plan(rules)
    for label in rules:
        rates = asked["lr"].of(label)
        assert len(rates) == 13
        assert 10 * rates[0] <= asked.formulas[label].hyperparameters["lr"] <= rates[-1] / 10
    common = tuple(log_range(1e-4, 1, 13))
    assert asked.rates == asked["lr"].of("sgd") == asked["lr"].of("adam") == asked["lr"].of("muon") == common
    assert asked["lr"].of("prodigy")[::12] == (1e-3, 10.0)
    assert asked["lr"].of("lion")[::12] == (1e-5, 0.1)
    assert {s.lr for s in asked.settings if s.optimizer == "prodigy"} == {*asked["lr"].of("prodigy")}
    assert asked.runs == 5 * len(asked.settings) == 5 * 8 * 13 * 2


def test_the_classic_ones_have_the_grid_they_had() -> None:
    assert {*plan()["lr"].scales} == {"adadelta"}, "whose default, 1, lies on that grid's edge"
    assert len(CLASSIC) * 13 * 2 == len(plan().settings)


def test_one_alone_has_it_as_the_common_one() -> None:
    assert plan(["prodigy"]).rates == plan(["sgd", "prodigy"])["lr"].of("prodigy")
    assert not plan(["prodigy", "lars"])["lr"].scales


def test_rates_that_are_given_are_those_of_all() -> None:
    assert not plan(["sgd", "prodigy"], rates=log_range(1e-4, 1, 13))["lr"].scales


def test_a_store_says_them_and_gives_them_back() -> None:
    asked = plan(["sgd", "prodigy"]).grown_to([2.15443469003])
    kept = json.loads(json.dumps(asked.to_json()))
    assert kept["own_rates"] == {"prodigy": [*plan(["prodigy"]).rates]}
    again = Plan.from_json(kept)
    assert again.settings == asked.settings
    assert again["lr"].of("prodigy")[-1] == 21.5443469003
    del kept["own_rates"]  # as older ones are
    assert not Plan.from_json(kept)["lr"].scales
    for wrong in ({"prodigy": [0.1]}, {"adam": kept["rates"]}, {"prodigy": [0.1, *kept["rates"][1:]]}):
        with pytest.raises(StoreError, match="the rates of"):
            Plan.from_json({**kept, "own_rates": wrong})


def test_smaller_plans_and_drawn_points_keep_them() -> None:
    for smaller in shorter(plan(["sgd", "prodigy"])):
        assert smaller["lr"].scales == {"prodigy": 10.0}
    drawn = plan(["sgd", "prodigy"], search="sobol", settings=8)
    sgd, prodigy = (sorted({s.lr for s in drawn.settings if s.optimizer == o}) for o in ("sgd", "prodigy"))
    assert prodigy == pytest.approx([10 * rate for rate in sgd])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    asked = {"seeds": 2, "epochs": 1, "confirmation": 2, "grow": 1, "refine": 1, "tune": False, "progress": False}
    store = tmp_path_factory.mktemp("own") / "own.db"
    return tw.compare("breast-cancer", ["sgd", "lion", "adadelta"], schedules=["constant"], **asked, store=store)


def test_all_are_searched_and_refined_alike(study: Study) -> None:
    grid, table = study.plan["lr"], study.table()
    tried = {o: {*table[(table["optimizer"] == o) & (table["stage"] == "search")]["lr"]} for o in study.plan.optimizers}
    assert study.plan.grown, "adadelta does best at the highest, so it says nothing else"
    for optimizer, rates in tried.items():
        assert {*grid.of(optimizer)} < rates
        assert len(rates) == 13 + len(study.plan.grown) + 2
    assert [row["rates"] for row in study.sensitivity().to_dict("records")] == [13 + len(study.plan.grown)] * 3
    assert "Rates lie around each optimizer’s own default" in str(study.verdict)
    assert "lion from 1e-05" in str(study.verdict).replace("\n", " ")


def test_its_store_is_checked_and_read_as_it_was(study: Study, tmp_path: Path) -> None:
    assert tw.Study.open(study.path).plan.settings == study.plan.settings
    report = tmp_path / "report.html"
    study.report(report)
    assert report.stat().st_size > 0
    assert study.recipe("lion").code
