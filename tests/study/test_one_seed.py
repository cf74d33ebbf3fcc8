"""What one run of each setting cannot show is not shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import thalweg as tw


def test_one_seed_has_no_chance_and_one_epoch_no_course(tmp_path: Path) -> None:
    asked = {"rates": [0.1], "schedules": ["constant"], "seeds": 1, "epochs": 1, "confirmation": 0}
    study = tw.compare(
        "breast-cancer", ["sgd", "adam"], store=tmp_path / "a.db", grow=0, refine=0, progress=False, **asked
    )
    assert all(np.isnan(entry.probability_best) for entry in study.verdict.entries)
    page = study.report(tmp_path / "a.html").read_text()
    assert "of one seed: how much of that is chance is not known" in page
    assert "One epoch shows no course" in page
    assert "leads after every epoch" not in page
