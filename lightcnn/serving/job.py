"""`lightcnn serve`: opens the network, binds the port, answers until a signal, and drains."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lightcnn import interrupt
from lightcnn.data.files.conversion import Conversion
from lightcnn.data.stream import PreparedImage, prepared_image
from lightcnn.errors import InputError
from lightcnn.exported_metadata import is_exported
from lightcnn.open_predictor import open_predictor
from lightcnn.predictor import Predictor
from lightcnn.run_folder import RunFolder
from lightcnn.serving.api import Api
from lightcnn.serving.app import make_app
from lightcnn.serving.batching import Batcher, faster_batch
from lightcnn.serving.explainers.explanations import ExplanationQueue, ImageExplainer
from lightcnn.serving.facts import exported_facts, model_facts, run_facts
from lightcnn.serving.metrics import Metrics
from lightcnn.serving.settings import ServeSettings, is_loopback, require_usable

HEAD_BYTES = 32_768
"""Bytes of the head of a request."""


def run(settings: ServeSettings, *, on_ready: Callable[[str], object] = lambda url: None) -> None:
    """Serves until SIGINT, SIGTERM or SIGHUP; `on_ready` is called with the address of the page.

    Raises: InputError if the network, the port or another setting cannot be used.
    """
    require_usable(settings)
    with _listening(settings.host, settings.port) as listener:
        api = make_api(settings)
        server = make_server(api, settings, lambda: on_ready(address(settings, listener)))
        with interrupt.ending(lambda: setattr(server, "should_exit", True)):
            asyncio.run(server.serve(sockets=[listener]))


def make_api(settings: ServeSettings) -> Api:
    """Opens the network and everything that answers. Raises: InputError if it cannot be used."""
    predictor = _open(settings)
    metrics = Metrics()
    size = faster_batch(predictor.evaluate, _noise(predictor))
    batcher = Batcher(predictor.evaluate, size=size, waiting=settings.limits.waiting, on_batch=metrics.batch.observe)
    explanations = ExplanationQueue(_explainer(predictor, settings), settings.limits.explanations)
    facts = {**model_facts(predictor, settings.path), **_more_facts(predictor, settings.path)}
    return Api(predictor, batcher, explanations, facts, settings.limits, metrics)


def make_server(api: Api, settings: ServeSettings, on_ready: Callable[[], object] = lambda: None) -> uvicorn.Server:
    """The server, which answers as soon as it serves; `on_ready` is called then."""
    limits = settings.limits
    logging.getLogger("python_multipart").addHandler(logging.NullHandler())  # it would print faults of forms
    names = frozenset() if is_loopback(settings.host) else frozenset({socket.gethostname().lower()})
    config = uvicorn.Config(
        make_app(api, settings, names), http=_protocol(limits.upload_seconds), ws="none", log_config=None,
        access_log=False, server_header=False, proxy_headers=False, h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_graceful_shutdown=max(1, round(limits.drain_seconds)), log_level="critical",
    )  # fmt: skip
    return _Server(config, on_ready)


def address(settings: ServeSettings, listener: socket.socket) -> str:
    """The address of the page."""
    host = settings.host.strip("[]")
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{listener.getsockname()[1]}/"


class _Server(uvicorn.Server):
    """A server that leaves signals to its caller."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: uvicorn would raise the signal again after draining, and the process would end with it."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to answer."""
        await super().startup(sockets)
        self._on_ready()


def _protocol(seconds: float) -> type[H11Protocol]:
    """HTTP/1.1 on connections that are closed if the head of a request does not arrive in time."""

    class TimedProtocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(seconds, self._close_if_silent)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._awaits_head():
                if self._timer.cancelled():  # this is the start of the head of another request
                    self._timer = self.loop.call_later(seconds, self._close_if_silent)
            else:
                self._timer.cancel()

        def connection_lost(self, exc: Exception | None) -> None:
            self._timer.cancel()  # else it would keep the connection in memory
            super().connection_lost(exc)

        def _awaits_head(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _close_if_silent(self) -> None:
            if self._awaits_head() and self.transport is not None:
                self.transport.close()

    return TimedProtocol


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket on which others can connect. Raises: InputError if the host or the port cannot be used."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise InputError(f"--host {host}: is not the address of this machine") from None
    with socket.socket(family, kind) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(place)
            listener.listen()  # so that another server which is still starting cannot have the port as well
        except OSError as error:
            raise InputError(
                f"--port {port}: cannot be used on {host} ({error.strerror}); give another, or 0 for any that is free"
            ) from None
        yield listener


def _open(settings: ServeSettings) -> Predictor:
    """The network. Raises: InputError."""
    labels = None
    if settings.labels is not None:
        from lightcnn.foreign_model import read_labels

        labels = read_labels(settings.labels)
    return open_predictor(settings.path, device=settings.device, labels=labels, input=settings.input)


def _noise(predictor: Predictor) -> PreparedImage[Any]:
    """An image of noise, prepared for the network."""
    side = predictor.rule.size
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, predictor.rule.channels), dtype=np.uint8)
    return prepared_image(pixels, predictor.prepare, Conversion())


def _explainer(predictor: Predictor, settings: ServeSettings) -> ImageExplainer:
    """What explains the images: torch for a run, else the file itself."""
    if is_exported(settings.path):
        from lightcnn.exported_model import ExportedModel
        from lightcnn.foreign_model import ForeignModel
        from lightcnn.serving.explainers.file_explainer import FileExplainer

        assert isinstance(predictor, ExportedModel | ForeignModel)
        return FileExplainer(predictor, settings.limits)
    from lightcnn.serving.explainers.run_explainer import RunExplainer
    from lightcnn.trained_network import TrainedNetwork

    assert isinstance(predictor, TrainedNetwork)
    return RunExplainer(predictor)


def _more_facts(predictor: Predictor, path: Path) -> dict[str, Any]:
    """What a run or an exported file states about itself."""
    if is_exported(path):
        metadata = getattr(predictor, "metadata", None)
        return {} if metadata is None else exported_facts(metadata)
    return run_facts(RunFolder.load(path))
