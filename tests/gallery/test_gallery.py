"""Every picture of the gallery is made by the lines that are shown, and the page is what the generator writes."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.gallery import PICTURES, get, names
from thalweg.landscapes import path as paths
from thalweg.language import language
from thalweg.languages import use_language
from thalweg.pictures.page import page
from thalweg.pictures.rates import rate_table
from thalweg.pictures.still import images
from thalweg.pictures.style import PAPER

from ..cases import mostly_slow

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery_page", DOCS / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files() -> dict[str, Path]:
    return {file.stem: file for file in (DOCS / "images" / "gallery").iterdir()}


@cache
def drawn(name: str) -> dict[str, object]:
    """What the lines of a picture have made."""
    scope: dict[str, object] = {}
    exec(compile(PICTURES[name].code, name, "exec"), scope)
    return scope


# These train networks or tune rates; what they draw with is tested from tables in tests/pictures.
SLOW = {
    "early-stopping",
    "rate-sensitivity",
    "bias-and-variance",
    "training-path",
    "sharp-and-flat-minima",
    "race-in-a-ravine",
    "noise-and-falling-rates",
    "race-from-a-saddle",
    "bagging-and-boosting",
}
QUICK = [name for name in names() if name not in SLOW]


@pytest.mark.everyday(of=4)
@pytest.mark.share(of=3)
@pytest.mark.parametrize("name", mostly_slow(names(), *QUICK[::3]))
def test_the_shown_lines_make_the_picture(name: str, generator: ModuleType) -> None:
    figure = drawn(name)["figure"]
    assert isinstance(figure, go.Figure)
    assert figure.layout.title.text
    assert figure.layout.template.layout.paper_bgcolor == PAPER
    first, *others = images(figure, scale=0.5, most=2)
    assert first.std() > 3, "something is drawn"
    assert bool(others) == bool(figure.frames)
    assert all((first != other).any() for other in others)
    assert files()[name].suffix == f".{generator.ending(figure)}", "draw it again: make gallery"
    assert "NaN" not in page(figure).rsplit('<script type="application/json"', 1)[1].split("</script>")[0]


@pytest.mark.parametrize("name", ["gallery.md", "gallery.ko.md"])
def test_the_page_is_what_the_generator_writes(name: str, generator: ModuleType) -> None:
    assert set(files()) == set(names()), "draw them again: make gallery"
    endings = {name: file.suffix[1:] for name, file in files().items()}
    assert (DOCS / name).read_text(encoding="utf-8") == generator.page(name, endings)
    assert language() == "en", "as it was"


def test_images_are_small() -> None:
    sizes = {name: file.stat().st_size for name, file in files().items()}
    assert sum(sizes.values()) < 6_000_000
    assert max(sizes.values()) < 1_000_000


def test_captions_say_something() -> None:
    for picture in PICTURES.values():
        assert len(picture.words) > 30, picture.name
        assert picture.words.endswith("."), picture.name


def test_an_unknown_name() -> None:
    with pytest.raises(UsageError, match="did you mean entropy"):
        get("entropi")
    assert get("family_tree") is PICTURES["family-tree"]


def test_forward_matches_moments_and_reverse_settles_on_one() -> None:
    """The forward fit has the mixture's own mean and deviation; the reverse one those of its heavier half."""
    shown = {trace.name.split(",")[0]: trace.name for trace in get("kullback-leibler").make().data}
    deviation = np.sqrt(0.7**2 + 0.4 * 3.6**2 + 0.6 * 2.4**2)
    assert f"μ = 0.6, σ = {deviation:.4g}" in shown["forward"]
    assert "μ = 3, σ = 0.7," in shown["reverse"]
    assert f"{-np.log(0.6):.3f} nats" in shown["reverse"]


def test_losses_are_minus_the_logarithm_of_the_noise() -> None:
    figure = get("loss-from-likelihood").make()
    noise = np.asarray(figure.data[0].x)
    laplace, gauss = (np.asarray(trace.y) for trace in figure.data[2:])
    np.testing.assert_allclose(laplace, abs(noise) + np.log(2), atol=1e-6)
    np.testing.assert_allclose(gauss, noise**2 / 2 + np.log(2 * np.pi) / 2, atol=1e-6)


def test_a_fair_coin_is_worth_log_two() -> None:
    entropy, cross, divergence = get("entropy").make().data
    middle = len(entropy.y) // 2
    np.testing.assert_allclose([entropy.y[middle], cross.y[0], divergence.y[0]], np.log(2), atol=1e-6)
    np.testing.assert_allclose(entropy.y + divergence.y, cross.y, atol=1e-5)


