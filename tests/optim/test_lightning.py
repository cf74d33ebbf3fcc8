"""Inside Lightning's Trainer the optimizers do what torch.optim's do, and spare it some of its callbacks."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw

from .models import INPUTS, TARGETS, close, network, weights

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers which may be a bottleneck"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
]
Make = Callable[[Any], torch.optim.Optimizer]
NAMES = ["SGD", "RMSprop", "Adam", "AdamW", "NAdam", "Adagrad"]
RATE = {"SGD": {"lr": 0.05, "momentum": 0.9, "nesterov": True}, "RMSprop": {"lr": 1e-2, "momentum": 0.5}}


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Without Lightning's remarks on the hardware, and on one thread: the model is too small for two."""
    logger = logging.getLogger("pytorch_lightning")
    level, threads = logger.level, torch.get_num_threads()
    logger.setLevel(logging.ERROR)
    torch.set_num_threads(1)
    yield
    logger.setLevel(level)
    torch.set_num_threads(threads)


class Module(lightning.LightningModule):
    """The tests' network, with whatever optimizer, a rate that changes in each step, and the losses it saw."""

    def __init__(self, make: Make, average: float | None = None) -> None:
        super().__init__()
        self.net, self.make, self.average, self.losses = network(torch.float32), make, average, []
        self.averages = [p.detach().clone() for p in self.net.parameters()]

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        x, y = batch
        loss = (self.net(x) - y).square().mean()
        self.losses.append(loss.item())
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        for a, p in zip(self.averages, self.net.parameters(), strict=True):
            a.lerp_(p.detach().to(a.dtype), 1 - (self.average or 0.0))

    def configure_optimizers(self) -> Any:
        optimizer = self.make(self.net.parameters())
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


def batches() -> DataLoader:
    return DataLoader(TensorDataset(INPUTS.float(), TARGETS.float()), batch_size=8)


def trainer(epochs: int = 3, **options: Any) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **options,
    )


def fitted(make: Make, epochs: int = 3, checkpoint: Path | None = None, **options: Any) -> Module:
    """A module after training, from a checkpoint if there is one."""
    average = options.pop("average", None)
    module = Module(make, average)
    trainer(epochs, **options).fit(module, batches(), ckpt_path=checkpoint, weights_only=True)
    assert not close(weights(module.net), weights(network(torch.float32)), 1e-3), "nothing was trained"
    return module


def makers(name: str) -> tuple[Make, Make]:
    """Ours and torch's."""
    arguments = RATE.get(name, {"lr": 0.02})
    ours, theirs = getattr(tw.optim, name), getattr(torch.optim, name)
    return (lambda p: ours(p, **arguments)), (lambda p: theirs(p, **arguments))


def same(ours: Module, theirs: Module, relative: float = 1e-5) -> None:
    assert close(weights(ours.net), weights(theirs.net), relative)
    assert ours.losses == pytest.approx(theirs.losses, rel=10 * relative)


@pytest.mark.parametrize("name", NAMES)
def test_automatic_optimization(name: str) -> None:
    same(*(fitted(make, gradient_clip_val=0.2) for make in makers(name)))


@pytest.mark.parametrize(
    "options",
    [
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
        {"accumulate_grad_batches": 2},
        {"precision": "64-true"},
    ],
    ids=str,
)
def test_options_of_the_trainer(options: dict[str, Any]) -> None:
    same(*(fitted(make, **options) for make in makers("AdamW")))


def test_mixed_precision() -> None:
    ours, theirs = (fitted(make, precision="bf16-mixed", gradient_clip_val=0.2) for make in makers("AdamW"))
    same(ours, theirs, 1e-3)
    assert ours.losses != fitted(makers("AdamW")[0], gradient_clip_val=0.2).losses, "nothing was in bfloat16"


def scaled(make: Make, **options: Any) -> Module:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=1)
    module = fitted(make, plugins=[MixedPrecision("16-mixed", "cpu", scaler)], **options)
    assert scaler.get_scale() < 2.0 ** (12 + len(module.losses)), "no gradient overflowed"
    return module


def test_a_scaled_loss_and_the_norm_within_the_step() -> None:
    separate = scaled(makers("AdamW")[1], gradient_clip_val=0.2)
    same(scaled(makers("AdamW")[0], gradient_clip_val=0.2), separate, 2e-3)
    whole = scaled(lambda p: tw.optim.AdamW(p, lr=0.02, max_norm=0.2, zero_grad=True))
    same(whole, separate, 2e-3)


