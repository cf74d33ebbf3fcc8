"""The site: it builds without a warning, has a page for every public name, and asks no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import thalweg as tw

ROOT = Path(__file__).parents[1]


def test_the_reference_has_every_public_name() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    assert {*re.findall(r"^::: thalweg\.(\w+)$", pages, re.MULTILINE)} >= {*tw.__all__} - {"__version__"}


def test_no_hook_takes_the_name_of_a_module_of_python() -> None:
    """griffe registers its extensions by their files' names: docs/site.py was what `import site` gave afterwards."""
    hooks = re.findall(r"docs/(\w+)\.py", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert hooks
    assert not {*hooks} & sys.stdlib_module_names


@pytest.mark.slow
def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("index.html", "course/index.html", "ko/course/index.html", "api/studies/index.html"):
        text = (tmp_path / page).read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe)[^>]*src=\"(?:https?:)?//", text), page
        assert not re.findall(r"<link[^>]*rel=\"(?:stylesheet|preconnect)\"[^>]*href=\"(?:https?:)?//", text), page
    assert "모멘텀" in (tmp_path / "ko" / "course" / "index.html").read_text(encoding="utf-8")
