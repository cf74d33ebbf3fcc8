"""A worker process that loses its parent ends at once, whatever it is doing, so that none outlives a killed study.

The watch begins before anything heavy is imported: a process spends its first seconds on that.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from multiprocessing import connection
from typing import Any


def begin(function: bytes, *arguments: Any) -> None:
    """In a worker: watch the parent, and then call a function, whose module is imported only now."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pickle.loads(function)(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
