"""What a user's own code does, as a digest: the same as long as it does the same, in this process and the next.

Functions and classes are read as compiled, so that comments and their form do not matter, with whatever else of the
user's they name. Packages are taken by their names: another version of them is no other study.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import site
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), torch.dtype, torch.device, torch.Size)
LARGE = 1 << 16  # values of a tensor above which it is data, and no setting
_PARTS_OF_A_MODULE = frozenset(vars(nn.Module())) - {"training"}
_OF_PYTHON = frozenset({"__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__"})


def code_of(*things: Any) -> str:
    """The version of Python, whose compiled code differs from others', and a digest of what these do.

    >>> def half(x): return x / 2
    >>> def third(x): return x / 3
    >>> code_of(half) == code_of(half), code_of(half) == code_of(third)
    (True, False)
    """
    reader = _Reader()
    for thing in things:
        reader.add(thing)
    return f"{sys.version_info[0]}.{sys.version_info[1]} {reader.digest.hexdigest()}"


def differs(code: str | None, stored: str | None) -> bool:
    """Whether the code is another than that of a store; False where they cannot be compared."""
    if not code or not stored or code.split()[0] != stored.split()[0]:
        return False
    return code != stored


class _Reader:
    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.seen: dict[int, int] = {}
        self.alive: list[Any] = []  # so that no address comes twice

    def add(self, value: Any) -> None:
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, PLAIN):
            return self._put(repr(value))
        if id(value) in self.seen:
            return self._put(f"again {self.seen[id(value)]}")
        self.seen[id(value)] = len(self.seen)
        self.alive.append(value)
        kind = type(value)
        self._put(kind.__name__)
        if kind in _READERS:
            for part in _READERS[kind](value):
                self.add(part)
        elif isinstance(value, type):
            self._all(_class(value))
        elif isinstance(value, nn.Module):
            self._all([*settings(value), *value.named_buffers()])
        elif dataclasses.is_dataclass(value):
            self._all([kind, *((one.name, getattr(value, one.name)) for one in dataclasses.fields(value))])
        elif isinstance(value, Mapping):
            self._all([*value.items()])
        elif isinstance(value, tuple | list):
            self._all(value)
        elif isinstance(value, Tensor | np.ndarray):
            self._array(torch.as_tensor(value).detach().cpu())
        else:
            self._all([kind, *(sorted(vars(value).items()) if _own(kind) and hasattr(value, "__dict__") else ())])
        return None

    def _all(self, parts: Any) -> None:
        for part in parts:
            self.add(part)

    def _array(self, tensor: Tensor) -> None:
        self._put(f"{tuple(tensor.shape)} {tensor.dtype}")
        if tensor.numel() <= LARGE:
            self._put(repr(tensor.tolist()))

    def _put(self, text: str) -> None:
        self.digest.update(f"{len(text)} {text}".encode(errors="surrogatepass"))


def _own(thing: Any) -> bool:
    """Whether a function or class is the user's, and not of a package or of Python."""
    return _in_own(getattr(thing, "__module__", None) or "")


def _in_own(name: str) -> bool:
    """Whether the module of that name is the user's."""
    if name.partition(".")[0] in ("thalweg", "builtins"):
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is None or not file.startswith(_packages())


@functools.cache
def _packages() -> tuple[str, ...]:
    """Where Python and the packages lie."""
    known = sysconfig.get_paths()
    return tuple({known["stdlib"], known["purelib"], known["platlib"], *site.getsitepackages()})


def _function(function: types.FunctionType) -> Iterator[Any]:
    if not _own(function):
        yield f"{function.__module__}.{function.__qualname__}"
        return
    yield from (function.__code__, function.__defaults__, function.__kwdefaults__)
    for cell in function.__closure__ or ():
        try:
            yield from _setting(cell.cell_contents)
        except ValueError:  # an empty cell
            continue
    names = sorted(_names(function.__code__))
    for name in names:
        if name in (place := function.__globals__):
            yield name
            yield from _setting(place[name])
            if isinstance(place[name], types.ModuleType) and _in_own(place[name].__name__):
                yield from (part for one in names for part in _setting(vars(place[name]).get(one)))


def _setting(value: Any) -> Iterator[Any]:
    """What a function reads from outside, if it says how it acts; what it may fill, as a list of results, does not."""
    value = getattr(value, "__wrapped__", value) if not isinstance(value, type) else value
    plain = isinstance(value, dict) and all(isinstance(one, PLAIN) for pair in value.items() for one in pair)
    if plain or callable(value) or isinstance(value, (*PLAIN, tuple, Tensor)):
        yield value


def _code(code: types.CodeType) -> Iterator[Any]:
    yield from (code.co_code, code.co_names, code.co_varnames, code.co_flags)
    yield from code.co_consts


def _names(code: types.CodeType) -> set[str]:
    """The names that it and the functions in it look up outside."""
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return {*code.co_names, *(name for one in inner for name in _names(one))}


def _class(one: type) -> Iterator[Any]:
    yield f"{one.__module__}.{one.__qualname__}" if not _own(one) else one.__qualname__
    if _own(one):
        for name, value in sorted(vars(one).items()):
            if name not in _OF_PYTHON:
                yield from (name, *_attribute(value))
        yield from one.__bases__


def _attribute(value: Any) -> Iterator[Any]:
    yield from _setting(value.__func__ if isinstance(value, staticmethod | classmethod) else value)
    if isinstance(value, property):
        yield from (value.fget, value.fset)


def settings(module: nn.Module) -> Iterator[Any]:
    """The classes of a model and of its parts, and their numbers; not its tensors, which a seed gives."""
    for part in module.modules():
        own = ((name, value) for name, value in vars(part).items() if name not in _PARTS_OF_A_MODULE)
        numbers = ((name, v) for name, v in own if isinstance(v, PLAIN) and name != "training" and name[0] != "_")
        yield (type(part), *sorted(numbers))


_READERS: dict[type, Any] = {
    types.FunctionType: _function,
    types.CodeType: _code,
    types.MethodType: lambda m: (m.__func__, m.__self__),
    types.BuiltinFunctionType: lambda f: (f.__name__,),
    types.ModuleType: lambda m: (m.__name__,),
    functools.partial: lambda p: (p.func, p.args, p.keywords),
    frozenset: lambda s: sorted(map(repr, s)),
    set: lambda s: sorted(map(repr, s)),
}
