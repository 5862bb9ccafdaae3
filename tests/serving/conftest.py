"""One small run for all tests of serving, and a server of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.explained_run import make_run_folder
from helpers.served import Client, serving

from lightcnn.serving.job import make_api
from lightcnn.serving.settings import Limits, ServeSettings

LIMITS = Limits(requests_per_second=10_000, megabytes=4, megapixels=2, images=4)
"""Limits that tests reach quickly."""


@pytest.fixture(scope="session")
def served_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run_folder(tmp_path_factory.mktemp("served")) / "run"


@pytest.fixture(scope="session")
def settings(served_run: Path) -> ServeSettings:
    return ServeSettings(served_run, limits=LIMITS, device="cpu")


@pytest.fixture(scope="session")
def client(settings: ServeSettings) -> Iterator[Client]:
    with serving(make_api(settings), settings) as client:
        yield client
