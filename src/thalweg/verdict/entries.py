"""What a verdict consists of: `Verdict`, an `Entry` for each level that is ranked, its `Default` and each `Judged`.

`verdict.py` makes them, and `sentences.py` puts them into words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from markupsafe import escape

from ..language import say
from ..numbers import plain
from ..plan.criterion import FINAL_LOSS, Criterion
from ..plan.factors import Level, Setting, shown
from ..plan.looks import SEARCH
from ..plan.margin import MARGIN
from ..store.onward import to_extend
from .intervals import ROUNDING, Interval
from .meanings import columns, words


@dataclass(frozen=True)
class Default:
    """An optimizer at its own defaults, run with the fresh seeds of the confirmation, beside its tuned setting.

    Attributes:
        lr, schedule, further: the setting.
        chosen: whether the search chose this very setting, which is then not run twice.
        value: as of an `Entry`.
        difference: to the tuned setting, paired by seed; above 0 where tuning helped, if lower is better.
        test: metric → interval.
    """

    lr: float
    schedule: str
    further: Mapping[str, Level]
    chosen: bool
    value: Interval
    difference: Interval
    test: Mapping[str, Interval]


@dataclass(frozen=True)
class Judged:
    """An entry by a metric other than the loss.

    Attributes:
        value: over the fresh seeds (and samples), on the validation part; infinitely bad where a run diverged.
        letters, may_be_best: as of an `Entry`, by this metric.
    """

    value: Interval
    letters: str
    may_be_best: bool


@dataclass(frozen=True)
class Entry:
    """One level of the ranked factor, at its best setting.

    Attributes:
        optimizer, lr, schedule, further: the setting; `further` maps the other factors that vary to levels. Of runs
            made elsewhere that do not say the first three, they are empty, and the rate is NaN.
        letters: two entries that share one cannot be told apart.
        value: by what the verdict judges, over fresh seeds once confirmed, else over the search's seeds.
        validation_loss: the same of the loss, which `value` is unless another metric judges; NaN where there is none.
        places: first and last rank it may have among all; these hold for all entries together in 95% of studies.
        difference: to the best entry's value, paired by seed and sample; its interval is for this difference alone.
        standing: against the best entry: "best", "practically the same", "worse" (reliably) or "open".
        may_be_best: whether no other is reliably better, in tests of each other alone.
        regret: by how much its mean over all seeds and samples is worse than the best one's at the most; infinite where
            nothing is known of it.
        probability_best: the chance that its mean is the best.
        search_value: mean over the search's seeds.
        more_seeds, more_samples: so many more seeds, or samples in all, would tell it from the best, the other staying
            as it is; 0 where nothing is open, infinite where no number can be promised to.
        edge: "lowest" or "highest" if the chosen rate is the grid's last in that direction.
        runs, diverged: of all settings with this level in the search.
        settings: how many these are.
        test: metric → interval over fresh seeds; empty before confirmation.
        seconds_per_step: per member, its share of the batched program.
        state_bytes_per_weight: of float32 states.
        steps: of a whole run with this setting; 0 while none has ended.
        default: the optimizer at its defaults; None before confirmation, where another factor is ranked,
            and for a rule without a default rate.
        stopped: runs of the search, of all settings with this level, that halving stopped.
        lost: of the runs behind `value`, those that diverged.
        spread: standard errors of the mean that come from the seeds, and from the samples (or folds); NaN where one
            is not known.
        metrics: name → where it stands by that metric, once confirmed; those of which it is known whether higher is
            better.
        mean_of_rest: of the values of the others; infinite where there are none.
        tunability: by how much the value at the optimizer's defaults is worse than the tuned one, in shares of that
            (Probst, Boulesteix & Bischl 2019, relative to it); infinite where the defaults diverge, NaN where it is
            not known.
        percentile_90: the value that 9 of 10 seeds are better than, as `intervals.quantile` estimates it from the
            seeds behind `value`, each on all samples (with folds the mean over them).
        repeats: the runs behind `value`, where entries may have different numbers of them; else 0.
    """

    optimizer: str
    letters: str
    lr: float
    schedule: str
    value: Interval
    validation_loss: Interval
    difference: Interval
    standing: str
    may_be_best: bool
    regret: float
    probability_best: float
    search_value: float
    edge: str | None
    runs: int
    diverged: int
    test: Mapping[str, Interval]
    seconds_per_step: float
    state_bytes_per_weight: float
    further: Mapping[str, Level] = field(default_factory=dict)
    steps: int = 0
    places: tuple[int, int] = (1, 1)
    more_seeds: float = 0.0
    more_samples: float = 0.0
    spread: tuple[float, float] = (math.nan, math.nan)
    metrics: Mapping[str, Judged] = field(default_factory=dict)
    default: Default | None = None
    stopped: int = 0
    settings: int = 0
    lost: int = 0
    mean_of_rest: float = math.inf
    tunability: float = math.nan
    percentile_90: float = math.inf
    repeats: int = 0

    @property
    def optimism(self) -> float:
        """How far the number reported is from the search's: what was luck in its choice; 0 if both agree."""
        gap = self.value.mean - self.search_value
        return 0.0 if math.isclose(self.value.mean, self.search_value, rel_tol=ROUNDING) else gap

    @property
    def setting(self) -> Setting:
        return Setting(self.optimizer, self.lr, self.schedule, tuple(self.further.items()))


