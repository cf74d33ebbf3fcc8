"""What is to be learned: `Problem`, and `load`, which finds one by name, module or file.

A problem is only declared here; nothing is read or run until `prepare.prepare` checks it. What a problem
was made from (the text of its file or function) travels with it, so that a store can say it years later.
Read next: `prepare.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import io
import sys
import tokenize
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ProblemError, unknown
from .data import first_line

OWN = "your own is given as file.py:function or package.module:function"


@dataclass(frozen=True, eq=False)
class Problem:
    """Model, data, loss and metrics: what every member of a study learns.

    Args:
        model: a function without arguments that returns a fresh `torch.nn.Module`. A function, because
            each member starts from an initialisation of its own seed.
        train: a pair (inputs, targets) of tensors or arrays with one row per sample, inputs
            (samples, …); a torch Dataset, which is read into memory; or a DataLoader, which is used as it
            is (its own order, batch size, drop_last and dtypes).
        validation, test: the same forms; a DataLoader is read through once. A missing test part is 20% of
            the training data, a missing validation part 20% of what is left, drawn by `seed` and
            stratified by class where possible. Nothing can be split off a train DataLoader: it needs
            `validation`, half of which becomes the test part if `test` is missing.
        loss: ``cross_entropy``, ``mse``, ``l1``, ``huber``, or a function (outputs, targets) → scalar or
            per-sample values. Cross-entropy by default, as for most networks: outputs
            (samples, classes, …) and class ids (samples, …).
        metrics: names (``accuracy``, ``mae``, ``mse``) or functions like a loss; reported, never minimised.
        name: what tables and reports call it.
        seed: of the split alone; members have their own seeds.
        source: filled in by `load`: kind, spec, text and sha256 of where the problem came from.

    Floats are converted to the dtype of the model's parameters, integers to int64.

    Raises:
        ProblemError: when a study prepares it, if its parts do not fit together.

    >>> import torch, thalweg as tw
    >>> inputs = torch.linspace(-1, 1, 100).reshape(100, 1)
    >>> line = Problem(model=lambda: torch.nn.Linear(1, 1), train=(inputs, 2 * inputs + 1), loss="mse")
    >>> from thalweg.study.prepare import prepare
    >>> [len(inputs) for inputs, _ in (prepare(line).train, prepare(line).validation, prepare(line).test)]
    [64, 16, 20]
    """

    model: Callable[[], Any]
    train: Any = field(repr=False)
    validation: Any = field(default=None, repr=False)
    test: Any = field(default=None, repr=False)
    loss: str | Callable[..., Any] = "cross_entropy"
    metrics: tuple[str | Callable[..., Any], ...] = ()
    name: str = ""
    seed: int = 0
    source: Mapping[str, str] = field(default_factory=dict, repr=False)


def load(spec: str | Problem) -> Problem:
    """The problem that `spec` names, with its name and source filled in.

    `spec` is a Problem, a built-in's name, ``package.module:function`` or ``file.py:function``; the
    function takes no arguments and returns a Problem. A file may import its neighbours.

    Raises:
        ProblemError: if there is no such problem, file, module or function, or the function fails or
            returns something else.

    >>> load("digits").loss
    'cross_entropy'
    """
    from ..problems import PROBLEMS  # not above: the built-ins are made of Problem

    if isinstance(spec, Problem):
        return spec if spec.source else _named(spec, "problem", "object", "", _source(spec.model))
    if not isinstance(spec, str):
        raise ProblemError(
            f"the problem is a {type(spec).__name__}; give a tw.Problem or a name ({', '.join(PROBLEMS)}), "
            f"or {OWN}."
        )
    if spec in PROBLEMS:
        return _named(PROBLEMS[spec](), spec, "built-in", spec, _source(PROBLEMS[spec]))
    place, colon, function = spec.rpartition(":")
    if not colon and spec.endswith(".py"):
        raise ProblemError(f"{spec!r} names a file and no function in it; write {spec}:function.")
    if not colon:
        raise ProblemError(unknown("problem", spec, PROBLEMS).removesuffix(".") + f"; {OWN}.")
    if not place or not function.isidentifier():
        raise ProblemError(f"{spec!r} is not a problem: {OWN}.")
    if place.endswith(".py"):
        return _from_file(spec, Path(place).expanduser(), function)
    return _from_module(spec, place, function)


def _from_module(spec: str, name: str, function: str) -> Problem:
    with _importable(Path.cwd(), forget=False):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or name
            if name == missing or name.startswith(f"{missing}."):
                raise ProblemError(
                    f"{spec!r}: there is no module {missing}; "
                    "check its spelling, run from its folder or install it."
                ) from error
            raise _failed(spec, f"module {name}", error) from error
        except (Exception, SystemExit) as error:  # whatever a user's module may raise
            raise _failed(spec, f"module {name}", error) from error
        problem = _call(spec, module, function)
    return _named(problem, function, "module", spec, _source(module))


def _from_file(spec: str, path: Path, function: str) -> Problem:
    if not path.is_file():
        raise ProblemError(f"{spec!r}: there is no file {path}; check the path.")
    path = path.resolve()
    try:
        raw = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        text = raw.decode(encoding)
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise _failed(spec, f"file {path.name}", error) from error
    with _importable(path.parent, forget=True):
        module = _run(spec, path, text)
        problem = _call(spec, module, function)
    return _named(problem, function, "file", spec, text)


def _run(spec: str, path: Path, text: str) -> ModuleType:
    """The module made of the text that was read, so that what is kept as source is what ran."""
    digest = hashlib.sha256("\n".join([str(path), text]).encode()).hexdigest()
    name = f"thalweg_problem_{path.stem}_{digest[:12]}"
    location = importlib.util.spec_from_file_location(name, path)
    assert location is not None
    module = importlib.util.module_from_spec(location)
    sys.modules[name] = module
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # whatever a user's file may raise
        del sys.modules[name]
        raise _failed(spec, f"file {path.name}", error) from error
    return module


def _call(spec: str, module: ModuleType, name: str) -> Problem:
    function = getattr(module, name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if inspect.isfunction(value) and key[0] != "_"]
        raise ProblemError(f"{spec!r}: " + unknown("function there", name, own or ["none"]))
    try:
        problem = function()
    except (Exception, SystemExit) as error:  # whatever a user's function may raise
        raise _failed(spec, f"function {name}", error) from error
    if not isinstance(problem, Problem):
        raise ProblemError(
            f"{spec!r}: function {name} returned a {type(problem).__name__}; it must return a tw.Problem."
        )
    return problem


def _failed(spec: str, what: str, error: BaseException) -> ProblemError:
    line = f" at line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
    return ProblemError(
        f"{spec!r}: {what} fails with {type(error).__name__}{line} ({first_line(error)}); "
        "repair it and try again."
    )


def _named(problem: Problem, name: str, kind: str, spec: str, text: str) -> Problem:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return replace(
        problem,
        name=problem.name or name,
        source={"kind": kind, "spec": spec or problem.name or name, "text": text, "sha256": digest},
    )


def _source(thing: Any) -> str:
    """The source text of a module or function, empty where Python does not know it."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        return ""


@contextlib.contextmanager
def _importable(folder: Path, forget: bool) -> Iterator[None]:
    """`folder` first on the import path for as long as this lasts.

    With `forget`, modules that lie in the folder and were imported meanwhile are forgotten again, because
    the `net.py` beside another problem is another module.
    """
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the user's module may have removed it
            sys.path.remove(str(folder))
        new = set(sys.modules) - before
        neighbours = {name for name in new if "." not in name and _lies_in(sys.modules[name], folder)}
        for name in new:
            if forget and name.split(".")[0] in neighbours:
                del sys.modules[name]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    """Whether a module is folder/name.py or folder/name/, and not a package installed somewhere below."""
    name = module.__name__
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(place in (str(folder / f"{name}.py"), str(folder / name)) for place in places)
