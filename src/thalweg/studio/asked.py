"""What a request brings, checked, and answered: its body is one object of fields that are named where it is routed."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..errors import UsageError
from ..language import LANGUAGES, language, speaking


def route(path: str, work: Callable[..., Any], *query: str, **body: type) -> Route:
    """To what a function gives as JSON, in the language that is asked for.

    Args:
        query: its arguments of the address; empty where the address lacks one.
        body: its arguments of the body, which is posted then.
    """

    async def answer(request: Request) -> Response:
        given = await fields(request, **body) if body else {name: request.query_params.get(name, "") for name in query}
        return JSONResponse(await in_its_language(request, partial(work, **given)))

    return Route(path, answer, methods=["POST"] if body else ["GET"])


async def fields(request: Request, **kinds: type) -> dict[str, Any]:
    """The object in a request's body: exactly these fields, of these types.

    Raises:
        UsageError: anything else.
    """
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise UsageError("the request is not JSON.") from error
    if not isinstance(body, dict) or body.keys() != kinds.keys():
        raise UsageError(f"the request must have the fields {', '.join(kinds)}.")
    for name, kind in kinds.items():
        if not isinstance(body[name], kind):
            raise UsageError(f"{name} must be a {kind.__name__}.")
    return body


def spoken(request: Request) -> str:
    """The language that is asked for; the server's unless one is.

    Raises:
        UsageError: an unknown language.
    """
    asked = request.query_params.get("language", language())
    if asked not in LANGUAGES:
        raise UsageError(f"language is {asked[:20]!r}; it is one of {', '.join(LANGUAGES)}.")
    return asked


async def in_its_language(request: Request, work: Callable[[], Any]) -> Any:
    """What a function gives, in the language that the request asks for; a process that it starts speaks it too."""

    def done() -> Any:
        with speaking(spoken(request)):
            return work()

    return await run_in_threadpool(done)