@dataclass(frozen=True, repr=False)
class Verdict:
    """Which level is best here, which cannot be told apart from it, and what to beware of.

    Attributes:
        factor: what is ranked, e.g. "optimizer" or "batch_size".
        entries: best first, by mean; `groups` has for each letter the levels that share it.
        folds: of the cross-validation; 0 where the problem's own validation part judges.
        samples: that judge, of the validation part and of the parts of the training samples that change places with it
            (`swaps`), where the evidence is over them too; 0 where it is over seeds alone.
        epochs, stage: of the runs that the entries' losses are of; 0 epochs where there are none.
        most_samples: that can judge; 0 where that is not known.
        margin: differences up to that share of the best value do not matter.
        looks: how often the study had been confirmed before with less.
        criterion: by what runs are judged.
        usual: factors that are tuned around the best (`Factor.usual`), and of which no entry has another than its usual
            level; tables leave them out.
        signs: that the result means little, as `verdict/sanity.py` sees them.
        store: the path of the study's; empty where runs were made elsewhere.
        objects: the arguments of objects that no command can name (`store/onward.py`).
        replicate: what `seeds` counts: "seed", or "run" where runs made elsewhere do not say their seeds.
    """

    entries: tuple[Entry, ...]
    groups: tuple[tuple[str, ...], ...]
    sentence: str
    notes: tuple[str, ...]
    seeds: int
    confirmed: bool
    factor: str = "optimizer"
    folds: int = 0
    samples: int = 0
    margin: float = MARGIN
    looks: int = 0
    criterion: Criterion = FINAL_LOSS
    replicate: str = "seed"
    swaps: int = 0
    epochs: int = 0
    stage: str = SEARCH
    most_samples: int = 0
    usual: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    store: str = field(default="", compare=False)
    objects: tuple[str, ...] = field(default=(), compare=False)

    @property
    def further(self) -> list[str]:
        """The factors beyond optimizer, rate and schedule that tables show."""
        return [name for entry in self.entries[:1] for name in entry.further if name not in self.usual]

    @property
    def best(self) -> Entry:
        return self.entries[0]

    def level(self, entry: Entry) -> str:
        """What is ranked in that entry, as tables show it: an optimizer's label, a batch size, …"""
        return shown(entry.setting[self.factor])

    def extend(self, what: str, count: float) -> str:
        """What gives the study more: a command, or Python where it is of objects.

        >>> Verdict((), (), "", (), 10, True, store="my runs/digits.db").extend("seeds", 20)
        "thalweg extend 'my runs/digits.db' --seeds 20"
        """
        return to_extend(self.store or "STORE", self.objects, what, count)

    def regret_share(self, entry: Entry) -> float:
        """The entry's regret in shares of the best value."""
        best = abs(self.best.value.mean)
        return entry.regret / best if best else math.inf

    @property
    def meanings(self) -> dict[str, str]:
        """What the columns of its table mean, each in a line: field of an entry → meaning."""
        apart = say("seeds and folds") if self.folds else say("seeds on this split")
        over = say("seeds and samples") if self.samples else apart
        return columns(self.criterion, over, self.margin, self.seeds)

    @property
    def terms(self) -> dict[str, str]:
        """What the words of its sentence mean, each in a line."""
        return words(self.sentence)

    def to_json(self) -> dict[str, Any]:
        """Plain values; infinite and missing numbers are None. `explained` has what columns and words mean."""
        own = [{"optimism": e.optimism, "regret_share": self.regret_share(e)} for e in self.entries]
        entries = [asdict(e) | more for e, more in zip(self.entries, own, strict=True)]
        meanings = {name: line for name, line in self.meanings.items() if entries and name in entries[0]}
        judged = {"by_metric": self.criterion.by_metric, "judge": self.criterion.judge}
        values = {name: value for name, value in asdict(self).items() if name not in _BESIDE}
        explained = {"columns": meanings, "words": self.terms}
        return plain(values | judged | {"entries": entries, "explained": explained})

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"  {note}" for note in (*self.signs, *self.notes))])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in (*self.signs, *self.notes))
        return f"<p>{escape(self.sentence)}</p>" + (f"<ul>{notes}</ul>" if notes else "")


_BESIDE = ("criterion", "store", "objects", "signs")  # what a verdict's JSON has in other places, or not
