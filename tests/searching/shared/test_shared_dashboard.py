"""`lightcnn dashboard` on the database of a shared search."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from threading import Thread

import pytest
from helpers.postgres import Cluster
from helpers.served import Client
from searching.shared.machines import InstantPool, Machine

from lightcnn.errors import InputError
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.trials import dashboard, shown_study

optuna_dashboard = pytest.importorskip("optuna_dashboard", reason="the extra lightcnn[dashboard] is not installed")


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg", reason="the extra lightcnn[postgres] is not installed")
    monkeypatch.setattr(shown_study, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://anna:secret@127.0.0.1:{silent.getsockname()[1]}/optuna"
        began = time.monotonic()
        with pytest.raises(InputError, match=r"^postgresql\+psycopg://anna:\*\*\*@.*: not a study .*\(.*timeout.*\)$"):
            dashboard.open_studies(url, tmp_path)
    assert time.monotonic() - began < 8  # the driver waits for two seconds at least


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("postgresql+psycopg://db/x", {"connect_timeout": 10}),
        ("postgresql+psycopg2://db/x", {"connect_timeout": 10}),
        ("postgresql://db/x", {"connect_timeout": 10}),
        ("mysql+pymysql://db/x", {"connect_timeout": 10}),
        ("mysql+mysqlconnector://db/x", {}),
        ("sqlite:///study.db", {}),
        ("nosuch://db/x", {}),
    ],
)
def test_the_time_to_connect_is_limited_where_the_driver_has_that_option(url: str, options: dict[str, int]) -> None:
    assert shown_study.connect_options(url) == options


def test_the_search_is_shown_without_its_jobs_and_members(tmp_path: Path, cluster: Cluster) -> None:
    shared = SharedSettings(cluster.url, "shown")
    machine = Machine(tmp_path / "run", shared, InstantPool()).start().join()
    assert machine.error is None
    studies = dashboard.open_studies(cluster.url, tmp_path)
    app = dashboard.read_only(optuna_dashboard.wsgi(studies))
    with dashboard._listen(app, 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        client = Client(server.server_port)
        listed = client.ask("GET", "/api/studies").json["study_summaries"]
        names = [study["study_name"] for study in listed]
        assert "shown" in names
        assert not [name for name in names if "/" in name]
        number = next(study["study_id"] for study in listed if study["study_name"] == "shown")
        trials = client.ask("GET", f"/api/studies/{number}").json["trials"]
        server.shutdown()
    studies.engine.dispose()
    assert len(trials) == 8
    assert all(trial["constraints"] for trial in trials)
