"""A callback for Lightning's Trainer that reports to a run after each epoch with a validation, and stops when told."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from ..errors import TrainingError, WorkError
from .reports import RunEnded, reported

PACKAGES = ("lightning.pytorch", "pytorch_lightning")  # of which a Trainer wants its own kind of callback


def callback(run: Any, monitor: str = "val_loss") -> Any:
    """As `Run.lightning_callback` says."""
    imported = [name for name in PACKAGES if name in sys.modules]
    try:
        base: Any = importlib.import_module(imported[0] if imported else PACKAGES[-1]).Callback
    except ImportError as error:
        raise WorkError(
            "run.lightning_callback needs Lightning, which is not installed; pip install pytorch-lightning."
        ) from error

    class Reports(base):
        validated = False

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            self.validated = not trainer.sanity_checking

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if not self.validated:
                return
            self.validated = False
            logged = dict(trainer.callback_metrics)
            if monitor not in logged:
                names = ", ".join(logged) or "nothing"
                raise TrainingError(
                    f"the module logs {names} and not {monitor}; self.log({monitor!r}, …) in its validation_step, or "
                    "name what judges, run.lightning_callback(monitor=…)."
                )
            others = {name: value for name, value in logged.items() if name.startswith(("val_", "train_"))}
            values = reported(others, "val_") | {"validation_loss": logged[monitor]}
            try:
                run.report(step=trainer.global_step, **values)
            except RunEnded:
                trainer.should_stop = True

    return Reports()
