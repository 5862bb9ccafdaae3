"""The time of a search, over all its sessions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Seconds that the search has run, over all its sessions, and whether it may spend more."""

    def elapsed(self) -> float: ...
    def allows(self, seconds: float) -> bool: ...


@dataclass(frozen=True)
class Past:
    """What a search has done before a session: the seconds that it has run, and the networks that have a score.

    `since` are the seconds that it had run when its time limit was last raised, 0 if it never was. What is left of the
    limit then is divided between comparing and final trainings like the time of a new search.
    """

    seconds: float = 0.0
    since: float = 0.0
    networks: int = 0


class SearchClock:
    """Seconds of a search over all its sessions.

    `limit` is the time for everything, `search` the time by which rungs must end; both are None without a limit. They
    may end later by the seconds that are `spare` at that time. `spent` are the seconds of earlier sessions, `began` is
    the `time.monotonic()` at which this one started.
    """

    def __init__(
        self,
        limit: float | None,
        search: float | None,
        spent: float,
        began: float,
        spare: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._limit = limit
        self._search = search
        self._spent = spent
        self._began = began
        self._spare = spare
        self._paused_at: float | None = None

    def elapsed(self) -> float:
        """Seconds that the search has run, without the pauses between sessions.

        Of a session that was killed, they end with its last score.
        """
        now = time.monotonic() if self._paused_at is None else self._paused_at
        return self._spent + now - self._began

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done in this context takes no time of the search."""
        self._paused_at = time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - self._paused_at
            self._paused_at = None

    def allows(self, seconds: float) -> bool:
        """Whether so many more seconds of the search leave enough for the final training."""
        if self._search is None:
            return True
        late = self.elapsed() + seconds - self._search
        return late <= 0 or late <= self._spare()

    def left(self) -> float | None:
        """Seconds until the limit; None without a limit."""
        return None if self._limit is None else self._limit - self.elapsed()
