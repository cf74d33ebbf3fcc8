"""The report: one file, offline, complete, and safe whatever the study's words are."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

import thalweg as tw
from tests.report_study import VALLEYS, made_study
from thalweg.errors import WorkError
from thalweg.pictures import markup
from thalweg.report import html, method
from thalweg.report.sections import Column, Figure, Section
from thalweg.study.study import Study

EVIL = '</script><img src=x onerror="alert(1)">{{plotly}}<b>&amp;'


class Page(HTMLParser):
    """What a browser sees: the elements with their attributes, the text, and the JSON of the charts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.words: list[str] = []
        self.json: list[Any] = []
        self.feed(page.replace(get_plotlyjs(), ""))
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.stack:
            del self.stack[len(self.stack) - 1 - self.stack[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "script":
            if data.startswith("{"):
                self.json.append(json.loads(data, parse_constant=pytest.fail))
        elif not self.stack or self.stack[-1] != "style":
            self.words.append(data)

    def count(self, tag: str, **attributes: str) -> int:
        return sum(
            kind == tag and all(found.get(key) == value for key, value in attributes.items())
            for kind, found in self.elements
        )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return made_study(tmp_path_factory.mktemp("report") / "made.db", rates=5)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """One whose report is written quickly."""
    path = tmp_path_factory.mktemp("report") / "small.db"
    return made_study(path, rates=2, confirmed=False, valleys={"adam": VALLEYS["adam"]})


@pytest.fixture(scope="module")
def full(study: Study) -> str:
    return html.page(study)


@pytest.fixture(scope="module")
def page(full: str) -> Page:
    return Page(full)


def ids(page: Page) -> list[str | None]:
    return [attributes["id"] for kind, attributes in page.elements if kind == "section"]


def test_a_notebook_shows_verdict_and_table(study: Study, tmp_path: Path):
    seen = Page(study._repr_html_())
    assert study.verdict.sentence.split(". ")[0] in seen.text
    assert all(entry.optimizer in seen.text for entry in study.verdict.entries)
    assert "<script" not in study._repr_html_()
    assert repr(study) == f"Study({str(study.path)!r})"
    assert repr(study.verdict) == str(study.verdict)
    assert "Nothing can be said" in made_study(tmp_path / "a.db", confirmed=False, ended=0, begun=1)._repr_html_()


def test_every_section_is_there_in_order(study: Study, page: Page):
    assert ids(page) == [
        "ranking",
        "rates",
        "sensitivity",
        "importance",
        "budget",
        "by-schedule",
        "tuned",
        "targets",
        "learning",
        "leaders",
        "generalization",
        "cost",
        "notes",
        "recipe",
        "provenance",
        "method",
    ]
    assert study.verdict.sentence in page.text
    assert "8 optimizers × 5 rates × 2 schedules × 2 seeds" in page.text
    assert page.text.index("may be as good") < page.text.index("Ranking") < page.text.index("Loss against rate")
    assert all(note in page.text for note in study.verdict.notes)
    assert "its best rate 1 is the highest tried" in page.text
    assert "torch.optim.Adam" in page.text
    assert "it was not asked for." in page.text
    assert "2.13.0" in page.text


def test_the_ranking_table_has_a_row_each_with_interval_and_test(study: Study, page: Page):
    for entry in study.verdict.entries:
        loss = entry.validation_loss
        assert f"{loss.mean:#.4g}" in page.text
        assert f"[{loss.low:#.4g}, {loss.high:#.4g}]".replace("-", "−") in page.text
        assert f"{entry.test['accuracy'].mean:#.4g}" in page.text
        assert f"{abs(entry.optimism):#.3g}".rstrip(".") in page.text
        assert f"{entry.percentile_90:#.4g}" in page.text
    assert "90% of seeds below 9 of 10 seeds have a better loss, says the worst of these few" in page.text
    assert (
        "Validation loss Not told apart May be best Regret at most Against the best Difference to best Chance of best"
        in page.text
    )
    assert "grid’s highest" in page.text
    assert "−" in page.text
    assert not re.search(r"\bnan\b|[ \[]-\d", page.text.replace(study.generalization()[0].sentence, ""))


def test_each_chart_has_a_label_and_its_numbers(page: Page):
    assert page.count("div", **{"class": "chart", "role": "img"}) == 9
    for kind, attributes in page.elements:
        if kind == "div" and attributes.get("class") == "chart":
            assert len(attributes["aria-label"] or "") > 30
    assert page.count("details") == 5  # the rankings' numbers stand open under them
    charts = [one for one in page.json if "wide" in one]
    assert [sorted(one) for one in charts] == [["narrow", "wide"]] * 9
    assert all(one["wide"]["data"] and one["wide"]["layout"]["height"] for one in charts)


def test_every_table_scrolls_in_its_own_container(page: Page):
    assert page.count("table") == page.count("div", **{"class": "scroll", "role": "region"}) == 13


def test_sensitivity_and_time_to_target_are_in_words_and_numbers(page: Page):
    assert "Optimizer Schedule Best rate Decades within 1% Decades within 5% Decades within 10%" in page.text
    assert "≥ " in page.text.split("Sensitivity to the rate")[1]
    best = page.text.split("Time to target")[1]
    assert "Target: a validation loss of" in best
    assert re.search(r"adam [12] of 2", best)
    assert " 0 of 2 ∞ [" in best


def test_nothing_is_loaded_from_elsewhere(full: str, page: Page):
    assert get_plotlyjs() in full
    for kind, found in page.elements:
        assert kind not in {"link", "iframe", "img", "object", "embed", "base"}
        assert not {"src", "href", "srcset", "data", "action"} & set(found), (kind, found)
    own = full.replace(get_plotlyjs(), "")
    assert not re.search(r"https?://|@import|url\(", own)
    assert page.count("meta", **{"http-equiv": "Content-Security-Policy"}) == 1
    assert "default-src 'none'" in full


def test_json_holds_no_nan_and_no_infinity(full: str, page: Page):
    assert len(page.json) == 10  # nine charts and the dark colours; `parse_constant` fails on NaN
    assert markup.embedded({"a": [math.nan, (math.inf, 1.5)]}) == '{"a":[null,[null,1.5]]}'


def test_json_in_a_page_cannot_end_its_script():
    packed = markup.embedded({EVIL: [EVIL]})
    assert not set("<>&") & set(packed)
    assert json.loads(packed) == {EVIL: [EVIL]}


def with_words(study: Study, path: Path, words: dict[str, str]) -> Study:
    """A copy of the study whose store has other words for some of its own, wherever they stand."""
    path.write_bytes(study.path.read_bytes())
    db = sqlite3.connect(path)
    for table, column in (("meta", "value"), ("members", "optimizer"), ("members", "schedule"), ("curves", "metric")):
        for old, new in words.items():
            if table == "meta":
                old, new = json.dumps(old), json.dumps(new)
                db.execute("UPDATE meta SET value = replace(value, ?, ?)", (old, new))
            else:
                db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, old))
    db.commit()
    db.close()
    return Study.open(path)


