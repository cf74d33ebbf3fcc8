"""`thalweg loss`: the catalogue of losses, one of them, or what one comes to for values and targets."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..language import Word, mark, say
from .arrays import array_of, written
from .listing import Entry, also_called, columns, documented, each_said, entry, print_table, print_words
from .options import Everything
from .result import print_json

if TYPE_CHECKING:
    from torch import Tensor

    from ..losses import Loss

EXAMPLE = "Example: thalweg loss mse --values 3,11 --targets 1,1"

LIKELIHOOD = mark("−log likelihood of")


def loss(
    name: Annotated[
        str | None,
        typer.Argument(help="A loss, also with arguments, 'huber(delta=0.5)', or entropy; all of them unless given."),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(help="What a model gives, e.g. 3,11; of classes a row for each sample: 2,0,0;0,1,0. Or a file."),
    ] = None,
    targets: Annotated[str | None, typer.Option(help="What it should give: numbers, class ids or rows.")] = None,
    json: Everything = False,
) -> None:
    """List the losses, show one with its formula and source, or compute it for each sample, its mean and its sum."""
    if name is None:
        if values is not None or targets is not None:
            raise UsageError("the loss to compute is missing; name one, e.g. thalweg loss mse --values 3 --targets 1.")
        _catalogue(json)
    elif values is None:
        if targets is not None:
            raise UsageError("--targets are compared with --values; give both.")
        one = _entry_of(name)
        print_json(one.to_json()) if json else print(one)
    elif name == "entropy":
        if targets is not None:
            raise UsageError("entropy is of one distribution; leave --targets out, or give kl_div for two.")
        _print_measures(_entropy_of(_distributions(values, mark("list of values"))), say("P the values"), json)
    else:
        _computed(name, values, targets, json)


def _entropy() -> Entry:
    from ..losses import entropy

    return documented("entropy", entropy, {"logits": False, "dim": -1}, {})


def _entry_of(name: str) -> Entry:
    from .. import losses

    return _entropy() if name == "entropy" else _entry(type(losses.get(name)))


def _entry(kind: type[Loss]) -> Entry:
    from ..losses import LOSSES

    name = kind.name if kind.name in LOSSES else "l1"
    facts: dict[str, str] = {LIKELIHOOD: kind.likelihood, mark("also called"): also_called("loss", name)}
    return entry(kind, facts)


def documents() -> list[Entry]:
    """What every loss says of itself, and entropy."""
    from ..losses import LOSSES

    return [*(_entry(type(one)) for one in LOSSES.values()), _entropy()]


def _catalogue(json: bool) -> None:
    entries = documents()
    if json:
        print_json([one.to_json() for one in entries])
        return
    rows = [(one.name, _short(say(one.formula)), each_said(one.facts.get(LIKELIHOOD, ""))) for one in entries]
    print_table(columns(("loss", "formula", LIKELIHOOD), rows, whole=("loss",)))
    print(say("One of them: thalweg loss huber. Its value: thalweg loss mse --help."))


def _short(formula: str) -> str:
    """Without the name of torch's function."""
    return re.split(r"[,;]? (?:as )?torch\.nn", formula)[0]


def _computed(name: str, values: str, targets: str | None, json: bool) -> None:
    """The loss of each sample, the mean and the sum."""
    from .. import losses

    kind = losses.get(name)
    if isinstance(kind, losses.KLDiv) and kind == losses.KLDiv():
        p = _distributions(_needed(targets, kind), mark("list of targets"))
        q = _distributions(values, mark("list of values"))
        _print_measures(_divergences(p, q), say("P the targets, Q the values"), json)
        return
    outputs, due = _samples(kind, values, targets)
    kind.check(outputs, due)
    each = kind.per_sample(outputs, due)
    mean = float(kind(outputs, due))
    total = float(each.sum())
    if json:
        print_json({"loss": kind.label, "losses": each.tolist(), "mean": mean, "sum": total})
        return
    first = [due[:, None] if due.ndim == 1 else due] if due is not None else []
    parts = (outputs, *first, each)
    rows = [(str(k), *(_written(part[k]) for part in parts)) for k in range(len(each))]
    names = (mark("sample"), mark("values"), *[mark("targets")] * len(first), kind.label)
    print_table(columns(names, rows, right=names))
    print(say("mean {mean}, sum {total}", mean=_number(mean), total=_number(total)))


