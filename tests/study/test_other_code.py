"""A study is not taken for that of code which has been edited since."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import thalweg as tw
from thalweg.cli.main import app
from thalweg.errors import StoreError

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
Y = (X[:, :1] > 0).float()
SMALL: dict[str, Any] = {"rates": [0.1], "schedules": ["constant"], "seeds": 2, "epochs": 1, "confirmation": 2}
SMALL |= {"grow": 0, "refine": 0, "tune": False, "progress": False}


def scaled(by: float) -> type[nn.Module]:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 1)

        if by == 1:

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.layer(x)
        else:

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.layer(x * 0)

    return Net


def plain(outputs: Any, targets: Any) -> Any:
    return nn.functional.binary_cross_entropy_with_logits(outputs, targets)


def weighted(outputs: Any, targets: Any) -> Any:
    return 1000 * nn.functional.binary_cross_entropy_with_logits(outputs, targets)


plain.__name__ = plain.__qualname__ = weighted.__name__ = weighted.__qualname__ = "mine"


def sgd(factor: float) -> Callable[..., Any]:
    def mine(params: Any, lr: float) -> Any:
        return torch.optim.SGD(params, lr=lr * factor)

    return mine


def problem(model: Any = nn.Linear, loss: Any = "bce") -> tw.Problem:
    make = (lambda: nn.Linear(3, 1)) if model is nn.Linear else model
    return tw.Problem(name="mine", model=make, train=(X, Y), loss=loss)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            lambda: problem(loss=nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0]))),
            lambda: problem(loss=nn.BCEWithLogitsLoss(pos_weight=torch.tensor([50.0]))),
        ),
        (lambda: problem(scaled(1)), lambda: problem(scaled(0))),
        (lambda: problem(loss=plain), lambda: problem(loss=weighted)),
    ],
)
def test_edited_code_trains_anew(
    first: Callable[[], tw.Problem], second: Callable[[], tw.Problem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = tw.compare(first(), optimizers=["sgd"], **SMALL)
    again = tw.compare(first(), optimizers=["sgd"], **SMALL)
    other = tw.compare(second(), optimizers=["sgd"], **SMALL)
    assert [study.path.name for study in (one, again, other)] == ["mine.db", "mine.db", "mine-2.db"]
    assert one.table()["validation_loss"].tolist() != other.table()["validation_loss"].tolist()
    with pytest.raises(StoreError, match=r"mine\.db holds a study of mine whose code was another; .* or resume it"):
        tw.compare(second(), optimizers=["sgd"], store=one.path, **SMALL)


def test_an_edited_optimizer_trains_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [tw.compare(problem(), optimizers=[sgd(factor)], **SMALL).path.name for factor in (1.0, 1.0, 2.0)]
    assert names == ["mine.db", "mine.db", "mine-2.db"]


@pytest.mark.slow
def test_an_edited_file_trains_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = """
import torch, thalweg as tw
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
    def forward(self, x):
        return self.layer(x)
def problem():
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    return tw.Problem(model=Net, train=(x, x[:, :1]), loss="mse")
"""
    asked = "compare mine.py:problem --optimizers sgd --rates 0.1 --schedules constant --seeds 2 --epochs 1 "
    asked += "--confirmation 2 --grow 0 --refine 0 -q"
    for written in (text, f"# a comment\n{text}", text.replace("(x)\n", "(x * 0)\n", 1)):
        Path("mine.py").write_text(written)
        done = CliRunner().invoke(app, asked.split())
        assert done.exit_code == 0, done.output
    assert sorted(path.name for path in Path("runs").glob("*.db")) == ["problem-2.db", "problem.db"]


def test_an_edited_loop_trains_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def loop(factor: float) -> Callable[[tw.Run], None]:
        def mine(run: tw.Run) -> None:
            run.report(validation_loss=factor * run.lr)

        return mine

    asked: dict[str, Any] = {k: v for k, v in SMALL.items() if k != "tune"}
    names = [tw.compare(loop(f), optimizers=["sgd"], **asked).path.name for f in (1.0, 1.0, 1000.0)]
    assert names == ["mine.db", "mine.db", "mine-2.db"]
