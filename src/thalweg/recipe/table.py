"""The lines of a script that read a table as a study of `tw.table` did: split, preprocessed, and a network for it.

They are written anew from what the store says, as literals: nothing that stands in a store becomes code.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from ..problem.data import HELD_OUT
from ..problem.of_table import arguments_of
from ..problem.preprocessing import CATEGORIES, PLAIN
from ..problem.tables import CLASSES
from .losses import in_torch
from .reading import imports_of

PLAINLY = {
    "numbers": ('SimpleImputer(strategy="median", keep_empty_features=True)', "StandardScaler()"),
    "words": (
        'SimpleImputer(strategy="constant", fill_value="missing")',
        f'OneHotEncoder(handle_unknown="ignore", max_categories={CATEGORIES}, sparse_output=False)',
    ),
}
IMPORTS = """
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
""".strip()
SKLEARN = {
    "ColumnTransformer(": "from sklearn.compose import {}",
    "SimpleImputer(": "from sklearn.impute import {}",
    "train_test_split(": "from sklearn.model_selection import {}",
    "make_pipeline(": "from sklearn.pipeline import {}",
    "OneHotEncoder(": "from sklearn.preprocessing import {}",
    "StandardScaler(": "from sklearn.preprocessing import {}",
}


class Loading(NamedTuple):
    """The lines that import, and those that make `problem`."""

    imports: str
    lines: str
    alone: bool  # without thalweg


def loading(problem: Mapping[str, Any], data: str) -> Loading | None:
    """The lines for a problem as the store has it; None where it was not made by `tw.table`.

    Args:
        data: what the script trains on: train, or pool for training and validation together.
    """
    if problem["kind"] != "table" or len(problem.get("network", ())) != 4:
        return None
    given = arguments_of(problem["spec"])
    plain = given.get("preprocess", PLAIN) == PLAIN
    kinds = {kind: problem.get(kind, []) for kind in PLAINLY if problem.get(kind)} if plain else {}
    rows = "train" if data == "train" else "pool"
    making = [
        *(f"{kind.upper()} = {names!r}" for kind, names in kinds.items()),
        *_read(given),
        *(["table[WORDS] = table[WORDS].astype(object).map(str, na_action='ignore')"] if "words" in kinds else []),
        *_targets(problem, given["target"]),
        *_split(given, problem.get("stratified", [False, False])),
        *(["pool = np.sort(np.concatenate([train, validation]))"] if rows == "pool" else []),
        *([_scaled(rows)] if problem.get("scaled_target") else []),
        *([_preprocess(kinds, rows)] if kinds else []),
        *([f"MADE = {problem.get('made', [])!r}"] if kinds and rows == "pool" else []),
    ]
    samples = [
        "def samples(rows):",
        f"    inputs = {_inputs(kinds, problem, rows)}",
        "    return torch.tensor(inputs, dtype=torch.get_default_dtype()), targets[rows]",
    ]
    made = [
        "problem = SimpleNamespace(",
        f"    model=lambda: {_network(problem['network'])},",
        f"    loss={_loss(problem['loss'])},",
        *(f"    {part}=samples({part})," for part in dict.fromkeys((rows, "validation" if rows == "train" else rows))),
        ")",
    ]
    lines = "\n\n\n".join("\n".join(part) for part in (making, samples, made))
    return Loading("\n".join([IMPORTS, *imports_of(lines, SKLEARN)]), lines, "tw." not in lines)


def _read(given: Mapping[str, Any]) -> list[str]:
    """The rows of all files, one below the other, and how many each has."""
    paths = [given[name] for name in ("path", "validation", "test") if name in given]
    files = [f"    {_reader(path)}," for path in paths]
    if len(files) == 1:
        return [f"table = {_reader(paths[0])}"]
    return [
        "files = [",
        *files,
        "]",
        "ends = np.cumsum([len(file) for file in files])",
        "table = pd.concat(files, ignore_index=True)",
    ]


def _reader(path: str) -> str:
    name = path.lower()
    if ".parquet" in name:
        return f"pd.read_parquet({path!r})"
    separator = ', sep="\\t"' if ".tsv" in name else ""
    return f"pd.read_csv({path!r}, low_memory=False{separator})"


def _targets(problem: Mapping[str, Any], target: str) -> list[str]:
    classes = problem["classes"]
    made = [f"CLASSES = {classes!r}"] if classes else []
    values = f"table[{target!r}]" + (".map(str).map(CLASSES.index).to_numpy()" if classes else ".to_numpy(float)")
    if classes and problem["loss"].partition("(")[0] in CLASSES:
        return [*made, f"targets = torch.tensor({values})"]
    return [*made, f"targets = torch.tensor({values}, dtype=torch.get_default_dtype()).reshape(-1, 1)"]


def _split(given: Mapping[str, Any], stratified: list[bool]) -> list[str]:
    """Rows of train and validation, drawn as the study drew them."""
    seed, files = given.get("seed", 0), "validation" in given or "test" in given
    lines = [f"train = np.arange({'ends[0]' if files else 'len(table)'})"]
    for part, keeps in zip(("test", "validation"), stratified, strict=True):
        if part in given:
            continue
        how = f"test_size={HELD_OUT}, random_state={seed}" + (", stratify=targets[train]" if keeps else "")
        lines += [f"train, {part} = map(np.sort, train_test_split(train, {how}))"]
    return lines + (["validation = np.arange(ends[0], ends[1])"] if "validation" in given else [])


def _scaled(rows: str) -> str:
    mean, spread = f"targets[{rows}].double().mean()", f"targets[{rows}].double().std(correction=0)"
    return f"targets = ((targets.double() - {mean}) / {spread}).to(targets.dtype)"


def _preprocess(kinds: Mapping[str, Any], rows: str) -> str:
    steps = [f"{kind} = make_pipeline({', '.join(PLAINLY[kind])})\n" for kind in kinds]
    parts = ", ".join(f'("{kind}", {kind}, {kind.upper()})' for kind in kinds)
    return f"{''.join(steps)}preprocess = ColumnTransformer([{parts}]).fit(table.iloc[{rows}])"


def _inputs(kinds: Mapping[str, Any], problem: Mapping[str, Any], rows: str) -> str:
    made = "preprocess.transform(table.iloc[rows])"
    if kinds and rows == "pool":  # a category that the training part lacked was not given to the network
        frame = f"pd.DataFrame({made}, columns=preprocess.get_feature_names_out())"
        return f"{frame}.reindex(columns=MADE, fill_value=0).to_numpy()"
    if kinds:
        return made
    return f"table.iloc[rows][{problem['columns']!r}].to_numpy(float)"


def _network(shape: list[int]) -> str:
    inputs, outputs, width, layers = shape
    widths = [inputs, *[width] * layers, outputs]
    linear = [f"torch.nn.Linear({a}, {b})" for a, b in pairwise(widths)]
    return f"torch.nn.Sequential({', torch.nn.ReLU(), '.join(linear)})"


def _loss(name: str) -> str:
    return in_torch(name) or f"tw.losses.get({name!r})"
