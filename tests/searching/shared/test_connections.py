"""How many connections to the database a machine uses, which limits the number of machines (docs/scale.md)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from helpers.postgres import Cluster
from searching.shared.machines import InstantPool, Machine

from lightcnn.searching.shared import members
from lightcnn.searching.shared.settings import SharedSettings

CONNECTIONS_OF_MACHINE = 2
"""One of the search, and one of its heartbeats."""


def test_a_machine_uses_two_connections(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    psycopg = pytest.importorskip("psycopg", reason="the extra lightcnn[postgres] is not installed")
    monkeypatch.setattr(members, "BEAT_SECONDS", 0.01)
    shared = SharedSettings(cluster.url, "connections")
    counts = []
    with psycopg.connect(cluster.url.replace("+psycopg", ""), autocommit=True) as connection:

        def count() -> int:
            query = "SELECT count(*) FROM pg_stat_activity WHERE client_addr IS NOT NULL"
            return int(connection.execute(query).fetchone()[0])

        before = count()
        machines = [
            Machine(tmp_path / str(number), shared, InstantPool(workers=4, seconds=0.05), trials=4).start()
            for number in range(2)
        ]
        while any(machine.thread.is_alive() for machine in machines):
            counts.append(count() - before)
            time.sleep(0.01)
    assert [machine.join().error for machine in machines] == [None, None]
    assert max(counts) == CONNECTIONS_OF_MACHINE * len(machines)
