"""The trainings of a shared search, as trials of the study `NAME/jobs`: waiting, running, and done or failed.

The leader puts jobs in, every member claims waiting ones. Optuna's storage lets only one of them set a waiting trial to
running. A job whose member is gone, or that was handed back, fails and is put in again.
"""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import ValidationError

from lightcnn.searching.shared.members import SILENT_SECONDS
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.trainings.jobs import TrainingJob, TrainingResult, failed_result
from lightcnn.searching.trials.place import JOBS
from lightcnn.searching.trials.storage import without_warnings

MAX_ATTEMPTS = 3
"""Members that may die of one job, until its trial has failed."""


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
        self._storage = place.storage
        self._unowned: dict[int, float] = {}

    def put(self, job: TrainingJob) -> None:
        """Adds a job, unless an earlier leader has added the same one."""
        latest = self._latest({job.target}).get(job.target)
        if latest is None or latest.state == TrialState.FAIL or latest.user_attrs.get("job") != job.model_dump_json():
            self._add(job, attempts=0)

    def claim(self, member: int, claimed: Container[int] = ()) -> Claim | None:
        """A waiting job, which now belongs to this member; None if there is none.

        `claimed` are the trials of the jobs that it knows to be its own. It gets any other that belongs to it: the
        answer to an earlier claim was lost.
        """
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            with suppress(UpdateFinishedTrialError):
                if trial.state == TrialState.RUNNING:
                    if trial.user_attrs.get("member") != member or trial._trial_id in claimed:
                        continue
                elif self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                    self._storage.set_trial_user_attr(trial._trial_id, "member", member)
                else:
                    continue
                try:
                    return Claim(trial._trial_id, TrainingJob.model_validate_json(trial.user_attrs["job"]))
                except (KeyError, ValidationError):
                    self._end(trial._trial_id, TrialState.FAIL)
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
        again. A job that was tried `MAX_ATTEMPTS` times has an error as its result.
        """
        done = []
        for target, trial in self._latest(jobs).items():
            result = _result(trial)
            if trial.state == TrialState.RUNNING and self._is_abandoned(trial, gone):
                self._end(trial._trial_id, TrialState.FAIL)
            elif result is not None:
                done.append(result)
            elif trial.state.is_finished():
                attempts = trial.user_attrs.get("attempts", 0) + (not trial.user_attrs.get("handed_back", False))
                if attempts < MAX_ATTEMPTS:
                    self._add(jobs[target], attempts)
                else:
                    done.append(failed_result(jobs[target], f"{attempts} machines died while they trained it"))
        return done

    def repeated(self) -> int:
        """How many trainings started again from scratch, since the state at their last rung could not be fetched."""
        results = map(_result, self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        return sum(result is not None and result.repeated for result in results)

    def _latest(self, targets: Container[str]) -> dict[str, FrozenTrial]:
        """The last trial of each of these targets."""
        latest = {}
        for trial in self._study.get_trials(deepcopy=False):
            target = trial.user_attrs.get("target")
            if isinstance(target, str) and target in targets:
                latest[target] = trial
        return latest

    def _is_abandoned(self, trial: FrozenTrial, gone: Container[int]) -> bool:
        """Whether the member of a running job is gone; a member that died while it claimed the job is not known."""
        if (member := trial.user_attrs.get("member")) is not None:
            return member in gone
        since = self._unowned.setdefault(trial.number, time.monotonic())
        return time.monotonic() - since > SILENT_SECONDS

    def _add(self, job: TrainingJob, attempts: int) -> None:
        attributes = {"job": job.model_dump_json(), "target": job.target, "attempts": attempts}
        self._study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=attributes))

    def _end(self, trial: int, state: TrialState) -> None:
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial, state)


def _result(trial: FrozenTrial) -> TrainingResult | None:
    """The result of a job that is done; None if it is not, or if what is stored cannot be read."""
    if trial.state != TrialState.COMPLETE:
        return None
    try:
        return TrainingResult.model_validate_json(trial.user_attrs.get("result", ""))
    except ValidationError:
        return None
