"""The connection to the storage of a shared search."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import optuna
from optuna.storages import BaseStorage
from sqlalchemy.exc import SQLAlchemyError

from lightcnn import interrupt
from lightcnn.errors import RunError, StudyError
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.trials.place import CONNECT_SECONDS, STORAGE_ERRORS, close_connections
from lightcnn.searching.trials.storage import without_warnings
from lightcnn.searching.trials.storage_url import bracketed
from lightcnn.text import first_line

LIMITS = {
    "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000,
    "options": "-c lock_timeout=30s -c idle_in_transaction_session_timeout=60s",
}  # fmt: skip
"""Options of PostgreSQL with which neither a cut network nor a machine without power blocks the others for long."""
CALL_SECONDS = 30.0
"""Time in which a proxy must answer; without a limit, one that hangs is waited for."""
RETRY_SECONDS = 2.0
"""Time between two attempts to reach a server that was lost."""
LOST_SECONDS = 600.0
"""Time for which a server may be away: it is restarted, or the network is down."""


class LimitedCalls:
    """The calls of a gRPC client, which fail after `CALL_SECONDS`."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(getattr(self._stub, name), timeout=CALL_SECONDS)


@dataclass(frozen=True)
class SharedPlace:
    """The study of a shared search, and those beside it: its members and its jobs."""

    settings: SharedSettings
    other: str = "choose another --study"
    earlier: str = "the search is of an earlier version of lightcnn; choose another --study"
    is_shared: bool = True

    def __str__(self) -> str:
        return str(self.settings)

    @property
    def study(self) -> str:
        """The name of the study."""
        return self.settings.study

    @cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        """What is raised if the server cannot be reached."""
        kinds: tuple[type[Exception], ...] = (*STORAGE_ERRORS, SQLAlchemyError, ConnectionError)
        if self.settings.grpc_address is None:
            return kinds
        from grpc import RpcError

        return (*kinds, RpcError)

    @cached_property
    def storage(self) -> BaseStorage:
        """The storage, to which all studies and threads of this process connect.

        Raises: RunError if it cannot be reached or is not one of Optuna.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = f"{self.settings.origin} {self.settings.visible_url}"
        try:
            with without_warnings():
                return self._connected()
        except self.errors as error:
            reason, remedy = self.explain(error)
            raise RunError(f"{storage}: cannot be reached ({reason}); {remedy}") from None
        except (RuntimeError, ValueError) as error:  # tables of another version of Optuna
            raise RunError(f"{storage}: cannot be used ({first_line(error)}); use an empty database") from None

    def open(self) -> BaseStorage:
        """The storage."""
        return self.storage

    def check(self) -> None:
        """A server checks its tables itself."""

    def explain(self, error: Exception, /) -> tuple[str, str]:
        """The message of the server or the driver, and what to do about it."""
        details = getattr(error, "details", None)  # of gRPC
        cause = error.__cause__ or error
        text = details() if callable(details) else getattr(cause, "orig", None) or cause
        return first_line(text) or type(error).__name__, "check that the server runs and can be reached"

    def close(self) -> None:
        """Closes the connections of this process, if there are any."""
        if "storage" not in vars(self):
            return
        close_connections(self.storage)

    def wait(self) -> None:
        """Waits until the server answers again. Raises: StudyError if it does not."""
        end = time.monotonic() + LOST_SECONDS
        while True:
            time.sleep(RETRY_SECONDS)
            interrupt.check()
            try:
                with without_warnings():
                    self.storage.get_all_studies()
                return
            except self.errors as error:
                if time.monotonic() > end:
                    reason, _ = self.explain(error)
                    raise StudyError(
                        f"{self}: lost, and not reached again in {LOST_SECONDS / 60:g} minutes ({reason}); check the "
                        "server, and join again"
                    ) from None

    def _connected(self) -> BaseStorage:
        if (address := self.settings.grpc_address) is not None:
            proxy = optuna.storages.GrpcStorageProxy(host=bracketed(address[0]), port=address[1])
            proxy.wait_server_ready(CONNECT_SECONDS)
            calls: Any = LimitedCalls(proxy._stub)
            proxy._stub = proxy._cache.grpc_client = calls
            return proxy
        options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_SECONDS, **LIMITS}}
        for attempt in range(3):  # two machines that make the tables at once get in each other's way
            try:
                return optuna.storages.get_storage(optuna.storages.RDBStorage(self.settings.url, engine_kwargs=options))
            except SQLAlchemyError:
                if attempt == 2:
                    raise
                time.sleep(1.0)
        raise AssertionError
