"""Runs the network in a thread of its own on whatever images wait, several at once where that is faster."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from lightcnn.data.stream import PreparedImage
from lightcnn.predictor import Evaluation
from lightcnn.serving.uploads import Refused

MAX_BATCH = 8
"""Number of images that go through the network at once, if that is faster. On one thread of an AMD EPYC, a network of 1
MFLOPs needs 0.69 ms for one image, 0.24 for each of 8 and 0.26 for each of 32, but MicroMPoxNet 14.9, 17.7 and 23.9."""
ROUNDS = 3
"""How often both are timed; the shorter time counts."""

Waiting = tuple[PreparedImage[Any], asyncio.Future[Evaluation]]
Evaluate = Callable[[Sequence[PreparedImage[Any]]], list[Evaluation]]


def faster_batch(evaluate: Evaluate, image: PreparedImage[Any]) -> int:
    """MAX_BATCH if so many images at once need less time than one after the other, else 1; timed with one image."""
    evaluate([image])
    seconds = {size: min(_seconds(evaluate, [image] * size) for _ in range(ROUNDS)) / size for size in (1, MAX_BATCH)}
    return min(seconds, key=lambda size: seconds[size])


def _seconds(evaluate: Evaluate, images: Sequence[PreparedImage[Any]]) -> float:
    began = time.perf_counter()
    evaluate(images)
    return time.perf_counter() - began


class Batcher:
    """Evaluates images of all requests in the order in which they came; nothing waits for a batch to be full.

    `evaluate` gets one to `size` prepared images. At most `waiting` images wait.
    """

    def __init__(
        self, evaluate: Evaluate, *, size: int, waiting: int, on_batch: Callable[[int], object] = lambda size: None
    ) -> None:
        self._evaluate, self._size, self._on_batch = evaluate, size, on_batch
        self._queue: queue.Queue[Waiting | None] = queue.Queue()
        self._waiting, self._limit = 0, waiting
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Ends the thread when all waiting images are evaluated."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def reserve(self, count: int) -> None:
        """Counts images that will wait, before they are decoded. Raises: Refused if too many wait."""
        if self._waiting + count > self._limit:
            raise Refused(503, f"{self._waiting} images are waiting", retry_after=1)
        self._waiting += count

    def release(self, count: int) -> None:
        """Counts images that no longer wait."""
        self._waiting -= count

    async def evaluate(self, images: Sequence[PreparedImage[Any]]) -> list[Evaluation]:
        """What the network computes for the images of one request. Raises: what `evaluate` raised."""
        futures = [self._loop.create_future() for _ in images]
        for each in zip(images, futures, strict=True):
            self._queue.put(each)
        return list(await asyncio.gather(*futures))

    def _work(self) -> None:
        """The loop of the thread."""
        while (batch := self._next_batch()) is not None:
            if not batch:
                continue
            self._on_batch(len(batch))
            try:
                results: list[Evaluation | Exception] = list(self._evaluate([image for image, _ in batch]))
            except Exception as error:  # every request of the batch gets it
                results = [error] * len(batch)
            self._loop.call_soon_threadsafe(_set_results, [future for _, future in batch], results)

    def _next_batch(self) -> list[Waiting] | None:
        """The next images whose clients still wait; None at the end."""
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < self._size:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            batch.append(following)
        return [each for each in batch if not each[1].cancelled()]


def _set_results(futures: Sequence[asyncio.Future[Evaluation]], results: Sequence[Evaluation | Exception]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
