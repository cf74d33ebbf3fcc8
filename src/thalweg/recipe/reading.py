"""The lines of a script that make `problem` of what a function of the user's returns: samples as the study read them.

They follow from what `thalweg.problem.reading` found; nothing that stands in a store becomes code, but for names that
the user's own file defines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..problem.data import HELD_OUT
from ..problem.layout import FLAT, PAIR, TARGETS, TRIPLE, WHOLE
from ..problem.reading import BATCHES, GIVEN, OF_MODEL, OWN, ROWS, STREAM, TENSORS
from .losses import in_torch

# names of the script's own
TAKEN = {
    *("batches", "closure", "dtype", "epoch", "given", "groups", "inputs", "joined", "judged", "loss", "losses"),
    *("made", "model", "optimizer", "order", "pool", "problem", "rest", "rows", "samples", "scheduler", "split"),
    *("step", "steps", "targets", "tensor", "test", "there", "torch", "total_steps", "train", "tree_leaves"),
    *("tree_map", "validation", "value", "weighted", "DEVICE", "EPOCHS", "Problem", "SEED", "SimpleNamespace"),
}
_PARTS = ("train", "validation", "test")
_SPLIT = "from sklearn.model_selection import {}"
_TREE = "from torch.utils._pytree import {}"
_USED = {
    "train_test_split(": _SPLIT,
    "GroupShuffleSplit(": _SPLIT,
    "tree_map(": _TREE,
    "tree_leaves(": _TREE,
    "register_dataclass(": _TREE,
    "np.": "import numpy as np",
}

_PLAIN = """
def samples(part):
    inputs, targets = (torch.as_tensor(values).detach() for values in part)
    return tuple(t.to(dtype if t.is_floating_point() else torch.int64) for t in (inputs, targets))
""".strip()
_TREES = """
def tensor(values):
    values = torch.as_tensor(values if isinstance(values, torch.Tensor) else np.asarray(values)).detach()
    if values.dtype is torch.bool:
        return values
    return values.to(dtype if values.is_floating_point() else torch.int64)


def samples(part):
    return tree_map(tensor, given(part))
""".strip()
_JOINED = """
def joined(join, parts):
    return tree_map(lambda *values: join(values), *map(samples, parts))
""".strip()
_WEIGHTED = """
def weighted(outputs, targets):
    targets, weights = targets
    values = ({})(outputs, targets)
    return (weights * values.reshape(len(values), -1).mean(1)).sum() / weights.sum()
