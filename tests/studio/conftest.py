"""Chromium, driven by Playwright; one browser for all, a page with nothing remembered for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
QUIET = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
Opened = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Debian's Chromium: apt-get install chromium")
    with sync_playwright() as driver:
        flags = [f"--{flag}" for flag in (*QUIET.split(), "disable-sync")]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Open an address; at the end nothing may have gone wrong on the page, nor been asked of another host."""
    contexts, wrong = [], []

    def open_(address: str, width: int = 1280, height: int = 900, allowed: str = "", **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        refused = "status of 400"  # what a reader typed, in a sentence on the page
        loud = lambda said: said.type in ("error", "warning") and refused not in said.text  # noqa: E731
        page.on("console", lambda said: wrong.append(said.text) if loud(said) else None)
        own = ("file://", "data:", "blob:", allowed or "file://")
        page.on("request", lambda asked: None if asked.url.startswith(own) else wrong.append(f"asked: {asked.url}"))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="session")
def race_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from thalweg.studio.single import race

    path = tmp_path_factory.mktemp("race") / "race.html"
    path.write_text(race(), encoding="utf-8")
    return path
