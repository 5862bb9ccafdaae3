"""Searches of several machines, some of which die, leave, lose the storage, or are of another search."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers.postgres import Cluster
from searching.shared.machines import Cable, InstantPool, Machine, scored

from lightcnn.errors import NoNetworkError, RunError, StudyError
from lightcnn.run_folder import RunFolder
from lightcnn.searching.shared import executor, job, job_queue, local_work, members, place
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.trainings.jobs import TrainingJob, TrainingResult, failed_result
from lightcnn.version import __version__

pytestmark = pytest.mark.usefixtures("fast")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is looked at often, and a storage that is lost is given up soon."""
    for module in (members, job_queue):
        monkeypatch.setattr(module, "SILENT_SECONDS", 2.0)
    for module, name in ((executor, "LOOK_SECONDS"), (local_work, "LOOK_SECONDS"), (job, "END_SECONDS")):
        monkeypatch.setattr(module, name, 0.1)
    monkeypatch.setattr(executor, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(job, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(place, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(place, "LOST_SECONDS", 2.0)


@pytest.fixture
def shared(cluster: Cluster, request: pytest.FixtureRequest) -> SharedSettings:
    """A study that no other test uses."""
    return SharedSettings(cluster.url, request.node.name[:90])


def at_job(number: int, action: Callable[[], None]) -> Callable[[object], None]:
    """What a pool does in its training with that number, the first is 1."""
    count = iter(range(1, 1000))
    return lambda job: action() if next(count) == number else None


def test_one_machine_searches_as_without_faults_if_the_storage_is_away_for_a_while(
    tmp_path: Path, shared: SharedSettings
) -> None:
    undisturbed = replace(shared, study="undisturbed")
    alone = Machine(tmp_path / "alone", undisturbed, InstantPool()).start().join()
    assert alone.error is None

    def cut() -> None:
        disturbed.cable.is_cut = True

    disturbed = Machine(tmp_path / "run", shared, InstantPool(at_job(5, cut))).start()
    while not disturbed.cable.is_cut:
        time.sleep(0.01)
    time.sleep(0.5)
    disturbed.cable.is_cut = False
    assert disturbed.join().error is None
    assert disturbed.leads == 2
    assert scored(shared) == scored(undisturbed)
    assert disturbed.pool.trained == alone.pool.trained  # none twice


def test_machines_that_die_lose_no_trial_and_the_others_go_on(tmp_path: Path, shared: SharedSettings) -> None:
    machines: list[Machine] = []

    def dies(number: int) -> Callable[[], None]:
        def cut() -> None:
            machines[number].cable.is_cut = True

        return cut

    pools = [
        InstantPool(at_job(2, dies(0)), seconds=0.05),  # the first leader, with a training that it has done
        InstantPool(at_job(1, dies(1))),
        InstantPool(seconds=0.3),
        InstantPool(seconds=0.3),
    ]
    for number, pool in enumerate(pools):
        machines.append(Machine(tmp_path / str(number), shared, pool, trials=14).start())
        while not machines[0].leads:
            time.sleep(0.01)
    for machine in machines:
        machine.join()
    assert [type(machine.error) for machine in machines] == [StudyError, StudyError, type(None), type(None)]
    assert "lost, and not reached again" in str(machines[0].error)
    assert machines[0].leads == 1
    assert machines[2].leads + machines[3].leads >= 1
    assert machines[2].end is not None and machines[3].end is not None
    assert machines[2].end.folder == machines[3].end.folder
    outcomes = scored(shared)
    assert [number for number, *_ in outcomes] == list(range(14))
    assert all(state == "duplicate" or scores for _, state, _, _, scores in outcomes)
    trained = Counter(target for pool in pools for target in pool.trained)
    lost = {pool.trained[-1] for pool in pools[:2]}
    assert {target for target, times in trained.items() if times > 1} <= lost


@pytest.mark.parametrize(
    "call", [40, *(pytest.param(call, marks=pytest.mark.long) for call in (130, *range(20, 260, 12)))]
)
def test_a_leader_may_die_between_any_two_calls_of_the_storage(
    tmp_path: Path, shared: SharedSettings, call: int
) -> None:
    first = Machine(tmp_path / "first", shared, InstantPool(), cable=cut_before(call)).start()
    assert isinstance(first.join().error, RunError | StudyError)  # before it had joined, or after
    second = Machine(tmp_path / "second", shared, InstantPool()).start().join()
    assert second.error is None
    outcomes = scored(shared)
    assert [number for number, *_ in outcomes] == list(range(8))
    assert all(state == "duplicate" or scores for _, state, _, _, scores in outcomes)
    assert len({*first.pool.trained, *second.pool.trained}) >= len(first.pool.trained + second.pool.trained) - 1


def cut_before(number: int) -> type[Cable]:
    """A cable that is cut for ever before the call of the storage with that number."""

    class CutCable(Cable):
        calls = 0

        def __getattr__(self, name: str) -> Any:
            if name != "is_cut":
                self.calls += 1
                self.is_cut = self.is_cut or self.calls >= number
            return super().__getattr__(name)

    return CutCable


@pytest.mark.parametrize("call", [6, 32, 50, *(pytest.param(call, marks=pytest.mark.long) for call in range(1, 94))])
def test_a_call_of_the_storage_may_have_its_effect_and_lose_its_answer(
    tmp_path: Path, shared: SharedSettings, call: int
) -> None:
    machine = Machine(tmp_path / "run", shared, InstantPool(), trials=2, cable=answerless(call)).start().join()
    if machine.error is not None:  # it had not joined yet
        assert isinstance(machine.error, RunError) and not machine.leads
        machine = Machine(tmp_path / "again", shared, InstantPool(), trials=2).start().join()
    assert machine.error is None
    assert [(number, list(dict(scores))) for number, *_, scores in scored(shared)] == [(0, [1]), (1, [1])]
    assert len(machine.pool.trained) <= 3


def answerless(number: int) -> type[Cable]:
    """A cable that loses the answer to the call of the storage with that number; heartbeats do not count."""

    class AnswerlessCable(Cable):
        calls = 0

        def __getattr__(self, name: str) -> Any:
            value = super().__getattr__(name)
            if name in ("remove_session", "_backend"):
                return value

            def call(*arguments: Any, **options: Any) -> Any:
                answer = value(*arguments, **options)
                if "beat" not in arguments:
                    self.calls += 1
                    if self.calls == number:
                        raise ConnectionError("the answer is lost")
                return answer

            return call

    return AnswerlessCable


def test_a_storage_that_fails_again_and_again_is_given_up(
    tmp_path: Path, shared: SharedSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "MAX_LOSSES", 2)

    class FailingCable(Cable):
        """No trial can be made."""

        def __getattr__(self, name: str) -> Any:
            if name == "create_new_trial" and machine.leads:
                raise ConnectionError("the table is damaged")
            return super().__getattr__(name)

    machine = Machine(tmp_path / "run", shared, InstantPool(), cable=FailingCable)
    error = machine.start().join().error
    assert isinstance(error, StudyError) and error.exit_code == 1
    assert "the table is damaged" in str(error) and str(error).endswith("given up after 2 attempts")


def test_a_machine_that_leaves_hands_its_training_back_at_once(tmp_path: Path, shared: SharedSettings) -> None:
    def leave() -> None:
        raise KeyboardInterrupt

    first = Machine(tmp_path / "first", shared, InstantPool(seconds=0.2)).start()
    while not first.leads:
        time.sleep(0.01)
    leaving = Machine(tmp_path / "leaving", shared, InstantPool(at_job(1, leave))).start()
    assert isinstance(leaving.join().error, KeyboardInterrupt)
    assert first.join().error is None
    assert first.end is not None and first.end.folder == str(tmp_path / "first")
    assert Counter(first.pool.trained + leaving.pool.trained).most_common(1)[0][1] == 1


def test_a_machine_with_a_full_disk_hands_its_training_back_and_ends(tmp_path: Path, shared: SharedSettings) -> None:
    class FullDisk(InstantPool):
        def poll(self) -> TrainingResult | None:
            result = super().poll()
            return result and failed_result(self.tried[0], "no space left").model_copy(update={"ends_search": True})

        def submit(self, job: TrainingJob) -> None:
            super().submit(job)
            self.tried = [job]

    first = Machine(tmp_path / "first", shared, InstantPool(seconds=0.5)).start()
    while not first.leads:
        time.sleep(0.01)
    full = Machine(tmp_path / "full", shared, FullDisk()).start().join()
    assert str(full.error) == "no space left; the training was handed back: free some space, and join again"
    assert first.join().error is None
    assert set(full.pool.trained) <= set(first.pool.trained)
    assert [number for number, *_ in scored(shared)] == list(range(8))


@pytest.mark.parametrize("shares", [True, False])
def test_a_machine_that_did_not_lead_keeps_states_only_if_they_are_nowhere_else(
    tmp_path: Path, shared: SharedSettings, shares: bool
) -> None:
    """Until the search has ended: its leader may fail in the final trainings."""
    if shares:
        (tmp_path / "artifacts").mkdir()
        shared = replace(shared, artifacts=tmp_path / "artifacts")
    machines: list[Machine] = []

    def wait() -> None:
        while len(machines) < 2 or not machines[1].has_joined:
            time.sleep(0.01)

    def start(name: str, **options: Any) -> Machine:
        def leave_state(job: TrainingJob) -> None:
            RunFolder(tmp_path / name).write_bytes(f"trainings/{job.trial:06}-{job.until}.safetensors", b"state")

        return Machine(tmp_path / name, shared, InstantPool(leave_state, seconds=0.2), **options).start()

    machines.append(start("first", lead=wait, finals=lambda: machines[1].join() and None))
    while not machines[0].leads:
        time.sleep(0.01)
    machines.append(start("second"))
    first, second = (machine.join() for machine in machines)
    assert first.error is None and second.error is None
    assert first.pool.trained and second.pool.trained
    assert list((tmp_path / "first" / "trainings").iterdir())
    assert bool(list((tmp_path / "second" / "trainings").iterdir())) is not shares


def test_a_leader_that_leaves_is_followed_by_the_next_machine(tmp_path: Path, shared: SharedSettings) -> None:
    def leave() -> None:
        raise KeyboardInterrupt

    first = Machine(tmp_path / "first", shared, InstantPool(at_job(4, leave), seconds=0.05)).start()
    time.sleep(0.2)
    second = Machine(tmp_path / "second", shared, InstantPool(seconds=0.05)).start()
    assert isinstance(first.join().error, KeyboardInterrupt)
    assert second.join().error is None
    assert (first.leads, second.leads) == (1, 1)
    assert len(scored(shared)) == 8


def test_the_others_end_with_the_last_trial_and_any_machine_continues(tmp_path: Path, shared: SharedSettings) -> None:
    others: list[Machine] = []

    def wait_for(number: int) -> None:
        while len(others) <= number or others[number].thread.is_alive():
            time.sleep(0.01)

    def die() -> None:
        wait_for(0)
        raise KeyboardInterrupt

    def start(name: str, **options: Any) -> Machine:
        return Machine(tmp_path / name, shared, InstantPool(seconds=0.02), **options).start()

    first = start("first", finals=die)
    while not first.leads:
        time.sleep(0.01)
    others.append(start("second"))
    assert others[0].join().error is None
    end = others[0].end
    assert end is not None and (end.folder, end.in_training) == (str(tmp_path / "first"), True)
    assert f"the result will be in {end.folder} there; if that machine fails, continue there with --resume" in end.line
    assert isinstance(first.join().error, KeyboardInterrupt)

    def look() -> None:
        while len(others) < 2 or not others[1].has_joined:
            time.sleep(0.01)
        time.sleep(3 * job.END_SECONDS)

    third = start("third", resume=True, lead=look, finals=lambda: wait_for(1))
    while not third.leads:
        time.sleep(0.01)
    others.append(start("fourth"))
    assert others[1].join().error is None and third.join().error is None
    assert others[1].end is not None and others[1].end.folder == str(tmp_path / "third")  # not that of the dead one
    assert third.end is not None and (third.end.folder, third.end.in_training) == (str(tmp_path / "third"), False)
    assert third.pool.trained == others[1].pool.trained == []
    assert len(scored(shared)) == 8


@pytest.mark.long
def test_other_images_are_refused(tmp_path: Path, shared: SharedSettings) -> None:
    first = Machine(tmp_path / "first", shared, InstantPool(seconds=0.1)).start()
    time.sleep(0.3)
    other = Machine(tmp_path / "other", shared, InstantPool(), fingerprint="others").start().join()
    assert isinstance(other.error, RunError)
    assert "the search of other images (fingerprint images, here others)" in str(other.error)
    assert first.join().error is None
    assert other.pool.trained == []


def test_the_search_of_another_version_is_refused_with_both(shared: SharedSettings) -> None:
    place = SharedPlace(shared)
    try:
        job.StudyNotes(place).write("search", {"version": "0.0.9"})
        with pytest.raises(RunError, match=rf"the search of lightcnn 0\.0\.9, this is {__version__}; install the same"):
            job.joined_settings(shared, {}, resume=False)
    finally:
        place.close()


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_study_of_another_program_is_refused_and_left_as_it_was(
    tmp_path: Path, shared: SharedSettings, direction: str
) -> None:
    storage = optuna.storages.RDBStorage(shared.url)
    study = optuna.create_study(storage=storage, study_name=shared.study, direction=direction)
    study.set_user_attr("owner", "anna")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)

    def content() -> tuple:
        names = sorted(each.study_name for each in storage.get_all_studies())
        return names, study.user_attrs, storage.get_study_system_attrs(study._study_id), study.get_trials()

    before = content()
    machine = Machine(tmp_path / "run", shared, InstantPool()).start().join()
    assert isinstance(machine.error, RunError)
    assert "not a study of lightcnn" in str(machine.error)
    assert content() == before
    storage.remove_session()
    storage.engine.dispose()


def test_a_search_that_fails_ends_on_all_machines_and_can_be_tried_again(
    tmp_path: Path, shared: SharedSettings
) -> None:
    second: Machine | None = None

    def fail() -> None:
        while second is None or not second.has_joined:
            time.sleep(0.01)
        raise NoNetworkError("no trial succeeded")

    first = Machine(tmp_path / "first", shared, InstantPool(), lead=fail).start()
    while not first.leads:
        time.sleep(0.01)
    second = Machine(tmp_path / "second", shared, InstantPool()).start()
    assert str(first.join().error) == "no trial succeeded"
    assert "the search failed on " in str(second.join().error)
    assert Machine(tmp_path / "third", shared, InstantPool()).start().join().error is None
    assert len(scored(shared)) == 8


@pytest.mark.long
def test_a_finished_search_of_these_limits_is_not_run_again(tmp_path: Path, shared: SharedSettings) -> None:
    first = Machine(tmp_path / "first", shared, InstantPool()).start().join()
    second = Machine(tmp_path / "second", shared, InstantPool()).start().join()
    assert first.end == second.end
    assert second.pool.trained == []
    longer = Machine(tmp_path / "longer", shared, InstantPool(), trials=10, resume=True).start().join()
    assert longer.error is None
    other = Machine(tmp_path / "other", shared, InstantPool(), trials=20).start().join()
    assert "a search with other settings" in str(other.error)
    assert len(scored(shared)) == 10
