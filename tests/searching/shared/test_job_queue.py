"""Every job is run once; those of dead members are run again."""

from __future__ import annotations

import pytest

from lightcnn.errors import RunError
from lightcnn.recipe import Augment, Optimisation
from lightcnn.searching.shared import job_queue
from lightcnn.searching.shared.job_queue import Claim, JobQueue
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.trainings.jobs import TrainingJob, TrainingResult, WeightScore
from lightcnn.spec import ConvBlock, NetworkSpec

SPEC = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=10)


def job(trial: int = 0, until: int = 10) -> TrainingJob:
    return TrainingJob(
        trial=trial, rung=0, spec=SPEC, seed=1, training=Optimisation(), augment=Augment(), until=until,
        target=f"trainings/{trial}.safetensors",
    )  # fmt: skip


JOBS = {job().target: job()}


def result(job: TrainingJob, accuracy: float = 0.5) -> TrainingResult:
    score = WeightScore(accuracy=accuracy, log_loss=1 - accuracy)
    return TrainingResult(
        trial=job.trial, rung=job.rung, target=job.target, step=job.until, images=job.until, seconds=1.0,
        averaged=score, live=score,
    )  # fmt: skip


def claimed(queue: JobQueue, member: int = 7) -> Claim:
    claim = queue.claim(member)
    assert claim is not None
    return claim


@pytest.fixture
def queue(place: SharedPlace) -> JobQueue:
    return JobQueue(place)


def test_jobs_are_claimed_once_in_their_order(queue: JobQueue, place: SharedPlace) -> None:
    for trial in range(3):
        queue.put(job(trial))
    other = JobQueue(place)
    assert [claimed(each, member).job.trial for member, each in enumerate((queue, other, queue))] == [0, 1, 2]
    assert other.claim(8) is None


def test_a_member_prefers_jobs_that_it_can_continue(queue: JobQueue) -> None:
    for trial in range(4):
        queue.put(job(trial))
    order = [queue.claim(member, (), lambda job: job.trial >= 2).job.trial for member in range(4)]
    assert order == [2, 3, 0, 1]


def test_a_member_gets_a_job_again_that_it_does_not_know_to_be_its_own(queue: JobQueue) -> None:
    queue.put(job(0))
    queue.put(job(1))
    first = claimed(queue)
    assert queue.claim(7, {first.trial_id}).job.trial == 1
    assert queue.claim(7, {first.trial_id}).job.trial == 1, "the answer to the call before was lost"
    assert queue.claim(8) is None


def test_a_result_is_given_once_the_job_is_done(queue: JobQueue) -> None:
    queue.put(job())
    assert queue.results(JOBS, ()) == []
    claim = claimed(queue)
    assert queue.results(JOBS, ()) == []
    queue.finish(claim, result(claim.job))
    assert queue.results(JOBS, ()) == [result(job())]
    assert queue.results({"trainings/other": job()}, ()) == []


def test_a_later_leader_finds_the_same_job_and_its_result(queue: JobQueue, place: SharedPlace) -> None:
    queue.put(job())
    later = JobQueue(place)
    later.put(job())
    claim = claimed(later)
    assert queue.claim(1) is None
    queue.finish(claim, result(claim.job))
    later.put(job())
    assert later.claim(1) is None
    assert later.results(JOBS, ()) == [result(job())]
    later.put(job(until=20))  # another training under the same name, as after a change of the limits
    assert claimed(later).job.until == 20


def test_the_job_of_a_dead_member_is_run_again_and_its_late_result_is_dropped(queue: JobQueue) -> None:
    queue.put(job())
    lost = claimed(queue, member=7)
    assert queue.results(JOBS, {6}) == []
    assert queue.claim(8) is None
    for _ in range(2):
        assert queue.results(JOBS, {7}) == []
    again = claimed(queue, member=8)
    queue.finish(lost, result(lost.job, accuracy=0.1))
    assert queue.results(JOBS, {7}) == []
    queue.finish(again, result(again.job, accuracy=0.9))
    assert queue.results(JOBS, {7}) == [result(job(), accuracy=0.9)]


def test_a_member_that_dies_between_the_result_and_the_end_of_its_job_has_not_done_it(queue: JobQueue) -> None:
    queue.put(job())
    lost = claimed(queue, member=7)
    queue._storage.set_trial_user_attr(lost.trial_id, "result", result(lost.job, accuracy=0.1).model_dump_json())
    for _ in range(2):
        assert queue.results(JOBS, {7}) == []
    again = claimed(queue, member=8)
    assert not queue.finish(lost, result(lost.job, accuracy=0.1))
    queue.finish(again, result(again.job, accuracy=0.9))
    assert queue.results(JOBS, {7}) == [result(job(), accuracy=0.9)]


