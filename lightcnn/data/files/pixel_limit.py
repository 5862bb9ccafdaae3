"""Limits how many pixels are decoded at the same time, over all threads of the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class PixelLimit:
    """A semaphore weighted by pixels: whoever would exceed the limit waits until others have finished."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pixels = 0
        self._changed = Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Counts an image of so many pixels as long as it is decoded; one above the limit is decoded alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._pixels == 0 or self._pixels + pixels <= self._limit)
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._pixels -= pixels
                self._changed.notify_all()
