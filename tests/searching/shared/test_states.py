"""States of trainings go from machine to machine through a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, NoReturn

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
    noted: Callable[[str], None] = lambda message: None,
) -> SharedStates:
    return SharedStates(artifacts, "moles", token, run, waiting, noted)


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


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    return folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", "search", {})


def test_a_link_in_the_folder_is_neither_written_through_nor_read(
    tmp_path: Path, artifacts: Path, run: RunFolder
) -> None:
    victim, planted = tmp_path / "victim", artifacts / "moles-a1-000003-794.safetensors"
    victim.write_bytes(b"aliases")
    planted.symlink_to(victim)
    notes: list[str] = []
    states = states_of(run, artifacts, noted=notes.append)
    states.fetch(NAME)
    assert not (run / NAME).exists()
    (note,) = notes
    assert f"{planted}: a link, which is not followed" in note
    run.write_bytes(NAME, b"weights")
    states.send(NAME)
    assert victim.read_bytes() == b"aliases"
    assert planted.read_bytes() == b"weights" and not planted.is_symlink()
    planted.unlink()
    planted.symlink_to(victim)
    states.remove(NAME)
    assert victim.read_bytes() == b"aliases" and not planted.is_symlink()


def test_what_a_killed_machine_was_sending_is_removed_after_an_hour(artifacts: Path, run: RunFolder) -> None:
    for name, age in (("old", 7_200), ("new", 60)):
        path = artifacts / f".{name}.{'0' * 16}.part"
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    states_of(run, artifacts)
    assert [path.name[:5] for path in artifacts.iterdir()] == [".new."]


def test_a_pipe_in_the_folder_is_not_waited_for(artifacts: Path, run: RunFolder) -> None:
    os.mkfifo(artifacts / "moles-a1-000003-794.safetensors")
    notes: list[str] = []
    states_of(run, artifacts, noted=notes.append).fetch(NAME)
    assert "not a regular file" in notes[0]


def test_a_state_that_is_too_large_or_cannot_be_sent_is_noted_once(
    artifacts: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    states = states_of(run, artifacts, noted=notes.append)
    monkeypatch.setattr("lightcnn.searching.shared.states.MAX_STATE_BYTES", 10)
    run.write_bytes(NAME, b"a large state")
    for _ in range(2):
        states.send(NAME)
    assert [note.partition("safetensors: ")[2] for note in notes] == [
        "larger than 10 bytes; a training that needs this state starts again"
    ]
    (artifacts / "moles-a1-000001-5.safetensors").write_bytes(b"a large state")
    states.fetch("trainings/000001-5.safetensors")
    assert not (run / "trainings/000001-5.safetensors").exists()
    assert (run / "log.txt").read_text().count("larger than 10 bytes") == 3


def test_a_state_whose_sending_fails_leaves_the_earlier_one_and_no_other_file(
    artifacts: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    states = states_of(run, artifacts, noted=notes.append)
    run.write_bytes(NAME, b"weights")
    states.send(NAME)

    def full(source: BinaryIO, target: BinaryIO) -> None:
        target.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    states.send(NAME)
    assert [path.read_bytes() for path in artifacts.iterdir()] == [b"weights"]
    assert "No space left on device" in notes[0]
