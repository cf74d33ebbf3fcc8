"""Sections about the study as a whole: its notes, the winner's script, where it was run, and how to read it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import ThalwegError
from ..language import mark, say
from ..verdict.entries import Verdict
from .sections import Column, Section

if TYPE_CHECKING:
    from ..results import Results

METHOD = mark("""\
Every optimizer had equally many rates, the same choice of everything else, and the same seeds, initial weights, order
of samples and number of epochs; its setting was chosen by the mean validation loss over seeds, where a diverged run
counts as infinite: one whose loss is no longer finite, or ended above ten times that of its untrained weights. Where a
schedule, a batch size or anything else is ranked, each of its values stands for its own best setting, tuned over all
the rest.

Intervals say how far other seeds would move a mean, and, once confirmed, other samples like those of the validation
part. Differences are taken seed by seed and sample by sample, because a seed gives all runs the same start and the same
order of samples, and all are judged on the same ones. Since many pairs are compared, a difference has to be surer than
one alone to count: equal settings are not told apart in at least 95% of studies, however many there are.

The search reports the lowest of many numbers, which is partly luck. So each chosen setting is run again with fresh
seeds, and that number is the one reported; “change from search” is how much the search’s lay below it. Each optimizer
also runs at its formula’s own defaults.

Test data played no part in any choice, and the answer holds for this problem, this budget and this grid.""")
_FOLDS = mark("""

Settings were judged by cross-validation: each training and validation sample is held out by some fold, of which the
others train a model that is judged on it. Seeds and folds are both resampled; since folds train on samples in common,
their spread is corrected after Nadeau and Bengio (2003). The test numbers are of the same fresh seeds trained
again on all training and validation samples.""")

_SWAPS = mark("""

Parts of the training samples judged too, each in its turn, while the rest and the validation samples trained. Intervals
are about the mean performance of these models on other samples like these (Bayle, Bayle, Janson and Mackey 2020).""")


def method(verdict: Verdict) -> Section:
    further = say(_FOLDS) if verdict.folds else say(_SWAPS) if verdict.swaps else ""
    return Section("method", say("How to read this"), say(METHOD) + further)


def recipe(results: Results, verdict: Verdict) -> Section:
    """The winner's script; for a rule that a script cannot name, the reason, and its equations."""
    try:
        code, words = results.recipe().code, say("The winner in plain PyTorch.")
    except ThalwegError as error:
        code, words = "", str(error)
        with suppress(ThalwegError):  # a rule of the user's own, which is not at hand
            code = results.plan.formulas[verdict.best.optimizer].latex()
    if code and (run := results.recipe_run):
        words = f"{words} {run}"
    return Section("recipe", say("Recipe"), words, code=code)


def provenance(facts: Mapping[str, Any]) -> Section:
    columns = [Column("what", "What", "fact"), Column("value", "Value", "fact")]
    return Section("provenance", say("Provenance"), "", columns, [{"what": k, "value": v} for k, v in facts.items()])
