"""The winner, trained once more alone by its recipe: what is compared, what is said, and what cannot be run."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from thalweg.cli.result import finish
from thalweg.engine import recipe_run
from thalweg.population.block import Block
from thalweg.recipe.recipe import Recipe
from thalweg.recipe.run import RecipeRun, _power, differences
from thalweg.study.study import Study, compare, resume

from ..cases import mostly_slow

ASKED: dict[str, Any] = {
    "rates": [0.05],
    "schedules": ["cosine"],
    "seeds": 2,
    "epochs": 4,
    "confirmation": 2,
    "progress": False,
    "batch_size": 16,
}
INPUTS = torch.randn(90, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CLASSES = (INPUTS.sum(1) > 0).long()


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)).double()


def problem(**changes: Any) -> tw.Problem:
    return tw.Problem(**{"model": network, "train": (INPUTS, CLASSES), "name": "mine", **changes})


def studied(tmp_path: Path, spec: Any = "breast-cancer", optimizers: Any = ("adam",), **changes: Any) -> Study:
    return compare(spec, list(optimizers), **{**ASKED, **changes}, store=tmp_path / "study.db")


def ran(study: Study) -> RecipeRun:
    found = study.recipe_run
    assert found is not None
    return found


def test_the_winner_is_trained_alone_and_compared(tiny: Study) -> None:
    found, best = ran(tiny), tiny.verdict.best
    assert (found.optimizer, found.lr, found.schedule) == (best.optimizer, best.lr, best.schedule)
    assert (found.stage, found.seed, found.epochs, found.planned) == ("confirmation", 2, 2, 2)
    assert 0 <= found.first <= found.largest < 1e-5
    assert found.seconds > 0
    assert "trained alone in plain PyTorch" in str(found)


def test_double_precision_leaves_rounding_alone(tmp_path: Path) -> None:
    """A problem given as an object has no script that runs by itself, and is compared all the same."""
    assert ran(studied(tmp_path, problem())).largest < 1e-12


def test_a_data_loader_is_run_as_it_is(tmp_path: Path) -> None:
    loader = DataLoader(TensorDataset(INPUTS, CLASSES), batch_size=7, shuffle=True, generator=torch.Generator())
    study = studied(tmp_path, problem(train=loader, validation=(INPUTS, CLASSES)), batch_size=64)
    assert ran(study).largest < 1e-12


@pytest.mark.parametrize(
    "regularizer",
    mostly_slow(["dropout(0.2)", "early_stopping(1)", "swa", "mixup(0.2) + l2(1e-3)"], "dropout(0.2)", "swa"),
)
def test_regularizers_are_in_it(regularizer: str, tmp_path: Path) -> None:
    def deep() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2)).double()

    study = studied(tmp_path, problem(model=deep), regularizers=[regularizer], epochs=6)
    assert ran(study).largest < 1e-9


@pytest.mark.parametrize("change", ["lr=0.05, betas=(0.9, 0.98)", "SEED, EPOCHS = 3, 4"])
def test_a_recipe_that_is_wrong_shows(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = recipe_run.recipe

    def wrong(*given: Any) -> Recipe:
        made = right(*given)
        old = "lr=0.05, betas=(0.9, 0.999)" if "betas" in change else "SEED, EPOCHS = 2, 4"
        assert old in made.code
        return replace(made, code=made.code.replace(old, change))

    monkeypatch.setattr(recipe_run, "recipe", wrong)
    found = ran(studied(tmp_path))
    assert found.first > 1e-4
    assert f"{_power(found.largest)} relative" in str(found)


def test_of_a_long_run_the_first_passes_are_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_run, "STEPS", 30)  # 23 steps make a pass
    found = ran(studied(tmp_path))
    assert (found.epochs, found.planned) == (2, 4)
    assert "over the first 2 of 4 epochs of fresh seed 2" in str(found)


def test_what_a_script_cannot_write_is_said(tmp_path: Path) -> None:
    def halved(params: Any, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr / 2)

    found = ran(studied(tmp_path, optimizers=[halved]))
    assert math.isnan(found.largest)
    assert str(found).startswith("The recipe of the winner (halved, rate 0.05, cosine) was not run: halved was given")
    assert found.to_json()["largest"] is None


def test_a_script_that_fails_is_said_and_the_study_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            if broken and not torch._C._functorch.is_batchedtensor(inputs) and len(inputs) == 16:
                raise RuntimeError("no such cable")
            return super().forward(inputs)

    broken = False
    monkeypatch.setattr(recipe_run, "_check_memory", lambda _: None)
    before = recipe_run._run

    def breaks(*given: Any) -> Any:
        nonlocal broken
        broken = True
        return before(*given)

    monkeypatch.setattr(recipe_run, "_run", breaks)
    study = studied(tmp_path, problem(model=lambda: Broken(5, 2).double()))
    assert study.finished
    assert "was not run: it fails with RuntimeError (no such cable) at " in str(ran(study))


def test_validation_data_that_would_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_run, "MEMORY", 1000)
    assert "it judges all 91 validation samples at once, which would take up to 0 GiB" in str(ran(studied(tmp_path)))


@pytest.mark.slow
def test_where_every_run_diverged(tmp_path: Path) -> None:
    found = ran(studied(tmp_path, optimizers=["sgd"], rates=[1e30], epochs=1, confirmation=0))  # nor at defaults
    assert found.reason == "all its runs diverged."


def test_it_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped while the recipe runs: unfinished until `resume`, which trains nothing else."""

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe_run, "_run", stopped)
    with pytest.raises(KeyboardInterrupt, match="carry on with `thalweg resume"):
        studied(tmp_path)
    study = Study.open(tmp_path / "study.db")
    assert not study.finished
    assert study.recipe_run is None
    monkeypatch.undo()
    monkeypatch.setattr(Block, "_advance", stopped)
    assert ran(resume(study.path, progress=False)).largest < 1e-5
    assert study.finished


