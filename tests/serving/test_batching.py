"""Images of many requests go through the network together, and every request gets its own results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lightcnn.data.files.conversion import Conversion
from lightcnn.data.stream import PreparedImage
from lightcnn.predictor import Evaluation
from lightcnn.serving.batching import MAX_BATCH, Batcher, faster_batch
from lightcnn.serving.guard import RequestRate
from lightcnn.serving.uploads import MemoryUse, Refused


def image(number: int) -> PreparedImage[Any]:
    return PreparedImage(number, 3, 1, Conversion())


def evaluated(images: Sequence[PreparedImage[Any]]) -> list[Evaluation]:
    time.sleep(0.002)
    return [Evaluation(np.array([each.pixels, 1.0])) for each in images]


def test_every_request_gets_its_own_results() -> None:
    sizes: list[int] = []

    async def ask(batcher: Batcher, start: int, count: int) -> list[int]:
        rows = await batcher.evaluate([image(number) for number in range(start, start + count)])
        return [int(row.probabilities[0]) for row in rows]

    async def work() -> list[list[int]]:
        batcher = Batcher(evaluated, size=MAX_BATCH, waiting=1000, on_batch=sizes.append)
        batcher.start()
        results = await asyncio.gather(*(ask(batcher, 10 * place, 1 + place % 5) for place in range(60)))
        await batcher.stop()
        return list(results)

    results = asyncio.run(work())
    assert results == [[10 * place + step for step in range(1 + place % 5)] for place in range(60)]
    assert max(sizes) == MAX_BATCH and sum(sizes) == sum(map(len, results))


def test_an_error_reaches_the_requests_of_its_batch_and_no_others() -> None:
    def fragile(images: Sequence[PreparedImage[Any]]) -> list[Evaluation]:
        if any(each.pixels == 3 for each in images):
            raise ValueError("three")
        return evaluated(images)

    async def work() -> list[Any]:
        batcher = Batcher(fragile, size=1, waiting=10)
        batcher.start()
        asked = (batcher.evaluate([image(number)]) for number in range(6))
        results = await asyncio.gather(*asked, return_exceptions=True)
        await batcher.stop()
        return results

    kinds = [type(result) for result in asyncio.run(work())]
    assert kinds == [list, list, list, ValueError, list, list]


@pytest.mark.parametrize(("per_batch", "per_image", "expected"), [(0.004, 0, MAX_BATCH), (0, 0.002, 1)])
def test_images_are_batched_if_that_is_faster(per_batch: float, per_image: float, expected: int) -> None:
    """Images one by one must be faster if a batch takes over-proportionally long."""

    def slow(images: Sequence[PreparedImage[Any]]) -> list[Evaluation]:
        time.sleep(per_batch + per_image * len(images) ** 2)
        return []

    assert faster_batch(slow, image(0)) == expected


def test_images_that_wait_are_limited() -> None:
    batcher = Batcher(evaluated, size=1, waiting=5)
    batcher.reserve(3)
    with pytest.raises(Refused, match="3 images are waiting") as refused:
        batcher.reserve(3)
    assert (refused.value.status, refused.value.retry_after) == (503, 1)
    batcher.release(3)
    batcher.reserve(5)


def test_requests_of_an_address_are_limited_and_recover() -> None:
    now = [0.0]
    rate = RequestRate(2, lambda: now[0])
    for _ in range(4):
        rate.count("a")
    with pytest.raises(Refused) as refused:
        rate.count("a")
    assert (refused.value.status, refused.value.retry_after) == (429, 1)
    rate.count("b")
    now[0] = 0.5
    rate.count("a")
    with pytest.raises(Refused):
        rate.count("a")
    now[0] = 100
    for _ in range(4):
        rate.count("a")
    with pytest.raises(Refused):
        rate.count("a")


def test_addresses_are_forgotten() -> None:
    rate = RequestRate(1, lambda: 0.0)
    for number in range(10_100):
        rate.count(str(number))
    assert len(rate._left) == 10_000


def test_memory_of_all_requests_is_limited() -> None:
    memory = MemoryUse(10)
    memory.add(6)
    with pytest.raises(Refused) as refused:
        memory.add(5)
    assert refused.value.status == 503
    memory.remove(6)
    memory.add(10)