def test_momentum_calms_the_zigzag_and_comes_farther() -> None:
    """What the words beside the picture claim."""
    path = drawn("momentum-in-a-ravine")["path"]
    assert isinstance(path, paths.Path)
    sgd, momentum = path.points
    across = [np.abs(np.diff(points[:, 1])).sum() for points in (sgd, momentum)]
    along = [abs(points[-1, 0]) for points in (sgd, momentum)]
    assert across[1] < across[0] / 4
    assert np.abs(momentum[8:, 1]).max() < 0.2 * np.abs(momentum[0, 1])  # hardly any more after a few steps
    assert np.abs(sgd[8:, 1]).max() > 0.5 * np.abs(sgd[0, 1])
    assert along[1] < along[0] / 3


@pytest.mark.slow
def test_rates_of_a_race_hold() -> None:
    """No rule comes back out of the minimum, as adadelta did at a rate that looked best up to the last frame."""
    rates = drawn("race-in-a-ravine")["rates"]
    long = tw.descend("ravine", optimizer=rates, steps=240).all_losses[0, :, 0]
    assert (long[:, 60:].max(axis=-1) <= 1.1 * long[:, 60]).all()
    assert (long[:, -1] < long.min() + 0.02).all()


def test_accumulated_gradients_overshoot_and_a_rate_for_each_coordinate_goes_along() -> None:
    """What the words beside the race say: who shoots past the minimum, who swings across the ravine first."""
    path = drawn("race-in-a-ravine")["path"]
    assert isinstance(path, paths.Path)
    points = dict(zip(path.optimizers, path.points, strict=True))
    farthest = {name: at[:, 0].max() for name, at in points.items()}
    assert min(farthest[name] for name in ("momentum", "nesterov", "adam", "adamw")) > 2.5
    assert max(farthest[name] for name in ("sgd", "adagrad", "adadelta", "rmsprop")) < 1.5
    assert farthest["adadelta"] < -1, "still before the cliff"
    for name, at in points.items():
        along, across = np.abs(at[1] - at[0])
        wall = (at[: int((at[:, 0] > -1).argmax()) or None, 1] < -0.6).any()
        if name in ("sgd", "momentum", "nesterov"):
            assert across > 5 * along, name
            assert wall, "on the other side before the cliff"
        else:
            assert along == pytest.approx(across, rel=0.05), name


@pytest.mark.slow
def test_a_rate_for_each_coordinate_leads_past_a_saddle() -> None:
    path = drawn("race-from-a-saddle")["path"]
    assert isinstance(path, paths.Path)
    nearest, moved = ({}, {})
    for name, at, losses in zip(path.optimizers, path.points, path.losses, strict=True):
        nearest[name] = np.linalg.norm(at, axis=1).min()
        moved[name] = int((losses < -0.5).argmax()) or np.inf
    assert max(nearest[name] for name in ("sgd", "momentum", "nesterov")) < 0.1
    assert min(nearest[name] for name in ("adagrad", "adadelta", "rmsprop", "adam", "adamw")) > 0.9
    assert min(moved, key=lambda name: moved[name]) == "rmsprop"
    ends = dict(zip(path.optimizers, path.points, strict=True))
    assert abs(ends["sgd"][-1]).max() < 0.4, "hardly left"
    assert np.linalg.norm(ends["adadelta"][-1] - ends["adadelta"][0]) < 0.05
    seen = np.abs(ends["adam"]).max(axis=1) < 2
    assert np.abs(ends["adam"] - ends["adamw"])[seen].max() < 0.02


@pytest.mark.whole
def test_the_smaller_the_batch_the_flatter_but_not_the_better() -> None:
    figure = drawn("sharp-and-flat-minima")["figure"]
    assert isinstance(figure, go.Figure)
    means = {(t.name.split(":")[0], t.yaxis): t.y[0] for t in figure.data if f"{t.name}".endswith(": mean")}
    small, middle, full = ([means[size, axis] for axis in ("y", "y2", "y3")] for size in ("16", "128", "full"))
    assert small[0] < 0.6 * middle[0] < 0.6 * full[0]
    assert small[2] == pytest.approx(middle[2], rel=0.05)
    assert full[2] > 1.2 * middle[2]
    study = drawn("sharp-and-flat-minima")["study"]
    assert isinstance(study, tw.Study)
    runs = study.table().query("stage == 'confirmation'").astype({"batch_size": str})
    runs = runs.groupby(["batch_size", "lr"])["train_loss"].mean()
    assert runs.loc["full"].min() > 5 * runs.loc["128"].min(), "has not come as far"
    relative = {t.name: np.array(t.y) for t in figure.data if t.yaxis == "y5"}
    for end in (0, -1):
        assert relative["16"][end] > relative["128"][end] > relative["full"][end]


