"""The kernel on its way: every frame shows the place and the values it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.pictures.files import write
from thalweg.pictures.still import Drawing

RNG = np.random.default_rng(0)


def shown(given: Any) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in given], dtype=float)


def shown_rows(given: Any) -> np.ndarray:
    return np.array([shown(row) for row in given])


def test_frames_of_a_sequence() -> None:
    found = tw.convolve([1, 3, 2, -1, 4], [1, 0, -1], stride=2, padding=1)
    figure = found.picture()
    assert [frame.name for frame in figure.frames] == ["0", "1", "2"]
    assert figure.layout.xaxis.range == figure.layout.xaxis3.range
    assert figure.layout.xaxis3.ticktext == ("0", "1", "2")
    for place, frame in enumerate(figure.frames):
        signal, rest, kernel, before, now, words = frame.data
        under = shown(signal.x)
        assert under.tolist() == [2 * place - 1, 2 * place, 2 * place + 1]
        assert shown(kernel.x).tolist() == under.tolist()
        assert shown(kernel.y).tolist() == [-1, 0, 1]
        assert sorted([*under, *shown(rest.x)]) == list(range(-1, 6))
        assert (now.x[0], now.y[0]) == (under.mean(), found.values[place])
        assert shown(before.y).tolist() == found.values[:place].tolist()
        assert words.text[0].replace("−", "-").endswith(f"= {found.values[place]}")
        assert float(np.dot(shown(signal.y), shown(kernel.y))) == found.values[place]


def test_frames_of_an_image() -> None:
    image, kernel = RNG.normal(size=(2, 6, 7)), RNG.normal(size=(2, 3, 2))
    found = tw.convolve(image, kernel, stride=(1, 2), padding=1)
    figure = found.picture()
    assert len(figure.frames) == found.values.size
    frame = figure.frames[found.values.shape[1] + 1]  # row 1, column 1
    values, cell, _, *outlines = frame.data
    row = np.array([[np.nan if v is None else v for v in line] for line in values.z], dtype=float)
    np.testing.assert_array_equal(row[0], found.values[0])
    np.testing.assert_array_equal(row[1, :2], found.values[1, :2])
    assert np.isnan(row[1, 2:]).all()
    assert np.isnan(row[2:]).all()
    assert (min(cell.x), max(cell.x), min(cell.y), max(cell.y)) == (0.5, 1.5, 0.5, 1.5)
    assert len(outlines) == 2
    for outline in outlines:  # stride 2 across, 1 down, over 2 columns and 3 rows
        assert (min(outline.x), max(outline.x), min(outline.y), max(outline.y)) == (1.5, 3.5, 0.5, 3.5)


def test_the_sum_is_written_and_the_padding_is_no_image() -> None:
    image, kernel = RNG.integers(-3, 4, size=(5, 6)).astype(float), np.array([[1.0, 0, -1], [2, 0, -2]])
    found = tw.convolve(image, kernel, padding=(1, 0))
    figure = found.picture()
    plane, around, _ = figure.data[:3]
    inside = np.isnan(shown_rows(around.z))
    assert inside.tolist() == [[False] * 6] + [[True] * 6] * 5 + [[False] * 6]
    np.testing.assert_array_equal(shown_rows(plane.z)[inside].reshape(image.shape), image)
    for frame, place in zip(figure.frames, np.ndindex(found.values.shape), strict=True):
        *products, value = frame.data[2].text[0].replace("−", "-").split("<br>")
        assert len(products) == 2
        assert eval(" ".join(products).replace("·", "*")) == found.values[place] == float(value.removeprefix("= "))


@pytest.mark.parametrize("scale", [10, 1000])
@pytest.mark.parametrize("kernel", [np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]), RNG.normal(size=(3, 3))])
def test_a_long_sum_is_seen_whole(kernel: np.ndarray, scale: float) -> None:
    """No edge cuts it, and it does not reach into the panels beside the kernel's."""
    drawing = Drawing(tw.convolve(RNG.normal(size=(8, 8)) * scale, kernel, padding=1).picture())
    drawing.image()  # which lays it out
    ((said,),) = (
        drawing.artists[place]
        for place, trace in enumerate(drawing.source.data)
        if trace.type == "scatter" and trace.text
    )
    image, _, values = (panel.get_window_extent() for panel in drawing.panels.values())
    place = said.get_window_extent()
    assert not said.get_clip_on()
    assert image.x1 <= place.x0 < place.x1 <= values.x0


