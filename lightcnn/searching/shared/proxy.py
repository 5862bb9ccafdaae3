"""Optuna's gRPC proxy for a database, so that many machines share its few connections."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from optuna.storages import BaseStorage

from lightcnn import interrupt
from lightcnn.errors import InputError
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.trials.storage import without_warnings
from lightcnn.searching.trials.storage_url import bracketed

THREADS = 16
"""Requests that are processed at once; a search sends few."""


def serve(settings: SharedSettings, host: str, port: int, on_ready: Callable[[], None]) -> None:
    """Serves the storage until a signal. Raises: InputError if the address is not free or not one of this machine."""
    server = listening(SharedPlace(settings).storage, host, port)
    server.start()
    ended = threading.Event()
    try:
        with interrupt.ending(ended.set):
            on_ready()
            ended.wait()
    finally:
        server.stop(grace=1.0).wait()


def listening(storage: BaseStorage, host: str, port: int) -> Any:
    """A `grpc.Server` of the storage, which is bound to the address and not yet started. Raises: InputError.

    It is Optuna's `make_server`, with one option: by default, gRPC lets a second server use the same port, and
    machines would be sent to either database.
    """
    import grpc
    from optuna.storages._grpc.auto_generated import api_pb2_grpc
    from optuna.storages._grpc.servicer import OptunaStorageProxyService

    address = f"{bracketed(host)}:{port}"
    try:
        _require_free(host.strip("[]"), port)
        with without_warnings():
            server = grpc.server(ThreadPoolExecutor(THREADS), options=[("grpc.so_reuseport", 0)])
            add_service: Any = api_pb2_grpc.add_StorageServiceServicer_to_server  # generated, without types
            add_service(OptunaStorageProxyService(storage), server)
            server.add_insecure_port(address)
    except (OSError, UnicodeError, RuntimeError) as error:  # RuntimeError: of gRPC
        reason = getattr(error, "strerror", None) or "gRPC cannot bind to it"
        raise InputError(
            f"storage serve: {address} cannot be used ({reason}); choose another --host or --port"
        ) from None
    return server


def _require_free(host: str, port: int) -> None:
    """Raises: OSError if another process uses the port, or if no address of the host is one of this machine.

    gRPC would print a line of its own then, and its exception has no reason.
    """
    error: OSError | None = None
    is_bound = False
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            with socket.socket(family, kind, protocol) as tried:
                if os.name == "posix":  # else a port is refused for a minute after its last server
                    tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(address)
            is_bound = True
        except OSError as failure:
            if failure.errno == errno.EADDRINUSE:
                raise
            error = failure
    if error is not None and not is_bound:
        raise error
