"""First use by a practitioner: models, data and scripts as they would be written, one entry for each that was tried.

Each trains to a verdict in a tiny study, or is refused in the sentence that docs/your-own-model.md leads to. Written
as a user writes it: no thought of batching, trees or stores.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import thalweg as tw
from thalweg.errors import PlanError, ProblemError, ThalwegError

from .cli.asked import refused, run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")]

DRAW = torch.Generator().manual_seed(0)
N = 120
A, B = torch.randn(N, 8, generator=DRAW), torch.randn(N, 4, generator=DRAW)
Y = (A[:, :1] * B[:, :1]) + 0.1 * torch.randn(N, 1, generator=DRAW)
C = (Y[:, 0] > 0).long()
TOKENS = torch.randint(1, 20, (N, 6), generator=DRAW)
IMAGES = torch.randn(N, 3, 8, 8, generator=DRAW)
QUICK: dict[str, Any] = {"optimizers": ["adam"], "rates": [1e-3, 1e-2], "schedules": ["constant"], "progress": False}
QUICK |= {"seeds": 2, "epochs": 1, "confirmation": 0, "grow": 0, "refine": 0}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(problem: Any, **asked: Any) -> tw.Study:
    study = tw.compare(problem, **QUICK | asked)
    assert study.finished
    assert study.verdict.best.optimizer
    assert study.table()["validation_loss"].notna().all()
    return study


# Models, one input


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.out = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.out(F.relu(x + self.second(x)).mean((2, 3)))


class Augmented(Dataset):
    def __len__(self) -> int:
        return N

    def __getitem__(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        return IMAGES[k].flip(-1) if torch.rand(()) < 0.5 else IMAGES[k], C[k]


class Recurrent(nn.Module):
    def __init__(self, kind: Callable[..., nn.Module] = nn.LSTM, packed: bool = False) -> None:
        super().__init__()
        self.embed, self.core, self.out = nn.Embedding(20, 8), kind(8, 8, batch_first=True), nn.Linear(8, 2)
        self.packed = packed

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x: Any = self.embed(tokens)
        if self.packed:
            lengths = (tokens > 3).sum(1).clamp(min=1).cpu()
            x = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, state = self.core(x)
        return self.out(state[-1] if self.packed else out[:, -1])


class Language(nn.Module):
    """Tied weights, dropout, scores of (batch, time, vocabulary)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.drop = nn.Embedding(20, 8), nn.Dropout(0.1)
        self.mix, self.head = nn.Linear(8, 8), nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        scores = self.head(torch.tanh(self.mix(self.drop(self.embed(tokens)))))
        if targets is None:
            return scores
        return scores, F.cross_entropy(scores.flatten(0, 1), targets.flatten())


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(8, 2), nn.ModuleList(nn.Linear(8, 2) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top, out = self.gate(x).argmax(-1), x.new_zeros(len(x), 2)
        for k, expert in enumerate(self.experts):
            mine = top == k
            if mine.any():
                out[mine] = expert(x[mine])
        return out


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from torch.utils.checkpoint import checkpoint

        return self.b(checkpoint(lambda z: torch.relu(self.a(z)), x, use_reentrant=False))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.core = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
        self.out = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.core(x[:, None])[:, 0])


class Frozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(x)))


class Autocast(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x).float()


# Several inputs, several outputs


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(4, 8)
        self.value, self.scores = nn.Linear(8, 1), nn.Linear(8, 2)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.tanh(self.first(a)) * self.second(b)
        return self.value(hidden), self.scores(hidden)


class OfPair(Two):
    def forward(self, pair: Any) -> Any:  # pyright: ignore
        return super().forward(*pair)


class OfDict(Two):
    def forward(self, batch: Any) -> Any:  # pyright: ignore
        return super().forward(batch["a"], batch["b"])


class Scores(Two):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:  # pyright: ignore
        return super().forward(a, b)[1]


def both(outputs: Any, targets: Any) -> torch.Tensor:
    return F.mse_loss(outputs[0], targets[0]) + 0.3 * F.cross_entropy(outputs[1], targets[1])


class Rows(Dataset):
    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __len__(self) -> int:
        return N

    def __getitem__(self, k: int) -> Any:
        targets = (Y[k], C[k])
        rows = {"tuple": ((A[k], B[k]), targets), "dict": ({"a": A[k], "b": B[k]}, targets)}
        rows |= {"flat": (A[k], B[k], Y[k], C[k]), "labels": {"a": A[k], "b": B[k], "labels": C[k]}}
        return rows[self.kind]


