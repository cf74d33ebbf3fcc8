"""Weights & Biases: a group for the study, and in it a run for the whole and one for each confirmed setting."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .base import check_installed

if TYPE_CHECKING:
    import wandb

STEP = "step"  # of optimization, along which curves are drawn


@dataclass(frozen=True)
class WandB:
    """Runs in Weights & Biases, for `compare(callbacks=…)`: a group with one for the study, and one for each
    confirmed setting.

    Settings are the config, curves are drawn over steps, and means over seeds are the summary; the run of the study has
    the verdict as its notes, and the ranking and all runs as tables.

    Args:
        project: or ``"team/project"``.
        mode: "online", "offline" or "disabled"; as wandb is set (WANDB_MODE) unless given. ``wandb sync`` sends later
            what was written offline.
        folder: for wandb's files; ``wandb/`` here unless given.

    Raises:
        WorkError: the package wandb is missing.

    >>> WandB("digits", mode="offline")
    WandB(project='digits', mode='offline')
    """

    project: str = "thalweg"
    mode: str = ""
    folder: str = ""

    def __post_init__(self) -> None:
        check_installed("wandb", "logging to Weights & Biases", "wandb")

    def __repr__(self) -> str:
        """Without what is as wandb is set."""
        given = {name: value for name, value in vars(self).items() if value}
        return f"WandB({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def run(self, study: str, key: str, name: str | None, config: Mapping[str, Any]) -> _Run:
        import wandb

        entity, _, project = self.project.rpartition("/")
        if self.folder:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            entity=entity or None,
            project=project,
            group=f"{study}-{key[:6]}",
            job_type="study" if name is None else "setting",
            name=name or study,
            id=hashlib.sha256(f"{key} {name}".encode()).hexdigest()[:16],
            resume=None if self.mode == "offline" else "allow",
            mode=self.mode or None,  # pyright: ignore[reportArgumentType]
            dir=self.folder or None,
            config=dict(config),
            reinit="create_new",  # many runs of one process at once
            settings=wandb.Settings(console="off", silent=True),
        )
        run.define_metric(STEP, hidden=True)
        run.define_metric("*", step_metric=STEP)
        return _Run(run)


@dataclass(frozen=True)
class _Run:
    run: wandb.Run

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        if values:
            self.run.log({STEP: step, **values})

    def summary(self, values: Mapping[str, Any]) -> None:
        self.run.summary.update(dict(values))

    def table(self, name: str, rows: pd.DataFrame) -> None:
        import wandb

        words = rows.astype(object).where(rows.notna(), None)
        data = [[_plain(value) for value in row] for row in words.to_numpy(object).tolist()]
        self.run.log({name: wandb.Table(columns=[*rows.columns], data=data, allow_mixed_types=True)})

    def text(self, name: str, words: str) -> None:
        self.run.notes = words
        self.run.summary[name] = words

    def close(self, finished: bool) -> None:
        self.run.finish(exit_code=0 if finished else 255)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
