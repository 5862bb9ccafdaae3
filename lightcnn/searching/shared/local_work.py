"""The jobs that run on this machine: those that it has claimed, and the final trainings of the leader."""

from __future__ import annotations

import time
from collections import deque

from lightcnn.errors import LightcnnError
from lightcnn.searching.shared.job_queue import Claim, JobQueue
from lightcnn.searching.shared.members import Membership
from lightcnn.searching.shared.states import SharedStates
from lightcnn.searching.trainings.jobs import TrainingJob, TrainingResult, paused_file
from lightcnn.searching.trainings.pool import WorkerPool

LOOK_SECONDS = 0.5
"""Time between two looks at the storage for jobs, while there is none."""


class LocalWork:
    """Keeps the workers of `pool` busy, one `round` after another.

    It outlives a storage that is lost for a while: trainings continue, and their results are handed in afterwards.
    `handed_in` if the last round stored results of claimed jobs.
    """

    def __init__(self, pool: WorkerPool, queue: JobQueue, membership: Membership, states: SharedStates) -> None:
        self._pool = pool
        self._queue = queue
        self._membership = membership
        self._states = states
        self._claims: dict[str, Claim] = {}
        self._unsent: deque[tuple[Claim, TrainingResult]] = deque()
        self._own: set[str] = set()
        self._next_look = 0.0
        self.handed_in = False

    @property
    def workers(self) -> int:
        """The workers of this machine."""
        return self._pool.workers

    def add(self, job: TrainingJob) -> None:
        """Adds a job that no other machine runs, unless it runs already."""
        if job.target not in self._own:
            self._own.add(job.target)
            self._states.fetch(job.source)
            self._pool.submit(job)

    def look(self) -> None:
        """Looks for jobs at once in the next round: there are new ones."""
        self._next_look = 0.0

    def round(self) -> list[TrainingResult]:
        """Hands in what is done, and claims jobs for free workers; returns the results of jobs that were added.

        Raises: LightcnnError if this machine cannot continue, as with a full disk; its jobs are then handed back.
        """
        added = []
        while (result := self._pool.poll()) is not None:
            self.look()
            if result.target in self._own:
                self._own.remove(result.target)
                added.append(result)
            elif (claim := self._claims.pop(result.target, None)) is not None:
                self._unsent.append((claim, result))
        self.handed_in = bool(self._unsent)
        while self._unsent:
            self._hand_in(*self._unsent[0])
            self._unsent.popleft()
        while time.monotonic() >= self._next_look and len(self._claims) + len(self._own) < self._pool.workers:
            self._claim()
        return added

    def hand_back(self) -> None:
        """Pauses all trainings, and gives up all claimed jobs, so that other machines continue them.

        Those that have ended meanwhile are handed in.
        """
        for result in self._pool.pause():
            if not result.error and (claim := self._claims.pop(result.target, None)) is not None:
                self._unsent.append((claim, result))
        self._own.clear()
        while self._unsent:
            claim, result = self._unsent.popleft()
            if result.ends_search:
                self._queue.hand_back(claim)
            else:
                self._hand_in(claim, result)
        while self._claims:
            _, claim = self._claims.popitem()
            self._states.send(paused_file(claim.job.target))
            self._queue.hand_back(claim)

    def _claim(self) -> None:
        claimed = {claim.trial_id for claim in self._claims.values()}
        claim = self._queue.claim(self._membership.number, claimed, self._has_state)
        if claim is None:
            self._next_look = time.monotonic() + LOOK_SECONDS
            return
        self._claims[claim.job.target] = claim
        for name in (claim.job.source, paused_file(claim.job.target)):
            self._states.fetch(name)
        self._pool.submit(claim.job)

    def _has_state(self, job: TrainingJob) -> bool:
        """Whether this machine can continue a training without the folder of states."""
        return self._states.is_here(job.source) or self._states.is_here(paused_file(job.target))

    def _hand_in(self, claim: Claim, result: TrainingResult) -> None:
        if result.ends_search:
            self._queue.hand_back(claim)
            raise LightcnnError(f"{result.error}; the training was handed back: free some space, and join again")
        if not result.error:
            self._states.send(result.target)
        if not self._queue.finish(claim, result):
            return
        self._states.remove(paused_file(claim.job.target))
        if claim.job.source and not result.error:
            self._states.remove(claim.job.source)