def loaded(kind: str) -> dict[str, Any]:
    return {"train": DataLoader(Rows(kind), 32, shuffle=True), "validation": DataLoader(Rows(kind), 32)}


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean, self.spread, self.decode = nn.Linear(8, 2), nn.Linear(8, 2), nn.Linear(2, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, spread = self.mean(x), self.spread(x)
        noise = torch.randn_like(mean) if self.training else 0
        return self.decode(mean + noise * (spread / 2).exp()), mean, spread


def elbo(outputs: Any, x: torch.Tensor) -> torch.Tensor:
    again, mean, spread = outputs
    return ((again - x) ** 2).sum(1) - 0.5 * (1 + spread - mean**2 - spread.exp()).sum(1)


class Graph(nn.Module):
    """Nodes and the adjacency of each graph."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, nodes: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        return self.b((adjacency @ torch.relu(self.a(adjacency @ nodes))).mean(1))


class Nodes(nn.Module):
    """One graph as a buffer, and the numbers of its nodes as inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("adjacency", torch.eye(N))
        self.register_buffer("features", A)
        self.out = nn.Linear(8, 2)

    def forward(self, index: torch.Tensor) -> torch.Tensor:
        return self.out(self.get_buffer("adjacency") @ self.get_buffer("features"))[index]


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        yield from zip(A, C, strict=True)


def linear() -> nn.Module:
    return nn.Linear(8, 2)


def line() -> nn.Module:
    return nn.Linear(8, 1)


def spectral() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)), nn.Linear(8, 2))


GRAPHS = (torch.randn(N, 5, 4, generator=DRAW), torch.eye(5).expand(N, 5, 5).clone())
LABELS = (A[:, :5] > 0).float()

PROBLEMS: dict[str, dict[str, Any]] = {
    "a residual network, augmented": {"model": Residual, "train": DataLoader(Augmented(), 32, shuffle=True)}
    | {"validation": (IMAGES, C)},
    "an LSTM": {"model": Recurrent, "train": (TOKENS[:40], C[:40])},
    "packed sequences of a GRU": {"model": lambda: Recurrent(nn.GRU, True), "train": (TOKENS[:40], C[:40])},
    "a language model": {"model": Language, "train": (TOKENS[:, :-1], TOKENS[:, 1:])},
    "forward(tokens, targets)": {"model": Language, "train": ((TOKENS[:, :-1], TOKENS[:, 1:]), TOKENS[:, 1:])}
    | {"loss": lambda outputs, targets: outputs[1]},
    "two inputs": {"model": Two, "train": ((A, B), (Y, C)), "loss": both},
    "two inputs as one tuple": {"model": OfPair, "train": ((A, B), (Y, C)), "loss": both},
    "two inputs by name": {"model": Two, "train": ({"a": A, "b": B}, (Y, C)), "loss": both},
    "a dict as one input": {"model": OfDict, "train": ({"a": A, "b": B}, (Y, C)), "loss": both},
    "a dataset of tuples": {"model": Two, "train": Rows("tuple"), "loss": both},
    "a dataset of dicts": {"model": OfDict, "train": Rows("dict"), "loss": both},
    "a flat dataset": {"model": Two, "train": Rows("flat"), "loss": both},
    "a dataset of dicts with labels": {"model": Scores, "train": Rows("labels")},
    "a loader of tuples": {"model": Two, **loaded("tuple"), "loss": both},
    "a loader of dicts": {"model": OfDict, **loaded("dict"), "loss": both},
    "a flat loader": {"model": Two, **loaded("flat"), "loss": both},
    "a loader of dicts with labels": {"model": Scores, **loaded("labels")},
    "sample weights": {"model": line, "train": (A, Y, torch.rand(N, generator=DRAW)), "loss": "mse"},
    "a VAE": {"model": Autoencoder, "train": (A, A), "loss": elbo},
    "graphs": {"model": Graph, "train": (GRAPHS, C)},
    "nodes of one graph": {"model": Nodes, "train": (torch.arange(N), C)},
    "a mixture of experts": {"model": Experts, "train": (A, C)},
    "a compiled model": {"model": lambda: torch.compile(linear()), "train": (A, C)},
    "spectral norm": {"model": spectral, "train": (A, C)},
    "checkpointing": {"model": Checkpointed, "train": (A, C)},
    "an encoder of transformers": {"model": Encoder, "train": (A, C)},
    "labels by name of the loss": {"model": lambda: nn.Linear(8, 5), "train": (A, LABELS), "loss": "bce"},
    "frozen layers": {"model": Frozen, "train": (A, C)},
    "float64": {"model": lambda: linear().double(), "train": (A.double(), C)},
    "autocast": {"model": lambda: Autocast(8, 1), "train": (A, Y), "loss": "mse"},
    "bfloat16": {"model": lambda: line().bfloat16(), "train": (A, Y), "loss": "mse"},
    "bfloat16, classes": {"model": lambda: linear().bfloat16(), "train": (A, C)},
    "an iterable dataset": {"model": linear, "train": Stream()},
    "a loader of an iterable dataset": {"model": linear, "train": DataLoader(Stream(), 32), "validation": (A, C)},
    "frames and series": {"model": line, "train": (pd.DataFrame(A.numpy()), pd.Series(Y[:, 0].numpy()))}
    | {"loss": "mse"},
    "words as labels": {"model": linear, "train": (A.numpy(), np.where(C.numpy() > 0, "cat", "dog"))},
}


