"""The connection to a shared storage: servers that hang, and values that are not those of lightcnn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from sqlalchemy import text

from lightcnn.errors import RunError
from lightcnn.searching.shared import place as places
from lightcnn.searching.shared.job import StudyNotes
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.trials.storage import storage_errors

grpc = pytest.importorskip("grpc")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """The port of a gRPC server that accepts calls and never answers."""
    ended = threading.Event()

    class Silent(grpc.GenericRpcHandler):
        def service(self, details: object) -> object:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: ended.wait(60))

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Silent()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    ended.set()
    server.stop(grace=0).wait()


def test_a_proxy_that_hangs_is_given_up(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "CALL_SECONDS", 0.3)
    place = SharedPlace(SharedSettings(f"grpc://127.0.0.1:{silent_port}", "moles"))
    began = time.monotonic()
    for call in (place.storage.get_all_studies, lambda: place.storage.get_all_trials(1)):
        with (
            pytest.raises(RunError, match=r"cannot be read or written \(.*\); check that the server runs"),
            storage_errors(place),
        ):
            call()
    assert time.monotonic() - began < 20


def test_a_value_that_is_not_json_is_one_line(place: SharedPlace) -> None:
    study = optuna.create_study(storage=place.storage, study_name=place.study)
    study.ask().set_user_attr("shape", {})
    with place.storage._backend.engine.begin() as connection:
        connection.execute(text("UPDATE trial_user_attributes SET value_json = '{'"))
    with (
        pytest.raises(RunError, match=r"^study moles .*: not a study of lightcnn \(.*\); choose another --study$"),
        storage_errors(place),
    ):
        study.get_trials()


def test_notes_are_read_without_making_the_study(place: SharedPlace) -> None:
    assert StudyNotes.existing(place) is None
    assert place.storage.get_all_studies() == []
    StudyNotes(place).write("plan", "a")
    notes = StudyNotes.existing(place)
    assert notes is not None and notes.read("plan") == "a"
