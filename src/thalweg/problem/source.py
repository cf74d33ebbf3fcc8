"""What a user names as ``file.py:name`` or ``package.module:name``: located, run and stored as text.

A file is run from the very text that is stored, under its own module name, with its folder on the import path as long
as it is in use, so that it may import its neighbours.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import io
import re
import sys
import tokenize
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import UsageError, first_line, line_of
from ..formulas import Formula
from ..unknown import unknown

_SPEC = re.compile(r"[^()]+:[A-Za-z_]\w*")


def is_spec(text: str) -> bool:
    """Whether the text has the form of a place and a name.

    >>> is_spec("rules.py:mine"), is_spec("adam(beta2=0.99)")
    (True, False)
    """
    return _SPEC.fullmatch(text) is not None


@dataclass(frozen=True)
class Definition:
    """A module, the name in it that the spec gives, "file" or "module", and the module's text."""

    spec: str
    module: ModuleType
    name: str
    kind: str
    text: str
    error: type[UsageError]

    def get(self) -> Any:
        """What the module has under that name."""
        if not hasattr(self.module, self.name):
            kinds = (types.FunctionType, Formula)
            names = [key for key, value in vars(self.module).items() if isinstance(value, kinds) and key[0] != "_"]
            raise self.error(f"{self.spec!r}: " + unknown("function or formula there", self.name, names or ["none"]))
        return getattr(self.module, self.name)

    def call(self) -> Any:
        """What the function of that name returns."""
        function = self.get()
        if not callable(function):
            raise self.error(
                "{spec}: {name} is of type {kind}; give a function.",
                spec=repr(self.spec),
                name=self.name,
                kind=type(function).__name__,
            )
        try:
            return function()
        except (Exception, SystemExit) as fault:  # whatever a user's function may raise
            raise failed(self.spec, f"function {self.name}", fault, self.error) from fault


@contextlib.contextmanager
def opened(spec: str, error: type[UsageError]) -> Iterator[Definition]:
    """The module that `spec` names, importable neighbours included, for as long as this lasts.

    Raises:
        error: there is no such file or module, or it fails.
    """
    place, _, name = spec.rpartition(":")
    if not place.endswith(".py"):
        with importable(Path.cwd(), forget=False):
            module = _imported(spec, place, error)
            yield Definition(spec, module, name, "module", source_text(module), error)
        return
    path = Path(place).expanduser()
    if not path.is_file():
        raise error("{given}: there is no file {file}; check the path.", given=repr(spec), file=path)
    path = path.resolve()
    try:
        raw = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        text = raw.decode(encoding)
    except (OSError, SyntaxError, UnicodeDecodeError) as fault:
        raise failed(spec, f"file {path.name}", fault, error) from fault
    with importable(path.parent, forget=True):
        yield Definition(spec, _run(spec, path, text, error), name, "file", text, error)


def _imported(spec: str, name: str, error: type[UsageError]) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as fault:  # whatever a user's module may raise
        missing = fault.name or name if isinstance(fault, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            raise error(
                f"{spec!r}: there is no module {missing}; check its spelling, run from its folder or install it."
            ) from fault
        raise failed(spec, f"module {name}", fault, error) from fault


def _run(spec: str, path: Path, text: str, error: type[UsageError]) -> ModuleType:
    """The module of the text that was read, so that the stored source is what ran."""
    digest = hashlib.sha256("\n".join([str(path), text]).encode()).hexdigest()
    name = f"thalweg_file_{path.stem}_{digest[:12]}"
    location = importlib.util.spec_from_file_location(name, path)
    assert location is not None
    module = importlib.util.module_from_spec(location)
    sys.modules[name] = module
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as fault:  # whatever a user's file may raise
        del sys.modules[name]
        raise failed(spec, f"file {path.name}", fault, error) from fault
    return module


def failed(spec: str, what: str, fault: BaseException, error: type[UsageError]) -> UsageError:
    """The sentence for something of the user's that raised."""
    line = f" at line {fault.lineno}" if isinstance(fault, SyntaxError) and fault.lineno else ""
    return error(
        f"{spec!r}: {what} fails with {type(fault).__name__}{line} ({first_line(fault)}){line_of(fault)}; "
        "repair it and try again."
    )


def source_text(thing: Any) -> str:
    """The source text of a module or function, or of several by label; empty where Python does not know it."""
    if isinstance(thing, Mapping):
        return "\n\n".join(filter(None, map(source_text, thing.values())))
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        return ""


def required_arguments(function: Callable[..., Any]) -> int:
    """How many arguments a function must be given by place; 0 where Python does not know it."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of what is not written in Python
        return 0
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


@contextlib.contextmanager
def importable(folder: Path, forget: bool) -> Iterator[None]:
    """`folder` first on the import path for as long as this lasts.

    With `forget`, modules of the folder that were imported meanwhile are removed again, because the `net.py` beside
    another problem is another module.
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
