"""Inside the Trainer of transformers the optimizers do what torch.optim's do; models are made from a configuration."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainingArguments,
    set_seed,
)

import thalweg as tw

from .models import close, weights

STEPS, RELATIVE = 12, 1e-9
RULES: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.3, "momentum": 0.9},
    "RMSprop": {"lr": 0.003},
    "Adam": {"lr": 0.01},
    "AdamW": {"lr": 0.01},
    "RAdam": {"lr": 0.1},
    "Adamax": {"lr": 0.01},
}
rules = pytest.mark.parametrize("name", RULES)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The Trainer collects garbage before each run: among its own objects, not among all of the suite's."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Offline, and on one thread: a model this small gains nothing from a second."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# In float64, because attention's key biases have no gradient but rounding, which Adam would magnify.
def bert(dtype: torch.dtype = torch.float64) -> nn.Module:
    """A classifier of two layers, with dropout, whose weights are the same each time."""
    set_seed(7)
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=12,
        num_labels=3,
    )
    return BertForSequenceClassification(config).to(dtype)


def gpt() -> nn.Module:
    """A language model of two layers; its output weights are its embedding."""
    set_seed(7)
    config = GPT2Config(vocab_size=40, n_positions=12, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config).double()


def sentences(model: nn.Module) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(40, (48, 10), generator=generator)
    classes = words[:, 0] % 3
    labels = words if isinstance(model, GPT2LMHeadModel) else classes
    return [{"input_ids": w, "labels": y} for w, y in zip(words, labels, strict=True)]


def trainer(model: nn.Module, folder: Path, more: dict[str, Any] | None = None, **arguments: Any) -> Trainer:
    settings: dict[str, Any] = {
        "max_steps": STEPS,
        "per_device_train_batch_size": 8,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_strategy": "no",
        "save_strategy": "no",
        "dataloader_pin_memory": False,
        "seed": 3,
        **arguments,
    }
    return Trainer(model, TrainingArguments(str(folder), **settings), train_dataset=sentences(model), **(more or {}))


def trained(
    folder: Path,
    kind: Any,
    model: nn.Module | None = None,
    resume: Path | None = None,
    arguments: dict[str, Any] | None = None,
    **settings: Any,
) -> Trainer:
    """A Trainer that has made an optimizer of that class, and trained with it."""
    model = model or bert()
    before = weights(model)
    done = trainer(model, folder, {"optimizer_cls_and_kwargs": (kind, arguments or {})}, **settings)
    done.train(resume_from_checkpoint=str(resume) if resume else None)
    assert not close(weights(model), before, 1e-3), "nothing was trained"
    return done


def ends(*done: Trainer) -> list[torch.Tensor]:
    return [weights(t.model) for t in done]


@rules
def test_an_optimizer_and_its_scheduler(name: str, tmp_path: Path) -> None:
    done = []
    for kinds in (tw.optim, torch.optim):
        model = bert()
        optimizer = getattr(kinds, name)(model.parameters(), **RULES[name])
        scheduler = lr_scheduler.OneCycleLR(optimizer, 2 * RULES[name]["lr"], total_steps=STEPS)
        made = trainer(model, tmp_path, {"optimizers": (optimizer, scheduler)})
        made.train()
        assert scheduler.last_epoch == STEPS
        done.append(made)
    assert close(*ends(*done), relative=RELATIVE)
    assert not close(ends(done[0])[0], weights(bert()), 1e-2)


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_decay": 0.1, "max_grad_norm": 0.2, "lr_scheduler_type": "cosine", "warmup_steps": 3},
        {"gradient_accumulation_steps": 2, "max_grad_norm": 0.0},
        {"bf16": True},
    ],
    ids=str,
)
def test_a_class_and_its_arguments(settings: dict[str, Any], tmp_path: Path) -> None:
    """The Trainer makes two groups, of which only one decays."""
    dtype = torch.float32 if "bf16" in settings else torch.float64
    ours, theirs = (
        trained(tmp_path, k.AdamW, bert(dtype), arguments={"betas": (0.8, 0.99), "lr": 0.01}, **settings)
        for k in (tw.optim, torch.optim)
    )
    assert close(*ends(ours, theirs), relative=RELATIVE if dtype == torch.float64 else 1e-2)
    decays = [group["weight_decay"] for group in ours.optimizer.param_groups]
    assert decays == [settings.get("weight_decay", 0.0), 0.0]


def test_a_language_model_with_shared_weights(tmp_path: Path) -> None:
    ours, theirs = (trained(tmp_path, k.AdamW, gpt(), max_grad_norm=0.5) for k in (tw.optim, torch.optim))
    assert close(*ends(ours, theirs), relative=RELATIVE)


def test_the_norm_and_the_average_within_the_step(tmp_path: Path) -> None:
    whole = {"lr": 0.01, "max_norm": 0.2, "ema_decay": 0.5, "zero_grad": True}
    ours = trained(tmp_path, tw.optim.AdamW, arguments=whole, max_grad_norm=0.0)
    theirs = trained(tmp_path, torch.optim.AdamW, arguments={"lr": 0.01}, max_grad_norm=0.2)
    free = trained(tmp_path, torch.optim.AdamW, arguments={"lr": 0.01}, max_grad_norm=0.0)
    assert close(*ends(ours, theirs), relative=RELATIVE)
    assert not close(*ends(free, theirs), relative=1e-3), "nothing was clipped"
    optimizer: Any = getattr(ours.optimizer, "optimizer", ours.optimizer)
    optimizer.swap_ema()
    assert not close(*ends(ours, theirs), relative=1e-3)


@rules
@pytest.mark.parametrize("begun_with", ["ours", "torch's"])
def test_going_on_from_a_checkpoint_ends_where_the_whole_run_does(name: str, begun_with: str, tmp_path: Path) -> None:
    ours, theirs = getattr(tw.optim, name), getattr(torch.optim, name)
    settings: dict[str, Any] = {"weight_decay": 0.1, "save_strategy": "steps", "save_steps": 5}
    first = ours if begun_with == "ours" else theirs
    whole = trained(tmp_path, first, arguments=RULES[name], **settings)
    assert (tmp_path / "checkpoint-5" / "optimizer.pt").exists()
    again = trained(tmp_path / "again", ours, None, tmp_path / "checkpoint-5", RULES[name], weight_decay=0.1)
    assert again.state.global_step == STEPS
    if begun_with == "ours":
        assert torch.equal(*ends(again, whole))
    assert close(*ends(again, whole), relative=RELATIVE)


def test_a_checkpoint_has_the_average(tmp_path: Path) -> None:
    arguments = {"lr": 0.01, "ema_decay": 0.9}
    whole = trained(tmp_path, tw.optim.Adam, arguments=arguments, save_strategy="steps", save_steps=5)
    again = trained(tmp_path / "again", tw.optim.Adam, resume=tmp_path / "checkpoint-5", arguments=arguments)
    a, b = (getattr(t.optimizer, "optimizer", t.optimizer).ema_parameters() for t in (again, whole))
    assert all(map(torch.equal, a, b))
    assert not close(torch.cat([x.flatten().double() for x in a]), weights(whole.model), 1e-3)


def test_a_rule_of_ones_own(tmp_path: Path) -> None:
    done = [trained(tmp_path, kind, arguments={"lr": 0.05}) for kind in (tw.optim.from_formula("sgd"), torch.optim.SGD)]
    assert close(*ends(*done), relative=RELATIVE)
