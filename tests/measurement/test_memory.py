"""The peak memory of one inference, measured in a new process."""

from __future__ import annotations

import pytest

from lightcnn.errors import LightcnnError
from lightcnn.measurement.memory import spec_memory
from lightcnn.recipe import Recipe


def test_memory_is_measured_in_a_new_process() -> None:
    spec = Recipe.load("quick").network
    memory = spec_memory(spec, threads=1)
    assert memory.peak > memory.network > 0
    assert 2**26 < memory.peak < 2**33


def test_a_failing_process_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(LightcnnError, match="the new process failed"):
        spec_memory(Recipe.load("quick").network, threads=1)