@pytest.mark.slow
def test_only_the_ramp_is_no_factor() -> None:
    factors = drawn("schedules")["factors"]
    assert isinstance(factors, dict)
    colours = [trace.line.color for trace in PICTURES["schedules"].make().data]
    assert [name for name, colour in zip(factors, colours, strict=True) if colour != colours[0]] == [
        "ramp (a momentum)"
    ]
    assert (factors["ramp (a momentum)"][0], factors["constant"][0]) == (0.5, 1)


@pytest.mark.slow
def test_rules_come_equally_far_at_rates_of_their_own() -> None:
    study = drawn("rate-sensitivity")["study"]
    assert isinstance(study, tw.Study)
    table = rate_table(study.table())
    best = table.loc[table.groupby("optimizer")["mean"].idxmin()].set_index("optimizer")
    expected = {"sgd": 1, "momentum": 0.1, "rmsprop": 0.01, "adam": 0.01}
    assert best["lr"].to_dict() == pytest.approx(expected)
    assert best["mean"].max() < 1.2 * best["mean"].min()
    diverged = table[np.isclose(table["lr"], 1)].set_index("optimizer")["diverged"]
    assert (diverged > 0).to_dict() == {"sgd": False, "momentum": False, "rmsprop": True, "adam": True}


def test_a_higher_rate_is_slower_again_and_too_high_a_one_rises() -> None:
    path = drawn("loss-curves-of-rates")["path"]
    assert isinstance(path, paths.Path)
    low, good, high, over = path.losses[:, -1]
    assert good < high < low < path.losses[0, 0] < over
    *_, below, above = path.rates.ravel()
    assert below < 2 / 10 < above  # the quadratic is ten times as steep across as along, where its curvature is 1


def test_momentum_ends_in_the_deeper_minimum() -> None:
    path = drawn("leaving-a-local-minimum")["path"]
    assert isinstance(path, paths.Path)
    ends = path.points[:, -1]
    assert ends == pytest.approx([-1.06, 1.97], abs=0.02)
    assert path.losses[1, -1] < path.losses[0, -1]
    assert (path.points[1] > 0).any()


def test_errors_of_fits() -> None:
    scope = drawn("under-and-overfitting")
    train, new = (np.asarray(scope[name]) for name in ("train", "new"))
    assert len(train) == len(new) == 12
    assert train.argmin() == new.argmax() == 11
    assert (np.diff(train) < 0).all()
    assert new[3] < new[0] / 2


def test_the_fewer_samples_the_more_a_path_strays() -> None:
    """All lead to the minimum of the whole; the way from step to step is longer the smaller the batch."""
    scope: Any = drawn("batches-on-a-surface")
    best = np.array(tw.minimum(scope["loss"]).points[0].at)
    every, few, one = scope["walks"].values()
    ways = [np.linalg.norm(np.diff(path, axis=0), axis=1).sum() for path in (every, few, one)]
    assert ways == sorted(ways)
    assert np.linalg.norm(every[-1] - best) < 0.01
    strays = [np.linalg.norm(path[20:] - best, axis=1).mean() for path in (every, few, one)]
    assert strays == sorted(strays)
    assert np.linalg.norm(one[20:].mean(axis=0) - best) < 0.5


@pytest.mark.parametrize(
    "name",
    [
        *("batches-on-a-surface", "cross-validation", "dropped-units", "entropy", "loss-from-likelihood"),
        *("secant-to-tangent", "steps-on-a-curve", "under-and-overfitting", "where-it-converges"),
        pytest.param("bias-and-variance", marks=pytest.mark.slow),
    ],
)
def test_a_picture_is_said_throughout(name: str) -> None:
    use_language("ko")
    figure = PICTURES[name].make()
    axes = [axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes())]
    legend = [trace.name for trace in figure.data if trace.showlegend is not False]
    words = [figure.layout.title.text, *axes, *legend, *(note.text for note in figure.layout.annotations)]
    english = [word for word in words if word and re.search(r"(?<!<)(?<!</)\b[a-z]{3,}", word)]
    assert [word for word in english if word not in ("sgd", "momentum", "−log p")] == []


def test_every_sample_is_judged_on_once() -> None:
    cells = np.array(PICTURES["cross-validation"].make().data[0].z)
    assert cells.shape == (5, 30)
    assert (cells.sum(axis=0) == 1).all()
    assert (cells.sum(axis=1) == 6).all()


