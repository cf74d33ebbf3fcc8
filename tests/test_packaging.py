"""The wheel and the source distribution: complete, and they run where only they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def run(*words: str | Path, at: Path) -> str:
    """What a command prints, in an environment that says nothing of this checkout."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([*map(str, words)], cwd=at, env=kept, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution of a copy of what is tracked, and the wheel made of that."""
    place = tmp_path_factory.mktemp("built")
    copy, unpacked = place / "copy", place / "unpacked"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    sdist = place / run(sys.executable, "-c", BUILD, "build_sdist", place, at=copy).split()[-1]
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    wheel = place / run(sys.executable, "-c", BUILD, "build_wheel", place, at=source).split()[-1]
    return sdist, wheel


def test_everything_is_in_the_wheel(built: tuple[Path, Path]) -> None:
    package = ROOT / "src" / "thalweg"
    files = (path for path in package.rglob("*") if path.is_file())
    due = {str(path.relative_to(package.parent)) for path in files if path.suffix not in (".pyc", ".po")}
    with zipfile.ZipFile(built[1]) as archive:
        there = {name for name in archive.namelist() if name.startswith("thalweg/")}
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    assert there == due
    assert {"thalweg/py.typed", "thalweg/report/report.html"} <= there
    assert "License-Expression: Apache-2.0" in metadata
    assert "Programming Language :: Python :: 3.11" in metadata


def test_it_runs_where_it_alone_is_installed(built: tuple[Path, Path], tmp_path: Path) -> None:
    """In an empty environment that finds the libraries of this one, and in an empty folder."""
    home, folder = tmp_path / "venv", tmp_path / "empty"
    folder.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", home, at=folder)
    python = home / "bin" / "python"
    (site,) = (home / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")  # a .pth in there is not followed
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, "--disable-pip-version-check", built[1], at=folder)
    assert Path(run(python, "-c", "import thalweg; print(thalweg.__file__)", at=folder)).is_relative_to(home)
    thalweg = home / "bin" / "thalweg"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run(thalweg, "--version", at=folder).strip() == f"thalweg {version}"
    assert "Kingma" in run(thalweg, "formula", "adam", at=folder)
    few = "--optimizers sgd --rates 0.1 --seeds 2 --epochs 1 --confirmation 2 --grow 0 --refine 0 --schedules constant"
    run(thalweg, "compare", "breast-cancer", *few.split(), "--report", "report.html", "--yes", at=folder)
    assert "<html" in (folder / "report.html").read_text()
    assert "import torch" in run(thalweg, "recipe", "runs/breast-cancer.db", at=folder)


def test_the_citation_is_of_this_version() -> None:
    said = (ROOT / "CITATION.cff").read_text()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in said
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
