"""How a search spends its time: what share goes into trials, how long each training is, how long the last one."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from lightcnn.recipe import default_epochs
from lightcnn.searching.searcher import Rungs

FINAL_SHARE = 0.5
"""Of the whole time, at most, kept for the final training."""
FINAL_EPOCHS = 100
"""Epochs of the final training, at most: what is not needed for them goes into trials."""
SAFETY = 0.85
"""Of the time left, what the final training is planned to use: two shared cores do not run evenly."""
OVERHEAD = 2.0
"""Seconds for the last evaluation, the counters, pictures and files."""
KEEP = 3
WANTED_TRIALS = 30
COST_OF_SEARCH = 3 * WANTED_TRIALS + 13
"""First trainings that a search of `WANTED_TRIALS` amounts to: each of the three rungs costs about as much as the
first, and some early trials climb before the field is known."""


@dataclass(frozen=True)
class Plan:
    """`images` of the training side are used in trials, at these rungs.

    `final_epochs`: at most, and as many as the time allows. `final_seconds`: of the whole time, kept for the final
    training; None where there is no time limit.
    """

    images: int
    rungs: Rungs
    final_epochs: int
    final_seconds: float | None = None

    @classmethod
    def fixed(cls, train: int, epochs: int | None = None) -> Plan:
        """Without a time: the first training sees about 12,000 images, the final one about 600,000."""
        images = min(train, 12_000)
        usual = default_epochs(train, FINAL_EPOCHS)
        return cls(images, _rungs(round(12_000 / images), images), epochs or usual)

    @classmethod
    def timed(cls, train: int, limit: float, spent: float, images_a_second: float, epochs: int | None = None) -> Plan:
        """For `limit` seconds in all: as many images a training as leave time for about `WANTED_TRIALS` trials."""
        epochs = epochs or FINAL_EPOCHS
        final = min(FINAL_SHARE * limit, OVERHEAD + epochs * train / images_a_second / SAFETY)
        first = max(0.0, limit - final - spent) * images_a_second / COST_OF_SEARCH
        images = min(train, max(int(first), 1_000))
        return cls(images, _rungs(round(first / images), images), epochs, final)

    def search_seconds(self, limit: float | None) -> float | None:
        """When the last trial must have ended, for a whole time of `limit` seconds; None for none."""
        if limit is None:
            return None
        return max(0.0, limit - (FINAL_SHARE * limit if self.final_seconds is None else self.final_seconds))


def _rungs(epochs: int, images: int) -> Rungs:
    """Three rungs. The first has 1 to 4 epochs, on small sets up to 12, so that it sees 3,600 images where it can.

    More time gives more trials, not longer ones.
    """
    first = max(min(max(epochs, 1), 4), min(12, math.ceil(3_600 / images)))
    return Rungs((first, first * KEEP, first * KEEP**2), KEEP)


def final_epochs(seconds_left: float, seconds_an_epoch: float) -> int:
    """The epochs of the final training that fit into the time left, at least 1."""
    return max(1, int(SAFETY * (seconds_left - OVERHEAD) / max(seconds_an_epoch, 1e-9)))


class SearchClock:
    """Seconds of a search over all its sessions. `limit`: with its final training; `search`: without; None for none."""

    def __init__(self, limit: float | None, search: float | None, spent: float, began: float) -> None:
        self._limit = limit
        self._search = search
        self._spent = spent
        self._began = began

    def elapsed(self) -> float:
        """Seconds since the search began, without the pauses between sessions and what an interruption undid."""
        return self._spent + time.monotonic() - self._began

    def allows(self, seconds: float) -> bool:
        """Whether so many more seconds of trials leave the final training its share."""
        return self._search is None or self.elapsed() + seconds <= self._search

    def left(self) -> float | None:
        """Seconds until the limit; None without one."""
        return None if self._limit is None else self._limit - self.elapsed()