def test_bias_moves_the_shots_and_variance_scatters_them() -> None:
    scope = drawn("bias-variance-target")
    fits, truth = scope["fits"], scope["truth"]
    assert isinstance(fits, dict)
    misses = {name: np.linalg.norm(shots.mean(axis=0) - truth) for name, shots in fits.items()}
    spreads = {name: shots.std() for name, shots in ((n, s - s.mean(axis=0)) for n, s in fits.items())}
    assert min(misses["bias alone"], misses["bias and variance"]) > 5 * max(
        misses["variance alone"], misses["neither of them"]
    )
    assert min(spreads["variance alone"], spreads["bias and variance"]) > 2 * max(
        spreads["bias alone"], spreads["neither of them"]
    )


@pytest.mark.slow
def test_bagging_averages_and_boosting_adds() -> None:
    scope = drawn("bagging-and-boosting")
    truth = torch.tensor(scope["truth"]["truth"])  # pyright: ignore
    members, mean = scope["bag"].outputs(scope["x"])[..., 0], scope["bag"].predict(scope["x"])[:, 0]  # pyright: ignore
    torch.testing.assert_close(members.mean(0), mean)
    errors = ((members - truth) ** 2).mean(1)
    assert ((mean - truth) ** 2).mean() < 0.6 * errors.mean()
    first, fourth, last = (np.mean((np.array(y) - truth.numpy()) ** 2) for y in scope["after"].values())  # pyright: ignore
    assert last < fourth < first / 2


def test_triplets_are_told_apart_by_training() -> None:
    scope: Any = drawn("triplets")
    labels, (anchor, positive, negative) = scope["labels"], scope["triplet"]
    assert labels[anchor] == labels[positive] != labels[negative]
    nearer = []
    for places in (scope["before"], scope["after"]):
        drawn_to, kept_from = (np.linalg.norm(places[anchor] - places[k]) for k in (positive, negative))
        nearer.append(drawn_to < kept_from)
        others = np.random.default_rng(1).integers(len(places), size=(4000, 3))
        a, p, n = others[
            (labels[others[:, 0]] == labels[others[:, 1]]) & (labels[others[:, 0]] != labels[others[:, 2]])
        ].T
        right = np.linalg.norm(places[a] - places[p], axis=1) < np.linalg.norm(places[a] - places[n], axis=1)
        nearer.append(right.mean())
    before, share_before, after, share_after = nearer
    assert (before, after) == (False, True)
    assert share_before < 0.75
    assert share_after > 0.97


def test_labels_are_mixed_as_the_images_are() -> None:
    rows = drawn("mixed-images")["rows"]
    assert isinstance(rows, dict)
    (_, one), (_, other), (said, mixed) = rows["MixUp"]
    share = float(said.split("%")[0].split(": ")[1]) / 100
    np.testing.assert_allclose(mixed, share * one + (1 - share) * other, atol=0.01)
    (_, one), (_, other), (said, cut) = rows["CutMix"]
    assert ((cut == one) | (cut == other)).all()
    apart = one != other
    assert 0 < (cut == one)[apart].mean() < 1
    assert said.startswith("0: 62%")


def test_other_units_are_dropped_in_each_step() -> None:
    first, second = drawn("dropped-units")["kept"].values()  # pyright: ignore
    assert all(layers[0].all() and layers[-1].all() for layers in (first, second))
    assert all((one != other).any() for one, other in zip(first[1:-1], second[1:-1], strict=True))


def test_most_parameters_are_in_dense_layers() -> None:
    counts = drawn("alexnet-parameters")["counts"]
    assert isinstance(counts, dict)
    dense = [counts[f"dense{k}"] for k in (1, 2, 3)]
    assert sum(counts.values()) == 60_965_224
    assert round(100 * sum(dense) / sum(counts.values())) == 96
    assert max(counts.values()) == dense[0] > sum(counts.values()) / 2


def test_a_step_is_made_of_what_its_rule_says() -> None:
    path = drawn("what-is-in-a-step")["path"]
    assert isinstance(path, paths.Path)
    steps, gradients = path.updates, path.gradients
    remembered = path.states("momentum")["a"][1:]
    np.testing.assert_allclose(steps[0] / np.linalg.norm(steps[0], axis=-1, keepdims=True), unit(remembered, steps[0]))
    assert (np.einsum("sd,sd->s", steps[0], -gradients[0, : len(steps[0])]) < 0).any(), "also against the slope"
    assert abs(steps[1, 0, 0]) == pytest.approx(abs(steps[1, 0, 1]), rel=1e-6)
    assert abs(gradients[1, 0, 1]) > 4 * abs(gradients[1, 0, 0])


def unit(vectors: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Vectors of length 1, turned as the others are."""
    along = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return along * np.sign(np.sum(along * like, axis=-1, keepdims=True))
