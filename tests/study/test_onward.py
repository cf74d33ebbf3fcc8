"""What sentences advise can be done: commands where a command can name the problem, Python where it is an object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import PlanError

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
FEW: dict[str, Any] = {"rates": [0.01, 0.011], "schedules": ["constant"], "seeds": 1, "epochs": 1, "confirmation": 2}
FEW |= {"grow": 0, "refine": 0, "tune": False, "progress": False}


def test_notes_of_an_object_advise_python(tmp_path: Path) -> None:
    problem = tw.Problem(lambda: nn.Linear(3, 1), train=(X, X[:, :1]), loss="mse", name="mine")
    few = FEW | {"seeds": 2, "confirmation": 3}
    study = tw.compare(problem, ["sgd", "adam", "sgd(weight_decay=0.01)"], store=tmp_path / "a.db", **few)
    assert "thalweg " not in " ".join(study.verdict.notes)
    assert study.verdict.extend("seeds", 19.5) == "study.extend(seeds=20)"
    assert study.onward == f"tw.resume('{tmp_path / 'a.db'}', problem=…)"


def test_an_optimizer_that_no_command_can_name_is_python_too(tmp_path: Path) -> None:
    class Own(torch.optim.SGD):
        pass

    given: dict[str, Any] = {"optimizers": ["sgd", Own], **FEW}
    study = tw.compare("wave", store=tmp_path / "a.db", **given)
    assert study.onward == f"tw.resume('{tmp_path / 'a.db'}', optimizers=…)"
    assert study.verdict.extend("seeds", 20) == "study.extend(seeds=20)"


@pytest.mark.slow
def test_notes_of_what_a_command_can_name_advise_commands(tmp_path: Path) -> None:
    study = tw.compare("wave", ["sgd", "momentum"], store=tmp_path / "a.db", **FEW)
    assert study.verdict.extend("samples", 20) == f"thalweg extend {tmp_path / 'a.db'} --samples 20"
    assert study.onward == f"thalweg resume {tmp_path / 'a.db'}"


def test_a_stopped_study_of_an_object_is_carried_on_as_it_says(tmp_path: Path) -> None:
    """Ctrl-C, here raised by a callback."""
    problem = tw.Problem(lambda: nn.Linear(3, 1), train=(X, X[:, :1]), loss="mse", name="mine")

    class Stop(tw.callbacks.Callback):
        def passed(self, job: Any, event: Any) -> None:
            raise KeyboardInterrupt

    store = tmp_path / "a.db"
    with pytest.raises(KeyboardInterrupt, match=r"carry on with `tw\.resume\('.*a\.db', problem=…\)`"):
        tw.compare(problem, ["sgd"], store=store, callbacks=[Stop()], **FEW)
    with pytest.raises(PlanError, match=r"unfinished; `tw\.resume\(.*\)` first, then extend it"):
        tw.Study.open(store).extend(seeds=3)
    assert tw.resume(store, problem=problem, progress=False, callbacks=[]).finished
