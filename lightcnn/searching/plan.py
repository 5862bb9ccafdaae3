"""How a search spends its time: the lengths of the trainings, the share of the trials and that of the last training."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from lightcnn import document
from lightcnn.errors import RunError
from lightcnn.recipe import default_epochs
from lightcnn.run_folder import RunFolder
from lightcnn.searching.halving import Rungs
from lightcnn.searching.settings import PlanSettings

FINAL_SHARE = 0.5
"""Largest share of the whole time that is kept for the final training."""
MAX_FINAL_EPOCHS = 100
"""Maximum epochs of the final training: the time that they do not need goes into trials."""
SAFETY_SHARE = 0.85
"""Share of the remaining time that the final training is planned to use: the speed of two shared cores varies."""
OVERHEAD_SECONDS = 2.0
"""Time for the last evaluation, the counters, figures and files."""
RUNG_FACTOR = 3
"""Each rung has so many times the epochs of the one before, and the best 1/RUNG_FACTOR of its candidates."""
TYPICAL_TRIALS = 30
COST_OF_SEARCH = 3 * TYPICAL_TRIALS + 13
"""The cost of a search of `TYPICAL_TRIALS` trials in trainings at the first rung: each of the three rungs costs about
as much as the first, and some early trials are promoted before the others are known."""
PLAN_FILE = "plan.yaml"


@dataclass(frozen=True)
class Plan:
    """`images` of the training set are used in trials, at these rungs.

    `final_epochs` is the maximum for the final training, which is shorter if the time is. `final_seconds` of the
    whole time are kept for it; None without a time limit.
    """

    images: int
    rungs: Rungs
    final_epochs: int
    final_seconds: float | None = None

    @classmethod
    def fixed(cls, train: int, epochs: int | None = None) -> Plan:
        """Without a time limit: the first training sees about 12,000 images, the final one about 600,000.

        `train` is the number of training images, `epochs` the maximum of the final training.
        """
        images = min(train, 12_000)
        usual = default_epochs(train, MAX_FINAL_EPOCHS)
        return cls(images, _rungs(round(12_000 / images), images), epochs or usual)

    @classmethod
    def timed(cls, train: int, limit: float, spent: float, images_per_second: float, epochs: int | None = None) -> Plan:
        """For `limit` seconds in total: each training sees as many images as leave time for `TYPICAL_TRIALS` trials.

        `spent` of the seconds have passed. `train` and `epochs` are as in `fixed`.
        """
        epochs = epochs or MAX_FINAL_EPOCHS
        final = min(FINAL_SHARE * limit, OVERHEAD_SECONDS + epochs * train / images_per_second / SAFETY_SHARE)
        first = max(0.0, limit - final - spent) * images_per_second / COST_OF_SEARCH
        images = min(train, max(int(first), 1_000))
        return cls(images, _rungs(round(first / images), images), epochs, final)

    def search_seconds(self, limit: float | None) -> float | None:
        """The time by which the last trial must end, for `limit` seconds in total; None without a limit."""
        if limit is None:
            return None
        return max(0.0, limit - (FINAL_SHARE * limit if self.final_seconds is None else self.final_seconds))


def _rungs(epochs: int, images: int) -> Rungs:
    """Three rungs. The first has 1 to 4 epochs, on small sets up to 12, so that it sees 3,600 images if it can.

    More time gives more trials, not longer ones.
    """
    first = max(min(max(epochs, 1), 4), min(12, math.ceil(3_600 / images)))
    return Rungs((first, first * RUNG_FACTOR, first * RUNG_FACTOR**2), RUNG_FACTOR)


def final_epochs(seconds_left: float, seconds_per_epoch: float) -> int:
    """The epochs of the final training that fit into the time left, at least 1."""
    return max(1, int(SAFETY_SHARE * (seconds_left - OVERHEAD_SECONDS) / max(seconds_per_epoch, 1e-9)))


def read_plan(run: RunFolder, fingerprint: str) -> tuple[Plan, float] | None:
    """The plan of an earlier session and the seconds before its first trial; None if there is no plan.

    Raises: RunError if the data have another `fingerprint` than they had then.
    """
    if not (run / PLAN_FILE).is_file():
        return None
    plan = document.load(PlanSettings, run / PLAN_FILE)
    if plan.fingerprint != fingerprint:
        raise RunError(
            f"run {run.path}: the data have changed since the search started (fingerprint {fingerprint[:12]}, was "
            f"{plan.fingerprint[:12]}); choose a new --out"
        )
    return Plan(plan.images, Rungs(plan.epochs, plan.keep), plan.final_epochs, plan.final_seconds), plan.spent


def write_plan(run: RunFolder, plan: Plan, fingerprint: str, spent: float) -> None:
    """Writes plan.yaml. `spent` are the seconds before the first trial."""
    settings = PlanSettings(
        fingerprint=fingerprint,
        images=plan.images,
        epochs=plan.rungs.epochs,
        keep=plan.rungs.keep,
        final_epochs=plan.final_epochs,
        final_seconds=plan.final_seconds,
        spent=spent,
    )
    run.write_bytes(PLAN_FILE, document.dump(settings).encode())


class SearchClock:
    """Seconds of a search over all its sessions.

    `limit` is the time for everything, `search` the time by which trials must end; both are None without a limit.
    `spent` are the seconds of earlier sessions, `began` is the `time.monotonic()` at which this one started.
    """

    def __init__(self, limit: float | None, search: float | None, spent: float, began: float) -> None:
        self._limit = limit
        self._search = search
        self._spent = spent
        self._began = began

    def elapsed(self) -> float:
        """Seconds that the search has run, without the pauses between sessions and the work that interruptions lost."""
        return self._spent + time.monotonic() - self._began

    def allows(self, seconds: float) -> bool:
        """Whether so many more seconds of trials leave enough for the final training."""
        return self._search is None or self.elapsed() + seconds <= self._search

    def left(self) -> float | None:
        """Seconds until the limit; None without a limit."""
        return None if self._limit is None else self._limit - self.elapsed()
