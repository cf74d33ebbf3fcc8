"""Generated source, compiled by Numba, and found compiled by the next process.

The source is written to the cache folder (`THALWEG_CACHE`, else the user's cache), so that Numba's own
on-disk cache, which belongs to a file, serves it too.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from types import ModuleType

import numpy as np

from . import elementary, memory

_lock = threading.Lock()


def module(text: str, name: str) -> ModuleType:
    """Import generated source from the cache folder, writing it there first if it is new."""
    # Numba's cache would not see that what is compiled in has changed.
    compiled_in = [Path(file).read_bytes() for file in (memory.__file__, elementary.__file__)]
    parts = (text.encode(), np.__version__.encode(), *compiled_in)
    key = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    unique = f"thalweg_kernel_{name}_{key}" if name.isidentifier() else f"thalweg_kernel_{key}"
    path = cache_folder() / f"{unique}.py"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec is not None
    assert spec.loader is not None
    generated = importlib.util.module_from_spec(spec)
    sys.modules[unique] = generated
    with _lock:  # Numba compiles in one thread at a time anyway
        spec.loader.exec_module(generated)
    return generated


@functools.lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Where generated kernels live: THALWEG_CACHE, else the user's cache, else a temporary folder."""
    for base in filter(None, [os.environ.get("THALWEG_CACHE"), os.environ.get("XDG_CACHE_HOME"), "~/.cache"]):
        folder = Path(base).expanduser() / "thalweg" / "kernels"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    last = Path(tempfile.mkdtemp(prefix="thalweg-kernels-"))
    atexit.register(shutil.rmtree, last, ignore_errors=True)
    return last
