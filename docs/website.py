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
STILL = re.compile(r'<img alt="([^"]*)" src="[./]*images/gallery/([\w-]+)\.\w+" */?>')
# As high as its page, which puts panels below one another where they do not fit side by side.
HIGH = "new ResizeObserver(() => this.style.height = body.scrollHeight + 'px').observe(body)"
FRAME = (
    '<iframe src="../live/{}.html" title="{}" loading="lazy" style="width:100%;height:{}px;border:0" '
    f'onload="const body = this.contentDocument?.body; if (body) {HIGH}"></iframe>'
)
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

    return LINK.sub(link, source.read_text(encoding="utf-8"))


def on_post_build(config: Any) -> None:
    """Pictures that move in place of stills, where they are asked for: a minute for each of the languages."""
    if LIVE:
        language = config["theme"]["language"]
        live(Path(config["site_dir"], *[language] * (language != "en")), language)


def live(site: Path, language: str) -> None:
    """A page for each picture, all with one copy of what draws them, and frames for them on the gallery's page."""
    from plotly.offline import get_plotlyjs

    import thalweg
    from thalweg.gallery import PICTURES
    from thalweg.pictures.page import page

    thalweg.use_language(language)
    folder, library, heights = site / "live", get_plotlyjs(), {}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plotly.js").write_text(library, encoding="utf-8")
    for name, picture in PICTURES.items():
        figure = picture.make()
        heights[name] = figure.layout.height + (90 if figure.frames else 40)  # its words, and its controls
        alone = page(figure).replace(f"<script>{library}</script>", '<script src="plotly.js"></script>')
        (folder / f"{name}.html").write_text(alone.replace("script-src ", "script-src 'self' "), encoding="utf-8")
    gallery = site / "gallery" / "index.html"
    text = gallery.read_text(encoding="utf-8")
    framed, count = STILL.subn(lambda m: FRAME.format(m[2], m[1], heights[m[2]]), text)
    assert count == len(PICTURES), f"{count} of {len(PICTURES)} pictures found on {gallery}"
    gallery.write_text(framed, encoding="utf-8")


class Doctests(griffe.Extension):
    """Examples of docstrings as code: Markdown would take >>> for quotations."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^( *)>>>(?:.*\n?)(?:\1.*\S.*\n?)*", fenced, obj.docstring.value)


def fenced(match: re.Match[str]) -> str:
    return f"{match[1]}```pycon\n{match[0].rstrip()}\n{match[1]}```\n"
