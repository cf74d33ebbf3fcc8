"""The help in the chosen language: commands and options keep their English, and are said when they are shown."""

from __future__ import annotations

import copy
import sys
from typing import Any, TypeVar

from typer import rich_utils
from typer.core import TyperCommand, TyperGroup

from ..errors import UsageError
from ..language import AUTO, mark, say, use_language

Command = TypeVar("Command", bound=TyperCommand | TyperGroup)

EXAMPLE = mark("Example: ")
_OWN = {  # of typer's own words, and of click's
    "ARGUMENTS_PANEL_TITLE": mark("Arguments"),
    "OPTIONS_PANEL_TITLE": mark("Options"),
    "COMMANDS_PANEL_TITLE": mark("Commands"),
    "DEFAULT_STRING": mark("[default: {}]"),
    "REQUIRED_LONG_STRING": mark("[required]"),
}
_HELP = mark("Show this message and exit.")


class Commands(TyperGroup):
    """The program, whose language is chosen before it reads its arguments: their help may come first."""

    def main(self, args: Any = None, *more: Any, **named: Any) -> Any:
        words = [*(sys.argv[1:] if args is None else args)]
        try:
            use_language(_asked(words))
        except UsageError:  # which the option says, as it does of any value that is wrong
            use_language(AUTO)
        return super().main(args, *more, **named)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        shown = in_language(self)
        shown.commands = {name: in_language(command) for name, command in self.commands.items()}  # pyright: ignore
        super(Commands, shown).format_help(ctx, formatter)


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
    """The command with all its words said."""
    for name, word in _OWN.items():
        setattr(rich_utils, name, say(word))
    shown = copy.copy(command)
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
