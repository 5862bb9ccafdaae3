"""`lightcnn storage serve`: its addresses, those that are not free, and its end."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import optuna
import pytest
from helpers.postgres import Cluster
from helpers.serving_process import serving_process

from lightcnn.errors import InputError
from lightcnn.searching.shared import proxy
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings

pytest.importorskip("grpc", reason="the extra lightcnn[postgres] is not installed")


def free_port(host: str) -> int:
    """A port that is free on that address; skips where this machine does not have the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as free:
        try:
            free.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine does not have the address {host}")
        return int(free.getsockname()[1])


@contextmanager
def serving(host: str, port: int) -> Iterator[None]:
    """A proxy of a storage in memory."""
    server = proxy.listening(optuna.storages.InMemoryStorage(), host, port)
    server.start()
    yield
    server.stop(grace=0).wait()


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("[::1]", "[::1]"), ("::", "[::1]")]
)
def test_machines_connect_by_both_versions_of_ip(host: str, address: str) -> None:
    port = free_port(host.strip("[]"))
    with (
        serving(host, port),
        closing(SharedPlace(SharedSettings(f"grpc://{address}:{port}", "moles"))) as place,
    ):
        optuna.create_study(storage=place.storage, study_name=place.study)
        assert [study.study_name for study in place.storage.get_all_studies()] == ["moles"]


@pytest.mark.parametrize(
    ("first", "second"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "localhost")]
)
def test_a_port_that_another_proxy_uses_is_refused(first: str, second: str, capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port("127.0.0.1")
    with (
        serving(first, port),
        pytest.raises(
            InputError,
            match=rf"^storage serve: {re.escape(second)}:{port} cannot be used \(Address already in use\); choose "
            r"another --host or --port$",
        ),
    ):
        proxy.listening(optuna.storages.InMemoryStorage(), second, port)
    with serving(second, port):  # free again
        pass
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("host", ["192.0.2.1", "nosuch.invalid", "fe80::zz"])
def test_an_address_of_another_machine_is_one_line(host: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"^storage serve: \S+:13000 cannot be used \(.+\); choose another --host"):
        proxy.listening(optuna.storages.InMemoryStorage(), host, 13000)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_process_ends_with_zero_after_a_signal(number: signal.Signals, cluster: Cluster) -> None:
    port = free_port("127.0.0.1")
    url = cluster.url.replace("anna@", "anna:secret@")
    with serving_process(["storage", "serve", url, "--port", str(port)]) as (process, document):
        assert document["address"] == f"grpc://127.0.0.1:{port}"
        process.send_signal(number)
        rest, error = process.communicate(timeout=60)
    assert (process.returncode, rest, error) == (0, "", "")
