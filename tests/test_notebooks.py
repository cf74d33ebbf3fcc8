"""The notebooks of the documents: stored without outputs, and every cell runs, top to bottom, in an empty folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["course", "first-study", "your-own-rule"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        for cell in notebook["cells"]:
            assert cell["cell_type"] in ("markdown", "code")
            if cell["cell_type"] == "code":
                assert not cell["outputs"]
                assert cell["execution_count"] is None
                done = shell.run_cell("".join(cell["source"]), store_history=False)
                done.raise_error()
    finally:
        InteractiveShell.clear_instance()
