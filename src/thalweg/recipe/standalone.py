"""The lines of a script that make a problem without thalweg: its function and what that needs, out of its own file.

A file is taken as it is on disk and not from a store, and only if it ran on this machine before. What cannot stand
alone (other parts of thalweg, losses that PyTorch lacks) has no such lines, and a script then asks thalweg for the
problem. Read next: `reading.py`, the lines below these.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..problem import builtin, trust
from .reading import TAKEN, reading
from .table import Loading

_NAMESPACE = "from types import SimpleNamespace"


def standalone(problem: Mapping[str, Any], data: str, model: Any = None, wrapped: bool = False) -> Loading | None:
    """The lines for a problem as the store has it.

    Args:
        data: what the script trains on: train, or pool for training and validation together.
        model: the label of that which is trained, of several.
        wrapped: whether the loss is given to a regularizer of thalweg, which has to know it.
    """
    facts = problem.get("reading", problem.get("pairs"))  # stores from before trees have the latter
    source = _source(problem) if facts else None
    if not facts or source is None:
        return None
    chosen = "made.model" if model is None else f"made.model[{model!r}]"
    below = reading(facts, problem.get("loss", ""), source[1], data, chosen, wrapped)
    taken = None if below is None else extracted(*source, also=facts.get("dataclasses", ()))
    if below is None or taken is None:
        return None
    (imports, code), (further, lines) = taken, below
    return Loading(
        _sorted([*imports, *further, _NAMESPACE, "import torch"]), f"{code}\n\n\n{lines}", alone="tw." not in lines
    )


def _sorted(imports: Sequence[str]) -> str:
    """Python's own first."""
    groups: list[list[str]] = [[], [], []]
    for line in sorted(set(imports), key=lambda line: (line.startswith("from"), line)):
        module = line.split()[1].partition(".")[0]
        groups[0 if line == _FUTURE else 1 if module in sys.stdlib_module_names else 2].append(line)
    return "\n\n".join("\n".join(group) for group in groups if group)


def _source(problem: Mapping[str, Any]) -> tuple[str, str, Path | None] | None:
    """The text, the function in it, and the file's place; None where there is no file to be trusted."""
    spec = problem["spec"]
    if problem["kind"] == "built-in" and spec in builtin.PROBLEMS:
        return inspect.getsource(builtin), builtin.PROBLEMS[spec].__name__, None
    if problem["kind"] != "file" or trust.unknown([spec]):
        return None
    place, _, function = spec.rpartition(":")
    try:
        return Path(place).read_text(encoding="utf-8"), function, Path(place)
    except (OSError, UnicodeDecodeError):
        return None


def extracted(
    text: str, function: str, path: Path | None = None, also: Sequence[str] = ()
) -> tuple[list[str], str] | None:
    """Imports, and the definitions that a function needs, in the order of the file; None where these are not enough.

    Args:
        also: names that must be defined there too.

    >>> extracted("import math\\nimport os\\nSIZE = 2\\ndef f():\\n    return math.sqrt(SIZE)\\n", "f")
    (['import math'], 'SIZE = 2\\n\\n\\ndef f():\\n    return math.sqrt(SIZE)')
    """
    try:
        statements = [one for node in ast.parse(text).body for one in _single(node)]
    except SyntaxError:
        return None
    later = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in statements)
    definitions = {name: node for node in statements for name in _defined(node)}
    if not {function, *also} <= definitions.keys():
        return None
    needed: dict[ast.stmt, set[str]] = {}
    waiting = [*(definitions[name] for name in (function, *also)), *filter(_acts, statements)]
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed[node] = _used(node, not later)
            waiting += [definitions[name] for name in needed[node] if name in definitions]
    uses = set[str]().union(*needed.values())
    body = [node for node in statements if node in needed and not isinstance(node, ast.Import | ast.ImportFrom)]
    read = set[str]().union(*(_used(node, True) for node in body))  # annotations are read, if not evaluated
    given = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    imports = [line for node in given for line in _import(node, uses if _ours(node) else uses | read, body)]
    stand_ins = [*dict.fromkeys(line for line in imports if _STAND_IN in line)]
    clear = [line for line in imports if line not in stand_ins]
    modules = [name for node in given if isinstance(node, ast.Import) and _ours(node) for name in _defined(node)]
    hidden = any(_ours(inner) for node in body for inner in ast.walk(node))
    defined = {name for node in body for name in _defined(node)}
    if hidden or "" in clear or TAKEN & defined & _read_later(body, function):
        return None
    if any(map(_in_order, body)):
        stand_ins = [_IN_ORDER.format(line.partition(" = ")[0]) for line in stand_ins]
    if path is not None and "__file__" in uses:
        stand_ins.insert(0, f"__file__ = {str(path)!r}")
    if path is not None and (near := [line for line in clear if _beside(path, line)]):
        clear = ["import sys", *(line for line in clear if line not in near)]
        stand_ins = [f"sys.path.insert(0, {str(path.parent)!r})", *near, *stand_ins]
    code = _joined(text, body)
    for name in modules:
        code = re.sub(rf"\b{re.escape(name)}\.Problem\b", "Problem", code)
    return [*([_FUTURE] if later else []), *clear], "\n\n\n".join(filter(None, ["\n".join(stand_ins), code]))


