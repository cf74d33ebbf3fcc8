"""Cross-validation: folds of every kind, members that follow the same run alone, and a test part nobody saw."""

from __future__ import annotations

import itertools
import json
import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import model_selection as sk
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from typer.testing import CliRunner

import thalweg as tw
from thalweg.cli.main import app
from thalweg.errors import PlanError, ProblemError
from thalweg.plan.folds import Folds, averaged, folds
from thalweg.plan.plan import Plan
from thalweg.population.block import Block
from thalweg.problem.prepare import Prepared, prepare
from thalweg.study.study import Study, compare, resume
from thalweg.verdict.comparisons import rank
from thalweg.verdict.intervals import bounds

from ..cases import mostly_slow

SAMPLES, RATES = 60, {"sgd": 0.1, "adam": 0.01}
_DRAWN = torch.Generator().manual_seed(0)
INPUTS = torch.randn(SAMPLES, 4, generator=_DRAWN, dtype=torch.float64)
CLASSES = (INPUTS @ torch.randn(4, 3, generator=_DRAWN, dtype=torch.float64)).argmax(1)
VALUES = INPUTS.sum(1, keepdim=True)
GROUPS = np.repeat(np.arange(12), 5)
BATCH, EPOCHS = 16, 3


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def line() -> nn.Module:
    return nn.Linear(4, 1).double()


def problem(**changes: Any) -> tw.Problem:
    asked: dict[str, Any] = {"model": network, "train": (INPUTS, CLASSES), "metrics": ("accuracy",)}
    return tw.Problem(**{**asked, **changes})


def values(**changes: Any) -> tw.Problem:
    return problem(**{"model": line, "train": (INPUTS, VALUES), "loss": "mse", "metrics": (), **changes})


def study(path: Path, given: tw.Problem | None = None, **changes: Any) -> Study:
    asked: dict[str, Any] = {
        "optimizers": ["sgd", "adam"],
        "rates": [0.01, 0.1],
        "schedules": ["constant"],
        "seeds": 2,
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "confirmation": 2,
        "folds": 4,
        "progress": False,
    }
    return compare(problem() if given is None else given, **{**asked, **changes}, store=path)


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two optimizers, two rates, 2 + 2 seeds, 4 folds. Look, don't touch."""
    return study(tmp_path_factory.mktemp("folds") / "folds.db")


def rows_of(given: tw.Problem, wanted: Any) -> tuple[Prepared, list[tuple[np.ndarray, np.ndarray]]]:
    ready = prepare(given)
    found = folds(wanted, ready, 0).rows(ready)
    return ready, [(kept.numpy(), held.numpy()) for kept, held in found]


# Which rows


def test_the_pool_is_train_and_validation_in_the_order_given() -> None:
    """TimeSeriesSplit goes by that order."""
    ready = prepare(problem(test=(INPUTS[:5], CLASSES[:5])))
    assert torch.equal(ready.pool[0], INPUTS)
    assert torch.equal(ready.pool[1], CLASSES)
    assert len(ready.train[0]) == 48  # type: ignore[arg-type]
    pool = prepare(problem()).pool[0]
    place = [int((row == INPUTS).all(1).nonzero()[0, 0]) for row in pool]
    assert place == sorted(place)
    assert len(place) == 48
    given = prepare(problem(validation=(INPUTS[:7], CLASSES[:7]), test=(INPUTS[:5], CLASSES[:5])))
    assert torch.equal(given.pool[0], torch.cat([INPUTS, INPUTS[:7]]))


def test_folds_are_stratified_for_classes_and_hold_out_every_sample_once() -> None:
    ready, found = rows_of(problem(), 4)
    labels = ready.pool[1].numpy()
    whole = np.bincount(labels) / 4
    for kept, held in found:
        assert not set(kept) & set(held)
        assert np.abs(np.bincount(labels[held], minlength=3) - whole).max() < 1
    assert sorted(np.concatenate([held for _, held in found])) == list(range(len(labels)))
    assert folds(4, ready, 0).splitter == "StratifiedKFold"