def test_the_whole_step_replaces_clipping_and_a_callback_for_the_average() -> None:
    theirs = fitted(makers("AdamW")[1], gradient_clip_val=0.2, average=0.9)
    ours = fitted(lambda p: tw.optim.AdamW(p, lr=0.02, max_norm=0.2, ema_decay=0.9, zero_grad=True))
    same(ours, theirs)
    optimizer: Any = ours.optimizers(use_pl_optimizer=False)
    for a, b in zip(optimizer.ema_parameters(), theirs.averages, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)
    trained = weights(ours.net)
    optimizer.swap_ema()
    assert not close(weights(ours.net), trained, 1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("begun_with", ["ours", "torch's"])
def test_a_checkpoint_goes_on_as_if_never_stopped(name: str, begun_with: str, tmp_path: Path) -> None:
    ours, theirs = makers(name)
    first = ours if begun_with == "ours" else theirs
    fitted(first, 2).trainer.save_checkpoint(tmp_path / "two.ckpt")
    again = fitted(ours, 4, tmp_path / "two.ckpt")
    assert len(again.losses) == 10, "two of the four epochs"
    whole = fitted(ours, 4)
    assert again.losses == (whole.losses[10:] if begun_with == "ours" else pytest.approx(whole.losses[10:], rel=1e-4))
    assert close(weights(again.net), weights(whole.net), 1e-9 if begun_with == "ours" else 1e-5)


def test_a_checkpoint_has_the_average(tmp_path: Path) -> None:
    def make(p: Any) -> torch.optim.Optimizer:
        return tw.optim.Adam(p, lr=0.02, ema_decay=0.9)

    fitted(make, 2).trainer.save_checkpoint(tmp_path / "two.ckpt")
    again, whole = fitted(make, 4, tmp_path / "two.ckpt"), fitted(make, 4)
    averages = [m.optimizers(use_pl_optimizer=False).ema_parameters() for m in (again, whole)]
    assert all(map(torch.equal, *averages))


def test_rules_that_need_the_closure_get_it() -> None:
    """Lightning gives each step a closure: it returns the loss, and may be called at other weights."""
    halving = tw.optim.from_formula("halving")
    module = fitted(lambda p: halving(p, lr=0.4))
    optimizer: Any = module.optimizers(use_pl_optimizer=False)
    falls = sum(b < a for a, b in itertools.pairwise(module.losses))
    assert {float(s["scale"].flatten()[0]) for s in optimizer.state.values()} == {0.5**falls}

    ahead = tw.optim.from_formula(tw.formulas.get("nesterov(lookahead=True)"))
    shifted = tw.optim.from_formula(tw.formulas.get("nesterov(change_of_variables=True)"))
    a, b = (fitted(lambda p, kind=kind: kind(p, lr=0.05)) for kind in (ahead, shifted))
    assert a.losses[:2] == pytest.approx(b.losses[:2], rel=1e-5)
    assert a.losses[2:] == pytest.approx(b.losses[2:], rel=1e-2), "the same path, at a rate that changes slowly"


class TwoPlayers(lightning.LightningModule):
    """Manual optimization: the two layers take turns, each with an optimizer of its own."""

    def __init__(self, kinds: Any) -> None:
        super().__init__()
        self.net, self.kinds, self.automatic_optimization = network(torch.float32), kinds, False

    def configure_optimizers(self) -> Any:
        return [
            self.kinds.AdamW(self.net[0].parameters(), lr=0.02),
            self.kinds.SGD(self.net[2].parameters(), lr=0.1, momentum=0.9),
        ]

    def training_step(self, batch: Any, _: int) -> None:
        x, y = batch
        for optimizer in self.optimizers():
            with optimizer.toggle_model():
                loss = (self.net(x) - y).square().mean()
                optimizer.zero_grad()
                self.manual_backward(loss)
                self.clip_gradients(optimizer, gradient_clip_val=0.3, gradient_clip_algorithm="norm")
                optimizer.step()


def test_manual_optimization() -> None:
    ends = []
    for kinds in (tw.optim, torch.optim):
        module = TwoPlayers(kinds)
        trainer().fit(module, batches())
        ends.append(weights(module.net))
    assert close(*ends, relative=1e-5)
    assert not close(ends[1], weights(network(torch.float32)), 1e-2)
