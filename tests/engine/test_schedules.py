"""The schedules of the learning rate."""

from __future__ import annotations

import pytest

from lightcnn.engine.schedules import Schedule, one_cycle
from lightcnn.recipe import Optimisation


def test_schedules_have_the_expected_rates_at_their_ends():
    def shares(**changes):
        schedule = Schedule(Optimisation(epochs=10, **changes), 10)
        return [schedule.share(step) for step in range(100)]

    assert shares() == [one_cycle(100, 0.2)(step) for step in range(100)]
    assert set(shares(schedule="constant", warmup=0.0)) == {1.0}
    warmed = shares(schedule="cosine", warmup=0.1)
    assert warmed[:11] == pytest.approx([(step + 1) / 11 for step in range(11)])
    assert max(warmed) == warmed[10] == 1
    assert 0 < warmed[99] < 0.01
    stepped = shares(schedule="step", warmup=0.0, decay_epochs=4, decay_factor=0.5)
    assert [stepped[step] for step in (0, 39, 40, 79, 80, 99)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    plateau = Schedule(Optimisation(epochs=10, schedule="plateau", warmup=0.0, decay_epochs=2), 10)
    for since in (0, 1, 2, 3, 4, 0):
        plateau.observe(since)
    assert plateau.share(50) == pytest.approx(0.01)


def test_warmup_stable_decay_depends_on_its_end_in_its_last_steps_only():
    def shares(steps, decay):
        settings = Optimisation(
            epochs=10, steps=steps, schedule="warmup-stable-decay", warmup_steps=4, decay_steps=decay
        )
        schedule = Schedule(settings, 10)
        assert schedule.steps == steps
        return [schedule.share(step) for step in range(steps)]

    short, long = shares(50, 9), shares(95, 0)
    assert short[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert short[:41] == long[:41]
    assert set(long[4:]) == {1.0}
    assert short[40:] == pytest.approx([1 - number / 10 for number in range(10)])
    default = Schedule(Optimisation(epochs=10, schedule="warmup-stable-decay"), 10)
    assert [default.share(step) < 1 for step in (20, 79, 80, 99)] == [False, False, True, True]
