"""Who may ask the studio's server, and how much: before anything else looks at a request.

Any page that a reader has open can send requests to 127.0.0.1, and any program of another user of the machine can. So:

- the Host must be the server's own, which ends DNS rebinding (another name that is made to point here);
- an Origin, which browsers send with every POST and with requests from other sites, must be the server's own, and a
  request that changes something must have one;
- the request must know the token, from the address that `thalweg studio` prints; a cookie (HttpOnly, SameSite=Strict)
  remembers it afterwards, and the address loses it at once;
- addresses and bodies have a limit.

Every answer forbids the page scripts, styles and connections from anywhere else, frames around it, and guesses about
types.
"""

from __future__ import annotations

import secrets
from urllib.parse import urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..language import say

LONGEST_ADDRESS = 8_000  # bytes of path and query
LARGEST_BODY = 64_000  # bytes
_POLICY = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = {
    "content-security-policy": f"{_POLICY}; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Guard:
    """An ASGI application around another one, which sees only what may be asked.

    Args:
        token: what a reader has to know.
        host: the address that the server listens on; with a loopback address localhost is its name as well.
    """

    def __init__(self, app: ASGIApp, token: str, host: str, port: int) -> None:
        self.app, self.token, self.cookie = app, token, f"thalweg-{port}"
        names = ["127.0.0.1", "localhost"] if host == "127.0.0.1" else [f"[{host}]" if ":" in host else host]
        self.hosts = {f"{name}:{port}" for name in names} | ({*names} if port == 80 else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        refused = self._refused(scope) or self._stranger(scope)
        sent = _dressed(send, scope["path"])
        if refused is not None:
            await refused(scope, receive, sent)
            return
        await self.app(scope, _limited(receive), sent)

    def _refused(self, scope: Scope) -> Response | None:
        """Whoever asks."""
        headers = Headers(scope=scope)
        if headers.getlist("host") not in [[host] for host in self.hosts]:
            return _refusal(403, say("this server has another address; open the one that thalweg studio printed."))
        origins, changes = headers.getlist("origin"), scope["method"] not in ("GET", "HEAD")
        if (changes and not origins) or any(origin != f"http://{headers['host']}" for origin in origins):
            return _refusal(403, say("another page may not ask this."))
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and scope["path"] != "/":
            return _refusal(403, say("another page may not ask this."))
        if len(scope["path"]) + len(scope["query_string"]) > LONGEST_ADDRESS:
            return _refusal(414, say("that address is too long."))
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 12 or int(length) > LARGEST_BODY:
            return _refusal(413, say("that is too much at once."))
        return None

    def _stranger(self, scope: Scope) -> Response | None:
        """Without the token; with it in the address, on to the address without it."""
        asked = HTTPConnection(scope)
        given = asked.query_params.getlist("token")
        if given and scope["method"] == "GET" and self._known(given[0]):
            rest = urlencode([(name, value) for name, value in asked.query_params.multi_items() if name != "token"])
            onward = RedirectResponse("/" + f"?{rest}" * bool(rest), status_code=303)
            onward.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
            return onward
        if not self._known(asked.cookies.get(self.cookie, "")):
            return _refusal(403, say("open the address that thalweg studio printed: it has a token, which is missing."))
        return None

    def _known(self, given: str) -> bool:
        return secrets.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


def _refusal(status: int, words: str) -> Response:
    return PlainTextResponse(f"thalweg: {words}\n", status)


def _limited(receive: Receive) -> Receive:
    """As far as a body may go, whatever length it said, or none."""
    size = 0

    async def some() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LARGEST_BODY:
            raise HTTPException(413, say("that is too much at once."))
        return message

    return some


def _dressed(send: Send, path: str) -> Send:
    """With the headers that every answer has."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("cache-control", "no-cache" if path.startswith("/page/") else "no-store")
        await send(message)

    return sent
