"""The trainings of a machine: those that it pauses are continued by another one from the same step."""

from __future__ import annotations

from pathlib import Path

import pytest
from searching.shared.machines import InstantPool
from searching.shared.test_job_queue import JOBS, job, result

from lightcnn.run_folder import RunFolder
from lightcnn.searching.shared.job_queue import JobQueue
from lightcnn.searching.shared.local_work import LocalWork
from lightcnn.searching.shared.members import Membership, this_process
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.states import SharedStates
from lightcnn.searching.trainings.jobs import TrainingJob, TrainingResult, failed_result, paused_file

PAUSED = paused_file(job().target)


class PausingPool(InstantPool):
    """A pool whose trainings do not end, until they are paused; `ended` are those that end meanwhile."""

    def __init__(self, run: RunFolder, ended: list[TrainingResult] | None = None) -> None:
        super().__init__()
        self._run, self._ended = run, ended or []

    def poll(self) -> TrainingResult | None:
        return None

    def pause(self) -> list[TrainingResult]:
        if not self._ended:
            self._run.write_bytes(PAUSED, b"a state in the middle")
        return self._ended


class Finishing(InstantPool):
    """A pool that ends its trainings as `outcome` has it."""

    def __init__(self, outcome: TrainingResult) -> None:
        super().__init__()
        self._outcome = outcome

    def poll(self) -> TrainingResult | None:
        return self._outcome if super().poll() else None


def work(place: SharedPlace, folder: Path, membership: Membership, pool: type | InstantPool) -> LocalWork:
    run = RunFolder(folder)
    states = SharedStates(folder.parent / "artifacts", "moles", "a1", run, membership.waiting, lambda message: None)
    return LocalWork(pool, JobQueue(place), membership, states)  # type: ignore[arg-type]


@pytest.fixture
def folders(tmp_path: Path) -> list[RunFolder]:
    (tmp_path / "artifacts").mkdir()
    return [RunFolder.create(tmp_path / name, "search", {}) for name in ("first", "second")]


@pytest.mark.parametrize("error", ["", "the loss is not a number"])
def test_a_paused_training_is_continued_elsewhere_and_its_state_removed(
    place: SharedPlace, folders: list[RunFolder], error: str
) -> None:
    queue = JobQueue(place)
    queue.put(job())
    with Membership.joined(place, this_process(1, Path("run"))) as membership:
        first = work(place, folders[0].path, membership, PausingPool(folders[0]))
        first.round()
        first.hand_back()
        assert queue.results(JOBS, ()) == []

        seen: list[bytes] = []

        def train(job: TrainingJob) -> None:
            seen.append((folders[1] / PAUSED).read_bytes())
            folders[1].write_bytes(job.target, b"a state at the end")

        outcome = failed_result(job(), error) if error else result(job())
        pool = Finishing(outcome)
        pool.train = train
        second = work(place, folders[1].path, membership, pool)
        second.round()
        second.round()
        assert queue.results(JOBS, ()) == [outcome]
    assert seen == [b"a state in the middle"]
    left = {path.name for path in (folders[0].path.parent / "artifacts").iterdir()}
    assert left == (set() if error else {f"moles-a1-{Path(job().target).name}"})


@pytest.mark.parametrize("name", ["trainings/1-5.safetensors", paused_file(job(1).target)])
def test_a_machine_first_continues_the_training_whose_state_it_has(
    place: SharedPlace, folders: list[RunFolder], name: str
) -> None:
    for trial in range(2):
        source = f"trainings/{trial}-5.safetensors"
        JobQueue(place).put(job(trial).model_copy(update={"rung": 1, "source": source}))
    folders[0].write_bytes(name, b"a state")
    pools = [InstantPool(), InstantPool()]
    for folder, pool in zip(folders, pools, strict=True):
        with Membership.joined(place, this_process(1, folder.path)) as membership:
            work(place, folder.path, membership, pool).round()
    assert [pool.waiting[0][0].trial for pool in pools] == [1, 0]


def test_a_training_that_ends_while_it_is_paused_is_handed_in(place: SharedPlace, folders: list[RunFolder]) -> None:
    queue = JobQueue(place)
    queue.put(job())
    with Membership.joined(place, this_process(1, Path("run"))) as membership:
        machine = work(place, folders[0].path, membership, PausingPool(folders[0], [result(job())]))
        machine.round()
        machine.hand_back()
    assert queue.results(JOBS, ()) == [result(job())]