def test_folds_of_values_are_plain() -> None:
    ready, found = rows_of(values(), 3)
    assert folds(3, ready, 0).splitter == "KFold"
    assert [len(held) for _, held in found] == [16, 16, 16]


@pytest.mark.parametrize(("given", "splitter"), [(problem, "StratifiedGroupKFold"), (values, "GroupKFold")])
def test_groups_stay_together_in_folds_and_in_every_part(given: Any, splitter: str) -> None:
    asked = given(groups=[f"patient {k:02}" for k in GROUPS])
    ready, found = rows_of(asked, 3)
    assert folds(3, ready, 0).splitter == splitter
    assert ready.groups is not None
    group = {tuple(row.tolist()): int(k) for row, k in zip(INPUTS, GROUPS, strict=True)}
    parts = [ready.train[0], ready.validation[0], ready.test[0]]  # type: ignore[index]
    sides = [{group[tuple(row.tolist())] for row in part} for part in parts]
    assert not any(a & b for a, b in itertools.combinations(sides, 2))
    assert [group[tuple(row.tolist())] for row in ready.pool[0]] == [
        sorted(sides[0] | sides[1])[k] for k in np.unique(ready.groups, return_inverse=True)[1]
    ]
    for kept, held in found:
        assert not set(ready.groups[kept]) & set(ready.groups[held])
    assert prepare(given()).fingerprint != ready.fingerprint


SPLITTERS = [
    sk.LeaveOneOut(),
    sk.TimeSeriesSplit(5, gap=2),
    sk.ShuffleSplit(3, test_size=0.3, random_state=7),
    sk.RepeatedKFold(n_splits=4, n_repeats=2, random_state=1),
    sk.PredefinedSplit(np.arange(SAMPLES) % 3),
    sk.RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=1),
    sk.KFold(3),
    sk.LeaveOneGroupOut(),
    sk.StratifiedShuffleSplit(2, random_state=0),
    sk.GroupShuffleSplit(2, random_state=0),
    sk.LeavePOut(2),
]


@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda s: type(s).__name__)
def test_a_splitter_is_used_as_it_is_and_comes_back_from_a_store(splitter: Any) -> None:
    groups = GROUPS if "Group" in type(splitter).__name__ else None
    ready = prepare(problem(test=(INPUTS[:5], CLASSES[:5]), groups=groups))
    wanted = folds(splitter, ready, 0)
    again = Folds.from_json(json.loads(json.dumps(wanted.to_json())))
    assert again == wanted
    assert again is not None
    expected = list(splitter.split(np.zeros((SAMPLES, 1)), CLASSES.numpy(), groups))
    found = again.rows(ready)
    assert len(found) == wanted.count == len(expected)
    for (kept, held), (train, test) in zip(found, expected, strict=True):
        assert kept.tolist() == train.tolist()
        assert held.tolist() == test.tolist()
    assert wanted.overlap == pytest.approx(np.mean([len(b) / len(a) for a, b in expected]))


def test_folds_that_scikit_learn_draws_otherwise_are_refused() -> None:
    ready = prepare(problem())
    kept = {**folds(4, ready, 0).to_json(), "digest": "another"}
    found = Folds.from_json(kept)
    assert found is not None
    with pytest.raises(PlanError, match="draws other folds than those the study was begun with"):
        found.rows(ready)


# Members


def alone(ready: Prepared, optimizer: str, lr: float, seed: int, kept: Any, judged: Any) -> float:
    """The loss of the same run in plain PyTorch, on the samples `judged`."""
    torch.manual_seed(seed)
    model = network()
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    step = kind(model.parameters(), lr=lr)
    inputs, targets = ready.pool[0][kept], ready.pool[1][kept]
    for epoch in range(EPOCHS):
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(1_000_003 * seed + epoch))
        for chosen in order.split(BATCH):
            step.zero_grad()
            nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen]).backward()
            step.step()
    with torch.no_grad():
        return nn.functional.cross_entropy(model(judged[0]), judged[1]).item()


