"""What the page asks about studies: lists, orders, and the stream of what has changed.

The stream is server-sent events. Each has the number up to which it is complete, so that a tab that comes back, by
`Last-Event-ID` or `?last=`, is sent what it lacks and no more; a comment every few seconds keeps the line open. A tab
that is hidden closes its stream, since browsers allow six for all tabs together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from .asked import in_its_language, route, spoken
from .live import EVERY, Follower
from .studies import Studies

HEARTBEAT = 10.0  # seconds
_START = {"problem": str, "optimizers": list, "rates": str, "schedules": list, "seeds": int, "epochs": int}


def routes(studies: Studies) -> list[Route]:
    def landscape(name: str, key: str, trust: bool) -> dict[str, Any]:
        return studies.landscapes.of(studies.path(name), key, trust)

    async def report(request: Request) -> Response:
        def made() -> str:
            from ..report.html import page
            from ..results import Results

            return page(Results(studies.path(request.query_params.get("name", ""))))

        saved = {"content-disposition": 'attachment; filename="report.html"'}
        return Response(await in_its_language(request, made), media_type="text/html", headers=saved)

    async def events(request: Request) -> Response:
        name = request.query_params.get("name", "")
        follower = await run_in_threadpool(studies.follower, name, spoken(request))
        last = request.headers.get("last-event-id") or request.query_params.get("last", "")
        return StreamingResponse(_stream(studies, follower, last[:40]), media_type="text/event-stream")

    return [
        route("/studies", studies.offers),
        route("/studies/start", studies.start, **_START),
        route("/studies/carry", studies.carry, name=str, do=str, seeds=int, trust=bool),
        route("/studies/setting", studies.setting, "name", "key"),
        route("/studies/landscape", landscape, name=str, key=str, trust=bool),
        Route("/studies/report", report),
        Route("/studies/events", events),
    ]


async def _stream(studies: Studies, follower: Follower, last: str) -> AsyncIterator[str]:
    key, _, number = last.partition("-")
    seen = int(number) if key == follower.key and number.isascii() and number.isdigit() else 0
    silent = 0.0
    yield "retry: 1000\n\n"
    while not studies.closing and follower.alive:
        now, changed = follower.since(seen)
        if changed:
            yield f"id: {follower.key}-{now}\ndata: {changed}\n\n"
            seen, silent = now, 0.0
        elif silent > HEARTBEAT:
            yield ": still here\n\n"
            silent = 0.0
        await asyncio.sleep(EVERY)
        silent += EVERY
