"""A callback for the Trainer of transformers that reports each evaluation to a run, and stops when told."""

from __future__ import annotations

from typing import Any

from ..errors import TrainingError, WorkError
from .reports import RunEnded, reported

_TIMES = ("_runtime", "_per_second", "_time")  # of what an evaluation took, which is not how good a model is


def callback(run: Any) -> Any:
    """As `Run.transformers_callback` says."""
    try:
        from transformers import TrainerCallback
    except ImportError as error:
        raise WorkError(
            "run.transformers_callback needs transformers, which is not installed; pip install transformers."
        ) from error

    class Reports(TrainerCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
            if run.ended or not run.left:  # an evaluation of the model that is trained
                return
            values = {n: v for n, v in (metrics or {}).items() if n.startswith("eval_") and not n.endswith(_TIMES)}
            if "eval_loss" not in values:
                raise TrainingError(
                    "the evaluation has no eval_loss; give the Trainer an eval_dataset with labels for its model."
                )
            try:
                run.report(step=state.global_step, **reported(values, "eval_"))
            except RunEnded:
                control.should_training_stop = True

    return Reports()
