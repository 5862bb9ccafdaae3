"""The server of shared searches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.postgres import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server."""
    server = Cluster.start()
    yield server
    server.remove()