def test_a_job_that_kills_every_member_fails(queue: JobQueue) -> None:
    queue.put(job())
    done: list[TrainingResult] = []
    for member in range(job_queue.MAX_ATTEMPTS):
        claimed(queue, member)
        for _ in range(2):
            done = queue.results(JOBS, range(10))
    assert [each.error for each in done] == ["3 machines died while they trained it"]


def test_a_job_whose_result_cannot_be_read_is_run_again(queue: JobQueue) -> None:
    queue.put(job())
    claim = claimed(queue)
    queue._storage.set_trial_user_attr(claim.trial_id, "result", '{"trial": ')
    queue._storage.set_trial_state_values(claim.trial_id, job_queue.TrialState.COMPLETE, [0.0])
    assert queue.results(JOBS, ()) == []
    again = claimed(queue)
    queue.finish(again, result(again.job))
    assert queue.results(JOBS, ()) == [result(job())]


def test_a_job_may_be_handed_back_as_often_as_members_leave(queue: JobQueue) -> None:
    queue.put(job())
    for _ in range(2 * job_queue.MAX_ATTEMPTS):
        queue.hand_back(claimed(queue))
        assert queue.results(JOBS, ()) == []
    assert claimed(queue).job == job()


def test_trainings_that_start_again_from_scratch_are_counted(queue: JobQueue) -> None:
    def train(each: TrainingJob, *, loses: bool, from_scratch: bool) -> None:
        queue.put(each)
        if loses:
            queue.hand_back(claimed(queue))
            queue.results({each.target: each}, ())
        claim = claimed(queue)
        queue.finish(claim, result(claim.job).model_copy(update={"from_scratch": from_scratch}))

    train(job(0), loses=False, from_scratch=True)
    train(job(1), loses=True, from_scratch=False)
    assert queue.repeated() == 0, "the first one started as it must, the second one was continued"
    train(job(2), loses=True, from_scratch=True)
    assert queue.repeated() == 1
    later = job(3).model_copy(update={"rung": 1, "source": "trainings/3-5.safetensors"})
    train(later, loses=False, from_scratch=True)
    assert queue.repeated() == 2


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("attempts", "x", "attempts: Input should be a valid integer"),
        ("member", [1], "member: Input should be a valid integer"),
        ("handed_back", {}, "handed_back: Input should be a valid boolean"),
        ("job", "{", "Invalid JSON: .*"),
        ("job", None, "job: Input should be a valid string"),
        (
            "job",
            job().model_dump_json().replace("trainings/0.safetensors", "trainings/labels.npy"),
            "target: String .*",
        ),
    ],
)
def test_a_record_that_is_not_a_job_is_one_line(queue: JobQueue, name: str, value: object, reason: str) -> None:
    queue.put(job())
    (trial,) = queue._study.get_trials(deepcopy=False)
    queue._storage.set_trial_user_attr(trial._trial_id, name, value)
    message = rf"^study moles in sqlite: trial 0 of moles/jobs is not a job of lightcnn \({reason}.*\); choose another"
    with pytest.raises(RunError, match=message):
        queue.claim(7)
    if name != "job":
        queue._storage.set_trial_state_values(trial._trial_id, job_queue.TrialState.FAIL)
        with pytest.raises(RunError, match=message):
            queue.results(JOBS, ())


def test_the_result_of_another_job_is_not_one(queue: JobQueue) -> None:
    queue.put(job())
    queue.finish(claimed(queue), result(job()).model_copy(update={"trial": 9}))
    assert queue.results(JOBS, ()) == []
    queue.finish(claimed(queue), result(job()))
    assert queue.results(JOBS, ()) == [result(job())]


def test_a_member_that_dies_while_it_claims_loses_the_job(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.put(job())
    (trial,) = queue._study.get_trials(deepcopy=False)
    queue._storage.set_trial_state_values(trial._trial_id, job_queue.TrialState.RUNNING)
    assert queue.results(JOBS, ()) == []
    monkeypatch.setattr(job_queue, "SILENT_SECONDS", -1.0)
    for _ in range(2):
        assert queue.results(JOBS, ()) == []
    assert claimed(queue).job == job()
