"""States of trainings go from machine to machine through a folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NoReturn

import pytest

from lightcnn.run_folder import RunFolder
from lightcnn.searching.shared import members
from lightcnn.searching.shared.members import Membership, this_process
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.states import SharedStates

NAME = "trainings/000003-794.safetensors"


def states_of(
    run: RunFolder,
    artifacts: Path | None,
    token: str = "a1",
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> SharedStates:
    return SharedStates(artifacts, "moles", token, run, waiting)


def test_a_state_is_fetched_on_another_machine_and_removed_everywhere(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    runs = [RunFolder.create(tmp_path / name, "search", {}) for name in ("a", "b")]
    first, second = (states_of(run, artifacts) for run in runs)
    other = states_of(runs[1], artifacts, "b2")
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
    states = states_of(run, None)
    states.send(NAME)
    states.fetch("trainings/other.safetensors")
    assert (run / NAME).is_file()


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("use", ["send", "fetch", "remove"])
def test_a_member_whose_folder_hangs_is_dead(
    place: SharedPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    monkeypatch.setattr(members, "HUNG_SECONDS", 0.2)
    run = RunFolder.create(tmp_path / "run", "search", {})
    if use != "fetch":
        run.write_bytes(NAME, b"weights")
    elsewhere = this_process(1, tmp_path).model_copy(update={"machine": "elsewhere"})
    with Membership.joined(place, elsewhere) as first, Membership.joined(place, elsewhere) as second:

        class Folder:
            """An artifact store that hangs until the other member leads."""

            def __getattr__(self, name: str) -> NoReturn:
                assert not second.leads
                end = time.monotonic() + 10
                while not second.leads and time.monotonic() < end:
                    time.sleep(0.05)
                raise OSError(5, "Input/output error", "the folder")

        states = states_of(run, tmp_path, waiting=first.waiting)
        states._store = Folder()  # type: ignore[assignment]
        getattr(states, use)(NAME)
        assert first.is_lost
    assert "Input/output error" in (run / "log.txt").read_text()
