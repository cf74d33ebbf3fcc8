"""What a request brings, checked: its body is one object of fields that are named here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ..errors import UsageError
from ..language import LANGUAGES, language, speaking


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


async def in_its_language(request: Request, work: Callable[..., Any], *given: Any) -> Any:
    """What a function gives, in the language that the request asks for; a process that it starts speaks it too."""

    def done() -> Any:
        with speaking(spoken(request)):
            return work(*given)

    return await run_in_threadpool(done)