@pytest.mark.share(of=3)
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_as_it_is_written(name: str) -> None:
    trained(tw.Problem(**PROBLEMS[name], name="mine"))


def test_workers_of_a_loader() -> None:
    loader = DataLoader(TensorDataset(A, C), 32, shuffle=True, num_workers=1)
    trained(tw.Problem(linear, loader, validation=(A, C), name="workers"), seeds=1, rates=[0.01])


def test_nothing_learned_is_said_on_top() -> None:
    luck = torch.randint(2, (N,), generator=DRAW)
    trained(tw.Problem(linear, (A, luck), name="luck"))
    assert "! Nothing beats guessing" in run("show", "runs/luck.db")


def test_random_numbers_in_evaluation_are_named() -> None:
    class Drawing(Autoencoder):
        def forward(self, x: torch.Tensor) -> Any:
            mean, spread = self.mean(x), self.spread(x)
            return self.decode(mean + torch.randn_like(mean) * (spread / 2).exp()), mean, spread

    study = trained(tw.Problem(Drawing, (A, A), loss=elbo, name="drawing"), confirmation=2)
    said = run("show", "runs/drawing.db")
    assert "random" in said
    assert study.table()["validation_loss"].gt(0).all()


def test_targets_that_are_no_shares_are_named() -> None:
    study = trained(tw.Problem(lambda: nn.Linear(8, 5), (A, LABELS), name="forgotten"))
    assert any("did you mean loss='bce'" in note for note in study.verdict.signs)


def test_a_metric_of_torchmetrics_changes_nothing_of_the_training() -> None:
    torchmetrics = pytest.importorskip("torchmetrics")
    problem = {"model": lambda: nn.Linear(8, 5), "train": (A, LABELS), "loss": "bce"}
    score = torchmetrics.F1Score(task="multilabel", num_labels=5)
    studies = [trained(tw.Problem(**problem, metrics=m, name="f1")) for m in ((), (score,))]
    losses = [study.table()["validation_loss"].tolist() for study in studies]
    assert losses[0] == losses[1]


def test_groups_without_decay_on_biases() -> None:
    asked = {"optimizers": ["adamw"], "groups": "no decay on biases and norms"}
    assert "biases" in " ".join(trained(tw.Problem(Residual, (IMAGES, C), name="groups"), **asked).verdict.notes)


def test_clipping_is_a_regularizer_and_the_argument_says_so() -> None:
    trained(tw.Problem(linear, (A, C), name="clip"), regularizers=["none", "clip_norm(1)"])
    with pytest.raises(ThalwegError, match=r"Clipping is a regularizer: clip_norm\(1\)"):
        tw.compare(tw.Problem(linear, (A, C), name="clip"), **QUICK, hyperparameters={"max_norm": [1.0]})