@pytest.mark.slow
def test_words_of_the_study_stay_words(study: Study, full: str, tmp_path: Path):
    own = ("adagrad", "cosine", "test_accuracy", "digits", "torch", "2.13.0")
    marked = with_words(
        study, tmp_path / "marked.db", dict.fromkeys(own[:2] + own[3:], EVIL) | {own[2]: f"test_{EVIL}"}
    )
    assert marked.name == EVIL
    whole = html.page(marked)
    seen, plain = Page(whole), Page(full)
    assert not seen.count("img")
    assert seen.count("script") == plain.count("script")
    assert whole.count("</script>") == plain.count("script")
    assert whole.count(get_plotlyjs()) == 1
    assert seen.text.count(EVIL) >= 8
    names = {trace["name"] for chart in seen.json if "wide" in chart for trace in chart["wide"]["data"]}
    assert any("&lt;/script&gt;" in name for name in names)  # Plotly shows these as the letters they stand for
    assert not any("<" in name for name in names)


@pytest.mark.slow
def test_an_unfinished_study_says_so(tmp_path: Path):
    study = made_study(tmp_path / "a.db", rates=5, confirmed=False, ended=1)
    assert {one.word for one in study.generalization()} <= {"overfits", "underfits", "fits"}  # one seed has ended
    seen = Page(html.page(study))
    assert "This study is not finished. 80 of 160 runs have not ended" in seen.text
    assert "80 to go" in seen.text
    claims = seen.text.split("How to read this")[0]
    for note in study.verdict.notes:  # one of which says that there were none
        claims = claims.replace(note, "")
    assert "fresh seeds" not in claims
    assert "Test loss" in seen.text
    assert seen.text.count("—") >= 16  # no test numbers yet


def test_a_finished_but_unconfirmed_study_says_so(small: Study):
    seen = Page(html.page(small))
    assert "Not confirmed on fresh seeds." in seen.text
    assert "not finished" not in seen.text


@pytest.mark.parametrize("seeds", [1, 0])
def test_nothing_finished_is_a_report_too(seeds: int, tmp_path: Path):
    seen = Page(html.page(made_study(tmp_path / "a.db", rates=5, confirmed=False, ended=0, begun=seeds)))
    assert "Nothing can be said about digits yet" in seen.text
    assert "This study is not finished." in seen.text
    assert ids(seen) == ["provenance", "method"]


