"""The studio's server: Starlette behind the `Guard`, one page, its scripts, and what they ask for.

Files are served from a table of those that the package has, by name: no path of a request reaches the disk. The page
computes races by itself; what is typed there is read and printed here (`typed.py`).

Read next: `guard.py` (who may ask), `serving.py` (how it begins and ends), `streams.py` (studies).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..errors import ThalwegError
from ..formulas.registry import of_text
from ..kernels import javascript
from ..pictures.markup import filled
from . import catalogue, streams
from .asked import route, spoken
from .formulary import rule_of, rules, shown
from .guard import Guard
from .studies import Studies
from .typed import made
from .words import scripts

LONGEST_LABEL = 300
_TYPES = {"js": "text/javascript", "css": "text/css"}


def application(token: str, host: str, port: int, studies: Studies | None = None) -> Guard:
    """The whole server as an ASGI application; the first arguments are those of `Guard`."""
    routes = [
        Route("/", _index),
        Route("/page/made.js", _module),
        Route("/page/{name}", _page),
        Route("/facts", _facts),
        route("/make", lambda kind, text: {"key": made(kind, text)[0]}, kind=str, text=str),
        route("/formulas", rules),
        route("/formulas/one", lambda label: shown(rule_of(label[:LONGEST_LABEL])), "label"),
        route("/formulas/own", lambda text: shown(of_text(text)), text=str),
        *streams.routes(Studies() if studies is None else studies),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={ThalwegError: _sentence}), token, host, port)


async def _sentence(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _index(request: Request) -> Response:
    return HTMLResponse(await run_in_threadpool(filled, "thalweg.studio", "index.html", {}))


@functools.cache
def files() -> dict[str, Callable[[], str]]:
    """Name → the text of a script or style sheet."""
    texts: dict[str, Callable[[], str]] = {name: lambda text=text: text for name, text in scripts().items()}
    return {**texts, "special.js": javascript.special, "data.js": functools.cache(catalogue.module)}


async def _page(request: Request) -> Response:
    text = files().get(request.path_params["name"])
    if text is None:
        return PlainTextResponse("thalweg: there is no such file.\n", 404)
    kind = _TYPES[request.path_params["name"].rpartition(".")[2]]
    return Response(await run_in_threadpool(text), media_type=kind)


async def _facts(request: Request) -> Response:
    return JSONResponse(await run_in_threadpool(catalogue.facts, spoken(request)))


async def _module(request: Request) -> Response:
    given = (request.query_params.get(name, "") for name in ("kind", "text"))
    _, text = await run_in_threadpool(made, *given)
    return Response(text, media_type=_TYPES["js"])
