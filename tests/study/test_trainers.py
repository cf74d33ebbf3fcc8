"""Lightning's Trainer and that of transformers as the training loops of a study."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from thalweg.errors import TrainingError, WorkError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers which may be a bottleneck"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
]
_draw = torch.Generator().manual_seed(0)
X = torch.randn(48, 4, generator=_draw)
Y = X[:, :1] * X[:, 1:2]
FEW: dict[str, Any] = {"rates": [1e-2, 1e-1], "seeds": 2, "epochs": 4, "confirmation": 2, "progress": False}
FEW |= {"optimizers": ["sgd", "adam"], "grow": 0, "refine": 0}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


def losses(study: tw.Study) -> dict[tuple[Any, ...], list[float]]:
    table, curves = study.table(), study.curves()
    rows = curves[curves["metric"] == "validation_loss"].groupby("member")["value"].apply(list)
    names = ["stage", "optimizer", "lr", "seed"]
    done = table[table["status"] == "finished"].to_dict("records")
    return {tuple(row[name] for name in names): rows[row["member"]] for row in done}


def by_hand(run: tw.Run) -> None:
    """What Lightning does with the module below."""
    torch.manual_seed(run.seed)
    net = nn.Linear(4, 1)
    optimizer = run.optimizer(net.parameters())
    for _ in run.epochs:
        for rows in torch.arange(32).split(16):
            optimizer.zero_grad()
            nn.functional.mse_loss(net(X[rows]), Y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            run.report(validation_loss=nn.functional.mse_loss(net(X[32:]), Y[32:]))


def lightning(run: tw.Run, name: str = "val_loss", monitor: str = "val_loss") -> int:
    import pytorch_lightning as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(4, 1)

        def configure_optimizers(self) -> Any:
            return run.optimizer(self.parameters())

        def training_step(self, batch: Any, place: int) -> Any:
            loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, place: int) -> None:
            error = self.net(batch[0]) - batch[1]
            self.log(name, (error**2).mean())
            self.log("val_mae", error.abs().mean())

    torch.manual_seed(run.seed)
    silent: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    callbacks = [run.lightning_callback(monitor)]
    trainer = pl.Trainer(max_epochs=len(run.epochs), callbacks=callbacks, accelerator="cpu", **silent)
    train, validation = TensorDataset(X[:32], Y[:32]), TensorDataset(X[32:], Y[32:])
    trainer.fit(Module(), DataLoader(train, batch_size=16), DataLoader(validation, batch_size=16))
    return trainer.global_step


def test_lightning_reports_each_epoch() -> None:
    run = tw.Run("adam", 0.1, epochs=3)
    assert lightning(run) == 6
    assert [report["trained_steps"] for report in run.reports] == [2, 4, 6]
    assert run.reports[0].keys() == {"validation_loss", "validation_mae", "train_loss", "trained_steps"}
    alone = tw.Run("adam", 0.1, epochs=3)
    by_hand(alone)
    assert [r["validation_loss"] for r in run.reports] == pytest.approx([r["validation_loss"] for r in alone.reports])
    with pytest.raises(TrainingError, match=r"logs .*mine.* and not val_loss; self\.log"):
        lightning(tw.Run("adam", epochs=1), name="mine")
    lightning(run := tw.Run("adam", epochs=1), name="mine", monitor="mine")
    assert "validation_loss" in run.reports[0]


@pytest.mark.slow
def test_a_study_of_lightnings_trainer(tmp_path: Path) -> None:
    steps: list[int] = []

    def train(run: tw.Run) -> None:
        steps.append(lightning(run))

    study = tw.compare(train, store=tmp_path / "a.db", schedules=["constant"], budget="halving", **FEW)
    hand = tw.compare(by_hand, store=tmp_path / "b.db", schedules=["constant"], budget="halving", **FEW)
    assert losses(study).keys() == losses(hand).keys()
    assert all(losses(study)[run] == pytest.approx(values) for run, values in losses(hand).items())
    assert min(steps) == 2  # those that lost at the first rung were stopped there
    assert study.table()["validation_mae"].notna().all()


def transformers(run: tw.Run, folder: Path) -> Any:
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(**sizes, intermediate_size=8, max_position_embeddings=8)
    torch.manual_seed(run.seed)
    model = BertForSequenceClassification(config)
    words = torch.randint(0, 20, (24, 6), generator=torch.Generator().manual_seed(1))
    data = [{"input_ids": row, "labels": int(row[0] > 10)} for row in words]
    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=len(run.epochs), eval_strategy="epoch", seed=run.seed, use_cpu=True,
        per_device_train_batch_size=8, save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    optimizer = run.optimizer(model.parameters())
    trainer = Trainer(
        model, arguments, train_dataset=data[:16], eval_dataset=data[16:], callbacks=[run.transformers_callback()],
        optimizers=(optimizer, run.scheduler(optimizer, 2 * len(run.epochs))),
    )  # fmt: skip
    trainer.train()
    assert type(optimizer) is torch.optim.Adam
    return trainer


@pytest.mark.slow
def test_a_study_of_the_trainer_of_transformers(tmp_path: Path) -> None:
    run = tw.Run("adam", 0.1, "cosine", epochs=3)
    trainer = transformers(run, tmp_path)
    seen = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert [report["validation_loss"] for report in run.reports] == seen
    assert run.reports[0].keys() == {"validation_loss", "trained_steps"}
    trainer.evaluate()  # of what is trained: no further epoch
    assert len(run.reports) == 3

    steps: list[int] = []

    def train(run: tw.Run) -> None:
        steps.append(transformers(run, tmp_path).state.global_step)

    few = FEW | {"optimizers": ["adam"], "schedules": ["cosine"], "rates": [1e-3, 1e-2, 1e-1]}
    study = tw.compare(train, store=tmp_path / "a.db", budget="halving", **few)
    assert study.finished
    assert min(steps) == 2


@pytest.mark.parametrize("package", ["pytorch_lightning", "transformers"])
def test_a_package_that_is_missing_is_said(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pytorch_lightning", "lightning.pytorch", "transformers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # pyright: ignore[reportArgumentType]
    run = tw.Run("adam")
    with pytest.raises(WorkError, match="pip install"):
        run.lightning_callback() if package == "pytorch_lightning" else run.transformers_callback()