@pytest.mark.slow
def test_an_optimizer_that_diverged_everywhere_is_shown(tmp_path: Path):
    valleys = {"adam": VALLEYS["adam"], "sgd": (1.0, 0.1, 1.0, 0.0)}
    seen = Page(html.page(made_study(tmp_path / "a.db", rates=5, valleys=valleys)))
    assert "∞" in seen.text
    assert "[NaN" not in seen.text
    marks = [one["marker"]["symbol"] for one in seen.json[0]["wide"]["data"]]
    assert marks.count("x") == 1


def test_provenance_reads_as_words():
    facts = {"metrics": ["accuracy", "mae"], "loader": False, "weights": 4810, "offset": -3, "spec": None}
    text = Page(str(html.rendered(method.provenance(facts)))).text
    for words in ("metrics accuracy, mae", "loader no", "weights 4,810", "offset −3", "spec —"):
        assert words in text.replace("  ", " ")


@pytest.mark.slow
def test_a_recipe_that_cannot_be_made_says_why(study: Study, tmp_path: Path):
    best = study.verdict.best.optimizer
    marked = with_words(study, tmp_path / "marked.db", {best: "mine"})
    assert "this study compares mine, an optimizer of your own: pass it again" in Page(html.page(marked)).text


def test_every_field_of_a_section_is_shown_as_letters():
    values: dict[str, Any] = {"setting": (0.1, [EVIL]), "chosen rate": (0.1, EVIL), "fact": [EVIL]}
    values |= dict.fromkeys(("name", "level", "difference"), EVIL)
    columns = [Column(format, EVIL, format) for format in values]
    figure = Figure(lambda narrow: go.Figure(layout={"height": 100, "title": EVIL}), EVIL, EVIL)
    whole = str(html.rendered(Section(EVIL, EVIL, EVIL, columns, [values], [figure], notes=[EVIL], code=EVIL)))
    seen = Page(whole)
    assert seen.text.count(EVIL) == 6 + len(values) + 5
    assert not seen.count("img")
    assert "<img" not in whole
    (section,) = (attributes for kind, attributes in seen.elements if kind == "section")
    assert section["id"] == EVIL


def test_writing_replaces_an_older_report_and_leaves_nothing_else(small: Study, tmp_path: Path):
    path = tmp_path / "보고서.html"
    path.write_text("old")
    assert html.write(small, path) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_a_path_that_cannot_be_written_is_one_sentence(small: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(html, "page", lambda results: "<!doctype html>")
    occupied = tmp_path / "folder"
    occupied.mkdir()
    (tmp_path / "file").write_text("kept")
    for path in (occupied, tmp_path / "file" / "report.html", "nul\0.html"):
        with pytest.raises(WorkError, match="cannot be written") as caught:
            html.write(small, path)
        assert repr(str(path)) in str(caught.value)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]
    assert html.write(small, tmp_path / "missing" / "report.html").is_file()


@pytest.mark.slow
def test_every_factor_has_its_section(tmp_path: Path):
    study = tw.compare(
        "breast-cancer",
        ["sgd", "adam"],
        [0.01, 0.1],
        ["constant"],
        seeds=2,
        epochs=2,
        confirmation=2,
        batch_sizes=[16, "full"],
        hyperparameters={"beta2": [0.9, 0.999]},
        store=tmp_path / "a.db",
        progress=False,
    )
    seen = Page(html.page(study))
    assert ids(seen)[:8] == [
        "ranking",
        "rates",
        "sensitivity",
        "importance",
        "budget",
        "by-batch_size",
        "by-beta2",
        "tuned",
    ]
    assert "× 2 batch sizes × 2 values of beta2 (where it applies) × 2 seeds" in seen.text
    assert "epochs for every run, batches of 16 or all samples" in seen.text
    for name in ("batch_size", "beta2"):
        assert study.verdict_by(name).sentence.split(": ")[0] in seen.text
    sections = {name: seen.text.split(f"Which {name}")[1].split("Which")[0] for name in ("batch size", "beta2")}
    tuned = seen.text.split("Search, fresh seeds, defaults")[1]
    assert (
        "Tuned, fresh seeds Change from search Default At its defaults Default − tuned "
        "Default worse by Test loss at defaults" in tuned
    )
    for one in ("Tuning matters most for ", "at its defaults, and least for "):
        assert one in tuned
    assert "rate 0.001 constant, batch size" in tuned
    assert "beta2 0.999" in tuned
    assert "Regret at most by how much its mean is worse than that of the truly best" in sections["batch size"]
    assert "Batch size Optimizer Rate Schedule beta2 Validation loss" in sections["batch size"]
    assert "beta2 Optimizer Rate Schedule Batch size Validation loss" in sections["beta2"]
    assert "Time per run" in sections["batch size"]
    assert "Each panel is at its optimizer’s chosen batch size and beta2." in seen.text
    learning = next(one["wide"] for one in seen.json if "wide" in one and "epoch" in json.dumps(one["wide"]["layout"]))
    assert all(trace["x"][0] == 1 and max(trace["x"]) == 2 for trace in learning["data"])
