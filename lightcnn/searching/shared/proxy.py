"""Optuna's gRPC proxy for a database, so that many machines share its few connections."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lightcnn import interrupt
from lightcnn.errors import InputError
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.trials.storage import without_warnings

THREADS = 16
"""Requests that are processed at once; a search sends few."""


def serve(settings: SharedSettings, host: str, port: int, on_ready: Callable[[], None]) -> None:
    """Serves the storage until a signal. Raises: InputError if it is a proxy itself, or the address is not free."""
    from optuna.storages._grpc.server import make_server

    storage = SharedPlace(settings).storage
    with without_warnings():
        try:
            server = make_server(storage, host, port, ThreadPoolExecutor(THREADS))
        except RuntimeError:
            raise InputError(f"storage serve: {host}:{port} cannot be used; choose another --host or --port") from None
    server.start()
    try:
        on_ready()
        while True:
            interrupt.check()
            time.sleep(0.1)
    finally:
        server.stop(grace=1.0)
