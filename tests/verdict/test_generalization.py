"""Over- and underfitting in words, by rules on curves of known shape; the gap, and where to stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import thalweg as tw
from thalweg.cli.result import finish
from thalweg.plan.plan import plan
from thalweg.study.study import Study, compare
from thalweg.verdict.generalization import generalization, remarks
from thalweg.verdict.intervals import interval
from thalweg.verdict.verdict import judge

EPOCHS, SEEDS = 20, 5
TIME = np.arange(1, EPOCHS + 1) / EPOCHS
NOISE = np.random.default_rng(0).normal(0, 0.003, (SEEDS, 1))
JITTER = np.random.default_rng(1).normal(0, 0.0005, (SEEDS, EPOCHS))
# name → (train, validation) losses (seeds, epochs)
SHAPES = {
    "settles": (0.1 + np.exp(-8 * TIME) + NOISE + JITTER, 0.2 + np.exp(-12 * TIME) + NOISE - JITTER),
    "turns up": (0.05 + np.exp(-8 * TIME) + NOISE, 0.25 + (TIME - 0.4) ** 2 + NOISE + JITTER),
    "still falls": (0.9 - 0.5 * TIME + NOISE, 1.0 - 0.5 * TIME + NOISE + JITTER),
    "fits too little": (0.4 + np.exp(-12 * TIME) + NOISE, 0.45 + np.exp(-12 * TIME) + NOISE + JITTER),
}


def study_of(shapes: dict[str, tuple[np.ndarray, np.ndarray]], **changes: Any) -> tuple[Any, ...]:
    """A plan with an optimizer for each shape, its verdict, members and curves."""
    names = dict(zip(["sgd", "adam", "momentum", "rmsprop"], shapes.values(), strict=False))
    wanted = plan(
        optimizers=list(names), rates=[0.1], schedule_names=["constant"], seeds=SEEDS, epochs=EPOCHS, **changes
    )
    members, curves = [], []
    for label, (train, validation) in names.items():
        for seed in range(SEEDS):
            member = len(members)
            members.append(
                {
                    "member": member,
                    "stage": "search",
                    "optimizer": label,
                    "lr": 0.1,
                    "schedule": "constant",
                    "seed": seed,
                    "status": "finished",
                    "step": EPOCHS * 10,
                    "validation_loss": validation[seed, -1],
                }
            )
            for metric, values in (("train_loss", train), ("validation_loss", validation)):
                curves += [
                    {"member": member, "step": 10 * (k + 1), "metric": metric, "value": v}
                    for k, v in enumerate(values[seed])
                ]
    table = pd.DataFrame(members)
    return wanted, judge(wanted, "made up", table, {}), table, pd.DataFrame(curves)


def words(shapes: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    found = {one.level: one for one in generalization(*study_of(shapes))}
    return {name: found[label] for name, label in zip(shapes, ["sgd", "adam", "momentum", "rmsprop"], strict=False)}


def test_seeds_that_have_not_ended_are_left_out() -> None:
    wanted, _, table, curves = study_of(SHAPES)
    late, none = table["seed"] == SEEDS - 1, table["seed"] == SEEDS - 2
    table.loc[late | none, "status"] = ["started" if one else "waiting" for one in late[late | none]]
    going = curves["member"].isin(table.loc[late, "member"]) & (curves["step"] > 50)
    part = curves[~going & ~curves["member"].isin(table.loc[none, "member"])]
    ended = table[~(late | none)]
    verdict = judge(wanted, "made up", table, {})
    expected = generalization(wanted, verdict, ended, curves)
    assert expected[0].word == "fits"
    assert generalization(wanted, verdict, table, part) == expected


def test_the_words() -> None:
    found = words(SHAPES)
    assert {name: one.word for name, one in found.items()} == {
        "settles": "fits",
        "turns up": "overfits",
        "still falls": "underfits",
        "fits too little": "underfits",
    }
    assert "so more epochs would help" in found["still falls"].sentence
    assert "training loss 0.4" in found["fits too little"].sentence
    assert "that another reaches" in found["fits too little"].sentence


def test_where_to_stop_and_what_it_gains() -> None:
    one = words(SHAPES)["turns up"]
    _, validation = SHAPES["turns up"]
    at = int(validation.mean(axis=0).argmin())
    assert (one.stop, one.steps) == (10 * (at + 1), 200)
    assert one.rise == interval(validation[:, -1] - validation[:, at], skewed=False)
    assert f"lowest at step {one.stop} of 200" in one.sentence


def test_the_gap_is_paired_by_seed() -> None:
    train, validation = SHAPES["settles"]
    gap = words(SHAPES)["settles"].gap
    assert gap == interval(validation[:, -1] - train[:, -1], skewed=False)
    assert gap.high - gap.low < 0.3 * (lambda i: i.high - i.low)(interval(validation[:, -1]))


def test_a_gap_the_other_way_is_said_so() -> None:
    train, validation = SHAPES["settles"]
    one = words({"below": (validation + 0.2, train)})["below"]
    assert one.gap is not None
    assert one.gap.mean < 0
    assert f"validation lies {interval((validation + 0.2 - train)[:, -1], skewed=False)} below training" in one.sentence


def test_a_rise_within_the_noise_is_none() -> None:
    train, validation = SHAPES["settles"]
    noisy = validation.copy()
    noisy[:, 15] -= 0.02  # the lowest mean, by chance
    noisy[:, -1] += np.array([0.2, -0.15, 0.1, -0.12, 0.05])
    one = words({"noisy": (train, noisy)})["noisy"]
    assert one.rise.mean > 0
    assert one.word == "fits"


def test_who_is_tied_with_the_best_does_not_underfit() -> None:
    train, validation = SHAPES["settles"]
    shapes = {"one": (train, validation), "other": (train + 0.2, validation + JITTER)}
    assert {one.word for one in words(shapes).values()} == {"fits"}


def test_a_diverged_run_says_so() -> None:
    train, validation = (a.copy() for a in SHAPES["settles"])
    train[0, 5:] = validation[0, 5:] = np.nan
    one = words({"settles": SHAPES["settles"], "lost": (train, validation)})["lost"]
    assert (one.word, one.sentence) == ("diverged", "adam diverged.")
    assert json.dumps(one.to_json(), allow_nan=False)


def test_a_run_that_ended_far_up_diverged_too() -> None:
    wanted, _, members, curves = study_of(SHAPES)
    members.loc[members["optimizer"].eq("adam") & members["seed"].eq(0), ["status", "step"]] = ["diverged", 50]
    found = generalization(wanted, judge(wanted, "made up", members, {}), members, curves)
    assert {one.level: one.word for one in found}["adam"] == "diverged"


def test_no_gap_between_different_losses() -> None:
    assert all(one.gap is None for one in generalization(*study_of(SHAPES, regularizers=["label_smoothing(0.1)"])))


@pytest.mark.slow
def test_a_studys_own(tiny: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = tiny.generalization()
    assert [one.level for one in found] == [e.optimizer for e in tiny.verdict.entries]
    fresh = tiny.table().query("stage == 'confirmation'").drop(columns="step")
    curves = tiny.curves().merge(fresh, on="member")
    own = curves[(curves["optimizer"] == found[0].level) & (curves["metric"] == "validation_loss")]
    best = tiny.verdict.best
    own = own[(own["lr"] == best.lr) & (own["schedule"] == best.schedule)]
    assert found[0].stop == own.groupby("step")["value"].mean().idxmin()
    finish(tiny, None, False)
    assert remarks(found)[0].split(";")[0] in capsys.readouterr().out.replace("\n", " ")
    finish(tiny, None, True)
    assert [g["word"] for g in json.loads(capsys.readouterr().out)["generalization"]] == [g.word for g in found]
    page = tiny.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<h2 id="generalization-title">' in page


@pytest.mark.slow
def test_with_folds(tmp_path: Path) -> None:
    study = compare(
        "diabetes",
        ["sgd"],
        [0.1],
        ["constant"],
        seeds=2,
        epochs=30,
        folds=3,
        confirmation=2,
        store=tmp_path / "a.db",
        progress=False,
    )
    (one,) = study.generalization()
    assert one.validation_loss.mean == pytest.approx(study.verdict.best.validation_loss.mean)
    assert tw.Study.open(study.path).generalization() == [one]
