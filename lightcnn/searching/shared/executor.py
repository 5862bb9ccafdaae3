"""The executor of the leader: jobs of rungs go to all machines, final trainings to its own workers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from lightcnn import interrupt
from lightcnn.errors import StudyError
from lightcnn.searching.shared.job_queue import JobQueue
from lightcnn.searching.shared.local_work import LocalWork
from lightcnn.searching.shared.members import Membership
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.states import SharedStates
from lightcnn.searching.trainings.jobs import FINAL, TrainingJob, TrainingResult
from lightcnn.searching.trials.storage import storage_errors

POLL_SECONDS = 0.05
"""Time between two looks at the workers of this machine."""
LOOK_SECONDS = 0.5
"""Time between two looks at the results of other machines."""


class SharedExecutor:
    """An `Executor` of all live members. Raises: StudyError if the storage is lost, or the lead."""

    def __init__(
        self,
        place: SharedPlace,
        work: LocalWork,
        queue: JobQueue,
        membership: Membership,
        states: SharedStates,
        joined: Callable[[int, int], None],
        release: Callable[[], None],
    ) -> None:
        """`joined` gets the numbers of machines and of workers whenever they change; `release` ends the others."""
        self._place = place
        self._work = work
        self._queue = queue
        self._membership = membership
        self._states = states
        self._joined = joined
        self._release = release
        self._asked: dict[str, TrainingJob] = {}
        self._done: deque[TrainingResult] = deque()
        self._told = (0, 0)
        self._looked = float("-inf")

    @property
    def workers(self) -> int:
        """The workers of all live members."""
        with storage_errors(self._place, started=True):
            live = self._membership.live()
        counts = len(live), sum(member.workers for member in live)
        if counts != self._told:
            self._told = counts
            self._joined(*counts)
        return max(1, counts[1])

    @property
    def final_workers(self) -> int:
        """The workers of this machine."""
        return self._work.workers

    def machines(self, finals: int) -> dict[str, Any]:
        """How many processes took part, and how many trainings were repeated from the start, `finals` of them final."""
        with storage_errors(self._place, started=True):
            return {"members": self._membership.count(), "repeated_trainings": self._queue.repeated() + finals}

    def fetch(self, name: str) -> None:
        """Copies a state to this machine, if another one has left it."""
        self._states.fetch(name)

    def release(self) -> None:
        """Lets the other machines end: only final trainings follow, which run on this one."""
        self._release()

    def stop(self) -> None:
        """Nothing is timed in a search of several machines: it has no limit on latency."""

    def submit(self, job: TrainingJob) -> None:
        """Adds a job."""
        if job.rung == FINAL:
            self._asked[job.target] = job
            self._work.add(job)
            return
        with storage_errors(self._place, started=True):
            self._queue.put(job)
        self._asked[job.target] = job
        self._work.look()

    def wait(self) -> TrainingResult | None:
        """The next result; None if members have joined or left."""
        before = self.workers
        while not self._done:
            if self.workers != before:
                return None
            with storage_errors(self._place, started=True):
                self._round()
            if not self._done:
                interrupt.check()
                time.sleep(POLL_SECONDS)
        return self._done.popleft()

    def _round(self) -> None:
        if self._membership.is_lost:
            raise StudyError(f"{self._place}: the others took this process for dead, since it was silent")
        added = self._work.round()
        self._take(added)
        if added or self._work.handed_in or time.monotonic() - self._looked > LOOK_SECONDS:
            self._take(self._queue.results(self._asked, self._membership.gone))
            self._looked = time.monotonic()

    def _take(self, results: Sequence[TrainingResult]) -> None:
        for result in results:
            if self._asked.pop(result.target, None) is not None:
                self._done.append(result)
