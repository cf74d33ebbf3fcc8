"""The options of a command in a file, `study.toml`: written beside a study's store, to be edited and run again."""

from __future__ import annotations

import contextlib
import json
import textwrap
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import typer

from ..errors import first_line
from ..unknown import unknown

ENDING = ".toml"
_HEAD = """\
# Every option of `thalweg {command}`: edit them, and run them again with `thalweg {command} {path}`.
# What stands behind a # is not given; an option on the command line comes before the one here.
"""


def read_settings(context: typer.Context, value: str) -> str:
    """Where the problem is the name of such a file: its problem, and its options as those of the command.

    Raises:
        BadParameter: the file is missing or not TOML, has no problem, or an option that the command lacks.
    """
    if not value.endswith(ENDING):
        return value
    try:
        given = tomllib.loads(Path(value).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise typer.BadParameter(f"{value} cannot be read as a file of options: {reason}.") from error
    options = _options(context)
    if not isinstance(problem := given.pop("problem", None), str):
        raise typer.BadParameter(f'{value} names no problem; write problem = "digits", or another one.')
    named = {name.replace("-", "_"): value for name, value in given.items()}
    if odd := [name for name in named if name not in options]:
        raise typer.BadParameter(f"{value}: {unknown('option', odd[0], options, f'thalweg {context.command.name}')}")
    context.default_map = {name: _words(value, options[name].multiple) for name, value in named.items()}
    return problem


def _options(context: typer.Context) -> dict[str, Any]:
    """The command's, by name."""
    options = [p for p in context.command.params if p.param_type_name == "option"]
    return {str(p.name): p for p in options if p.name != "help"}


def _words(value: Any, several: bool) -> Any:
    """As the command line has it: lists with commas, and tables as NAME=VALUE,VALUE.

    >>> _words({"weight_decay": [0, 1e-4]}, True), _words([0.1, 1.0], False), _words("sgd", False)
    (['weight_decay=0,0.0001'], '0.1,1.0', 'sgd')
    """
    if isinstance(value, dict):
        return [f"{name}={_words(levels, False)}" for name, levels in value.items()]
    if several:
        return [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return ",".join(map(str, value)) if isinstance(value, list) else value if isinstance(value, bool) else str(value)


def write_settings(context: typer.Context, given: Mapping[str, Any], skip: Collection[str], path: Path) -> None:
    """Write the options that a command was given, if it can be done: a file that is there is left alone.

    Args:
        given: by name, the problem among them.
        skip: options that are not of the study.
    """
    lines = [_HEAD.format(command=context.command.name, path=path), f"problem = {_literal(given['problem'])}"]
    for name, option in _options(context).items():
        if name in given and name not in skip:
            lines += ["", *textwrap.wrap(option.help or "", 118, initial_indent="# ", subsequent_indent="# ")]
            value = given[name]
            lines.append(f"# {name} =" if value is None else f"{name} = {_literal(value)}")
    with contextlib.suppress(OSError), path.open("x", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def _literal(value: Any) -> str:
    """In TOML, which writes these as JSON does."""
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
