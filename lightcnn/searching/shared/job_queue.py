"""The trainings of a shared search, as trials of the study `NAME/jobs`: waiting, running, and done or failed.

The leader puts jobs in, every member claims waiting ones. Optuna's storage lets only one of them set a waiting trial to
running. A job whose member is gone, or that was handed back, fails and is put in again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import BaseModel, ConfigDict, ValidationError

from lightcnn.errors import RunError
from lightcnn.searching.shared.members import SILENT_SECONDS
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.trainings.jobs import Count, TrainingJob, TrainingResult, failed_result
from lightcnn.searching.trials.place import JOBS
from lightcnn.searching.trials.storage import without_warnings
from lightcnn.text import first_line

MAX_ATTEMPTS = 3
"""Members that may die of one job, until its trial has failed."""


class JobRecord(BaseModel):
    """What the trial of a job stores; a study in a database may hold anything instead.

    `job` and `result` are JSON. `attempts` members died of the job before. It was `handed_back` by its `member`, or
    belongs to it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    job: str
    target: str
    attempts: Count = 0
    member: Count | None = None
    handed_back: bool = False
    result: str = ""


@dataclass(frozen=True)
class Claim:
    """A job that this process runs, and the trial that represents it."""

    trial_id: int
    job: TrainingJob


class JobQueue:
    """The jobs of a study. A job is known by the file that it makes, its `target`."""

    def __init__(self, place: SharedPlace) -> None:
        with without_warnings():
            self._study = optuna.create_study(
                storage=place.storage, study_name=f"{place.study}{JOBS}", load_if_exists=True
            )
        self._place = place
        self._storage = place.storage
        self._unowned: dict[int, float] = {}

    def put(self, job: TrainingJob) -> None:
        """Adds a job, unless an earlier leader has added the same one."""
        latest = self._latest({job.target}).get(job.target)
        if latest is None or latest.state == TrialState.FAIL or self._record(latest).job != job.model_dump_json():
            self._add(job, attempts=0)

    def claim(
        self,
        member: int,
        claimed: Container[int] = (),
        prefers: Callable[[TrainingJob], bool] = lambda job: False,
    ) -> Claim | None:
        """A waiting job, which now belongs to this member; None if there is none.

        `claimed` are the trials of the jobs that it knows to be its own. It gets any other that belongs to it: the
        answer to an earlier claim was lost. Then it gets the first that it `prefers`, else the first. No job
        waits for long, since the leader puts in one for each free worker.
        """
        waiting = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            record = self._record(trial)
            if trial.state == TrialState.WAITING:
                waiting.append(Claim(trial._trial_id, self._job(trial, record)))
            elif record.member == member and trial._trial_id not in claimed:
                return Claim(trial._trial_id, self._job(trial, record))
        for claim in sorted(waiting, key=lambda claim: not prefers(claim.job)):
            with suppress(UpdateFinishedTrialError):
                if self._storage.set_trial_state_values(claim.trial_id, TrialState.RUNNING):
                    self._storage.set_trial_user_attr(claim.trial_id, "member", member)
                    return claim
        return None

    def finish(self, claim: Claim, result: TrainingResult) -> bool:
        """Stores the result of a job; False if the job no longer belongs to this process."""
        try:
            self._storage.set_trial_user_attr(claim.trial_id, "result", result.model_dump_json())
            return self._storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [0.0])
        except UpdateFinishedTrialError:
            return False

    def hand_back(self, claim: Claim) -> None:
        """Gives up a job, so that another member runs it."""
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_user_attr(claim.trial_id, "handed_back", True)
        self._end(claim.trial_id, TrialState.FAIL)

    def results(self, jobs: Mapping[str, TrainingJob], gone: Container[int]) -> list[TrainingResult]:
        """The results of these jobs, which are given by their targets, as far as they have ended.

        Jobs of members that are `gone`, those that were handed back, and those whose results cannot be read are put in
        again. A job that was tried `MAX_ATTEMPTS` times has an error as its result. Raises: RunError for a trial that
        is not a job.
        """
        done = []
        for target, trial in self._latest(jobs).items():
            record = self._record(trial)
            result = _result(trial, record, jobs[target])
            if trial.state == TrialState.RUNNING and self._is_abandoned(trial, record, gone):
                self._end(trial._trial_id, TrialState.FAIL)
            elif result is not None:
                done.append(result)
            elif trial.state.is_finished():
                attempts = record.attempts + (not record.handed_back)
                if attempts < MAX_ATTEMPTS:
                    self._add(jobs[target], attempts)
                else:
                    done.append(failed_result(jobs[target], f"{attempts} machines died while they trained it"))
        return done

    def repeated(self) -> int:
        """How many trainings started again from scratch, since what others had done was out of reach."""
        tried: set[str] = set()
        count = 0
        for trial in self._study.get_trials(deepcopy=False):
            record = self._record(trial)
            job = self._job(trial, record)
            result = _result(trial, record, job)
            if trial.state == TrialState.FAIL and record.member is not None:
                tried.add(record.job)
            elif result is not None and result.from_scratch and (job.source or record.job in tried):
                count += 1
        return count

    def _latest(self, targets: Container[str]) -> dict[str, FrozenTrial]:
        """The last trial of each of these targets."""
        latest = {}
        for trial in self._study.get_trials(deepcopy=False):
            target = trial.user_attrs.get("target")
            if isinstance(target, str) and target in targets:
                latest[target] = trial
        return latest

    def _record(self, trial: FrozenTrial) -> JobRecord:
        """What a trial stores. Raises: RunError if it is not a job."""
        try:
            return JobRecord.model_validate(trial.user_attrs)
        except ValidationError as error:
            raise self._damaged(trial, error) from None

    def _job(self, trial: FrozenTrial, record: JobRecord) -> TrainingJob:
        """The job of a trial. Raises: RunError if it cannot be read."""
        try:
            return TrainingJob.model_validate_json(record.job)
        except ValidationError as error:
            raise self._damaged(trial, error) from None

    def _damaged(self, trial: FrozenTrial, error: ValidationError) -> RunError:
        detail = error.errors(include_url=False, include_context=False)[0]
        reason = first_line(": ".join((*map(str, detail["loc"]), detail["msg"])))
        return RunError(
            f"{self._place}: trial {trial.number} of {self._study.study_name} is not a job of lightcnn ({reason}); "
            f"{self._place.other}"
        )

    def _is_abandoned(self, trial: FrozenTrial, record: JobRecord, gone: Container[int]) -> bool:
        """Whether the member of a running job is gone; a member that died while it claimed the job is not known."""
        if record.member is not None:
            return record.member in gone
        since = self._unowned.setdefault(trial.number, time.monotonic())
        return time.monotonic() - since > SILENT_SECONDS

    def _add(self, job: TrainingJob, attempts: int) -> None:
        attributes = {"job": job.model_dump_json(), "target": job.target, "attempts": attempts}
        self._study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=attributes))

    def _end(self, trial: int, state: TrialState) -> None:
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial, state)


def _result(trial: FrozenTrial, record: JobRecord, job: TrainingJob) -> TrainingResult | None:
    """The result of a job that is done; None if it is not, or if what is stored is not its result."""
    if trial.state != TrialState.COMPLETE:
        return None
    try:
        result = TrainingResult.model_validate_json(record.result)
    except ValidationError:
        return None
    return result if (result.target, result.trial, result.rung) == (job.target, job.trial, job.rung) else None
