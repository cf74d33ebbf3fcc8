"""A studio's server in a thread of this process, at a free port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from thalweg.studio.server import application
from thalweg.studio.studies import Studies


@dataclass(frozen=True)
class Running:
    """Where it is: `address` with its token, `home` without; and its studies."""

    address: str
    home: str
    studies: Studies


@contextmanager
def running(folder: Path, given: Sequence[str] = ()) -> Iterator[Running]:
    studies = Studies(folder, given)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        app = application("token", "127.0.0.1", port, studies)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        home = f"http://127.0.0.1:{port}"
        yield Running(f"{home}/?token=token", home, studies)
        studies.end()
        server.should_exit = True
        thread.join()
