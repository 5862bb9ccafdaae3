"""Interleaved rounds, their statistics, and what is measured again."""

from __future__ import annotations

import pytest

from lightcnn.measurement.latency import TimedModel, measure
from lightcnn.progress import no_progress


def fake_model(values: list[float], log: list[str], name: str) -> TimedModel:
    """A model whose runs take these times, and write its name into the log."""
    times = iter(values)

    def run() -> float:
        log.append(name)
        return next(times)

    return TimedModel("folded", "contiguous", "cpu", 4, run, lambda: 8.0)


def test_rounds_are_interleaved_and_give_median_spread_and_throughput() -> None:
    log: list[str] = []
    ready = [fake_model([*map(float, range(100, 111))], log, "a"), fake_model([5.0] * 10, log, "b")]
    first, second = measure(ready, seconds=0, threads=1, progress=no_progress)
    assert log == ["a", "b"] * 10
    assert (first.median, first.runs, first.unstable) == (104.5, 10, False)
    assert first.p95 == pytest.approx(108.55)
    assert first.iqr == pytest.approx(5.5)
    assert (second.median, second.iqr, second.images_per_second) == (5.0, 0.0, 500.0)


def test_widely_spread_times_are_measured_again_and_marked_if_they_stay_so() -> None:
    log: list[str] = []
    wide = [1.0, 9.0] * 5
    ready = [
        fake_model(wide + [5.0] * 10, log, "settled"),
        fake_model(wide * 2, log, "unsettled"),
        fake_model([5.0] * 10, log, "steady"),
    ]
    settled, unsettled, steady = measure(ready, seconds=0, threads=1, progress=no_progress)
    assert [result.unstable for result in (settled, unsettled, steady)] == [False, True, False]
    assert log.count("settled") == log.count("unsettled") == 20
    assert log.count("steady") == 10
