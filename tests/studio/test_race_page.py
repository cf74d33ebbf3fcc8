"""The race in a browser, as a file without a server: by mouse, by keyboard, in every form the page has."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.cli.asked import run
from tests.studio.barriers import barriers
from tests.studio.conftest import Opened

pytestmark = pytest.mark.slow


def value_of(page: Page, name: str, until: Callable[[str], bool] = bool) -> str:
    """A field of the address, when it has been written and is what is waited for."""

    def value(url: str) -> str:
        found = re.search(rf"[?&]{name}=([^&]*)", url)
        return found[1] if found else ""

    page.wait_for_url(lambda url: until(value(url)))
    return value(page.url)


def until(page: Page, condition: Callable[[], bool]) -> None:
    """Waits for what the next frames paint, however late they come."""
    for _ in range(400):
        if condition():
            return
        page.wait_for_timeout(25)
    raise AssertionError("10 s were not enough")


def losses(page: Page) -> list[str]:
    return page.locator(".lanes .loss").all_inner_texts()


def painted(page: Page) -> int:
    return int(page.locator(".race").get_attribute("data-paints") or 0)


def dark_pixels(page: Page, canvas: str) -> int:
    """How many pixels of a canvas are not the ground's."""
    return page.evaluate(
        """(canvas) => {
          const { width, height } = canvas, data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
          let count = 0;
          for (let k = 0; k < data.length; k += 4) count += data[k + 3] > 0 && Math.min(...data.slice(k, k + 3)) < 90;
          return count;
        }""",
        page.locator(canvas).element_handle(),
    )


@pytest.fixture
def page(opened: Opened, race_file: Path) -> Page:
    page = opened(race_file.as_uri())
    expect(page.locator(".lanes .loss").first).to_contain_text("loss")
    return page


def test_by_mouse(page: Page) -> None:
    """A drag runs the race again at once, a click on the loss chart moves the cursor, the sheet in space turns."""
    assert all(dark_pixels(page, canvas) > 200 for canvas in (".map canvas", ".fall canvas", ".relief canvas"))
    before, start = losses(page), value_of(page, "start")
    handle = page.locator(".start")
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 120, y + 30, steps=5)
    until(page, lambda: losses(page) != before)
    page.mouse.up()
    assert value_of(page, "start", until=lambda value: value not in ("", start))
    chart = page.locator(".fall canvas").bounding_box()
    assert chart is not None
    page.mouse.click(chart["x"] + chart["width"] / 2, chart["y"] + chart["height"] / 2)
    expect(page.locator(".where")).to_have_text(re.compile(r"step 1[0-3] of 25"))
    sheet = page.locator(".relief canvas")
    count, seen = painted(page), sheet.screenshot()
    sheet.drag_to(sheet, source_position={"x": 100, "y": 100}, target_position={"x": 180, "y": 130})
    until(page, lambda: painted(page) > count and sheet.screenshot() != seen)


def test_by_keyboard(page: Page) -> None:
    start = value_of(page, "start")
    page.locator(".start").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    old_x, old_y = map(float, start.split(","))

    def left_and_up(value: str) -> bool:
        x, y = map(float, value.split(","))
        return x < old_x and y > old_y

    assert value_of(page, "start", until=left_and_up)
    page.locator(".fall canvas").focus()
    page.keyboard.press("Home")
    expect(page.locator(".where")).to_have_text("step 0 of 25")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("PageUp")
    expect(page.locator(".where")).to_have_text("step 11 of 25")
    page.locator(".relief canvas").focus()
    seen = page.locator(".relief canvas").screenshot()
    page.keyboard.press("ArrowLeft")
    until(page, lambda: page.locator(".relief canvas").screenshot() != seen)
    page.get_by_role("button", name="One step on").press("Enter")
    expect(page.locator(".where")).to_have_text("step 12 of 25")
    page.get_by_role("button", name="Play").press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    expect(page.locator(".where")).to_have_text("step 25 of 25")
    expect(page.get_by_role("button", name="Play")).to_be_focused()


def test_keys_faster_than_frames_all_count(page: Page) -> None:
    """Three keys between two frames move the start by three steps, and turn the sheet by three."""
    pressed = """(element) => {
      for (const key of ["ArrowLeft", "ArrowLeft", "ArrowUp"])
        element.dispatchEvent(new KeyboardEvent("keydown", { key }));
    }"""
    page.locator(".start").evaluate(pressed)
    expect(page.locator(".start")).to_have_attribute("aria-valuetext", "x 1.69, y 0.94")  # from (1.8, 0.9)
    sheet = page.locator(".relief canvas")
    sheet.focus()
    sheet.evaluate(pressed)
    page.wait_for_timeout(200)
    together = sheet.screenshot()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowUp"):
        sheet.press(key)
        page.wait_for_timeout(100)
    assert sheet.screenshot() == together