def _written(values: Tensor) -> str:
    """Numbers as they are given: a row's separated by commas, rows by semicolons."""
    return "; ".join(written(row.numpy()) for row in (values if values.ndim > 1 else [values]))


def _needed(targets: str | None, kind: Loss) -> str:
    if targets is None:
        raise UsageError("{loss} compares --values with --targets; give both.", loss=kind.label)
    return targets


def _samples(kind: Loss, values: str, targets: str | None) -> tuple[Tensor, Any]:
    """Outputs and targets in the form that the loss asks for."""
    import torch

    from .. import losses

    outputs = torch.from_numpy(array_of(values, mark("list of values"))).double()
    if isinstance(kind, losses.TripletMargin):
        if outputs.shape[:1] != (3,) or outputs.ndim != 2:
            raise UsageError("triplet_margin takes three rows: anchor;positive;negative, e.g. 0,0;3,0;0,3.5.")
        return outputs[None], None
    numbers = torch.from_numpy(array_of(_needed(targets, kind), mark("list of targets")))
    of_classes = isinstance(kind, losses.CrossEntropy | losses.NLL | losses.KLDiv)
    if not of_classes:
        return outputs, numbers.double()
    outputs = outputs[None] if outputs.ndim == 1 else outputs
    if not isinstance(kind, losses.NLL) and numbers.numel() == outputs.numel() > len(outputs):
        return outputs, numbers.double().reshape(outputs.shape)
    return outputs, numbers


def _distributions(text: str, what: Word) -> Tensor:
    """(samples, outcomes) probabilities, each row with sum 1."""
    import torch

    rows = torch.from_numpy(array_of(text, what)).double()
    rows = rows[None] if rows.ndim == 1 else rows
    if bool((rows < 0).any()) or bool(((rows.sum(1) - 1).abs() > 1e-6).any()):
        raise UsageError(
            "the {what} {text} is not a distribution: probabilities are at least 0, and those of a row have the "
            "sum 1, e.g. 0.25,0.75.",
            what=what,
            text=repr(text),
        )
    return rows


def _entropy_of(p: Tensor) -> dict[str, Tensor]:
    from ..losses import entropy

    return {"H(P) = −Σ p log p": entropy(p)}


def _divergences(p: Tensor, q: Tensor) -> dict[str, Tensor]:
    """Both directions, and the entropies of which the first is the difference."""
    from ..losses import KLDiv, cross_entropy_of

    crossed = cross_entropy_of(p, q)  # refuses two shapes
    apart = KLDiv(outputs="probabilities")
    return {
        mark("D(P‖Q), forward"): apart.per_sample(q, p),
        mark("D(Q‖P), reverse"): apart.per_sample(p, q),
        "H(P, Q) = −Σ p log q": crossed,
        **_entropy_of(p),
    }


def _print_measures(measures: dict[str, Tensor], about: str, json: bool) -> None:
    """In nats and in bits, for each row of probabilities."""
    samples = len(next(iter(measures.values())))
    nats = {name: values.tolist() for name, values in measures.items()}
    bits = {name: [value / math.log(2) for value in values] for name, values in nats.items()}
    if json:
        print_json({"nats": nats, "bits": bits})
        return
    rows = [
        (say(name), *([str(k)] if samples > 1 else []), _number(nats[name][k]), _number(bits[name][k]))
        for k in range(samples)
        for name in measures
    ]
    names = ("", *([mark("row")] if samples > 1 else []), mark("nats"), mark("bits"))
    print_table(columns(names, rows, right=("row", "nats", "bits")))
    print_words(say("{about}; log 2 nats are 1 bit, and 0 · log 0 is 0.", about=about))


def _number(value: float) -> str:
    from ..pictures.numbers import short

    return short(value, 5)
