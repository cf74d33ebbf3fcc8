"""What the page asks about studies: lists, orders, and the stream of what has changed.

The stream is server-sent events. Each has the number up to which it is complete, so that a tab that comes back, by
`Last-Event-ID` or `?last=`, is sent what it lacks and no more; a comment every few seconds keeps the line open. A tab
that is hidden closes its stream, since browsers allow six for all tabs together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .asked import fields, in_its_language, spoken
from .live import EVERY, Follower
from .studies import Studies

HEARTBEAT = 10.0  # seconds
_START = {"problem": str, "optimizers": list, "rates": str, "schedules": list, "seeds": int, "epochs": int}


def routes(studies: Studies) -> list[Route]:
    async def offers(request: Request) -> Response:
        return JSONResponse(await in_its_language(request, studies.offers))

    async def start(request: Request) -> Response:
        given = await fields(request, **_START)
        return JSONResponse({"name": await in_its_language(request, studies.start, given)})

    async def carry(request: Request) -> Response:
        given = await fields(request, name=str, do=str, seeds=int, trust=bool)
        await in_its_language(request, partial(studies.carry, **given))
        return JSONResponse({})

    async def setting(request: Request) -> Response:
        query = request.query_params
        given = query.get("name", ""), query.get("key", "")
        return JSONResponse(await run_in_threadpool(studies.setting, *given))

    async def landscape(request: Request) -> Response:
        given = await fields(request, name=str, key=str, trust=bool)
        return JSONResponse(await in_its_language(request, partial(studies.landscape, **given)))

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
        Route("/studies", offers),
        Route("/studies/start", start, methods=["POST"]),
        Route("/studies/carry", carry, methods=["POST"]),
        Route("/studies/setting", setting),
        Route("/studies/landscape", landscape, methods=["POST"]),
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
