"""Why a model errs: it cannot bend far enough (bias), it follows its sample too closely (variance), or noise.

The same setting is trained on many resamples of the training data, and the members' answers to samples that none of
them has seen are taken apart, with f̄ the mean answer and t the target. For values and squared error (Geman,
Bienenstock & Doursat 1992, section 2.2):

    E(t − f̂)² = (f̄ − f)² + E(f̂ − f̄)² + E(t − f)²,      error = bias² + variance + noise

where f is what can be known of t. For classes and cross-entropy, with p̄ ∝ exp E log p̂, the geometric mean of members'
probabilities (Heskes 1998, equation 5):

    E(−log p̂(t)) = −log p̄(t) + E KL(p̄ ‖ p̂),            error = bias (with the noise) + variance

All settings see the same resamples, and each is a population; the variance is that over resamples and seeds.
Read next: `bagging.py`, which draws and trains.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from .. import losses
from ..engine.programs import Programs
from ..errors import PlanError
from ..formulas import Formula
from ..language import mark, say
from ..numbers import Range
from ..plan.factors import Setting, shown, words_of
from ..population.place import AUTO, FLOAT32
from ..problem.checks import labelled
from ..problem.declaration import Problem
from ..problem.find import load
from ..problem.prepare import Prepared
from ..samples import Samples
from ..verdict.words import listed
from .bagging import classes_of, programs_of, resample, tensors_of, train
from .ensemble import outputs_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

PARTS = ("error", "bias", "variance", "noise")
_LEVEL = 0.95


@dataclass(frozen=True)
class BiasVariance:
    """Error, bias, variance and noise of every setting; `str` of it says of the best setting which is largest.

    Attributes:
        rows: one row per setting: its levels, then each part with the ends of its 95% interval over samples
            (`bias_low`, `bias_high`, …), `rest`, bias + variance + noise − error, with the same, and `diverged`,
            how many members did; a setting of which one did has an infinite error and nothing else.
        measure: "squared error" or "cross-entropy".
        known: whether the noise is known; where it is not, it is part of the bias, and NaN.
        members: resamples of each setting.
        name: of the problem.
    """

    rows: pd.DataFrame = field(repr=False)
    measure: str
    known: bool
    members: int
    name: str

    def table(self) -> pd.DataFrame:
        """One row per setting."""
        return self.rows.copy()

    @property
    def varied(self) -> list[str]:
        """The columns of what differs between the settings."""
        first = list(self.rows.columns[: self.rows.columns.get_loc("error")])
        return [name for name in first if self.rows[name].nunique(dropna=False) > 1]

    def __str__(self) -> str:
        finite = self.rows[np.isfinite(self.rows["error"])]
        if finite.empty:
            return say("Every setting diverged on some resample of {name}; try lower rates.", name=self.name)
        best = finite.loc[finite["error"].idxmin()]
        where = ", ".join(f"{say(words_of(name))} {shown(best[name])}" for name in self.varied)
        parts = {"bias": self.bias, "variance": say("variance"), "noise": say("noise")}
        shares = [f"{words} {best[name]:.3g}" for name, words in parts.items() if math.isfinite(best[name])]
        return say(
            "{name}: {measure} {error:.3g}{at}, over {members} resamples, is {shares}.",
            name=self.name,
            measure=mark(self.measure),
            error=best["error"],
            at=say(" at {where}", where=where) if where else "",
            members=self.members,
            shares=listed(shares),
        )

    @property
    def bias(self) -> str:
        """What is taken apart from the variance, in words."""
        word = mark("bias²") if self.measure == "squared error" else mark("bias")
        return say(word) if self.known else say("{bias} and noise", bias=word)

    def picture(self, along: str | None = None) -> go.Figure:
        """The parts against one of the things that vary; the lowest error over the others.

        Args:
            along: a column, "lr" or "model" or a hyperparameter; the one that varies, where there is one alone.

        Raises:
            PlanError: nothing varies, or several things do and none is named.
        """
        from ..pictures.decomposition import decomposition

        varied = self.varied
        if along is None and len(varied) != 1:
            raise PlanError(
                "{varied} things vary ({names}); name one of them as along=.",
                varied=len(varied),
                names=", ".join(varied) or "none",
            )
        axis = along or varied[0]
        if axis not in varied:
            raise PlanError(
                "{axis} does not vary here; name one of {names}.", axis=repr(axis), names=", ".join(varied) or "nothing"
            )
        finite = self.rows[np.isfinite(self.rows["error"])]
        best = finite.loc[finite.groupby(axis, sort=False)["error"].idxmin()]
        title = f"{self.name}, {self.members} resamples of each setting"
        return decomposition(best, axis, self.measure, self.known, title)


def bias_variance(
    problem: Problem | str,
    optimizers: Sequence[str | Formula] = ("adam",),
    rates: Sequence[float] = (0.01,),
    schedules: Sequence[str] = ("constant",),
    members: int = 30,
    epochs: int = 20,
    batch_size: int | str = 64,
    models: Mapping[Any, Callable[[], Any]] | None = None,
    hyperparameters: Mapping[str, Sequence[Any]] | None = None,
    regularizers: Sequence[Any] | None = None,
    noise: float | None = None,
    device: str = AUTO,
    precision: str = FLOAT32,
) -> BiasVariance:
    """Error, bias², variance and noise of every setting, from models trained on resamples.

    Args:
        problem, optimizers, rates, schedules, batch_size, hyperparameters, regularizers, device, precision: as for
            `compare`.
        members: resamples of the training data, the same for every setting; at least two.
        epochs: passes over each member's samples.
        models: label → function, several models to take apart in place of the problem's own, e.g. of several sizes.
        noise: what no model can learn: the variance of the targets around what can be known of them, or the entropy
            of classes in nats; the problem's own `noise` unless given. Where it is not known it is part of the bias.

    Judged on the validation part, so that settings may be chosen by it; the test part is untouched.

    Raises:
        PlanError, ProblemError: what was asked does not fit together; a DataLoader, which draws its own samples.

    >>> import thalweg as tw
    >>> parts = tw.bias_variance("wave", "adam", rates=[0.01], members=5, epochs=5)
    >>> row = parts.table().iloc[0]
    >>> bool(row["rest_low"] < 0 < row["rest_high"]), parts.known
    (True, True)
    """

    declared = load(problem)
    declared = declared if models is None else replace(declared, model=labelled(models))
    further: dict[str, Any] = {"regularizers": regularizers, "hyperparameters": hyperparameters}
    further |= {"device": device, "precision": precision}
    programs = programs_of(declared, optimizers, rates, schedules, epochs, batch_size, **further)
    return taken_apart(programs, programs.plan.settings, members, noise)


def taken_apart(
    programs: Programs, settings: Sequence[Setting], members: int, noise: float | None = None
) -> BiasVariance:
    """The parts of the error of those settings."""
    problem, count = programs.problem, Range(2, whole=True).check("members", members, PlanError)
    data, validation = tensors_of(problem), problem.validation
    if isinstance(problem.loss, losses.BCE):
        raise PlanError(
            "the parts of an error are of class ids or values, not of bce; give two classes and cross_entropy."
        )
    classes_of(problem, data)
    level = problem.noise if noise is None else noise
    level = None if level is None else float(Range(0).check("noise", level, PlanError))
    resamples = torch.stack([resample(data.size, k) for k in range(count)])
    rows, size = [], max(1, 512 // count)
    by_model = [list(one) for _, one in itertools.groupby(settings, lambda s: programs.plan.level(s, "model"))]
    # A few settings at a time: their members' weights are kept until they have answered.
    for few in (each[k : k + size] for each in by_model for k in range(0, len(each), size)):
        module = programs.structure(few[0])
        runs = list(itertools.product(few, range(count)))
        outcome = train(programs, runs, resamples.repeat(len(few), 1), data, validation)
        for k, setting in enumerate(few):
            places = slice(k * count, (k + 1) * count)
            if failures := int(outcome.diverged[places].sum()):
                parts = _diverged()
            else:
                state = {name: t[places] for name, t in outcome.state.items()}
                answers = torch.cat(list(outputs_of(module, state, validation[0])), dim=1)
                parts = _parts(problem, answers, validation, level)
            rows.append({**setting.levels, **parts, "diverged": failures})
    measure = mark("squared error") if data[1].is_floating_point() else mark("cross-entropy")
    return BiasVariance(pd.DataFrame(rows), measure, level is not None, count, problem.name)


def squares(
    answers: np.ndarray, targets: np.ndarray, truth: np.ndarray | None, noise: float | None
) -> dict[str, np.ndarray]:
    """(samples,) each part of the squared error of (members, samples, …) answers; bias and variance are unbiased.

    Without the truth, what the mean answer misses the target by holds the noise too, which is taken off if known.

    >>> parts = squares(np.array([[1.0], [3.0]]), np.array([2.5]), np.array([2.0]), 0.25)
    >>> {name: float(value[0]) for name, value in parts.items()}
    {'error': 1.25, 'bias': -1.0, 'variance': 2.0, 'noise': 0.25}
    """
    middle, spread = answers.mean(0), answers.var(0, ddof=1)
    reference = targets if truth is None else truth
    off = (middle - reference) ** 2 - spread / len(answers)
    if truth is None and noise is not None:
        off = off - noise
    parts = {
        "error": ((answers - targets) ** 2).mean(0),
        "bias": off,
        "variance": spread,
        "noise": np.full_like(spread, np.nan if noise is None else noise),
    }
    return {name: values.reshape(len(values), -1).mean(1) for name, values in parts.items()}


def entropies(log_probabilities: np.ndarray, targets: np.ndarray, noise: float | None) -> dict[str, np.ndarray]:
    """(samples,) each part of the cross-entropy of (members, samples, classes, …) log probabilities.

    >>> answers = np.log(np.array([[[0.9, 0.1]], [[0.5, 0.5]]]))
    >>> parts = entropies(answers, np.array([0]), None)
    >>> bool(np.isclose(parts["bias"] + parts["variance"], parts["error"]).all())
    True
    """
    middle = log_probabilities.mean(0)  # (samples, classes, …)
    scale = np.log(np.exp(middle).sum(1, keepdims=True))
    picked = np.expand_dims(targets, 1)
    error = -np.take_along_axis(log_probabilities, picked[None], 2).mean(0).squeeze(1)
    bias = -np.take_along_axis(middle - scale, picked, 1).squeeze(1)
    parts = {
        "error": error,
        "bias": bias - (noise or 0.0),
        "variance": -scale.squeeze(1),
        "noise": np.full_like(error, np.nan if noise is None else noise),
    }
    return {name: values.reshape(len(values), -1).mean(1) for name, values in parts.items()}


def _parts(problem: Prepared, answers: Tensor, validation: Samples, noise: float | None) -> dict[str, float]:
    """Means over samples with their intervals, and what the parts miss the error by."""
    inputs, targets = validation
    if targets.is_floating_point():
        truth = None if problem.truth is None else problem.truth(inputs).double().numpy()
        parts = squares(answers.double().numpy(), targets.double().numpy(), truth, noise)
    else:
        parts = entropies(answers.double().log_softmax(2).numpy(), targets.numpy(), noise)
    whole = parts["bias"] + parts["variance"] + np.nan_to_num(parts["noise"])
    return {
        key: value
        for name, values in {**parts, "rest": whole - parts["error"]}.items()
        for key, value in _interval(name, values)
    }


def _interval(name: str, values: np.ndarray) -> Iterator[tuple[str, float]]:
    """The mean over samples, and Student's interval."""
    mean = float(values.mean())
    half = float(stats.sem(values) * stats.t.ppf((1 + _LEVEL) / 2, len(values) - 1)) if len(values) > 1 else math.inf
    yield from ((name, mean), (f"{name}_low", mean - half), (f"{name}_high", mean + half))


def _diverged() -> dict[str, float]:
    names = [f"{name}{end}" for name in (*PARTS, "rest") for end in ("", "_low", "_high")]
    return {name: math.inf if name.startswith("error") else math.nan for name in names}
