"""Work in threads: results in order, few items ahead, and an end at the first error."""

from __future__ import annotations

import os
import threading

import pytest

from lightcnn.data.parallel import AHEAD, map_in_order


def test_results_are_in_order_and_few_items_are_taken_ahead():
    taken = []

    def items():
        for number in range(1_000):
            taken.append(number)
            yield number

    results = map_in_order(lambda number: number * 2, items())
    assert next(results) == 0
    assert len(taken) == AHEAD * (os.cpu_count() or 1)
    assert list(results) == [number * 2 for number in range(1, 1_000)]
    assert list(map_in_order(str, [])) == []


def test_an_error_ends_the_work_without_starting_the_rest():
    started = []

    def work(number):
        started.append(number)
        if number == 0:
            raise ValueError("no")
        return threading.get_ident()

    with pytest.raises(ValueError, match="no"):
        list(map_in_order(work, range(10_000)))
    assert len(started) <= AHEAD * (os.cpu_count() or 1)
