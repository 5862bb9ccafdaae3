"""The made-up searches that choose rungs: their costs, and what they deliver."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, "path", [*sys.path, str(Path(__file__).parent)])
    halving = import_module("halving")

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("factor", "rungs", "networks"),
    [
        (1, [1_000], 90),  # each network costs 1,000 images
        (3, [1_000, 3_000, 9_000], 40),  # 40 × 1,000 + 13 × 2,000 + 4 × 6,000
        (10, [1_000, 10_000], 49),  # 49 × 1,000 + 4 × 9,000; a third rung would be longer than half of the training
    ],
)
def test_a_time_suffices_for_the_networks_that_it_pays_for(factor: int, rungs: list[int], networks: int) -> None:
    way = halving.Halving(1_000, factor)
    assert way.rungs(90_000) == rungs
    assert way.networks(90_000, 90_000) == networks
    assert way.images(networks, 90_000) <= 90_000 < way.images(networks + 1, 90_000)


def test_with_few_networks_two_are_trained_to_each_rung() -> None:
    way = halving.Halving(1_000, 3)
    assert way.kept(4, 90_000) == [4, 2, 2, 2]
    assert way.images(4, 90_000) == 4 * 1_000 + 2 * 2_000 + 2 * 6_000


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_the_best_network_is_delivered_if_the_lengths_rank_alike(factor: int) -> None:
    curves = halving.Curves(np.array([1.0, 2.0, 4.0, 100.0]), np.ones((4, 4)), trainings=10)
    drawn = curves.draw(40, RANDOM)
    assert halving.Halving(1, factor).delivered(curves, drawn, RANDOM) == drawn[:, -1].min()


def test_a_length_that_misleads_delivers_one_of_the_networks_that_it_ranks_first() -> None:
    curves = halving.Curves(np.array([1.0, 100.0]), np.array([[1.0, -1.0], [-1.0, 1.0]]), trainings=10)
    drawn = curves.draw(40, RANDOM)
    assert halving.Halving(1, 1).delivered(curves, drawn, RANDOM) == np.sort(drawn[:, -1])[-2]


def test_a_length_between_two_is_read_in_proportion_to_its_logarithm_and_varies_as_much() -> None:
    alike = halving.Curves(np.array([1.0, 100.0]), np.ones((2, 2)), trainings=10)
    assert alike.at(np.array([[0.0, 2.0]]), 10, RANDOM) == pytest.approx(1.0)
    unlike = halving.Curves(np.array([1.0, 100.0]), np.eye(2), trainings=10)
    scores = unlike.at(unlike.draw(20_000, RANDOM), 10, RANDOM)
    assert scores.std() == pytest.approx(1.0, abs=0.03)
