"""Puts the server together: routes, the page, the guard around them, and the threads that it starts and ends."""

from __future__ import annotations

import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lightcnn.serving.api import Api
from lightcnn.serving.guard import Guard, internal_error, refusal
from lightcnn.serving.page import Page
from lightcnn.serving.settings import ServeSettings
from lightcnn.serving.uploads import MemoryUse, Refused

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(api: Api, settings: ServeSettings, names: frozenset[str] = frozenset()) -> Guard:
    """The ASGI application. `names` are those of this machine, by which others reach it."""
    memory = MemoryUse(int(1e6 * settings.limits.memory_megabytes))
    page = Page.load()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in `prepare_stream`: once, since it is not safe in threads
            api.batcher.start()
            yield
            await api.batcher.stop()
            await api.explanations.stop()

    async def index(request: Request) -> Response:
        return Response(page.html, media_type="text/html", headers={"Content-Security-Policy": page.policy})

    async def script(request: Request) -> Response:
        return Response(page.script, media_type="text/javascript")

    async def icon(request: Request) -> Response:
        return Response(page.icon, media_type="image/svg+xml")

    routes: list[tuple[str, str, Endpoint]] = [
        ("GET", "/", index), ("GET", "/page.js", script), ("GET", "/favicon.svg", icon), ("GET", "/favicon.ico", icon),
        ("GET", "/model", api.model), ("GET", "/healthz", api.healthz), ("GET", "/metrics", api.metrics_text),
        ("GET", "/openapi.json", api.openapi), ("POST", "/predict", api.predict), ("POST", "/explain", api.explain),
    ]  # fmt: skip
    app = Starlette(
        routes=[Route(path, _counted(api, path, endpoint), methods=[method]) for method, path, endpoint in routes],
        lifespan=lifespan,
        exception_handlers={Refused: _answer_refused, HTTPException: _answer_unknown, Exception: _answer_bug},
    )
    app.state.memory = memory
    return Guard(app, settings, memory, names)


def _counted(api: Api, path: str, endpoint: Endpoint) -> Endpoint:
    """An endpoint whose requests are counted by their path and status."""

    async def counted(request: Request) -> Response:
        start = time.perf_counter()
        status = 500
        api.metrics.running.inc()
        try:
            response = await endpoint(request)
            status = response.status_code
        except Refused as refused:
            status = refused.status
            raise
        finally:
            api.metrics.running.dec()
            api.metrics.requests.labels(path, status).inc()
            api.metrics.seconds.labels(path).observe(time.perf_counter() - start)
        return response

    return counted


def _answer_refused(request: Request, error: Exception) -> Response:
    """The answer to a request that an endpoint refuses."""
    assert isinstance(error, Refused)
    return refusal(error)


def _answer_bug(request: Request, error: Exception) -> Response:
    """The answer after any other error."""
    return internal_error(error)


def _answer_unknown(request: Request, error: Exception) -> Response:
    """The answer to a path or a method that does not exist."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
