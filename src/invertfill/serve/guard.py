"""What every request passes first: who may ask, from which page, by which name. And what every answer carries."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from invertfill.serve.metrics import Metrics
from invertfill.serve.refusal import Refusal
from invertfill.serve.settings import Settings, is_address

OPEN = ("/", "/healthz", "/docs", "/openapi.json")  # nothing in them is anyone's
OPEN_FOLDERS = ("/page/", "/docs-files/")
PATIENCE = 5  # seconds that the rest of a refused upload may take
CONTENT = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "connect-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:"
)


class Guard:
    """Around the whole application.

    Against DNS rebinding, the Host of a request has to be an IP address, which no name server can point elsewhere, or a
    name that belongs to this server. Against other sites' pages, the Origin that browsers send has to be this server.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self.app = app
        self.names = {"localhost", settings.host.lower(), *(name.lower() for name in settings.hosts)}
        self.token = settings.token
        self.upload = settings.limits.upload * 10**6
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        rest = _Rest(receive)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] >= 400:
                    await rest.skip(2 * self.upload)
                self.metrics.answered(scope["path"], message["status"])
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope["path"], Headers(scope=scope))
        except Refusal as refusal:
            await refusal.answer()(scope, receive, guarded)
            return
        await self.app(scope, rest, guarded)

    def _check(self, path: str, headers: Headers) -> None:
        host = headers.get("host", "")
        name = _name(host)
        if not (name in self.names or is_address(name)):
            raise Refusal(403, "This server is not known by that host name; the person who runs it can make it known.")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Refusal(403, "Pages of other sites may not use this server.")
        if self.token is None or path in OPEN or path.startswith(OPEN_FOLDERS):
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
            raise Refusal(401, "This server asks for its token, as a header: Authorization: Bearer TOKEN.")


class _Rest:
    """What is left of a request's body. A connection that is closed on someone who still sends takes with it the
    answer that explains why, so a refused upload is let run out, within bounds."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._whole = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def skip(self, most: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not self._whole and most > 0:
                    most -= len((await self()).get("body", b""))


def _name(host: str) -> str:
    """Without the port; "" where that is no host."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
