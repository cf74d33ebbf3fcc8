"""What the columns and the words of a verdict mean, each in a line: on a page, in a terminal and in JSON.

A column is named as the field of `entries.Entry` that it shows.
"""

from __future__ import annotations

from ..language import mark, say
from ..plan.criterion import Criterion
from ..population.member import RUINED

FEW_SEEDS = 6  # of which the worst stands for the value that 90% are better than


def words(sentence: str) -> dict[str, str]:
    """Those of a verdict's sentence that need it."""
    known = {
        say("fresh seeds"): say("seeds that had no part in the choice of settings"),
        say("safest choice"): say("the one of which “regret at most” is the least"),
        say("other data like these"): say("samples drawn as those were that judge; not other problems"),
    }
    return {word: meaning for word, meaning in known.items() if word in sentence}


def columns(by: Criterion, over: str, margin: float, seeds: int) -> dict[str, str]:
    """
    Args:
        over: what the intervals are over, in words.
        margin, seeds: of the verdict.
    """
    of_seeds = say("the {seeds} seeds", seeds=seeds) if seeds > FEW_SEEDS else say("the worst of these few")
    return {
        "value": say(
            "the mean, and an interval that holds the mean over all {over} in 95% of studies; the best's allows "
            "for its having been picked as the best",
            over=over,
        ),
        "optimism": say("the mean less the search's, whose {extreme} of many is partly luck", extreme=by.extreme),
        "letters": say("two with a letter in common cannot be told apart, all pairs considered together"),
        "may_be_best": say(
            "no other is reliably better than it, in tests of each other alone; the truly best is "
            "among these in 95% of studies"
        ),
        "regret_share": say(
            "by how much its mean is worse than that of the truly best at the most, as a share of the best"
        ),
        "standing": say(
            "practically the same: within {margin} of the {extreme} {metric}; worse: reliably; open: neither is shown",
            margin=f"{100 * margin:g}%",
            extreme=by.extreme,
            metric=mark(by.metric),
        ),
        "difference": say("the mean less the best's, seed by seed; the interval is for this difference alone"),
        "probability_best": say(
            "that its mean is truly the {extreme}, if the true means scatter as far as these show", extreme=by.extreme
        ),
        "percentile_90": say(
            "9 of 10 seeds have a better {metric}, says {whose}", metric=mark(by.metric), whose=of_seeds
        ),
        "metrics": say("of the same runs; beneath it the letters of a ranking by it"),
        "test": say("of the same runs on the test part, which had no part in any choice"),
        "settings": say("settings in the search; the best of more is better by luck alone"),
        "diverged": say(
            "runs of the search whose loss is not finite, or ended above {factor:.0f} times that of the untrained "
            "weights, of all",
            factor=RUINED,
        ),
        "time": say("of all steps of one run: its share of the time in which a block of runs was trained"),
    }