def test_where_nothing_moves_every_value_is_read() -> None:
    line = tw.convolve([1, 2, 3, 4], [1, 0, -1], padding="same")
    grey = line.picture().data[0]
    np.testing.assert_array_equal(grey.y, line.values)
    image = tw.convolve(np.arange(16).reshape(4, 4), np.eye(2))
    grey = next(trace for trace in image.picture().data if np.shape(trace.z) == (3, 3))
    numbers = [[float(text.replace("−", "-")) for text in row] for row in grey.text]
    np.testing.assert_array_equal(numbers, image.values)


def test_frames_of_a_sequence_of_channels() -> None:
    signal, kernel = RNG.normal(size=(3, 8)), RNG.normal(size=(2, 3, 4))
    with pytest.raises(
        UsageError, match=r"the kernel has 2 outputs and a picture shows one; convolve with kernel\[:1\]"
    ):
        tw.convolve(signal, kernel).picture()
    found = tw.convolve(signal, kernel[:1], stride=2)
    figure = found.picture()
    np.testing.assert_array_equal([row.z[0] for row in figure.data[0:9:3]], signal)
    np.testing.assert_array_equal([row.z[0] for row in figure.data[2:9:3]], kernel[0, :, ::-1])
    values, cell, said, *outlines = figure.frames[-1].data
    assert said.text[0] == ""  # 12 products are too many to write
    np.testing.assert_array_equal(shown(values.z[0]), found.values[0])
    assert (min(cell.x), max(cell.x)) == (1.5, 2.5)
    assert [(min(o.x), max(o.x), min(o.y), max(o.y)) for o in outlines] == [(3.5, 7.5, -0.5, 0.5)] * 3


def test_one_output_is_drawn_as_its_only_kernel() -> None:
    image, kernel = RNG.normal(size=(2, 4, 5)), RNG.normal(size=(1, 2, 3, 2))
    assert tw.convolve(image, kernel).picture() == tw.convolve(image, kernel[0]).picture()


def test_numbers_that_would_not_fit_are_left_out() -> None:
    picture = tw.convolve(np.ones((12, 12)), np.ones((13, 3)), padding=1).picture()
    heat = [map_ for map_ in picture.data if map_.type == "heatmap"]  # image, zeros around it, kernel, values
    assert [map_.z.shape for map_ in heat] == [(14, 14), (14, 14), (13, 3), (2, 12), (2, 12)]
    assert [map_.texttemplate is None for map_ in heat] == [True, True, True, False, False]
    frame = tw.convolve(np.arange(9.0), np.ones(8)).picture().frames[-1]
    assert frame.data[-1].text[0] == "the sum of 8 products is 36"


def test_a_large_image_has_as_many_frames_as_can_be_watched() -> None:
    figure = tw.convolve(RNG.normal(size=(40, 60)), np.ones((3, 3))).picture()
    assert len(figure.frames) == 120
    assert figure.frames[-1].name == str(38 * 58 - 1)


def test_frames_of_functions() -> None:
    found = tw.convolve(lambda x: np.exp(-(x**2)), lambda x: np.exp(-((x - 1) ** 2)), at=np.linspace(-4, 4, 33))
    figure = found.picture(frames=9)
    assert [frame.name for frame in figure.frames] == ["−4", "−3", "−2", "−1", "0", "1", "2", "3", "4"]
    moved, product, area, point = figure.frames[6].data  # t = 2
    tau = shown(moved.x)
    np.testing.assert_allclose(shown(moved.y), np.exp(-((2 - tau - 1) ** 2)))
    np.testing.assert_allclose(np.trapezoid(shown(product.y), tau), found.values[24], atol=1e-3)
    assert (point.x[0], point.y[0], area.y[-1]) == (2.0, found.values[24], found.values[24])


@pytest.mark.parametrize("ending", [".html", ".png", ".gif"])
@pytest.mark.parametrize("signal", [np.arange(6.0), RNG.normal(size=(5, 6))], ids=["line", "image"])
def test_written(signal: np.ndarray, ending: str, tmp_path: Path) -> None:
    kernel = np.ones((2,) * signal.ndim)
    path = write(tw.convolve(signal, kernel).picture(), tmp_path / f"sliding{ending}")
    assert path.stat().st_size > 2000
    if ending == ".gif":
        from PIL import Image

        with Image.open(path) as film:
            assert getattr(film, "n_frames", 1) > 3


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(UsageError, match="the kernel has 4 outputs and a picture shows one"):
        tw.convolve(np.ones((3, 5, 5)), np.ones((4, 3, 2, 2))).picture()
    with pytest.raises(UsageError, match="at most 4 channels, and there are 5"):
        tw.convolve(np.ones((5, 6, 6)), np.ones((5, 2, 2))).picture()
