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
    ],
)
def test_problems_of_a_file_stand_in_their_recipes(more: str, imported: str, tmp_path: Path) -> None:
    text = PLAIN.replace("{more}", more)
    if imported != "import thalweg as tw":
        text = text.replace("import thalweg as tw", imported).replace("tw.Problem", "Problem")
        text = text.replace('    return tw.losses.get("mse")', "    return 0")
    (tmp_path / "own.py").write_text(text)
    study = tw.compare(f"{tmp_path / 'own.py'}:mine", ["adam"], store=tmp_path / "a.db", **FEW)
    code = study.recipe().code
    assert "# Scores of three classes.\ndef network():" in code
    assert "unused" not in code
    assert "SIZE = 5  # of an input" in code
    np.testing.assert_allclose(alone(code), member(study), rtol=1e-12)


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
        ("train=(inputs, targets)", "train={'x': inputs, 'labels': targets}, loss=lambda o, t: o['x']"),
        ("train=(inputs, targets)", "train=(inputs, targets), loss='cross_entropy(label_smoothing=0.1)'"),
        ("train=(inputs, targets)", "train=(inputs, targets), groups=np.arange(90) // 3"),
        ("    draw = np", "    from thalweg import losses\n    draw = np"),
    ],
)
def test_what_cannot_stand_alone_asks_thalweg(before: str, after: str, tmp_path: Path) -> None:
    text = PLAIN.replace("{more}", "").replace(before, after)
    if "labels" in after:
        text = text.replace("loss=lambda o, t: o['x']", "loss='cross_entropy'")
        text = text.replace("model=network", "model=Named").replace(
            "def unused",
            "class Named(nn.Linear):\n    def __init__(self):\n        super().__init__(SIZE, 3)\n"
            "    def forward(self, x):\n        return super().forward(x)\n\n\ndef unused",
        )
    (tmp_path / "own.py").write_text(text)
    study = tw.compare(f"{tmp_path / 'own.py'}:mine", ["adam"], store=tmp_path / "a.db", **FEW)
    assert "problem = tw.prepare(" in study.recipe().code


def test_a_file_that_never_ran_here_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.py"
    file.write_text(PLAIN.replace("{more}", ""))
    study = tw.compare(f"{file}:mine", ["adam"], store=tmp_path / "a.db", **FEW)
    assert "tw.prepare(" not in study.recipe().code
    file.write_text(file.read_text() + "\nprint('another')\n")
    assert "another" not in study.recipe().code
    assert "tw.prepare(" in study.recipe().code
