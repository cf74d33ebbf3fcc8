"""A studio's server in a thread of this process, at a free port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from thalweg.studio.server import application


@dataclass(frozen=True)
class Running:
    """Where it is: `address` with its token, `home` without."""

    address: str
    home: str


@contextmanager
def running() -> Iterator[Running]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(application("token", "127.0.0.1", port), log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        home = f"http://127.0.0.1:{port}"
        yield Running(f"{home}/?token=token", home)
        server.should_exit = True
        thread.join()
