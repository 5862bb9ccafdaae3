"""States of trainings go from machine to machine through a folder."""

from __future__ import annotations

from pathlib import Path

from lightcnn.run_folder import RunFolder
from lightcnn.searching.shared.states import SharedStates

NAME = "trainings/000003-794.safetensors"


def test_a_state_is_fetched_on_another_machine_and_removed_everywhere(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    runs = [RunFolder.create(tmp_path / name, "search", {}) for name in ("a", "b")]
    first, second = (SharedStates(artifacts, "moles", "a1", run) for run in runs)
    other = SharedStates(artifacts, "moles", "b2", runs[1])
    runs[0].write_bytes(NAME, b"weights")
    first.send(NAME)
    other.fetch(NAME)
    assert not (runs[1] / NAME).exists()
    second.fetch(NAME)
    assert (runs[1] / NAME).read_bytes() == b"weights"
    second.remove(NAME)
    assert not (runs[1] / NAME).exists()
    assert list(artifacts.iterdir()) == []
    second.fetch(NAME)
    second.fetch("")
    assert not (runs[1] / NAME).exists()


def test_nothing_is_shared_without_a_folder(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "search", {})
    run.write_bytes(NAME, b"weights")
    states = SharedStates(None, "moles", "a1", run)
    states.send(NAME)
    states.fetch("trainings/other.safetensors")
    assert (run / NAME).is_file()
