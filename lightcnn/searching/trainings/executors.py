"""Where trainings run: the protocol, and trainings in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from lightcnn import interrupt
from lightcnn.errors import LightcnnError
from lightcnn.run_folder import RunFolder
from lightcnn.searching.plan import Plan
from lightcnn.searching.trainings.data import TrainingData
from lightcnn.searching.trainings.jobs import TrainingJob, TrainingResult
from lightcnn.searching.trainings.training import run_job


class Executor(Protocol):
    """Runs jobs, at most `workers` at once, in any order. `wait` returns the next result; None if `workers` changed.

    Parts of final trainings run on this machine, at most `final_workers` at once; `fetch` brings it a state that
    another one has left, and `release` is called when the others have nothing left to do. `stop` ends all processes
    once no job runs, so that nothing else does while networks are timed; the next job starts them again. `machines` is
    what report.json states of the machines that took part, and of trainings that were repeated, `finals` of them final
    ones; None if there is only this one.
    """

    @property
    def workers(self) -> int: ...
    @property
    def final_workers(self) -> int: ...
    def machines(self, finals: int) -> dict[str, Any] | None: ...
    def fetch(self, name: str) -> None: ...
    def release(self) -> None: ...
    def stop(self) -> None: ...
    def submit(self, job: TrainingJob) -> None: ...
    def wait(self) -> TrainingResult | None: ...


def trainings_at_once(plan: Plan, workers: int) -> int:
    """How many of so many workers train at once: those of the plan, if a network is alone or uses several threads.

    Otherwise all: the plan of a shared search has the workers of one machine only.
    """
    return min(workers, plan.workers) if plan.alone or plan.threads not in (None, 1) else workers


def next_result(executor: Executor) -> TrainingResult | None:
    """The next result; None if the number of workers has changed.

    Raises: LightcnnError if an error that is not the network's ends the search.
    """
    result = executor.wait()
    if result is not None and result.ends_search:
        raise LightcnnError(f"{result.error}; check the free disk space and the permissions, then use --resume")
    return result


class InProcess:
    """Runs one job after another in this process, when their results are waited for."""

    workers = final_workers = 1

    def __init__(
        self, data: TrainingData, folder: RunFolder, beat: Callable[[int, int], None] = lambda trial, step: None
    ) -> None:
        """`beat` gets trial and step after every batch."""
        self._data = data
        self._folder = folder
        self._beat = beat
        self._jobs: deque[TrainingJob] = deque()

    def machines(self, finals: int) -> None:
        """There is only this one."""

    def fetch(self, name: str) -> None:
        """All states are on this machine."""

    def release(self) -> None:
        """There are no others."""

    def stop(self) -> None:
        """There are no other processes."""

    def submit(self, job: TrainingJob) -> None:
        """Adds a job."""
        self._jobs.append(job)

    def wait(self) -> TrainingResult:
        """Runs the first job."""
        job = self._jobs.popleft()
        with interrupt.pausing() as paused:
            return run_job(job, self._data, self._folder, lambda step: self._beat(job.trial, step), paused)
