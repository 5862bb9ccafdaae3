"""How many cases a fuzz test has: few in every run of the tests, many with `--long`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

FEW, MANY = 60, 3_000
settings.register_profile("few", max_examples=300, derandomize=True, deadline=None, database=None)
settings.register_profile("many", max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("many" if config.getoption("--long") else "few")


@pytest.fixture
def fuzz_cases(request: pytest.FixtureRequest) -> int:
    return MANY if request.config.getoption("--long") else FEW
