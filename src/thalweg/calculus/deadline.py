"""A limit on the time of pure Python work, without signals or processes.

`bounds.py` keeps what a user writes small; this is the net below it, for what no bound foresaw. A timer raises an
exception in the thread that works, at its next bytecode; so it also holds in threads, where signals cannot. It
does not interrupt a single operation on numbers, which the bounds keep short.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator

from ..errors import UsageError


class _Late(BaseException):
    """Raised from outside; not an `Exception`, so that nothing handles it on the way."""


@contextlib.contextmanager
def deadline(seconds: float, error: UsageError) -> Iterator[None]:
    """Raise `error` in this block once it has run for so long.

    >>> with deadline(0.05, UsageError("that takes too long.")):
    ...     while True:
    ...         pass
    Traceback (most recent call last):
    thalweg.errors.UsageError: that takes too long.
    """
    thread = ctypes.c_ulong(threading.get_ident())
    over = threading.Event()
    lock = threading.Lock()

    def watch() -> None:
        pause = seconds
        while not over.wait(pause):
            with lock:
                if not over.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_Late))
            pause = 0.2  # again, should a bare except have caught it

    watcher = threading.Thread(target=watch, daemon=True)
    try:
        try:
            watcher.start()
            yield
        finally:
            with lock:
                over.set()
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, None)  # one that is on its way
    except _Late:
        over.set()
        raise error from None
