"""What losses and metrics are also called: torch's and scikit-learn's names, whatever the case and the separators."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..errors import ProblemError, plain, unknown

# In lower case without separators → the name in this package.
LOSS_ALIASES: Mapping[str, str] = {
    "crossentropyloss": "cross_entropy",
    "nllloss": "nll",
    "bcewithlogits": "bce",
    "bcewithlogitsloss": "bce",
    "binarycrossentropywithlogits": "bce",
    "mseloss": "mse",
    "meansquarederror": "mse",
    "l2": "mse",
    "l1loss": "l1",
    "mae": "l1",
    "meanabsoluteerror": "l1",
    "huberloss": "huber",
    "kldivloss": "kl_div",
    "tripletmarginloss": "triplet_margin",
}
METRIC_ALIASES: Mapping[str, str] = {
    **LOSS_ALIASES,  # losses are metrics, too
    "acc": "accuracy",
    "accuracyscore": "accuracy",
    "topkaccuracy": "top_k",
    "topkaccuracyscore": "top_k",
    "f1score": "f1",
    "aucroc": "auc",
    "auroc": "auc",
    "rocauc": "auc",
    "rocaucscore": "auc",
    "r2score": "r2",
    "ppl": "perplexity",
    "meanabsoluteerror": "mae",
}
# Of probabilities, where `bce` takes scores: silently one for the other would train something else.
_OF_PROBABILITIES = ("bceloss", "binarycrossentropy")


def resolved(kind: str, given: str, names: Collection[str], aliases: Mapping[str, str]) -> str:
    """The name that is meant.

    Args:
        kind: loss or metric, for the sentence.
        given: a name without arguments.

    Raises:
        ProblemError: nothing is called that.

    >>> resolved("loss", "BCEWithLogitsLoss", ["bce", "mse"], LOSS_ALIASES)
    'bce'
    """
    known, wanted = {plain(name): name for name in names}, plain(given)
    if given in names:
        return given
    if wanted in known:
        return known[wanted]
    if aliases.get(wanted) in names:
        return aliases[wanted]
    if wanted in _OF_PROBABILITIES:
        raise ProblemError(
            f"{given} is of probabilities, and bce of scores: leave the sigmoid out of the model and give 'bce', or "
            "give torch.nn.BCELoss() itself."
        )
    raise ProblemError(unknown(kind, given, names))
