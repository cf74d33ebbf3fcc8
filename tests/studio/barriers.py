"""What axe-core finds on a page that keeps somebody out."""

from __future__ import annotations

from importlib import resources

from playwright.sync_api import Page


def barriers(page: Page) -> list[str]:
    """Findings that are serious or critical, each with the element it is about."""
    page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['html'][:160]}" for one in serious for node in one["nodes"]]
