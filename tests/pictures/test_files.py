"""Files of every format: live pages that load nothing and play only when asked, and films of every frame."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from plotly.subplots import make_subplots

from thalweg.pictures import moving, narrow
from thalweg.pictures.files import write
from thalweg.pictures.layout import dress, heading
from thalweg.pictures.moving import animated
from thalweg.pictures.page import page
from thalweg.pictures.still import images
from thalweg.pictures.style import BLUE, DARK, INK, PAPER, VERMILION

from .test_still import centre

STEPS = 8


@pytest.fixture
def race() -> go.Figure:
    """A point that walks to the right over a ground that stays."""
    point = go.Scatter(x=[0], y=[0.5], mode="markers", marker={"color": VERMILION, "size": 14}, name="walker")
    figure = go.Figure([go.Heatmap(z=[[0, 1]], showscale=False, colorscale=[[0, PAPER], [1, PAPER]]), point])
    dress(figure, 240).update_xaxes(range=[-1, STEPS]).update_yaxes(range=[0, 1])
    figure.update_layout(title=heading("Race </script><b>", "Each at its best rate; 8 steps."), width=400)
    frames = [go.Frame(name=str(k), data=[go.Scatter(x=[k])], traces=[1]) for k in range(STEPS)]
    return animated(figure, frames)


def test_frames_move_what_changes_and_keep_the_rest(race: go.Figure) -> None:
    found = list(images(race))
    across = [centre(one, VERMILION)[0] for one in found]
    assert len(found) == STEPS
    assert (np.diff(across) > 0.06).all()
    assert np.ptp([centre(one, VERMILION)[1] for one in found]) < 0.002
    thinned = list(images(race, most=3))
    assert len(thinned) == 4
    np.testing.assert_array_equal(thinned[-1], found[-1])


def test_a_gif_repeats_and_rests_on_its_end(race: go.Figure, tmp_path: Path) -> None:
    with Image.open(write(race, tmp_path / "race.gif")) as film:
        assert film.n_frames == STEPS
        assert film.info["loop"] == 0
        pace = []
        for place in range(STEPS):
            film.seek(place)
            pace.append(film.info["duration"])
        assert pace == [moving.PACE] * (STEPS - 1) + [moving.REST]
        assert film.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
        assert centre(np.asarray(film.convert("RGB")), VERMILION)[0] > 0.6


def test_an_mp4_holds_every_frame(race: go.Figure, tmp_path: Path) -> None:
    import imageio_ffmpeg

    file = write(race, tmp_path / "race.mp4")
    raw = ["-i", str(file), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), *raw], capture_output=True, check=True)
    shown = np.frombuffer(done.stdout, np.uint8).reshape(-1, 480, 800, 3)
    assert len(shown) >= STEPS
    assert centre(shown[0], VERMILION)[0] < 0.3 < 0.6 < centre(shown[-1], VERMILION)[0]


def test_an_mp4_without_its_extra_is_one_sentence(
    race: go.Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'thalweg\[video\]', or write a \.gif"):
        write(race, tmp_path / "race.mp4")
    assert not (tmp_path / "race.mp4").exists()


def test_a_still_figure_is_a_film_of_one_frame(tmp_path: Path) -> None:
    with Image.open(write(dress(go.Figure(go.Scatter(y=[1, 2])), 200), tmp_path / "a.gif")) as film:
        assert film.n_frames == 1


def test_other_endings_are_refused(race: go.Figure, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.html, \.png, \.svg, \.gif, \.mp4"):
        write(race, tmp_path / "race.jpg")


def source(written: str) -> dict:
    return json.loads(re.findall(r'<script type="application/json" id="source">(.*?)</script>', written, re.DOTALL)[0])


def test_a_page_is_one_file_with_words_escaped(race: go.Figure) -> None:
    written = page(race)
    assert "<h1>Race &lt;/script&gt;&lt;b&gt;</h1>" in written
    assert "<p>Each at its best rate; 8 steps.</p>" in written
    assert "default-src 'none'" in written
    assert "<script src" not in written
    assert "{{" not in written.replace(source(written).__repr__(), "").split("<script>")[0]


def test_a_page_has_both_themes_and_plays_only_when_asked(race: go.Figure) -> None:
    written = page(race)
    found = source(written)
    assert found["dark"] == dict(DARK)
    assert [one["name"] for one in found["frames"]] == [str(k) for k in range(STEPS)]
    assert found["wide"]["template"]["layout"]["font"]["color"] == INK
    assert not {"title", "updatemenus", "sliders"} & set(found["wide"])
    script = written.rsplit("<script>", 1)[1]
    assert "prefers-reduced-motion" in script
    assert script.count("setTimeout(tick") == 2, "one on the button, one from a tick that the button began"


def test_korean_and_minus_are_in_the_page_as_they_are(race: go.Figure) -> None:
    written = page(race.update_layout(title=heading("학습률 −1")))
    assert "<h1>학습률 −1</h1>" in written
    assert "Noto Sans KR" in source(written)["wide"]["template"]["layout"]["font"]["family"]


def spans(layout: dict[str, Any], side: str, count: int) -> list[tuple[float, float]]:
    return [tuple(np.round(layout[f"{side}axis{k if k > 1 else ''}"]["domain"], 2)) for k in range(1, count + 1)]


def grid(rows: int, cols: int, **more: Any) -> go.Figure:
    figure = make_subplots(rows, cols, **more)
    for k in range(rows * cols):
        figure.add_trace(go.Scatter(y=[k, 1]), row=k // cols + 1, col=k % cols + 1)
    return figure


def test_many_small_panels_stay_beside_each_other_on_a_narrow_page() -> None:
    titles = ["plateau(gamma=0.5)", *"bcdefg"]
    figure = grid(2, 4, shared_xaxes="all", shared_yaxes="all", subplot_titles=titles)
    layout = narrow.stacked(dress(figure.update_yaxes(title_text="factor", col=1), 500))
    left, right = (0.0, 0.47), (0.53, 1.0)
    assert spans(layout, "x", 8) == [left, right] * 4
    assert [layout[f"yaxis{k}"]["showticklabels"] for k in (2, 3, 4)] == [False, True, False]
    assert [layout[f"xaxis{k}"]["showticklabels"] for k in (5, 6, 7, 8)] == [False, False, True, True]
    assert [layout[f"yaxis{k}"]["title"]["text"] for k in (2, 3)] == ["", "factor"]
    assert layout["height"] < 4 * narrow.PANEL
    figure.update_layout(yaxis5={"matches": None, "range": [0, 9]})
    assert spans(narrow.stacked(figure), "x", 8) == [(0.0, 1.0)] * 8, "of several scales"
    images = grid(2, 3).update_xaxes(visible=False).update_yaxes(showticklabels=False, title_text="a")
    assert len(set(spans(narrow.stacked(dress(images, 500)), "x", 6))) == 3


def test_what_stands_below_a_title_follows_it_on_a_narrow_page() -> None:
    layout = narrow.stacked(dress(grid(2, 2, subplot_titles=["a", "b"]), 500))
    tops = [top for _, top in spans(layout, "y", 4)]
    assert tops[0] > tops[2] > tops[1] > tops[3]


def test_a_panel_of_one_scale_is_as_high_as_a_narrow_page_makes_it_wide() -> None:
    figure = grid(1, 1).update_xaxes(range=[0, 4]).update_yaxes(range=[0, 2], scaleanchor="x")
    layout = narrow.stacked(dress(figure, 600))
    assert layout["height"] == narrow.WIDTH / 2 + 36


def test_panels_of_one_scale_keep_it() -> None:
    figure = grid(1, 2, shared_yaxes=True).update_xaxes(range=[0, 1]).update_yaxes(range=[0, 1])
    figure.for_each_yaxis(lambda axis: axis.update(scaleanchor=axis.anchor))
    assert dress(figure, 400).layout.yaxis2.matches is None


def test_narrow_pages_stack_panels() -> None:
    figure = make_subplots(2, 2, subplot_titles="abcd")
    for k in range(4):
        figure.add_trace(go.Scatter(y=[k], line={"color": BLUE}), row=k // 2 + 1, col=k % 2 + 1)
    layout = narrow.stacked(dress(figure, 500))
    spans = [layout[f"yaxis{k}"]["domain"] for k in ("", 2, 3, 4)]
    assert all(upper[0] > lower[1] for upper, lower in pairwise(spans)), "none lies on another"
    tops = [span[1] for span in spans]
    assert tops == sorted(tops, reverse=True)
    assert all(layout[f"xaxis{k}"]["domain"] == [0.0, 1.0] for k in ("", 2, 3, 4))
    assert layout["height"] > 4 * narrow.PANEL
    titles = {note["text"]: (note["xref"], note["yref"]) for note in layout["annotations"]}
    assert titles["d"] == ("x4 domain", "y4 domain")
    figure.update_yaxes(showticklabels=False).update_layout(meta={"least": 700})
    figure.update_yaxes(range=[0, 1], scaleanchor="x2", matches="y", row=1, col=2)
    layout = narrow.stacked(figure)
    assert [layout[f"{axis}2"]["showticklabels"] for axis in ("xaxis", "yaxis")] == [True, False]
    assert "meta" not in layout
    single = dress(go.Figure(go.Scatter(y=[1])), 300)
    assert narrow.stacked(single)["height"] == 300
