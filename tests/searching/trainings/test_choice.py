"""Which weights are delivered, and the noise of that choice."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from lightcnn.searching.trainings.choice import Weights, choose, paired_error

ALONE = np.array([str(i) for i in range(8)])


def weights(trial: int, correct: str, step: int, *, averaged: bool = True) -> Weights:
    """Weights of a trial; `correct` has a 1 for every image that is classified correctly."""
    finalist = SimpleNamespace(outcome=SimpleNamespace(number=trial))
    right = np.array([digit == "1" for digit in correct])
    return Weights(finalist, None, "", step, averaged, False, None, None, right)  # type: ignore[arg-type]


def test_the_paired_error_is_that_of_the_mean_difference() -> None:
    first, second = (np.array([digit == "1" for digit in text]) for text in ("11111100", "11110011"))
    difference = np.array([0, 0, 0, 0, 1, 1, -1, -1])
    assert paired_error(first, second, ALONE) == pytest.approx(difference.std(ddof=1) / math.sqrt(8))


def test_images_of_one_group_are_not_independent() -> None:
    first, second = (np.array([digit == "1" for digit in text]) for text in ("11111100", "11110011"))
    groups = np.array(["a", "a", "b", "b", "c", "c", "d", "d"])
    # Sums of the groups: 0, 0, 2, -2; their mean is 0, so the variance of a sum is 8 / 3, of the total 4 * 8 / 3.
    assert paired_error(first, second, groups) == pytest.approx(math.sqrt(4 * 8 / 3) / 8)
    assert paired_error(first, second, np.array(["a"] * 8)) == math.inf


def test_of_one_network_the_longest_trained_weights_within_noise_are_taken() -> None:
    chosen = choose([weights(3, "11111110", 100), weights(3, "11111100", 200)], ALONE)
    assert chosen.best.step == 200
    assert chosen.runner_up is None
    assert chosen.document()["beyond_noise"] is False
    images = np.array([str(i) for i in range(400)])
    much_worse = choose([weights(3, "1" * 400, 100), weights(3, "1" * 200 + "0" * 200, 200)], images)
    assert much_worse.best.step == 100


def test_of_several_networks_the_best_is_taken_and_its_lead_is_compared_with_noise() -> None:
    chosen = choose([weights(0, "11110000", 100), weights(5, "11111110", 100)], ALONE)
    assert chosen.best.finalist.outcome.number == 5
    assert chosen.runner_up is not None
    assert chosen.runner_up.finalist.outcome.number == 0
    assert chosen.difference == pytest.approx(3 / 8)
    assert chosen.standard_error == pytest.approx(math.sqrt((3 * (5 / 8) ** 2 + 5 * (3 / 8) ** 2) / 7 / 8))
    assert chosen.document()["beyond_noise"] is True
    equal = choose([weights(2, "1100", 100), weights(1, "0011", 100)], ALONE[:4])
    assert equal.best.finalist.outcome.number == 1
