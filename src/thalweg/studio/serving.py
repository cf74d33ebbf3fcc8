"""From a free port to the last answer: the address first, then what takes time, then the server until Ctrl-C.

Nothing heavy is imported before the address is printed.
"""

from __future__ import annotations

import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType

from ..errors import UsageError, WorkError
from ..language import say

PORT = 8642
LOOPBACK = "127.0.0.1"
GRACE = 2  # seconds for answers that have begun


def serve(
    given: Sequence[str] = (),
    folder: Path = Path("runs"),
    host: str = LOOPBACK,
    port: int | None = None,
    browser: bool = True,
) -> None:
    """Serve the studio until Ctrl-C; the first line on standard output is its address, with the token.

    Args:
        given: stores, and problems as file.py:function or package.module:function.
        folder: of the stores that can be opened, and where new ones go.
        host: the address to listen on, by which alone it can be asked.
        port: `PORT`, or a free one where that is taken, unless given.
        browser: whether to open it.

    Raises:
        UsageError: an address of all interfaces, or a package is missing.
        StoreError: a store given is not one.
        WorkError: the port is taken, or the address is not this machine's.
    """
    listening = _listening(host, port)
    bound, token = int(listening.getsockname()[1]), secrets.token_urlsafe(24)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{bound}/?token={token}"
    print(address, flush=True)
    print(say("The studio runs until Ctrl-C. Whoever has this address can use it."), file=sys.stderr, flush=True)
    try:
        _run(listening, (token, host, bound), (folder, given), (lambda: webbrowser.open(address)) if browser else None)
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()


def _listening(host: str, port: int | None) -> socket.socket:
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, PORT if port is None else port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{host!r} is not an address of this machine; give one, e.g. {LOOPBACK}.") from error
    if str(place[0]) in ("0.0.0.0", "::"):
        raise UsageError(
            f"{host} means every address of this machine; give the one by which it is to be asked, e.g. {LOOPBACK}."
        )
    listening = socket.socket(family, kind)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            listening.bind(place)
        except OSError:
            if port is not None:
                raise
            listening.bind((place[0], 0, *place[2:]))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise WorkError(f"{host}:{port} cannot be listened on ({reason}); give another --port.") from error
    return listening


def _prepare(files: Mapping[str, Callable[[], str]]) -> None:
    """Do what takes long before it is asked for: print the catalogue's functions, import what studies need."""
    for text in files.values():
        text()
    import_module("thalweg.studio.view")


def _run(
    listening: socket.socket,
    place: tuple[str, str, int],
    shown: tuple[Path, Sequence[str]],
    ready: Callable[[], object] | None,
) -> None:
    try:
        import uvicorn

        from .server import application, files
        from .studies import Studies
    except ImportError as error:
        if error.name not in ("uvicorn", "starlette", "latex2mathml"):
            raise
        raise UsageError(f"the studio needs {error.name}: pip install 'thalweg[studio]'.") from error
    studies = Studies(*shown)
    threading.Thread(target=_prepare, args=[files()], daemon=True).start()
    settings = uvicorn.Config(
        application(*place, studies),
        log_level="error",
        timeout_graceful_shutdown=GRACE,
        server_header=False,
        limit_concurrency=500,
        ws="none",
    )
    if ready is not None:
        threading.Thread(target=ready, daemon=True).start()

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            studies.close()  # streams end by themselves
            super().handle_exit(sig, frame)

    try:
        Server(settings).run(sockets=[listening])
    finally:
        studies.end()
