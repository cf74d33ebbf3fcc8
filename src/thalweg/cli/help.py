"""The help, and what is wrong with a command line, in the chosen language.

Commands and options keep their English, and are said when they are shown. What typer answers to a mistake is recognised
by the texts it fills in, which differ between its versions.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Group
from rich.table import Table
from rich.text import Text
from typer import BadParameter, rich_utils
from typer.core import TyperCommand, TyperGroup

from ..errors import UsageError
from ..language import mark, say
from ..languages import AUTO, use_language

Command = TypeVar("Command", bound=TyperCommand | TyperGroup)

EXAMPLE = mark("Example: ")
_OWN = {  # of typer's own words, and of click's
    "ARGUMENTS_PANEL_TITLE": mark("Arguments"),
    "OPTIONS_PANEL_TITLE": mark("Options"),
    "COMMANDS_PANEL_TITLE": mark("Commands"),
    "DEFAULT_STRING": mark("[default: {}]"),
    "REQUIRED_LONG_STRING": mark("[required]"),
    "ERRORS_PANEL_TITLE": mark("Error"),
    "RICH_HELP": mark("Try [blue]'{command_path} {help_option}'[/] for help."),
}
_Wrong: Any = BadParameter.__mro__[1]  # click's UsageError, which newer typers have inside
_ANSWERS = (
    mark("No such option: {option} (Possible options: {options})"),
    mark("No such option: {option}"),
    mark("No such command {command}. Did you mean {hint}?"),
    mark("No such command {command}."),
    mark("Missing argument {argument}."),
    mark("Missing command."),
    mark("Got unexpected extra argument(s) ({words})"),
    mark("Option {option} requires an argument."),
    mark("Option {option} does not take a value."),
    mark("Invalid value for {option}: {reason}"),
    mark("Invalid value: {reason}"),
    mark("Input should be a valid integer, unable to parse string as an integer"),
    mark("Input should be a valid number, unable to parse string as a number"),
)
_KNOWN = [
    (answer, re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(answer)), re.DOTALL)) for answer in _ANSWERS
]
_HELP = mark("Show this message and exit.")


class _Whole(Table):
    """A table whose cells are folded where typer's are cut, an option's name at 60 columns among them."""

    def add_row(self, *cells: Any, **named: Any) -> None:
        super().add_row(*cells, **named)
        for column in self.columns:
            column.overflow = "fold"


def _flowing(parts: Sequence[Any]) -> Any:
    """The help of an option and its default, one after the other; typer's columns cut words that are wide."""
    texts = [part for part in parts if isinstance(part, Text)]
    return Text(" ").join(texts) if len(texts) == len(parts) else Group(*parts)


class Spoken:
    """A command, or the program, that is shown in the chosen language."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super(Spoken, in_language(self)).format_help(ctx, formatter)  # pyright: ignore

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        pieces = self.collect_usage_pieces(ctx)  # pyright: ignore
        formatter.write_usage(ctx.command_path, " ".join(pieces), prefix=say("Usage: "))


class Commands(Spoken, TyperGroup):
    """The program, whose language is chosen before it reads its arguments: their help may come first."""

    def main(self, args: Any = None, *more: Any, **named: Any) -> Any:
        words = [*(sys.argv[1:] if args is None else args)]
        try:
            use_language(_asked(words))
        except UsageError:  # which the option says, as it does of any value that is wrong
            use_language(AUTO)
        parts = {name: say(word) for name, word in _OWN.items()} | {"Columns": _flowing, "Table": _Whole}
        for name, part in parts.items():
            setattr(rich_utils, name, part)
        return super().main(args, *more, **named)

    def make_context(self, *args: Any, **named: Any) -> Any:
        with _answering():
            return super().make_context(*args, **named)

    def invoke(self, ctx: Any) -> Any:
        with _answering():
            return super().invoke(ctx)


@contextmanager
def _answering() -> Iterator[None]:
    """What is wrong with a command line, said in the chosen language."""
    try:
        yield
    except _Wrong as error:
        if (words := answered(message := error.format_message())) == message:
            raise
        raise _Wrong(words, error.ctx) from None


def answered(message: str) -> str:
    """One of typer's messages in the chosen language, with what it quotes; others as they are.

    >>> answered("Invalid value for '--steps': Input should be a valid integer, unable to parse string as an integer")
    "Invalid value for '--steps': Input should be a valid integer, unable to parse string as an integer"
    """
    for answer, form in _KNOWN:
        if match := form.fullmatch(message):
            return say(answer, **{name: answered(value) for name, value in match.groupdict().items()})
    return message


def _asked(words: list[str]) -> str:
    """
    >>> _asked(["show", "--language", "ko"]), _asked(["--language=en", "show"]), _asked(["show"]), _asked([])
    ('ko', 'en', 'auto', 'auto')
    """
    for word, after in zip(words, [*words[1:], AUTO], strict=False):
        if word == "--language":
            return after
        if word.startswith("--language="):
            return word.partition("=")[2]
    return AUTO


def in_language(command: Command) -> Command:
    """The command with all its words said, and those of its commands."""
    shown = copy.copy(command)
    if isinstance(command, TyperGroup):
        shown.commands = {name: in_language(one) for name, one in command.commands.items()}  # pyright: ignore
    shown.help = said(command.help)
    shown.epilog = said(command.epilog)
    shown.params = [_param(param) for param in command.params]
    shown.get_help_option = lambda ctx: _param(type(command).get_help_option(command, ctx))  # pyright: ignore
    return shown


def said(words: str | None) -> str | None:
    """Help in the chosen language; what an example types stays as it is."""
    if words is None or not words.startswith(EXAMPLE):
        return words and say(words)
    return say(EXAMPLE) + words.removeprefix(EXAMPLE)


def _param(param: Any) -> Any:
    shown = copy.copy(param)
    if getattr(shown, "help", None):
        shown.help = say(shown.help)
    return shown
