"""What a request brings, checked: its body is one object of fields that are named here."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from ..errors import UsageError
from ..language import LANGUAGES, language


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
