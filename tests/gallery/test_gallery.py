"""Every picture of the gallery is made by the lines that are shown, and the page is what the generator writes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import plotly.graph_objects as go
import pytest

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.gallery import PICTURES, get, names
from thalweg.gallery.computed import Fits
from thalweg.landscapes import path as paths
from thalweg.pictures.page import page
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
}


@pytest.mark.parametrize("name", mostly_slow(names(), *(name for name in names() if name not in SLOW)))
def test_the_shown_lines_make_the_picture(name: str, generator: ModuleType) -> None:
    scope: dict[str, object] = {}
    exec(compile(PICTURES[name].code, name, "exec"), scope)
    figure = scope["figure"]
    assert isinstance(figure, go.Figure)
    assert figure.layout.title.text
    assert figure.layout.template.layout.paper_bgcolor == PAPER
    first, *others = images(figure, scale=0.5, most=2)
    assert first.std() > 3, "something is drawn"
    assert bool(others) == bool(figure.frames)
    assert all((first != other).any() for other in others)
    assert files()[name].suffix == f".{generator.ending(figure)}", "draw it again: make gallery"
    assert "NaN" not in page(figure).rsplit('<script type="application/json"', 1)[1].split("</script>")[0]


def test_the_page_is_what_the_generator_writes(generator: ModuleType) -> None:
    assert set(files()) == set(names()), "draw them again: make gallery"
    endings = {name: file.suffix[1:] for name, file in files().items()}
    assert (DOCS / "gallery.md").read_text(encoding="utf-8") == generator.page(endings)


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
    assert f"mean 0.6, deviation {deviation:.4g}" in shown["forward"]
    assert "mean 3, deviation 0.7," in shown["reverse"]
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
    scope: dict[str, object] = {}
    exec(compile(PICTURES["momentum-in-a-ravine"].code, "momentum", "exec"), scope)
    path = scope["path"]
    assert isinstance(path, paths.Path)
    sgd, momentum = path.points
    across = [np.abs(np.diff(points[:, 1])).sum() for points in (sgd, momentum)]
    along = [abs(points[-1, 0]) for points in (sgd, momentum)]
    assert across[1] < across[0] / 4
    assert np.abs(momentum[8:, 1]).max() < 0.2 * np.abs(momentum[0, 1])  # hardly any more after a few steps
    assert np.abs(sgd[8:, 1]).max() > 0.5 * np.abs(sgd[0, 1])
    assert along[1] < along[0] / 3


def drawn(name: str) -> dict[str, object]:
    """What the lines of a picture have made."""
    scope: dict[str, object] = {}
    exec(compile(PICTURES[name].code, name, "exec"), scope)
    return scope


def test_rates_of_a_race_hold() -> None:
    """No rule comes back out of the minimum, as adadelta did at a rate that looked best up to the last frame."""
    rates = drawn("race-in-a-ravine")["rates"]
    long = tw.descend("ravine", optimizer=rates, steps=480).all_losses[0, :, 0]
    assert (long[:, 120:].max(axis=-1) <= 1.1 * long[:, 120]).all()
    assert (long[:, -1] < long.min() + 0.02).all()


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
    fits = drawn("under-and-overfitting")["fits"]
    assert isinstance(fits, Fits)
    assert fits.train.argmin() == fits.new.argmax() == len(fits.degrees) - 1
    assert (np.diff(fits.train) < 0).all()
    assert fits.new[3] < fits.new[0] / 2
