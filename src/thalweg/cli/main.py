"""`thalweg`: reads the command line, runs a command, and turns errors into one sentence and an exit status.

Exit status: 0 done, 1 the work failed, 2 wrong use, 130 stopped by Ctrl-C, 141 the reader of a pipe has
closed it. Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import functools
import inspect
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ..errors import ThalwegError
from ..language import say, tell
from ..languages import named
from ..version import __version__
from . import descend
from .completion import add_completion
from .help import Commands, Spoken

COMMANDS = (
    *("compare", "run", "suite", "rank", "resume", "extend", "show", "report", "export", "recipe"),
    *("problems", "formula", "loss", "regularizer", "convolve"),
    *("schedule", "descend", "basins", "range_test", "bias_variance", "bag", "boost", "rerun", "size", "landscape"),
    *("sharpness", "picture", "derivative", "minimum", "studio"),
)  # in the order of the help

FORMULAS = ("convolve", "derivative", "loss", "minimum")  # whose arguments may be -x^2 or -1, and no options
NAMES = {"range_test": "range", "bias_variance": "bias-variance"}  # where a command is not called as its function

app = typer.Typer(
    name="thalweg",
    cls=Commands,
    help="Which optimizer, learning rate and schedule is best here, and how sure is that?",
    epilog="Example: thalweg compare digits --report report.html",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


CLOSED_PIPE = 141  # 128 + SIGPIPE


def _version(flag: bool) -> None:
    if flag:
        print(f"thalweg {__version__}")
        raise typer.Exit


def _chosen(language: str) -> None:
    """Refuse an unknown language; `Commands` has chosen already, for the help."""
    try:
        named(language)
    except ThalwegError as error:
        raise typer.BadParameter(str(error)) from error


Language = Annotated[
    str, typer.Option(callback=_chosen, is_eager=True, help="Of what is said: en, ko, or auto, the locale's.")
]


@app.callback()
def _root(
    language: Language = "auto",
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None: ...


def _write_nowhere() -> None:
    """Give whatever is still to be flushed at exit a place to go."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


_NO_MEMORY = ("bad_alloc", "allocate memory", "out of memory", "failed to map segment", "not enough memory")


def _for_memory(error: BaseException | None) -> bool:
    """Whether there was too little memory: libraries say so in several ways, also while they are imported."""
    while error is not None:
        words = str(error).lower()
        full = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
        if full or any(known in words for known in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The one place where errors become a sentence and an exit status."""

    @functools.wraps(command)
    def run(*args: object, language: str, **options: object) -> None:
        try:
            command(*args, **options)
        except ThalwegError as error:
            status, words = error.exit_status, str(error)
        except KeyboardInterrupt as stop:
            status, words = 130, str(stop) or say("stopped.")
        except (MemoryError, OSError, ImportError, RuntimeError) as error:
            if not _for_memory(error):
                raise
            status = 1
            words = say("there is not enough memory; what a store holds is safe: free some, and try again.")
        else:
            return
        tell(f"thalweg: {words}")
        raise typer.Exit(status)

    # Every command takes the language, also where it stands behind the command's own arguments.
    own = inspect.signature(command, eval_str=True)
    for parameter in own.parameters.values():
        add_completion(command.__name__, parameter)
    added = inspect.Parameter("language", inspect.Parameter.KEYWORD_ONLY, default="auto", annotation=Language)
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), added])  # pyright: ignore
    run.__annotations__ = {**command.__annotations__, "language": Language}
    return run


class Once(Spoken, TyperCommand):
    """A command of which an option that takes one value is not given twice: all but the last would be lost."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = args[: args.index("--")] if "--" in args else args
        for option in self.params:
            single = option.param_type_name == "option" and not getattr(option, "multiple", False)
            if single and not getattr(option, "is_flag", False) and option.nargs == 1:
                given = [w for w in words if w in option.opts or w.partition("=")[0] in option.opts]
                if len(given) > 1:
                    raise typer.BadParameter(
                        say(
                            "{option} is given {count} times and takes one value; where several are allowed, they are "
                            "separated by commas.",
                            option=option.opts[0],
                            count=len(given),
                        )
                    )
        return super().parse_args(ctx, args)


for name in COMMANDS:
    module = import_module(f".{name}", __package__)
    settings = {"ignore_unknown_options": name in FORMULAS}
    app.command(NAMES.get(name, name), epilog=module.EXAMPLE, context_settings=settings, cls=Once)(
        _guarded(getattr(module, name))
    )

app.command("surfaces", epilog=descend.LIST_EXAMPLE, cls=Once)(_guarded(descend.surfaces))


def main() -> None:
    """The entry point of the `thalweg` program."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as end:
        if not isinstance(end, BrokenPipeError) and not isinstance(end.__context__, BrokenPipeError):
            raise  # rich and typer answer a closed pipe with SystemExit
        _write_nowhere()
        sys.exit(CLOSED_PIPE)