def test_a_rate_is_changed_in_mid_run(page: Page) -> None:
    page.get_by_role("button", name="To the start").click()
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".where")).to_have_text(re.compile(r"step ([3-9]|1\d) of 25"))
    rate = page.get_by_role("slider", name="rate of sgd")
    rate.press("ArrowLeft")
    expect(page.locator(".changes").first).to_contain_text("lr 0.0457 from step")
    expect(page.locator(".where")).to_have_text("step 25 of 25")  # it went on
    changed = re.compile(r"sgd;lr%3D0.048;\d+:lr%3D0.0457")
    assert value_of(page, "lane", until=lambda value: bool(changed.match(value)))
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".changes li")).to_have_count(0)
    page.locator(".fall canvas").press("Home")
    page.locator(".fall canvas").press("PageUp")
    page.get_by_label("change from step 10 on").check()
    page.get_by_label("lr, sgd").fill("0.01")
    page.get_by_label("lr, sgd").press("Enter")
    expect(page.locator(".changes").first).to_contain_text("lr 0.01 from step 10 on")


def test_a_link_restores_it(opened: Opened, race_file: Path) -> None:
    state = "surface=himmelblau&start=-1,2.5&steps=80&lane=adam;lr=0.2;40:lr=0.05&lane=momentum;lr=0.004&at=33&arrows=0"
    page = opened(f"{race_file.as_uri()}#/race?{state}")
    expect(page.locator(".where")).to_have_text("step 33 of 80")
    expect(page.locator("#surface")).to_have_value("himmelblau")
    expect(page.locator(".arrows")).to_contain_text("Arrows of adam")
    expect(page.locator(".arrows")).to_contain_text(re.compile(r"momentum, downhill: \(.*\), drawn × "))
    shown = losses(page)
    page.get_by_role("button", name="One step on").click()
    assert value_of(page, "at", until=lambda value: value == "34")
    again = opened(page.url)
    expect(again.locator(".where")).to_have_text("step 34 of 80")
    assert losses(again) != shown


def test_fair_or_not_is_always_said(page: Page) -> None:
    fair = page.locator("p.fair")
    expect(fair).to_have_text("Chosen by hand: sgd 0.048, momentum(momentum=0.5) 0.048.")
    page.get_by_role("button", name="Default of each").click()
    expect(fair).to_have_text("Each rule's own default: sgd 0.001, momentum(momentum=0.5) 0.001.")
    page.get_by_role("button", name="Tune all equally").click()
    expect(fair).to_contain_text("Tuned, each the best of the same 49 rates")
    page.get_by_role("slider", name="Start").press("ArrowLeft")
    expect(fair).to_contain_text("tune again for a fair race")
    page.get_by_label("lr, sgd").fill("0.02")
    page.get_by_label("lr, sgd").press("Enter")
    expect(fair).to_contain_text("Chosen by hand: sgd 0.02.")


def test_rules_and_surfaces_are_chosen(page: Page) -> None:
    page.get_by_label("Add a rule").select_option("adam")
    expect(page.locator(".lanes > li")).to_have_count(3)
    page.get_by_label("More of adam").click()
    page.locator(".lanes > li").last.get_by_label("form").select_option("adam(bias_correction=False)")
    expect(page.locator(".lanes .name").last).to_have_text("adam(bias_correction=False)")
    page.get_by_label("More of adam").click()
    page.get_by_label("beta2, adam(bias_correction=False)").fill("0.9")
    page.get_by_label("beta2, adam(bias_correction=False)").press("Enter")
    page.wait_for_url("**beta2%3D0.9**")
    page.get_by_role("button", name="Remove sgd").click()
    expect(page.locator(".lanes > li")).to_have_count(2)
    page.locator("#surface").select_option("x*sin(x)")
    expect(page.locator(".relief")).to_be_hidden()
    expect(page.locator(".lanes .loss").first).to_contain_text("loss")
    page.get_by_label("Lesson").select_option("saddle")
    expect(page.locator(".words")).to_contain_text("almost on the ridge")
    page.get_by_text("The numbers of these paths").click()
    expect(page.locator(".numbers tbody tr")).to_have_count(61)
    expect(page.locator(".numbers tbody tr").first.locator("td").nth(2)).to_have_text("2.25")


def test_copy_as_python(opened: Opened, race_file: Path) -> None:
    page = opened(race_file.as_uri(), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    scope: dict[str, Any] = {}
    exec(page.evaluate("navigator.clipboard.readText()"), scope)
    assert [path.optimizers for path in scope["paths"]] == [("sgd",), ("momentum(momentum=0.5)",)]


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_form_is_without_barriers(opened: Opened, race_file: Path, width: int, scheme: Any) -> None:
    """Wide and at 360 pixels, light and dark, English and Korean, little motion: nothing overflows, axe is silent."""
    page = opened(race_file.as_uri(), width, color_scheme=scheme, reduced_motion="reduce")
    assert barriers(page) == []
    page.get_by_label("language").select_option("ko")
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    expect(page.get_by_role("button", name="재생")).to_be_visible()
    page.locator("#lesson").select_option("scales")
    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    english = re.findall(r"(?:\b[a-z]{2,} ){3,}", page.locator("main").inner_text())
    assert english == []
    page.get_by_role("button", name=re.compile("색")).click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light" if scheme == "dark" else "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "ko")


def test_the_command_writes_it(tmp_path: Path, race_file: Path) -> None:
    target = tmp_path / "race.html"
    assert run("picture", "race", "-o", str(target)).strip() == str(target)
    assert target.read_text(encoding="utf-8") == race_file.read_text(encoding="utf-8")
    assert "must end in .html" in run("picture", "race", "-o", "race.png", status=2)
