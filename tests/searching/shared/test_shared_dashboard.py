"""`lightcnn dashboard` on the database of a shared search."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest
from helpers.postgres import Cluster
from helpers.served import Client
from searching.shared.machines import InstantPool, Machine

from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.trials import dashboard

optuna_dashboard = pytest.importorskip("optuna_dashboard", reason="the extra lightcnn[dashboard] is not installed")


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
