"""`load`: the problem that a name, a module or a file stands for.

Read next: `source.py` (how a file or module is run), `builtin.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ProblemError
from ..language import mark, say
from ..unknown import unknown
from . import command
from .builtin import PROBLEMS
from .declaration import Problem
from .loop import Loop, loop_of, takes_run
from .of_table import is_table_spec, of_spec
from .source import Definition, opened, source_text

FORMS = mark("your own is given as file.py:function or package.module:function, a table as data.csv with a target")


def load(spec: Any) -> Problem:
    """The problem that `spec` names, with its name and source filled in.

    `spec` is a Problem, a built-in's name, ``package.module:function`` or ``file.py:function``; the
    function takes no arguments and returns a Problem. A file may import its neighbours.

    Raises:
        ProblemError: if there is no such problem, file, module or function, or the function fails or
            returns something else.

    >>> load("digits").loss
    'cross_entropy'
    """
    thing = declared(spec)
    if isinstance(thing, Loop):
        raise ProblemError(
            "{thing} is {what}, whose model and data are not known; this needs a tw.Problem.",
            thing=thing.name,
            what=thing.what,
        )
    return thing


def declared(spec: Any) -> Problem | Loop:
    """As `load`; or the training loop that `spec` is or names, a function that takes a run.

    >>> declared(lambda run: None).name
    'lambda'
    """
    if isinstance(spec, Loop):
        return spec
    if isinstance(spec, Problem):
        return spec if spec.source else _named(spec, "problem", "object", "", source_text(spec.model))
    if callable(spec):
        return loop_of(spec)
    if not isinstance(spec, str):
        raise ProblemError(
            "the problem is of type {kind}; give a tw.Problem, a training loop (def train(run)) or a name "
            "({names}), or {forms}.",
            kind=type(spec).__name__,
            names=", ".join(PROBLEMS),
            forms=FORMS,
        )
    if spec.startswith("command("):
        return command.of_spec(spec)
    if is_table_spec(spec):
        return of_spec(spec)
    if spec in PROBLEMS:
        return _named(PROBLEMS[spec](), spec, "built-in", spec, source_text(PROBLEMS[spec]))
    place, colon, function = spec.rpartition(":")
    if not colon and spec.endswith(".py"):
        raise ProblemError("{spec} names a file and no function in it; write {spec}:function.", spec=spec)
    if not colon:
        raise ProblemError(unknown("problem", spec, PROBLEMS).removesuffix(".") + f"; {say(FORMS)}.")
    if not place or not function.isidentifier():
        raise ProblemError("{spec} is not a problem: {forms}.", spec=repr(spec), forms=FORMS)
    with opened(spec, ProblemError) as definition:
        if takes_run(thing := definition.get()):
            path = f"{Path(place).expanduser().resolve()}:{function}" if definition.kind == "file" else spec
            return Loop(thing, function, definition.kind, path, definition.text)
        return _named(_call(definition), function, definition.kind, spec, definition.text)


def _call(definition: Definition) -> Problem:
    problem = definition.call()
    if not isinstance(problem, Problem):
        raise ProblemError(
            "{spec}: function {name} returned something of type {returned}; it must return a tw.Problem.",
            spec=repr(definition.spec),
            name=definition.name,
            returned=type(problem).__name__,
        )
    return problem


def _named(problem: Problem, name: str, kind: str, spec: str, text: str) -> Problem:
    name, digest = problem.name or name, hashlib.sha256(text.encode()).hexdigest()
    return replace(problem, name=name, source={"kind": kind, "spec": spec or name, "text": text, "sha256": digest})
