"""Tables: frames, files, sparse matrices, words as targets, and preprocessing that sees the training rows alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from torch import nn

from thalweg.errors import ProblemError
from thalweg.problem import tables
from thalweg.problem.declaration import Problem
from thalweg.problem.prepare import Prepared, prepare
from thalweg.problem.preprocessing import columns_of

ROWS = 60
_draw = np.random.default_rng(0)
X = _draw.normal(size=(ROWS, 2)) * [1.0, 1000.0]
KIND = np.array(["no", "yes", "maybe"])[np.arange(ROWS) % 3]
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "kind": KIND})
PRICE = pd.Series(X[:, 0] * 2, name="price")
MIXED = FRAME.assign(city=np.array(["Rome", "Oslo"])[np.arange(ROWS) % 2], flag=np.arange(ROWS) % 5 == 0)
MIXED.loc[3, "a"], MIXED.loc[4:9, "city"] = np.nan, None


def classes() -> nn.Module:
    return nn.Linear(2, 3)


def value() -> nn.Module:
    return nn.Linear(2, 1)


def form(name: str, folder: Path) -> dict[str, Any]:
    inputs = FRAME[["a", "b"]]
    FRAME.to_csv(folder / "data.csv", index=False)
    FRAME.to_csv(folder / "data.tsv.gz", index=False, sep="\t")
    FRAME.to_parquet(folder / "data.parquet")
    forms = {
        "a frame": {"train": FRAME, "target": "kind"},
        "a csv": {"train": str(folder / "data.csv"), "target": "kind"},
        "a tsv": {"train": folder / "data.tsv.gz", "target": "kind"},
        "parquet": {"train": folder / "data.parquet", "target": "kind"},
        "frame and series": {"train": (inputs, FRAME["kind"])},
        "frame and column": {"train": (inputs, FRAME[["kind"]])},
        "array and words": {"train": (X, KIND)},
        "tensor and list": {"train": (torch.from_numpy(X), KIND.tolist())},
        "sparse and series": {"train": (sparse.csr_matrix(X), FRAME["kind"])},
        "sparse array": {"train": (sparse.csc_array(X), KIND)},
        "categories": {"train": FRAME.astype({"kind": pd.CategoricalDtype(["maybe", "no", "yes"])}), "target": "kind"},
        "nullable": {"train": FRAME.convert_dtypes(), "target": "kind"},
    }
    return forms[name]


ALL = (
    *("a frame", "a csv", "a tsv", "parquet", "frame and series", "frame and column", "array and words"),
    *("tensor and list", "sparse and series", "sparse array", "categories", "nullable"),
)


@pytest.mark.parametrize("name", ALL)
def test_every_form_is_the_same_data(name: str, tmp_path: Path) -> None:
    ids = np.array(["maybe", "no", "yes"]).searchsorted(KIND)
    expected = prepare(Problem(model=classes, train=(X, ids)))
    ready = prepare(Problem(model=classes, **form(name, tmp_path)))
    for part in ("train", "validation", "test"):
        for ours, theirs in zip(getattr(ready, part).leaves, getattr(expected, part).leaves, strict=True):
            assert torch.equal(ours, theirs)
    assert ready.table is not None
    assert ready.table.classes == ("maybe", "no", "yes")


def test_words_have_the_same_ids_everywhere() -> None:
    validation = FRAME[FRAME["kind"] != "maybe"][::-1]
    ready = prepare(Problem(model=classes, train=FRAME, validation=validation[["kind", "b", "a"]], target="kind"))
    assert ready.validation.targets.tolist() == [{"no": 1, "yes": 2}[kind] for kind in validation["kind"]]
    assert torch.equal(ready.validation.inputs[:, 0], torch.tensor(validation["a"].tolist()))


def test_ordered_categories_keep_their_order_and_numbers_are_renumbered() -> None:
    sizes = pd.CategoricalDtype(["small", "middle", "large", "huge"], ordered=True)
    frame = FRAME.assign(kind=pd.Categorical(np.array(["small", "large"])[np.arange(ROWS) % 2], dtype=sizes))
    ready = prepare(Problem(model=classes, train=frame, target="kind"))
    assert ready.facts["classes"] == ["small", "large"]
    grades = FRAME.assign(kind=np.array([3, 8, 5])[np.arange(ROWS) % 3])
    ready = prepare(Problem(model=classes, train=grades, target="kind"))
    assert ready.facts["classes"] == ["3", "5", "8"]
    assert int(ready.pool.targets.max()) == 2


def squeezed() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))


@pytest.mark.parametrize("y", [PRICE, PRICE.to_frame(), PRICE.astype(int), PRICE.astype("Float64")])
@pytest.mark.parametrize("model", [value, squeezed, lambda: value().to(torch.bfloat16)])
def test_numbers_take_the_shape_of_the_outputs(y: Any, model: Callable[[], nn.Module]) -> None:
    ready = prepare(Problem(model=model, train=(FRAME[["a", "b"]], y), loss="mse"))
    outputs = ready.model()(ready.validation.inputs)
    assert ready.validation.targets.shape == outputs.shape
    assert ready.validation.targets.dtype == outputs.dtype


def test_yes_and_no_are_one_and_zero() -> None:
    frame = FRAME.assign(kind=X[:, 0] > 0)
    ready = prepare(Problem(model=value, train=frame, target="kind", loss="bce"))
    assert ready.facts["classes"] == ["False", "True"]
    assert torch.equal(ready.pool.targets, (ready.pool.inputs[:, :1] > 0).float())


def test_several_targets_and_none() -> None:
    ready = prepare(
        Problem(model=lambda: nn.Linear(1, 2), train=FRAME[["a", "b"]].assign(c=1.0), target=["a", "b"], loss="mse")
    )
    assert ready.pool.targets.shape[1:] == (2,)
    whole = prepare(Problem(model=value, train=FRAME[["a", "b"]], loss=lambda model, batch: model(batch).mean()))
    assert whole.pool.inputs.shape[1:] == (2,)


def test_groups_are_a_column() -> None:
    frame = FRAME.assign(patient=np.repeat(np.arange(12), 5))
    ready = prepare(Problem(model=classes, train=frame, target="kind", groups="patient"))
    assert ready.facts["columns"] == ["a", "b"]
    assert ready.order is not None
    assert ready.groups is not None
    assert not set(ready.order[: ready.train.size] // 5) & set(ready.order[ready.train.size :] // 5)
    assert len(np.unique(ready.groups)) == len(set(ready.order // 5))


def shuffled(frame: pd.DataFrame) -> pd.Series:
    return frame["kind"].sample(frac=1, random_state=0)


NO_TARGET = FRAME[["a", "b"]]
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no target": (
        {"train": FRAME},
        "table with the columns a, b, kind; say which one is to be learned: target='column'",
    ),
    "another target": ({"train": FRAME, "target": "sort"}, "no column 'sort' as target; its columns are a, b, kind"),
    "a target alone": ({"train": FRAME[["kind"]], "target": "kind"}, "no column beside its target kind"),
    "a target of a pair": (
        {"train": (X, KIND), "target": "kind"},
        "target= names a column, and the train data are of type tuple",
    ),
    "no file": ({"train": "nowhere.csv", "target": "a"}, "'nowhere.csv', which does not exist"),
    "another kind of file": ({"train": __file__, "target": "a"}, "test_tables.py is not a .csv, .tsv or .parquet file"),
    "words": ({"train": MIXED, "target": "kind"}, r"not numbers: city \(words\); give preprocess='plain'"),
    "dates": ({"train": FRAME.assign(day=pd.Timestamp("2024-01-01")), "target": "kind"}, r"not numbers: day \(dates\)"),
    "lists": ({"train": FRAME.assign(c=[[1]] * ROWS), "target": "kind"}, r"c \(other things\)"),
    "missing": ({"train": MIXED[["a", "kind"]], "target": "kind"}, r"miss values in a \(1\); give preprocess='plain'"),
    "missing target": ({"train": FRAME.replace("yes", None), "target": "kind"}, "targets miss 20 of 60 values"),
    "one class": ({"train": FRAME.assign(kind="no"), "target": "kind"}, "all train targets are 'no'"),
    "too many classes": (
        {"train": FRAME.assign(kind=[f"id{k}" for k in range(ROWS)]), "target": "kind"},
        "60 classes in 60 rows, id0, id1, .* and 52 more; name another column",
    ),
    "words as numbers": (
        {"train": FRAME, "target": "kind", "loss": "mse"},
        "mse compares numbers, and the targets are 3",
    ),
    "an unknown class": (
        {"train": FRAME, "validation": FRAME.assign(kind="perhaps"), "target": "kind"},
        "validation targets have the class 'perhaps', which no train target has .known: maybe, no, yes.",
    ),
    "numbers, then words": (
        {"train": (NO_TARGET, PRICE), "test": (NO_TARGET, FRAME["kind"]), "loss": "mse"},
        "the test targets are words, and the train targets are numbers",
    ),
    "other columns": (
        {"train": FRAME, "test": FRAME.rename(columns={"a": "c"}), "target": "kind"},
        "the test table lacks a",
    ),
    "more columns": ({"train": FRAME, "test": FRAME.assign(c=1), "target": "kind"}, "the test table has c as well"),
    "the same column twice": (
        {"train": FRAME.set_axis(["a", "a", "kind"], axis=1), "target": "kind"},
        "several columns called a",
    ),
    "rows in another order": ({"train": (NO_TARGET, shuffled(FRAME))}, "same index in another order"),
    "a part that is not a table": (
        {"train": FRAME, "test": torch.utils.data.TensorDataset(torch.zeros(3, 2)), "target": "kind"},
        "target= names a column, and the test data are of type TensorDataset",
    ),
    "preprocessing of a tree": (
        {"train": {"x": X, "y": KIND}, "preprocess": StandardScaler()},
        "data are of type dict, and preprocess= is fitted on a table",
    ),
    "no groups": ({"train": FRAME, "target": "kind", "groups": "day"}, "no column 'day' as groups"),
    "an unknown preprocessing": ({"train": FRAME, "target": "kind", "preprocess": "fancy"}, "'fancy' is not known"),
    "a class that is not made": (
        {"train": FRAME, "target": "kind", "preprocess": StandardScaler},
        "fails with TypeError when it is cloned",
    ),
    "a function": (
        {"train": FRAME, "target": "kind", "preprocess": np.log},
        "is not a transformer of scikit-learn's kind",
    ),
    "preprocessing that fails": (
        {"train": MIXED, "target": "kind", "preprocess": StandardScaler()},
        "StandardScaler.* fails with ValueError when it is given the train rows .*; repair it",
    ),
    "preprocessing that leaves gaps": (
        {"train": MIXED[["a", "kind"]], "target": "kind", "preprocess": StandardScaler()},
        r"hold NaN or infinite values in a \(1\); let it fill them",
    ),
    "preprocessing that leaves words": (
        {"train": MIXED.dropna(), "target": "kind", "preprocess": FunctionTransformer()},
        r"not numbers: city \(words\)",
    ),
    "preprocessing that drops rows": (
        {"train": FRAME, "target": "kind", "preprocess": FunctionTransformer(lambda rows: rows[:5])},
        r"are \(5, 2\) of 38 rows; let it keep the rows",
    ),
    "preprocessing by chance": (
        {"train": FRAME, "target": "kind", "preprocess": FunctionTransformer(lambda x: x + np.random.random(2))},  # noqa: NPY002
        "gives other numbers each time it is fitted; give it a random_state",
    ),
    "scaled classes": ({"train": FRAME, "target": "kind", "scale_target": True}, "scale_target=True asks for targets"),
    "a name that is no network": ({"train": FRAME, "target": "kind", "model": "lnear"}, "did you mean linear"),
    "an argument of none": ({"train": FRAME, "target": "kind", "model": "mlp(depth=2)"}, "mlp has no argument depth"),
    "a width of nothing": (
        {"train": FRAME, "target": "kind", "model": "mlp(width=0)"},
        "mlp's width is 0; give a whole number from 1",
    ),
    "a name without a table": (
        {"train": (torch.zeros(9, 2, 2), torch.zeros(9)), "model": "mlp"},
        "the name 'mlp', whose",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_one_sentence(case: str) -> None:
    given, words = REFUSED[case]
    with pytest.raises(ProblemError, match=words) as caught:
        prepare(Problem(**({"model": classes} | given)))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_file_that_is_not_a_table(tmp_path: Path) -> None:
    for name, content, words in (
        ("empty.csv", "", "cannot be read as a table"),
        ("head.csv", "a,b\n", "has 2 columns and no rows"),
        ("broken.parquet", "PAR1", "cannot be read as a table"),
        ("ragged.csv", "a,b\n1,2\n1,2,3\n", "cannot be read as a table"),
        ("binary.csv", "\0\x7f\0", "."),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(ProblemError, match=words):
            prepare(Problem(model=classes, train=tmp_path / name, target="b"))


def test_a_sparse_matrix_that_does_not_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "free_memory", lambda *device: 10_000)
    wide = sparse.csr_matrix((ROWS, 100_000))
    with pytest.raises(ProblemError, match=r"60 × 100,000, which takes 91.6 MiB with its zeros, and 9.8 KiB are free"):
        prepare(Problem(model=classes, train=(wide, FRAME["kind"])))


# Preprocessing


class Watched(TransformerMixin, BaseEstimator):
    """Takes the mean away, and notes the rows that it was fitted on."""

    seen: list[list[float]] = []  # noqa: RUF012

    def fit(self, rows: pd.DataFrame, y: Any = None) -> Watched:
        self.seen.append(rows["a"].tolist())
        self.mean_ = rows.mean()
        self.count_ = np.bincount(y)
        return self

    def transform(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows - self.mean_


def test_nothing_but_training_rows_is_fitted_on() -> None:
    Watched.seen.clear()
    ready = prepare(Problem(model=classes, train=FRAME, target="kind", preprocess=Watched()))
    assert ready.order is not None
    training = FRAME["a"].to_numpy()[np.sort(ready.order[: ready.train.size])].tolist()
    assert Watched.seen
    assert all(sorted(seen) == sorted(training) for seen in Watched.seen)
    assert abs(float(ready.train.inputs[:, 0].mean())) < 1e-6 < abs(float(ready.validation.inputs[:, 0].mean()))
    fold = torch.arange(0, 48, 2)
    pool, test = ready.fitted(fold)
    assert sorted(Watched.seen[-1]) == sorted(FRAME["a"].to_numpy()[np.sort(ready.order)][fold.numpy()])
    assert abs(float(pool.inputs[fold, 0].mean())) < 1e-6
    assert not torch.equal(test.inputs, ready.test.inputs)


def test_other_rows_change_nothing_that_is_trained_on() -> None:
    """Whatever stands in validation and test, also rows that no training row is like."""
    parts = MIXED[:30], MIXED[30:40], MIXED[40:]
    wild = [part.assign(a=part["a"] * 1e6, city="Atlantis") for part in parts[1:]]
    one, two = (
        prepare(Problem("mlp", parts[0], *rest, target="kind", preprocess="plain", name="one"))
        for rest in (parts[1:], wild)
    )
    assert torch.equal(one.train.inputs, two.train.inputs)
    assert not torch.equal(one.test.inputs, two.test.inputs)
    assert one.fingerprint != two.fingerprint


def test_targets_are_scaled_by_the_training_rows() -> None:
    ready = prepare(Problem(model=value, train=(NO_TARGET, 100 + 5 * PRICE), loss="mse", scale_target=True))
    assert abs(float(ready.train.targets.mean())) < 1e-6
    assert float(ready.train.targets.std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert abs(float(ready.validation.targets.mean())) > 1e-6
    assert torch.equal(
        ready.train.inputs, prepare(Problem(model=value, train=(NO_TARGET, PRICE), loss="mse")).train.inputs
    )


def one_hot() -> ColumnTransformer:
    return ColumnTransformer([("n", StandardScaler(), ["b"]), ("c", OneHotEncoder(sparse_output=True), ["city"])])


def test_columns_of_one_name_stay_apart() -> None:
    """Of targets, and of what a transformer makes, whose columns then keep their places without names."""
    twice = FunctionTransformer(lambda frame: pd.concat([frame, -frame], axis=1))
    inputs = FRAME[["a", "b"]]
    ready = prepare(Problem(lambda: nn.Linear(4, 3), FRAME, target="kind", preprocess=twice))
    assert torch.equal(-ready.train.inputs[:, :2], ready.train.inputs[:, 2:])
    assert torch.equal(ready.fitted(torch.arange(10))[0].inputs, ready.pool.inputs)
    both = pd.concat([FRAME["a"], FRAME["a"]], axis=1)
    targets = prepare(Problem(lambda: nn.Linear(2, 2), (inputs, both), loss="mse")).train.targets
    assert torch.equal(targets[:, 0], targets[:, 1])


def test_a_category_that_a_fold_lacks_is_a_column_of_zeros() -> None:
    frame = MIXED.dropna().reset_index(drop=True)
    ready = prepare(
        Problem("linear", frame, target="kind", preprocess=one_hot().set_params(c__handle_unknown="ignore"))
    )
    rome = (ready.pool.inputs[:, 2] == 1).nonzero()[:, 0]
    pool, _ = ready.fitted(rome)
    assert pool.inputs.shape[1] == 3
    assert int(pool.inputs[:, 1].count_nonzero()) == 0
    assert int(pool.inputs[:, 2].sum()) == len(rome)


def test_columns_without_names_stay_as_many() -> None:
    ready = prepare(
        Problem(model=classes, train=(X, KIND), preprocess=make_pipeline(PCA(), FunctionTransformer(np.square)))
    )
    assert ready.fitted(torch.arange(20))[0].inputs.shape[1] == 2
    counted = FunctionTransformer(lambda x: np.hstack([x, np.zeros((len(x), len(x) // 40))]))
    with pytest.raises(ProblemError, match="makes 2 columns of some rows and 4 of others"):
        prepare(Problem(model=classes, train=(np.tile(X, (3, 1)), np.tile(KIND, 3)), preprocess=counted))


def test_a_transformer_may_see_the_targets() -> None:
    ready = prepare(Problem("linear", FRAME.assign(noise=range(ROWS)), target="kind", preprocess=SelectKBest(k=2)))
    assert ready.train.inputs.shape[1] == 2


@pytest.mark.parametrize("matrix", [sparse.csr_matrix(X), X, torch.from_numpy(X), pd.DataFrame(X)])
def test_matrices_are_preprocessed(matrix: Any) -> None:
    scaler = StandardScaler(with_mean=False)
    ready = prepare(Problem(model=classes, train=(matrix, KIND), preprocess=scaler))
    expected = prepare(Problem(model=classes, train=(X, KIND), preprocess=scaler))
    assert torch.allclose(ready.pool.inputs, expected.pool.inputs)
    assert prepare(Problem("mlp", (matrix, KIND), preprocess="plain")).train.inputs.shape[1] == 2


def test_what_plain_does() -> None:
    frame = MIXED.assign(
        name=[f"n{k}" for k in range(ROWS)],
        day=pd.Timestamp("2024-01-01"),
        nothing=None,
        count=pd.array([1, None] * 30),
    )
    columns = columns_of(frame.drop(columns="kind"))
    assert columns.numbers == ["a", "b", "flag", "count"]
    assert columns.words == ["city"]
    assert str(columns) == (
        "4 of numbers, scaled (a missing one is the median); 1 of words, one column for each of 20 at most; left out: "
        "name (60 different words), day (dates), nothing (empty)"
    )
    ready = prepare(Problem("mlp(width=8, layers=1)", frame, target="kind", preprocess="plain"))
    assert [tuple(p.shape) for p in ready.model().parameters()] == [(8, 7), (8,), (3, 8), (3,)]
    assert torch.allclose(ready.train.inputs[:, :4].mean(0), torch.zeros(4), atol=1e-6)


def test_the_same_problem_has_the_same_fingerprint_and_no_other_has() -> None:
    given: dict[str, Any] = {"model": classes, "train": FRAME, "target": "kind", "preprocess": StandardScaler()}
    first = prepare(Problem(**given)).fingerprint
    assert prepare(Problem(**given)).fingerprint == first
    edited = FRAME.copy()
    edited.loc[0, "b"] += 1e-9
    for change in (
        {"train": edited},
        {"train": FRAME.rename(columns={"a": "c"})},
        {"train": FRAME.replace("yes", "yea")},
        {"preprocess": StandardScaler(with_std=False)},
        {"preprocess": None},
        {"seed": 1},
    ):
        assert prepare(Problem(**given | change)).fingerprint != first, change


def test_what_a_store_keeps() -> None:
    ready: Prepared = prepare(Problem(model=classes, train=FRAME, target="kind", preprocess=StandardScaler()))
    assert ready.facts == {
        "columns": ["a", "b"],
        "target": "kind",
        "classes": ["maybe", "no", "yes"],
        "preprocess": "StandardScaler()",
        "scaled_target": False,
        "stratified": [True, True],
        "data": "Target kind: 3 classes (maybe, no, yes). Inputs: 2 columns through StandardScaler(); fitted on the "
        "training rows alone.",
    }
    values, kinds = np.arange(ROWS, dtype=float)[:, None], np.arange(ROWS) % 3
    for given, drawn, stratified in (
        ({"train": (X, kinds)}, ["test", "validation"], ["test", "validation"]),
        ({"train": (X, kinds), "test": (X, kinds), "seed": 2}, ["validation"], ["validation"]),
        ({"train": (X, values), "loss": "mse"}, ["test", "validation"], []),
        ({"train": (X, kinds), "groups": np.arange(ROWS) // 2}, ["test", "validation"], []),
    ):
        model = (lambda: nn.Linear(2, 1)) if "loss" in given else classes
        reading = prepare(Problem(model=model, **given)).facts["reading"]
        assert (reading["drawn"], reading["stratified"], reading["seed"]) == (drawn, stratified, given.get("seed", 0))
        assert reading["grouped"] == ("groups" in given)
