"""Which networks are trained to the end."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from lightcnn.searching.trials.finalists import choose_finalists
from lightcnn.searching.trials.storage import Outcome

RUNGS = (1_280, 3_840)
VALIDATION = 2_500


def outcome(number: int, images: int = RUNGS[-1], accuracy: float = 0.5) -> Outcome:
    scores = {length: accuracy for length in RUNGS if length <= images}
    return Outcome(number, "running", "", str(number), {}, scores, 1.0, 1.0, scores)


def chosen(outcomes: list[Outcome], promises: dict[int, float], count: int, **options: Any) -> list[int]:
    finalists = choose_finalists(outcomes, promises, count, longest=RUNGS[-1], validation=VALIDATION, **options)
    return [finalist.number for finalist in finalists]


def test_finalists_are_the_most_promising_that_were_trained_beyond_the_first_rung_and_the_first_network() -> None:
    outcomes = [outcome(0), outcome(1, RUNGS[0]), outcome(2), outcome(3), outcome(4, RUNGS[0])]
    promises = {0: 0.1, 1: 0.9, 2: 0.5, 3: 0.6, 4: 0.2}
    numbers = [chosen(outcomes, promises, count) for count in range(1, 6)]
    assert numbers == [[0], [3, 0], [3, 2, 0], [3, 2, 0, 1], [3, 2, 0, 1, 4]]
    assert chosen(outcomes, {}, 2) == []
    assert chosen([outcome(1, RUNGS[0]), outcome(2, RUNGS[0])], {1: 0.1, 2: 0.2}, 1) == [2]


@pytest.mark.parametrize(
    ("accuracy", "images", "expected"),
    [
        (0.925, RUNGS[-1], [2, 0]),  # within 2 * sqrt((0.925 * 0.075 + 0.91 * 0.09) / 2500) = 0.0156
        (0.927, RUNGS[-1], [2, 3]),
        (0.927, RUNGS[0], [2, 0]),  # not at the longest rung
    ],
)
def test_the_first_network_is_left_out_only_if_it_is_beaten_by_more_than_noise(accuracy, images, expected) -> None:
    outcomes = [outcome(0, accuracy=0.91), outcome(2, images, accuracy), outcome(3, images, 0.9)]
    promises = {0: 0.1, 2: 0.9, 3: 0.8}
    if images == RUNGS[0]:
        outcomes[0] = outcome(0, images, 0.91)
    assert chosen(outcomes, promises, 2) == expected
    assert chosen(outcomes, promises, 2, always_first=True) == [2, 0]
    assert chosen(outcomes, promises, 1) == [2 if expected == [2, 3] else 0]
    assert chosen(outcomes, promises, 1, metric="balanced_accuracy") == [2]
    assert chosen(outcomes, promises, 2, metric="balanced_accuracy") == [2, 0], "accuracies do not show what is better"


def test_of_200_tables_no_search_has_only_finalists_that_are_worse_than_its_start() -> None:
    """The accuracies at the longest rung are those at the end with the noise of 2,500 images; promises are random."""
    left_out = 0
    for seed in range(200):
        random = Random(seed)
        ends = [random.uniform(0.85, 0.95) for _ in range(12)]
        seen = [random.gauss(end, (end * (1 - end) / VALIDATION) ** 0.5) for end in ends]
        outcomes = [outcome(number, accuracy=accuracy) for number, accuracy in enumerate(seen)]
        numbers = chosen(outcomes, {number: random.random() for number in range(12)}, 2)
        assert max(ends[number] for number in numbers) >= ends[0]
        left_out += 0 not in numbers
    assert 20 < left_out < 180, "the place of a start that is clearly worse goes to another network"