""".strip()
_PLACES = {
    GIVEN: "samples({})",
    TENSORS: "samples({}.tensors)",
    ROWS: "joined(torch.stack, ({0}[k] for k in range(len({0}))))",
    STREAM: "joined(torch.stack, {})",
    BATCHES: "joined(torch.cat, {})",
}


_FORMS = {
    PAIR: "inputs, targets = part\n    return inputs, targets",
    TRIPLE: "inputs, targets, weights = part\n    return inputs, (targets, weights)",
    FLAT: "return tuple(part[:{0}]), part[{0}] if len(part) == {0} + 1 else tuple(part[{0}:])",
    WHOLE: "return part, ()",
    **{
        name: f"inputs = {{{{key: values for key, values in part.items() if key != {name!r}}}}}\n"
        f"    return inputs, part[{name!r}]"
        for name in TARGETS
    },
}


def reading(
    facts: Mapping[str, Any], loss: str, function: str, data: str, model: str, wrapped: bool = False
) -> tuple[list[str], str] | None:
    """Imports, and the lines for samples that were read so; None where the loss needs more than PyTorch.

    Args:
        facts: as `thalweg.problem.reading` has them.
        loss: its label.
        function: the name of the user's.
        data: what the script trains on: train, or pool for training and validation together.
        model: the expression of the function that makes a model.
        wrapped: whether a regularizer acts on the loss.
    """
    parts = facts.get("parts") or {name: [GIVEN, PAIR] for name in _PARTS if name not in facts["drawn"]}
    if "train" not in parts or any(len(one) != 2 for one in parts.values()):
        return None
    forms, places = {form for _, form in parts.values()}, {where for where, _ in parts.values()}
    if len(forms) > 1 or not forms <= _FORMS.keys() or not places <= _PLACES.keys():
        return None
    (form,), tree = forms, bool(facts.get("tree"))
    weighted = form == TRIPLE and facts.get("loss") != OF_MODEL
    judged = _loss(facts, loss, weighted, wrapped)
    if judged is None:
        return None
    plain = not tree and places <= {GIVEN, TENSORS}
    making, fields = _parts(facts, parts, data, tree)
    fields = {"model": model, "loss": "weighted" if weighted else judged, **fields}
    fields |= {"given": "given"} if tree else {}
    below = "\n".join([*making, "problem = SimpleNamespace(", *(f"    {n}={v}," for n, v in fields.items()), ")"])
    blocks = [
        "\n".join(
            [
                *(f"register_dataclass({name})" for name in facts.get("dataclasses", ())),
                f"made = {function}()",
                f"dtype = next(p for p in {model}().parameters() if p.requires_grad).dtype",
            ]
        ),
        _PLAIN if plain else f"def given(part):\n    {_FORMS[form].format(facts.get('inputs', 1))}\n\n\n{_TREES}",
        _JOINED if "joined(" in below else "",
        _WEIGHTED.format(judged) if weighted else "",
        below,
    ]
    lines = "\n\n\n".join(filter(None, blocks))
    return imports_of(lines, _USED), lines


def imports_of(lines: str, known: Mapping[str, str]) -> list[str]:
    """The lines that import what these use.

    Args:
        known: how a name stands in lines that use it → the line that imports it, with {} for the names.
    """
    by_line: dict[str, list[str]] = {}
    for used, line in known.items():
        if used in lines:
            by_line.setdefault(line, []).append(used.rstrip("(."))
    return [line.format(", ".join(sorted(names))) for line, names in by_line.items()]


def _loss(facts: Mapping[str, Any], label: str, weighted: bool, wrapped: bool) -> str | None:
    """The expression of the loss, or where samples have weights of the values of samples."""
    if wrapped and (weighted or facts.get("loss") == OF_MODEL):
        return None
    kind = facts.get("loss", "")
    if kind in (OWN, OF_MODEL):
        arguments = "model, batch" if kind == OF_MODEL else "outputs, targets"
        bare = wrapped or weighted
        return "made.loss" if bare else f"lambda {arguments}: made.loss({arguments}).mean()"
    expression = in_torch(label, facts.get("axis", 1), each=weighted)
    if wrapped and expression is not None and expression.startswith("lambda"):
        return f"tw.losses.get({label!r})"
    return expression


def _parts(
    facts: Mapping[str, Any], parts: Mapping[str, Any], data: str, tree: bool
) -> tuple[list[str], dict[str, str]]:
    """The lines that read and split the samples, and the parts that `problem` has of them."""
    read = {name: _PLACES[where].format(f"made.{name}") for name, (where, _) in parts.items()}
    take = "tree_map(lambda t: t[{0}], {1})" if tree else "tuple(t[{0}] for t in {1})"
    if parts["train"][0] == BATCHES:  # which is trained on unchanged, and of which nothing is split off
        if "test" not in facts["drawn"]:
            return [], {"train": "made.train", "validation": read["validation"]}
        split = _split(facts, "test", "validation", 0.5, tree)
        lines = [f"validation = {read['validation']}", *split]
        return lines, {"train": "made.train", "validation": take.format("rows", "validation")}
    drawn = [name for name in facts["drawn"] if not (data == "pool" and name == "validation")]
    lines = [f"train = {read['train']}"]
    for place, name in enumerate(drawn):
        lines += _split(facts, name, "train", HELD_OUT, tree)[place > 0 :]
    given = {"train": take.format("rows", "train") if drawn else "train"}
    given["validation"] = read.get("validation") or take.format("validation", "train")
    if data != "pool":
        return lines, given
    both = "tree_map(lambda *t: torch.cat(t), {0}, {1})" if tree else "tuple(map(torch.cat, zip({0}, {1})))"
    whole = "validation" not in read
    return lines, {"pool": given["train"] if whole else both.format(given["train"], given["validation"])}


def _split(facts: Mapping[str, Any], name: str, of: str, share: float, tree: bool) -> list[str]:
    """Lines that draw a part of the samples of another: all rows, and what is left of them."""
    rows = f"rows = np.arange(len({f'tree_leaves({of})[0]' if tree else f'{of}[1]'}))"
    how = f"test_size={share}, random_state={facts['seed']}"
    if facts.get("grouped"):
        splitter = f"GroupShuffleSplit(1, {how}).split(rows, groups=groups[rows])"
        return [
            f"{rows}\ngroups = np.unique(np.asarray(made.groups), return_inverse=True)[1]",
            f"{name}, rest = (rows[np.sort(part)] for part in next({splitter})[::-1])",
            "rows = rest",
        ]
    targets = f"{of}[1][0]" if facts.get("parts", {}).get("train", [""])[-1] == TRIPLE else f"{of}[1]"
    stratify = f", stratify={targets}[rows]" if name in facts["stratified"] else ""
    return [rows, f"rows, {name} = map(np.sort, train_test_split(rows, {how}{stratify}))"]