@pytest.mark.slow
def test_every_member_follows_the_same_run_alone(crossed: Study) -> None:
    ready, found = rows_of(problem(), 4)
    table = crossed.table()
    assert len(table) == 4 * 2 * 4 + 4 * 2 * 5  # two are chosen, and two defaults
    for row in table.to_dict("records"):
        setting = row["optimizer"], row["lr"], row["seed"]
        if row["seed"] == 1:
            continue
        if isinstance(row["fold"], int):
            kept, held = found[row["fold"]]
            expected = alone(ready, *setting, kept, (ready.pool[0][held], ready.pool[1][held]))
            assert row["validation_loss"] == pytest.approx(expected, rel=1e-9)
            assert math.isnan(row.get("test_loss", math.nan))
        else:
            expected = alone(ready, *setting, np.arange(len(ready.pool[0])), ready.test)
            assert row["stage"] == "confirmation"
            assert row["test_loss"] == pytest.approx(expected, rel=1e-9)
            assert math.isnan(row["validation_loss"])


def test_the_recipe_trains_on_all_samples_too(crossed: Study) -> None:
    code = crossed.recipe("adam", seed=2).code.replace("tw.prepare(YOUR_PROBLEM)", "given")
    names: dict[str, Any] = {"given": prepare(problem())}
    assert "problem.train" not in code
    assert "problem.validation" not in code
    exec(compile(code, "recipe", "exec"), names)
    table = crossed.table()
    last = table[(table["optimizer"] == "adam") & (table["seed"] == 2) & table["fold"].isna()]
    last = last[last["lr"] != 0.001]  # which is the default
    with torch.no_grad():
        inputs, targets = names["given"].test
        loss = nn.functional.cross_entropy(names["model"](inputs), targets).item()
    assert loss == pytest.approx(last["test_loss"].item(), rel=1e-9)


def test_the_recipe_was_run_and_met_the_same_test_loss(crossed: Study) -> None:
    found = crossed.recipe_run
    assert found is not None
    assert (found.compared, found.stage, found.epochs, found.reason) == ("test", "confirmation", EPOCHS, "")
    assert 0 <= found.largest < 1e-9
    assert "has test losses that differ" in str(found) or "the very same losses" in str(found)


def test_the_fold_is_a_column_and_the_test_part_is_met_by_the_last_runs_alone(crossed: Study) -> None:
    table = crossed.table()
    assert list(table.columns[:8]) == ["member", "stage", "optimizer", "lr", "schedule", "seed", "fold", "status"]
    assert str(table["fold"].dtype) == "Int64"
    search, fresh = (table[table["stage"] == stage] for stage in ("search", "confirmation"))
    assert set(search["fold"]) == {0, 1, 2, 3}
    assert fresh.groupby("seed")["fold"].apply(lambda own: own.isna().sum()).tolist() == [4, 4]
    assert table["test_loss"].notna().equals(table["fold"].isna())
    assert set(search["seed"]) == {0, 1}
    assert set(fresh["seed"]) == {2, 3}


def test_settings_are_chosen_by_the_mean_over_folds_and_seeds(crossed: Study) -> None:
    table, verdict = crossed.table(), crossed.verdict
    assert verdict.confirmed
    assert verdict.folds == 4
    for entry in verdict.entries:
        own = table[(table["stage"] == "search") & (table["optimizer"] == entry.optimizer)]
        means = own.groupby("lr")["validation_loss"].mean()
        assert entry.lr == means.idxmin()
        assert entry.search_value == pytest.approx(means.min())
        assert entry.runs == 2 * 2 * 4
        again = table[(table["stage"] == "confirmation") & (table["optimizer"] == entry.optimizer)]
        again = again[again["lr"] == entry.lr]
        assert entry.validation_loss.mean == pytest.approx(again["validation_loss"].mean())
        assert entry.test["loss"].mean == pytest.approx(again["test_loss"].mean())
        assert entry.steps == EPOCHS * 3
    assert "over 2 fresh seeds × 4 folds" in verdict.sentence
    (means,) = [note for note in verdict.notes if "means over" in note]
    (tests,) = [note for note in verdict.notes if "Test numbers" in note]
    assert "means over 4 folds, StratifiedKFold(n_splits=4, shuffle=True, random_state=0)" in means
    assert "fresh seeds, trained again on all training and validation samples" in tests


