"""The studio in a browser, from a running server: what the file alone cannot show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.report_study import made_study
from tests.studio.barriers import barriers
from tests.studio.conftest import Opened
from tests.studio.running import Running, running
from thalweg.problem.prepare import prepare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("runs")
    made_study(folder / "digits.db", rates=7, fingerprint=prepare("digits").fingerprint)
    with running(folder) as server:
        yield server


def test_a_surface_is_typed_and_a_link_restores_it(opened: Opened, server: Running) -> None:
    page = opened(server.address, allowed=server.home)
    expect(page).to_have_url(re.compile(r"/#/race\?"))
    expect(page.locator(".lanes .loss").first).to_contain_text("loss")
    page.get_by_label("an expression in one or two variables").fill("x^2 + 10*sin(y)^2")
    page.get_by_role("button", name="Draw").click()
    page.wait_for_url("**surface=x%5E2*")
    page.get_by_label("an expression in one or two variables").fill("x^2 + 10*sin(")
    page.get_by_role("button", name="Draw").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("sin(")
    before = page.locator(".lanes .loss").all_inner_texts()
    again = opened(f"{server.address}{page.url.removeprefix(server.home + '/')}", allowed=server.home)
    expect(again.locator("#surface")).to_have_value("x^2 + 10*sin(y)^2")
    expect(again.locator(".lanes .loss")).to_have_text(before)
    again.get_by_label("language").select_option("ko")
    expect(again.locator("html")).to_have_attribute("lang", "ko")
    expect(again.locator("#surface")).to_have_value("x^2 + 10*sin(y)^2")
    assert barriers(again) == []


def test_a_study_is_watched(opened: Opened, server: Running) -> None:
    """A finished one: its verdict, a curve that is clicked, and the same by a link."""
    page = opened(f"{server.address}#/study", allowed=server.home)
    page.get_by_role("link", name="digits").click()
    expect(page.locator(".verdict .answer")).to_contain_text("has the lowest validation loss")
    expect(page.locator(".state")).to_contain_text("finished")
    assert page.get_by_role("button", name="Pause").is_hidden()
    page.get_by_text("The settings as a table").click()
    row = page.locator(".settings tbody tr").filter(has_text="adam · lr 0.01 · cosine").first
    row.get_by_role("button").press("Enter")
    expect(page.locator(".member h2")).to_contain_text("lr 0.01")
    page.get_by_text("The recipe: this setting").click()
    expect(page.locator(".member pre")).to_contain_text("torch.optim.Adam")
    page.get_by_role("button", name="Draw its landscape").click()
    expect(page.locator(".plane figcaption")).to_contain_text("of the path's variance", timeout=60_000)
    assert barriers(page) == []
    again = opened(f"{server.address}{page.url.removeprefix(server.home + '/')}", allowed=server.home)
    expect(again.locator(".member h2")).to_contain_text("lr 0.01")
    box = page.locator(".curves canvas").first.bounding_box()
    assert box is not None
    page.locator(".curves canvas").first.click(position={"x": box["width"] - 40, "y": box["height"] - 60})
    expect(page.locator(".settings .picked")).to_have_count(1)


def test_from_a_race_to_a_study_that_is_paused_and_stopped(opened: Opened, server: Running) -> None:
    page = opened(server.address, allowed=server.home)
    page.get_by_role("button", name="Compare them on a real problem").click()
    expect(page.get_by_label("Optimizers")).to_have_value("sgd, momentum(momentum=0.5)")
    page.get_by_label("Problem").select_option("breast-cancer")
    page.get_by_label("Epochs").fill("3000")
    page.get_by_label("Rates").fill("1e-99:x")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("rates are LOW:HIGH:COUNT")
    page.get_by_label("Rates").fill("0.01,0.1")
    page.get_by_role("button", name="Start").click()
    page.set_default_timeout(60_000)
    expect(page.locator(".state")).to_contain_text("at work", timeout=60_000)
    expect(page.locator(".verdict .guard")).to_contain_text("Too early to say", timeout=60_000)
    expect(page.locator(".legend li")).to_have_count(2, timeout=60_000)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".state")).to_contain_text("paused")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible(timeout=60_000)


OWN = """
import torch
import thalweg as tw

def problem():
    x = torch.linspace(-1, 1, 60)[:, None]
    return tw.Problem(model=lambda: torch.nn.Linear(1, 1), train=(x, 2 * x), loss="mse", name="line")