def test_random_state_and_threads_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    studied(tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_differences() -> None:
    expected = np.array([1.0, 2.0, 0.0, np.nan, 5.0])
    np.testing.assert_allclose(differences([1.1, 2.0, 0.0, 1.0], expected), [0.1 / 1.1, 0, 0, math.inf])


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (2.1e-6, "3e-6"), (1e-6, "1e-6"), (9.5e-7, "1e-6"), (0.3, "3e-1"), (1.2, "2e0")]
)
def test_differences_are_never_said_smaller(value: float, words: str) -> None:
    assert _power(value) == words


def test_words_where_rounding_grew() -> None:
    found = RecipeRun("adam", 0.1, "cosine", {}, "search", 0, 20, 20, 1e-7, 0.02, 17)
    assert str(found).endswith(
        "differ by at most 2e-2 relative (1e-7 after the first) over 20 epochs of seed 0, most at epoch 17: rounding, "
        "which training that is not steady makes grow."
    )
    same = replace(found, first=0.0, largest=0.0, plain=False)
    assert str(same).endswith(
        "alone in PyTorch with thalweg's optimizer, the winner (adam, rate 0.1, cosine) gives the very same losses "
        "over 20 epochs of seed 0."
    )


@pytest.mark.slow
def test_it_is_kept_and_shown(tiny: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = ran(tiny)
    again = RecipeRun.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    assert str(found).replace("'", "&#x27;") in tiny.report(tmp_path / "report.html").read_text()
    finish(tiny, None, as_json=True)
    assert json.loads(capsys.readouterr().out)["recipe_run"]["sentence"] == str(found)
    finish(tiny, None, as_json=False)
    assert f"· {found}" in " ".join(capsys.readouterr().out.split())


class Noisy(nn.Module):
    """Draws random numbers whether it trains or not."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.line(x) + 0.3 * torch.randn(len(x), 1)


def test_random_numbers_in_evaluation_are_a_warning(tmp_path: Path) -> None:
    x = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    problem = tw.Problem(model=Noisy, train=(x, x.sum(1, keepdim=True)), loss="mse", name="noisy")
    found = ran(studied(tmp_path, problem))
    assert found.scatter > 1e-3
    assert found.largest > 1e-3
    assert str(found).startswith("Warning: The recipe was run")
    assert "draws random numbers in evaluation" in str(found)
    assert RecipeRun.from_json(found.to_json()) == found


def test_what_is_more_than_rounding_after_one_pass_is_a_warning() -> None:
    usual = RecipeRun("adam", 0.1, "constant", epochs=2, planned=2, first=1e-7, largest=2e-7, at=2)
    assert not str(usual).startswith("Warning")
    assert str(replace(usual, first=0.02, largest=0.02)).startswith("Warning: ")
    assert "that no seed fixes" in str(replace(usual, first=0.02, largest=0.02))
    assert not str(replace(usual, largest=0.02)).startswith("Warning")


@pytest.mark.slow
def test_a_rule_that_goes_by_eigenvectors_may_leave_the_way_of_its_recipe(tmp_path: Path) -> None:
    """Its warning says so, and that of another rule does not."""
    soap, adam = (
        ran(compare("breast-cancer", [name], **ASKED, store=tmp_path / f"{name}.db")) for name in ("soap", "adam")
    )
    assert (soap.turned, adam.turned) == (True, False)
    assert "goes by eigenvectors" in str(replace(soap, first=0.02, largest=0.02))
    assert RecipeRun.from_json(soap.to_json()) == soap
