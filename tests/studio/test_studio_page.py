"""The studio in a browser, from a running server: what the file alone cannot show."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.studio.barriers import barriers
from tests.studio.conftest import Opened
from tests.studio.running import Running, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
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