"""


def test_a_problem_of_the_command_line_is_studied(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    with running(tmp_path / "runs", [spec := f"{tmp_path / 'mine.py'}:problem"]) as server:
        page = opened(f"{server.address}#/study", allowed=server.home)
        page.get_by_label("Problem").select_option(spec)
        for label, text in (("Optimizers", "sgd"), ("Rates", "0.01,0.1"), ("Seeds", "3"), ("Epochs", "2")):
            page.get_by_label(label).fill(text)
        page.get_by_role("button", name="Start").click()
        expect(page.locator(".state")).to_contain_text("finished", timeout=60_000)
        expect(page.locator(".verdict .answer")).to_contain_text("sgd", timeout=60_000)
        page.get_by_text("The settings as a table").click()
        page.locator(".settings tbody tr").first.get_by_role("button").press("Enter")
        page.get_by_role("button", name="Draw its landscape").click()  # the file ran here, so it is trusted
        expect(page.locator(".plane figcaption")).to_contain_text("of the path's variance", timeout=60_000)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_the_study_is_without_barriers(opened: Opened, server: Running, width: int, scheme: Any) -> None:
    page = opened(f"{server.address}#/study", width, allowed=server.home, color_scheme=scheme, reduced_motion="reduce")
    expect(page.get_by_role("link", name="digits")).to_be_visible()
    check(page, width)
    page.get_by_label("language").select_option("ko")
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    page.get_by_role("link", name="digits").click()
    expect(page.locator(".verdict .answer")).to_be_visible()
    page.get_by_text("표로 보는 설정").click()
    expect(page.locator(".settings tbody tr").first).to_be_visible()
    check(page, width)


def check(page: Page, width: int) -> None:
    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_rule_is_written_shown_and_raced(opened: Opened, server: Running) -> None:
    page = opened(f"{server.address}#/formulas", allowed=server.home)
    expect(page.locator(".rule h2")).to_have_text("adam · 2014")
    expect(page.locator(".rule mtr")).to_have_count(6)
    page.get_by_role("button", name="lion", exact=True).press("Enter")
    expect(page.locator(".rule h2")).to_contain_text("lion")
    page.get_by_role("button", name="Family tree").click()
    expect(page.locator(".family li li").first).to_be_visible()
    page.get_by_label("Your rule").fill("def mine(g, *, lr=0.1):\n    return Update(-lr * evil(g))")
    page.get_by_role("button", name="Show its equations").click()
    expect(page.get_by_role("alert")).to_contain_text("line 2")
    page.get_by_label("Your rule").fill("def mine(g, *, lr=0.1):\n    return Update(-lr * sign(g))")
    page.get_by_label("Your rule").press("Control+Enter")
    page.locator(".own").get_by_role("button", name="Race it").click()
    expect(page.locator(".lanes .name").last).to_have_text("mine")
    page.wait_for_url("**own=def*")
    again = opened(f"{server.address}{page.url.removeprefix(server.home + '/')}", allowed=server.home)
    expect(again.locator(".lanes .name").last).to_have_text("mine")
    again.get_by_role("button", name="Compare them on a real problem").click()
    expect(again.get_by_label("Optimizers")).to_have_value("sgd, mine")
    expect(again.locator("form pre")).to_contain_text("sign(g)")


def test_a_rule_that_is_written_is_compared(opened: Opened, server: Running) -> None:
    page = opened(f"{server.address}#/formulas", allowed=server.home)
    page.get_by_label("Your rule").fill("def mine(g, *, lr=0.1):\n    return Update(-lr * sign(g))")
    page.get_by_role("button", name="Show its equations").click()
    page.locator(".own").get_by_role("button", name="Compare it on a real problem").click()
    expect(page.get_by_label("Optimizers")).to_have_value("mine, sgd, adam")
    page.get_by_text("mine: a rule that was typed").click()
    expect(page.locator("form pre")).to_contain_text("sign(g)")
    check(page, 1280)
    page.get_by_label("Problem").select_option("wave")
    for label, text in (("Optimizers", "mine, sgd"), ("Rates", "0.01,0.1"), ("Seeds", "3"), ("Epochs", "2")):
        page.get_by_label(label).fill(text)
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".state")).to_contain_text("finished", timeout=60_000)
    page.get_by_text("The settings as a table").click()
    page.locator(".settings tbody tr").filter(has_text="mine").first.get_by_role("button").press("Enter")
    page.get_by_text("The recipe: this setting").click()
    expect(page.locator(".member pre")).to_contain_text("class Mine(torch.optim.Optimizer)")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (360, "light")])
def test_the_formulas_are_without_barriers(opened: Opened, server: Running, width: int, scheme: Any) -> None:
    page = opened(f"{server.address}#/formulas?rule=nadam", width, allowed=server.home, color_scheme=scheme)
    page.get_by_label("language").select_option("ko")
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    expect(page.locator(".rule h2")).to_contain_text("nadam")
    check(page, width)
    page.locator(".catalogue .buttons button").last.click()
    check(page, width)
