"""More seeds, samples or epochs in the same store: runs are those of a study that had them, and nothing is lost."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from typer.testing import CliRunner

import thalweg as tw
from tests.cases import share
from tests.studies import TINY, Breaks, steps_recorded, wait_for
from tests.warm import Forked
from thalweg.cli.main import app
from thalweg.engine.programs import Programs
from thalweg.errors import PlanError, StoreError
from thalweg.plan.looks import Look
from thalweg.population.block import Block
from thalweg.problem.prepare import prepare
from thalweg.report.contents import Parts, contents
from thalweg.store.file import Store
from thalweg.verdict.comparisons import spent
from thalweg.verdict.losses import matching


def study(path: Path, **changes: Any) -> tw.Study:
    return tw.compare(**{**TINY, **changes}, store=path)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(tmp_path_factory.mktemp("extend") / "base.db").path


@pytest.fixture
def copied(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(base, tmp_path / "study.db"))


def runs(one: tw.Study) -> pd.DataFrame:
    names = ["stage", "optimizer", "lr", "schedule", "seed"]
    return one.table().drop(columns="member").sort_values(names).reset_index(drop=True)


@pytest.mark.slow
def test_the_runs_are_those_of_a_study_that_had_the_seeds_from_the_start(copied: Path, tmp_path: Path) -> None:
    extended = tw.Study.open(copied).extend(3, progress=False)
    whole = study(tmp_path / "whole.db", confirmation=5)
    pd.testing.assert_frame_equal(runs(extended), runs(whole), rtol=1e-5)
    assert extended.finished
    assert (extended.plan.confirmation, extended.plan.looks, whole.plan.looks) == (5, (Look(2, 2),), ())
    assert (extended.verdict.seeds, extended.verdict.looks, whole.verdict.looks) == (5, 1, 0)
    means = [[e.validation_loss.mean for e in one.verdict.entries] for one in (extended, whole)]
    assert means[0] == pytest.approx(means[1], rel=1e-5)


@pytest.mark.slow
def test_again_and_again(copied: Path) -> None:
    one = tw.Study.open(copied)
    for _ in range(2):
        one.extend(1, progress=False)
    assert ([look.seeds for look in one.plan.looks], one.verdict.looks, one.verdict.seeds) == ([2, 3], 2, 4)
    assert sorted(one.table().query("stage == 'confirmation'")["seed"].unique()) == [2, 3, 4, 5]
    assert spent(2) < spent(1) < spent(0) < 0.05


@pytest.mark.slow
def test_the_same_comparison_goes_on_with_it(copied: Path) -> None:
    extended = tw.Study.open(copied).extend(2, progress=False)
    for confirmation in (2, 4):
        again = study(copied, confirmation=confirmation)
        assert again.verdict.seeds == extended.verdict.seeds == 4
    with pytest.raises(StoreError, match="with other confirmation"):
        study(copied, confirmation=3)


@pytest.mark.slow
def test_killed_in_between_it_is_resumed(copied: Path, tmp_path: Path) -> None:
    before = steps_recorded(copied)
    arguments = ["extend", str(copied), "--seeds", "8", "-q"]
    with Forked(*arguments) as process:
        wait_for(lambda: steps_recorded(copied) > before, process)
        process.kill()
    half = tw.Study.open(copied)
    assert not half.finished
    assert (half.verdict.seeds, half.verdict.confirmed, half.verdict.looks) == (2, True, 0)  # as before
    with pytest.raises(PlanError, match="is unfinished; `thalweg resume"):
        half.extend(1)
    assert tw.resume(copied, progress=False).verdict.seeds == 10


@pytest.mark.slow
def test_a_study_without_a_confirmation_is_given_one(tmp_path: Path) -> None:
    one = study(tmp_path / "a.db", confirmation=0)
    assert not one.verdict.confirmed
    one.extend(2, progress=False)
    assert (one.verdict.confirmed, one.verdict.seeds, one.plan.looks) == (True, 2, ())


@pytest.mark.slow
def test_a_rerun_repeats_it(copied: Path) -> None:
    tw.Study.open(copied).extend(1, progress=False)
    again = tw.rerun(copied, progress=False)
    assert again.same_verdict
    assert again.study.verdict.looks == 1


@pytest.mark.slow
def test_with_folds(tmp_path: Path) -> None:
    one = study(tmp_path / "a.db", folds=3, optimizers=["sgd"], rates=[0.1], schedules=["constant"])
    assert one.extend(1, progress=False).verdict.seeds == 3


@pytest.mark.parametrize("seeds", [0, -1, 1.5, True, "many", 10**9])
def test_a_number_that_makes_no_sense_is_refused(copied: Path, seeds: Any) -> None:
    before = copied.read_bytes()
    with pytest.raises(PlanError, match="seeds"):
        tw.Study.open(copied).extend(seeds, progress=False)
    assert tw.Study.open(copied).finished
    assert copied.read_bytes() == before or seeds == 10**9


@pytest.mark.slow
def test_a_problem_that_changed_is_refused(tmp_path: Path) -> None:
    given = tw.Problem(**(problem := {"model": network, "train": blobs(0), "name": "blobs"}))
    one = study(tmp_path / "a.db", problem=given)
    other = tw.Problem(**problem | {"train": blobs(1)})
    with pytest.raises(PlanError, match=r"is not the one .* was begun with"):
        tw.Study.open(one.path).extend(1, problem=other, progress=False)
    with pytest.raises(PlanError, match=r"was begun with a tw\.Problem object; give that object as problem="):
        tw.Study.open(one.path).extend(1, progress=False)
    assert tw.Study.open(one.path).extend(1, problem=given, progress=False).verdict.seeds == 3


@pytest.mark.slow
def test_from_the_command_line(copied: Path) -> None:
    done = CliRunner().invoke(app, ["extend", str(copied), "--seeds", "2", "--json", "-q"])
    assert done.exit_code == 0, done.output
    verdict = json.loads(done.stdout)["verdict"]
    assert (verdict["seeds"], verdict["looks"]) == (4, 1)
    wrong = CliRunner().invoke(app, ["extend", str(copied), "--seeds", "0"])
    assert wrong.exit_code != 0


def network() -> Any:
    return torch.nn.Linear(4, 2)


def blobs(seed: int) -> Any:
    from sklearn.datasets import make_blobs

    inputs, classes = make_blobs(200, 4, centers=2, random_state=seed)
    return inputs.astype("float32"), classes


# More samples


@pytest.fixture(scope="module")
def wider(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tw.Study:
    """With two more parts of the samples."""
    path = Path(shutil.copy(base, tmp_path_factory.mktemp("wider") / "study.db"))
    return tw.Study.open(path).extend(samples=200, progress=False)


@pytest.mark.slow
def test_samples_are_parts_of_the_training_samples_that_judge(wider: tw.Study, base: Path) -> None:
    verdict, before = wider.verdict, tw.Study.open(base)
    assert (verdict.seeds, verdict.samples, verdict.swaps, verdict.looks) == (2, 273, 2, 1)
    assert verdict.most_samples == 455
    assert "2 fresh seeds × 273 samples in 3 parts" in verdict.sentence
    assert any("Beside the validation part 2 parts of the training samples judged" in note for note in verdict.notes)
    fresh = wider.table().query("stage == 'confirmation'")
    assert sorted(fresh["fold"].dropna().unique()) == [0, 1]
    own = fresh[fresh["fold"].isna()].drop(columns="fold").reset_index(drop=True)
    earlier = before.table().query("stage == 'confirmation'").reset_index(drop=True)
    pd.testing.assert_frame_equal(own, earlier)  # what was there stays
    assert fresh["test_loss"].notna().equals(fresh["fold"].isna())  # the test part meets no further run
    tests = [[entry.test["loss"] for entry in one.verdict.entries] for one in (wider, before)]
    assert {str(test) for test in tests[0]} == {str(test) for test in tests[1]}


def test_a_value_over_all_parts_is_the_mean_over_all_samples_that_judge(wider: tw.Study) -> None:
    fresh = wider.table().query("stage == 'confirmation'")
    for entry in wider.verdict.entries:
        runs = fresh[matching(fresh, entry.setting)]
        assert len(runs) == 2 * 3
        assert entry.value.mean == pytest.approx(runs["validation_loss"].mean(), rel=1e-6)  # parts of 91 samples each
        assert entry.spread[1] > 0


@pytest.mark.slow
def test_its_report_terminal_and_curves(wider: tw.Study, tmp_path: Path) -> None:
    page = wider.report(tmp_path / "r.html").read_text()
    assert "273 samples in 3 parts" in page
    sections = {section.name: section for section in contents(Parts(wider))}
    assert {row["seeds"] for row in sections["learning"].rows} == {2}  # of the runs on the training part alone
    steps = {(one.stop <= one.steps, one.steps) for one in wider.generalization()}
    assert steps == {(True, 2 * 6)}


@pytest.mark.slow
def test_a_run_on_a_part_is_that_of_the_same_data_alone(wider: tw.Study) -> None:
    """Trained on all but that part by a problem that has the part as its validation samples."""
    ready = prepare("breast-cancer")
    swaps = wider.plan.swaps
    assert swaps is not None
    training, judging = swaps.rows(ready)[1]
    inputs, targets = ready.pool
    alone = tw.Problem(
        model=ready.model,
        train=(inputs[training], targets[training]),
        validation=(inputs[judging], targets[judging]),
        test=ready.test,
        name="alone",
    )
    best = wider.verdict.best
    assert sorted([*training.tolist(), *judging.tolist()]) == list(range(len(inputs)))
    plan = replace(wider.plan, swaps=None)
    block = Block(Programs(plan, prepare(alone)).task(best.setting), [plan.member(best.setting, 3)], plan.epochs)
    for epoch in block.train():
        last = epoch
    fresh = wider.table().query("stage == 'confirmation' and seed == 3 and fold == 1")
    expected = fresh[matching(fresh, best.setting)]["validation_loss"].item()
    assert last is not None
    assert last.values["validation_loss"][0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"samples": 91}, "samples=91, and 91 judge already; give more, up to 455"),
        ({"samples": 456}, "samples=456, and training and validation have 455 together; give at most that many"),
        ({"samples": 1.5}, "samples is 1.5; give a whole number"),
        ({"epochs": 2}, "epochs=2, and the runs have 2 already; give more"),
        ({"epochs": "many"}, "epochs is 'many'; give a whole number"),
        ({"seeds": 1, "epochs": 0}, "epochs is 0; give a whole number"),
    ],
    ids=str,
)
def test_what_is_not_more_or_cannot_be_had_is_refused(copied: Path, asked: dict[str, Any], words: str) -> None:
    before = copied.read_bytes()
    with pytest.raises(PlanError, match=words):
        tw.Study.open(copied).extend(**asked, progress=False)
    assert copied.read_bytes() == before


@pytest.mark.slow
def test_when_all_samples_judge_there_are_no_more(copied: Path) -> None:
    one = tw.Study.open(copied).extend(samples=455, progress=False)
    assert (one.verdict.samples, one.verdict.swaps) == (455, 4)
    with pytest.raises(PlanError, match="all 455 of training and validation judge already; give more seeds"):
        one.extend(samples=455)
    one.extend(seeds=1, progress=False)  # a further seed meets every part
    assert (one.verdict.seeds, one.verdict.samples, one.verdict.looks) == (3, 455, 2)


@pytest.mark.slow
def test_folds_and_a_loader_have_no_further_samples(tmp_path: Path) -> None:
    small: dict[str, Any] = {"optimizers": ["sgd"], "rates": [0.1], "schedules": ["constant"], "epochs": 1}
    folded = study(tmp_path / "a.db", folds=3, **small)
    with pytest.raises(PlanError, match="this study has folds, which say what samples judge"):
        folded.extend(samples=455)
    data = TensorDataset(torch.randn(40, 4), torch.randint(0, 2, (40,)))
    given = tw.Problem(network, DataLoader(data, 10), validation=(data.tensors[0][:20], data.tensors[1][:20]))
    loaded = study(tmp_path / "b.db", problem=given, **small)
    with pytest.raises(PlanError, match="the train data are a DataLoader"):
        loaded.extend(samples=25)
    assert loaded.extend(epochs=2, progress=False).verdict.epochs == 2


# More epochs


@pytest.fixture(scope="module")
def longer(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tw.Study:
    path = Path(shutil.copy(base, tmp_path_factory.mktemp("longer") / "study.db"))
    return tw.Study.open(path).extend(epochs=5, progress=False)


@pytest.mark.slow
def test_the_runs_are_those_of_a_study_of_so_many_epochs(longer: tw.Study, base: Path) -> None:
    verdict, stage = longer.verdict, "confirmation at 5 epochs"
    assert (verdict.epochs, verdict.stage, verdict.seeds, verdict.looks) == (5, stage, 2, 1)
    table, plan = longer.table(), replace(longer.plan, epochs=5)
    assert set(table["stage"]) == {"search", "confirmation", stage}
    fresh = table[table["stage"] == stage]
    assert set(fresh["step"]) == {5 * 6}
    assert set(fresh["seed"]) == {2, 3}
    setting = verdict.best.setting
    block = Block(Programs(plan, prepare("breast-cancer")).task(setting), [plan.member(setting, 2)], 5)
    for epoch in block.train():
        last = epoch
    assert last is not None
    expected = fresh[matching(fresh, setting) & (fresh["seed"] == 2)]["validation_loss"].item()
    assert last.values["validation_loss"][0] == pytest.approx(expected, rel=1e-4)
    earlier = tw.Study.open(base).table()
    pd.testing.assert_frame_equal(table.iloc[: len(earlier)], earlier)  # what was there stays


@pytest.mark.slow
def test_what_is_said_of_more_epochs(longer: tw.Study, base: Path, tmp_path: Path) -> None:
    verdict, before = longer.verdict, tw.Study.open(base).verdict
    first = before.best
    words = (
        "Fresh runs had 5 epochs, with schedules for that many; settings were chosen at 2, where "
        f"{first.optimizer} led{' too' * (first.setting == verdict.best.setting)} with the same seeds "
        f"({first.value.mean:.4g}, now "
    )
    assert any(note.startswith(words) for note in verdict.notes), verdict.notes
    assert not any("partly luck" in note for note in verdict.notes)
    assert "SEED, EPOCHS = 2, 5" in longer.recipe(seed=2).code
    assert longer.recipe_run is not None
    assert (longer.recipe_run.stage, longer.recipe_run.epochs) == (verdict.stage, 5)
    assert longer.recipe_run.largest < 1e-3
    assert longer.leaders()["epoch"].max() == 5
    assert verdict.best.steps == 5 * 6
    page = longer.report(tmp_path / "r.html").read_text()
    assert "epochs of the confirmation" in page
    assert len(longer.curves(verdict.stage)) > 0
    with pytest.raises(PlanError, match=r"confirmation at 5 epochs"):
        longer.curves("confirmation at 6 epochs")


@pytest.mark.slow
def test_longer_again_and_then_more_seeds(copied: Path) -> None:
    one = tw.Study.open(copied).extend(epochs=3, progress=False).extend(seeds=1, epochs=4, progress=False)
    one.extend(samples=100, progress=False)
    fresh = one.table().query("stage != 'search'")
    counts = fresh.groupby("stage")["seed"].nunique().to_dict()
    assert counts == {"confirmation": 2, "confirmation at 3 epochs": 2, "confirmation at 4 epochs": 3}
    assert (one.verdict.seeds, one.verdict.epochs, one.verdict.samples, one.verdict.looks) == (3, 4, 182, 3)
    again = tw.rerun(copied, progress=False)
    assert again.same_verdict
    assert again.same_curves


@pytest.mark.slow
def test_without_a_confirmation_seeds_are_needed(tmp_path: Path) -> None:
    one = study(tmp_path / "a.db", confirmation=0, optimizers=["sgd"], schedules=["constant"], epochs=1)
    with pytest.raises(PlanError, match="nothing of this study was confirmed with fresh seeds; give seeds as well"):
        one.extend(epochs=3)
    one.extend(seeds=2, epochs=3, progress=False)
    assert (one.verdict.seeds, one.verdict.epochs, one.verdict.looks) == (2, 3, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [
        {"seeds": 1, "samples": 182, "epochs": 3},
        *(pytest.param(one, marks=pytest.mark.slow) for one in ({"samples": 455}, {"epochs": 4})),
    ],
    ids=str,
)
def test_stopped_at_a_step_it_goes_on_with_the_same_results(
    copied: Path, tmp_path: Path, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tw.Study.open(shutil.copy(copied, tmp_path / "whole.db")).extend(**asked, progress=False)
    before = tw.Study.open(copied).verdict
    with monkeypatch.context() as patch:
        patch.setattr("thalweg.engine.block_run.STEPS_SECONDS", 0.0)
        patch.setattr("thalweg.study.study.progress_for", lambda wanted: Breaks(30))
        with pytest.raises(SystemExit):
            tw.Study.open(copied).extend(**asked)
    half = tw.Study.open(copied)
    assert not half.finished
    assert half.verdict.to_json() == before.to_json()  # until all new runs have ended
    resumed = tw.resume(copied, progress=False)
    pd.testing.assert_frame_equal(resumed.table(), whole.table())
    assert resumed.verdict.to_json()["entries"] == whole.verdict.to_json()["entries"]


@pytest.mark.slow
@pytest.mark.parametrize("more", share([["--samples", "455"], ["--epochs", "60"]], of=2, part=1))
def test_killed_among_samples_or_epochs_it_is_resumed(copied: Path, more: list[str]) -> None:
    before = steps_recorded(copied)
    arguments = ["extend", str(copied), *more, "-q"]
    with Forked(*arguments) as process:
        wait_for(lambda: steps_recorded(copied) > before, process)
        process.kill()
    half = tw.Study.open(copied)
    assert (half.finished, half.verdict.looks) == (False, 0)
    verdict = tw.resume(copied, progress=False).verdict
    assert (verdict.looks, verdict.samples, verdict.epochs) in {(1, 455, 2), (1, 91, 60)}


@pytest.mark.slow
def test_samples_and_epochs_from_the_command_line(copied: Path) -> None:
    done = CliRunner().invoke(app, ["extend", str(copied), "--samples", "100", "--epochs", "3", "--json", "-q"])
    assert done.exit_code == 0, done.output
    verdict = json.loads(done.stdout)["verdict"]
    assert (verdict["seeds"], verdict["samples"], verdict["swaps"], verdict["epochs"]) == (2, 182, 1, 3)
    assert verdict["stage"] == "confirmation at 3 epochs"
    wrong = CliRunner().invoke(app, ["extend", str(copied), "--epochs", "3"])
    assert wrong.exit_code == 2 or "give more" in str(wrong.exception)


def test_looks_of_older_stores_are_numbers_of_seeds(copied: Path) -> None:
    extended = tw.Study.open(copied).extend(1, progress=False)
    with Store.open(copied, write=True) as store:
        plan = store.meta("plan")
        older = {name: value for name, value in plan.items() if name not in ("confirmation_epochs", "swaps")}
        store.set_meta("plan", {**older, "looks": [2]})
    assert tw.Study.open(copied).plan.looks == extended.plan.looks == (Look(2, 2),)
