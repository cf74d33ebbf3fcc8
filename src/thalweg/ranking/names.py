"""What columns are called in tables of runs, by scripts and in the exports of Optuna, W&B, MLflow and Ray Tune.

`Name.of` takes a column's name apart: where it belongs by its prefix, and what is left, in lower case with one
underscore for whatever else parts words. What a column holds is then guessed by tiers of names: one that fits an
earlier tier is better than any that fits a later one. Read next: `columns.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PARAMETER, METRIC, ATTRIBUTE, PLAIN = "parameter", "metric", "attribute", "plain"
_PREFIXES = {
    PARAMETER: ("params", "param", "config", "hparams", "hyperparameters"),
    METRIC: ("metrics", "metric", "summary"),
    ATTRIBUTE: ("user_attrs", "system_attrs", "tags", "user_attr", "tag"),
}
_PREFIX = {
    kind: re.compile(rf"(?:{'|'.join(words)})(?:[./:]|_(?=.))", re.IGNORECASE) for kind, words in _PREFIXES.items()
}
_PARTS = ("val", "valid", "validation", "eval", "dev")
_OTHER_PARTS = ("test", "train", "training")
_EXTREMES = ("best", "final", "last", "min", "max", "mean", "avg")
LOWER = (
    *("loss", "error", "err", "nll", "mse", "rmse", "mae", "mape", "perplexity", "ppl", "cost", "bpb", "bpc", "wer"),
    *("cer", "fid", "cross_entropy", "brier", "regret"),
)
HIGHER = (
    *("accuracy", "acc", "f1", "auc", "auroc", "roc_auc", "r2", "bleu", "rouge", "iou", "miou", "dice", "map", "mcc"),
    *("psnr", "ssim", "reward", "top1", "top5"),
)
_ALONE = ("precision", "recall", "score")  # metrics where a part of the data is named with them
SEEDS = (
    ("seed",),
    ("random_state", "random_seed", "run_seed", "rng_seed", "torch_seed", "global_seed", "trial_seed"),
    ("replicate", "repeat", "repetition", "rep"),
)
OPTIMIZERS = ("optimizer", "optimiser"), ("optimizer_name", "optimizer_type", "optimizer_class", "optim", "opt")
STATES = ("state", "status"), ("run_state", "run_status", "trial_state", "trial_status")
FRESH = ("confirmation", "is_confirmation", "confirm", "confirmed"), ("stage",)
RATES = ("lr", "learning_rate", "learningrate", "optimizer_lr", "optimizer_learning_rate")
SCHEDULES = ("schedule", "scheduler", "lr_schedule", "lr_scheduler")
BATCH_SIZES = ("batch_size", "batchsize", "bs", "train_batch_size")
PROGRESS = ("epoch", "step", "global_step", "iteration", "training_iteration")  # that a run has come to
RUNS = ("run", "run_id", "run_name", "trial", "trial_id", "trial_name", "trial_number", "number", "name", "logdir")
_BOOKKEEPING = {
    *("id", "index", *RUNS, *PROGRESS),
    *("experiment_id", "experiment_tag", "experiment_name", "member", "block", "date", "created", "created_at"),
    *("updated", "updated_at", "timestamp", "time", "duration", "runtime", "seconds", "elapsed", "wall_time"),
    *("walltime", "hostname", "host", "node", "node_ip", "pid", "user", "notes", "tags", "sweep", "group", "job_type"),
    *("artifact_uri", "commit", "git_commit", "done"),
    *("state", "status", "url", "log_dir", "checkpoint", "iterations_since_restore", "time_total_s"),
}
_TIMED = ("datetime", "timestamp", "time", "start_time", "end_time", "unnamed")


@dataclass(frozen=True)
class Name:
    """A column's name, taken apart.

    Attributes:
        column: as the table has it.
        kind: "parameter", "metric", "attribute" or, without a prefix that says so, "plain".
        short: without the prefix.
        base: that in lower case, words parted by one underscore.

    >>> Name.of("params_lr"), Name.of("metrics.val/loss").base, Name.of("Learning Rate").kind
    (Name(column='params_lr', kind='parameter', short='lr', base='lr'), 'val_loss', 'plain')
    """

    column: str
    kind: str
    short: str
    base: str

    @classmethod
    def of(cls, column: str) -> Name:
        for kind, prefix in _PREFIX.items():
            if (match := prefix.match(column)) and match.end() < len(column):
                return cls(column, kind, column[match.end() :], _base(column[match.end() :]))
        return cls(column, PLAIN, column, _base(column))

    @property
    def standard(self) -> str:
        """As the rest of the program calls it, where it is an optimizer, a rate, a schedule or a batch size."""
        known = {"optimizer": sum(OPTIMIZERS, ()), "lr": RATES, "schedule": SCHEDULES, "batch_size": BATCH_SIZES}
        return next((name for name, names in known.items() if self.base in names), self.short)

    @property
    def measure(self) -> str:
        """The metric that it is a value of, without the part of the data and which of its epochs; empty for none.

        >>> [Name.of(word).measure for word in ("best_val_acc", "loss/test", "loss_weight", "acc@1")]
        ['acc', 'loss', '', 'acc']
        """
        words = [word for word in self.base.split("_") if not word.isdigit()]
        parts = {*_PARTS, *_OTHER_PARTS}
        left = [word for word in words if word not in parts and word not in _EXTREMES]
        rest = "_".join(left)
        if rest in (*LOWER, *HIGHER) or (rest in _ALONE and parts & {*words}):
            return rest
        last = next((m for m in (*LOWER, *HIGHER) if rest.endswith(f"_{m}")), "")
        return last if last and (parts & {*words} or self.kind == METRIC) else ""

    @property
    def judges(self) -> int | None:
        """How well it serves to judge runs by, the lower the better; None for what does not."""
        words, measure = {*self.base.split("_")}, self.measure
        if words & {"train", "training"}:
            return None
        if self.base in ("value", "objective", "objective_value"):
            return 1
        if not measure:
            return None
        if words & {*_PARTS}:
            return 0 if measure == "loss" else 3
        return 6 if "test" in words else 2 if measure == "loss" else 4

    @property
    def sign(self) -> float | None:
        """−1 where higher is better, 1 where lower is, None where the name does not say.

        Optuna's `value` is lower the better, as Optuna minimizes unless it is told otherwise.
        """
        if self.base in ("value", "objective_value") or self.measure in LOWER:
            return 1.0
        return -1.0 if self.measure in (*HIGHER, "precision", "recall") else None

    @property
    def bookkeeping(self) -> bool:
        """Whether it says when, where and under which name a run was made, or how far it came."""
        base = self.base
        return (
            base in (*_BOOKKEEPING, *_TIMED)
            or self.short.startswith("_")
            or base.startswith(tuple(f"{w}_" for w in _TIMED))
        )


def _base(text: str) -> str:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    return re.sub(r"[\W_]+", "_", parted).strip("_").lower()


def best(names: Sequence[Name], tiers: Sequence[Sequence[str]]) -> list[Name]:
    """Those that fit the first tier that any fits.

    >>> [name.column for name in best([Name.of("optim"), Name.of("params.optimizer")], OPTIMIZERS)]
    ['params.optimizer']
    """
    fits = ([name for name in names if name.base in tier] for tier in tiers)
    return next((some for some in fits if some), [])