@pytest.mark.slow
def test_a_report_says_how_it_was_judged(crossed: Study, tmp_path: Path) -> None:
    page = crossed.report(tmp_path / "report.html").read_text()
    assert "2 fresh seeds × 4 folds" in page
    assert "Nadeau and Bengio (2003)" in page
    assert "runs (seeds × folds)" in page


@pytest.mark.slow
@pytest.mark.parametrize("step", mostly_slow([3, 40, 70], 40))
def test_taken_up_where_it_was_stopped(
    step: int, crossed: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [0]
    train = Block._advance

    def stopping(block: Any, *batch: Any) -> None:
        taken[0] += 1
        if taken[0] == step:
            raise KeyboardInterrupt
        train(block, *batch)

    path = tmp_path / "cut.db"
    with monkeypatch.context() as patch:
        patch.setattr(Block, "_advance", stopping)
        with pytest.raises(KeyboardInterrupt):
            study(path)
    found = resume(path, problem(), progress=False)
    assert found.table().equals(crossed.table())
    assert found.plan.folds == crossed.plan.folds
    with pytest.raises(tw.ThalwegError, match="already holds another study \\(with other folds\\)"):
        study(path, folds=5)


@pytest.mark.slow
def test_leave_one_out(tmp_path: Path) -> None:
    found = study(tmp_path / "a.db", values(), folds=sk.LeaveOneOut(), optimizers="sgd", seeds=1, epochs=1)
    table = found.table()
    assert (table["stage"] == "search").sum() == 2 * 48
    assert found.verdict.entries[0].validation_loss.mean > 0


def test_folds_of_one_seed_give_an_interval_and_one_diverged_fold_counts(tmp_path: Path) -> None:
    found = study(tmp_path / "a.db", values(), optimizers="sgd", rates=[0.1, 1e4], seeds=1, epochs=12, confirmation=0)
    table = found.table()
    whole = averaged(table)
    assert len(whole) == 2
    assert whole.set_index("lr")["status"].to_dict() == {0.1: "finished", 1e4: "diverged"}
    (entry,) = found.verdict.entries
    assert entry.lr == 0.1
    assert -math.inf < entry.validation_loss.low < entry.validation_loss.mean < entry.validation_loss.high
    assert "over one seed × 4 folds" in found.verdict.sentence


def test_older_plans_have_no_folds(tiny: Study) -> None:
    kept = {key: value for key, value in tiny.plan.to_json().items() if key != "folds"}
    assert Plan.from_json(kept).folds is None


@pytest.mark.slow
def test_on_the_command_line(tmp_path: Path) -> None:
    words = shlex.split("compare breast-cancer --optimizers sgd --rates 0.1 --schedules constant --seeds 1 --epochs 1")
    words += ["--confirmation", "0", "--quiet", "--json", "--store", str(tmp_path / "a.db")]
    done = CliRunner().invoke(app, [*words, "--folds", "3"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["plan"]["folds"]["count"] == 3
    refused = CliRunner().invoke(app, [*words, "--folds", "1"])
    assert refused.exit_code != 0


# How sure


def correlated(rng: np.random.Generator, seeds: int, count: int, studies: int) -> np.ndarray:
    """(studies, seeds, folds) losses with mean 0, as folds of training data in common would give them.

    What all folds share is a part n₂/(n₁ + n₂) = 1/folds of the variance that folds show (Nadeau & Bengio 2003).
    """
    shared = rng.normal(size=(studies, 1, 1)) * math.sqrt(1 / count)
    own = rng.normal(size=(studies, 1, count)) * math.sqrt(1 - 1 / count)
    start = 0.3 * rng.normal(size=(studies, seeds, 1))
    return shared + own + start + 0.3 * rng.normal(size=(studies, seeds, count))


@pytest.mark.parametrize(("seeds", "count"), [(1, 5), (5, 5), (3, 10)])
def test_the_interval_covers_the_mean_as_often_as_it_says(seeds: int, count: int) -> None:
    studies = correlated(np.random.default_rng(0), seeds, count, 4000)

    def coverage(overlap: float) -> float:
        low, high = bounds(studies, False, overlap)
        return float(((low <= 0) & (high >= 0)).mean())

    honest = coverage(1 / (count - 1))
    assert 0.93 <= honest <= 0.97
    assert coverage(0) < 0.90  # folds taken for independent


def test_equals_tie_and_a_pair_is_told_apart_by_its_differences() -> None:
    rng = np.random.default_rng(1)
    ties = 0
    for _ in range(60):
        common = correlated(rng, 4, 5, 1)[0]
        noise = 0.1 * rng.normal(size=(4, 5, 2))
        ties += rank(np.stack([common, common], axis=-1) + noise, overlap=0.25)[1].letters == ["a", "a"]
    assert ties >= 57
    far = np.stack([common, common + 0.5], axis=-1) + noise
    assert rank(far, overlap=0.25)[1].letters == ["a", "b"]


def test_a_fold_that_diverged_once_is_no_finite_mean() -> None:
    losses = np.ones((3, 4, 2))
    losses[1, 2, 1] = math.inf
    order, found = rank(losses)
    assert order == [0, 1]
    assert found.mean[1].mean == math.inf


# Bad input


@pytest.mark.parametrize(
    ("given", "wanted", "words"),
    [
        (problem(), 1, "folds=1 is not allowed: give a whole number of at least 2"),
        (problem(), True, "folds=True is not allowed"),
        (problem(), "five", "folds='five' is not allowed: give a number of folds, or a splitter"),
        (problem(), 2.5, "folds=2.5 is not allowed"),
        (values(), 100, "100 folds cannot be cut from 48 samples"),
        (problem(), 20, r"class \d has \d+ samples of training and validation, fewer than 20 folds"),
        (problem(groups=GROUPS), 10, "10 folds cannot be cut from 9 groups; give at most 9"),
        (problem(), sk.KFold(3, shuffle=True), "KFold has random_state=None, so the same folds could not be drawn"),
        (problem(), sk.ShuffleSplit(3), "random_state=None"),
        (problem(), sk.TimeSeriesSplit(5), "give the problem a test part, the latest samples"),
        (problem(), sk.GroupKFold(3), "GroupKFold cannot split these 48 samples .* or groups= to the problem"),
        (problem(groups=GROUPS), sk.KFold(3, shuffle=True, random_state=0), "KFold tears groups apart"),
        (values(), sk.KFold(60), "KFold cannot split these 48 samples"),
        (problem(), sk.ShuffleSplit(1, random_state=0), "leaves one fold alone"),
        (problem(), sk.StratifiedKFold(17), "StratifiedKFold cannot split these 48 samples"),
    ],
)
def test_folds_that_cannot_be_are_a_sentence(given: tw.Problem, wanted: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        study(tmp_path / "a.db", given, folds=wanted)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_loader_and_what_watches_the_validation_loss_are_refused(tmp_path: Path) -> None:
    loader = DataLoader(TensorDataset(INPUTS, CLASSES), batch_size=8)
    held = (INPUTS, CLASSES)
    with pytest.raises(PlanError, match="a DataLoader, which is used unchanged, so no folds can be cut"):
        study(tmp_path / "a.db", problem(train=loader, validation=held))
    with pytest.raises(ProblemError, match="groups"):
        study(tmp_path / "a.db", problem(train=loader, validation=held, groups=GROUPS))
    with pytest.raises(PlanError, match=r"early_stopping.* watches the validation loss"):
        study(tmp_path / "a.db", regularizers=["early_stopping"])
    with pytest.raises(PlanError, match="plateau watches the validation loss"):
        study(tmp_path / "a.db", schedules=["plateau"])


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (GROUPS[:-1], "groups has the shape .59,., and there are 60 samples"),
        (3, r"groups has the shape \(\), and"),
        ([[1]] * 59 + [[1, 2]], "groups cannot be read"),
        (np.zeros(SAMPLES), "the train data are one group"),
    ],
)
def test_groups_that_cannot_be_are_a_sentence(groups: Any, words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        prepare(problem(groups=groups))
