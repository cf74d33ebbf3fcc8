"""What `mkdocs.yml` cannot say: pages that lie beside docs/, doctests as code, and pictures that move in place."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import griffe
from mkdocs.plugins import event_priority

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "docs"  # what the site is made of
OUTSIDE = {"README.md": "overview.md", "README.ko.md": "overview.ko.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
PICTURE = re.compile(r"^(!\[[^\]]*\]\(images/gallery/([\w-]+)\.\w+\))$", re.MULTILINE)
FRAME = r'\1\n\n<iframe class="live" src="../live/\2.html" title="\2" loading="lazy"></iframe>'
STYLE = "\n\n<style>.live{width:100%;height:600px;border:0}</style>\n"
LIVE = bool(os.environ.get("THALWEG_LIVE"))


@event_priority(100)
def on_config(config: Any) -> Any:
    """Gather docs/ and the pages beside it in one folder, with links as they are there."""
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.copytree(ROOT / "docs", BUILD, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    results = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
    moved = {ROOT / name: BUILD / place for name, place in OUTSIDE.items()}
    moved |= {path: BUILD / "benchmarks" / path.name for path in results}
    for source, target in moved.items():
        target.parent.mkdir(exist_ok=True)
        shutil.copy(source, target)
    places = moved | {
        path: BUILD / path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*") if path.is_file()
    }
    for source, target in places.items():
        if target.suffix == ".md":
            target.write_text(relinked(source, target, places), encoding="utf-8")
    config["docs_dir"] = str(BUILD)
    return config


def relinked(source: Path, target: Path, places: dict[Path, Path]) -> str:
    """A page with the links that it has where it now lies; a link to what the site does not have is words alone."""

    def link(match: re.Match[str]) -> str:
        picture, words, path, anchor = match[1], match[2], match[3], match[4] or ""
        if not path or ":" in path:
            return match[0]
        goal = places.get((source.parent / path).resolve())
        if goal is None or goal.suffix == ".py":
            return words
        goal = goal.with_name(goal.name.replace(".ko.md", ".md"))
        return f"{picture}[{words}]({os.path.relpath(goal, target.parent).replace(os.sep, '/')}{anchor})"

    text = LINK.sub(link, source.read_text(encoding="utf-8"))
    return PICTURE.sub(FRAME, text) + STYLE if LIVE and source.name == "gallery.md" else text


def on_post_build(config: Any) -> None:
    """A page for each picture, where they are asked for: it takes a few minutes."""
    if LIVE:
        from thalweg.gallery import PICTURES
        from thalweg.pictures.page import write_page

        folder = Path(config["site_dir"]) / "live"
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in PICTURES.items():
            write_page(picture.make(), folder / f"{name}.html")


class Doctests(griffe.Extension):
    """Examples of docstrings as code: Markdown would take >>> for quotations."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^( *)>>>(?:.*\n?)(?:\1.*\S.*\n?)*", fenced, obj.docstring.value)


def fenced(match: re.Match[str]) -> str:
    return f"{match[1]}```pycon\n{match[0].rstrip()}\n{match[1]}```\n"