def test_any_optimizer_stands_in_the_study() -> None:
    def slow_start(params: Any, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(params, lr=lr / 10)

    asked = ["AdamW", torch.optim.LBFGS, "Muon", "schedule_free_adamw", slow_start]
    study = trained(tw.Problem(lambda: nn.Linear(8, 2, bias=False), (A, C), name="any"), optimizers=asked)
    assert {"adamw", "lbfgs", "slow_start", "schedule_free_adamw", "muon"} <= {
        entry.optimizer for entry in study.verdict.entries
    }


def test_a_name_in_another_case_is_the_same_rule() -> None:
    for same in ("AdamW", tw.optim.AdamW, torch.optim.AdamW):
        study = trained(tw.Problem(linear, (A, C), name="same"), optimizers=[same], seeds=1, rates=[0.01])
        assert study.verdict.best.optimizer == "adamw"


def test_a_table_preprocessed_and_a_sparse_one(folder: Path) -> None:
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import StandardScaler

    frame = pd.DataFrame(A.numpy(), columns=[*"abcdefgh"])
    frame["kind"] = np.where(C.numpy() > 0, "large", "small")
    frame.to_csv("rows.csv", index=False)
    trained(tw.Problem("mlp(width=8)", "rows.csv", target="kind", preprocess=StandardScaler(), name="table"))
    trained(tw.Problem(line, (csr_matrix(A.numpy()), pd.Series(Y[:, 0].numpy())), loss="mse", name="sparse"))
    assert "adam" in run("compare", "rows.csv", "--target", "kind", *COMMAND, "--optimizers", "adam")


COMMAND = ["--rates", "0.01", "--schedules", "constant", "--seeds", "2", "--epochs", "1", "--confirmation", "0"]
COMMAND += ["--grow", "0", "--refine", "0", "--quiet"]


def test_a_model_of_hugging_face_as_it_is() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = transformers.BertConfig(vocab_size=20, num_labels=2, max_position_embeddings=8, **sizes)

    class Sentences(Dataset):
        def __len__(self) -> int:
            return N

        def __getitem__(self, k: int) -> dict[str, torch.Tensor]:
            return {"input_ids": TOKENS[k], "attention_mask": torch.ones_like(TOKENS[k]), "labels": C[k]}

    trained(tw.Problem(lambda: transformers.BertForSequenceClassification(config), Sentences(), name="bert"))


def test_a_lightning_module_and_its_training_step() -> None:
    lightning = pytest.importorskip("pytorch_lightning")

    class Lit(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return F.cross_entropy(self(batch[0]), batch[1])

    study = trained(tw.Problem(Lit, TensorDataset(A, C), name="lit"))
    assert any("training_step" in note for note in study.verdict.signs)


SCRIPT = "import sys; lr = float(sys.argv[1]); print('epoch 1: val loss', 1 + (lr - 0.1) ** 2)"


def test_a_script_and_runs_made_elsewhere(folder: Path) -> None:
    (folder / "train.py").write_text(SCRIPT)
    asked = ["--rates", "0.01,0.1", "--seeds", "2", "--confirmation", "0", "--grow", "0", "--refine", "0", "--quiet"]
    assert "0.1" in run("run", f"{sys.executable} train.py {{lr}} {{seed}}", *asked)
    frame = pd.DataFrame({"params_lr": [0.1, 0.1, 0.01, 0.01], "number": range(4), "value": [1.0, 1.1, 2.0, 2.1]})
    frame.to_csv("trials.csv", index=False)
    assert "0.1" in run("rank", "trials.csv")


def test_a_study_in_a_notebook_and_in_tables(folder: Path) -> None:
    study = trained(tw.Problem(linear, (A, C), name="shown"))
    for shown in (study, study.verdict):
        assert "<" in shown._repr_html_()
        assert "object at 0x" not in repr(shown)
        assert len(repr(shown)) < 2000
    study.table().to_csv("runs.csv")
    study.table().to_parquet("runs.parquet")
    study.report("report.html")
    assert "prefers-color-scheme" in (folder / "report.html").read_text()


def test_a_plan_is_said_before_it_starts(folder: Path) -> None:
    (folder / "mine.py").write_text(FILE)
    said = run("compare", "mine.py:problem", *COMMAND[:-1], "--dry-run")
    assert re.search(r"search: \d+ settings", said)
    assert "memory" in said
    assert not (folder / "runs").exists()


FILE = """import torch, thalweg as tw
def problem():
    x = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    return tw.Problem(lambda: torch.nn.Linear(8, 2), (x, (x[:, 0] > 0).long()), name="mine")
def boom():
    return 1 / 0
"""


def test_a_study_is_extended_and_has_a_verdict_that_grows(folder: Path) -> None:
    (folder / "mine.py").write_text(FILE)
    run("compare", "mine.py:problem", *COMMAND, "--optimizers", "adam", "--store", "mine.db")
    assert "over 3 fresh seeds" in " ".join(run("extend", "mine.db", "--seeds", "3", "--quiet").split())
    assert "already holds another study" in refused(
        "compare", "mine.py:problem", *COMMAND, "--store", "mine.db", status=1
    )


def test_what_cannot_be_written_is_said_before_training(folder: Path) -> None:
    (folder / "mine.py").write_text(FILE)
    (folder / "taken").write_text("")
    said = run("compare", "mine.py:problem", *COMMAND, "--report", "taken/report.html", status=2)
    assert "report.html" in said
    assert not (folder / "runs").exists()


def test_an_error_of_the_users_own_has_its_line(folder: Path) -> None:
    (folder / "mine.py").write_text(FILE)
    assert "ZeroDivisionError (division by zero)" in (said := refused("compare", "mine.py:boom", *COMMAND))
    assert "mine.py, line 6" in said


def test_a_target_of_one_axis_is_refused_with_the_shape_to_give() -> None:
    with pytest.raises(ProblemError, match=r"reshape the targets to \(samples, 1\)"):
        trained(tw.Problem(line, (A, Y[:, 0]), loss="mse", name="axis"))


def test_a_tool_is_no_file_to_export_to(folder: Path) -> None:
    study = trained(tw.Problem(linear, (A, C), name="place"))
    with pytest.raises(PlanError, match="wandb is told of a study while it runs"):
        study.export("wandb:")
    assert not (folder / "wandb:").exists()