def _single(node: ast.stmt) -> list[ast.stmt]:
    """A statement for each module that an import has."""
    if not isinstance(node, ast.Import):
        return [node]
    return [ast.copy_location(ast.Import([alias]), node) for alias in node.names]


_FUTURE = "from __future__ import annotations"
_STAND_IN = "SimpleNamespace"  # in the place of tw.Problem
_IN_ORDER = """def {}(model, train, validation=None, test=None, **more):
    return SimpleNamespace(model=model, train=train, validation=validation, test=test, **more)"""
_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _acts(node: ast.stmt) -> bool:
    """Whether a statement does something when its file is run, and does not only define."""
    if isinstance(node, ast.If):
        return not {"__name__", "TYPE_CHECKING"} & {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return not docstring and not isinstance(node, (*_DEFINES, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign))


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, _DEFINES):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _used(node: ast.AST, annotations: bool) -> set[str]:
    """The names in it; those of annotations only where Python evaluates them."""
    found = {node.id} if isinstance(node, ast.Name) else set[str]()
    for field, value in ast.iter_fields(node):
        if annotations or field not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                found |= _used(child, annotations) if isinstance(child, ast.AST) else set()
    return found


def _read_later(body: Sequence[ast.stmt], function: str) -> set[str]:
    """Names that are read once the function has returned, when the rest of the script may have given them another
    meaning."""
    inner = (*_DEFINES, ast.Lambda)
    nodes = [node for node in body if isinstance(node, _DEFINES) and node.name != function]
    nodes += [n for node in body for n in ast.walk(node) if isinstance(n, inner) and n is not node]
    return {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}


def _ours(node: ast.AST) -> bool:
    """Whether it imports from thalweg."""
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] == "thalweg" for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.level > 0 or str(node.module).partition(".")[0] == "thalweg")


def _import(node: ast.stmt, uses: set[str], body: Sequence[ast.stmt]) -> Iterator[str]:
    """A line for each name that is used; "" for what no script can do without thalweg."""
    assert isinstance(node, ast.Import | ast.ImportFrom)
    from_module = isinstance(node, ast.ImportFrom)
    for alias in node.names:
        name = alias.asname or alias.name.partition(".")[0]
        if name not in uses or (from_module and node.module == "__future__"):
            continue
        if not _ours(node):
            yield ast.unparse(ast.ImportFrom(node.module, [alias], 0) if from_module else ast.Import([alias]))
        elif from_module:
            yield f"{name} = {_STAND_IN}" if alias.name == "Problem" else ""
        else:
            yield f"Problem = {_STAND_IN}" if _problem_alone(name, body) else ""


def _problem_alone(name: str, body: Sequence[ast.stmt]) -> bool:
    """Whether nothing of that module is used but its Problem."""
    nodes = [node for part in body for node in ast.walk(part)]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "Problem"]
    problems = sum(isinstance(node.value, ast.Name) and node.value.id == name for node in attributes)
    return problems == sum(isinstance(node, ast.Name) and node.id == name for node in nodes)


def _in_order(node: ast.AST) -> bool:
    """Whether a Problem in it is given parts by their order, which a namespace does not take."""
    calls = (one for one in ast.walk(node) if isinstance(one, ast.Call) and one.args)
    return any(getattr(one.func, "attr", getattr(one.func, "id", "")) == "Problem" for one in calls)


def _beside(path: Path, line: str) -> bool:
    """Whether an import is of a file beside that one."""
    module = line.split()[1].partition(".")[0]
    return (path.parent / f"{module}.py").exists() or (path.parent / module / "__init__.py").exists()


def _joined(text: str, body: Sequence[ast.stmt]) -> str:
    """The statements as they are written, with the comments above them."""
    lines, code, before = text.splitlines(), "", False
    for node in body:
        decorators = node.decorator_list if isinstance(node, _DEFINES) else []
        start = min([node.lineno, *(d.lineno for d in decorators)]) - 1
        while start and lines[start - 1].startswith("#"):
            start -= 1
        simple = not isinstance(node, _DEFINES)
        code += ("\n" if simple and before else "\n\n\n") * bool(code) + "\n".join(lines[start : node.end_lineno])
        before = simple
    return code
