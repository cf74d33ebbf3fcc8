"""Any command as a training loop: `python train.py --lr {lr} --seed {seed}`, run once for each member of a study.

What a run is to train with stands in the command's words; what it reports is read from what it prints, or from a file
that it writes (`printed.py`). No shell is between: words are split as a shell splits them, and then filled in.

Read next: `loop.py`, what a study knows of it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import string
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from .. import calls
from ..errors import ProblemError, TrainingError, short
from ..numbers import COUNT
from .loop import Loop
from .printed import Lines, base_of, reader_of
from .reports import RunEnded

if TYPE_CHECKING:
    from .run import Run

EXAMPLE = "command('python train.py --lr {lr} --seed {seed}', metric='loss')"
OUT = "out"  # an empty folder of the run's own
PLACES = ("optimizer", "lr", "schedule", "seed", "epochs", "batch_size", OUT)
_POLL, _PATIENCE, _KEPT = 0.1, 5.0, 40  # seconds; seconds to end in; lines for a message
_MORE = "it reports more than {0} times, and a run has {0} epochs; give as many epochs as it reports"
_AT = re.compile(r'File "([^"]+)", line (\d+)')


@dataclass(frozen=True)
class Command:
    """A command with ``{places}`` for what a run is to train with; called with a run, it is run.

    Attributes:
        text: of the command.
        metric: the name under which it says what runs are judged by.
        file: where it writes its reports, with ``{out}`` in it; None where it prints them.
        folder: where it is run.
        threads: that each run is told to use (``OMP_NUM_THREADS``), unless the user says otherwise.
    """

    text: str
    metric: str
    file: str | None
    folder: str
    threads: int = field(default=1, compare=False)

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def places(self) -> set[str]:
        """What it is told, or its metric file."""
        return places_of(*self.words, self.file or "")

    @property
    def name(self) -> str:
        """What tables call it: the script, where it has one."""
        words = self.words
        return next((Path(w).name for w in words if re.search(r"\.\w{1,3}$", w)), Path(words[0]).name)

    def filled(self, values: Mapping[str, Any]) -> list[str]:
        """The words of a run."""
        return _filled(self.words, values)

    def __call__(self, run: Run) -> None:
        run.used |= self.places
        with tempfile.TemporaryDirectory(prefix="thalweg-run-") as out:
            values = {**run.told, OUT: out}
            file = None if self.file is None else Path(self.folder, *_filled([self.file], values))
            with contextlib.closing(_Child(self.filled(values), self.folder, self.threads)) as child:
                heard = _Heard(run, base_of(self.metric.partition(":")[0]))
                reader = reader_of(file, heard.lines)
                while child.running:
                    reader.read(child.lines(_POLL))
                    heard.tell(last=False)
                    if run.stopping() and run.left:
                        raise RunEnded
                reader.read(child.lines(0.0), end=True)
                if child.process.returncode:
                    raise TrainingError(_ended(child))
                heard.tell(last=True)
                if not run.reports:
                    raise TrainingError(_silent(self, reader.names, file))


def command(
    text: str,
    metric: str = "loss",
    file: str | None = None,
    folder: str | Path | None = None,
    at_once: int | None = None,
) -> Loop:
    """A training script, or any other command, as what `tw.compare` trains.

    A run is one call of it, and is told what it is to train with by its words. ``epochs`` of `tw.compare` is how many
    reports a run makes; with 1 the last one counts. ``optimizers`` are words, which the command is told as they are.

    Args:
        text: the command, with ``{lr}`` and whatever else varies or is to be told: ``{optimizer}``, ``{schedule}``,
            ``{batch_size}``, ``{seed}``, ``{epochs}``, hyperparameters of your own by their names, and ``{out}``, an
            empty folder that is removed when the run has ended. A brace is written ``{{``.
        metric: the name of what runs are judged by as the command says it, loss or accuracy, of the validation data;
            "f1:max" where it is not known whether higher is better.
        file: what the command writes its reports to, below ``{out}``: lines of JSON, CSV or ``name=value``. Standard
            output unless given, on which a report is a line with the metric: ``val_loss=0.31``, ``val loss: 0.31`` or
            JSON.
        folder: where the command is run; the current one unless given.
        at_once: runs at the same time; as many as there are cores unless given, each told to use one
            (``OMP_NUM_THREADS``).

    Raises:
        ProblemError: it has no ``{lr}``, braces that are not closed, or no program of that name.

    >>> command("sh -c 'echo val_loss={lr}'").name
    'sh'
    """
    where = str(Path.cwd() if folder is None else Path(folder).expanduser().resolve())
    at_once = None if at_once is None else COUNT.check("at_once", at_once, ProblemError)
    cores = os.cpu_count() or 1
    made = Command(text, metric, file, where, max(1, cores // (at_once or cores)))
    _check(made)
    given = {"metric": metric, "file": file, "folder": where, "at_once": at_once}
    spec = calls.write("command", {name: value for name, value in given.items() if value is not None}, text)
    return Loop(made, made.name, "command", spec, text, at_once)


def of_spec(spec: str) -> Loop:
    """The command that the text stands for.

    Raises:
        ProblemError: it is not such a call, or has other arguments, or cannot be run here.
    """
    return command(*_arguments(spec))


def parsed(spec: str) -> Command:
    """As `of_spec`, of which nothing is looked for."""
    return Command(*_arguments(spec)[:4])


def _arguments(spec: str) -> tuple[str, str, str | None, str, int | None]:
    call = calls.read(spec, ProblemError, EXAMPLE)
    named = {"metric": "loss", "file": None, "folder": ".", "at_once": None, **call.named}
    kinds = {"metric": str, "file": str | None, "folder": str, "at_once": int | None}
    fits = len(call.positional) == 1 and isinstance(call.positional[0], str) and named.keys() == kinds.keys()
    if not fits or not all(isinstance(value, kinds[name]) for name, value in named.items()):
        raise ProblemError(
            "{spec} is not of the form {example}, with the arguments of tw.command.",
            spec=repr(short(spec)),
            example=EXAMPLE,
        )
    return call.positional[0], named["metric"], named["file"], named["folder"], named["at_once"]


def _check(made: Command) -> None:
    try:
        words, places = made.words, made.places
    except ValueError as error:
        raise ProblemError(
            "the command {text} cannot be read: {error}; a brace is written {{{{.",
            text=repr(short(made.text)),
            error=error,
        ) from error
    if not words:
        raise ProblemError("the command is empty; give one such as 'python train.py --lr {lr} --seed {seed}'.")
    if odd := [name for name in places if not name.isidentifier()]:
        raise ProblemError(
            "{{{odd}}} in the command is not a name; write {{lr}}, {{seed}}, …, and a brace of its own as {{{{.",
            odd=odd[0],
        )
    if "lr" not in places_of(*words):
        raise ProblemError(
            "the command {text} is told no rate; write {{lr}} where it takes one.", text=repr(short(made.text))
        )
    if made.file is not None and OUT not in places_of(made.file):
        raise ProblemError(
            "the metric file {file} would be the same for every run; write it below {{out}}, the run's "
            "own folder, which the command is told as {{out}} too.",
            file=repr(short(made.file)),
        )
    where = os.pathsep.join([os.environ.get("PATH", os.defpath), made.folder])
    if shutil.which(words[0], path=where) is None and not places_of(words[0]):
        raise ProblemError(
            "{words} is not a program that can be run; give the command as a shell has it.", words=repr(short(words[0]))
        )


def places_of(*texts: str) -> set[str]:
    """The names in braces."""
    return {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name is not None}


class _Filler(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        return format(value, format_spec) if format_spec else _text(value)


def _text(value: Any) -> str:
    """As a command line has it: a whole number without a point, others with all their digits.

    >>> [_text(value) for value in (64.0, 1e-05, "cosine")]
    ['64', '1e-05', 'cosine']
    """
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value) if whole else value)


def _filled(words: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    try:
        return [_Filler().vformat(word, (), values) for word in words]
    except (KeyError, ValueError, TypeError) as error:
        raise TrainingError(f"the command cannot be filled in ({error}); it is told {', '.join(values)}") from error


class _Child:
    """A running command, and what it has printed."""

    def __init__(self, words: Sequence[str], folder: str, threads: int) -> None:
        self.words, self.tail = words, deque[str](maxlen=_KEPT)
        try:
            self.process = subprocess.Popen(
                words,
                cwd=folder,
                env={"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1", **os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is for the study, which then ends its runs
            )
        except OSError as error:
            raise TrainingError(f"{short(shlex.join(words))!r} cannot be run: {error.strerror or error}") from error
        self._queue: SimpleQueue[str] = SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def lines(self, wait: float) -> list[str]:
        """What was printed since; at the end all that is left."""
        if not self.running:
            self._listener.join(_PATIENCE)  # longer only where a child of its own keeps the output open
        found: list[str] = []
        with contextlib.suppress(Empty):
            found.append(self._queue.get(timeout=wait))
            while True:
                found.append(self._queue.get_nowait())
        self.tail.extend(found)
        return found

    def close(self) -> None:
        """Ask it and its own children to end, and make them."""
        if self.running:
            self._kill()
        self._listener.join(_PATIENCE)
        if not self._listener.is_alive() and self.process.stdout is not None:
            self.process.stdout.close()

    def _kill(self) -> None:
        for sign, patience in ((signal.SIGTERM, _PATIENCE), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
                return


class _Heard:
    """Reports that were read and are still to be made: each as it comes, or of a run of one epoch the last."""

    def __init__(self, run: Run, metric: str) -> None:
        self.run, self.one, self.waiting = run, run.left == 1, deque[dict[str, float]]()
        self.lines = Lines(metric, self.waiting.append)

    def tell(self, last: bool) -> None:
        if self.one and last and self.waiting:
            self.waiting = deque([self.waiting[-1]])
        while self.waiting and (last or not self.one):
            values = self.waiting.popleft()
            step = values.pop("step", None)
            if not self.run.left:
                raise TrainingError(_MORE.format(self.run.done))
            try:
                self.run.report(None if step is None else int(step), **values)
            except RunEnded:
                if self.run.left:
                    raise  # else it may do whatever it does after its last epoch


def _ended(child: _Child) -> str:
    """Why a command failed: its last line, and the place in the user's own file, where it says one."""
    lines = [line.strip() for line in child.tail if line.strip()]
    places = [found.groups() for line in lines if (found := _AT.search(line)) and "site-packages" not in line]
    at = f" at {places[-1][0]}, line {places[-1][1]}" if places else ""
    status = child.process.returncode
    how = f"exit status {status}" if status > 0 else f"signal {signal.Signals(-status).name}"
    # The whole command, however long: it is what is run again to see the failure.
    return f"{shlex.join(child.words)!r} ended with {how} ({lines[-1][:200] if lines else 'no word'}){at}"


def _silent(made: Command, names: Sequence[str], file: Path | None) -> str:
    """Why nothing was reported."""
    where = "prints" if file is None else f"writes to {made.file}"
    seen = f"; it {where} {', '.join(names[:8])}" if names else f" and {where} no numbers with a name"
    name = made.metric.partition(":")[0]
    return (
        f"it ends without a {name}{seen}; say which of them runs are judged by with metric "
        f"(thalweg run --metric), or {'print' if file is None else 'write'} val_{base_of(name)}=…"
    )
