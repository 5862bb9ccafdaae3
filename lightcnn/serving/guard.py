"""What every request passes first: its host, origin, token and rate; and the headers that every answer has."""

from __future__ import annotations

import ipaddress
import math
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from lightcnn.serving.settings import ServeSettings, is_loopback
from lightcnn.serving.uploads import MemoryUse, Refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/", "/page.js", "/favicon.svg", "/favicon.ico", "/healthz", "/openapi.json"})
"""Paths that need no token: nothing there depends on the network or on an image."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""Headers of every answer; the page replaces the policy by its own."""
MAX_ADDRESSES = 10_000
"""Number of addresses whose requests are counted at the same time."""


class RequestRate:
    """Counts the requests of each address: so many a second on average, and twice as many at once."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._clock = per_second, clock
        self._left: dict[str, tuple[float, float]] = {}

    def count(self, address: str) -> None:
        """Raises: Refused if the address has made too many requests."""
        now, most = self._clock(), max(1.0, 2 * self._per_second)
        left, since = self._left.pop(address, (most, now))
        left = min(most, left + (now - since) * self._per_second)
        if len(self._left) >= MAX_ADDRESSES:
            del self._left[next(iter(self._left))]
        self._left[address] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            seconds = math.ceil((1 - left) / self._per_second)
            raise Refused(429, f"more than {self._per_second:g} requests a second", retry_after=max(1, seconds))


class Guard:
    """An ASGI application around another one, which gets only requests that passed all checks."""

    def __init__(self, app: App, settings: ServeSettings, memory: MemoryUse, names: frozenset[str]) -> None:
        self._app, self._settings, self._memory = app, settings, memory
        self._rate = RequestRate(settings.limits.requests_per_second)
        self._hosts = names | {settings.host.strip("[]").lower(), "localhost", *map(str.lower, settings.names)}
        self._allows_addresses = not is_loopback(settings.host)
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        started = False

        async def guarded(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _add_headers(MutableHeaders(scope=message))
            await send(message)

        self._running += 1
        try:
            self._check(scope)
            await self._app(scope, receive, guarded)
        except Refused as refused:
            await refusal(refused)(scope, receive, guarded)
        except Exception as error:
            if not started:  # otherwise the connection is closed
                await internal_error(error)(scope, receive, guarded)
        finally:
            self._running -= 1
            self._memory.remove(scope.get("uploaded_bytes", 0))

    def _check(self, scope: Scope) -> None:
        """Raises: Refused for a request that another site, or someone without the token, may have made."""
        headers = Headers(scope=scope)
        if self._running > self._settings.limits.connections:
            raise Refused(503, "too many requests are in progress", retry_after=1)
        host = _host(headers.get("host", ""))
        if not self._is_known(host):
            raise Refused(
                400, "unknown host; use the address that lightcnn serve printed, or start it with --name and this name"
            )
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        if scope["method"] not in ("GET", "HEAD") and (
            site not in ("same-origin", "none") or (origin is not None and _netloc(origin) != headers.get("host"))
        ):
            raise Refused(403, "requests from other sites are refused")
        client = scope.get("client")
        self._rate.count(client[0] if client else "")
        token = self._settings.token
        if token is not None and scope["path"] not in OPEN_PATHS:
            given = headers.get("authorization", "")
            if not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
                raise Refused(401, "the token is missing or wrong; send it as `Authorization: Bearer TOKEN`")

    def _is_known(self, host: str) -> bool:
        """Whether a host is one of this server; an address cannot be rebound to another machine, unlike a name."""
        if host in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return address.is_loopback or self._allows_addresses


def refusal(refused: Refused) -> JSONResponse:
    """The answer to a request that is refused."""
    headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.status in (408, 413, 503):
        headers["Connection"] = "close"  # the rest of the request is not read
    return JSONResponse({"error": refused.message}, refused.status, headers)


def internal_error(error: Exception) -> JSONResponse:
    """The answer after a bug. Its text might hold parts of an upload, so only its type is shown."""
    return JSONResponse({"error": f"internal error ({type(error).__name__})"}, 500)


def _add_headers(headers: MutableHeaders) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)


def _host(header: str) -> str:
    """The host in a Host header, without the port, in lower case; empty if it is not one."""
    try:
        return (urlsplit(f"//{header}").hostname or "") if header.isascii() else ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
