"""Recipes that hold their model and data: they import nothing of thalweg, and follow the very path of the member."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from thalweg.problem.builtin import PROBLEMS

from ..cases import mostly_slow

FEW: dict[str, Any] = {"rates": [0.01], "schedules": ["constant"], "seeds": 1, "epochs": 2, "confirmation": 0}
FEW |= {"progress": False, "grow": 0, "refine": 0}
PLAIN = '''
"""A problem of the user's own."""

import numpy as np
import thalweg as tw
from torch import nn

SIZE = 5  # of an input


# Scores of three classes.
def network():
    return nn.Sequential(nn.Linear(SIZE, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def unused():
    return tw.losses.get("mse")


def mine():
    draw = np.random.default_rng(1)
    inputs = draw.normal(size=(90, SIZE)).astype("float32")
    targets = (inputs @ draw.normal(size=(SIZE, 3))).argmax(1).astype("int16")
    return tw.Problem(model=network, train=(inputs, targets){more})


if __name__ == "__main__":
    print(unused())
'''


def alone(code: str) -> list[float]:
    """What the script prints, where thalweg cannot be imported."""
    assert "thalweg" not in code
    lines: list[str] = []
    exec(compile(code.replace(":.6f}", ":.17g}"), "recipe", "exec"), {"print": lines.append})
    return [float(line.split()[-1]) for line in lines]


def member(study: tw.Study) -> np.ndarray:
    """The losses of the member that the recipe repeats."""
    table, curves = study.table(), study.curves()
    (number,) = table.loc[(table["seed"] == 0) & (table["stage"] == "search"), "member"]
    mine = (curves["member"] == number) & (curves["metric"] == "validation_loss")
    return curves[mine].sort_values("step")["value"].to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_slow([*PROBLEMS], "digits", "wave"))
def test_built_in_problems_stand_in_their_recipes(name: str, tmp_path: Path) -> None:
    study = tw.compare(name, ["momentum"], store=tmp_path / "a.db", **FEW)
    np.testing.assert_allclose(alone(study.recipe().code), member(study), rtol=1e-4)


@pytest.mark.parametrize(
    ("more", "imported"),
    [
        ("", "import thalweg as tw"),
        (", seed=3", "import thalweg as tw"),
        (", test=(inputs[:9], targets[:9])", "import thalweg as tw"),
        (", validation=(inputs[:9], targets[:9])", "import thalweg as tw"),
        (", validation=(inputs, targets), test=(inputs, targets)", "import thalweg as tw"),
        (", seed=3", "from thalweg import Problem"),
        (", seed=3", "import os, thalweg as tw"),
    ],
)
def test_problems_of_a_file_stand_in_their_recipes(more: str, imported: str, tmp_path: Path) -> None:
    text = PLAIN.replace("{more}", more)
    text = text.replace("import thalweg as tw", imported)
    if imported.startswith("from"):
        text = text.replace("tw.Problem", "Problem")
        text = text.replace('    return tw.losses.get("mse")', "    return 0")
    (tmp_path / "own.py").write_text(text)
    study = tw.compare(f"{tmp_path / 'own.py'}:mine", ["adam"], store=tmp_path / "a.db", **FEW)
    code = study.recipe().code
    assert "# Scores of three classes.\ndef network():" in code
    assert "unused" not in code
    assert "SIZE = 5  # of an input" in code
    np.testing.assert_allclose(alone(code), member(study), rtol=1e-12)


@pytest.mark.slow
def test_after_a_cross_validation(tmp_path: Path) -> None:
    """A script trains on all samples but those of the test part; a table of the very same rows says the same."""
    for more in ("", ", validation=(inputs[:9], targets[:9])"):
        file = tmp_path / f"own{len(more)}.py"
        file.write_text(PLAIN.replace("{more}", more))
        asked = FEW | {"confirmation": 2, "folds": 3}
        study = tw.compare(f"{file}:mine", ["adam"], store=file.with_suffix(".db"), **asked)
        run = study.recipe_run
        assert run is not None
        scope: dict[str, Any] = {"print": lambda *_: None}
        exec(study.recipe().code, scope)
        ready = tw.prepare(f"{file}:mine")
        for made, given in zip(scope["problem"].pool, ready.pool, strict=True):
            assert made.dtype == given.dtype
            assert (made == given).all()


@pytest.mark.parametrize("folder", ["beside", "absent"])
def test_what_the_file_reads_and_does(folder: str, tmp_path: Path) -> None:
    """Neighbours, files beside it, and what it does when it is run."""
    text = PLAIN.replace("{more}", "").replace("SIZE = 5", "SIZE = int(Path(__file__).with_name('size').read_text())")
    text = text.replace(
        "from torch import nn\n", "from torch import nn\nfrom pathlib import Path\nfrom parts import tanh\n"
    )
    text = text.replace("nn.Tanh()", "tanh()").replace("# Scores", "np.seterr(divide='ignore')\n\n\n# Scores")
    (tmp_path / "own.py").write_text(text)
    (tmp_path / "parts.py").write_text("from torch.nn import Tanh as tanh\n")
    (tmp_path / "size").write_text("5")
    study = tw.compare(f"{tmp_path / 'own.py'}:mine", ["adam"], store=tmp_path / "a.db", **FEW)
    code = study.recipe().code
    assert "np.seterr(divide='ignore')" in code
    np.testing.assert_allclose(alone(code), member(study), rtol=1e-12)
    if folder == "absent":
        (tmp_path / "own.py").unlink()
        assert "tw.prepare(" in study.recipe().code


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("nn.Tanh()", "tw.optim and nn.Tanh()"),
        ("SIZE = 5", "model = tw\nSIZE = 5 + 0 * len(str(model))"),
        ("train=(inputs, targets)", "train=(inputs, targets), loss=rows"),
        ("train=(inputs, targets)", "train=(inputs, targets), validation={'input': inputs, 'y': targets}"),
        ("    draw = np", "    from thalweg import losses\n    draw = np"),
    ],
)
def test_what_cannot_stand_alone_asks_thalweg(before: str, after: str, tmp_path: Path) -> None:
    text = PLAIN.replace("{more}", "").replace(before, after)
    if "loss=rows" in after:  # a name that the script has too, and that is looked up later
        text += "\n\ndef rows(outputs, targets):\n    return rows and nn.functional.cross_entropy(outputs, targets)\n"
    (tmp_path / "own.py").write_text(text)
    study = tw.compare(f"{tmp_path / 'own.py'}:mine", ["adam"], store=tmp_path / "a.db", **FEW)
    assert "problem = tw.prepare(" in study.recipe().code


TREES = """
from dataclasses import dataclass

import torch
import thalweg as tw
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

draw = torch.Generator().manual_seed(0)
A, B = (torch.randn(60, n, generator=draw, dtype=torch.float64) for n in (4, 2))
KIND, WEIGHT = torch.arange(60) % 2, torch.rand(60, generator=draw)
VALUE = (A[:, :2] * B).sum(1, keepdim=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(2, 3)
        self.value, self.scores = nn.Linear(3, 1), nn.Linear(3, 2)
        self.double()

    def hidden(self, a, b):
        return torch.tanh(self.a(a)) * self.b(b)

    def forward(self, a, b):
        return self.scores(self.hidden(a, b))


class Both(Net):
    def forward(self, a, b):
        hidden = self.hidden(a, b)
        return self.value(hidden), self.scores(hidden)


class Named(Net):
    def forward(self, a, b):
        return {"logits": super().forward(a, b)}


class Words(Net):
    def forward(self, a, b):
        return super().forward(a, b)[:, None].expand(-1, 5, -1)


@dataclass
class Parts:
    first: torch.Tensor
    second: torch.Tensor


class Object(Net):
    def forward(self, parts):
        return super().forward(parts.first, parts.second)


class Rows(Dataset):
    def __init__(self, row):
        self.row = row

    def __len__(self):
        return 60

    def __getitem__(self, k):
        return self.row(k)


def both(outputs, targets):
    return F.mse_loss(outputs[0], targets[0], reduction="none").mean(1) + F.cross_entropy(
        outputs[1], targets[1], reduction="none"
    )


def loss(model, batch):
    return F.cross_entropy(model(batch["a"], batch["b"]), batch["labels"], reduction="none")


def row(k):
    return {"a": A[k].numpy(), "b": B[k], "labels": int(KIND[k])}


def flat(k):
    return A[k], B[k], VALUE[k], KIND[k]


def loader(make, **more):
    return DataLoader(Rows(make), 16, **more)


def one():
    return nn.Linear(4, 1).double()


def mine():
    return tw.Problem({problem})
"""
FORMS = {
    "several inputs": "Net, ((A.numpy(), B), KIND)",
    "weights": "Net, ((A, B), KIND, WEIGHT)",
    "weights of a loss of one's own": "Both, ((A, B), (VALUE, KIND), WEIGHT), loss=both",
    "flat": "Both, (A, B, VALUE, KIND), loss=both",
    "a dataclass": "Object, (Parts(A, B), KIND), seed=3",
    "by name, and a dict of outputs": "Named, {'a': A, 'b': B, 'labels': KIND}",
    "a dataset of dicts": "Net, Rows(row), Rows(row)",
    "a loader of dicts": "Net, loader(row, shuffle=True), loader(row), loader(row)",
    "a loader of pairs, whose validation part is cut": "one, DataLoader(TensorDataset(A, VALUE), 16), "
    "(A, VALUE), loss='huber(delta=0.5)'",
    "a loader of flat samples": "Both, loader(flat, generator=torch.Generator()), Rows(flat), Rows(flat), loss=both",
    "a loss of the model": "Net, {'a': A, 'b': B, 'labels': KIND}, loss=loss",
    "no targets": "one, A, loss=lambda model, batch: model(batch).square().mean()",
    "yes and no as whole numbers": "one, (A, KIND[:, None]), loss='bce(pos_weight=3)'",
    "words": "Words, ((A, B), KIND[:, None].expand(-1, 5)), loss='cross_entropy(label_smoothing=0.1)'",
    "groups": "Net, ((A, B), KIND), groups=torch.arange(60) // 4",
    "groups of pairs": "one, (A, VALUE), loss='l1', groups=[k // 4 for k in range(60)]",
}


@pytest.mark.share(of=3)
@pytest.mark.parametrize("form", mostly_slow([*FORMS], "flat", "a loader of dicts"))
def test_trees_stand_in_their_recipes(form: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(TREES.replace("{problem}", FORMS[form]))
    study = tw.compare(f"{tmp_path / 'own.py'}:mine", ["adam"], store=tmp_path / "a.db", **FEW)
    run = study.recipe_run
    assert run is not None
    assert run.largest < 1e-9, run
    np.testing.assert_allclose(alone(study.recipe().code), member(study), rtol=1e-9)


@pytest.mark.slow
def test_a_file_that_never_ran_here_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.py"
    file.write_text(PLAIN.replace("{more}", ""))
    study = tw.compare(f"{file}:mine", ["adam"], store=tmp_path / "a.db", **FEW)
    assert "tw.prepare(" not in study.recipe().code
    file.write_text(file.read_text() + "\nprint('another')\n")
    assert "another" not in study.recipe().code
    assert "tw.prepare(" in study.recipe().code
