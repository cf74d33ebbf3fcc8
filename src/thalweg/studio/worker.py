"""A process that trains a study for the studio: what to do comes as one line of JSON, how far it is goes out as lines.

`{"do": "compare" | "resume" | "extend" | "landscape", …}` with the arguments of the function of that name. Ctrl-C,
which the studio sends, stops it as it stops any study, and so does the end of the studio, however that ends: its end of
standard input closes then.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any

from ..engine.progress import Ahead, Progress
from ..errors import ThalwegError, first_line
from ..languages import AUTO, use_language

SECONDS = 0.15  # between two lines


class Told(Progress):
    """Progress as lines of JSON on standard output."""

    shown = True

    def __init__(self) -> None:
        self.part, self.share, self.steps, self.told = "", 0.0, 0, 0.0
        self.lock = threading.Lock()

    def begin(self, part: str, ahead: Ahead) -> None:
        with self.lock:
            self.part, self.ahead, self.steps, self.begun = str(part), ahead, 0, time.monotonic()
            self._tell()

    def advance(self, block: int, members: int, alive: int, steps: int | None = None) -> None:
        with self.lock:
            self.steps += members if steps is None else steps
            if time.monotonic() - self.told > SECONDS:
                self._tell()

    def note(self, sentence: str) -> None:
        tell(note=sentence)

    def _tell(self) -> None:
        self.told = time.monotonic()
        self.share = max(self.share, min(1.0, self.ahead.share))
        rate = self.steps / max(1e-9, self.told - self.begun)
        tell(part=self.part, share=self.share, left=self.ahead.left, rate=rate)


def tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def carry_out(do: str, display: Progress, **how: Any) -> None:
    from ..study.study import Study, compare, resume

    if do == "compare":
        compare(**how, progress=display)  # pyright: ignore[reportArgumentType]
    elif do == "resume":
        resume(**how, progress=display)  # pyright: ignore[reportArgumentType]
    else:
        study = Study.open(how.pop("store"), trust=how.pop("trust"))
        if do == "landscape":
            from .view import setting_of

            shown = study.landscape(setting_of(study, how.pop("key")), **how)
            tell(landscape=shown.to_json() | {"labels": shown.labels})
        else:
            study.extend(**how, progress=display)  # pyright: ignore[reportArgumentType]


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    use_language(AUTO)  # which the studio has chosen
    threading.Thread(target=_stop_with_the_studio, daemon=True).start()
    try:
        carry_out(asked.pop("do"), Told(), **asked)
    except KeyboardInterrupt:
        tell(stopped=True)
    except ThalwegError as error:
        tell(error=str(error))
    except Exception as error:  # whatever a user's model may raise: a sentence for the page, the rest for the terminal
        traceback.print_exc()
        tell(error=f"{type(error).__name__}: {first_line(error)}.")


def _stop_with_the_studio() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
