"""Ensembles: members as the same runs alone, answers as NumPy and scikit-learn give them, files that stay data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import AdaBoostClassifier
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from thalweg.errors import PlanError, ProblemError, StoreError, TrainingError
from thalweg.problem.prepare import prepare
from thalweg.resampling import boosting
from thalweg.resampling.bagging import resample
from thalweg.resampling.ensemble import Ensemble
from thalweg.study.study import Study, compare

_DRAWN = torch.Generator().manual_seed(5)
INPUTS = torch.randn(90, 4, generator=_DRAWN, dtype=torch.float64)
NOISE = torch.randn(90, 3, generator=_DRAWN, dtype=torch.float64)
CLASSES = (torch.sin(2 * INPUTS[:, :3]) + 0.5 * NOISE).argmax(1)
VALUES = torch.sin(2 * INPUTS[:, :1]) + INPUTS[:, 1:2] ** 2 + 0.1 * NOISE[:, :1]
BATCH, EPOCHS = 16, 4


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 3)).double()


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()


def line() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).double()


def problem(**changes: Any) -> tw.Problem:
    asked: dict[str, Any] = {"model": small, "train": (INPUTS, CLASSES), "metrics": ("accuracy",)}
    return tw.Problem(**{**asked, **changes})


def values(**changes: Any) -> tw.Problem:
    return problem(**{"model": line, "train": (INPUTS, VALUES), "loss": "mse", "metrics": ("mae",), **changes})


def bag(given: tw.Problem, **changes: Any) -> Ensemble:
    asked: dict[str, Any] = {"lr": 0.05, "members": 6, "epochs": EPOCHS, "batch_size": BATCH}
    return tw.bag(given, "momentum", **{**asked, **changes})


@pytest.fixture(scope="module")
def classes() -> Ensemble:
    return bag(problem())


@pytest.fixture(scope="module")
def regression() -> Ensemble:
    return bag(values())


def alone(
    model: Any, loss: Any, inputs: torch.Tensor, targets: torch.Tensor, seed: int, rows: Any, kind: str = "momentum"
) -> nn.Module:
    torch.manual_seed(seed)
    net = model()
    made = {
        "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        "sgd": lambda p: torch.optim.SGD(p, lr=0.3),
    }
    step = made[kind](net.parameters())
    for epoch in range(EPOCHS):
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1_000_003 * seed + epoch))
        for chosen in rows[order].split(BATCH):
            step.zero_grad()
            loss(net(inputs[chosen]), targets[chosen]).backward()
            step.step()
    return net.eval()


# Members


@pytest.mark.parametrize("kind", ["bagging", "seeds"])
def test_every_member_is_the_same_run_alone(kind: str, tmp_path: Path) -> None:
    ready = prepare(problem())
    if kind == "bagging":
        made = bag(problem(), seed=3)
    else:
        study = compare(
            problem(),
            ["momentum"],
            [0.05],
            ["constant"],
            seeds=2,
            epochs=EPOCHS,
            batch_size=BATCH,
            confirmation=0,
            store=tmp_path / "a.db",
            progress=False,
        )
        made = study.ensemble("seeds", members=3)
    for k, seed in enumerate(made.table()["seed"]):
        count = len(ready.train[0])  # type: ignore[arg-type]
        rows = resample(count, seed) if kind == "bagging" else torch.arange(count)
        net = alone(small, nn.functional.cross_entropy, *ready.train, seed, rows)  # type: ignore[misc]
        for name, tensor in net.state_dict().items():
            torch.testing.assert_close(made.state[name][k], tensor, rtol=1e-8, atol=1e-10)
        with torch.no_grad():
            torch.testing.assert_close(made.outputs(ready.test[0])[k], net(ready.test[0]), rtol=1e-8, atol=1e-10)


def test_a_draw_depends_on_the_member_alone() -> None:
    drawn = [resample(1000, k) for k in range(20)]
    assert all(torch.equal(rows, resample(1000, k)) for k, rows in enumerate(drawn))
    left_out = np.mean([1000 - len(rows.unique()) for rows in drawn]) / 1000
    assert left_out == pytest.approx(math.exp(-1), abs=0.01)
    assert len({tuple(rows.tolist()) for rows in drawn}) == 20


def test_dropout_and_normalization_are_in_evaluation_mode() -> None:
    made = bag(problem(model=network), members=3)
    torch.manual_seed(0)
    net = network().eval()
    for k in range(3):
        net.load_state_dict({name: t[k] for name, t in made.state.items()})
        with torch.no_grad():
            torch.testing.assert_close(made.outputs(INPUTS)[k], net(INPUTS), rtol=1e-9, atol=1e-11)
    assert torch.equal(made.predict(INPUTS), made.predict(INPUTS))


# Answers


def test_classes_are_averaged_or_voted_on_as_numpy_does(classes: Ensemble) -> None:
    outputs = classes.outputs(INPUTS).numpy()
    each = np.exp(outputs) / np.exp(outputs).sum(2, keepdims=True)
    mean = each.mean(0)
    np.testing.assert_allclose(classes.predict_proba(INPUTS).numpy(), mean, rtol=1e-12)
    assert classes.predict(INPUTS).tolist() == mean.argmax(1).tolist()
    votes = np.stack([(outputs.argmax(2) == c).sum(0) for c in range(3)], axis=1)
    assert classes.predict(INPUTS, vote=True).tolist() == votes.argmax(1).tolist()
    assert (classes.predict(INPUTS, vote=True) != classes.predict(INPUTS)).any()
    found = classes.uncertainty(INPUTS)
    total = -(mean * np.log(mean)).sum(1)
    expected = -(each * np.log(each)).sum(2).mean(0)
    np.testing.assert_allclose(found["disagreement"].numpy(), 1 - votes.max(1) / 6, atol=1e-12)
    np.testing.assert_allclose(found["total"].numpy(), total, rtol=1e-10)
    np.testing.assert_allclose(found["expected"].numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(found["information"].numpy(), total - expected, atol=1e-12)
    score = classes.score(INPUTS, CLASSES)
    picked = mean[np.arange(90), CLASSES.numpy()]
    assert score == {
        "loss": pytest.approx(-np.log(picked).mean()),
        "accuracy": pytest.approx((mean.argmax(1) == CLASSES.numpy()).mean()),
    }


def test_values_are_averaged_and_their_spread_is_told(regression: Ensemble) -> None:
    outputs = regression.outputs(INPUTS).numpy()
    np.testing.assert_allclose(regression.predict(INPUTS).numpy(), outputs.mean(0), rtol=1e-12)
    np.testing.assert_allclose(regression.uncertainty(INPUTS)["std"].numpy(), outputs.std(0, ddof=1), rtol=1e-9)
    score = regression.score(INPUTS.numpy(), VALUES.numpy())
    assert score["loss"] == pytest.approx(((outputs.mean(0) - VALUES.numpy()) ** 2).mean())
    assert score["loss"] < ((outputs - VALUES.numpy()) ** 2).mean()  # the mean is better than its members (Jensen)


@pytest.mark.slow
@pytest.mark.parametrize("given", [problem, values])
def test_the_out_of_bag_error_is_that_of_members_that_did_not_see_a_sample(given: Any) -> None:
    made, ready = bag(given(), seed=2), prepare(given())
    inputs, targets = (t.numpy() for t in ready.train)  # type: ignore[union-attr]
    outputs, losses, hits = made.outputs(inputs).numpy(), [], []
    for i in range(len(inputs)):
        unseen = [k for k in range(6) if i not in resample(len(inputs), 2 + k).tolist()]
        if unseen and made.classes:
            each = np.exp(outputs[unseen, i])
            mean = (each / each.sum(1, keepdims=True)).mean(0)
            losses.append(-np.log(mean[targets[i]]))
            hits.append(mean.argmax() == targets[i])
        elif unseen:
            losses.append((outputs[unseen, i].mean(0) - targets[i]) ** 2)
            hits.append(abs(outputs[unseen, i].mean(0) - targets[i]))
    assert made.out_of_bag["samples"] == len(losses) < len(inputs)
    assert made.out_of_bag["loss"] == pytest.approx(np.mean(losses))
    assert made.out_of_bag["accuracy" if made.classes else "mae"] == pytest.approx(np.mean(hits))


def test_sequences_of_classes(tmp_path: Path) -> None:
    """Outputs (samples, classes, positions)."""
    ids = torch.randint(0, 5, (20, 7), generator=torch.Generator().manual_seed(0))

    class Next(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.table(x).transpose(1, 2)

    made = bag(tw.Problem(model=Next, train=(ids, ids.roll(1, 1))), members=3)
    assert made.predict(ids, vote=True).shape == made.predict(ids).shape == (20, 7)
    torch.testing.assert_close(made.predict_proba(ids).sum(1), torch.ones(20, 7))
    assert made.uncertainty(ids)["disagreement"].shape == (20, 7)
    with pytest.raises(PlanError, match="a boosting weighs samples of one class each; use bagging"):
        tw.boost(tw.Problem(model=Next, train=(ids, ids.roll(1, 1))), members=2)


# Boosting


class Replayed(ClassifierMixin, BaseEstimator):
    """A classifier that answers what it is told, one stage after the other."""

    answers: ClassVar[list[np.ndarray]] = []
    weights: ClassVar[list[np.ndarray]] = []

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Replayed:
        self.classes_, self.stage_ = np.unique(y), len(Replayed.weights)
        Replayed.weights.append(sample_weight.copy())
        return self

    def predict(self, X: Any) -> np.ndarray:
        return Replayed.answers[self.stage_]


def boosted(given: tw.Problem, **changes: Any) -> Ensemble:
    asked: dict[str, Any] = {"rates": [0.01, 0.3], "members": 5, "epochs": EPOCHS, "batch_size": BATCH}
    return tw.boost(given, ["sgd"], **{**asked, **changes})


@pytest.fixture(scope="module")
def adaboost() -> Ensemble:
    return boosted(problem())


def test_samme_is_what_the_paper_and_scikit_learn_say(adaboost: Ensemble) -> None:
    ready = prepare(problem())
    inputs, targets = (t.numpy() for t in ready.train)  # type: ignore[union-attr]
    answers, table = adaboost.outputs(inputs).numpy().argmax(2), adaboost.table()
    weights, decision = np.full(len(inputs), 1 / len(inputs)), np.zeros((len(inputs), 3))
    for stage, answer in enumerate(answers):
        wrong = answer != targets
        error = (weights * wrong).sum()
        alpha = np.log((1 - error) / error) + np.log(2)
        assert table["error"][stage] == pytest.approx(error)
        assert table["weight"][stage] == pytest.approx(alpha)
        weights = weights * np.exp(alpha * wrong)
        weights /= weights.sum()
        decision[np.arange(len(inputs)), answer] += alpha
    assert len(adaboost) == 5
    assert adaboost.predict(inputs).tolist() == decision.argmax(1).tolist()
    Replayed.answers, Replayed.weights = list(answers), []
    theirs = AdaBoostClassifier(Replayed(), n_estimators=5).fit(inputs, targets)
    np.testing.assert_allclose(theirs.estimator_errors_, table["error"], rtol=1e-9)
    np.testing.assert_allclose(theirs.estimator_weights_, table["weight"], rtol=1e-9)
    np.testing.assert_allclose(theirs.predict_proba(inputs), adaboost.predict_proba(inputs).numpy(), rtol=1e-6)
    assert theirs.predict(inputs).tolist() == adaboost.predict(inputs).tolist()
    score = adaboost.score(inputs, targets)
    assert score["accuracy"] > table["train_error"].rsub(1).mean()


def test_the_best_of_a_stage_is_kept_and_the_next_one_draws_what_it_got_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[np.ndarray, torch.Tensor]] = []
    choose = boosting._Classes.choose

    def watched(self: Any, done: Any, answer: Any) -> Any:
        wrong = answer(self.data[0]).argmax(2) != self.data[1]
        errors, before = (wrong * self.weights).sum(1).numpy(), self.weights
        found = choose(self, done, answer)
        assert found is not None
        assert found[0] == errors.argmin()
        seen.append((errors, before))
        rows = self.draw(0)
        hit = torch.bincount(rows, minlength=len(before))[wrong[found[0]]].sum() / len(rows)
        assert hit == pytest.approx(2 / 3, abs=0.15)  # errors carry (K − 1)/K of the weight after their stage
        return found

    monkeypatch.setattr(boosting._Classes, "choose", watched)
    made = boosted(problem(), members=4, draws=3)
    assert [len(errors) for errors, _ in seen] == [6] * 4
    assert all(len(set(errors.round(6))) > 2 for errors, _ in seen)
    assert made.table()["error"].tolist() == pytest.approx([errors.min() for errors, _ in seen])


def test_gradient_boosting_is_a_sum_of_stages_that_fit_residuals() -> None:
    made, ready = boosted(values(), members=4, draws=1, rates=[0.3], shrinkage=0.5), prepare(values())
    inputs, targets = ready.train  # type: ignore[misc]
    start = targets.numpy().mean(0)
    answers, table = made.outputs(inputs).numpy(), made.table()
    total = np.tile(start, (len(inputs), 1))
    for stage in range(4):
        residuals = targets.numpy() - total
        net = alone(
            line, nn.functional.mse_loss, inputs, torch.from_numpy(residuals), stage, torch.arange(len(inputs)), "sgd"
        )
        with torch.no_grad():
            np.testing.assert_allclose(answers[stage], net(inputs).numpy(), rtol=1e-6, atol=1e-8)
        assert table["fitted_loss"][stage] == pytest.approx(((residuals - answers[stage]) ** 2).mean())
        total += 0.5 * answers[stage]
        assert table["train_loss"][stage] == pytest.approx(((targets.numpy() - total) ** 2).mean())
    np.testing.assert_allclose(made.predict(inputs).numpy(), total, rtol=1e-9)
    assert made.start is not None
    assert made.start.tolist() == start.tolist()
    held = ready.validation
    assert table["validation_loss"].iloc[-1] == pytest.approx(made.score(*held)["loss"])
    assert table["train_loss"].iloc[-1] < ((targets.numpy() - start) ** 2).mean()


def test_a_stage_without_error_ends_a_boosting() -> None:
    inputs = torch.cat([torch.full((30, 4), v, dtype=torch.float64) for v in (-1.0, 1.0)])
    made = boosted(problem(train=(inputs, (inputs[:, 0] > 0).long()), test=(inputs, (inputs[:, 0] > 0).long())))
    assert len(made) == 1
    assert made.table()["weight"].tolist() == [1.0]
    assert made.score(inputs, (inputs[:, 0] > 0).long())["accuracy"] == 1


# Files


@pytest.mark.parametrize("name", ["classes", "regression", "adaboost"])
def test_a_file_gives_the_same_answers(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(name)
    given = values() if name == "regression" else problem()
    path = made.save(tmp_path / "deep" / "e.safetensors")
    assert [p.name for p in path.parent.iterdir()] == ["e.safetensors"]
    for model in (given, given.model):
        again = tw.Ensemble.load(path, model=model)
        assert torch.equal(again.predict(INPUTS), made.predict(INPUTS))
        assert again.out_of_bag == made.out_of_bag
        assert again.table().equals(made.table())
        assert again.score(INPUTS, VALUES if name == "regression" else CLASSES).keys() == {"loss", *made.metrics}


def test_files_that_are_no_such_ensemble_are_a_sentence(classes: Ensemble, tmp_path: Path) -> None:
    path = classes.save(tmp_path / "e.safetensors")
    with pytest.raises(StoreError, match=r"holds an ensemble of another model .0.weight is .3, 4. there"):
        tw.Ensemble.load(path, model=line)
    with pytest.raises(StoreError, match="does not exist"):
        tw.Ensemble.load(tmp_path / "none", model=small)
    with pytest.raises(ProblemError, match="the model is of type int; give the function that returns the module"):
        tw.Ensemble.load(path, model=3)  # pyright: ignore[reportArgumentType]
    whole = path.read_bytes()
    for content in (b"", b"pickle", whole[:40], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"cannot be read \(.*\); it is damaged, or not an ensemble"):
            tw.Ensemble.load(path, model=small)
    from safetensors.torch import save

    path.write_bytes(save({"a": torch.zeros(1)}))
    with pytest.raises(StoreError, match="is not an ensemble of thalweg"):
        tw.Ensemble.load(path, model=small)
    with pytest.raises(StoreError, match="cannot be written"):
        classes.save(path / "inside")


# Studies


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return compare(
        problem(),
        ["momentum", "adam"],
        [0.01, 0.1],
        ["constant"],
        seeds=2,
        epochs=EPOCHS,
        batch_size=BATCH,
        confirmation=2,
        store=tmp_path_factory.mktemp("ensembles") / "a.db",
        progress=False,
        folds=3,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bagging", "seeds", "boosting"])
def test_a_study_gives_an_ensemble_of_its_chosen_setting(kind: str, study: Study) -> None:
    made = study.ensemble(kind, members=3)
    best = study.verdict.best
    table = made.table()
    assert made.kind == kind
    if kind != "boosting":
        assert set(zip(table["optimizer"], table["lr"], strict=True)) == {(best.optimizer, best.lr)}
    if kind == "bagging":
        seen = made.out_of_bag["samples"]
        assert 48 < seen <= len(prepare(problem()).pool[0])  # after a cross-validation, of all samples
    one = study.ensemble(kind, members=2, optimizer="adam").table()
    assert set(one["optimizer"]) == {"adam"}


def test_an_opened_study_asks_for_its_problem(study: Study) -> None:
    opened = Study.open(study.path)
    with pytest.raises(PlanError, match="give that object as problem="):
        opened.ensemble("seeds", members=2)
    with pytest.raises(PlanError, match="is not the one"):
        opened.ensemble("seeds", members=2, problem=values())
    assert len(opened.ensemble("seeds", members=2, problem=problem())) == 2


# Bad input


@pytest.mark.slow
def test_what_cannot_be_is_a_sentence(
    classes: Ensemble, regression: Ensemble, adaboost: Ensemble, study: Study
) -> None:
    loader = problem(train=DataLoader(TensorDataset(INPUTS, CLASSES)), validation=(INPUTS, CLASSES))
    for call, words in [
        (lambda: study.ensemble("forest"), "'forest' is not a kind of ensemble"),
        (lambda: study.ensemble(optimizer="lion"), "'lion' is not among this study's optimizers"),
        (lambda: bag(problem(), members=0), "members is 0; give a whole number of at least 1"),
        (lambda: bag(loader), "a DataLoader, which draws its own samples"),
        (lambda: regression.predict(INPUTS, vote=True), "vote=True is for classes"),
        (lambda: regression.predict_proba(INPUTS), "predict_proba is for classes"),
        (lambda: adaboost.uncertainty(INPUTS), "the members of a boosting correct one another"),
        (lambda: bag(problem(), members=1).uncertainty(INPUTS), "one member agrees with itself; train several"),
        (lambda: boosted(values(loss=lambda o, t: (o - t) ** 2)), "takes mse, l1 and huber"),
        (lambda: boosted(problem(), shrinkage=0), "shrinkage is 0; give a number above 0 and at most 1"),
        (lambda: boosted(problem(), draws=0), "draws is 0; give a whole number"),
    ]:
        with pytest.raises(PlanError, match=words) as caught:
            call()
        assert str(caught.value).endswith(".")
    with pytest.raises(TrainingError, match=r"6 of 6 members diverged with momentum at rate 1e.300"):
        bag(values(), lr=1e300)
    with pytest.raises(TrainingError, match="no candidate of the first stage is better than chance"):
        boosted(values(), rates=[1e300])


def test_answers_that_cannot_be_joined_are_refused() -> None:
    """Classes on the last axis, and yes and no as integers, would be read as other classes."""
    words = torch.arange(360).reshape(60, 6) % 5
    language = tw.Problem(lambda: torch.nn.Embedding(5, 5), (words, words))
    inputs = torch.arange(120.0).reshape(60, 2) / 60
    yes = tw.Problem(lambda: torch.nn.Linear(2, 2), (inputs, (inputs > 1).long()), loss="bce")
    for problem in (language, yes):
        with pytest.raises(PlanError, match=r"let the model have its classes on axis 1"):
            tw.bag(problem, "adam", lr=0.01, members=2, epochs=1)
